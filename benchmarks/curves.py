"""The curves of `benchmarks.scaling`: their points, slopes and picture."""

from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from segnet_tf.files import replacing

__all__ = ["AXES", "BASE", "Curve", "curves", "draw"]

BASE = {"side": 256, "batch": 1, "classes": 11, "threads": 2}
"""A curve changes one of these; the others stay. Images are square."""

AXES = {
    "pixels": ("side", 1),
    "batch": ("batch", 1),
    "classes": ("classes", 1),
    "threads": ("threads", -1),
}
"""Axis -> what changes, and the slope of a cost that is proportional to it. Twice the
threads take half the time at best."""

TOLERANCE = 0.15
"""A slope so near to that of a proportional cost counts as it: between two points a
factor of 2 apart, the times are within 11 % of a straight line."""


@dataclass(frozen=True)
class Curve:
    """How the cost of a network on an engine grows along an axis.

    Attributes:
        axis: a key of `AXES`.
        network: the architecture.
        engine: what computes it.
        points: (place on the axis, row of the results), in rising order.
        end: why there are no larger ones; None: the largest one was measured.
    """

    axis: str
    network: str
    engine: str
    points: list[tuple[int, dict]]
    end: str | None = None

    @property
    def slope(self) -> float:
        """Of the straight line through all points, both axes logarithmic."""
        places, times = np.log([(x, row["ms"]) for x, row in self.points]).T
        return float(np.polyfit(places, times, 1)[0])

    def straight(self) -> tuple[int, int] | None:
        """The ends of the longest part in which the cost is proportional; None: none.

        There, all slopes between neighbours are those of `AXES`, to `TOLERANCE`.
        """
        wanted, longest, begin = AXES[self.axis][1], None, 0
        for place, (one, other) in enumerate(pairwise(self.points), start=1):
            if abs(_between(one, other) - wanted) > TOLERANCE:
                begin = place
            elif longest is None or place - begin > longest[1] - longest[0]:
                longest = begin, place
        return longest and (self.points[longest[0]][0], self.points[longest[1]][0])


def _between(one: tuple[int, dict], other: tuple[int, dict]) -> float:
    (x, before), (y, after) = one, other
    return float(np.log(after["ms"] / before["ms"]) / np.log(y / x))


def curves(rows: list[dict]) -> list[Curve]:
    """All curves of two points or more, axis by axis.

    Args:
        rows: results of `benchmarks.scaling`: `network`, `engine`, the settings of
            `BASE`, and `ms`, or else `end`, why the point was not measured.
    """
    found = []
    names = dict.fromkeys((row["network"], row["engine"]) for row in rows)
    for axis, (network, engine) in product(AXES, names):
        changed = AXES[axis][0]
        along = [
            row
            for row in rows
            if (row["network"], row["engine"]) == (network, engine)
            and all(row[key] == BASE[key] for key in BASE if key != changed)
        ]
        along.sort(key=lambda row: row[changed])
        power = 2 if changed == "side" else 1
        points = [(row[changed] ** power, row) for row in along if "ms" in row]
        if len(points) > 1:
            end = next((row["end"] for row in along if "end" in row), None)
            found.append(Curve(axis, network, engine, points, end))
    return found


def draw(found: list[Curve], path: Path) -> None:
    """Draws the curves, a panel an axis, both axes logarithmic.

    A dotted line is a cost that is proportional to the last point's.

    Args:
        found: as `curves` gives them.
        path: the picture; it is replaced in one step.
    """
    # matplotlib.figure needs no display and, unlike pyplot, keeps no figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    panels = dict(zip(AXES, figure.subplots(2, 2).flat, strict=True))
    names = dict.fromkeys((curve.network, curve.engine) for curve in found)
    colours = {name: f"C{place}" for place, name in enumerate(names)}
    for curve in found:
        name = curve.network, curve.engine
        x = [place for place, _ in curve.points]
        y = np.array([row["ms"] for _, row in curve.points])
        panel, label = panels[curve.axis], ", ".join(name)
        panel.plot(x, y, ".-", color=colours[name], label=label)
        ideal = y[-1] * (np.array(x) / x[-1]) ** AXES[curve.axis][1]
        panel.plot(x, ideal, ":", color=colours[name], alpha=0.5, scaley=False)
    for axis, panel in panels.items():
        panel.set(xscale="log", yscale="log", xlabel=axis, ylabel="ms")
        panel.grid(alpha=0.3)
        ticks = {x for curve in found if curve.axis == axis for x, _ in curve.points}
        if axis != "pixels":
            panel.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
            panel.minorticks_off()
    handles = panels["pixels"].get_legend_handles_labels()
    if handles[0]:
        figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80)
