"""How much memory a run takes, before it takes it."""

import os
from pathlib import Path

import keras
import numpy as np

from segnet_tf.training.config import TrainConfig

__all__ = ["needed", "of_machine", "say_memory"]

PROCESS = 950 * 2**20
"""Bytes of Python, TensorFlow, its graphs and workspaces: 850 to 1,000 MiB in eight
runs of five networks on a CPU."""

COPIES = {"sgd": 3}
"""Arrays of the size of each weight: itself, its gradient, the optimizer's slots; 4 for
an optimizer that is not here, as for Adam's two slots."""

_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def needed(model: keras.Model, config: TrainConfig) -> int:
    """The bytes of a run at its peak, to a tenth, without the images that it remembers.

    The output of every layer is kept until the gradients have used it.

    Args:
        model: the network.
        config: the crop, the batch and the optimizer.
    """
    options = config.optimization
    copies = COPIES.get(options.optimizer, 4)
    copies += (options.ema > 0) + (options.accumulate > 1)
    return PROCESS + copies * 4 * model.count_params() + _outputs(model, config)


def _outputs(model: keras.Model, config: TrainConfig) -> int:
    """The bytes of all layers' outputs for a batch of crops."""
    outputs = keras.tree.flatten([layer.output for layer in model.layers])
    size = (config.optimization.batch_size, *config.augmentation.crop)
    images = keras.KerasTensor((*size, model.input_shape[-1]))
    shapes = keras.Model(model.inputs, outputs).compute_output_spec(images)
    return sum(
        int(np.prod([side for side in each.shape if side])) * _bytes_of(each.dtype)
        for each in shapes
    )


def _bytes_of(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def of_machine() -> int:
    """The bytes of this machine's memory, or fewer if a container has a limit."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    limits = [pages * size]
    for path in _LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):
            continue  # not there, or "max"
    return min(limits)


def say_memory(model: keras.Model, config: TrainConfig, remembered: int) -> None:
    """Prints how much memory the run will take, and what to lower if it is too much.

    Args:
        model: the network.
        config: the options of the run.
        remembered: bytes of decoded images that the reader keeps.
    """
    wanted = needed(model, config) + remembered
    print(f"about {wanted / 2**30:.1f} GiB of memory at the peak")
    if not hasattr(os, "sysconf") or wanted <= (there := of_machine()):
        return
    (height, width), batch = config.augmentation.crop, config.optimization.batch_size
    print(
        f"warning: this machine has {there / 2**30:.1f} GiB: the run may be killed or "
        f"crawl; lower --batch-size (now {batch}) or --crop (now {height}x{width}), or "
        "take --model segnet_lite"
    )
