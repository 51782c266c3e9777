"""The table of what `benchmarks.peers` times: networks, and engines that run them.

A contender is loaded in a process of its own, from the files that `prepare` writes.
Its packages are imported there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.runtimes import open_runtime
from segnet_tf.models.networks import NETWORKS

__all__ = ["CONTENDERS", "GROUPS", "SIZE", "Contender", "prepare"]

SIZE = (384, 480)
GROUPS = {"small": "segnet_lite", "segnet": "segnet", "segnet_basic": "segnet_basic"}
"""Group of forward passes -> the network of ours in it that every engine runs."""

CLASSES = 11

Run = Callable[[np.ndarray], np.ndarray | None]
Load = Callable[[Path, int], tuple[Run, int]]


@dataclass(frozen=True)
class Contender:
    """A network on an engine.

    Attributes:
        group: contenders of one group take turns.
        network: the architecture; those of one name compute the same.
        engine: what computes it.
        load: (folder of `prepare`, threads) -> a function from an image, uint8 (H, W,
            3), to scores (H, W, classes), and the number of trainable parameters. In a
            group of training steps, the function does a step and returns None.
        precision: of the arithmetic.
    """

    group: str
    network: str
    engine: str
    load: Load
    precision: str = "float32"

    @property
    def name(self) -> str:
        return f"{self.group}: {self.network}, {self.engine}"


# Files of ours


def prepare(folder: Path, networks: Sequence[str]) -> None:
    """Writes networks of ours in every form, but for those that are there in all.

    The weights come from a seed, because they do not change the time.
    """
    for network in networks:
        if not (folder / network / "done").exists():
            (folder / network).mkdir(parents=True, exist_ok=True)
            _prepare(network, folder / network)
            (folder / network / "done").touch()


def _prepare(network: str, folder: Path) -> None:
    from benchmarks.torch_weights import filled
    from segnet_tf.datasets.synthetic import INFO, draw_scene
    from segnet_tf.export.onnx import export_onnx
    from segnet_tf.export.quantization import CALIBRATION_IMAGES
    from segnet_tf.export.savedmodel import export_savedmodel
    from segnet_tf.export.tflite import export_tflite
    from segnet_tf.inference.model_file import save_model
    from segnet_tf.models.networks import build

    model = filled(build(network, CLASSES))
    save_model(model, folder / "model.keras", INFO)
    if not (folder / "saved").exists():
        export_savedmodel(model, folder / "saved", INFO)
    export_onnx(model, folder / "model.onnx", INFO)
    if network in IN_TORCH:
        _prepare_torch(network, model, folder / "state.pt")
    for precision in ("float32", "float16"):
        quantize = {"float32": "none"}.get(precision, precision)
        path = folder / f"{precision}.tflite"
        export_tflite(model, path, INFO, SIZE, quantize)
    images = [draw_scene(7, n, *SIZE)[0] for n in range(CALIBRATION_IMAGES)]
    path = folder / "int8.tflite"
    export_tflite(model, path, INFO, SIZE, "int8", calibration=images)


def _prepare_torch(network: str, model, path: Path) -> None:
    import torch

    from benchmarks.torch_weights import to_torch

    state = to_torch(model, bare_in_torch(network).state_dict())
    torch.save({name: torch.from_numpy(each) for name, each in state.items()}, path)


def ours(network: str, file: str) -> Load:
    """A file of `prepare` on the runtime that `predict.py` takes for it."""

    def load(folder: Path, threads: int):
        runtime = open_runtime(folder / network / file, threads)
        return runtime.run, NETWORKS[network].parameters

    return load


def shipped(file: str) -> Load:
    def load(folder: Path, threads: int):
        runtime = open_runtime(SHIPPED_MODEL / file, threads)
        return runtime.run, NETWORKS["segnet_lite1"].parameters

    return load


def openvino(network: str) -> Load:
    """The ONNX file on OpenVINO, in float32, with the size of the image set."""

    def load(folder: Path, threads: int):
        import openvino as ov

        core = ov.Core()
        model = core.read_model(folder / network / "model.onnx")
        model.reshape([1, *SIZE, 3])
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = core.compile_model(model, "CPU", options)

        def run(image):
            return compiled(image[None].astype(np.float32))[0][0]

        return run, NETWORKS[network].parameters

    return load


# PyTorch

IN_TORCH = {"segnet": "SegNet", "segnet_lite": "SegNetLite"}
"""Network -> its class in `benchmarks.torch_models`."""


def same_in_torch(network: str, folder: Path):
    """Our network in PyTorch, with the weights of the other files."""
    import torch

    module = bare_in_torch(network)
    module.load_state_dict(torch.load(folder / network / "state.pt"))
    return module


def bare_in_torch(network: str):
    from benchmarks import torch_models

    return getattr(torch_models, IN_TORCH[network])(CLASSES)


def lraspp(folder: Path):
    from torchvision.models import segmentation

    return segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )


def deeplabv3(folder: Path):
    from torchvision.models import segmentation

    return segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )


def of_smp(architecture: str, folder: Path):
    import segmentation_models_pytorch as smp

    return getattr(smp, architecture)(
        "mobilenet_v2", encoder_weights=None, classes=CLASSES
    )


def torch_engine(make: Callable, channels_last=False, compiled=False) -> Load:
    """A module, `make(folder)`, in evaluation mode."""

    def load(folder: Path, threads: int):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        module = make(folder).eval()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        module = module.to(memory_format=layout)
        parameters = sum(p.numel() for p in module.parameters())
        call = torch.compile(module) if compiled else module

        @torch.inference_mode()
        def run(image):
            x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
            y = call(x.contiguous(memory_format=layout))
            # The networks of torchvision return a dictionary.
            y = y["out"] if isinstance(y, dict) else y
            return y[0].permute(1, 2, 0).numpy()

        return run, parameters

    return load


LAYOUTS = {
    "PyTorch": {},
    "PyTorch, channels_last": {"channels_last": True},
    "PyTorch, torch.compile": {"channels_last": True, "compiled": True},
}


# KerasHub


def keras_hub_engine(make: Callable, size: tuple[int, int] = SIZE) -> Load:
    """A model with random weights; another size cuts the image and pads with zeros."""

    def load(folder: Path, threads: int):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        model = make()
        call = tf.function(lambda x: model(x, training=False))

        def run(image):
            if image.shape[:2] != size:
                cut = image[: size[0], : size[1]]
                image = np.zeros((*size, 3), np.uint8)
                image[: cut.shape[0], : cut.shape[1]] = cut
            return call(tf.constant(image[None], tf.float32)).numpy()[0]

        return run, sum(int(np.prod(w.shape)) for w in model.trainable_weights)

    return load


SQUARE = (448, 448)
"""KerasHub's SegFormer takes square images alone. This one has 9 % more pixels."""


