"""Trains the networks of a folder of jobs on one NVIDIA GPU, several at a time.

    python experiments/gpu/run.py FOLDER --out OUT

FOLDER holds what `pack.py` wrote. Each job is a CUDA graph of a whole step, crops
included, on a stream of its own, because one small network does not fill a GPU. It
needs PyTorch, NumPy and Pillow, and not this package.
"""

import argparse
import io
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from crops import augmented
from graph import Graph
from PIL import Image

STEPS_AHEAD = 64
"""So many steps are queued before the host looks at a loss."""


class Pictures:
    """All images and labels on the device, each in the upper left of a frame."""

    def __init__(self, packs: list[Path], device):
        names, contents = [], {"images": [], "labels": []}
        for pack in packs:
            with np.load(pack) as file:
                names += file["names"].tolist()
                for kind, own in contents.items():
                    own += divided(file[kind], file[f"{kind}_ends"])
        self.index = {name: place for place, name in enumerate(names)}
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(decoded, contents["images"]))
            labels = list(pool.map(decoded, contents["labels"]))
        sizes = np.array([array.shape for array in labels])
        height, width = sizes.max(0)
        self.sizes = torch.tensor(sizes, device=device)
        self.images = torch.zeros(
            (len(images), height, width, 3), dtype=torch.uint8, device=device
        )
        self.labels = torch.full(
            (len(images), height, width), 255, dtype=torch.uint8, device=device
        )
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            rows, columns = label.shape
            self.images[place, :rows, :columns] = torch.from_numpy(image)
            self.labels[place, :rows, :columns] = torch.from_numpy(label)

    def places(self, names) -> np.ndarray:
        return np.array([self.index[name] for name in names])

    def within(self, places) -> tuple:
        """Images and labels, cut to the largest of these pictures."""
        height, width = self.sizes[torch.as_tensor(places)].amax(0).tolist()
        return self.images[:, :height, :width], self.labels[:, :height, :width]


def divided(data: np.ndarray, ends: np.ndarray) -> list[bytes]:
    return [part.tobytes() for part in np.split(data, ends[:-1])]


def decoded(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)))


