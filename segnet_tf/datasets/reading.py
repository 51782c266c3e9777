"""How the files of `--dataset folder` are read: a group of options."""

from dataclasses import dataclass, replace

from segnet_tf.console.options import NOT_NEGATIVE, option, parsed_range
from segnet_tf.errors import UserError

__all__ = ["Reading", "checked_range"]


@dataclass(frozen=True)
class Reading:
    """How the files of `--dataset folder` are read."""

    images: str | None = option(
        None, "folder of the images, inside that of the data set [found by the layout]"
    )
    masks: str | None = option(
        None, "folder of the masks, likewise, or a JSON file of COCO annotations"
    )
    mask_suffix: str | None = option(
        None, "what a mask's name has behind its image's, such as _mask [found]"
    )
    classes: str | None = option(
        None,
        "file of the classes, in the folder of the data set or here [classes.txt and "
        "the like]",
    )
    ignore: str | None = option(
        None, "classes, or ids in the masks, that become void, such as 0,background"
    )
    tolerance: int = option(
        0,
        "for masks in colours with soft edges: difference, in each channel, up to "
        "which a colour counts as a class's; the others become void",
        bound=NOT_NEGATIVE,
    )
    range: str | None = option(
        None,
        "LOW-HIGH, values that become black and white, of images with more than 8 bits "
        "[found from the images]",
    )

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names and ids of `ignore`."""
        parts = (self.ignore or "").split(",")
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The two numbers of `range`.

        Raises:
            UserError: if it is not LOW-HIGH.
        """
        return None if self.range is None else checked_range(self.range)

    def with_range(self, value_range: tuple[float, float] | None) -> "Reading":
        """The same, with these values as black and white if `range` names none."""
        if self.range is not None or value_range is None:
            return self
        low, high = value_range
        return replace(self, range=f"{low!r}-{high!r}")


def checked_range(text: str) -> tuple[float, float]:
    """Two numbers, the first below the second, from a text such as "0-4095".

    Raises:
        UserError: for any other text.
    """
    try:
        low, high = parsed_range(text)
    except ValueError:
        low = high = 0.0
    if not low < high < float("inf"):
        raise UserError(f"range: {text!r}, must be LOW-HIGH, such as 0-4095")
    return low, high
