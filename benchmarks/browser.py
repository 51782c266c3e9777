"""How fast does the page of web/ label a frame, in a headless Chromium here?

npm --prefix web install
python -m benchmarks.browser [--model F.tflite] [--repeats 15]

Measures the network alone, on the CPU (LiteRT.js' wasm with threads), and LiteRT in
Python on the same picture: medians of runs in turns.
"""

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.chromium import PROGRAM, Chromium
from segnet_tf.console import cli
from segnet_tf.datasets.images import read_image
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.runtimes import open_runtime

WEB = Path(__file__).parent.parent / "web"
LISTENER = """
window.seen = [];
document.addEventListener("labelled", (event) => seen.push(event.detail.milliseconds));
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL / "model.tflite")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    if PROGRAM is None:
        raise UserError("no Chromium on this machine")
    if not (WEB / "node_modules").is_dir():
        raise UserError("LiteRT.js is not installed: npm --prefix web install")
    runtime = open_runtime(arguments.model)
    image = read_image(WEB / "street.jpg")
    times = {"browser": [], "python": []}
    with (
        tempfile.TemporaryDirectory() as profile,
        served(arguments.model) as address,
        Chromium(Path(profile)) as page,
    ):
        page.call("Page.addScriptToEvaluateOnNewDocument", source=LISTENER)
        page.call("Page.navigate", url=address)
        frame(page, 1)
        # The first two turns warm both up.
        for turn in range(-2, arguments.repeats):
            page.run("example.click()")
            inside = frame(page, turn + 4)
            started = time.perf_counter()
            runtime.run(image)
            outside = 1000 * (time.perf_counter() - started)
            if turn >= 0:
                times["browser"].append(inside)
                times["python"].append(outside)
    for name, values in times.items():
        print(f"{name:8} {np.median(values):6.1f} ms")


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of the page with this model."""
    command = ["npm", "start", "--silent", "--", model.resolve()]
    environment = {**os.environ, "PORT": "0"}
    with subprocess.Popen(
        command,
        cwd=WEB,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            yield server.stdout.readline().strip()
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def frame(page: Chromium, count: int, seconds: float = 60) -> float:
    """Milliseconds of the network, once that many frames have been seen."""
    for _ in range(int(50 * seconds)):
        if page.run("document.readyState === 'complete' && seen.length") >= count:
            return page.run("seen.at(-1)")
        time.sleep(0.02)
    raise UserError("the page labels nothing: open it with npm --prefix web start")


if __name__ == "__main__":
    cli.run(main, "benchmarks.browser")
