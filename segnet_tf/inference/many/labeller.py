"""Labels files into a folder: what `segnet predict` does, from Python, too."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segnet_tf.console.progress import Progress
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.opening import opened
from segnet_tf.errors import Stopped, UserError
from segnet_tf.evaluation.visualize import class_shares, shares_of
from segnet_tf.inference.many.gallery import write_gallery
from segnet_tf.inference.many.reading import Picture, Reader
from segnet_tf.inference.many.record import Record
from segnet_tf.inference.many.results import Results, recoloured
from segnet_tf.inference.many.settings import Settings, dependencies, labelling
from segnet_tf.inference.many.sources import Source, Sources, is_video
from segnet_tf.inference.many.stream import Prediction, in_stream
from segnet_tf.inference.model_file import FORMS, find_model
from segnet_tf.inference.predictor import Predictor

__all__ = ["label_files"]


@dataclass
class Counts:
    """How many pictures were labelled, were done before, or could not be labelled."""

    done: int = 0
    before: int = 0
    faults: int = 0


def label_files(
    images: list[str],
    model: str | None,
    output: Path,
    settings: Settings | None = None,
    threads: int | None = None,
    overwrite: bool = False,
) -> Counts:
    """Labels files, and writes a table of the classes' shares and a page to look at.

    A file that cannot be labelled is reported, and the others are done. What has been
    done before with the same model and settings is skipped.

    Args:
        images: files, folders, patterns, videos; "-" for names on standard input.
        model: a model file or folder; None: the one that `find_model` chooses.
        output: folder of the results.
        settings: see `Settings`.
        threads: CPU threads; None: all cores.
        overwrite: whether to do again what has been done.

    Returns:
        How many files were done, and how many could not be.

    Raises:
        UserError: if the only file cannot be labelled, if the model cannot be read, if
            a result would replace an input, or if the folder cannot be written to.
    """
    settings = settings or Settings()
    sources = Sources(images, output)
    if not len(sources):
        raise _told_but_last(sources.faults)
    alone = len(sources) == 1 and not sources.faults
    if alone and not is_video(only := next(iter(sources)).path):
        with opened(only):  # a wrong name is found before the model is loaded
            pass
    path = find_model(model, FORMS if settings.samples is None else ("model.keras",))
    if model is None:
        here = Path.cwd()
        print("model:", path.relative_to(here) if path.is_relative_to(here) else path)
    predictor = Predictor(path, threads, settings.native)
    run = _Run(predictor, sources, output, settings, overwrite)
    _refuse_inputs(sources, run.results, settings.uncertainty)
    label = labelling(predictor, output, settings)
    with Progress(len(sources)) as run.progress:
        for fault in sources.faults:
            run.fail(fault)
        try:
            run.label_stills(label)
            run.label_large()
            run.label_videos(label)
        except (KeyboardInterrupt, Stopped):
            run.write_overview()
            raise
        finally:
            run.record.close()
        run.write_overview()
    if alone and run.last is not None and not run.counts.done:
        raise run.last
    run.sum_up()
    return run.counts


def _told_but_last(faults: list[UserError]) -> UserError:
    *others, last = faults or [UserError("no pictures are named")]
    with Progress(1) as progress:
        for fault in others:
            progress.say(str(fault), error=True)
    return last


class _Run:
    """One call of `label_files`."""

    def __init__(
        self,
        predictor: Predictor,
        sources: Sources,
        output: Path,
        settings: Settings,
        overwrite: bool,
    ):
        self.predictor, self.sources, self.settings = predictor, sources, settings
        info = predictor.info
        if settings.palette is not None:
            info = recoloured(info, settings.palette)
        self.info: DatasetInfo = info
        chosen = settings.outputs, settings.format, settings.opacity
        self.results = Results(output, info, *chosen)
        self.record = Record(output, dependencies(predictor, settings))
        self.overwrite = overwrite
        self.counts = Counts()
        self.last: UserError | None = None
        self.progress = Progress(1)

    def label_stills(self, label: Callable | None) -> None:
        """Labels everything but videos."""
        own = self.settings.value_range
        value_range = own or self.info.value_range
        reader = Reader(self.info.channels, value_range, warns=own is None)
        stills = (
            source
            for source in self.sources
            if not is_video(source.path) and not self._in_strips(source)
        )
        for picture, result in in_stream(
            self.predictor,
            reader.pictures(stills, self._wanted),
            reader,
            self._finish,
            self.results.keeps_scores,
            label,
        ):
            if isinstance(result, UserError):
                self.fail(result)
            else:
                self._tell(picture, result)

    def label_large(self) -> None:
        """Labels the TIFF files that are read and written in strips."""
        for source in filter(self._in_strips, self.sources):
            from segnet_tf.inference.many.large import label_large

            folder, picture = self.results.folder, Picture(*source)
            # The overlay is made from the labels, so these are always written.
            outputs = ("labels", *self.settings.outputs)
            files = {name: folder / f"{source.name}_{name}.tif" for name in outputs}
            if not self._wanted(picture, files.values()):
                continue
            try:
                size, counts = label_large(
                    self.predictor, source.path, files, self.info,
                    self.settings.opacity,
                    self.settings.value_range or self.info.value_range,
                )  # fmt: skip
            except UserError as fault:
                self.fail(fault)
                continue
            shares = shares_of(counts)
            self.record.add(picture, size, shares)
            self.counts.done += 1
            self.progress.step(f"{files['labels']}: {self._shown(shares)}")

    def _in_strips(self, source: Source) -> bool:
        if not self.settings.native:
            return False
        from segnet_tf.inference.many.large import is_large

        return is_large(source.path)

    def label_videos(self, label: Callable | None) -> None:
        """Labels the videos, one after the other."""
        for source in filter(lambda source: is_video(source.path), self.sources):
            from segnet_tf.inference.many.video import Video

            video = Video(source.path, self.results.folder / source.name)
            picture = Picture(*source)
            if not self._wanted(picture, [video.target]):
                continue
            try:
                found = video.label(
                    self.predictor,
                    self.info,
                    self.settings.opacity,
                    self.settings.smooth,
                    label,
                )
            except UserError as fault:
                self.fail(fault)
                continue
            self.record.add(picture, found.size, found.shares)
            self.counts.done += 1
            self.progress.step(f"{found}, {self._shown(found.shares)}")

    def fail(self, fault: UserError) -> None:
        """Reports what cannot be labelled; if it is all there is, that is the end."""
        self.counts.faults += 1
        self.last = fault
        if len(self.sources) > 1 or self.sources.faults or self.counts.done:
            self.progress.say(f"skipped: {fault}", error=True)

    def write_overview(self) -> None:
        """Writes the table and the page of all results."""
        # A process that was killed may have left neither.
        if self.counts.done or self.counts.before:
            folder = self.results.folder
            self.record.write_table(folder / "classes.csv", self.info)
            write_gallery(folder / "index.html", self.record.rows(), self.results)

    def sum_up(self) -> None:
        """Says how many were done, if there was more than one."""
        counts, page = self.counts, self.results.folder / "index.html"
        parts = [f"{counts.done:,} labelled"]
        if counts.before:
            parts.append(f"{counts.before:,} done before (--overwrite does them again)")
        if counts.faults:
            parts.append(f"{counts.faults:,} could not be labelled")
        if counts.done + counts.before + counts.faults > 1 or counts.before:
            text = f"{', '.join(parts)}; look at them in {page}"
            self.progress.say(text, error=counts.faults > 0)

    def _wanted(self, picture: Picture, files: Iterable[Path] = ()) -> bool:
        if self.overwrite or picture not in self.record:
            return True
        files = files or self.results.files(picture.path, picture.name).values()
        if not all(map(os.path.exists, files)):
            return True
        self.counts.before += 1
        self.progress.skip()
        return False

    def _finish(self, prediction: Prediction) -> UserError | None:
        fault = self.results.write(prediction)
        if fault is None:
            shares = class_shares(prediction.labels, self.info)
            self.record.add(prediction.picture, prediction.labels.shape, shares)
        return fault

    def _tell(self, picture: Picture, prediction: Prediction) -> None:
        self.counts.done += 1
        if prediction.notice:
            self.progress.say(prediction.notice)
        files = self.results.files(picture.path, picture.name)
        shown = files.get("overlay") or next(iter(files.values()))
        shares = class_shares(prediction.labels, self.info)
        self.progress.step(f"{shown}: {self._shown(shares)}")

    def _shown(self, shares: list[tuple[int, float]]) -> str:
        classes = self.info.classes
        return ", ".join(f"{classes[index]} {share:.1%}" for index, share in shares)


def _refuse_inputs(sources: Sources, results: Results, uncertainty: bool) -> None:
    """Refuses results that would replace an input."""
    inside = partial(_is_inside, folder=os.path.realpath(results.folder))
    inputs = {os.path.realpath(path) for path in sources.named_alone if inside(path)}
    roots = [os.path.realpath(root) for root in sources.roots if inside(root)]
    if not inputs and not roots:
        return
    for source in sources:
        targets = list(results.files(source.path, source.name).values())
        if uncertainty:
            targets.append(results.folder / f"{source.name}_uncertainty.png")
        for target in targets:
            real = os.path.realpath(target)
            if real in inputs or any(_is_inside(real, root) for root in roots):
                raise UserError(
                    f"{target} is an input and would be overwritten: choose another "
                    "--output"
                )


def _is_inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(folder, ""))
