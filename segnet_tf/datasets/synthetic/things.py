"""Paints each kind of thing: ground, houses, fences, trees, cars and figures."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, product

import numpy as np

from segnet_tf.datasets.synthetic.parts import (
    CAR_TRIM,
    CARS,
    FACADES,
    LEAVES,
    NEAR,
    PAINTS,
    SKINS,
    TONES,
    Colour,
    Line,
    Pair,
    Parts,
    Point,
    oblong,
    ring,
)
from segnet_tf.datasets.synthetic.view import Scene, shaded


def draw_band(scene: Scene, x: Pair, z: Pair, colour: Colour, surface: str) -> None:
    """Strip of ground between two lateral positions, which follows the bend."""
    near, far = max(z[0], NEAR), max(z[1], 1.0)
    steps = [near * (far / near) ** (step / 13) for step in range(14)]
    left = [scene.camera.project(x[0], 0.0, step) for step in steps]
    right = [scene.camera.project(x[1], 0.0, step) for step in steps]
    scene.draw.polygon(left + right[::-1], scene.ink(colour, surface, steps[5]))


def draw_ground(scene: Scene) -> None:
    rng, half, far = scene.rng, scene.half, scene.end + 30
    tarmac = (rng.uniform(70, 150) + rng.normal(0, 5, 3)).tolist()
    slabs = tarmac if rng.random() < 0.4 else scene.pick(PAINTS[:9], 6)
    draw_band(scene, (-400, 400), (NEAR, 900), scene.pick(LEAVES, 8), "grass")
    for sign, walk in zip((-1, 1), scene.walks, strict=True):
        for width, tone in ((walk, 1.0), (0.16, 1.25), (0.04, 0.6)):  # slabs and kerb
            edge = sign * (half + width)
            draw_band(scene, (edge, 0), (NEAR, far), shaded(slabs, tone), "paving")
    draw_band(scene, (-half, half), (NEAR, far), tarmac, "road")
    for z in (scene.crossing, scene.end - 7):
        draw_band(scene, (-90, 90), (z, z + 6), tarmac, "road")
    for _ in range(rng.integers(1, 6)):  # repairs
        x, z = rng.uniform(-half, half * 0.7), rng.uniform(3, 18)
        patch = shaded(tarmac, rng.uniform(0.75, 1.15))
        draw_band(scene, (x, x + rng.uniform(0.5, 1.2)), (z, z + 3), patch, "road")
    draw_markings(scene)


def draw_markings(scene: Scene) -> None:
    """Centre line, kerb lines and a zebra crossing; all of them are road."""
    rng, half, far = scene.rng, scene.half, scene.end - 8
    white = shaded(TONES["white"], rng.uniform(0.75, 1.05))
    dash, gap = rng.uniform(1.5, 4), rng.uniform(1.5, 6)
    if rng.random() < 0.8:
        for z in np.arange(rng.uniform(0, 6), far, dash + gap).tolist():
            draw_band(scene, (-0.07, 0.07), (z, z + dash), white, "road")
    if rng.random() < 0.5:
        colour = TONES["yellow"] if rng.random() < 0.6 else white
        for x in (0.3 - half, half - 0.4):
            draw_band(scene, (x, x + 0.1), (NEAR, far), colour, "road")
    if rng.random() < 0.35:
        z = rng.uniform(7, 16)
        for x in np.arange(0.3 - half, half - 0.5, 1.0).tolist():
            draw_band(scene, (x, x + 0.5), (z, z + 2.6), white, "road")


def draw_wall(
    scene: Scene, line: Line, height: float, colour: Colour, trim: Colour
) -> None:
    """Upright wall over `line`, with a door and rows of windows."""
    rng, panel = scene.rng, partial(scene.panel, line)
    panel((0, 1), (0, height), colour, "wall")
    if min(z for _, z in line) > 50:
        return
    length, storeys = math.dist(*line), max(1, int(height / 2.9))
    columns = max(1, int(length / rng.uniform(2.0, 3.4)))
    wide, tall = rng.uniform(0.17, 0.35), rng.uniform(1.1, 1.7)
    glass = shaded(scene.haze, rng.uniform(0.15, 0.75))
    door, shop = rng.integers(columns), rng.random() < 0.25
    panel((0, 1), (0, rng.uniform(0.2, 0.7)), shaded(colour, 0.75), "wall")
    if shop:
        panel((0, 1), (2.5, 3.1), scene.pick(PAINTS), "wall")
    for storey, column in product(range(storeys), range(columns)):
        half = (0.44 if shop and storey == 0 else wide) / columns
        left, right = (column + 0.5) / columns - half, (column + 0.5) / columns + half
        low, edge = 0.95 + storey * height / storeys, 0.1 / length
        if storey == 0 and column == door:
            panel((left, right), (0, 2.15), scene.pick(PAINTS), "wall")
            continue
        panel((left - edge, right + edge), (low - 0.15, low + tall + 0.1), trim, "wall")
        pane = shaded(glass, rng.uniform(0.6, 1.3))
        panel((left, right), (low, low + tall), pane, "glass")


def draw_building(
    scene: Scene, x: float, z: Pair, height: float, colour: Colour, pitched: bool
) -> None:
    """House whose front stands at lateral `x` and recedes from z[0] to z[1]."""
    rng, sign, near = scene.rng, math.copysign(1, x), max(z[0], NEAR)
    deep, trim = rng.uniform(7, 12), scene.pick(PAINTS[:3])
    light = scene.facing(-sign, 0)
    front, gable = shaded(colour, light), shaded(colour, scene.facing(0, -1))
    back, ridge = x + sign * deep, x + sign * deep / 2
    scene.cast([(px, height, pz) for px, pz in oblong(x, z[0], back, z[1])])
    scene.cast([(x, y, pz) for pz, y in oblong(z[0], 0, z[1], height)])
    if pitched:
        peak, eaves = height + deep * rng.uniform(0.3, 0.5), x - sign * 0.3
        slope = [(eaves, height, near), (ridge, peak, near)]
        slope += [(ridge, peak, z[1]), (eaves, height, z[1])]
        scene.fill(slope, shaded(scene.pick(FACADES), light), "roof")
        end = [(x, height, near), (ridge, peak, near), (back, height, near)]
        scene.fill(end, gable, "wall")
        stack = max(near, rng.uniform(*z))
        chimney = (ridge - 0.5, stack), (ridge + 0.5, stack)
        scene.panel(chimney, (0, 1), (peak - 0.8, peak + 1.2), gable, "wall")
    if z[0] > NEAR:
        draw_wall(scene, ((x, near), (back, near)), height, gable, trim)
    draw_wall(scene, ((x, near), (x, z[1])), height, front, trim)


def draw_fence(
    scene: Scene, line: Line, kind: Sequence[float], height: float, colour: Colour
) -> None:
    """Fence or hedge of a `kind` over `line`."""
    spacing, filled, behind, uneven = kind
    front = scene.facing(-math.copysign(1, line[0][0]), 0)
    surface = "foliage" if uneven else "fence"

    def panel(span: Pair, rise: Pair, tone: float) -> None:
        rise = rise[0] * height, rise[1] * height
        scene.panel(line, span, rise, shaded(colour, front * tone), surface)

    (ax, az), (bx, bz) = line
    scene.cast([(ax, 0, az), (ax, height, az), (bx, height, bz), (bx, 0, bz)])
    panel((0, 1), (0, 0.97), behind)
    bars = round(math.dist(*line) / spacing) if az < 30 else 0
    for bar, dip in enumerate(scene.rng.uniform(0, uneven, bars).tolist()):
        panel((bar / bars, (bar + filled) / bars), (dip, 1 - 0.4 * dip), 1 - dip)
    if not uneven:
        panel((0, 1), (0.1, 0.2), behind * 1.3)
        panel((0, 1), (0.85, 0.95), 1.15)


def draw_tree(scene: Scene, x: float, z: float, height: float) -> None:
    rng, scale = scene.rng, scene.camera.focal / z
    leaves, bark = scene.pick(LEAVES, 8), scene.pick(PAINTS[2:9], 6)
    middle, tall = height * rng.uniform(0.58, 0.68), height * 0.36
    wide = tall * rng.uniform(0.55, 1.1)
    u, foot = scene.camera.project(x, 0.0, z)
    fork, thick = foot - middle * scale, max(0.02 * height, 0.1) * scale
    trunk = [(u - thick, foot), (u - thick * 0.6, fork), (u + thick * 0.6, fork)]
    scene.draw.polygon([*trunk, (u + thick, foot)], scene.ink(bark, "bark", z))
    clumps = int(22 + 50 * math.exp(-z / 18))
    angles, radii = rng.uniform(0, (2 * math.pi, 1), (clumps, 2)).T
    across, up = np.array((np.cos(angles), np.sin(angles))) * 0.9 * radii**0.5
    sunward = -math.copysign(scene.direct, scene.sun[0])
    light = 0.6 + 0.25 * sunward * across + (0.2 + 0.25 * scene.direct) * up
    light = np.maximum(light + rng.uniform(0, 0.35, clumps), 0.25)
    sizes = (0.42 - 0.24 * radii**0.5) * rng.uniform(0.7, 1.2, clumps) * tall * scale
    us, vs = u + across * wide * scale, fork - up * tall * scale
    order = np.argsort(light)  # sunlit clumps over shaded ones
    for cu, cv, r, tone in np.stack([us, vs, sizes, light], 1)[order].tolist():
        box = (cu - r, cv - r * 0.8, cu + r, cv + r * 0.8)
        scene.draw.ellipse(box, scene.ink(shaded(leaves, tone), "foliage", z))
    scene.cast_post(x, z, middle, 0.04 * height)
    for y in (middle * 0.8, middle * 1.2):
        scene.cast([(px, y, pz) for px, pz in ring(x, z, wide * 0.8)])


def draw_car(
    scene: Scene, x: float, z: float, heading: float, surface: str = "car"
) -> None:
    """Car centred at (x, z); heading 0 drives away from the camera, pi towards it."""
    rng = scene.rng
    longer, taller, half = rng.uniform((0.92, 0.96, 0.84), (1.08, 1.1, 0.93)).tolist()
    outline = [(a * longer, y * taller) for a, y in CARS[rng.integers(5) // 2]]
    length, sin, cos = outline[-1][0], math.sin(heading), math.cos(heading)
    paint, glass = scene.pick(PAINTS, 8), shaded(scene.haze, rng.uniform(0.12, 0.45))
    tones = {**TONES, "glass": glass, "lamp": (245, 245, 225)}

    def place(a: float, b: float, y: float) -> Point:
        b *= half * (1.0 if y < 1.05 * taller else 0.88)  # cabins taper
        a -= length / 2
        return x + a * sin + b * cos, y, z + a * cos - b * sin

    def face(corners: Sequence[Point], colour: Colour) -> bool:
        """Fills a face listed clockwise from outside; False if it faces away."""
        seen = [scene.camera.project(*place(*corner)) for corner in corners]
        pairs = zip(seen, seen[1:] + seen[:1], strict=True)
        shown = sum(u * q - p * v for (u, v), (p, q) in pairs) > 0
        if shown:
            scene.draw.polygon(seen, scene.ink(colour, surface, z))
        return shown

    base = [place(a, b, 0.0) for a, b in oblong(0, -1, length, 1)]
    scene.fill(base, (38, 38, 42), "road")  # daylight hardly gets under a car
    for y in (0.7, 1.4):
        scene.cast([(px, y * taller, pz) for px, _, pz in base])
    for side in (-1, 1):
        body = shaded(paint, scene.facing(side * cos, -side * sin))
        for points, colour in flank_parts(outline, body, glass):
            if not face([(a, side, y) for a, y in points[::side]], colour):
                break  # the parts on the flank face away, too
    for edge, ((a0, y0), (a1, y1)) in enumerate(pairwise(outline)):
        steep = (y1 - y0) / math.hypot(a1 - a0, y1 - y0)
        shade = scene.facing(-sin * steep, -cos * steep) + 0.25 * (1 - abs(steep))
        patches = [(oblong(-1, 0, 1, 1), shaded(paint, shade))]
        patches += [(patch, tones[tone]) for at, patch, tone in CAR_TRIM if at == edge]
        for patch, colour in patches:
            strip = [(a0 + (a1 - a0) * s, b, y0 + (y1 - y0) * s) for b, s in patch]
            if not face(strip, colour):
                break


def flank_parts(
    outline: Sequence[Pair], paint: Colour, glass: Colour
) -> Iterator[tuple[Sequence[Pair], Colour]]:
    """Polygons of a car's side, clockwise: body, windows, a pillar and the wheels."""
    yield outline, paint
    middle = np.mean(outline[2:6], 0)
    cabin = (middle + (outline[2:6] - middle) * (0.8, 0.72)).tolist()
    yield cabin, glass
    pillar, low, high = (cabin[1][0] + cabin[2][0]) / 2, cabin[0][1], cabin[1][1]
    yield oblong(pillar - 0.05, low, pillar + 0.05, high), paint
    for axle in (0.19 * outline[-1][0], 0.81 * outline[-1][0]):
        yield ring(axle, 0.35, 0.36)[::-1], TONES["black"]
        yield ring(axle, 0.35, 0.2)[::-1], TONES["grey"]


