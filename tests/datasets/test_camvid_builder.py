"""The TFDS builder of CamVid: TFDS's own test of builders, and the folder beside it."""

import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets import camvid
from segnet_tf.datasets.camvid import camvid_dataset_builder
from segnet_tf.errors import UserError

COUNTS = {"train": 3, "val": 2, "test": 1}


def write_camvid(root: Path, splits=COUNTS) -> Path:
    """A small CamVid; frame n of a split is filled with n."""
    folder = root / "CamVid"
    for split in splits:
        for kind in ("", "annot"):
            (folder / f"{split}{kind}").mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(COUNTS[split]):
            name = f"{split}_{number}.png"
            image = np.full((36, 48, 3), number, np.uint8)
            Image.fromarray(image).save(folder / split / name)
            mask = np.arange(36 * 48, dtype=np.uint8).reshape(36, 48) % 12
            Image.fromarray(mask).save(folder / f"{split}annot" / name)
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/x/{name}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


class TestCamVidInTFDS(tfds.testing.DatasetBuilderTestCase):
    """What TFDS asks of a builder, on a folder placed by hand."""

    DATASET_CLASS = camvid_dataset_builder.Builder
    SPLITS = {"train": 3, "validation": 2, "test": 1}
    # Nothing is downloaded through TFDS: every file has a checksum of its own.
    SKIP_CHECKSUMS = True

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = tempfile.mkdtemp()
        write_camvid(Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.EXAMPLE_DIR)


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    return tmp_path


def test_tfds_load_gives_what_the_folder_holds(data_dir):
    folder = write_camvid(data_dir / "downloads" / "manual")
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        data = tfds.load("camvid", split=name, data_dir=data_dir)
        examples = {example["file_name"].numpy().decode(): example for example in data}
        ours = camvid.load(split, folder)
        assert sorted(examples) == sorted(ours.names)
        for frame, (image, labels) in zip(ours.names, ours, strict=True):
            assert_array_equal(examples[frame]["image"], image)
            mask = examples[frame]["segmentation_mask"].numpy()[..., 0]
            assert_array_equal(np.where(mask == 11, 255, mask), labels)


def test_labels_have_names(data_dir):
    builder = tfds.builder("camvid", data_dir=data_dir)
    labels = builder.info.features["segmentation_mask"]
    assert labels.num_classes == 12
    assert tuple(labels.names) == (*camvid.INFO.classes, "Void")


def test_a_prepared_data_set_hides_no_split_that_arrives_later(data_dir):
    manual = data_dir / "downloads" / "manual"
    folder = write_camvid(manual, ["train", "val"])
    builder = tfds.builder("camvid", data_dir=data_dir)
    builder.download_and_prepare()
    assert set(builder.info.splits) == {"train", "validation"}
    with pytest.raises(UserError, match="split 'test' is not here"):
        camvid.load("test", folder)
    write_camvid(manual, ["test"])
    assert len(camvid.load("test", folder)) == 1


def test_downloads_where_nothing_was_placed_by_hand(tmp_path):
    folder = write_camvid(tmp_path / "cache")
    with mock.patch.object(camvid_dataset_builder, "download", lambda: folder):
        data = tfds.load("camvid", split="train", data_dir=tmp_path / "tfds")
    assert len(data) == 3


@pytest.mark.parametrize(
    "line",
    ["{0}", "{0}.png", "/some where/train/{0}.png", "train/{0}.png trainannot/{0}.png"],
)
def test_lists_name_frames_as_people_write_them(line, tmp_path):
    folder = write_camvid(tmp_path / "camvid", ["train"])
    stem = sorted((folder / "train").glob("*.png"))[0].stem
    listing = tmp_path / "my frames.txt"
    listing.write_text("\ufeff" + line.format(stem) + "\n\n", encoding="utf-8")
    assert camvid.load(str(listing), folder).names == (f"{stem}.png",)


def test_lists_that_say_nothing(tmp_path):
    folder = write_camvid(tmp_path / "camvid", ["train"])
    listing = tmp_path / "frames.txt"
    for content, message in ((b"\n", "names no images"), (b"\xff\xfe\x00", "UTF-8")):
        listing.write_bytes(content)
        with pytest.raises(UserError, match=message):
            camvid.load(str(listing), folder)


def test_an_empty_split_is_one_line(tmp_path):
    for name in ("train", "trainannot"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="has no .png frames"):
        camvid.load("train", tmp_path)
