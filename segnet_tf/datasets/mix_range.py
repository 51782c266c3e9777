"""Black and white of a mix in which sets have more than 8 bits.

A model stores one range for all pictures. So the sets are scaled alike, unless the file
of the mix says otherwise; then the model stores none.
"""

from collections.abc import Sequence
from pathlib import Path

from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.mix_file import Source
from segnet_tf.datasets.value_range import fills_little
from segnet_tf.errors import UserError

__all__ = ["common_range", "range_remarks"]

_APART = '"reading": {"range": "LOW-HIGH"}'

Range = tuple[float, float]


def common_range(path: Path, splits: Sequence[tuple[Source, Split]]) -> Range | None:
    """The range to scale all sets of more than 8 bits by.

    It is the one that is given for some of them. Otherwise it holds all values.

    Args:
        path: the file of the mix, for messages.
        splits: the sets, each scaled by itself.

    Returns:
        The range; None if no set has more than 8 bits, or if different ones are given.

    Raises:
        UserError: if a set does not fit it, or lacks a range where others have theirs.
    """
    fixed, free = set(), []
    for source, split in splits:
        own = split.info.value_range
        if own and (source.reading.range or source.dataset != "folder"):
            fixed.add(own)
        elif own:
            free.append((source, own))
    if len(fixed) > 1:
        if free:
            raise UserError(
                f"{path}: {free[0][0].name}: other sets are scaled by ranges of their "
                f"own: give it one, too: {_APART}"
            )
        return None
    if not fixed and not free:
        return None
    lows, highs = zip(*(fixed or {own for _, own in free}), strict=True)
    common = min(lows), max(highs)
    for source, own in free:
        if fills_little(own, common) or fills_little(common, own):
            raise UserError(
                f"{path}: {source.name}: uses values of {_text(own)}, which do not fit "
                f"the {_text(common)} of the others: scale the sets apart: give each "
                f"that has more than 8 bits its own {_APART}"
            )
    return common


def range_remarks(
    common: Range | None, splits: Sequence[tuple[Source, Split]]
) -> tuple[str, ...]:
    """A line that says how sets are scaled, if it is not alike.

    Args:
        common: as `common_range` gives it.
        splits: the sets.
    """
    apart = [
        f"{source.name} by {_text(split.info.value_range)}"
        for source, split in splits
        if split.info.value_range not in (None, common)
    ]
    if not apart:
        return ()
    return (
        f"more than 8 bits: scaled apart, {', '.join(apart)}: a model stores no range, "
        "so give predict --range",
    )


def _text(value_range: Range | None) -> str:
    return "{:.5g} to {:.5g}".format(*value_range or (0, 0))
