"""One network on a stream of the device, which learns one job after the other."""

import math
from contextlib import nullcontext

import numpy as np
import torch
from crops import augmented
from graph import Graph
from pictures import Pictures

__all__ = ["Lane"]


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


class Lane:
    """Jobs of one kind, one after the other, with one recorded step.

    Args:
        specs: of `pack.py`: the same network, crops and optimizer.
        weights: all first weights, by their keys.
        pictures: those of all jobs.
    """

    def __init__(self, specs: list[dict], weights: dict, pictures: Pictures):
        self.pictures, self.device = pictures, pictures.images.device
        self.waiting, self.weights = list(specs), weights
        first = specs[0]
        self.options = first["options"]
        self.generator = torch.Generator(self.device)
        graph = Graph(first["plan"], self._first(first)).to(self.device).train()
        self.graph = graph.to(memory_format=torch.channels_last)
        self.optimizer = self._optimizer(first["encoder"])
        places = [pictures.places(self._samples(spec)) for spec in specs]
        self.frames, self.truth = pictures.within(np.concatenate(places))
        batch = self.options["batch_size"]
        longest = max(spec["steps"] for spec in specs)
        self.order = self._zeros((longest, batch), torch.int64)
        self.steps, self.warmup = self._zeros(), self._zeros()
        labels = len(first["class_weights"]) + len(first["groups"])
        self.class_weights = self._zeros((labels,))
        self.closed = self._zeros((labels, len(first["class_weights"])))
        self.at = self._zeros((), torch.int64)
        self.loss = self._zeros()
        priority = 0 if first["rank"] else -1
        self.stream = torch.cuda.Stream(priority=priority) if self._is_gpu else None
        self.captured, self.spec, self.done, self.queued = None, None, 0, []
        self.begin()

    @property
    def _is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _zeros(self, shape=(), dtype=torch.float32):
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def _samples(self, spec: dict) -> list:
        return [sample for part in spec["parts"] for sample in part]

    def _first(self, spec: dict) -> dict:
        return {path: self.weights[key] for path, key in spec["weights"].items()}

    def on_stream(self):
        return torch.cuda.stream(self.stream) if self._is_gpu else nullcontext()

    def begin(self) -> None:
        """Takes the next job: its weights, samples and labels."""
        self.spec = spec = self.waiting.pop(0)
        self.options = spec["options"]
        self.graph.load(self._first(spec))
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.generator.manual_seed(self.options["seed"])
        parts = [self.pictures.places(part) for part in spec["parts"]]
        batch, seed = self.options["batch_size"], self.options["seed"]
        places = order(parts, spec["shares"], spec["steps"] * batch, seed)
        self.order[: spec["steps"]] = torch.tensor(places.reshape(-1, batch))
        classes = len(spec["class_weights"])
        closed = torch.full(self.closed.shape, -math.inf)
        closed[:classes].fill_diagonal_(0)
        own = list(spec["class_weights"])
        for place, group in enumerate(spec["groups"]):
            closed[classes + place, group] = 0
            own.append(min(own[index] for index in group))
        self.closed.copy_(closed)
        self.class_weights.copy_(torch.tensor(own))
        self.steps.fill_(spec["steps"])
        self.warmup.fill_(min(self.options["warmup_steps"], spec["steps"] // 10))
        self.at.zero_()
        self.loss.zero_()
        self.done = 0

    def _optimizer(self, encoder: list[str]):
        options, groups = self.options, {}
        for name, parameter in self.graph.trained.items():
            layer, _, weight = name.rpartition("-")
            factor = options["encoder_lr_multiplier"] if layer in encoder else 1.0
            free = weight in ("gamma", "beta", "bias")
            decay = 0.0 if free else options["weight_decay"]
            groups.setdefault((factor, decay), []).append(parameter)
        grouped = [
            {"params": own, "decay": decay, "factor": factor, "lr": self._zeros()}
            for (factor, decay), own in groups.items()
        ]
        if options["optimizer"] == "sgd":
            # The rate is 1 in here, and multiplies the gradients before.
            return torch.optim.SGD(
                [{**own, "lr": 1.0} for own in grouped], momentum=0.9
            )
        own = [{**group, "weight_decay": group["decay"]} for group in grouped]
        return torch.optim.AdamW(
            own,
            betas=(0.9, 0.999),
            eps=1e-7,
            fused=self._is_gpu,
            capturable=self._is_gpu,
        )

    def _draw(self, shape, normal=False):
        make = torch.randn if normal else torch.rand
        return make(shape, generator=self.generator, device=self.device)

    def _rate(self):
        at = self.at.float()
        growth = (at / self.warmup.clamp(min=1)).clamp(max=1)
        growth = torch.where(self.warmup > 0, growth, 1.0)
        if self.options["schedule"] == "constant":
            return self.options["learning_rate"] * growth
        fallen = ((at - self.warmup) / (self.steps - self.warmup)).clamp(0, 1)
        cosine = 0.5 * (1 + torch.cos(math.pi * fallen))
        return self.options["learning_rate"] * growth * cosine

    def _crops(self):
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
        return images.contiguous(memory_format=torch.channels_last), labels

    @torch.no_grad()
    def _update(self):
        rate = self._rate()
        for group in self.optimizer.param_groups:
            if self.options["optimizer"] == "sgd":
                # As Keras': the momentum sums rate times gradient, and the weights
                # lose their decay before the step.
                scale = rate * group["factor"]
                own = group["params"]
                torch._foreach_mul_([each.grad for each in own], scale)
                if group["decay"]:
                    torch._foreach_mul_(own, 1 - scale * group["decay"])
            else:
                group["lr"].copy_(rate * group["factor"])
        self.optimizer.step()

    def step(self):
        with torch.no_grad():
            images, labels = self._crops()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_gpu):
            logits = self.graph(images)
        loss = pixel_loss(logits, labels, self.class_weights, self.closed)
        loss.backward()
        self._update()
        self.loss.mul_(0.99).add_(loss.detach(), alpha=0.01)
        self.at.add_(1)

    def capture(self):
        """Takes a few steps, then records one as a CUDA graph, and begins anew."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with self.on_stream():
            for _ in range(3):
                self.optimizer.zero_grad(set_to_none=True)
                self.step()
        torch.cuda.synchronize()
        self.captured = torch.cuda.CUDAGraph()
        self.captured.register_generator_state(self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.captured, stream=self.stream):
            self.step()
        torch.cuda.synchronize()
        self.waiting.insert(0, self.spec)
        self.begin()
        torch.cuda.synchronize()

    def advance(self, count: int) -> None:
        """Queues some steps of the job."""
        count = min(count, self.spec["steps"] - self.done)
        with self.on_stream():
            for _ in range(count):
                if self.captured:
                    self.captured.replay()
                else:
                    self.optimizer.zero_grad(set_to_none=True)
                    self.step()
            if self._is_gpu:
                self.queued.append(torch.cuda.Event())
                self.queued[-1].record()
        self.done += count

    def waits(self) -> bool:
        """Whether less than two parts of the work are queued."""
        self.queued = [event for event in self.queued if not event.query()]
        return len(self.queued) < 2

    @torch.no_grad()
    def confusion(self) -> list:
        """Confusion matrix of the job's own pictures to score, at their own size."""
        classes = len(self.spec["class_weights"])
        counts = self._zeros((classes * classes,))
        # A class that never appears has weight 0, and keeps its logit.
        weights = self.class_weights[:classes]
        weights = torch.where(weights > 0, weights, 1.0)
        shift = self.options["logit_adjustment"] * weights.log()
        self.graph.eval()
        places = self.pictures.places(self.spec["score"])
        for images, labels in self.pictures.alike(places):
            logits = self.graph(images.permute(0, 3, 1, 2).float())
            found = (logits - shift[:, None, None]).argmax(1)
            truth = labels.long()
            valid = truth < classes
            pairs = truth[valid] * classes + found[valid]
            counts += torch.bincount(pairs, minlength=classes * classes)
        self.graph.train()
        return counts.reshape(classes, classes).long().tolist()
