"""The page of web/, as people use it: npm start, a real Chromium, LiteRT.js' wasm."""

import base64
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.chromium import PROGRAM, Chromium
from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.evaluation.visualize import colour_labels
from segnet_tf.inference.tflite_metadata import interpreter, read_metadata

WEB = Path(__file__).parent.parent / "web"
INSTALLED = (WEB / "node_modules").is_dir()
SIZE = (96, 128)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not INSTALLED, reason="LiteRT.js: npm install in web/"),
]

LISTENER = """
window.seen = [];
document.addEventListener("labelled", (event) => seen.push(event.detail));
window.urls = new Set();
window.bitmaps = [];
for (const [holder, name, note] of [
    [URL, "createObjectURL", (url) => urls.add(url)],
    [URL, "revokeObjectURL", (_, url) => urls.delete(url)],
    [window, "createImageBitmap", (made) => made.then((image) => bitmaps.push(image))],
]) {
    const original = holder[name];
    holder[name] = (...given) => {
        const made = original.apply(holder, given);
        note(made, ...given);
        return made;
    };
}
"""

FILM = """(async (pictures) => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    const images = await Promise.all(pictures.map(async (picture) =>
        createImageBitmap(await (await fetch(picture)).blob())));
    canvas.width = images[0].width;
    canvas.height = images[0].height;
    const recorder = new MediaRecorder(canvas.captureStream(), {
        mimeType: "video/webm;codecs=vp8", videoBitsPerSecond: 5e6,
    });
    const parts = [];
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.start();
    for (let frame = 0; frame < 30; frame++) {
        context.drawImage(images[Math.floor(images.length * frame / 30)], 0, 0);
        await new Promise((done) => setTimeout(done, 100));
    }
    const ended = new Promise((done) => recorder.addEventListener("stop", done));
    recorder.stop();
    await ended;
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
})"""

SHOWN = """(() => {
    const { width, height } = picture;
    const { data } = picture.getContext("2d").getImageData(0, 0, width, height);
    const bytes = data.filter((_, at) => at % 4 < 3);
    return [btoa(String.fromCharCode(...bytes)), height, width];
})()"""

DROP = """(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["nothing"], "notes.txt"));
    dispatchEvent(new DragEvent("drop", { dataTransfer }));
})()"""

ENCODED = """(() => {
    const { labels, width, height } = seen.at(-1);
    return [btoa(String.fromCharCode(...labels)), height, width];
})()"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A briefly trained network as <output>.tflite: random ones prove little."""
    import keras

    from segnet_tf.datasets.dataset import IGNORE_LABEL
    from segnet_tf.datasets.synthetic import INFO
    from segnet_tf.export.tflite import export_tflite
    from segnet_tf.models.networks import build

    keras.utils.set_random_seed(0)
    scenes = [draw_scene(0, index, *SIZE) for index in range(32)]
    images, labels = (np.stack(arrays) for arrays in zip(*scenes, strict=True))
    model = build("segnet_lite", INFO.num_classes)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=IGNORE_LABEL
    )
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(images.astype(np.float32), labels, batch_size=8, epochs=6, verbose=0)
    folder = tmp_path_factory.mktemp("models")
    info = replace(INFO, image_size=SIZE)
    for output in ("logits", "labels"):
        export_tflite(model, folder / f"{output}.tflite", info, SIZE, result=output)
    return folder


@pytest.fixture(scope="module")
def address(models):
    """What `npm start` prints, serving the file that says logits."""
    command = ["npm", "start", "--silent", "--", models / "logits.tflite"]
    options = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    environment = {**os.environ, "PORT": "0"}
    with subprocess.Popen(command, cwd=WEB, env=environment, **options) as server:
        yield server.stdout.readline().strip()
        os.killpg(server.pid, signal.SIGTERM)


