"""What must be kept for the decoder? Bytes an image, read from the networks.

python -m benchmarks.memory

Positions as the layers here hold them (8 bytes a window in mode `argmax`, 1 in
`window`), at the 2 bits they need, and what would be kept in their place: the features
before each pooling, which a U-Net hands to its decoder, or FCN's class scores.
"""

import argparse

from benchmarks.decoders import stored_bytes, tensor_bytes
from segnet_tf.layers import MaxPoolingWithArgmax2D
from segnet_tf.models import FCN, MODELS

NETWORKS = ("segnet", "segnet_basic", "segnet_lite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--width", type=int, default=480)
    arguments = parser.parse_args()
    size = arguments.height, arguments.width
    print("| network | 2 bits a window | `window` | `argmax` | U-Net's features |")
    print("|---|---|---|---|---|")
    for name in NETWORKS:
        cells = [f"{value / 2**20:.2f} MiB" for value in kept(name, *size)]
        print(f"| `{name}` | {' | '.join(cells)} |")
    scores = stored_bytes(FCN(fc_filters=None), *size)
    print(f"\nFCN-8s, scores of pool3 and pool4: {scores / 2**20:.2f} MiB")


def kept(name: str, height: int, width: int) -> tuple[float, ...]:
    """Bytes of an image: positions at 2 bits, `window`, `argmax`; features."""
    stored = {}
    for mode in ("window", "argmax"):
        model = MODELS[name](pooling_mode=mode)
        pools = [la for la in model.layers if isinstance(la, MaxPoolingWithArgmax2D)]
        positions = [pool.output[1] for pool in pools]
        stored[mode] = tensor_bytes(model, positions, height, width)
    features = tensor_bytes(model, [pool.input for pool in pools], height, width)
    return stored["window"] / 4, stored["window"], stored["argmax"], features


if __name__ == "__main__":
    main()
