"""How does the cost of a forward pass grow: with pixels, batch, classes, threads?

python -m benchmarks.scaling [--memory 8] [--longest 20]

Each curve starts at one image of 256x256, 11 classes and two threads, and changes one
of them (benchmarks/curves.py). Along a curve the points are measured one after the
other, in a process of their own, from the smallest on, so that the process' peak memory
is that of the point. A curve ends where the next point would pass --memory or
--longest. Points that are in the results are not measured again; delete the file to
begin anew. Writes benchmarks/results/scaling.json, docs/benchmarks.md and its picture.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import page
from benchmarks.curves import AXES, BASE
from benchmarks.machine import OthersWork, description, peak_mib, versions
from segnet_tf.console import cli
from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.errors import UserError
from segnet_tf.files import write_json

VALUES = {
    "side": (128, 176, 256, 368, 512, 720, 1024, 1456, 2048, 2896),
    "batch": (1, 2, 4, 8, 16),
    "classes": (2, 11, 50, 200),
    "threads": (1, 2),
}
"""Sides are multiples of 16, so that no level is odd; they double the pixels."""

KERAS = "Keras, tf.function"
LITERT = {"LiteRT": "float32", "LiteRT, int8": "int8"}
"""Engine -> precision of its file."""

CONTENDERS = (
    ("segnet", KERAS),
    ("segnet_basic", KERAS),
    ("segnet_lite", KERAS),
    *(("segnet_lite", engine) for engine in LITERT),
)
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy")
SECONDS, FEWEST, MOST = 2, 2, 50
"""Passes of a point are timed for so long, but so many at least and at most."""

Run = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--memory", type=float, default=8, help="GiB that a process may take [8]"
    )
    parser.add_argument(
        "--longest", type=float, default=20, help="seconds that a pass may take [20]"
    )
    parser.add_argument("--only", default="", help="contenders whose name has this")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/scaling"),
        help="of LiteRT's files; they are written if they are missing [runs/scaling]",
    )
    parser.add_argument(
        "--results", type=Path, default=page.SCALING, help=f"[{page.SCALING}]"
    )
    arguments = parser.parse_args()
    chosen = [c for c in CONTENDERS if arguments.only in ", ".join(c)]
    if any(engine in LITERT for _, engine in chosen):
        prepared(arguments.folder)
    results = Results(arguments.results)
    for contender in chosen:
        for changed, _ in AXES.values():
            follow(contender, changed, results, arguments)
    page.write(arguments.results.parent / page.RESULTS.name)


class Results:
    """The file of results, which holds every point as soon as it is measured.

    Raises:
        UserError: if the file is from another machine or other versions.
    """

    def __init__(self, path: Path):
        self.path = path
        made = {"machine": description(), "versions": versions(*PACKAGES)}
        self._found = {**made, "others_cores": None, "points": []}
        if path.exists():
            self._found = json.loads(path.read_text())
            if any(self._found.get(key) != value for key, value in made.items()):
                raise UserError(
                    f"{path}: was measured on another machine or with other versions: "
                    "name another file with --results, or delete it"
                )

    def get(self, key: dict) -> dict | None:
        """The point of these names and settings, or None if it was not measured."""
        points = self._found["points"]
        return next((p for p in points if key.items() <= p.items()), None)

    def add(self, point: dict) -> None:
        points = self._found["points"]
        points.append(point)
        measured = [p for p in points if p.get("others_cores") is not None]
        seconds = sum(p["seconds"] for p in measured)
        if seconds:
            work = sum(p["others_cores"] * p["seconds"] for p in measured)
            self._found["others_cores"] = round(work / seconds, 2)
        write_json(self.path, self._found)


def follow(contender: tuple[str, str], changed: str, results: Results, arguments):
    """Measures the points of a curve that are not there yet, until its end."""
    before, process = None, None
    try:
        for value in VALUES[changed]:
            setting = {**BASE, changed: value}
            key = {"network": contender[0], "engine": contender[1], **setting}
            if changed == "batch" and value > 1 and contender[1] in LITERT:
                return  # the files take one image at a time
            point = results.get(key)
            if point is None:
                end = beyond(before, setting, arguments)
                # The number of threads is set when a process starts.
                if process is None or changed == "threads":
                    process = process and process.end()
                    process = None if end else Process(key, arguments.folder)
                point = {**key, **({"end": end} if end else process.measured(setting))}
                results.add(point)
                said = point.get("end") or f"{point['ms']:,.1f} ms"
                where = ", ".join(f"{k} {v}" for k, v in setting.items())
                print(f"{', '.join(contender)}, {where}: {said}", flush=True)
            if "end" in point:
                return
            before = point
    finally:
        if process:
            process.end()


def beyond(before: dict | None, setting: dict, arguments) -> str | None:
    """Why a point is not measured, by the one before it; None: it is."""
    if before is None or before["threads"] != setting["threads"]:
        return None
    times = setting["batch"] * setting["side"] ** 2
    times /= before["batch"] * before["side"] ** 2
    if times * (before["peak_mib"] or 0) > 1024 * arguments.memory:
        return f"the next point would take more than {arguments.memory:g} GiB"
    if times * before["ms"] > 1000 * arguments.longest:
        return f"the next point would take more than {arguments.longest:g} s"
    return None


class Process:
    """A process that measures points of one network on one engine."""

    def __init__(self, key: dict, folder: Path):
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=measure, args=(key, folder, theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def measured(self, setting: dict) -> dict:
        self._pipe.send(setting)
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            return {"end": f"the process ended with {self._process.exitcode}"}

    def end(self) -> None:
        with closing(self._pipe):
            if self._process.is_alive():
                self._pipe.send(None)
            self._process.join()


def measure(key: dict, folder: Path, pipe) -> None:
    """A process: measures a point for every setting that it is sent."""
    os.environ["OMP_NUM_THREADS"] = str(key["threads"])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    random, classes, run = np.random.default_rng(0), None, None
    while (setting := pipe.recv()) is not None:
        if setting["classes"] != classes:
            classes = setting["classes"]
            run = loaded({**key, "classes": classes}, folder)
        shape = (setting["batch"], setting["side"], setting["side"], 3)
        pipe.send(timed(run, random.integers(0, 256, shape, np.uint8)))


def timed(run: Run, images: np.ndarray) -> dict:
    """Times of passes after a first one, cores that they kept busy, peak memory."""
    run(images)
    others, times, busy = OthersWork(), [], time.process_time()
    while len(times) < FEWEST or (sum(times) < SECONDS and len(times) < MOST):
        started = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - started)
    busy = time.process_time() - busy
    return {
        "ms": round(1000 * median(times), 3),
        "least_ms": round(1000 * min(times), 3),
        "passes": len(times),
        "seconds": round(sum(times), 3),
        "cores": round(busy / sum(times), 2),
        "peak_mib": peak_mib(),
        "others_cores": others.cores(),
    }


def loaded(key: dict, folder: Path) -> Run:
    """A function from images, uint8 (B, H, W, 3), to scores (B, H, W, classes)."""
    if key["engine"] in LITERT:
        from segnet_tf.inference.runtimes import open_runtime

        path = file_of(folder, key["classes"], LITERT[key["engine"]])
        runtime = open_runtime(path, key["threads"])
        return lambda images: runtime.run(images[0])[None]

    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(key["threads"])
    from segnet_tf.models.networks import build

    model = build(key["network"], key["classes"])
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    call = tf.function(
        lambda x: model(tf.cast(x, tf.float32), training=False), input_signature=[spec]
    )
    return lambda images: call(tf.constant(images)).numpy()


# LiteRT's files


def file_of(folder: Path, classes: int, precision: str) -> Path:
    return folder / f"segnet_lite_{classes}_{precision}.tflite"


def prepared(folder: Path) -> None:
    """Writes SegNetLite's files, in a process of its own that ends with TensorFlow."""
    spawn = multiprocessing.get_context("spawn")
    preparing = spawn.Process(target=prepare, args=(folder,))
    preparing.start()
    preparing.join()
    if preparing.exitcode:
        raise UserError(f"{folder}: the LiteRT files could not be written")


