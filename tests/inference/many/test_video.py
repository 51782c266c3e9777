"""Videos in, videos of overlays out: times, length, sound; a camera that is not one."""

import signal
import subprocess
import sys
import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.inference.many import video as video_module
from segnet_tf.inference.many.settings import Settings
from segnet_tf.inference.many.smoothing import smoothed
from segnet_tf.inference.many.video import Video, upright
from segnet_tf.inference.many.video_streams import Copy, said_end
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.predictor import Predictor

av = pytest.importorskip("av")

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))
RATE = Fraction(30000, 1001)
COUNT = 24


def film(path, sound: bool = True, size=(96, 128)) -> None:
    """A street that moves to the left, and a tone."""
    wide = draw_scene(2, 0, size[0], size[1] + 2 * COUNT)[0]
    with av.open(str(path), "w") as made:
        pictures = made.add_stream("libx264", rate=RATE, options={"crf": "10"})
        pictures.height, pictures.width = size
        pictures.pix_fmt = "yuv420p"
        tone = None
        if sound:
            codec = "mp3" if path.suffix == ".avi" else "aac"
            tone = made.add_stream(codec, rate=44100, layout="mono")
        for index in range(COUNT):
            part = np.ascontiguousarray(wide[:, 2 * index : 2 * index + size[1]])
            made.mux(pictures.encode(av.VideoFrame.from_ndarray(part, "rgb24")))
        made.mux(pictures.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(44100 * COUNT // 30) / 20).astype(np.float32)[None]
            for start in range(0, wave.shape[1], 1024):
                chunk = np.ascontiguousarray(wave[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(chunk, "fltp", "mono")
                frame.sample_rate, frame.pts = 44100, start
                made.mux(tone.encode(frame))
            made.mux(tone.encode(None))


def times_and_sound(path) -> tuple[list[float], bytes, float]:
    with av.open(str(path)) as found:
        times = [float(frame.time) for frame in found.decode(video=0)]
        rate = float(found.streams.video[0].average_rate)
    with av.open(str(path)) as found:
        packets = found.demux(audio=0) if found.streams.audio else ()
        return times, b"".join(bytes(packet) for packet in packets), rate


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov", "film.avi"])
def test_times_length_and_sound_stay(tmp_path, name, capsys):
    film(tmp_path / name)
    predict_files([str(tmp_path / name)], MODEL, tmp_path / "out")
    suffix = name[-4:] if name[-4:] != ".avi" else ".mkv"
    result = tmp_path / "out" / f"film_overlay{suffix}"
    before, after = times_and_sound(tmp_path / name), times_and_sound(result)
    assert len(after[0]) == COUNT
    if suffix == name[-4:]:
        np.testing.assert_allclose(after[0], before[0], atol=2e-3)
    assert (np.diff(after[0]) > 0).all()
    assert after[0][-1] == pytest.approx(max(before[0]), abs=4 / 30)
    assert after[1] == before[1] and len(after[1]) > 1000
    assert after[2] == pytest.approx(before[2], rel=0.01)
    assert f"film_overlay{suffix}: 24 frames, " in capsys.readouterr().out
    assert "film," in (tmp_path / "out/classes.csv").read_text()


def test_frames_are_the_overlays_of_the_frames(tmp_path):
    film(tmp_path / "film.mp4", sound=False)
    predictor = Predictor(MODEL)
    found = Video(str(tmp_path / "film.mp4"), tmp_path / "x.mp4").label(predictor, INFO)
    with av.open(str(tmp_path / "film.mp4")) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(found.target)) as result:
        shown = [frame.to_ndarray(format="rgb24") for frame in result.decode(video=0)]
    counts = np.zeros(256, int)
    for frame, overlay in zip(frames, shown, strict=True):
        labels = predictor.labels(frame)
        counts += np.bincount(labels.reshape(-1), minlength=256)
        expected = video_module.tinted(frame, labels, INFO)
        # JPEG-like losses alone.
        difference = np.asarray(expected, int) - overlay[:96, :128]
        assert np.abs(difference).mean() < 6
    np.testing.assert_array_equal(found.counts, counts)
    panel = shown[0][:, 128:].astype(int)
    for colour in INFO.colours:  # all of them, in a frame that is low
        assert (np.abs(panel - colour).sum(axis=-1) < 90).sum() > 20


def test_smoothing_is_an_exponential_mean():
    predictor = Predictor(MODEL, native=True)
    images = [draw_scene(6, index, 64, 96)[0] for index in range(3)]
    raw = [predictor.probabilities(image) for image in images]
    expected = raw[0]
    label = smoothed(predictor, 0.75, None)
    for index, image in enumerate(images):
        if index:
            expected = 0.75 * expected + 0.25 * raw[index]
        found = label(None, image, (64, 96))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    for weight in (1, 5, -0.1, float("nan")):
        with pytest.raises(UserError, match="--smooth: .*, must be"):
            Settings(smooth=weight)


def test_frames_of_a_phone_are_turned():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    frame = SimpleNamespace(rotation=-90, to_ndarray=lambda format: pixels)
    np.testing.assert_array_equal(upright(frame), np.rot90(pixels, 3))


def test_what_is_no_video(tmp_path, monkeypatch):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="x.mp4: Invalid data"):
        predict_files([str(tmp_path / "x.mp4")], MODEL, tmp_path / "out")
    with pytest.raises(UserError, match="gone.mp4: No such file"):
        predict_files([str(tmp_path / "gone.mp4")], MODEL, tmp_path / "out")
    assert not list(tmp_path.rglob("*overlay*"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="video needs PyAV: pip install av"):
        predict_files([str(tmp_path / "x.mp4")], MODEL, tmp_path / "out")


CAMERA = """
import sys
from segnet_tf.commands import predict
from segnet_tf.console import cli
from segnet_tf.inference.many import sources, video
video.DEVICES = {"testsrc": "lavfi"}
from segnet_tf.inference.many import labeller, refusals, run
for module in (labeller, refusals, run):
    module.is_video = lambda path: True
cli.run(lambda: predict.main(sys.argv[1:]), "segnet predict")
"""


def test_a_camera_runs_until_it_is_interrupted(tmp_path):
    """FFmpeg's test picture stands for the device."""
    from conftest import ROOT

    words = ["testsrc=size=128x96:rate=30", "--model", MODEL, "--output", "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", CAMERA, *words], cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    [result] = (tmp_path / "out").glob("*_overlay.mkv")
    times, _, _ = times_and_sound(result)
    assert len(times) > 3
    with av.open(str(result)) as found:
        frame = next(found.decode(video=0)).to_ndarray(format="rgb24")
    assert Image.fromarray(frame).height == 96


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "film.mp4"])
def test_what_is_lost_is_said(tmp_path, name, capsys):
    film(tmp_path / name)
    Image.fromarray(draw_scene(2, 0, 60, 80)[0]).save(tmp_path / "a.png")
    data = (tmp_path / name).read_bytes()
    if name == "film.mp4":  # its index is at the end, and must stay
        with av.open(str(tmp_path / name)) as found:
            packets = [packet for packet in found.demux(video=0) if packet.size]
            [*_, before, _] = sorted(packet.pos for packet in packets)
            size = packets[-1].size
        data = data[:before] + bytes(size // 2) + data[before + size // 2 :]
    else:
        data = data[: len(data) * 6 // 10]
    (tmp_path / name).write_bytes(data)
    words = [str(tmp_path / name), str(tmp_path / "a.png")]
    for _ in range(2):  # it is not done at the second time, either
        faults = predict_files(words, MODEL, tmp_path / "out")
        said = capsys.readouterr().err
        assert faults == 1 and f"{name}: damaged" in said


def test_frames_of_another_size_are_scaled(tmp_path):
    """Raw H.264 may change its size in the middle."""
    path = tmp_path / "two.ts"
    data = b""
    for size in ((96, 128), (192, 256)):
        film(tmp_path / "one.ts", sound=False, size=size)
        data += (tmp_path / "one.ts").read_bytes()
    path.write_bytes(data)
    predict_files([str(path)], MODEL, tmp_path / "out")
    with av.open(str(tmp_path / "out/two_overlay.mkv")) as found:
        shown = [frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)]
    with av.open(str(path)) as found:
        sizes = {(frame.height, frame.width) for frame in found.decode(video=0)}
    assert sizes == {(96, 128), (192, 256)} and len({one.shape for one in shown}) == 1
    # The whole later frame, not its corner: its right half looks as in the first part.
    first, last = shown[5][:96, :128], shown[-5][:96, :128]
    assert np.abs(first.astype(int) - last).mean() < 60


def test_what_videos_do_not_have(tmp_path, monkeypatch, capsys):
    film(tmp_path / "film.mp4", sound=False)
    from segnet_tf.inference.many import labeller

    monkeypatch.setattr(labeller, "labelling", lambda *_: None)
    with pytest.raises(UserError, match="--uncertainty is not for videos"):
        predict_files(
            [str(tmp_path / "film.mp4")], MODEL, tmp_path / "out", uncertainty=True
        )
    outputs = ("overlay", "contours", "probabilities")
    predict_files(
        [str(tmp_path / "film.mp4")], MODEL, tmp_path / "out", outputs=outputs
    )
    said = capsys.readouterr().out
    assert "without contours and probabilities" in said


def late(path, start: float, codec: str, sound: bool = False) -> None:
    """COUNT frames, of which the first is shown so many seconds after the beginning."""
    wide = draw_scene(2, 0, 96, 128 + COUNT)[0]
    with av.open(str(path), "w") as made:
        pictures = made.add_stream(codec, rate=25)
        pictures.height, pictures.width, pictures.pix_fmt = 96, 128, "yuv420p"
        tone = made.add_stream("aac", rate=44100, layout="mono") if sound else None
        for index in range(COUNT):
            part = np.ascontiguousarray(wide[:, index : index + 128])
            frame = av.VideoFrame.from_ndarray(part, "rgb24")
            frame.pts, frame.time_base = round(start * 25) + index, Fraction(1, 25)
            made.mux(pictures.encode(frame))
        made.mux(pictures.encode(None))
        if tone is not None:
            wave = np.zeros((1, 44100), np.float32)
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, round(start * 44100)
            made.mux(tone.encode(frame))
            made.mux(tone.encode(None))


def lost_of(path) -> str | None:
    with av.open(str(path)) as source, av.open(f"{path}.x.mkv", "w") as target:
        copy = Copy(source, target)
        for _ in copy.decoded():
            pass
        return copy.lost()


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize(
    "name", ["x.mkv", "x.mp4", "x.mov", "x.ts", "x.flv", "x.webm", "x.asf", "x.avi"]
)
def test_a_video_that_begins_late_is_whole(tmp_path, name, start):
    codec = {"x.webm": "libvpx-vp9", "x.asf": "mpeg4", "x.avi": "mpeg4"}
    late(tmp_path / name, start, codec.get(name, "libx264"))
    assert lost_of(tmp_path / name) is None
    if name in ("x.mkv", "x.mov"):
        late(tmp_path / name, start, "libx264", sound=True)
        assert lost_of(tmp_path / name) is None


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize("name", ["x.mkv", "x.flv"])
def test_a_video_that_begins_late_and_is_cut_is_not(tmp_path, name, start):
    late(tmp_path / name, start, "libx264", sound=name == "x.mkv")
    with av.open(str(tmp_path / name)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.pos]
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: packets[-6].pos])
    assert "early" in (lost_of(tmp_path / name) or "")


