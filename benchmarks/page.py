"""Writes docs/benchmarks.md from the results of the benchmarks.

python -m benchmarks.page

`benchmarks.peers`, `benchmarks.roofline` and `benchmarks.scaling` do it at their end.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.curves import Curve, curves, draw
from benchmarks.machine import KINDS
from benchmarks.summary import COMPARISONS, ratio
from segnet_tf.console import cli
from segnet_tf.files import replacing

__all__ = ["RESULTS", "SCALING", "write"]

RESULTS = Path("benchmarks/results/peers")
SCALING = Path("benchmarks/results/scaling.json")
FINDINGS = Path("benchmarks/findings.md")
"""What the figures mean, written by hand; it comes after the comparisons."""

PAGE = Path("docs/benchmarks.md")
QUIET = 0.1
"""Cores that others may use before the page warns."""

HEADER = """# Benchmarks: beside what people would use instead

Written by `python -m benchmarks.page` from the files of
[benchmarks/results](../benchmarks/results); each section has its command, after

    pip install -r benchmarks/requirements.txt

Every contender runs in a process of its own. Those of a table take turns: one pass that
does not count, then one that does. A pass goes from an image in uint8 to scores as an
array, so that it includes the conversion to float and, for SavedModel, the softmax.
"cold" is the time from the start of the process to the first scores (`torch.compile`
compiles then, without its cache), "peak" the largest memory of the process. All weights
are random but the shipped model's: these tables say nothing about accuracy. "PyTorch"
computes the same network with the same weights, on `MaxPool2d` and `MaxUnpool2d`; the
tests of `benchmarks.torch_weights` hold the logits equal.
"""

IN_SHORT = """## In short

How many times as fast is ours, on each kind of machine? What wins against us is bold.
Processors favour different engines, so that ratios of one kind say little of another.

"""

KIND_TITLES = {
    "amx_tile": "AMX",
    "avx512_vnni": "AVX-512 with VNNI",
    "avx_vnni": "AVX2 with VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "sve": "SVE",
    "i8mm": "Arm with i8mm",
    "asimddp": "Arm with dot products",
    "asimd": "Arm",
    "other": "other",
}
"""Kind of a machine, see `benchmarks.machine` -> how the page calls it."""

SECTIONS = {
    "small": (
        "Small networks, forward at 384x480",
        "python -m benchmarks.peers --groups small",
    ),
    "segnet": (
        "SegNet, forward at 384x480",
        "python -m benchmarks.peers --groups segnet",
    ),
    "segnet_basic": (
        "SegNet-Basic, forward at 384x480",
        "python -m benchmarks.peers --groups segnet_basic",
    ),
    "training_segnet_lite": (
        "SegNetLite, a training step: 8 crops of 192x256",
        "python -m benchmarks.peers --train",
    ),
    "training_segnet": (
        "SegNet, a training step: 2 crops of 192x256",
        "python -m benchmarks.peers --train",
    ),
}
"""File of results -> title and command."""

TRAINING = """Mean cross-entropy of the pixels, AdamW, float32. Ours is a step of
`train.py`, in the pooling mode "input".

"""


ROOFLINE = """## Roofline

    python -m benchmarks.roofline

Each layer takes at least as long as its operations at the machine's best matrix product
and as its inputs, outputs and weights at the bandwidth of the memory; the bound is the
sum over the layers. Normalisation and activations count as part of the convolution
before them. The share is the bound over the time that an engine takes. Engines that
keep values in caches from layer to layer, or that save operations (Winograd), can pass
100 %.
"""

SCALED = """## Scaling

    python -m benchmarks.scaling