def order(parts: list[np.ndarray], shares: list[int], count: int, seed: int):
    """The pictures of `count` samples: parts take turns, each with its own epochs."""
    at = sorted(
        ((turn + 0.5) / share, part)
        for part, share in enumerate(shares)
        for turn in range(share)
    )
    turns = np.array([part for _, part in at])
    part = np.resize(turns, count)
    places, random = np.empty(count, np.int64), np.random.default_rng(seed)
    for own, pictures in enumerate(parts):
        where = np.flatnonzero(part == own)
        epochs = -(-len(where) // len(pictures))
        shuffled = [random.permutation(pictures) for _ in range(epochs)]
        places[where] = np.concatenate(shuffled)[: len(where)] if epochs else []
    return places


def pixel_loss(logits, labels, weights, closed):
    """`segnet_tf.training.pixel_loss.PixelLoss`, labels of several classes included.

    `weights` is (labels,), `closed` (labels, classes): 0 for a class that a label may
    be, else -inf.
    """
    valid = labels != 255
    labels = torch.where(valid, labels, 0)
    logits = logits.float().permute(0, 2, 3, 1)
    possible = logits + closed[labels]
    losses = logits.logsumexp(-1) - possible.logsumexp(-1)
    total = torch.where(valid, losses * weights[labels], 0.0).sum()
    return total / valid.sum().clamp(min=1)


class Job:
    """One training run."""

    def __init__(self, spec: dict, weights: dict, pictures: Pictures):
        self.spec, self.pictures = spec, pictures
        self.options, self.steps = spec["options"], spec["steps"]
        device = pictures.images.device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(self.options["seed"])
        start = f"{spec['name']}|"
        first = {
            path.removeprefix(start): value
            for path, value in weights.items()
            if path.startswith(start)
        }
        graph = Graph(spec["plan"], first).to(device).train()
        self.graph = graph.to(memory_format=torch.channels_last)
        self.optimizer = self._optimizer(device)
        parts = [pictures.places(part) for part in spec["parts"]]
        self.frames, self.truth = pictures.within(np.concatenate(parts))
        batch, seed = self.options["batch_size"], self.options["seed"]
        places = order(parts, spec["shares"], self.steps * batch, seed)
        self.order = torch.tensor(places.reshape(-1, batch), device=device)
        classes = len(spec["class_weights"])
        closed = torch.full((classes + len(spec["groups"]), classes), -math.inf)
        closed[:classes].fill_diagonal_(0)
        own = list(spec["class_weights"])
        for place, group in enumerate(spec["groups"]):
            closed[classes + place, group] = 0
            own.append(min(own[index] for index in group))
        self.closed = closed.to(device)
        self.class_weights = torch.tensor(own, device=device)
        self.at = torch.zeros((), dtype=torch.int64, device=device)
        self.loss = torch.zeros((), device=device)
        self.done = 0
        self.stream = torch.cuda.Stream()
        self.captured = None

    def _optimizer(self, device):
        options, groups = self.options, {}
        for name, parameter in self.graph.trained.items():
            layer, _, weight = name.rpartition("-")
            factor = (
                options["encoder_lr_multiplier"]
                if layer in self.spec["encoder"]
                else 1.0
            )
            free = weight in ("gamma", "beta", "bias")
            decay = 0.0 if free else options["weight_decay"]
            groups.setdefault((factor, decay), []).append(parameter)
        return torch.optim.AdamW(
            [
                {
                    "params": own,
                    "weight_decay": decay,
                    "lr": torch.zeros((), device=device),
                    "factor": factor,
                }
                for (factor, decay), own in groups.items()
            ],
            betas=(0.9, 0.999),
            eps=1e-7,
            fused=True,
            capturable=True,
        )

    def _draw(self, shape, normal=False):
        make = torch.randn if normal else torch.rand
        return make(shape, generator=self.generator, device=self.at.device)

    def _rate(self):
        warmup = min(self.options["warmup_steps"], self.steps // 10)
        at = self.at.float()
        growth = (at / warmup).clamp(max=1) if warmup else 1.0
        fallen = ((at - warmup) / (self.steps - warmup)).clamp(0, 1)
        return growth * 0.5 * (1 + torch.cos(math.pi * fallen))

    def step(self):
        with torch.no_grad():
            # An index of no dimensions would go through the host.
            at = self.at.clamp(max=len(self.order) - 1).reshape(1)
            chosen = self.order.index_select(0, at)[0]
            images, labels = augmented(
                self.frames[chosen],
                self.truth[chosen],
                self.pictures.sizes[chosen],
                self.options,
                self._draw,
            )
            rate = self.options["learning_rate"] * self._rate()
            for group in self.optimizer.param_groups:
                group["lr"].copy_(rate * group["factor"])
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16):
            logits = self.graph(images)
        loss = pixel_loss(logits, labels, self.class_weights, self.closed)
        loss.backward()
        self.optimizer.step()
        self.loss.mul_(0.99).add_(loss.detach(), alpha=0.01)
        self.at.add_(1)

    def capture(self):
        """Takes a few steps, then records one as a CUDA graph; weights are reset."""
        before = {k: v.clone() for k, v in self.graph.state_dict().items()}
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(4):
                self.optimizer.zero_grad(set_to_none=True)
                self.step()
        torch.cuda.synchronize()
        self.generator.manual_seed(self.options["seed"])
        self.captured = torch.cuda.CUDAGraph()
        self.captured.register_generator_state(self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.captured, stream=self.stream):
            self.step()
        torch.cuda.synchronize()
        self.graph.load_state_dict(before)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.at.zero_()
        self.loss.zero_()
        torch.cuda.synchronize()

    def state(self) -> dict:
        return {
            "graph": self.graph.state_dict(),
            "optimizer": [
                {key: value for key, value in self.optimizer.state[p].items()}
                for p in self.graph.trained.values()
            ],
            "at": self.at,
            "loss": self.loss,
            "done": self.done,
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict):
        self.graph.load_state_dict(state["graph"])
        for p, saved in zip(
            self.graph.trained.values(), state["optimizer"], strict=True
        ):
            for key, value in saved.items():
                self.optimizer.state[p][key].copy_(value)
        self.at.copy_(state["at"])
        self.loss.copy_(state["loss"])
        self.generator.set_state(state["generator"].cpu())
        self.done = state["done"]

    @torch.no_grad()
    def confusion(self) -> list:
        """Confusion matrix of the job's own pictures to score, at their own size."""
        classes = len(self.spec["class_weights"])
        counts = torch.zeros(classes * classes, device=self.at.device)
        # A class that never appears has weight 0, and keeps its logit.
        weights = self.class_weights[:classes]
        weights = torch.where(weights > 0, weights, 1.0)
        shift = self.options["logit_adjustment"] * weights.log()
        self.graph.eval()
        for place in self.pictures.places(self.spec["score"]):
            height, width = self.pictures.sizes[place].tolist()
            image = self.pictures.images[place, :height, :width].float()
            logits = self.graph(image.permute(2, 0, 1)[None])[0]
            found = (logits - shift[:, None, None]).argmax(0)
            truth = self.pictures.labels[place, :height, :width].long()
            valid = truth < classes
            pairs = truth[valid] * classes + found[valid]
            counts += torch.bincount(pairs, minlength=classes * classes)
        self.graph.train()
        return counts.reshape(classes, classes).long().tolist()


def take_turns(jobs: list[Job], until: float, states: Path) -> None:
    """Runs the jobs until all are over, or the time is, and keeps their states."""
    began = said = time.time()
    total = sum(job.steps - job.done for job in jobs)
    while time.time() < until and any(job.done < job.steps for job in jobs):
        longest = max(job.steps - job.done for job in jobs)
        for job in jobs:
            # Jobs of other lengths end together.
            left = job.steps - job.done
            count = min(left, round(STEPS_AHEAD * left / longest) or 1)
            with torch.cuda.stream(job.stream):
                for _ in range(count):
                    job.captured.replay()
            job.done += count
        torch.cuda.synchronize()
        if time.time() - said > 20:
            said = time.time()
            left = sum(job.steps - job.done for job in jobs)
            speed = (total - left) / (said - began)
            losses = ", ".join(
                f"{job.spec['name']} {job.done} {job.loss.item():.4f}" for job in jobs
            )
            print(f"{speed:.0f} steps/s, {left / speed:.0f} s left: {losses}")
            torch.save([job.state() for job in jobs], states)
    torch.save([job.state() for job in jobs], states)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of pack.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--seconds", type=float, default=1e9, help="then it stops")
    arguments = parser.parse_args()
    until = time.time() + arguments.seconds
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    specs = json.loads((arguments.folder / "jobs.json").read_text())
    weights = dict(np.load(arguments.folder / "weights.npz"))
    packs = sorted(arguments.folder.glob("pictures*.npz"))
    pictures = Pictures(packs, torch.device("cuda"))
    jobs = [Job(spec, weights, pictures) for spec in specs]
    for job in jobs:
        job.capture()
    states = arguments.out / "states.pt"
    if states.exists():
        for job, state in zip(jobs, torch.load(states), strict=True):
            job.restore(state)
    take_turns(jobs, until, states)
    found = {
        f"{job.spec['name']}|{path}": value
        for job in jobs
        for path, value in job.graph.weights().items()
    }
    np.savez(arguments.out / "weights.npz", **found)
    scores = {job.spec["name"]: job.confusion() for job in jobs}
    (arguments.out / "scores.json").write_text(json.dumps(scores))
    cut = any(job.done < job.steps for job in jobs)
    print("cut off: the same command goes on" if cut else "over")


if __name__ == "__main__":
    main()
