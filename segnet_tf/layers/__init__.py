"""The layers that Keras does not have: pooling with positions, unpooling, and others.

Importing this folder registers all of them, so that Keras can load our files.

Raises:
    ImportError: if Keras runs on another framework than TensorFlow, or if its images
        have the channels first.
"""

try:
    import keras
except ModuleNotFoundError as error:
    if error.name in (None, "keras"):
        raise
    raise ImportError(
        f"Keras is set to a framework that is not installed ({error.name}): set the "
        "variable KERAS_BACKEND=tensorflow"
    ) from None

if keras.config.backend() != "tensorflow":
    raise ImportError(
        f"segnet_tf needs Keras on TensorFlow, but here it runs on "
        f"{keras.config.backend()}: set the variable KERAS_BACKEND=tensorflow before "
        "keras is imported"
    )
if keras.config.image_data_format() != "channels_last":
    raise ImportError(
        "segnet_tf needs images with the channels last, but keras.json, or a call of "
        "keras.config.set_image_data_format, says channels_first"
    )

from segnet_tf.layers.batch_norm import FusedBatchNormalization
from segnet_tf.layers.depthwise import FastDepthwiseConv2D
from segnet_tf.layers.normalization import LocalResponseNormalization
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.layers.positions import POOLING_MODES
from segnet_tf.layers.resampling import BilinearKernel, BilinearUpsampling2D, CropLike

__all__ = [
    "POOLING_MODES",
    "BilinearKernel",
    "BilinearUpsampling2D",
    "CropLike",
    "FastDepthwiseConv2D",
    "FusedBatchNormalization",
    "LocalResponseNormalization",
    "MaxPoolingWithArgmax2D",
    "MaxUnpooling2D",
]
