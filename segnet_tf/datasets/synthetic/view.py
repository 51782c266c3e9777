"""A scene: its camera, light and street, and its canvases."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from segnet_tf.datasets.synthetic.parts import (
    CODES,
    NEAR,
    WEATHERS,
    Colour,
    Line,
    Pair,
    Point,
    oblong,
)


class Camera(NamedTuple):
    """Pinhole over flat ground; `focal`, `centre` and `horizon` in canvas pixels."""

    focal: float
    centre: float
    horizon: float
    height: float  # metres above the road
    offset: float  # metres right of the road's middle
    bend: float  # curvature of the street, 1 / metres

    def project(self, x: float, y: float, z: float) -> Pair:
        z = max(z, NEAR)
        scale = self.focal / z
        lateral = x - self.offset + 0.5 * self.bend * z * z
        return self.centre + lateral * scale, self.horizon + (self.height - y) * scale


class Scene:
    """View, light, street and canvases of one scene."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        """Chooses the scene; `height` and `width` of its canvas are in pixels."""
        self.rng = rng
        self.half = rng.uniform(2.3, 5.2)  # half the road's width, metres
        self.walks = rng.uniform(1.8, 5.5, 2).tolist()  # pavements, left and right
        self.yards = rng.choice((0, 0, 2, 4), 2).tolist()  # from pavement to houses
        self.crossing = rng.uniform(14, 90)  # depth of the side street
        self.end = rng.uniform(35, 110)  # depth where buildings close the street
        self.camera = Camera(
            focal=width * rng.uniform(0.8, 1.0),
            centre=width * rng.uniform(0.32, 0.68),
            horizon=height * rng.uniform(0.39, 0.58),
            height=rng.uniform(1.25, 1.9),
            offset=rng.choice((-1, 1)) * self.half * rng.uniform(0.25, 0.5),
            bend=rng.normal(0, 0.0025),
        )
        weather = WEATHERS[rng.integers(len(WEATHERS))]
        _, self.haze, self.direct, reach, _ = weather  # direct: share of light, 0..1
        angle, long = rng.uniform(0, 2 * math.pi), rng.uniform(*reach)
        # The end of a 1 m post's shadow, (x, z) from its foot.
        self.sun = math.sin(angle) * long, math.cos(angle) * long
        self.canvas = paint_sky(rng, (height, width), self.camera.horizon, weather)
        self.draw = ImageDraw.Draw(self.canvas)
        self.shade = Image.new("L", (width, height))  # ground that the sun misses
        self.draw_shade = ImageDraw.Draw(self.shade)
        self.items: list[tuple[float, Callable[[], None]]] = []

    def put(self, z: float, draw: Callable, *args: object) -> None:
        """Adds a call of `draw` at depth `z`; deeper things are drawn before."""
        self.items.append((z, partial(draw, self, *args)))

    def pick(self, palette: Sequence[Colour], spread: float = 10.0) -> list[float]:
        """A colour of `palette`, varied in brightness and, by `spread`, in hue."""
        colour = palette[int(self.rng.integers(len(palette)))]
        glow, hues = self.rng.uniform(0.75, 1.2), self.rng.normal(0, spread, 3)
        return [c * glow + hue for c, hue in zip(colour, hues.tolist(), strict=True)]

    def ink(self, colour: Colour, surface: str, z: float = 0.0) -> tuple[int, ...]:
        """RGBA fill: `colour` seen through `z` metres of air, and the surface."""
        veil = 1.0 - math.exp(-z / 220.0)
        (r, g, b), (hr, hg, hb) = colour, self.haze
        r, g, b = r + (hr - r) * veil, g + (hg - g) * veil, b + (hb - b) * veil
        return int(r), int(g), int(b), CODES[surface]

    def facing(self, nx: float, nz: float) -> float:
        """Brightness of an upright surface whose outward normal is (nx, nz)."""
        away = (nx * self.sun[0] + nz * self.sun[1]) / math.hypot(*self.sun)
        return 1.0 - self.direct * 0.42 * (1.0 + away)

    def fill(self, corners: Sequence[Point], colour: Colour, surface: str) -> None:
        """Polygon with corners in the world."""
        points = [self.camera.project(*corner) for corner in corners]
        self.draw.polygon(points, self.ink(colour, surface, max(corners[0][2], 0)))

    def panel(
        self, line: Line, span: Pair, rise: Pair, colour: Colour, surface: str
    ) -> None:
        """Upright rectangle over `line`: `span` in shares of it, `rise` in metres."""
        ((ax, az), (bx, bz)), outline = (
            line,
            oblong(span[0], rise[0], span[1], rise[1]),
        )
        corners = [(ax + (bx - ax) * s, y, az + (bz - az) * s) for s, y in outline]
        self.fill(corners, colour, surface)

    def cast(self, corners: Sequence[Point]) -> None:
        """Shadow of a polygon on the ground, cut off at the near plane."""
        (sx, sz), points = self.sun, []
        ground = [(x + sx * y, z + sz * y) for x, y, z in corners]
        for (x, z), (p, q) in zip(ground, ground[1:] + ground[:1], strict=True):
            if z >= NEAR:
                points.append(self.camera.project(x, 0, z))
            if (z >= NEAR) != (q >= NEAR):
                x += (p - x) * (NEAR - z) / (q - z)
                points.append(self.camera.project(x, 0, NEAR))
        if len(points) > 2:
            self.draw_shade.polygon(points, 255)

    def cast_post(self, x: float, z: float, height: float, width: float) -> None:
        """Shadow of a post, `width` across in every direction."""
        across = width / 2 / math.hypot(*self.sun)
        dx, dz = across * self.sun[1], -across * self.sun[0]
        outline = oblong(-1, 0, 1, height)
        self.cast([(x + side * dx, y, z + side * dz) for side, y in outline])


def shaded(colour: Colour, factor: float) -> list[float]:
    return [c * factor for c in colour]


def value_noise(
    rng: np.random.Generator, size: tuple[int, int], *grids: tuple[int, int]
) -> np.ndarray:
    """Sum of random grids (rows, columns) from coarse to fine; float32 -1..1."""
    noise = rng.integers(0, 256, grids[0], np.uint8)
    for rows, columns in grids[1:]:
        under = Image.fromarray(noise).resize((columns, rows), Image.Resampling.BICUBIC)
        noise = np.asarray(under) * 0.62 + rng.integers(
            0, 97, (rows, columns), np.uint8
        )
        noise = noise.astype(np.uint8)
    height, width = size
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1.0


def paint_sky(
    rng: np.random.Generator, size: tuple[int, int], horizon: float, weather: tuple
) -> Image.Image:
    """RGBA canvas of `size` (height, width): clouds over a vertical gradient."""
    zenith, low, _, _, cover = weather
    height, width = size
    grid = (72, 96)  # small, then enlarged, because clouds are soft
    rise = np.linspace(0, height / horizon, grid[0]).clip(0, 1)[:, None, None] ** 1.5
    clear = np.add(zenith, rng.normal(0, 9, 3)) * (1 - rise) + np.array(low) * rise
    clouds = value_noise(rng, grid, (6, 3), (12, 6), (24, 12), (48, 24))[..., None]
    lit = np.array(low) * rng.uniform(0.8, 1.08) * (1 + 0.3 * clouds)
    cover = np.clip((clouds + rng.uniform(*cover) - 0.4) * 2.5, 0, 0.9)
    pixels = np.clip(clear + (lit - clear) * cover, 0, 255).astype(np.uint8)
    canvas = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    canvas.putalpha(CODES["sky"])
    return canvas