class Page(Chromium):
    """A Chromium that has the page open."""

    def open(self, address: str) -> None:
        self.call("Page.addScriptToEvaluateOnNewDocument", source=LISTENER)
        self.call("Page.navigate", url=address)

    def wait(self, condition: str, seconds: float = 60) -> None:
        for _ in range(int(5 * seconds)):
            ready = "document.readyState === 'complete'"
            if self.run(f"Boolean({ready} && ({condition}))"):
                return
            time.sleep(0.2)
        pytest.fail(f"{condition}: never; the page says: {self.message()}")

    def message(self) -> str:
        return self.run("document.getElementById('message').textContent")

    def choose(self, field: str, *paths: Path) -> None:
        """What opening files with the button does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=f"#{field}")
        files = [str(path) for path in paths]
        self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=files)

    def press(self, key: str, code: int) -> None:
        """What pressing a key does."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key in ("Enter", " "):
            event["text"] = "\r" if key == "Enter" else " "
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def saved(self, button: str, path: Path) -> Image.Image:
        """The picture that a button saves as `path`."""
        options = {"behavior": "allow", "downloadPath": str(path.parent)}
        self.call("Browser.setDownloadBehavior", **options)
        self.run(f"document.getElementById('{button}').click()")
        for _ in range(100):
            if path.exists():
                return Image.open(path)
            time.sleep(0.1)
        pytest.fail(f"no {path.name}, but {os.listdir(path.parent)}; {self.message()}")

    def labels(self, action) -> np.ndarray:
        """The labels that the page shows after an action."""
        before = self.run("seen.length")
        action()
        self.wait(f"seen.length > {before}")
        encoded, height, width = self.run(ENCODED)
        return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width)

    def complaint(self, action, words: str) -> None:
        """Fails unless the page says `words`, marked as a problem, after an action."""
        action()
        self.wait(f"message.className === 'problem' && {says(words)}")


def says(words: str) -> str:
    return f"message.textContent.includes({words!r})"


@pytest.fixture
def page(address, tmp_path):
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with Page(tmp_path / "profile", *fake) as page:
        page.open(address)
        page.wait("seen.length === 1")
        yield page


def python_labels(path: Path, image: np.ndarray) -> np.ndarray:
    loaded = interpreter(path)
    loaded.allocate_tensors()
    loaded.set_tensor(loaded.get_input_details()[0]["index"], image[None])
    loaded.invoke()
    output = loaded.get_tensor(loaded.get_output_details()[0]["index"])[0]
    return output if output.ndim == 2 else output.argmax(axis=-1)


def test_labels_are_those_of_python(page, models, tmp_path):
    image, _ = draw_scene(3, 1, *SIZE)
    Image.fromarray(image).save(tmp_path / "scene.png")
    files = {output: models / f"{output}.tflite" for output in ("logits", "labels")}
    shown = {
        "logits": page.labels(
            lambda: page.choose("image-file", tmp_path / "scene.png")
        ),
        "labels": page.labels(lambda: page.choose("model-file", files["labels"])),
    }
    for output, labels in shown.items():
        expected = python_labels(files[output], image)
        assert len(np.unique(expected)) >= 3
        assert np.mean(labels == expected) >= 0.999, output
    assert page.run("self.crossOriginIsolated"), "no threads without it"


