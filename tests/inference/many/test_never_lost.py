"""What is never written over: files of others, inputs, results that were corrected."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from labelled import MODEL, animation, content, contents, results, run
from PIL import Image

from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.files import FolderLock
from segnet_tf.inference.many import labeller
from segnet_tf.inference.many.record import Record
from segnet_tf.inference.many.refusals import refuse_lost
from segnet_tf.inference.many.results import Results
from segnet_tf.inference.many.sources import Sources


def mine(*names: str) -> None:
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(b"mine")


FOREIGN = {
    "a mask beside the photo": (["s.png"], ".", "s_labels.png"),
    "a text of that name": (["s.png"], "out", "out/s_overlay.png"),
    "in a folder of the tree": (["in"], "out", "out/sub/t_labels.png"),
    "results among other photos": (["in/sub"], "in", "in/t_labels.png"),
    "a frame": (["walk.gif"], ".", "walk_frames/0001_labels.png"),
    "a link that leads nowhere": (["s.png"], "out", "out/s_labels.png"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("case", FOREIGN)
def test_files_of_others_are_not_written_over(photo, case, overwrite):
    words, output, name = FOREIGN[case]
    photo("s.png")
    photo("in/a.png")
    photo("in/sub/t.png")
    animation("walk.gif")
    if "link" in case:
        os.makedirs("out")
        os.symlink("nowhere", name)
    else:
        mine(name)
    before = contents()
    with pytest.raises(
        UserError, match="move .* away, or choose another --output"
    ) as e:
        run(*words, output=output, overwrite=overwrite)
    assert name in str(e.value).replace("./", "")
    assert contents() == before


def test_many_files_of_others_have_one_line(photo):
    for index in range(6):
        photo(f"in/{index}.png")
        mine(f"out/{index}_labels.png", f"out/{index}_overlay.png")
    with pytest.raises(UserError) as caught:
        run("in")
    line = str(caught.value)
    assert line.startswith(
        "out/0_labels.png, out/0_overlay.png, out/1_labels.png and 9"
    )
    assert "\n" not in line


def test_a_video_of_others(photo, monkeypatch):
    monkeypatch.setattr(labeller, "find_model", lambda *_: MODEL)
    photo("s.png")
    mine("a.mp4", "out/a_overlay.mp4")
    with pytest.raises(UserError, match="out/a_overlay.mp4"):
        run("s.png", "a.mp4")
    assert content("out/a_overlay.mp4") == b"mine"


def test_a_corrected_result_stays(photo, capsys):
    photo("s.png")
    photo("t.png", 1)
    run("s.png", "t.png")
    with Image.open("out/s_labels.png") as image:
        labels = image.copy()
    labels.paste(3, (0, 0, 9, 9))
    labels.save("out/s_labels.png")
    corrected = content("out/s_labels.png")
    # Nothing is left to do, or only for another picture.
    run("s.png", "t.png")
    assert "2 done before" in capsys.readouterr().out
    photo("t.png", 2)
    run("s.png", "t.png")
    assert "1 labelled, 1 done before" in capsys.readouterr().out
    for settings in ({"opacity": 0.3}, {"overwrite": True}):
        with pytest.raises(UserError, match="out/s_labels.png: .*changed"):
            run("s.png", "t.png", **settings)
    run("s.png", outputs=("overlay",), opacity=0.3)
    assert content("out/s_labels.png") == corrected
    os.remove("out/s_labels.png")
    run("s.png", "t.png", opacity=0.3)


def test_what_a_killed_process_wrote_is_ours(photo, tmp_path):
    photo("s.png")
    animation("walk.gif")
    code = (
        "import os; from labelled import run\n"
        "from segnet_tf.inference.many.record import Record\n"
        "Record.add = lambda *_: os._exit(9)\n"
        "run('s.png', 'walk.gif')\n"
    )
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 9 and os.path.exists("out/s_labels.png")
    run("s.png", "walk.gif")
    assert results() == ["s", "walk_frames/0000", "walk_frames/0001"]


def test_what_could_not_be_written_is_not_ours(photo):
    photo("s.png")
    photo("t.png", 1)
    os.truncate("s.png", 2000)
    assert run("s.png", "t.png") == 1
    mine("out/s_labels.png")
    photo("s.png")
    with pytest.raises(UserError, match="^out/s_labels.png: not from this command"):
        run("s.png", "t.png")
    assert [source.path for source in Sources(["out"], "other")] == ["out/s_labels.png"]
    os.remove("out/s_labels.png")
    run("s.png", "t.png")
    # A new picture that is damaged does not make the old result somebody else's.
    photo("s.png", 2)
    os.truncate("s.png", 2000)
    assert run("s.png", "t.png") == 1
    photo("s.png", 3)
    assert run("s.png", "t.png") == 0


def test_inputs_are_not_reached_by_links(photo):
    """A link in the output folder leads back, or an input is a link to a result."""
    photo("tr/k/a.png")
    photo("tr/k/a_labels.png", 1)
    os.makedirs("ou")
    os.symlink("../tr/k", "ou/k")
    photo("test.png")
    run("test.png", output="lo")
    photo("li/test.png", 2)
    os.symlink("../lo/test_labels.png", "li/zz.png")
    before = contents()
    with pytest.raises(UserError, match="ou/k/a_labels.png is an input and would be"):
        run("tr", output="ou")
    os.remove("test.png")
    with pytest.raises(UserError, match="lo/test_labels.png is an input and would be"):
        run("li", output="lo")
    del before["test.png"]
    assert contents() == before


def test_many_targets_are_compared_in_little_time(photo):
    os.makedirs("in")
    for index in range(20_000):
        os.close(os.open(f"in/{index:06}.png", os.O_CREAT))
    photo("in/zz.png")
    run("in/zz.png")
    sources = Sources(["in"], "out")
    chosen = Results(Path("out"), INFO)
    started = time.process_time()
    refuse_lost(sources, chosen, Record(sources.inventory, {}), False, False)
    # 0.2 s on a machine that does nothing else.
    assert time.process_time() - started < 1


def test_one_process_at_a_time(photo):
    photo("s.png")
    run("s.png")
    lock = FolderLock(Path("out"))
    lock.acquire()
    before = contents()
    with pytest.raises(UserError, match="out: another process is at work in it"):
        run("s.png", overwrite=True)
    assert contents() == before
    lock.release()
    run("s.png", overwrite=True)


def test_another_process_was_at_work_meanwhile(photo, monkeypatch):
    """It ends between the look at the record and the lock."""
    photo("s.png")
    photo("t.png", 1)
    predictor = labeller.Predictor

    def slow(*words):
        monkeypatch.setattr(labeller, "Predictor", predictor)
        run("t.png", opacity=0.9)
        return predictor(*words)

    monkeypatch.setattr(labeller, "Predictor", slow)
    with pytest.raises(UserError, match="out: another process was at work in it"):
        run("s.png", "t.png")
    run("s.png", "t.png")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write")
def test_a_folder_that_takes_no_files_as_another_user(photo, capsys):
    photo("in/a/x.png")
    photo("in/b/x.png")
    os.makedirs("out/a")
    os.chmod("out/a", 0o500)
    assert run("in") == 1
    assert results() == ["b/x"]


@pytest.mark.parametrize("error", [PermissionError(1, "no"), PermissionError(13, "no")])
def test_a_folder_that_takes_no_files(photo, capsys, monkeypatch, error):
    from segnet_tf import files

    for name in "abc":
        photo(f"in/{name}/x.png")
    make = files.tempfile.TemporaryDirectory

    def refusing(*words, **options):
        if options["dir"].name == "a":
            raise error
        return make(*words, **options)

    monkeypatch.setattr(files.tempfile, "TemporaryDirectory", refusing)
    assert run("in") == 1
    assert "out/a/x_labels.png: cannot be written (no)" in capsys.readouterr().err
    assert results() == ["b/x", "c/x"]


def test_an_output_folder_that_takes_no_files(photo, monkeypatch):
    from segnet_tf import files

    photo("in/x.png")
    photo("in/y.png")
    os.makedirs("out")

    def refusing(*words, **options):
        raise PermissionError(1, "no")

    monkeypatch.setattr(files.tempfile, "TemporaryDirectory", refusing)
    with pytest.raises(UserError, match=r"out/classes.csv: cannot be written \(no\)"):
        run("in")


def test_the_spread_of_samples_is_looked_at_too(photo, monkeypatch):
    photo("x.png")
    mine("out/x_uncertainty.npy")
    monkeypatch.setattr(labeller, "find_model", lambda *_: MODEL)
    with pytest.raises(UserError, match="out/x_uncertainty.npy"):
        run("x.png", samples=2, uncertainty=True)


def test_bytes_of_a_result_are_those_of_the_picture(photo):
    photo("x.png")
    run("x.png")
    assert np.asarray(Image.open("out/x_labels.png")).shape == (60, 80)
