"""Writes what `run.py` trains from: pictures, and networks with their options.

    python -m experiments.gpu.pack jobs.json --out FOLDER

jobs.json: {"NAME": {"dataset": "camvid", "data_dir": "CamVid", "epochs": 90, ...}}, the
options of `TrainConfig` for each job. The logits of the copy are equal to Keras' to
float32's precision, as are its losses and weights over the first steps.
"""

import argparse
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


def key(source) -> str:
    """A name that no other picture of the packs has."""
    path = Path(str(source))
    return f"{path.parent.name}/{path.stem}"


def split_of(config: TrainConfig, name: str):
    data = config.data
    return registry.load(data.dataset, name, data.data_dir, 3, config.folder)


def encoded(array: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, format="WEBP", lossless=True)
        return file.getvalue()


def write_pictures(path: Path, splits) -> None:
    """Images and labels of the splits, each picture once."""
    names, images, labels = [], [], []
    for split in splits:
        for index, source in enumerate(split.sources):
            if key(source) not in names:
                image, label = split.read(index)
                names.append(key(source))
                images.append(encoded(image))
                with io.BytesIO() as file:
                    Image.fromarray(label).save(file, format="PNG")
                    labels.append(file.getvalue())
    arrays = {"names": np.array(names)}
    for kind, contents in (("images", images), ("labels", labels)):
        arrays[kind] = np.frombuffer(b"".join(contents), np.uint8)
        arrays[f"{kind}_ends"] = np.cumsum([len(content) for content in contents])
    np.savez(path, **arrays)


def job(name: str, config: TrainConfig) -> tuple[dict, dict, tuple]:
    """A job's record, its first weights, and its splits."""
    keras.utils.set_random_seed(config.run.seed)
    split = split_of(config, config.data.train_split)
    scored = split_of(config, config.data.val_split)
    model = build(config, split.info.num_classes)
    last = networks.NETWORKS[config.network.model].encoder
    layers, weights = plan(model)
    keys = [key(source) for source in split.sources]
    counts, shares = zip(*(split.shares or ((len(keys), 1),)), strict=True)
    ends = np.cumsum((0, *counts))
    options = config.optimization
    steps = max(1, round(len(keys) / options.batch_size))
    class_weights = CLASS_WEIGHTS[options.class_weights].make(
        *class_pixel_counts(split)
    )
    record = {
        "name": name,
        "plan": layers,
        "encoder": encoder_layers(model, last),
        "parts": [keys[a:b] for a, b in pairwise(ends)],
        "shares": shares,
        "groups": split.groups,
        "class_weights": class_weights.tolist(),
        "options": config.as_options(),
        "steps": steps * options.epochs,
        "score": [key(source) for source in scored.sources],
    }
    return record, weights, (split, scored)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", type=Path, help="jobs.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    records, found, splits = [], {}, []
    for name, options in json.loads(arguments.jobs.read_text()).items():
        record, weights, pair = job(name, TrainConfig.of(**options))
        records.append(record)
        splits.extend(pair)
        found |= {f"{name}|{path}": value for path, value in weights.items()}
    write_pictures(arguments.out / "pictures.npz", splits)
    (arguments.out / "jobs.json").write_text(json.dumps(records))
    np.savez_compressed(arguments.out / "weights.npz", **found)


if __name__ == "__main__":
    main()
