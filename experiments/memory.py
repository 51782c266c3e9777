"""What must be kept for the decoder? Bytes per image, read from the networks.

python -m experiments.memory

Prints the bytes of the positions at the 2 bits that they need, and as the layers here
hold them: 1 byte per window in mode `window`, 8 in mode `argmax`. Beside them: the
features before each pooling, which a U-Net hands to its decoder; FCN's class scores.
"""

import argparse

from experiments.decoders import stored_bytes, tensor_bytes
from segnet_tf.console import cli
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D
from segnet_tf.models import FCN
from segnet_tf.models.networks import build

SHOWN = ("segnet", "segnet_basic", "segnet_lite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size",
        type=cli.parsed_size,
        default="360x480",
        help="of the image, as HxW [360x480]",
    )
    size = parser.parse_args().size
    print("| network | 2 bits per window | `window` | `argmax` | U-Net's features |")
    print("|---|---|---|---|---|")
    for name in SHOWN:
        cells = [f"{value / 2**20:.2f} MiB" for value in kept(name, *size)]
        print(f"| `{name}` | {' | '.join(cells)} |")
    scores = stored_bytes(FCN(fc_filters=None), *size)
    print(f"\nFCN-8s, scores of pool3 and pool4: {scores / 2**20:.2f} MiB")


def kept(name: str, height: int, width: int) -> tuple[float, ...]:
    """Bytes of one image: positions at 2 bits, in `window`, in `argmax`; features."""
    stored = {}
    for mode in ("window", "argmax"):
        model = build(name, pooling_mode=mode)
        pools = [la for la in model.layers if isinstance(la, MaxPoolingWithArgmax2D)]
        positions = [pool.output[1] for pool in pools]
        stored[mode] = tensor_bytes(model, positions, height, width)
    features = tensor_bytes(model, [pool.input for pool in pools], height, width)
    return stored["window"] / 4, stored["window"], stored["argmax"], features


if __name__ == "__main__":
    cli.run(main, "experiments.memory")