One image of 256x256, 11 classes and two threads, but for the one of them that changes;
random weights. The columns "ms", "cores" and "peak" give the first point and the last:
the median, the cores that the engine kept busy, and the largest memory of the process.
"slope" is the exponent of the cost, from a straight line through the logarithms: 1 is a
proportional cost; for threads, -1 is half the time on two. "proportional" is the
longest part of the curve in which all slopes between neighbours are within 0.15 of
that. Classes change the last convolution alone. LiteRT takes one image at a time.
"""


def write(results: Path = RESULTS, page: Path | None = None) -> None:
    """Writes the page; results that are not there have no section.

    Args:
        results: folder with a folder of JSON files for each kind of machine; the file
            of `benchmarks.scaling` lies beside it.
        page: the file; by default docs/benchmarks.md for the folder that comes along,
            else benchmarks.md in the folder.
    """
    page = page or (PAGE if results == RESULTS else results / PAGE.name)
    machines = {
        kind: {file.stem: json.loads(file.read_text()) for file in found}
        for kind in KINDS
        if (found := sorted((results / kind).glob("*.json")))
    }
    findings = results.resolve().parents[1] / FINDINGS.name
    parts = [HEADER, _in_short(machines)]
    parts += [findings.read_text()] if findings.exists() else []
    for name, (title, command) in SECTIONS.items():
        tables = [
            f"### {KIND_TITLES[kind]}\n\n{_contenders(found[name])}"
            for kind, found in machines.items()
            if name in found
        ]
        if tables:
            explained = TRAINING if name.startswith("training") else ""
            head = f"## {title}\n\n    {command}\n\n{explained}"
            parts.append(head + "\n".join(tables))
    bounds = [
        f"### {KIND_TITLES[kind]}\n\n{_bounds(found['roofline'])}"
        for kind, found in machines.items()
        if "roofline" in found
    ]
    if bounds:
        parts.append("\n".join([ROOFLINE, *bounds]))
    file = results.with_name(SCALING.name)
    if file.exists():
        found = json.loads(file.read_text())
        lines = curves(found["points"])
        picture = page.parent / "images" / "scaling.png"
        draw(lines, picture)
        parts.append(_scaling(found, lines, picture.relative_to(page.parent)))
    with replacing(page) as temporary:
        temporary.write_text("\n".join(parts))
    print(f"written: {page}")


def _in_short(machines: dict[str, dict[str, dict]]) -> str:
    """A row for each comparison, a column for each kind of machine."""
    rows = []
    for comparison in COMPARISONS:
        found = [
            ratio(comparison, results[comparison.file]["contenders"])
            if comparison.file in results
            else None
            for results in machines.values()
        ]
        if any(found):
            rows.append([comparison.text, *map(_times, found)])
    return IN_SHORT + _table(["times as fast", *map(KIND_TITLES.get, machines)], rows)


def _times(found: float | None) -> str:
    if found is None:
        return "-"
    return f"{found:.2f}" if found >= 1 else f"**{found:.2f}**"


def _contenders(found: dict) -> str:
    rows = sorted(found["contenders"], key=lambda row: row.get("ms", float("inf")))
    text = f"{_conditions(found)}\n\n"
    best = rows[0].get("ms")
    columns = {
        "network": lambda r: r["network"],
        "engine": lambda r: r["engine"],
        "ms, median": lambda r: f"{r['ms']:,.1f}",
        "least": lambda r: f"{r['least_ms']:,.1f}",
        "times the fastest": lambda r: f"{r['ms'] / best:.2f}",
        "cold, s": lambda r: f"{r['cold_s']:.1f}",
        "peak, MiB": lambda r: f"{r['peak_mib']:,.0f}" if r["peak_mib"] else "-",
        "parameters": lambda r: f"{r['parameters']:,}",
    }
    ran = [row for row in rows if "ms" in row]
    text += _table(list(columns), [[c(r) for c in columns.values()] for r in ran])
    for row in rows:
        if "error" in row:
            text += f"\n{row['network']}, {row['engine']}: `{row['error']}`\n"
    return text


def _conditions(found: dict) -> str:
    machine, others = found["machine"], found["others_cores"]
    facts = [f"{machine['cores']} cores"]
    if machine.get("instructions"):
        facts.append(", ".join(machine["instructions"]))
    facts.append(", ".join(f"{k} {v}" for k, v in found["versions"].items()))
    text = f"{'; '.join(facts)}."
    if "rounds" in found:
        text = f"{found['rounds']} rounds, {found['threads']} threads; {text}"
    if others is not None:
        text += f" Other programs used {others:.2f} cores meanwhile."
    if others is None or others > QUIET:
        text += " **The machine was busy: trust the order of magnitude alone.**"
    return text


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _bounds(found: dict) -> str:
    peaks = found["peaks"]
    text = f"{_conditions(found)}\n\n"
    units = {
        "float32_gflops": "float32 matrix product (TensorFlow), GFLOP/s",
        "int8_gops": "int8 matrix product (LiteRT), GOP/s",
        "bandwidth_gb": "memory, GB/s",
    }
    rows = [[units[key], f"{value:,.0f}"] for key, value in peaks.items()]
    text += _table(["measured peak", ""], rows) + "\n"
    head = ["network", "GFLOP", "MB moved", "bound, ms", "engine", "ms", "share"]
    rows = []
    for network in found["networks"]:
        own = [
            network["network"],
            f"{network['flops'] / 1e9:.2f}",
            f"{network['bytes'] / 1e6:.0f}",
        ]
        for engine in network["engines"]:
            bound = engine["bound_ms"]
            rows.append(
                [
                    *own,
                    f"{bound:.1f}",
                    engine["engine"],
                    f"{engine['ms']:,.1f}",
                    f"{bound / engine['ms']:.0%}",
                ]
            )
    return text + _table(head, rows)


def _scaling(found: dict, lines: list[Curve], picture: Path) -> str:
    columns = {
        "axis": lambda c: c.axis,
        "network": lambda c: c.network,
        "engine": lambda c: c.engine,
        "from, to": lambda c: _ends(c, lambda x, row: f"{x:,}"),
        "ms": lambda c: _ends(c, lambda x, row: f"{row['ms']:,.1f}"),
        "cores": lambda c: _ends(c, lambda x, row: f"{row['cores']:.1f}"),
        "peak, MiB": lambda c: _ends(
            c, lambda x, row: f"{row['peak_mib']:,.0f}" if row["peak_mib"] else "-"
        ),
        "slope": lambda c: f"{c.slope:.2f}",
        "proportional": lambda c: (
            "{:,} to {:,}".format(*part) if (part := c.straight()) else "nowhere"
        ),
        "end": lambda c: c.end or "-",
    }
    rows = [[column(line) for column in columns.values()] for line in lines]
    text = f"{SCALED}\n{_conditions(found)}\n\n![Times along the axes]({picture})\n\n"
    return text + _table(list(columns), rows)


def _ends(curve: Curve, shown: Callable[[int, dict], str]) -> str:
    return ", ".join(shown(*curve.points[place]) for place in (0, -1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"[{RESULTS}]")
    write(parser.parse_args().results)


if __name__ == "__main__":
    cli.run(main, "benchmarks.page")
