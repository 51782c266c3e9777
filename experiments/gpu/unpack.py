"""Makes run folders with models of the weights that `run.py` brought back.

    python -m experiments.gpu.unpack FOLDER OUT runs

`--logit-adjustment` of a job is taken out of the last layer here, after training; the
network that learns with it ends at the same place.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.gpu.pack import split_of
from segnet_tf.datasets.dataset import typical_size
from segnet_tf.datasets.pipeline import evaluation_batches
from segnet_tf.inference.model_file import save_model
from segnet_tf.layers.batch_norm import recalibrate_batch_norm
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of pack.py")
    parser.add_argument("out", type=Path, help="of run.py")
    parser.add_argument("runs", type=Path, help="folder of the run folders to write")
    arguments = parser.parse_args()
    for record in json.loads((arguments.folder / "jobs.json").read_text()):
        config, name = TrainConfig.of(**record["options"]), record["name"]
        found = arguments.out / f"{name}.npz"
        if not found.is_file():
            continue
        weights = np.load(found)
        split = split_of(config, config.data.train_split)
        model = build(config, split.info.num_classes)
        for layer in model.layers:
            for weight in layer.weights:
                weight.assign(weights[f"{layer.name}/{weight.name}"])
        share = config.optimization.logit_adjustment
        if share:
            # A class that never appears has weight 0, and keeps its logit.
            positive = [own or 1.0 for own in record["class_weights"]]
            bias = model.get_layer("classifier").bias
            bias.assign(bias - share * np.log(positive))
        if config.run.recalibrate_bn:
            images = (images for images, _ in evaluation_batches(split))
            recalibrate_batch_norm(model, images)
        info = replace(split.info, image_size=typical_size(split))
        (arguments.runs / name).mkdir(parents=True, exist_ok=True)
        save_model(model, arguments.runs / name / "model.keras", info)


if __name__ == "__main__":
    main()
