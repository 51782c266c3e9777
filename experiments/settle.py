"""Gives pixels of a label of several classes one class each, before the training.

python -m experiments.settle mix.json "living things" "roadside objects" --out settled

A network that learns labels of several classes from pictures of another kind than its
others may keep one of the classes for all of them (docs/training-log.md). So the model
that the training starts from decides beforehand: of the classes that a pixel may be, it
gets the most probable one.

`settled` becomes the set whose labels these are, as a folder: its pictures, and masks
of the named labels' classes and of its other labels. `settled/mix.json` is the mix with
this folder in the set's place: `train.py --dataset mix --data-dir settled/mix.json`.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from segnet_tf.console import cli
from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import MissingSplit, Split
from segnet_tf.datasets.mix import load_source
from segnet_tf.datasets.mix_file import Source, parsed
from segnet_tf.errors import UserError
from segnet_tf.files import write_json
from segnet_tf.inference.predictor import Predictor


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
        """From a set's labels, what they are in the mix, and the model's classes.

        Raises:
            UserError: if the model does not know a class.
        """
        unknown = {each for name in named for each in labels[name]} - set(classes)
        if unknown:
            raise UserError(
                f"the model does not know {min(unknown)!r}: its classes are "
                f"{', '.join(classes)}: use --model with one that does"
            )
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


def set_of(path: Path, sources: list[Source], named: list[str]) -> int:
    """The place of the set that has these labels, each with several classes."""
    for place, source in enumerate(sources):
        if all(len(source.labels.get(name, ())) > 1 for name in named):
            return place
    raise UserError(f"{path}: no set gives {', '.join(named)} several classes")


def splits_of(source: Source) -> Iterator[tuple[str, Split]]:
    """The splits that the set has: train, and val if there is one."""
    for name in ("train", "val"):
        try:
            yield name, load_source(source, name, 3, registry.load)
        except MissingSplit:
            if name == "train":
                raise


def write_set(
    splits: list[tuple[str, Split]], choices: Choices, predictor: Predictor, out: Path
) -> None:
    """The set as a folder: pictures, masks, classes and a list for each split."""
    for kind in ("images", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("\n".join(choices.classes) + "\n")
    for name, split in splits:
        names = []
        for index in tqdm(range(len(split)), name):
            # Splits, and folders in them, may have pictures of one name.
            own = split.names[index].replace("/", "_")
            names.append(f"{name}_{index:05d}_{Path(own).stem}")
            write_pair(out, names[-1], split, index, choices, predictor)
        (out / f"{name}.txt").write_text("\n".join(names) + "\n")


def write_pair(out: Path, name: str, split: Split, index: int, choices, predictor):
    """A picture as it is, and its mask."""
    source, (image, labels) = Path(split.sources[index]), split.read(index)
    shutil.copyfile(source, out / "images" / f"{name}{source.suffix}")
    mask = choices.mask(labels, predictor.probabilities(image))
    Image.fromarray(mask).save(out / "masks" / f"{name}.png")


def write_mix(path: Path, place: int, choices: Choices, out: Path) -> None:
    """The mix with the folder in the place of the set; paths from its own place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["sets"]:
        if "data_dir" in entry:
            entry["data_dir"] = os.path.relpath(path.parent / entry["data_dir"], out)
        for name, split in entry.get("splits", {}).items():
            if split.endswith(".txt"):
                entry["splits"][name] = os.path.relpath(path.parent / split, out)
    own = content["sets"][place]
    labels = own["labels"].items()
    kept = {name: value for name, value in labels if name in choices.classes}
    settled = {"dataset": "folder", "data_dir": ".", "share": own.get("share", 1)}
    content["sets"][place] = {**settled, "labels": kept}
    write_json(out / "mix.json", content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mix", type=Path, help="mix.json")
    parser.add_argument("labels", nargs="+", help="labels of several classes")
    parser.add_argument("--model", default="camvid", help="as of predict.py")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    found = parser.parse_args()
    if found.out.exists() and any(found.out.iterdir()):
        raise UserError(f"{found.out}: is not empty: name a new folder")
    _, sources = parsed(found.mix)
    place = set_of(found.mix, sources, found.labels)
    predictor = Predictor(found.model)
    splits = list(splits_of(sources[place]))
    own = splits[0][1].info.classes
    labels = sources[place].labels
    choices = Choices.of(own, labels, found.labels, predictor.info.classes)
    write_set(splits, choices, predictor, found.out)
    write_mix(found.mix, place, choices, found.out)
    print(f"train.py --dataset mix --data-dir {found.out / 'mix.json'}")


if __name__ == "__main__":
    cli.run(main, "experiments.settle")