def prepare(folder: Path) -> None:
    """Writes the files that are not there; the weights do not change the time."""
    wanted = [(n, p) for n in VALUES["classes"] for p in LITERT.values()]
    wanted = [each for each in wanted if not file_of(folder, *each).exists()]
    if not wanted:
        return
    import_tensorflow()
    from keras.utils import set_random_seed

    from segnet_tf.datasets.dataset import DatasetInfo
    from segnet_tf.datasets.synthetic import draw_scene
    from segnet_tf.export.quantization import CALIBRATION_IMAGES
    from segnet_tf.export.tflite import export_tflite
    from segnet_tf.models.networks import build

    size = (BASE["side"],) * 2
    scenes = [draw_scene(7, n, *size)[0] for n in range(CALIBRATION_IMAGES)]
    folder.mkdir(parents=True, exist_ok=True)
    for classes, precision in wanted:
        set_random_seed(0)
        model = build("segnet_lite", classes)
        names = tuple(f"class {n}" for n in range(classes))
        info = DatasetInfo("scaling", names, ((0, 0, 0),) * classes)
        path = file_of(folder, classes, precision)
        quantize, images = ("int8", scenes) if precision == "int8" else ("none", ())
        export_tflite(model, path, info, size, quantize, calibration=images)
        print(f"written: {path}", flush=True)


if __name__ == "__main__":
    cli.run(main, "benchmarks.scaling")
