"""The options of a run in its config.json, and whether another run has the same."""

import json
from pathlib import Path

from segnet_tf.errors import UserError
from segnet_tf.training.config import TrainConfig

__all__ = ["FREE", "read_options", "unlike"]

FREE = ("data_dir", "classes", "cache", "checkpoint_minutes")
"""Options that may be others in a resumed run, or on another machine of it: the data
may lie elsewhere, and the rest changes no bit."""


def unlike(config: TrainConfig, stored: dict) -> list[str]:
    """The options that differ from those of a run.

    Args:
        config: the options that are asked for.
        stored: those of the run, as `read_options` gives them.
    """
    wanted = _as_json(config)
    # A run that is older than an option had the option's default.
    found = {**_as_json(TrainConfig()), **stored}
    return [
        name for name in wanted if found.get(name) != wanted[name] and name not in FREE
    ]


def _as_json(config: TrainConfig) -> dict:
    """The options as JSON gives them back: lists in place of tuples."""
    return json.loads(json.dumps(config.as_options()))


def read_options(path: Path) -> dict:
    """The options in a config.json, without their groups.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(groups, dict):
            raise ValueError("no options")
        return {
            name: value for group in groups.values() for name, value in group.items()
        }
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, RecursionError, ValueError):
        raise UserError(f"{path}: damaged, no JSON: train anew") from None
    except AttributeError:
        raise UserError(
            f"{path}: of a version before 0.1.0, which cannot be resumed: train anew, "
            "or start from its weights with --init-from"
        ) from None
