"""The weights of a network in Keras and in PyTorch, both ways, and logits of PyTorch.

python -m benchmarks.torch_weights

The command writes tests/benchmarks/torch_logits.npz: PyTorch's logits of networks whose
weights come from a seed. The tests compare ours with them, without PyTorch. It needs
benchmarks/requirements.txt.

A weight of PyTorch has the name "<modules>.<layer>.<weight>", in which <layer> is the
name of the Keras layer.
"""

import argparse
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from segnet_tf.console import cli
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.models.encoders import VGG16_STAGES, VGG19_STAGES
from segnet_tf.models.networks import build

__all__ = ["filled", "from_torch", "seeded", "seeded_image", "to_torch"]

FIXTURE = Path("tests/benchmarks/torch_logits.npz")
SIZE = (37, 51)
CLASSES = 5


def _narrow(stages) -> list[list[int]]:
    """The same stages with an eighth of the filters, which build in no time."""
    return [[filters // 8 for filters in stage] for stage in stages]


NETWORKS = {
    "segnet": {"encoder": _narrow(VGG16_STAGES)},
    "segnet_vgg19": {"encoder": _narrow(VGG19_STAGES)},
    "segnet_lite": {},
    "segnet_lite1": {"encoder": "lite1"},
}
"""Each network of the fixture, and its arguments beside the number of classes."""

NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""Keras' names of weights -> PyTorch's. PyTorch also counts batches, Keras does not."""

COUNTER = "num_batches_tracked"
CONV, DEPTHWISE = (3, 2, 0, 1), (2, 3, 0, 1)
"""Keras' axes (h, w, in, out), or (h, w, channels, 1), in PyTorch's order."""


def to_torch(model: keras.Model, names: Collection[str]) -> dict[str, np.ndarray]:
    """The weights of a Keras network for `load_state_dict`.

    Args:
        model: a SegNet or SegNetLite.
        names: the keys of the PyTorch module's state dict.

    Returns:
        Float32 arrays (and zeros int64 for counters of batches) by these names.

    Raises:
        ValueError: if a name has no weight in the model, or a weight no name.
    """
    found = {}
    for name, weight, axes in _pairs(model, names):
        values = weight.numpy()
        # Without a copy, PyTorch would compute in strides that are not its own.
        found[name] = np.ascontiguousarray(values.transpose(axes) if axes else values)
    counters = [name for name in names if name.endswith(COUNTER)]
    return {**found, **dict.fromkeys(counters, np.zeros((), np.int64))}


def from_torch(model: keras.Model, state: Mapping) -> None:
    """Gives a Keras network the weights of a PyTorch module's state dict.

    Args:
        model: a SegNet or SegNetLite, changed in place; not at all if it does not fit.
        state: tensors on the CPU, or arrays, by name.

    Raises:
        ValueError: if a name has no weight in the model, or a weight no name, or if
            their shapes differ.
    """
    found = []
    for name, weight, axes in _pairs(model, state):
        values = np.asarray(state[name])
        if axes and values.ndim == len(axes):
            values = values.transpose(np.argsort(axes))
        if values.shape != tuple(weight.shape):
            raise ValueError(
                f"{name} has shape {tuple(np.shape(state[name]))}, which does not fit "
                f"{tuple(weight.shape)} of {weight.path}"
            )
        found.append((weight, values))
    for weight, values in found:
        weight.assign(values)


def _pairs(model: keras.Model, names: Collection[str]) -> Iterator[tuple]:
    """(name in PyTorch, weight in Keras, order of axes), for all weights of both."""
    weights = {}
    for layer in model.layers:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for weight in layer.weights:
            is_kernel = weight.name == "kernel"
            axes = (DEPTHWISE if depthwise else CONV) if is_kernel else None
            weights[f"{layer.name}.{NAMES[weight.name]}"] = weight, axes
    named = {}
    for name in names:
        if not name.endswith(COUNTER):
            named[".".join(name.split(".")[-2:])] = name
    apart = sorted(weights.keys() ^ named.keys())
    if apart:
        raise ValueError(
            f"{model.name}: {len(apart)} weights are in one of the two networks only: "
            f"{', '.join(apart[:4])}"
        )
    for key, (weight, axes) in weights.items():
        yield named[key], weight, axes


def seeded(name: str) -> keras.Model:
    """A network of `NETWORKS` with weights from a seed, the same on every machine."""
    arguments = NETWORKS[name]
    builder = "segnet_lite" if "lite" in name else "segnet"
    return filled(build(builder, CLASSES, **arguments))


def filled(model: keras.Model) -> keras.Model:
    """The model itself, with weights from a seed: no layer is without effect."""
    # NumPy promises the numbers of this old generator for ever.
    random = np.random.RandomState(0)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(_values(random, weight))
    return model


def _values(random: np.random.RandomState, weight) -> np.ndarray:
    shape = tuple(weight.shape)
    if weight.name == "kernel":
        fan_in = np.prod(shape[:2] if shape[-1] == 1 else shape[:3])
        return random.normal(0, np.sqrt(2 / fan_in), shape)
    if weight.name in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape)
    return random.normal(0, 0.3, shape)


def seeded_image() -> np.ndarray:
    """The image of the fixture: float32 (1, H, W, 3), grey levels in flat squares.

    Flat parts give windows whose values are equal: the first maximum must win.
    """
    random = np.random.RandomState(1)
    squares = random.randint(0, 256, (1, 10, 13, 3)).repeat(4, 1).repeat(4, 2)
    return squares[:, : SIZE[0], : SIZE[1]].astype(np.float32)


def torch_logits(name: str, model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Logits float32 (1, H, W, classes) of the same network in PyTorch.

    Raises:
        UserError: if float64 gives others. A maximum then has a near rival, and the
            order of sums decides.
    """
    import torch

    from benchmarks import torch_models

    kind = torch_models.SegNetLite if "lite" in name else torch_models.SegNet
    module = kind(CLASSES, **NETWORKS[name]).eval()
    state = to_torch(model, module.state_dict())
    module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    nchw = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        logits = module(nchw)
        exact = module.double()(nchw.double())
    apart = float((logits - exact).abs().max() / exact.abs().max())
    print(f"{name:14} float32 differs from float64 by {apart:.1e} of the largest logit")
    if apart > 2e-5:
        raise UserError(f"{name}: a maximum has a near rival: take another seed")
    return exact.float().permute(0, 2, 3, 1).contiguous().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=FIXTURE, help=f"[{FIXTURE}]")
    arguments = parser.parse_args()
    image = seeded_image()
    logits = {name: torch_logits(name, seeded(name), image) for name in NETWORKS}
    with replacing(arguments.output) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **logits)


if __name__ == "__main__":
    cli.run(main, "benchmarks.torch_weights")