def test_mkvmerge_counts_from_the_first_picture():
    stream = SimpleNamespace(
        start_time=4000, time_base=Fraction(1, 1000), duration=None,
        metadata={"DURATION": "00:00:02.000000000"},
    )  # fmt: skip
    source = SimpleNamespace(
        streams=SimpleNamespace(video=[stream]),
        format=SimpleNamespace(name="matroska,webm"), duration=2_000_000,
    )  # fmt: skip
    assert said_end(source, True, 4.0) == 2  # FFmpeg's writer: nothing may be missing
    stream.metadata["_STATISTICS_WRITING_APP"] = "mkvmerge v80"
    assert said_end(source, True, 4.0) == 6


def test_a_damaged_video_alone_is_in_the_table_and_not_done(tmp_path, capsys):
    film(tmp_path / "film.mkv")
    data = (tmp_path / "film.mkv").read_bytes()
    (tmp_path / "film.mkv").write_bytes(data[: len(data) * 6 // 10])
    for _ in range(2):
        faults = predict_files([str(tmp_path / "film.mkv")], MODEL, tmp_path / "out")
        said = capsys.readouterr()
        assert faults == 1 and said.err.count("film.mkv: damaged") == 1
        assert "skipped" not in said.err and "done before" not in said.out
        table = (tmp_path / "out/classes.csv").read_text().splitlines()
        assert len(table) == 2 and "film," in table[1]
        assert (tmp_path / "out/index.html").exists()


@pytest.mark.parametrize(
    "size, expected",
    [((16, 16), (300, 300)), ((16, 320), (300, 450)), ((320, 16), (320, 200))],
)
def test_the_legend_of_a_tiny_video_is_not_a_ribbon(tmp_path, size, expected):
    film(tmp_path / "film.mp4", sound=False, size=size)
    predict_files([str(tmp_path / "film.mp4")], MODEL, tmp_path / "out")
    with av.open(str(tmp_path / "out/film_overlay.mp4")) as found:
        frame = next(found.decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape[0] <= expected[0] and frame.shape[1] <= expected[1]
    panel = frame[:, size[1] :].astype(int)
    for colour in INFO.colours:
        assert (np.abs(panel - colour).sum(axis=-1) < 90).sum() > 20
