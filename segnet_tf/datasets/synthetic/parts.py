"""The parts of a street, as data: colours, surfaces, figures, signs and cars."""

import math
from collections.abc import Sequence

import numpy as np

Colour = Sequence[float]  # red, green, blue, nominally 0..255
Pair = tuple[float, float]
Line = tuple[Pair, Pair]  # on the ground, from (x, z) to (x, z)
Point = tuple[float, float, float]  # metres: x right, y up, z along the street
Parts = tuple[tuple[str, float, tuple[Pair, ...]], ...]

VOID = 255
STEP = 2  # canvas pixels per image pixel and axis, for smooth edges
NEAR = 0.8  # metres; the near plane of the projection


def ring(x: float, y: float, radius: float, corners: int = 14) -> tuple[Pair, ...]:
    turns = [2 * math.pi * i / corners for i in range(corners + 1)]
    return tuple((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns)


def oblong(left: float, low: float, right: float, high: float) -> tuple[Pair, ...]:
    return (left, low), (left, high), (right, high), (right, low)


# fmt: off
# surface: (class id, strength of coarse texture, strength of fine texture)
SURFACES = {
    "sky": (0, 0.0, 0.0), "wall": (1, 0.16, 0.12), "roof": (1, 0.14, 0.26),
    "glass": (1, 0.35, 0.04), "pole": (2, 0.06, 0.05), "road": (3, 0.06, 0.04),
    "paving": (4, 0.06, 0.05), "grass": (5, 0.25, 0.35), "foliage": (5, 0.35, 0.65),
    "bark": (5, 0.15, 0.35), "sign": (6, 0.04, 0.03), "fence": (7, 0.1, 0.14),
    "car": (8, 0.08, 0.03), "person": (9, 0.12, 0.12), "cyclist": (10, 0.12, 0.12),
    "void": (VOID, 0.08, 0.06),
}
CODES = {name: code for code, name in enumerate(SURFACES)}
LABELS = np.array([row[0] for row in SURFACES.values()], np.uint8)
TEXTURE = np.array([row[1:] for row in SURFACES.values()], np.float32)
GROUND = np.array([name in ("road", "paving", "grass") for name in SURFACES])

TONES = {
    "white": (235, 235, 230), "black": (42, 42, 45), "grey": (125, 125, 128),
    "red": (190, 35, 40), "blue": (40, 80, 165), "yellow": (225, 190, 70),
}
LEAVES = (
    (78, 98, 55), (56, 76, 46), (98, 112, 66), (85, 95, 62), (62, 75, 58),
    (145, 112, 66), (155, 88, 58), (82, 116, 62), (168, 148, 88), (105, 66, 56),
)
PAINTS = (
    (225, 222, 215), (190, 190, 188), (140, 142, 145), (95, 98, 102), (62, 64, 68),
    (200, 180, 145), (170, 140, 105), (125, 95, 70), (90, 65, 48), (222, 205, 160),
    (150, 62, 50), (175, 90, 65), (130, 40, 42), (196, 120, 90), (205, 165, 60),
    (70, 95, 130), (110, 135, 160), (160, 180, 200), (45, 60, 95),
    *LEAVES, *TONES.values(),
)
FACADES = PAINTS[: -len(TONES)]  # houses do not have the bright colours
SKINS = ((235, 195, 165), (205, 155, 120), (150, 105, 75), (95, 65, 50))
# zenith, horizon, share of direct light, metres of shadow per metre, cloud cover
WEATHERS = (
    ((88, 132, 190), (190, 208, 222), 0.60, (0.4, 1.6), (0.1, 0.4)),
    ((98, 138, 185), (200, 205, 210), 0.50, (0.4, 1.6), (0.4, 0.7)),
    ((176, 180, 186), (212, 212, 210), 0.10, (0.2, 0.5), (0.6, 1.0)),
    ((228, 230, 232), (240, 240, 238), 0.18, (0.3, 0.8), (0.4, 0.9)),
    ((112, 118, 150), (232, 178, 140), 0.42, (1.4, 2.6), (0.2, 0.6)),
)

# Flat figures, in metres from the point where they stand (signs: in half plates from
# the plate's middle). A part is (tone, width, points): width 0 fills the polygon, one
# point makes a disc of this radius, several points make a line of this width.
WALKER = (
    ("trousers", 0.16, ((-0.06, 0.85), (-0.03, 0.48), (-0.22, 0.05))),
    ("trousers", 0.16, ((0.06, 0.85), (0.12, 0.48), (0.18, 0.05))),
    *(("black", 0.09, ((heel, 0.04), (heel + 0.15, 0.04))) for heel in (-0.26, 0.14)),
    ("sleeve", 0.11, ((-0.2, 1.4), (-0.27, 1.1), (-0.26, 0.85))),
    ("coat", 0, ((-0.2, 1.45), (0, 1.55), (0.2, 1.45), (0.2, 0.8), (-0.2, 0.8))),
    ("sleeve", 0.11, ((0.2, 1.4), (0.28, 1.1), (0.24, 0.85))),
    ("hair", 0.13, ((0, 1.66),)), ("skin", 0.105, ((0.03, 1.63),)),
)
IN_COAT = (*WALKER, ("coat", 0, ((-0.2, 1), (0.2, 1), (0.26, 0.5), (-0.26, 0.5))))
WITH_BAG = (*WALKER, ("paint", 0, oblong(0.14, 0.58, 0.4, 0.92)))
RIDER_FROM_SIDE = (
    *(("black", 0.07, ring(hub, 0.34, 0.33)) for hub in (-0.53, 0.53)),
    *(("grey", 0.02, ((hub - 0.2, 0.1), (hub + 0.2, 0.58))) for hub in (-0.53, 0.53)),
    *(("grey", 0.02, ((hub - 0.2, 0.58), (hub + 0.2, 0.1))) for hub in (-0.53, 0.53)),
    ("paint", 0.06, ((-0.2, 0.85), (0.4, 0.88), (0, 0.3), (-0.53, 0.34), (-0.2, 0.85))),
    ("paint", 0.05, ((0.53, 0.34), (0.38, 1.02), (0.5, 1.05))),
    ("trousers", 0.15, ((-0.2, 0.95), (0.2, 0.78), (0.02, 0.25))),
    ("trousers", 0.13, ((-0.2, 0.95), (0.12, 0.62), (-0.05, 0.4))),
    ("coat", 0.27, ((-0.2, 0.92), (0.14, 1.42))),
    ("sleeve", 0.1, ((0.14, 1.36), (0.3, 1.12), (0.46, 1.06))),
    ("skin", 0.12, ((0.27, 1.6),)), ("hair", 0.115, ((0.24, 1.65),)),
)
RIDER_FROM_BEHIND = (
    ("black", 0.09, ((0, 0.02), (0, 0.7))), ("paint", 0.06, ((-0.3, 1.1), (0.3, 1.1))),
    ("trousers", 0.14, ((-0.12, 0.95), (-0.17, 0.6), (-0.12, 0.18))),
    ("trousers", 0.14, ((0.12, 0.95), (0.17, 0.6), (0.12, 0.36))),
    ("sleeve", 0.1, ((-0.2, 1.4), (-0.34, 1.2), (-0.28, 1.06))),
    ("sleeve", 0.1, ((0.2, 1.4), (0.34, 1.2), (0.28, 1.06))),
    ("coat", 0, ((-0.22, 1.42), (0, 1.55), (0.22, 1.42), (0.17, 0.88), (-0.17, 0.88))),
    ("skin", 0.12, ((0, 1.64),)), ("hair", 0.125, ((0, 1.69),)),
)
POSES = {
    "person": (WALKER, IN_COAT, WITH_BAG),
    "cyclist": (RIDER_FROM_SIDE, RIDER_FROM_BEHIND),
    "void": (
        (("paint", 0, ((-0.26, 0), (-0.32, 1), (0.32, 1), (0.26, 0))),  # a bin
         ("grey", 0.12, ((-0.35, 1.02), (0.35, 1.02)))),
        (*(("hair", 0.06, ((leg, 0), (leg, 0.4))) for leg in (-0.3, -0.2, 0.2, 0.3)),
         ("hair", 0.2, ((-0.36, 0.42), (0.32, 0.44))), ("hair", 0.13, ((0.42, 0.6),))),
    ),
}
POST = (("metal", 0.11, ((0, 0), (0, 2.4))), ("sheen", 0.04, ((0.02, 0), (0.02, 2.4))))
LAMP = (
    ("metal", 0.26, ((0, 0), (0, 1))), ("metal", 0.16, ((0, 0), (0, 6))),
    ("sheen", 0.05, ((0.04, 0), (0.04, 6))), ("metal", 0.1, ((0, 5.9), (1.3, 6.2))),
    ("sheen", 0, ((1.1, 6.1), (1.2, 6.3), (1.8, 6.25), (1.9, 6.05))),
)
_DISC, _BAR = ((0, 0),), ((-0.5, 0), (0.5, 0))
PLATES = (
    (("red", 1, _DISC), ("white", 0.68, _DISC), ("black", 0.2, ((0, -0.3), (0, 0.3)))),
    (("white", 1, _DISC), ("blue", 0.9, _DISC), ("white", 0.3, _BAR)),
    (("white", 1, _DISC), ("red", 0.9, _DISC), ("white", 0.3, _BAR)),
    (("red", 0, ((0, 1.1), (1, -0.7), (-1, -0.7))),
     ("white", 0, ((0, 0.5), (0.5, -0.4), (-0.5, -0.4)))),
    (("black", 0, oblong(-0.45, -1, 0.45, 1)), ("red", 0.28, ((0, 0.62),)),
     ("grey", 0.28, _DISC), ("grey", 0.28, ((0, -0.62),))),
    (("white", 0, oblong(-1.6, -0.9, 1.6, 0.9)),
     ("paint", 0, oblong(-1.5, -0.8, 1.5, 0.8)),
     *(("white", 0.2, ((-1.2, row), (0.8, row))) for row in (-0.3, 0.3))),
)

# Outlines of hatchback, saloon and van from tail to nose: (metres along, metres up).
CARS = (
    ((0, 0.25), (0, 0.85), (0.12, 0.98), (0.55, 1.46),
     (2.2, 1.5), (3.0, 1.0), (3.9, 0.85), (4.05, 0.25)),
    ((0, 0.25), (0, 0.9), (0.75, 0.98), (1.35, 1.4),
     (2.7, 1.42), (3.4, 0.98), (4.4, 0.82), (4.55, 0.25)),
    ((0, 0.25), (0, 1.0), (0.1, 1.15), (0.35, 1.95),
     (3.3, 2.0), (3.9, 1.2), (4.6, 1.0), (4.7, 0.25)),
)
# Patches on the outline's edges: (edge, patch, tone). A patch spans -1 to 1 across the
# car's width and 0 to 1 along the edge; tyres exceed the edge, down to the road.
CAR_TRIM = (
    (0, oblong(-1, 0, 1, 0.2), "black"), (0, oblong(-0.3, 0.28, 0.3, 0.48), "yellow"),
    *((0, oblong(left, 0.55, left + 0.29, 0.92), "red") for left in (-0.95, 0.66)),
    *((0, oblong(left, -0.38, left + 0.25, 0.02), "black") for left in (-0.95, 0.7)),
    *((edge, oblong(-0.86, 0.1, 0.86, 0.88), "glass") for edge in (2, 4)),
    (6, oblong(-1, 0.8, 1, 1), "black"), (6, oblong(-0.3, 0.5, 0.3, 0.7), "white"),
    *((6, oblong(left, 0.08, left + 0.35, 0.42), "lamp") for left in (-0.95, 0.6)),
    *((6, oblong(left, 0.98, left + 0.25, 1.4), "black") for left in (-0.95, 0.7)),
)
# Railings, boards, garden wall, and a hedge, which is vegetation: metres between bars,
# filled share of them, brightness behind the bars, unevenness of a hedge.
FENCES = (
    (0.28, 0.45, 0.5, 0), (0.3, 0.8, 0.6, 0), (1.6, 0.12, 0.9, 0), (0.2, 1, 0.7, 0.3),
)
# fmt: on
