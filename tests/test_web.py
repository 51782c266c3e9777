"""The page of web/, as people use it: npm start, a real Chromium, LiteRT.js' wasm."""

import base64
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.chromium import PROGRAM, Chromium
from segnet_tf.datasets.synthetic import draw_scene
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
"""

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
    for output in ("logits", "labels"):
        export_tflite(model, folder / f"{output}.tflite", INFO, SIZE, result=output)
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

    def wait(self, condition: str, seconds: float = 120) -> None:
        for _ in range(int(5 * seconds)):
            ready = "document.readyState === 'complete'"
            if self.run(f"Boolean({ready} && ({condition}))"):
                return
            time.sleep(0.2)
        pytest.fail(f"{condition}: never; the page says: {self.message()}")

    def message(self) -> str:
        return self.run("document.getElementById('message').textContent")

    def choose(self, field: str, path: Path) -> None:
        """What opening a file with the button does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=f"#{field}")
        self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

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


def test_camera(page):
    camera = "document.getElementById('camera')"
    page.run(f"{camera}.click()")
    page.wait("seen.length > 3")
    assert page.run(f"{camera}.ariaPressed") == "true"
    page.run(f"{camera}.click()")
    assert page.run(f"{camera}.ariaPressed") == "false"


def test_stays_on_this_machine(page, address):
    names = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    loaded = page.run(names)
    assert any(name.endswith(".wasm") for name in loaded)
    assert [name for name in loaded if not name.startswith(address)] == []


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
