"""The comparisons that people ask for, from the results of `benchmarks.peers`."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["COMPARISONS", "Comparison", "ratio"]

TORCH = ("PyTorch", "PyTorch, channels_last", "PyTorch, torch.compile")
LRASPP = "LRASPP MobileNetV3-Large"
LITE, SHIPPED = "segnet_lite", "segnet_lite1 (shipped)"


class Comparison(NamedTuple):
    """One of our networks beside something else of the same table.

    Attributes:
        text: what is compared with what.
        file: of the results, without suffix.
        ours: the network, and its engines.
        theirs: the same of the other side. The fastest engine counts on both.
    """

    text: str
    file: str
    ours: tuple[str, tuple[str, ...]]
    theirs: tuple[str, tuple[str, ...]]


def _same(network: str, file: str, title: str, *rivals: tuple[str, tuple[str, ...]]):
    """LiteRT in float32 against other engines with the same network."""
    return [
        Comparison(
            f"{title}, float32: LiteRT against {name}",
            file,
            (network, ("LiteRT",)),
            (network, engines),
        )
        for name, engines in rivals
    ]


_ENGINES = (("OpenVINO", ("OpenVINO",)), ("onnxruntime", ("onnxruntime",)))
_KERAS = ("Keras", ("Keras, tf.function",))
_PYTORCH = ("PyTorch's best", TORCH)

COMPARISONS = [
    *_same("segnet", "segnet", "SegNet", _PYTORCH, *_ENGINES, _KERAS),
    *_same(LITE, "small", "SegNetLite", _PYTORCH, *_ENGINES, _KERAS),
    *_same("segnet_basic", "segnet_basic", "SegNet-Basic", *_ENGINES, _KERAS),
    *(
        Comparison(
            f"SegNetLite, float32 in LiteRT, against {LRASPP}, {engine}",
            "small",
            (LITE, ("LiteRT",)),
            (LRASPP, (engine,)),
        )
        for engine in TORCH[1:]
    ),
    Comparison(
        f"the shipped SegNetLite in int8 against {LRASPP}'s best, float32",
        "small",
        (SHIPPED, ("LiteRT, int8",)),
        (LRASPP, TORCH),
    ),
    *(
        Comparison(
            f"{title}, LiteRT: int8 against float32",
            file,
            (network, ("LiteRT, int8",)),
            (network, ("LiteRT",)),
        )
        for title, file, network in (
            ("SegNet", "segnet", "segnet"),
            ("SegNetLite", "small", LITE),
            ("the shipped SegNetLite", "small", SHIPPED),
            ("SegNet-Basic", "segnet_basic", "segnet_basic"),
        )
    ),
    *(
        Comparison(
            f"a training step of {title}: ours against PyTorch's best",
            f"training_{network}",
            (network, ("Keras",)),
            (network, TORCH),
        )
        for title, network in (("SegNet", "segnet"), ("SegNetLite", LITE))
    ),
]
"""All comparisons, in the order of the page."""


def ratio(comparison: Comparison, rows: Iterable[dict]) -> float | None:
    """How many times as fast ours is; None: a side was not measured.

    Args:
        comparison: what is compared.
        rows: the contenders of its file.
    """
    ours, theirs = (
        min(
            (r["ms"] for r in rows if "ms" in r and _is(r, side)),
            default=None,
        )
        for side in (comparison.ours, comparison.theirs)
    )
    return theirs / ours if ours and theirs else None


def _is(row: dict, side: tuple[str, tuple[str, ...]]) -> bool:
    network, engines = side
    return row["network"] == network and row["engine"] in engines
