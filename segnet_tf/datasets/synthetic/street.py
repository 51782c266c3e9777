"""Lays out a street, paints it, and makes the image and its labels.

Every scene is a small three-dimensional street seen through a pinhole camera, so that
sizes, facades and shadows have one perspective. It is painted from far to near on one
RGBA canvas, whose fourth channel holds the surface of each pixel. Image and labels come
from the same strokes, so that they always agree.

Classes share their colours on purpose: houses, cars, fences and clothes have one
palette. Colour and position do not tell a class; shape, texture and context do.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from segnet_tf.datasets.synthetic.parts import (
    CODES,
    FACADES,
    FENCES,
    GROUND,
    LABELS,
    LAMP,
    LEAVES,
    PAINTS,
    PLATES,
    POSES,
    POST,
    STEP,
    TEXTURE,
    VOID,
)
from segnet_tf.datasets.synthetic.things import (
    draw_bonnet,
    draw_building,
    draw_car,
    draw_fence,
    draw_figure,
    draw_ground,
    draw_tree,
    draw_wall,
)
from segnet_tf.datasets.synthetic.view import Camera, Scene, shaded, value_noise

__all__ = ["draw_scene"]


def plan_side(scene: Scene, sign: int) -> None:
    """Buildings, gaps with trees, and front gardens on one side; `sign` of its x."""
    rng, side = scene.rng, int(sign > 0)
    edge = sign * (scene.half + scene.walks[side])
    front = edge + sign * scene.yards[side]
    gaps = rng.choice((0.05, 0.2, 0.4, 0.9), p=(0.5, 0.3, 0.12, 0.08))
    height, colour = rng.choice((4, 6, 8, 11, 15)), scene.pick(FACADES)
    terrace, pitched = rng.random() < 0.4, height < 10 and rng.random() < 0.8
    z = rng.uniform(-6, 6)
    while z < scene.end - 8:
        length = rng.uniform(5, 14)
        if z < scene.crossing + 6 and z + length > scene.crossing:
            z = scene.crossing + 6.5
        if rng.random() > gaps:
            if not terrace:
                colour, height = scene.pick(FACADES), height * rng.uniform(0.8, 1.25)
            look = height, colour, pitched
            scene.put(z + length, draw_building, front, (z, z + length), *look)
        else:
            for x, dz in rng.uniform((1, 0), (8, length), (rng.integers(1, 4), 2)):
                spot = front + sign * x, max(z + dz, 5)
                scene.put(spot[1], draw_tree, *spot, rng.uniform(4, 10))
        z += length
    if rng.random() < 0.35:
        for z in np.arange(rng.uniform(6, 14), 60, rng.uniform(7, 13)).tolist():
            scene.put(z, draw_tree, sign * (scene.half + 0.8), z, rng.uniform(4, 10))
    if scene.yards[side] or gaps > 0.3:
        plan_boundary(scene, edge)


def plan_boundary(scene: Scene, x: float) -> None:
    """Fences and hedges between pavement and gardens, with openings."""
    rng, look = scene.rng, ()
    for z in np.arange(rng.uniform(1, 3), scene.end - 8, 3.0).tolist():
        if not look or rng.random() < 0.08:
            kind = FENCES[rng.integers(len(FENCES))]
            colour = scene.pick(LEAVES if kind is FENCES[-1] else PAINTS)
            look = kind, rng.uniform(0.9, 1.9), colour
        if rng.random() < 0.9 and not -3 < z - scene.crossing < 6:
            scene.put(z + 3.0, draw_fence, ((x, z), (x, z + 3.0)), *look)


def plan_kerb(scene: Scene, sign: int) -> None:
    """Lamps and signs along one kerb; `sign` of its x."""
    rng, kerb = scene.rng, sign * (scene.half + 0.45)
    if rng.random() < 0.8:
        unit = rng.uniform(0.8, 1.3)
        for z in np.arange(rng.uniform(7, 16), 60, rng.uniform(14, 24)).tolist():
            scene.put(z, draw_figure, LAMP, "pole", (kerb, 0, z), unit, -sign)
    for z in rng.uniform(6, 20, rng.integers(4)).tolist():
        x, plate = kerb + sign * rng.random(), PLATES[rng.integers(len(PLATES))]
        scene.put(z, draw_figure, POST, "pole", (x, 0, z), 1.0)
        unit = rng.uniform(0.34, 0.5)
        scene.put(z, draw_figure, plate, "sign", (x, 2.3, z), unit)


def plan_traffic(scene: Scene, sign: int) -> None:
    """Parked and driving cars in one half of the road; `sign` of its x."""
    rng, half = scene.rng, scene.half
    heading = 0.0 if sign * scene.camera.offset > 0 else math.pi
    parked = (half - 1.05, (5, 16), (5.2, 12), rng.random() < 0.6 and half > 3.6)
    driving = (min(1.7, half / 2), (9, 30), (8, 25), 0.7)
    for x, first, gap, density in (parked, driving):
        z = rng.uniform(*first)
        while z < 58 and rng.random() < density:
            kind = "void" if rng.random() < 0.05 else "car"
            scene.put(z, draw_car, sign * x, z, heading, kind)
            z += rng.uniform(*gap)
    if rng.random() < 0.15:
        z = rng.uniform(12, 24)
        scene.put(z, draw_car, sign * rng.uniform(1, 4), z, sign * math.pi / 2)


def plan_people(scene: Scene, sign: int) -> None:
    """Walkers, cyclists, bins and dogs on one side; `sign` of its x."""
    rng, half, walk = scene.rng, scene.half, scene.walks[sign > 0]
    crowd = {"person": rng.integers(1, 5), "cyclist": rng.choice((0, 0, 0, 1, 1, 2))}
    crowd["void"] = rng.random() < 0.35
    for surface, count in crowd.items():
        for z in rng.uniform(6, 17, int(count)).tolist():
            pose = POSES[surface][rng.integers(len(POSES[surface]))]
            x = half + rng.uniform(0.4, 1) * walk
            if surface == "cyclist" or rng.random() < 0.12:
                x = rng.uniform(0.8, half - 0.5)
            unit = rng.choice((0.7, 0.95, 1, 1.05)) if surface == "person" else 1.0
            flip = rng.choice((-1, 1)) * rng.uniform(0.85, 1.1)
            scene.put(z, draw_figure, pose, surface, (sign * x, 0, z), unit, flip)


def plan_end(scene: Scene) -> None:
    """Buildings and trees across the far end of the street."""
    rng, x = scene.rng, -70.0
    while x < 70:
        width, z = rng.uniform(7, 15), scene.end + rng.uniform(4, 6)
        if rng.random() < 0.7:
            colour = shaded(scene.pick(FACADES), scene.facing(0, -1))
            look = rng.uniform(4, 11), colour, scene.pick(PAINTS[:3])
            scene.put(z, draw_wall, ((x, z), (x + width, z)), *look)
        else:
            scene.put(z, draw_tree, x + width / 2, z, rng.uniform(4, 10))
        x += width


def ground_texture(
    rng: np.random.Generator, camera: Camera, size: tuple[int, int], paving: np.ndarray
) -> np.ndarray:
    """Grain, stains and slab joints that shrink with distance; factors around 1."""
    tile = value_noise(rng, (256, 256), (8, 8), (32, 32), (128, 128))
    slab, depth = rng.choice((0.45, 0.6, 0.9)), rng.choice((0.0, 0.15, 0.25))
    top = min(int(camera.horizon / STEP) + 1, size[0])
    rows = (np.arange(top, size[0], dtype=np.float32)[:, None] + 0.5) * STEP
    columns = (np.arange(size[1], dtype=np.float32) + 0.5) * STEP
    z = camera.focal * camera.height / np.maximum(rows - camera.horizon, 0.5)
    x = (columns - camera.centre) * (z / camera.focal) + camera.offset
    x -= 0.5 * camera.bend * z * z
    grain = tile[(z * 24).astype(np.int32) % 256, (x * 24).astype(np.int32) % 256]
    joint = (x % slab < 0.03 + 0.004 * z) | (z % slab < 0.03 + 0.012 * z)
    texture = np.ones(size, np.float32)
    texture[top:] += 0.35 * np.clip(1.2 - z / 45, 0, 1) * grain
    texture[top:] -= depth * np.clip(1.1 - z / 16, 0, 1) * (joint & paving[top:])
    return texture


def void_borders(labels: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Void along some outlines, as in hand-drawn labels; thin classes stay whole."""
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    edge &= patches > 0.1
    for thin in (2, 6, 9, 10):
        edge &= labels != thin
    return np.where(edge, np.uint8(VOID), labels)


