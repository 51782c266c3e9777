"""How fast are our networks beside those that people would take instead?

python -m benchmarks.peers [--groups small segnet segnet_basic] [--rounds 15]
python -m benchmarks.peers --train

Every contender (benchmarks/contenders.py) has a process of its own: its cold start and
its peak memory are measured there. Those of a group then run in turns, one at a time,
from an image in uint8 to scores as an array. Writes a folder of results, named after
this kind of machine, and docs/benchmarks.md. It needs benchmarks/requirements.txt;
a contender whose package is missing or that fails stands in the table with its error.
"""

import argparse
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import page
from benchmarks.contenders import CONTENDERS, GROUPS, SIZE, Contender, prepare
from benchmarks.machine import OthersWork, description, kind, peak_mib, versions
from segnet_tf.console import cli
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.errors import UserError
from segnet_tf.files import write_json

FORWARD = tuple(GROUPS)
TRAINING = ("training segnet_lite", "training segnet")
PACKAGES = (
    *("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "openvino", "torch"),
    *("torchvision", "segmentation-models-pytorch", "keras-hub"),
)
LONG_START = 20
"""A start of so many seconds compiles; reading files is no large part of it."""

PAUSE = 0.1
"""Seconds between two turns, in which the threads of the last engine fall asleep."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--groups", nargs="+", choices=FORWARD, default=FORWARD, help="[all]"
    )
    parser.add_argument(
        "--train", action="store_true", help="training steps in the forwards' place"
    )
    parser.add_argument("--rounds", type=int, default=15, help="timed passes [15]")
    parser.add_argument("--threads", type=int, default=2, help="of each engine [2]")
    parser.add_argument("--only", default="", help="contenders whose name has this")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/peers"),
        help="of our networks' files; they are written if they are missing "
        "[runs/peers]",
    )
    parser.add_argument(
        "--results", type=Path, default=page.RESULTS, help=f"[{page.RESULTS}]"
    )
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    if not arguments.train:
        # In a process of its own, because TensorFlow would stay in this one.
        wanted = [GROUPS[group] for group in arguments.groups]
        preparing = spawn.Process(target=prepare, args=(arguments.folder, wanted))
        preparing.start()
        preparing.join()
        if preparing.exitcode:
            raise UserError(f"{arguments.folder}: our files could not be written")
    for group in TRAINING if arguments.train else arguments.groups:
        found = race(chosen(group, arguments.only), arguments)
        name = f"{group.replace(' ', '_')}.json"
        write_json(arguments.results / kind() / name, found)
    page.write(arguments.results)


def chosen(group: str, part: str) -> list[Contender]:
    return [c for n, c in CONTENDERS.items() if c.group == group and part in n]


def race(contenders: list[Contender], arguments) -> dict:
    """Starts all contenders, lets them run in turns, and ends them."""
    image, others = draw_scene(9, 0, *SIZE)[0], OthersWork()
    running = []
    try:
        for contender in contenders:
            running.append(Entrant(contender, image, arguments))
            if running[-1].facts["cold_s"] < LONG_START:
                # That start has filled the disk's cache; the next one counts.
                running[-1].end()
                running[-1] = Entrant(contender, image, arguments)
            print(f"{contender.name}: {running[-1].said}", flush=True)
        for _ in range(arguments.rounds):
            for entrant in running:
                entrant.turn()
                time.sleep(PAUSE)
    finally:
        for entrant in running:
            entrant.end()
    return {
        "machine": description(),
        "others_cores": others.cores(),
        "versions": versions(*PACKAGES),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "contenders": with_agreement(running),
    }


class Entrant:
    """A contender in its process."""

    def __init__(self, contender: Contender, image: np.ndarray, arguments):
        spawn = multiprocessing.get_context("spawn")
        self.contender, self.seconds, self.labels = contender, [], None
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=run_contender,
            args=(contender.name, image, arguments.folder, arguments.threads, theirs),
            daemon=True,
        )
        started = time.perf_counter()
        self._process.start()
        theirs.close()
        answer = self._received()
        self.facts = {"cold_s": round(time.perf_counter() - started, 2), **answer}
        self.labels = self.facts.pop("labels", None)

    def _received(self) -> dict:
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            return {"error": f"the process ended with {self._process.exitcode}"}

    @property
    def said(self) -> str:
        return self.facts.get("error") or f"ready after {self.facts['cold_s']} s"

    def turn(self) -> None:
        if "error" not in self.facts:
            self._pipe.send(True)
            answer = self._received()
            self.seconds += [answer["seconds"]] if "seconds" in answer else []
            self.facts |= {k: v for k, v in answer.items() if k == "error"}

    def end(self) -> None:
        with closing(self._pipe):
            if "error" not in self.facts:
                self._pipe.send(False)
                self.facts |= self._received()
            self._process.join()

    def result(self) -> dict:
        """What the results keep of it."""
        found = {
            "network": self.contender.network,
            "engine": self.contender.engine,
            "precision": self.contender.precision,
        }
        if "error" in self.facts:
            return {**found, "error": self.facts["error"]}
        times = [1000 * value for value in self.seconds]
        if times:
            found |= {"ms": round(median(times), 1), "least_ms": round(min(times), 1)}
        return {**found, **self.facts}


def run_contender(name: str, image: np.ndarray, folder: Path, threads: int, pipe):
    """A contender's process: loads it, then does a turn for every True."""
    # OpenMP reads it when a library is loaded.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A cold start compiles.
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    try:
        run, parameters = CONTENDERS[name].load(folder, threads)
        scores = run(image)
        labels = None if scores is None else scores.argmax(-1).astype(np.uint8)
        pipe.send({"parameters": parameters, "labels": labels})
        while pipe.recv():
            pipe.send({"seconds": seconds(run, image)})
        pipe.send({"peak_mib": peak_mib()})
    except Exception as error:  # of any package; the table shows it
        traceback.print_exc()
        reason = (str(error).strip() or "no message").splitlines()[0]
        pipe.send({"error": f"{type(error).__name__}: {reason[:120]}"})


def seconds(run: Callable, image: np.ndarray) -> float:
    """Of one pass, after another that brings weights and threads back."""
    run(image)
    started = time.perf_counter()
    run(image)
    return time.perf_counter() - started


def with_agreement(entrants: list[Entrant]) -> list[dict]:
    """The results; how many labels are those of the network's first engine."""
    first, found = {}, []
    for entrant in entrants:
        result = entrant.result()
        if entrant.labels is not None:
            labels = first.setdefault(result["network"], entrant.labels)
            same = float((labels == entrant.labels).mean())
            result["labels_equal"] = round(same, 6)
        found.append(result)
    return found


if __name__ == "__main__":
    cli.run(main, "benchmarks.peers")