def hub_deeplab():
    """DeepLabV3+ as the preset deeplab_v3_plus_resnet50_pascalvoc has it."""
    from keras_hub import models

    encoder = models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(*SIZE, 3),
    )
    backbone = models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=(*SIZE, 3),
    )
    return models.DeepLabV3ImageSegmenter(backbone, CLASSES)


def hub_segformer():
    from keras_hub import models

    encoder = models.MiTBackbone(
        image_shape=(*SQUARE, 3),
        num_layers=4,
        hidden_dims=[32, 64, 160, 256],
        layerwise_depths=[2, 2, 2, 2],
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        max_drop_path_rate=0.1,
    )
    backbone = models.SegFormerBackbone(image_encoder=encoder, projection_filters=256)
    return models.SegFormerImageSegmenter(backbone, CLASSES)


# Training steps

BATCHES = {"segnet": (2, 192, 256), "segnet_lite": (8, 192, 256)}


def _batch(network: str) -> tuple[np.ndarray, np.ndarray]:
    random, shape = np.random.default_rng(0), BATCHES[network]
    images = random.integers(0, 256, (*shape, 3)).astype("float32")
    return images, random.integers(0, CLASSES, shape).astype("uint8")


def our_step(network: str) -> Load:
    """A step as `train.py` takes it: AdamW, mean cross-entropy of the pixels."""

    def load(folder: Path, threads: int):
        tf = import_tensorflow(training=True)

        from segnet_tf.training.building import build
        from segnet_tf.training.config import TrainConfig
        from segnet_tf.training.optimizers import build_optimizer
        from segnet_tf.training.pixel_loss import PixelLoss

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        config = TrainConfig.of(model=network, pooling_mode="input")
        model = build(config, CLASSES)
        optimizer = build_optimizer(config, 10**6)
        model.compile(optimizer, PixelLoss(), jit_compile=False)
        images, labels = _batch(network)

        def run(image):
            model.train_on_batch(images, labels)

        return run, sum(int(np.prod(w.shape)) for w in model.trainable_weights)

    return load


