"""The network of a run: built, with its first weights, and compiled."""

from typing import Any

import keras
import numpy as np

from segnet_tf.datasets.class_weights import CLASS_WEIGHTS
from segnet_tf.datasets.dataset import Split, class_pixel_counts
from segnet_tf.inference.model_file import find_model, load_model
from segnet_tf.metrics.confusion import MeanIoU
from segnet_tf.models import networks
from segnet_tf.models.pretrained import copy_matching_weights
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer, encoder_layers
from segnet_tf.training.pixel_loss import PixelLoss
from segnet_tf.training.replicas import ReplicaModel

__all__ = ["build", "compiled"]


def build(config: TrainConfig, num_classes: int) -> keras.Model:
    """The configured network, with random weights, pretrained ones or another run's.

    Args:
        config: its `network` options and `data.channels` count.
        num_classes: channels of the output.

    Returns:
        An uncompiled keras.Model.

    Raises:
        UserError: if the weights that the options name are missing or do not fit.
    """
    options = config.network
    network = networks.NETWORKS[options.model]
    arguments: dict[str, Any] = {}
    if network.unpools:
        arguments["pooling_mode"] = options.pooling_mode
    if config.data.channels != 3:
        arguments["input_channels"] = config.data.channels
    model = networks.build(options.model, num_classes, **arguments)
    source = options.encoder_weights
    if source == "auto":
        source = "imagenet" if network.brings_weights else "none"
    if source != "none":
        network.load_pretrained(model, source)
    if options.init_from:
        path = find_model(options.init_from, forms=("model.keras",))
        kept = copy_matching_weights(load_model(path), model)
        print(f"weights from {path}" + (f"; new: {', '.join(kept)}" if kept else ""))
    return model


def compiled(config: TrainConfig, train_split: Split, steps: int) -> keras.Model:
    """A fresh network with the configured loss, optimizer and metric.

    Args:
        config: all options of the run.
        train_split: the training split; class weights are counted in it.
        steps: of the whole run, for the learning rate.
    """
    optimization, num_classes = config.optimization, train_split.info.num_classes
    network = build(config, num_classes)
    model = ReplicaModel(network.input, network.output, name=network.name)
    encoder = []
    if optimization.encoder_lr_multiplier != 1:
        last = networks.NETWORKS[config.network.model].encoder
        encoder = encoder_layers(model, last)
    model.compile(
        optimizer=build_optimizer(config, steps, encoder),
        loss=PixelLoss(
            optimization.loss,
            _class_weights(config, train_split),
            groups=train_split.groups,
            logit_adjustment=optimization.logit_adjustment,
        ),
        metrics=[MeanIoU(num_classes)],
        jit_compile=config.run.jit_compile,
    )
    return model


def _class_weights(config: TrainConfig, split: Split) -> np.ndarray | None:
    choice = config.optimization.class_weights
    if choice == "none":
        return None
    weights = CLASS_WEIGHTS[choice].make(*class_pixel_counts(split))
    pairs = zip(split.info.classes, weights, strict=True)
    print("class weights:", ", ".join(f"{name} {value:.3f}" for name, value in pairs))
    return weights
