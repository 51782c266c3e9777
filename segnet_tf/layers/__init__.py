"""The layers that Keras does not have: pooling with positions, unpooling, and others.

Importing this folder registers all of them, so that Keras can load our files.
"""

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