def torch_step(network: str, channels_last=False, compiled=False) -> Load:
    def load(folder: Path, threads: int):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        module = bare_in_torch(network).train().to(memory_format=layout)
        call = torch.compile(module) if compiled else module
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, eps=1e-7)
        images, labels = map(torch.from_numpy, _batch(network))
        images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        labels = labels.long()

        def run(image):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(call(images), labels).backward()
            optimizer.step()

        return run, sum(p.numel() for p in module.parameters())

    return load


def _contenders() -> list[Contender]:
    found = []
    for group, network in GROUPS.items():
        rows = {
            "Keras, tf.function": (ours(network, "model.keras"), "float32"),
            "TensorFlow, SavedModel": (ours(network, "saved"), "float32"),
            "LiteRT": (ours(network, "float32.tflite"), "float32"),
            "LiteRT, float16 weights": (ours(network, "float16.tflite"), "float16"),
            "LiteRT, int8": (ours(network, "int8.tflite"), "int8"),
            "onnxruntime": (ours(network, "model.onnx"), "float32"),
            "OpenVINO": (openvino(network), "float32"),
        }
        if network in IN_TORCH:
            same = partial(same_in_torch, network)
            rows |= {
                name: (torch_engine(same, **layout), "float32")
                for name, layout in LAYOUTS.items()
            }
        found += [Contender(group, network, name, *row) for name, row in rows.items()]
    for network in IN_TORCH:
        steps = {"Keras": our_step(network)} | {
            name: torch_step(network, **layout) for name, layout in LAYOUTS.items()
        }
        training = f"training {network}"
        found += [Contender(training, network, *step) for step in steps.items()]
    lite1 = "segnet_lite1 (shipped)"
    found += [
        Contender("small", lite1, "LiteRT", shipped("model.tflite")),
        Contender("small", lite1, "LiteRT, int8", shipped("model_int8.tflite"), "int8"),
    ]
    modules = {
        "LRASPP MobileNetV3-Large": lraspp,
        "DeepLabV3 MobileNetV3-Large": deeplabv3,
        "U-Net MobileNetV2": partial(of_smp, "Unet"),
        "DeepLabV3+ MobileNetV2": partial(of_smp, "DeepLabV3Plus"),
    }
    for network, make in modules.items():
        found += [
            Contender("small", network, name, torch_engine(make, **layout))
            for name, layout in LAYOUTS.items()
        ]
    hubs = {
        "DeepLabV3+ ResNet50": keras_hub_engine(hub_deeplab),
        "SegFormer-B0, 448x448": keras_hub_engine(hub_segformer, SQUARE),
    }
    return found + [
        Contender("small", network, "KerasHub, tf.function", load)
        for network, load in hubs.items()
    ]


CONTENDERS = {contender.name: contender for contender in _contenders()}
"""All contenders by their names."""
