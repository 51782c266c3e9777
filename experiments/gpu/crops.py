"""The training crops of `segnet_tf.training.augmentation`, a batch at a time, on a GPU.

Every shape is fixed, so that a CUDA graph can hold them. Random numbers are others than
TensorFlow's; what is drawn, and what is done with it, is the same.
"""

import math
from functools import cache

import torch
from torch.nn import functional as F

__all__ = ["augmented"]

IGNORE = 255
MOST_NOISE, MOST_BLUR, JPEG_QUALITY = 30.0, 2.5, (10, 70)


def augmented(images, labels, sizes, options: dict, draw):
    """Random crops.

    Args:
        images: uint8 (B, H, W, 3); each fills its upper left corner.
        labels: uint8 (B, H, W).
        sizes: int64 (B, 2), height and width of each image.
        options: crop, zoom, flip, color_jitter, corruption, lighting.
        draw: shape -> uniform numbers in [0, 1), and normal=True for normal ones.

    Returns:
        float32 (B, 3, h, w) in [0, 255]; int64 (B, h, w).
    """
    images, labels = zoomed_crop(images, labels, sizes, options, draw)
    if options["flip"]:
        mirrored = draw((len(images),)) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        labels = torch.where(mirrored[:, None, None], labels.flip(-1), labels)
    if options["color_jitter"]:
        images = jittered(images, options["color_jitter"], draw)
    if options["corruption"]:
        images = corrupted(images, options["corruption"], draw)
    if options["lighting"]:
        images = relit(images, options["lighting"], draw)
    return images, labels


def zoomed_crop(images, labels, sizes, options, draw):
    """Cuts a window out of each image and resizes it to the crop: that is the zoom."""
    (low, high), batch = options["zoom"], len(images)
    crop = _constant(tuple(options["crop"]), images.device)
    zoom = low * (high / low) ** draw((batch, 1))
    window = torch.round(crop / zoom).clamp(min=1).long()
    spare = sizes - window
    start = torch.floor(draw((batch, 2)) * (spare.abs() + 1)).long()
    # If the window is larger than the image, the image lies somewhere inside it.
    start = torch.where(spare >= 0, start, -start)
    inside, cuts, places = [], [], []
    for axis in (0, 1):
        place = torch.arange(images.shape[1 + axis], device=images.device)
        first, wide, size = (
            start[:, axis, None],
            window[:, axis, None],
            sizes[:, axis, None],
        )
        valid = (place < size) & (place >= first) & (place < first + wide)
        inside.append(valid.float())
        cuts.append(
            _rows(place, first, wide, int(options["crop"][axis]), low) * valid[:, None]
        )
        centre = torch.arange(int(options["crop"][axis]), device=images.device) + 0.5
        at = torch.floor(centre * wide / crop[axis]).long() + first
        places.append(torch.where((at >= 0) & (at < size), at, -1))
    pixels = images.permute(0, 3, 1, 2).float()
    weight = inside[0][:, :, None] * inside[1][:, None]
    mean = (pixels * weight[:, None]).sum((1, 2, 3)) / (3 * weight.sum((1, 2)))
    mean = torch.floor(mean)[:, None, None, None]
    resized = cuts[0][:, None] @ ((pixels - mean) @ cuts[1][:, None].mT) + mean
    rows, columns = places
    of = torch.arange(batch, device=images.device)[:, None, None]
    taken = labels[of, rows.clamp(min=0)[:, :, None], columns.clamp(min=0)[:, None]]
    outside = (rows < 0)[:, :, None] | (columns < 0)[:, None]
    return resized, torch.where(outside, IGNORE, taken.long())


@cache
def _constant(values: tuple, device):
    """Numbers on the device: a CUDA graph cannot bring them there."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _rows(place, first, wide, count: int, low: float):
    """The matrices (B, count, H) of TensorFlow's bilinear resize with antialias."""
    scale = wide / count
    centre = (torch.arange(count, device=place.device) + 0.5) * scale
    reach = scale.clamp(min=1.0)

    def tent(at):
        distance = (at[:, None] + 0.5 - centre[..., None]).abs() / reach[..., None]
        return (1 - distance).clamp(min=0)

    # The weights of a row sum to one over the window, padding included.
    longest = math.ceil(count / low) + 1
    at = torch.arange(longest, device=place.device).expand(len(wide), -1)
    whole = (tent(at) * (at < wide)[:, None]).sum(-1, keepdim=True)
    return tent(place - first) / whole