def draw_figure(
    scene: Scene, parts: Parts, surface: str, at: Point, unit: float, flip: float = 1
) -> None:
    """Flat figure that faces the camera and stands `at`; `unit`: metres per unit."""
    (x, lift, z), (u, v) = at, scene.camera.project(*at)
    scale, light = scene.camera.focal / z * unit, 0.5 + 0.5 * scene.facing(0, -1)
    # Poles are a class of their own, so that they must not be too thin to see.
    thin = (0.011 if surface == "pole" else 0.007) * scene.canvas.height
    names = "paint", "coat", "trousers", "hair"
    tones = {**TONES, **{name: scene.pick(PAINTS) for name in names}}
    metal, skin = scene.pick(PAINTS[1:5], 8), scene.pick(SKINS, 4)
    tones |= {"metal": metal, "sheen": shaded(metal, 1.3), "skin": skin}
    tones["sleeve"] = shaded(tones["coat"], 0.85)
    for tone, width, points in parts:
        ink, r = scene.ink(shaded(tones[tone], light), surface, z), width * scale
        spots = [(u + flip * p * scale, v - q * scale) for p, q in points]
        if not width:
            scene.draw.polygon(spots, ink)
        elif len(spots) > 1:
            scene.draw.line(spots, ink, round(max(r, thin, 1)), joint="curve")
        else:
            ((cu, cv),) = spots
            scene.draw.ellipse((cu - r, cv - r, cu + r, cv + r), ink)
    if not lift:
        top = max(q for _, _, points in parts for _, q in points)
        scene.cast_post(x, z, top * unit, 0.16 if surface == "pole" else 0.35)


def draw_bonnet(scene: Scene) -> None:
    """The camera car's own bonnet along the bottom edge; not a class."""
    (width, height), colour = scene.canvas.size, scene.pick(PAINTS)
    rise = height * scene.rng.uniform(0.03, 0.09)
    for share, tone in ((1.0, 0.6), (0.8, 0.9)):
        box = (-0.15 * width, height - rise * share, 1.15 * width, height + 2 * rise)
        scene.draw.ellipse(box, scene.ink(shaded(colour, tone), "void"))
