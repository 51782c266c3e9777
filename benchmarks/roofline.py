"""How near does each engine come to what the machine can do?

python -m benchmarks.roofline

Counts the operations and the bytes of SegNet and SegNetLite from their layers, measures
the machine's best matrix product and its memory bandwidth, and compares the times of
`benchmarks.peers` with the least time that follows. The results must come from the same
machine. Writes roofline.json beside them, and docs/benchmarks.md.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from benchmarks import page
from benchmarks.contenders import SIZE
from benchmarks.machine import OthersWork, description, kind, versions
from segnet_tf.console import cli
from segnet_tf.console.quiet import import_tensorflow, notices_kept_back
from segnet_tf.errors import UserError
from segnet_tf.files import write_json
from segnet_tf.models.clone import clone
from segnet_tf.models.networks import build

__all__ = ["counted", "least_seconds"]

SOURCES = {"segnet": "segnet.json", "segnet_lite": "small.json"}
"""Network -> the file of results that has its times."""

FOLDED = ("InputLayer", "Rescaling", "ReLU", "FusedBatchNormalization")
"""Layers that every engine computes together with a convolution."""

BYTES = {"float32": 4, "float16": 4, "int8": 1}
"""Of a value in memory, by the precision of a contender."""


def counted(model: keras.Model, size: tuple[int, int]) -> list[dict]:
    """The operations and values of each layer of a network, for one image.

    A multiplication and an addition are two operations. A convolution reads its input
    and its weights once and writes its output once; so do sums, pooling and unpooling,
    whose positions count as values. Batch normalisation and activations count as parts
    of the convolution before them.

    Args:
        model: any network of the package, in any pooling mode.
        size: height and width of the image.

    Returns:
        For each layer that is not folded into another: its name, `flops` and `values`.
    """
    image = keras.Input((*size, model.input_shape[-1]), batch_size=1)
    fixed = clone(model, lambda layer: None, image)
    found = []
    for layer in fixed.layers:
        if type(layer).__name__ in FOLDED:
            continue
        node = layer._inbound_nodes[0]
        outputs = keras.tree.flatten(node.output_tensors)
        # The third argument of an unpooling is there for its size alone.
        inputs = keras.tree.flatten(node.arguments.keras_tensors)[:2]
        values = sum(_size(tensor) for tensor in [*inputs, *outputs])
        values += sum(_size(weight) for weight in layer.weights)
        flops = _flops(layer, _size(outputs[0]), _size(inputs[0]))
        found.append({"layer": layer.name, "flops": flops, "values": values})
    return found


def _size(tensor) -> int:
    return int(np.prod(tensor.shape))


def _flops(layer, outputs: int, inputs: int) -> int:
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return 2 * outputs * int(np.prod(layer.kernel_size))
    if isinstance(layer, keras.layers.Conv2D):
        weights = _size(layer.kernel) // layer.filters
        return 2 * outputs * weights + (outputs if layer.use_bias else 0)
    # A comparison for each input of a pooling, an addition for each output of a sum.
    return max(inputs, outputs)


def least_seconds(layers: list[dict], per_second: float, bandwidth: float, width: int):
    """The sum over the layers of the larger of computing and moving.

    Args:
        layers: of `counted`.
        per_second: operations.
        bandwidth: bytes a second.
        width: bytes of a value.
    """
    return sum(
        max(layer["flops"] / per_second, width * layer["values"] / bandwidth)
        for layer in layers
    )


# The machine


def best_rate(work: float, run: Callable, repeats: int = 9) -> float:
    """The work of the fastest of several runs, a second."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return work / min(times)


def float32_flops(threads: int, side: int = 2048) -> float:
    """Of TensorFlow's matrix product, which oneDNN or Eigen computes."""
    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    a, b = (tf.random.normal((side, side)) for _ in range(2))
    product = tf.function(tf.matmul)
    return best_rate(2 * side**3, lambda: product(a, b).numpy())


def int8_ops(threads: int, side: int = 2048) -> float:
    """Of LiteRT's matrix product of int8, whose weights are packed before."""
    tf = import_tensorflow()
    from ai_edge_litert.interpreter import Interpreter

    values = np.random.default_rng(0).normal(size=(2, side, side)).astype("float32")
    module = tf.Module()
    module.product = tf.function(lambda x: tf.matmul(x, values[1]))
    product = module.product.get_concrete_function(tf.TensorSpec((side, side)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([product], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[values[0]]])
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with notices_kept_back():
        loaded = Interpreter(model_content=converter.convert(), num_threads=threads)
        loaded.allocate_tensors()
    return best_rate(2 * side**3, loaded.invoke)


def bandwidth(threads: int, mebibytes: int = 256) -> float:
    """Bytes a second that copies by so many threads read and write."""
    count = mebibytes * 2**20 // 8
    pairs = [(np.zeros(count), np.ones(count)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy():
            # NumPy gives Python's lock back while it copies.
            list(pool.map(lambda pair: np.copyto(*pair), pairs))

        return best_rate(2 * 8 * count * threads, copy)


def shares(network: str, results: Path, peaks: dict) -> dict:
    """A network's counts, and the least time beside each engine's time."""
    file = results / SOURCES[network]
    if not file.exists():
        raise UserError(f"{file}: not there: run python -m benchmarks.peers first")
    stored = json.loads(file.read_text())
    layers, engines = counted(build(network), SIZE), []
    for row in stored["contenders"]:
        if row["network"] != network or "ms" not in row:
            continue
        integer = row["precision"] == "int8"
        per_second = peaks["int8_gops" if integer else "float32_gflops"]
        width = BYTES[row["precision"]]
        bound = least_seconds(
            layers, 1e9 * per_second, 1e9 * peaks["bandwidth_gb"], width
        )
        engines.append(
            {
                "engine": row["engine"],
                "ms": row["ms"],
                "bound_ms": round(1000 * bound, 2),
            }
        )
    return {
        "network": network,
        "flops": sum(layer["flops"] for layer in layers),
        "bytes": 4 * sum(layer["values"] for layer in layers),
        "engines": sorted(engines, key=lambda engine: engine["ms"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="[2]")
    parser.add_argument(
        "--results", type=Path, default=page.RESULTS, help=f"[{page.RESULTS}]"
    )
    arguments = parser.parse_args()
    others, threads, folder = (
        OthersWork(),
        arguments.threads,
        arguments.results / kind(),
    )
    peaks = {
        "float32_gflops": round(float32_flops(threads) / 1e9, 1),
        "int8_gops": round(int8_ops(threads) / 1e9, 1),
        "bandwidth_gb": round(bandwidth(threads) / 1e9, 2),
    }
    found = {
        "machine": description(),
        "others_cores": others.cores(),
        "versions": versions("tensorflow", "ai-edge-litert", "numpy"),
        "peaks": peaks,
        "networks": [shares(name, folder, peaks) for name in SOURCES],
    }
    write_json(folder / "roofline.json", found)
    page.write(arguments.results)


if __name__ == "__main__":
    cli.run(main, "benchmarks.roofline")