def _factors(draw, batch: int, low: float, high: float):
    return (low + (high - low) * draw((batch,)))[:, None, None, None]


def jittered(images, most: float, draw):
    """Brightness, contrast and saturation times random factors around 1."""
    batch = len(images)
    images = images * _factors(draw, batch, 1 - most, 1 + most)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * _factors(draw, batch, 1 - most, 1 + most)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * _factors(draw, batch, 1 - most, 1 + most)
    return images.clamp(0, 255)


def relit(images, most: float, draw):
    """Gamma and white balance."""
    batch = len(images)
    exponent = 2 * draw((batch, 1, 1, 1)) - 1
    gains = (1 + most / 2) ** (2 * draw((batch, 3, 1, 1)) - 1)
    balanced = images / 255 * gains / gains.mean(1, keepdim=True)
    return balanced.clamp(0, 1) ** ((1 + most) ** exponent) * 255


def corrupted(images, share: float, draw):
    """Noise, blur or JPEG artefacts on a share of the crops."""
    choice, strength = draw((len(images), 1, 1, 1)), draw((len(images), 1, 1, 1))
    kind = torch.floor(choice / share * 3)
    noise = draw(images.shape, normal=True)
    noisy = (images + MOST_NOISE * strength * noise).clamp(0, 255)
    changed = torch.where(kind == 0, noisy, images)
    changed = torch.where(kind == 1, blurred(images, MOST_BLUR * strength), changed)
    return torch.where(kind == 2, compressed(images, strength), changed)


def blurred(images, radius):
    """Gaussian blur of a standard deviation of its own for each image."""
    batch, channels, height, width = images.shape
    reach = int(3 * MOST_BLUR)
    steps = torch.arange(-reach, reach + 1, device=images.device).float()
    weights = torch.softmax(
        -((steps / radius.reshape(-1, 1).clamp(min=0.1)) ** 2) / 2, -1
    )
    for axis, size in ((2, height), (3, width)):
        # Mirrored at the edges, the edge itself included.
        place = torch.arange(-reach, size + reach, device=images.device)
        place = torch.where(place < 0, -1 - place, place)
        place = torch.where(place >= size, 2 * size - 1 - place, place)
        padded = images.index_select(axis, place)
        parts = [
            padded.narrow(axis, step, size) * weights[:, step, None, None, None]
            for step in range(2 * reach + 1)
        ]
        images = sum(parts)
    return images


_LUMA = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]  # fmt: skip
_CHROMA = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
]  # fmt: skip
"""Annex K of the JPEG standard (ITU T.81), as libjpeg has them."""


def compressed(images, strength):
    """JPEG with 4:2:0 colour; strength 0 is mild, 1 is strongest."""
    low, high = JPEG_QUALITY
    quality = torch.floor(high - strength * (high - low))
    scale = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    red, green, blue = (images.clamp(0, 255).round()).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    colour = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    luma = _quantized(luma[:, None] - 128, scale, _LUMA) + 128
    colour = _quantized(F.avg_pool2d(colour, 2), scale, _CHROMA)
    colour = F.interpolate(colour, scale_factor=2.0, mode="bilinear")
    (cb, cr), y = colour.unbind(1), luma[:, 0]
    rgb = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return torch.stack(rgb, 1).round().clamp(0, 255)


def _quantized(planes, scale, table):
    """Planes (B, C, H, W) after their 8x8 cosine transforms were rounded to a table."""
    batch, channels, height, width = planes.shape
    device = planes.device
    k = torch.arange(8, device=device).float()
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis = torch.where(k[:, None] == 0, basis / math.sqrt(2.0), basis)
    steps = _constant(tuple(table), device).reshape(8, 8)
    steps = torch.floor((steps * scale + 50) / 100).clamp(1, 255)
    steps = steps.reshape(batch, 1, 1, 1, 8, 8)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8)
    blocks = blocks.permute(0, 1, 2, 4, 3, 5)
    values = basis @ blocks @ basis.T
    values = torch.round(values / steps) * steps
    blocks = basis.T @ values @ basis
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)