def develop(rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Makes an image and its labels from the canvas, with texture, light and lens."""
    codes = np.asarray(scene.canvas.getchannel("A"))[1::STEP, 1::STEP]
    size = height, width = codes.shape
    coarse = value_noise(rng, size, (12, 16), (30, 40))
    fine = value_noise(rng, size, (48, 64), (96, 128))
    light = 1.0 + TEXTURE[codes, 0] * coarse + TEXTURE[codes, 1] * fine
    dark = scene.shade.reduce(STEP).filter(ImageFilter.BoxBlur(height / 200))
    shade = 1.0 - (0.12 + 0.75 * scene.direct) / 255 * np.asarray(dark, np.float32)
    shade *= ground_texture(rng, scene.camera, size, codes == CODES["paving"])
    light *= np.where(GROUND[codes], shade, 1.0)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)
    slant, corners, exposure = rng.uniform((-0.12, 0, 0.6), (0.12, 0.1, 1.2))
    light *= 1.0 + slant * columns - corners * (columns**2 + rows**2)
    warmth, tint = rng.normal(0, (0.09, 0.03))
    gains = np.exp([warmth, tint, -warmth]) * exposure
    pixels = np.asarray(scene.canvas.convert("RGB").reduce(STEP)) * light[..., None]
    pixels = np.clip(pixels * gains.astype(np.float32), 0, 255).astype(np.uint8)
    blur = ImageFilter.BoxBlur(rng.uniform(0.05, 0.3) * height / 192)
    noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(1.5, 5)
    image = np.clip(Image.fromarray(pixels).filter(blur) + noise, 0, 255)
    return image.astype(np.uint8), void_borders(LABELS[codes], coarse)


def draw_scene(
    seed: int, index: int, height: int = 192, width: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Draws scene `index` of the endless series `seed`.

    Args:
        seed: number of the series.
        index: number of the scene.
        height: of the image, from about 32.
        width: of the image, from about 32.

    Returns:
        The image, uint8 RGB (height, width, 3), and the labels, uint8 (height, width):
        class ids 0..10 in CamVid's order, 255 for void. Both depend only on the
        arguments. Height and width change the resolution, but not the street.
    """
    # One stream lays out, the other adds grain, so that the street is the same at every
    # size.
    rng, grain = (np.random.default_rng([seed, index, use]) for use in range(2))
    scene = Scene(rng, height * STEP, width * STEP)
    draw_ground(scene)
    plan_end(scene)
    for sign in (-1, 1):
        for plan in (plan_side, plan_kerb, plan_traffic, plan_people):
            plan(scene, sign)
    for _, draw in sorted(scene.items, key=lambda item: -item[0]):
        draw()
    if rng.random() < 0.3:
        draw_bonnet(scene)
    return develop(grain, scene)
