"""Trains the networks of a folder of jobs on one NVIDIA GPU, several at a time.

    python experiments/gpu/run.py FOLDER --out OUT --seconds 500

FOLDER holds what `pack.py` wrote. A step, crops included, is a CUDA graph, and several
of them run on streams of their own, because one small network does not fill a GPU. Jobs
of a lower rank come first: others wait while one of them is behind its time. It needs
PyTorch, NumPy and Pillow, and not this package.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from lane import Lane
from pictures import Pictures

STEPS_AHEAD = 16
"""So many steps of a lane are queued at once."""


def lanes_of(specs: list[dict], most: int, weights: dict, pictures: Pictures):
    """Jobs of one kind share up to `most` lanes, the longest first."""
    kinds: dict[str, list[list[dict]]] = {}
    for spec in sorted(specs, key=lambda spec: -spec["steps"]):
        own = kinds.setdefault(spec["kind"], [])
        if len(own) < most:
            own.append([])
        min(own, key=lambda lane: sum(each["steps"] for each in lane)).append(spec)
    every = [lane for own in kinds.values() for lane in own]
    every.sort(key=lambda lane: lane[0]["rank"])
    return [Lane(lane, weights, pictures) for lane in every]


class Turns:
    """Runs the lanes until all jobs are over, or the time is."""

    def __init__(self, lanes: list[Lane], out: Path, seconds: float):
        self.lanes, self.out, self.seconds = lanes, out, seconds
        self.began = self.said = time.time()
        self.results: dict[str, dict] = {}

    @property
    def elapsed(self) -> float:
        return time.time() - self.began

    def run(self) -> None:
        active = list(self.lanes)
        while active and self.elapsed < self.seconds:
            busy = True
            for lane in list(active):
                if not lane.waits() or not self.may_run(lane, active):
                    continue
                busy = False
                if lane.done < lane.spec["steps"]:
                    lane.advance(STEPS_AHEAD)
                    continue
                self.finish(lane)
                if lane.waiting:
                    lane.begin()
                else:
                    active.remove(lane)
            if busy:
                time.sleep(0.001)
            if time.time() - self.said > 15:
                self.say(active)
        for lane in active:
            self.finish(lane)

    def may_run(self, lane: Lane, active: list[Lane]) -> bool:
        """Whether no lane of a lower rank is behind its time, or unfinished at all."""
        for other in active:
            if other.spec["rank"] < lane.spec["rank"]:
                share = other.done / other.spec["steps"]
                until = other.spec["seconds"]
                if not until or share < self.elapsed / until:
                    return False
        return True

    def finish(self, lane: Lane) -> None:
        if lane.stream:
            lane.stream.synchronize()
        name = lane.spec["name"]
        self.results[name] = {
            "steps": lane.done,
            "of": lane.spec["steps"],
            "loss": lane.loss.item(),
            "confusion": lane.confusion() if lane.spec["score"] else None,
        }
        if lane.spec["keep"]:
            np.savez(self.out / f"{name}.npz", **lane.graph.weights())
        (self.out / "results.json").write_text(json.dumps(self.results))

    def say(self, active: list[Lane]) -> None:
        self.said = time.time()
        lines = []
        for lane in active:
            spec, loss = lane.spec, lane.loss.item()
            lines.append(f"{spec['name']} {lane.done}/{spec['steps']} {loss:.3f}")
        print(f"{self.elapsed:.0f} s, {len(self.results)} over;", "; ".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of pack.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--seconds", type=float, default=1e9, help="then it stops")
    parser.add_argument("--lanes", type=int, default=4, help="jobs of a kind at a time")
    arguments = parser.parse_args()
    began = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    specs = json.loads((arguments.folder / "jobs.json").read_text())
    with np.load(arguments.folder / "weights.npz") as file:
        weights = dict(file)
    samples = {
        tuple(sample)
        for spec in specs
        for part in (*spec["parts"], spec["score"])
        for sample in part
    }
    pictures = Pictures(arguments.folder, samples, device)
    print(f"{len(samples)} samples after {time.time() - began:.0f} s")
    lanes = lanes_of(specs, arguments.lanes, weights, pictures)
    for lane in lanes if device.type == "cuda" else ():
        lane.capture()
    print(f"{len(lanes)} lanes after {time.time() - began:.0f} s")
    turns = Turns(lanes, arguments.out, arguments.seconds - (time.time() - began))
    turns.run()
    print(f"over after {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
