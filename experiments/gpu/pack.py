"""Writes what `run.py` trains from: pictures, and networks with their options.

    python -m experiments.gpu.pack jobs.json --out FOLDER

jobs.json: {"NAME": {"options": {"dataset": "camvid", "data_dir": "CamVid", "epochs":
90, ...}, "score": "list.txt", "keep": true, "rank": 0, "seconds": 400}}. The options
are those of `TrainConfig`. `score`: a split that the copy scores, or none; `keep`:
whether its weights come back; jobs of a higher `rank` wait while one of a lower rank is
not over, or has not done its share of `seconds`. The logits of the copy are equal to
Keras' to float32's precision, as are its losses and weights over the first steps.
"""

import argparse
import hashlib
import io
import json
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from segnet_tf.datasets import registry
from segnet_tf.datasets.class_weights import CLASS_WEIGHTS
from segnet_tf.datasets.dataset import class_pixel_counts
from segnet_tf.models import networks
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.length import planned, steps_of
from segnet_tf.training.optimizers import encoder_layers


def plan(model) -> tuple[list[dict], dict]:
    """The layers of a keras.Model as plain data, and its weights by their paths."""
    steps, weights = [], {}
    for layer in model.layers:
        kind = type(layer).__name__
        step = {"name": layer.name, "kind": kind, "inputs": []}
        if kind != "InputLayer":
            tensors = layer._inbound_nodes[0].arguments.keras_tensors
            step["inputs"] = [_key(tensor) for tensor in tensors]
        if kind == "Rescaling":
            step |= {"scale": layer.scale, "offset": layer.offset}
        elif kind == "LocalResponseNormalization":
            step |= {"radius": layer.depth_radius, "bias": layer.bias}
            step |= {"alpha": layer.alpha, "beta": layer.beta}
        elif kind == "FastDepthwiseConv2D":
            step["dilation"] = layer.dilation_rate[0]
        elif kind == "FusedBatchNormalization":
            step |= {"epsilon": layer.epsilon, "momentum": layer.momentum}
        elif kind == "ReLU":
            step["most"] = layer.max_value
        steps.append(step)
        for weight in layer.weights:
            weights[f"{layer.name}/{weight.name}"] = weight.numpy()
    return steps, weights


def _key(tensor) -> str:
    layer, _, index = tensor._keras_history
    return f"{layer.name}:{index}"


def split_of(config: TrainConfig, name: str):
    data = config.data
    return registry.load(data.dataset, name, data.data_dir, 3, config.folder)


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()[:16]


class Pack:
    """Images, labels and weights, each of them once.

    Args:
        quality: of WebP, for images whose own JPEG is not smaller; None: lossless.
    """

    def __init__(self, quality: int | None):
        self.options = {"quality": quality} if quality else {"lossless": True}
        self.images: dict[str, bytes] = {}
        self.labels: dict[str, bytes] = {}
        self.weights: dict[str, np.ndarray] = {}

    def samples(self, split) -> list[tuple[str, str]]:
        """The keys of every picture and its labels."""
        return [self._sample(split, index) for index in range(len(split))]

    def _sample(self, split, index: int) -> tuple[str, str]:
        source = Path(split.sources[index]).read_bytes()
        image, label = digest(source), None
        pixels, ids = split.read(index)
        label = digest(ids.tobytes() + str(ids.shape).encode())
        if image not in self.images:
            own = encoded(pixels, "WEBP", **self.options)
            is_jpeg = source[:2] == b"\xff\xd8"
            self.images[image] = source if is_jpeg and len(source) < len(own) else own
        self.labels.setdefault(label, encoded(ids, "PNG"))
        return image, label

    def keys(self, weights: dict) -> dict[str, str]:
        """Path of each weight -> its key."""
        found = {}
        for path, value in weights.items():
            found[path] = digest(value.tobytes() + str(value.shape).encode())
            self.weights.setdefault(found[path], value)
        return found

    def write(self, folder: Path, most: int) -> None:
        """Files of at most `most` bytes of pictures each."""
        for kind, contents in (("images", self.images), ("labels", self.labels)):
            parts, size = [{}], 0
            for name, content in contents.items():
                size += len(content)
                if size > most:
                    parts, size = [*parts, {}], len(content)
                parts[-1][name] = np.frombuffer(content, np.uint8)
            for number, part in enumerate(parts):
                values = list(part.values())
                np.savez(
                    folder / f"{kind}{number}.npz",
                    names=np.array(list(part)),
                    contents=np.concatenate(values),
                    ends=np.cumsum([len(value) for value in values]),
                )
        np.savez_compressed(folder / "weights.npz", **self.weights)


def encoded(array: np.ndarray, form: str, **options) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, format=form, **options)
        return file.getvalue()


STEP = (
    "crop", "zoom", "flip", "color_jitter", "corruption", "lighting", "batch_size",
    "optimizer", "learning_rate", "schedule", "encoder_lr_multiplier", "weight_decay",
)  # fmt: skip
"""The options that a recorded step holds."""


def job(name: str, entry: dict, pack: Pack) -> dict:
    """A job's record; its pictures and first weights go into the pack."""
    config = TrainConfig.of(**entry["options"])
    keras.utils.set_random_seed(config.run.seed)
    split = split_of(config, config.data.train_split)
    config = planned(config, len(split))
    model = build(config, split.info.num_classes)
    layers, weights = plan(model)
    samples = pack.samples(split)
    counts, shares = zip(*(split.shares or ((len(samples), 1),)), strict=True)
    ends = np.cumsum((0, *counts))
    options = config.as_options()
    class_weights = CLASS_WEIGHTS[config.optimization.class_weights].make(
        *class_pixel_counts(split)
    )
    step = {name: options[name] for name in STEP} | {
        "groups": len(split.groups),
        "classes": split.info.num_classes,
    }
    scored = entry.get("score")
    return {
        "name": name,
        "kind": digest(json.dumps([layers, step]).encode()),
        "plan": layers,
        "weights": pack.keys(weights),
        "encoder": encoder_layers(
            model, networks.NETWORKS[config.network.model].encoder
        ),
        "parts": [samples[a:b] for a, b in pairwise(ends)],
        "shares": shares,
        "groups": split.groups,
        "class_weights": class_weights.tolist(),
        "options": options,
        "steps": steps_of(config, len(samples)) * config.optimization.epochs,
        "score": pack.samples(split_of(config, scored)) if scored else [],
        "keep": entry.get("keep", False),
        "rank": entry.get("rank", 0),
        "seconds": entry.get("seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", type=Path, help="jobs.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--quality", type=int, help="of WebP; left out: lossless")
    parser.add_argument("--part", type=int, default=10**9, help="bytes of a file")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    pack = Pack(arguments.quality)
    records = []
    for name, entry in json.loads(arguments.jobs.read_text()).items():
        records.append(job(name, entry, pack))
        print(name, records[-1]["steps"], "steps")
    pack.write(arguments.out, arguments.part)
    (arguments.out / "jobs.json").write_text(json.dumps(records))


if __name__ == "__main__":
    main()
