"""Labels files on many machines, with Apache Beam.

Machines cannot add lines to one list, least of all in a bucket. So each file has a
record of its own beside its results, which is written last: it says that the file is
done, by which model and settings, and how large each class is in it.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from segnet_tf.errors import UserError
from segnet_tf.evaluation.visualize import class_shares
from segnet_tf.inference.many import buckets
from segnet_tf.inference.many.reading import Picture, Reader
from segnet_tf.inference.many.results import Results, recoloured
from segnet_tf.inference.many.settings import Settings, labelling
from segnet_tf.inference.many.sources import Source, is_video
from segnet_tf.inference.many.stream import Prediction, in_stream
from segnet_tf.inference.model_file import find_model
from segnet_tf.inference.predictor import Predictor

__all__ = ["Labelled", "label_files"]

PAUSES = (1.0, 4.0)
"""Seconds until a file that cannot be read is read for the second and third time."""

FOUND, FAULTS = "found", "faults"
"""The outputs of each step."""

_log = logging.getLogger(__name__)


class Labelled(NamedTuple):
    """What comes out of `label_files`: two PCollections.

    Attributes:
        records: a dictionary for each picture: "path"; "name" of its results in the
            output folder; "frame", its number in an animation or None; "height" and
            "width"; "shares", class name -> share of all pixels. A picture that was
            done before has its record, too.
        faults: a dictionary for each file that cannot be labelled: "path" and "fault",
            one line.
    """

    records: Any
    faults: Any


def label_files(
    patterns: Sequence[str],
    output: str,
    model: str | None = None,
    settings: Settings | None = None,
    threads: int = 1,
) -> Any:
    """A Beam PTransform that labels files; a pipeline is its input.

    The results of `<root>/a/b.jpg` are `<output>/a/b.jpg_labels.png` and so on, where
    the root is the folder that all patterns have in common. The file is done if
    `<output>/a/b.jpg_shares.json` was written for this size and time of it, the same
    model and settings, and if all its results are there. Hidden files and the output
    folder are left out.

    Args:
        patterns: of files, as Beam takes them: `**` stands for folders, too. They may
            lie in a bucket, such as "gs://photos/**.jpg".
        output: folder of the results, or the beginning of their names in a bucket.
        model: as for `segnet_tf.inference.model_file.find_model`. All machines find
            it under the same name, the one that starts the pipeline, too.
        settings: see `Settings`; None: labels are written, and nothing else.
        threads: CPU threads of each worker process.

    Returns:
        A transform that gives `Labelled`.

    Raises:
        UserError: if Apache Beam is not installed, if there is no such model, if the
            settings are not for Beam, if a place is on HDFS, or if the pictures lie in
            the output folder. A worker raises it if its model has other contents, or
            if results cannot be written.
    """
    try:
        import apache_beam as beam
    except ModuleNotFoundError:
        raise UserError("Beam is not installed: pip install apache-beam") from None
    settings = settings or Settings(outputs=("labels",))
    if settings.samples is not None or settings.uncertainty:
        raise UserError("samples, uncertainty: not with Beam: use segnet predict")
    if not patterns or isinstance(patterns, str):
        raise UserError(f"patterns: {patterns!r}, must be a list that names some")
    *places, output = map(buckets.absolute, (*patterns, output))
    root = buckets.common_folder(places)
    if root.startswith(f"{output}/"):
        raise UserError(f"{output}: the pictures lie in it: choose another output")
    # What is wrong with the model or the settings is found here, not by a worker.
    by = _Labeller(model, settings, threads).by
    shared = beam.utils.shared.Shared()
    task = _Task(root, output, model, settings, threads, by, shared)

    def expand(pipeline) -> Labelled:
        def step(function: Callable):
            return beam.ParDo(function).with_outputs(FAULTS, main=FOUND)

        files = pipeline | beam.Create(places) | "Match" >> step(task.match)
        # This hands the files to all workers, too.
        each = files[FOUND] | beam.Distinct()
        done = each | "Label" >> step(task.label)
        faults = (files[FAULTS], done[FAULTS]) | beam.Flatten()
        return Labelled(done[FOUND], faults)

    return beam.ptransform_fn(expand)()


@dataclass(frozen=True)
class _Task:
    """What is to be done; the workers get a copy."""

    root: str
    output: str
    model: str | None
    settings: Settings
    threads: int
    by: str
    shared: Any

    def match(self, pattern: str) -> Iterator:
        """The files that fit a pattern: path, bytes, time."""
        found = [
            file
            for file in buckets.matching(pattern)
            if not file[0].startswith(f"{self.output}/")
            and "/." not in f"/{file[0].removeprefix(self.root)}"
        ]
        if not found:
            yield _fault(pattern, f"{pattern}: fits no file (of a folder: folder/**)")
        for path, *seen in found:
            if path != _as_text(path):
                yield _fault(path, f"{path}: its name is no UTF-8: rename it")
            elif is_video(path):
                yield _fault(path, f"{path}: a video: use segnet predict")
            else:
                yield (path, *seen)

    def label(self, file: tuple[str, int, float]) -> Iterator:
        """Labels a file, unless that was done before; gives records, and a fault."""
        path = file[0]
        # All characters count, so that no two files have the same.
        name = path.removeprefix(self.root)
        key = blake2b(repr([*file, self.by]).encode(), digest_size=16).hexdigest()
        place = f"{self.output}/{name}_shares.json"
        before = self._before(place, key)
        if before is not None:
            _count("done before", len(before))
            yield from before
            return
        # One for all threads of a process.
        labeller = self.shared.acquire(self._labeller)
        with TemporaryDirectory(prefix="segnet-") as folder:
            records, fault = labeller.labelled(path, name, Path(folder))
            files = [each for each in Path(folder).rglob("*") if each.is_file()]
            names = [each.relative_to(folder).as_posix() for each in files]
            for each, written in zip(files, names, strict=True):
                buckets.publish(each, f"{self.output}/{written}")
            if fault is None:
                done = {"key": key, "files": names, "records": records}
                record = Path(folder, "record")
                record.write_text(json.dumps(done), encoding="utf-8")
                buckets.publish(record, place)
        if fault is not None:
            yield _fault(path, fault)
        _count("labelled", len(records))
        yield from records

    def _labeller(self) -> "_Labeller":
        made = _Labeller(self.model, self.settings, self.threads)
        if made.by != self.by:
            raise UserError(
                f"{made.predictor.path}: has other contents than where the pipeline "
                "was started: give all machines the same file"
            )
        return made

    def _before(self, place: str, key: str) -> list[dict[str, Any]] | None:
        """The records of a file that was done before and is as it was."""
        if not buckets.exists(place):
            return None
        with buckets.local(place) as local:
            text = Path(local).read_bytes()
        try:
            done = json.loads(text)
            files = [f"{self.output}/{name}" for name in done["files"]]
            same = done["key"] == key and all(map(buckets.exists, files))
            return done["records"] if same else None
        except (ValueError, KeyError, TypeError):
            return None


class _Labeller:
    """What a process keeps from file to file."""

    def __init__(self, model: str | None, settings: Settings, threads: int):
        self.predictor = Predictor(find_model(model), threads, settings.native)
        info, own = self.predictor.info, settings.value_range
        self.by = _digest_of(self.predictor, settings)
        given, value_range = own is not None, own or info.value_range
        self._reader = Reader(info.channels, value_range, not given, given)
        if settings.palette is not None:
            info = recoloured(info, settings.palette)
        chosen = settings.outputs, settings.format, settings.opacity
        self._results = Results(Path(), info, *chosen)
        self._label = labelling(self.predictor, Path(), settings)

    def labelled(
        self, path: str, name: str, folder: Path
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Labels the pictures of a file into a folder.

        Returns:
            Their records, and why there are not more of them.
        """
        for pause in PAUSES:
            try:
                return self._labelled(path, name, folder)
            except OSError as error:
                # What is wrong with the file itself is no OSError.
                _log.warning("%s: %s: it is read again", path, error)
                time.sleep(pause)
        try:
            return self._labelled(path, name, folder)
        except OSError as error:
            return [], f"{path}: cannot be read ({error.strerror or error})"

    def _labelled(
        self, path: str, name: str, folder: Path
    ) -> tuple[list[dict[str, Any]], str | None]:
        results = replace(self._results, folder=folder)
        records, fault = [], None
        with buckets.local(path) as local:
            for picture, result in in_stream(
                self.predictor,
                self._reader.pictures([Source(local, name)]),
                self._reader,
                results.write,
                results.keeps_scores,
                self._label,
            ):
                if isinstance(result, UserError):
                    fault = str(result).replace(local, path)
                    continue
                if result.notice:
                    _log.warning("%s", result.notice.replace(local, path))
                records.append(self._record(path, picture, result))
        return records, fault

    def _record(
        self, path: str, picture: Picture, result: Prediction
    ) -> dict[str, Any]:
        height, width = result.labels.shape
        info = self._results.info
        shares = class_shares(result.labels, info)
        return {
            "path": path,
            "name": picture.name,
            "frame": picture.frame,
            "height": height,
            "width": width,
            "shares": {info.classes[n]: round(share, 6) for n, share in shares},
        }


def _digest_of(predictor: Predictor, settings: Settings) -> str:
    """Of all that the results depend on beside the pictures, the same everywhere.

    A model's place and time differ from machine to machine, so its contents count.
    """
    path, info = predictor.path, predictor.info
    found = blake2b(repr((info.classes, info.colours, asdict(settings))).encode())
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()


def _as_text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _fault(path: str, line: str):
    import apache_beam as beam

    _log.warning("%s", _as_text(line))
    _count("faults", 1)
    fault = {"path": _as_text(path), "fault": _as_text(line)}
    return beam.pvalue.TaggedOutput(FAULTS, fault)


def _count(name: str, number: int) -> None:
    import apache_beam as beam

    beam.metrics.Metrics.counter("segnet", name).inc(number)
