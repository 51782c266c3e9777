"""Damaged and hostile `.keras` files: one line for each, no traceback, no hang."""

import io
import zipfile

import numpy as np
import pytest

from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import load_model, read_labels, save_model


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    from segnet_tf.models import SegNetBasic

    path = tmp_path_factory.mktemp("good") / "m.keras"
    save_model(SegNetBasic(filters=4), path, INFO)
    return path.read_bytes()


def entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(contents: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return memory.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: bytes changed in the file, or inside an entry with a right checksum; cut
    off; an entry less; an entry twice as long."""
    kind = rng.integers(5)
    if kind == 0:
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 1 + rng.integers(20)):
            damaged[place] = rng.integers(256)
        return bytes(damaged)
    if kind == 1:
        return data[: rng.integers(len(data))]
    contents = entries(data)
    name = list(contents)[rng.integers(len(contents))]
    content = bytearray(contents[name])
    if kind == 2:
        del contents[name]
        return archive_of(contents)
    if kind == 3:
        contents[name] = bytes(content + content)
        return archive_of(contents)
    for place in rng.integers(0, len(content), 1 + rng.integers(5)):
        content[place] = rng.integers(256)
    contents[name] = bytes(content)
    return archive_of(contents)


def tried(good: bytes, path, count: int) -> tuple[int, int]:
    """How many of so many mutated files load, and how many are refused."""
    rng, loaded, refused = np.random.default_rng(count), 0, 0
    for _ in range(count):
        path.write_bytes(mutated(good, rng))
        for read in (read_labels, load_model):
            try:
                read(path)
                loaded += 1
            except UserError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
    return loaded, refused


def test_mutated_files(good, tmp_path):
    loaded, refused = tried(good, tmp_path / "x.keras", 40)
    assert refused > 30 and loaded > 5, "mutations that are too mild, or too wild"


@pytest.mark.slow
def test_three_hundred_mutated_files(good, tmp_path):
    tried(good, tmp_path / "x.keras", 300)


@pytest.mark.parametrize("name", ["config.json", "labels.json", "model.weights.h5"])
def test_an_entry_of_gigabytes(name, good, tmp_path):
    contents = entries(good)
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, content in contents.items():
            if other != name:
                archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as entry:
            for _ in range(300):
                entry.write(b" " * 2**20)
    with pytest.raises(UserError, match=f"'{name}' claims 314,572,800 bytes"):
        load_model(path)
    with pytest.raises(UserError, match="claims"):
        read_labels(path)
