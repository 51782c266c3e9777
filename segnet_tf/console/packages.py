"""Messages about packages that are not installed, with the command to install them."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import segnet_tf
from segnet_tf.errors import UserError

__all__ = ["missing_package"]

CHECKOUT = Path(segnet_tf.__file__).parents[1]


def missing_package(error: ModuleNotFoundError) -> UserError | None:
    """The error to raise if an import failed because a package is not installed.

    Returns:
        An error of one line. None if the package is installed, but does not have the
        module: that is a defect.
    """
    package = (error.name or "").split(".")[0]
    if not package or find_spec(package):
        return None
    return UserError(f"this needs the package {package}: {_install_command(package)}")


def _install_command(package: str) -> str:
    """The command that installs all missing packages, in the required versions."""
    everything = CHECKOUT / "requirements.txt"
    if everything.is_file():
        light = CHECKOUT / "requirements-predict.txt"
        requirements = light if _lists(light, package) else everything
        return shlex.join(["pip", "install", "-r", str(requirements)])
    missing = [line for line in _requirements() if not _is_installed(line)]
    return shlex.join(["pip", "install", *(missing or [package])])


MODULES = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
}
"""Imported names of packages that are installed under another one."""


def _lists(requirements: Path, package: str) -> bool:
    """Whether a file of requirements is there and names a package."""
    if not requirements.is_file():
        return False
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return any(line.startswith(MODULES.get(package, package)) for line in lines)


def _requirements() -> list[str]:
    """The requirements of the installed package, without those of its extras."""
    from importlib import metadata  # takes 20 ms, which only this message needs

    try:
        required = metadata.requires("segnet-tf") or []
    except metadata.PackageNotFoundError:
        return []
    return [line for line in required if "extra ==" not in line]


def _is_installed(requirement: str) -> bool:
    from importlib import metadata

    name = re.split(r"[^\w.-]", requirement)[0]
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