def test_what_is_seen(page, models, tmp_path):
    labels = page.labels(lambda: page.run("example.click()"))
    info = read_metadata(models / "logits.tflite").info
    pixel = "[...overlay.getContext('2d').getImageData(5, 3, 1, 1).data]"
    assert page.run(pixel) == [*info.colours[labels[3, 5]], 255]
    counts = np.bincount(labels.reshape(-1), minlength=info.num_classes)
    largest = counts.argmax()
    lines = page.run("[...legend.children].map((line) => line.innerText)")
    share = f"{100 * counts[largest] / labels.size:.1f} %"
    assert lines[0].split("\n") == [info.classes[largest], share]
    assert len(lines) == np.count_nonzero(counts)
    assert " ms a frame" in page.run("document.getElementById('time').textContent")
    page.screenshot(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000


def test_pictures_of_any_shape(page, tmp_path):
    Image.new("RGBA", (30, 400), (200, 10, 10, 0)).save(tmp_path / "tall.png")
    labels = page.labels(lambda: page.choose("image-file", tmp_path / "tall.png"))
    assert labels.shape == (SIZE[0], round(SIZE[0] * 30 / 400))
    white = "[...picture.getContext('2d').getImageData(5, 3, 1, 1).data]"
    assert page.run(white) == [255] * 4


def scene(path: Path, index: int, size: tuple[int, int] = SIZE) -> Path:
    """Writes a generated street."""
    Image.fromarray(draw_scene(3, index, *size)[0]).save(path)
    return path


@pytest.mark.parametrize(
    ("size", "least"),
    # A picture of the network's size, one that is mirrored at its border, one that is
    # scaled down, one that is scaled up; one of a shape that predict.py gives a larger
    # input, which the page cannot.
    [
        (SIZE, 1),
        ((90, 127), 1),
        ((150, 201), 0.999),
        ((75, 100), 0.999),
        ((96, 61), 0.8),
    ],
)
def test_saved_labels_are_those_of_predict(page, models, tmp_path, size, least):
    path = scene(tmp_path / "a street.png", 1, size)
    for output in ("logits", "labels"):
        model, folder = models / f"{output}.tflite", tmp_path / output
        folder.mkdir()
        page.labels(lambda m=model: page.choose("model-file", m))
        page.labels(lambda: page.choose("image-file", path))
        with page.saved("save-labels", folder / "a street_labels.png") as ours:
            predict_files([str(path)], str(model), tmp_path)
            with Image.open(tmp_path / "a street_labels.png") as theirs:
                assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
                assert ours.getpalette() == theirs.getpalette()
                assert len(np.unique(theirs)) >= 3
                assert np.mean(np.asarray(ours) == np.asarray(theirs)) >= least, output


def test_saved_overlay(page, models, tmp_path):
    path = scene(tmp_path / "street.png", 1)
    labels = page.labels(lambda: page.choose("image-file", path))
    page.run("opacity.value = 40; opacity.dispatchEvent(new Event('input'))")
    folder = tmp_path / "saved"
    folder.mkdir()
    with page.saved("save-overlay", folder / "street_overlay.png") as overlay:
        info = read_metadata(models / "logits.tflite").info
        tint = colour_labels(labels, info).astype(float)
        with Image.open(path) as picture:
            expected = 0.6 * np.asarray(picture) + 0.4 * tint
        found = np.asarray(overlay.convert("RGB"))
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 2


def test_several_pictures(page, models, tmp_path):
    names = ["one.png", "two.png", "three.png"]
    scenes = [scene(tmp_path / name, index) for index, name in enumerate(names)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(scenes[0].read_bytes()[:60])
    page.choose("image-file", scenes[0], broken, *scenes[1:])
    page.wait("seen.length === 4")
    assert page.run("seen.slice(1).map(({ name }) => name)") == ["one", "two", "three"]
    assert (
        page.message()
        == "broken.png: not an image or a video that this browser can read"
    )
    listed = ["street.jpg", "one.png", "broken.png", "two.png", "three.png"]
    assert page.run("[...pictures.options].map(({ text }) => text)") == listed
    assert page.run("place.textContent") == "5 of 5"
    # Keys: back to the broken one, which leaves nothing to look at or to save.
    page.labels(lambda: page.press("ArrowLeft", 37))
    assert page.run("seen.at(-1).name") == "two" and page.message() == ""
    page.complaint(lambda: page.press("ArrowLeft", 37), "broken.png: not an image")
    assert page.run("save.disabled && !('filled' in picture.dataset)")
    assert page.run("legend.children.length") == 0
    labels = page.labels(lambda: page.press("ArrowLeft", 37))
    with Image.open(scenes[0]) as image:
        expected = python_labels(models / "logits.tflite", np.asarray(image))
    assert np.mean(labels == expected) >= 0.999
    # The list.
    choose = "pictures.selectedIndex = 4; pictures.dispatchEvent(new Event('change'))"
    page.labels(lambda: page.run(choose))
    assert page.run("seen.at(-1).name") == "three"
    page.press("ArrowRight", 39)  # there is none
    assert page.run("pictures.selectedIndex") == 4


def test_a_choice_ends_the_show(page, tmp_path):
    path = scene(tmp_path / "scene.png", 1)
    page.choose("image-file", *[path] * 30)
    page.wait("seen.length > 2")
    page.run("pictures.selectedIndex = 0; pictures.dispatchEvent(new Event('change'))")
    page.wait("seen.at(-1).name === 'street'")
    before = page.run("seen.length")
    time.sleep(1)
    assert page.run("seen.length") == before < 31
    assert page.run("place.textContent") == "1 of 31"


def test_memory_does_not_grow_with_the_pictures(page, tmp_path):
    """No bitmap, address or tensor is left: the memory of the wasm stays as it is."""
    paths = [scene(tmp_path / f"{index}.png", index) for index in range(5)]
    size = "(await import('@litertjs/core')).getGlobalLiteRt().liteRtWasm.HEAPU8.length"
    heap = f"(async () => {size})()"
    page.choose("image-file", *paths)
    page.wait("seen.length === 6")
    before = page.run(heap)
    page.choose("image-file", *paths * 20)
    page.wait("seen.length === 106")
    assert page.run(heap) == before
    for _ in range(2):
        page.run("document.getElementById('save-overlay').click()")
    page.wait("urls.size === 1")
    assert page.run("bitmaps.length") == 106
    assert page.run("bitmaps.filter(({ width }) => width).length") == 0


@pytest.fixture(scope="module")
def film(address, tmp_path_factory) -> Path:
    """Three generated streets, a second each."""
    folder = tmp_path_factory.mktemp("film")
    paths = [scene(folder / f"{index}.png", index) for index in (1, 2, 3)]
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    urls = [f"data:image/png;base64,{picture}" for picture in encoded]
    with Page(folder / "profile") as page:
        page.open(address)
        page.wait("seen.length === 1")
        content = page.run(f"{FILM}({json.dumps(urls)})")
    (folder / "film.webm").write_bytes(base64.b64decode(content))
    return folder / "film.webm"


def test_video(page, models, film, tmp_path):
    pause = "document.getElementById('pause')"
    page.choose("image-file", film)
    page.wait(f"seen.length > 4 && {pause}.textContent === 'Pause'")
    page.run(f"{pause}.click()")
    page.wait(f"{pause}.textContent === 'Play'")
    time.sleep(0.5)
    before = page.run("seen.length")
    time.sleep(0.5)
    assert page.run("seen.length") == before
    encoded, height, width = page.run(SHOWN)
    frame = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width, 3)
    expected = python_labels(models / "logits.tflite", frame)
    encoded, *size = page.run(ENCODED)
    labels = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(size)
    assert len(np.unique(expected)) >= 3
    assert np.mean(labels == expected) >= 0.999
    assert " ms a frame" in page.run("document.getElementById('time').textContent")
    title = page.run("seen.at(-1).name")
    assert re.fullmatch(r"film_\d\.\d\ds", title)
    page.saved("save-labels", tmp_path / f"{title}_labels.png").close()
    page.run(f"{pause}.click()")
    page.wait(f"{pause}.textContent === 'Play' && seen.length > {before}")  # its end
    frames = page.run("seen.slice(1).map(({ name }) => name)")
    assert frames == sorted(frames) and len(set(frames)) > 5
    page.labels(lambda: page.press("ArrowLeft", 37))
    assert page.run("seen.at(-1).name") == "street"
    assert page.run(f"urls.size === 1 && {pause}.hidden")  # the saved labels'


def test_damaged_videos_do_not_stop_the_others(page, film, tmp_path):
    whole = film.read_bytes()
    contents = {"empty": b"", "noise": b"nothing", "head": whole[:200]}
    contents["half"] = whole[: len(whole) // 2]
    noise = np.random.default_rng(0).bytes(len(whole) // 2)
    contents["wild"] = whole[: len(whole) // 2] + noise
    paths = [tmp_path / f"{name}.webm" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    page.choose("image-file", *paths, scene(tmp_path / "last.png", 1))
    page.wait("seen.at(-1).name === 'last'")
    print(page.message())
    for name in ("empty", "noise", "head"):
        assert f"{name}.webm: not a video that this browser can read" in page.message()
    assert page.run("urls.size") == 0


def test_video_that_fails_on_its_way(page, film, tmp_path):
    """No file made here fails late in Chromium, so the browser's report is made."""
    page.run("""(() => {
        const { play } = HTMLMediaElement.prototype;
        HTMLMediaElement.prototype.play = function () {
            window.video = this;
            return play.call(this);
        };
    })()""")
    page.choose("image-file", film, scene(tmp_path / "last.png", 1))
    page.wait("seen.length > 2")
    page.run("Object.defineProperty(video, 'error', { value: {} })")
    page.complaint(
        lambda: page.run("video.dispatchEvent(new Event('error'))"),
        "film.webm: damaged: it ends at ",
    )
    page.wait("seen.at(-1).name === 'last' && urls.size === 0")


def test_keyboard(page, tmp_path):
    """Tab reaches everything that is to be seen, and each has a visible focus."""
    page.labels(lambda: page.choose("image-file", *[scene(tmp_path / "a.png", 1)] * 2))
    page.wait("seen.length === 3")
    reached = set()
    for _ in range(20):
        page.press("Tab", 9)
        name, outline = page.run("""(() => {
            const shown = document.activeElement.closest(".button")
                ?? document.activeElement;
            const { outlineStyle, outlineWidth } = getComputedStyle(shown);
            return [document.activeElement.id, outlineStyle + outlineWidth];
        })()""")
        if name:
            reached.add(name)
            assert outline == "solid2px", name
    controls = "[...document.querySelectorAll('button, input, select')]"
    shown = f"{controls}.filter((one) => one.checkVisibility()).map(({{ id }}) => id)"
    assert reached == set(page.run(shown)) and len(reached) == 11
    page.run("example.focus()")
    page.labels(lambda: page.press("Enter", 13))


@pytest.mark.parametrize("size", [(390, 844), (320, 700), (1280, 800)])
def test_fits_the_screen(page, size, tmp_path):
    paths = [scene(tmp_path / f"{'long' * 20}{index}.png", index) for index in (1, 2)]
    page.choose("image-file", *paths)
    page.wait("seen.length === 3")
    width, height = size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1}
    page.call("Emulation.setDeviceMetricsOverride", **screen, mobile=width < 500)
    page.wait(f"innerWidth === {width}")
    assert page.run("document.documentElement.scrollWidth") <= width
    low = "[...document.querySelectorAll('button, select, .button')].filter((one) => "
    low += "one.checkVisibility() && one.getBoundingClientRect().height < 44).length"
    assert page.run(low) == 0, "fingers need 44 pixels"
    bottom = "document.getElementById('message').getBoundingClientRect().top"
    assert page.run(bottom) < height, "the picture and its controls are on one screen"


def test_camera(page):
    camera = "document.getElementById('camera')"
    page.run(f"{camera}.click()")
    page.wait("seen.length > 3")
    assert page.run(f"{camera}.ariaPressed") == "true"
    page.run(f"{camera}.click()")
    assert page.run(f"{camera}.ariaPressed") == "false"


def test_stays_on_this_machine(page, address, film, tmp_path):
    page.choose("image-file", film, scene(tmp_path / "last.png", 1))
    page.wait("seen.at(-1).name === 'last'")
    page.saved("save-labels", tmp_path / "last_labels.png").close()
    names = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    loaded = page.run(names)
    assert any(name.endswith(".wasm") for name in loaded)
    ours = (f"{address}/", f"blob:{address}/")
    assert [name for name in loaded if not name.startswith(ours)] == []


def test_bad_input(page, models, tmp_path):
    whole = (models / "logits.tflite").read_bytes()
    archive = whole.rindex(b"PK\x03\x04")
    noise = np.random.default_rng(0).bytes(archive - 8)
    wrong = {
        "text.png": ("image-file", b"nothing", "text.png: not an image"),
        "text.tflite": ("model-file", b"nothing", "text.tflite: not a .tflite file"),
        "cut.tflite": ("model-file", whole[:-100], "cut.tflite: names no classes"),
        "noise.tflite": (
            "model-file",
            whole[:8] + noise + whole[archive:],
            "noise.tflite: LiteRT.js cannot run it",
        ),
    }
    for name, (field, content, words) in wrong.items():
        path = tmp_path / name
        path.write_bytes(content)
        page.complaint(lambda f=field, p=path: page.choose(f, p), words)
    page.complaint(lambda: page.run(DROP), "notes.txt: not an image")
    choose = "processor.value = 'webgpu'; processor.dispatchEvent(new Event('change'))"
    page.complaint(lambda: page.run(choose), "no WebGPU")
    assert page.run("processor.value") == "wasm"
    page.labels(lambda: page.run("example.click()"))
    assert page.message() == "", "it goes on with the network that it had"


def test_refused_camera(address, tmp_path):
    refusing = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    with Page(tmp_path / "profile", *refusing) as page:
        page.open(address)
        page.wait("seen.length === 1")
        click = "document.getElementById('camera').click()"
        page.complaint(lambda: page.run(click), "The camera was refused")


def test_model_that_the_address_names(address, tmp_path):
    with Page(tmp_path / "profile") as page:
        page.open(f"{address}/?model=absent.tflite")
        words = "absent.tflite: the server answers 404"
        page.wait(f"message.className === 'problem' && {says(words)}")


def test_no_such_model():
    command = ["npm", "start", "--silent", "--", "absent.tflite"]
    result = subprocess.run(command, cwd=WEB, capture_output=True, text=True)
    assert result.returncode == 2
    assert "absent.tflite: no such model file" in result.stderr
