"""Gives pixels of a label of several classes one class each, before the training.

python -m experiments.settle mix.json "living things" "roadside objects" --out settled

A network that learns labels of several classes from pictures of another kind than its
others may keep one of the classes for all of them (docs/training-log.md). So the model
that the training starts from decides beforehand: of the classes that a pixel may be, it
gets the most probable one.

The set whose labels these are is written as a folder: its pictures, masks of the named
labels' classes and of its own other labels, train.txt and val.txt. Put the folder in
its place into the file of the mix.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets.dataset import Split
from segnet_tf.errors import UserError
from segnet_tf.inference.predictor import Predictor

MODELS = Path(__file__).parents[1] / "saved_models"


@dataclass(frozen=True)
class Choices:
    """What the labels of a set become.

    Attributes:
        classes: the names in the masks: classes of the mix, then the set's own labels.
        settled: label of the set -> indices of the classes that it may be, in the mix.
        kept: label of the set -> its index in `classes`.
        places: class of the mix -> its index in `classes`.
    """

    classes: tuple[str, ...]
    settled: dict[int, list[int]]
    kept: dict[int, int]
    places: dict[int, int]

    @classmethod
    def of(cls, own: tuple[str, ...], labels: dict, named: list[str], classes: tuple):
        """From the labels of a set, its entry in the mix, and the model's classes."""
        settled = {
            own.index(name): [classes.index(each) for each in labels[name]]
            for name in named
        }
        chosen = sorted({index for group in settled.values() for index in group})
        others = [label for label in range(len(own)) if label not in settled]
        names = [classes[index] for index in chosen] + [own[label] for label in others]
        return cls(
            tuple(names),
            settled,
            {label: len(chosen) + place for place, label in enumerate(others)},
            {index: place for place, index in enumerate(chosen)},
        )

    def mask(self, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Ids of `classes`, uint8 (H, W); 255 stays.

        Args:
            labels: uint8 (H, W), of the set.
            scores: float32 (H, W, classes of the model).
        """
        found = np.full(labels.shape, 255, np.uint8)
        for label, place in self.kept.items():
            found[labels == label] = place
        for label, group in self.settled.items():
            places = np.array([self.places[index] for index in group], np.uint8)
            here = labels == label
            found[here] = places[scores[here][:, group].argmax(-1)]
        return found


def entry_of(path: Path, named: list[str]) -> dict:
    """The set of the mix that has these labels, each with several classes."""
    for entry in json.loads(path.read_text())["sets"]:
        labels = entry.get("labels", {})
        if all(isinstance(labels.get(name), list) for name in named):
            return entry
    raise UserError(f"{path}: no set gives {', '.join(named)} several classes")


def splits_of(path: Path, entry: dict) -> Iterator[tuple[str, Split]]:
    folder = str(path.parent / entry["data_dir"])
    for name in ("train", "val"):
        own = entry.get("splits", {}).get(name, name)
        own = str(path.parent / own) if own.endswith(".txt") else own
        yield name, datasets.load(entry["dataset"], own, folder)


def write_set(
    mix: Path, entry: dict, choices: Choices, predictor: Predictor, out: Path
) -> None:
    """The set as a folder: pictures, masks, classes and a list for each split."""
    for kind in ("images", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("\n".join(choices.classes) + "\n")
    for name, split in splits_of(mix, entry):
        names = []
        for index in tqdm(range(len(split)), name):
            names.append(split.names[index].rpartition(".")[0] or split.names[index])
            names[-1] = names[-1].replace("/", "_")
            write_pair(out, names[-1], split, index, choices, predictor)
        (out / f"{name}.txt").write_text("\n".join(names) + "\n")


def write_pair(out: Path, name: str, split: Split, index: int, choices, predictor):
    """A picture as it is, and its mask."""
    source, (image, labels) = Path(split.sources[index]), split.read(index)
    shutil.copyfile(source, out / "images" / f"{name}{source.suffix}")
    mask = choices.mask(labels, predictor.probabilities(image))
    Image.fromarray(mask).save(out / "masks" / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mix", type=Path, help="mix.json")
    parser.add_argument("labels", nargs="+", help="labels of several classes")
    parser.add_argument("--model", type=Path, default=MODELS / "segnet_lite_camvid")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    found = parser.parse_args()
    entry = entry_of(found.mix, found.labels)
    predictor = Predictor(found.model / "model.keras")
    own = next(splits_of(found.mix, entry))[1].info.classes
    choices = Choices.of(own, entry["labels"], found.labels, predictor.info.classes)
    write_set(found.mix, entry, choices, predictor, found.out)


if __name__ == "__main__":
    cli.run(main, "experiments.settle")
