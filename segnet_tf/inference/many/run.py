"""One run over some files: it labels them, counts, reports, and sums up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from segnet_tf.console.progress import Progress
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.evaluation.visualize import class_shares, shares_of
from segnet_tf.inference.many.gallery import write_gallery
from segnet_tf.inference.many.inventory import stamp_of
from segnet_tf.inference.many.large import is_large, label_large
from segnet_tf.inference.many.reading import Picture, Reader
from segnet_tf.inference.many.record import Record, write_table
from segnet_tf.inference.many.refusals import PAGE, TABLE
from segnet_tf.inference.many.results import Results, meets_all, recoloured
from segnet_tf.inference.many.settings import Settings, dependencies
from segnet_tf.inference.many.sources import Source, Sources, counted, is_video
from segnet_tf.inference.many.stream import Prediction, in_stream
from segnet_tf.inference.many.video import Video
from segnet_tf.inference.predictor import Predictor

__all__ = ["Counts", "Run"]


@dataclass
class Counts:
    """How many pictures were labelled, were done before, or could not be labelled."""

    done: int = 0
    before: int = 0
    faults: int = 0


class Run:
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
        self.results = Results(output, info, *chosen, settings.uncertainty)
        self.record = Record(sources.inventory, dependencies(predictor, settings))
        self.overwrite = overwrite
        self.counts = Counts()
        self.last: UserError | None = None
        self._partly = False
        self.progress = Progress(1)

    def label_stills(self, label: Callable | None) -> None:
        """Labels everything but videos."""
        own = self.settings.value_range
        value_range = own or self.info.value_range
        given = own is not None
        reader = Reader(self.info.channels, value_range, not given, given)
        stills = (
            source
            for source in self.sources
            if not is_video(source.path) and not self._is_large(source)
        )
        for picture, result in in_stream(
            self.predictor,
            map(self._begun, reader.pictures(stills, self._wanted)),
            reader,
            self._finish,
            self.results.keeps_scores,
            label,
        ):
            if isinstance(result, UserError):
                self.fail(result)
            else:
                self._tell(picture, result)
            del result  # its pixels are not held while the next ones are read

    def label_large(self) -> None:
        """Labels the TIFF files that are read and written in strips."""
        for source in filter(self._is_large, self.sources):
            picture = Picture.at(source, "strips")
            if not self._wanted(picture):
                continue
            files = self._files(self._begun(picture))
            try:
                size, counts, notice = label_large(
                    self.predictor, source.path, files, self.info, self.settings
                )
            except UserError as fault:
                self._fail_or_end(fault)
                continue
            if notice:
                self.progress.say(notice)
            shares = shares_of(counts)
            self.record.add(picture, size, shares, files.values())
            self._count(picture, f"{files['labels']}: {self._shown(shares)}")

    def _is_large(self, source: Source) -> bool:
        return self.settings.native and is_large(source.path)

    def label_videos(self, label: Callable | None) -> None:
        """Labels the videos, one after the other."""
        for source in filter(lambda source: is_video(source.path), self.sources):
            picture = Picture.at(source, "video")
            if not self._wanted(picture):
                continue
            [target] = self._files(self._begun(picture)).values()
            try:
                self._refuse_for_videos(source.path)
                found = Video(source.path, target).label(
                    self.predictor,
                    self.info,
                    self.settings.opacity,
                    self.settings.smooth,
                    label,
                )
            except UserError as fault:
                self._fail_or_end(fault)
                continue
            text = f"{found}, {self._shown(found.shares)}"
            if found.fault is not None:
                self.progress.say(text)
                # Without a stamp it is in the table, but not done.
                record = replace(picture, stamp=None)
                self.record.add(record, found.size, found.shares, [target])
                self.fail(found.fault, rest=True)
                continue
            self.record.add(picture, found.size, found.shares, [target])
            self._count(picture, text, always=True)

    def _refuse_for_videos(self, path: str) -> None:
        if self.settings.uncertainty:
            raise UserError(f"{path}: --uncertainty is not for videos: leave it out")
        if others := set(self.settings.outputs) - {"labels", "overlay"}:
            self.progress.say(
                f"{path}: a video becomes a video of overlays, without "
                f"{' and '.join(sorted(others))}"
            )
        elif "overlay" not in self.settings.outputs:
            self.progress.say(f"{path}: a video becomes a video of overlays alone")

    def _fail_or_end(self, fault: UserError) -> None:
        if meets_all(fault):
            raise fault
        self.fail(fault)

    def fail(self, fault: UserError, counted: bool = True, rest: bool = False) -> None:
        """Reports what cannot be labelled; if it is all there is, that is the end.

        Args:
            fault: the reason.
            counted: whether it is about one of the sources.
            rest: whether there are results of the rest of it.
        """
        self.counts.faults += 1
        self._partly |= rest
        if rest:
            self.progress.say(str(fault), error=True)
            return self.progress.step()
        self.last = fault
        if len(self.sources) > 1 or self.sources.faults or self.counts.done:
            self.progress.say(f"skipped: {fault}", error=True)
        if counted:
            self.progress.step()

    def write_overview(self) -> None:
        """Writes the table and the page of all results."""
        folder = self.results.folder
        # A process that was killed may have left neither.
        good = self.counts.done or self.counts.before or self._partly
        if good or (folder / TABLE).exists() or (folder / PAGE).exists():
            rows = self.record.rows()
            write_table(folder / TABLE, rows, self.info)
            write_gallery(folder / PAGE, rows, self.results)

    def say_what_is_left_out(self) -> None:
        """Says how many results of earlier runs lie among the inputs."""
        if found := self.sources.left_out:
            first, *more = found
            results = counted(sum(found.values()))
            others = f" and {len(more):,} more" if more else ""
            self.progress.say(
                f"left out: {results} of earlier runs, in {first}{others} (name a "
                "file itself to label it, with another --output)"
            )

    def say_how_far(self) -> None:
        """Says after an interruption how many are done, and how to go on."""
        done = self.counts.done + self.counts.before
        self.progress.say(f"{done:,} done; the same command does the rest", error=True)

    def sum_up(self) -> None:
        """Says how many were done, if there was more than one."""
        counts, page = self.counts, self.results.folder / PAGE
        parts = [f"{counts.done:,} labelled"]
        if counts.before:
            parts.append(f"{counts.before:,} done before (--overwrite does them again)")
        if counts.faults:
            parts.append(f"{counts.faults:,} could not be labelled")
        good = counts.done + counts.before
        if good + counts.faults > 1 or counts.before:
            text = ", ".join(parts) + (f"; look at them in {page}" if good else "")
            self.progress.say(text, error=counts.faults > 0)

    def _files(self, picture: Picture) -> dict[str, Path]:
        return self.results.files(picture.path, picture.name, picture.form)

    def _wanted(self, picture: Picture) -> bool:
        if picture.frame:
            self.progress.expect(1)  # a file counted as one
        if self.overwrite or not self.record.has(
            picture, self._files(picture).values()
        ):
            return True
        self.counts.before += 1
        self.progress.expect(-1)
        return False

    def _begun(self, picture: Picture) -> Picture:
        if not isinstance(picture.image, UserError):
            self.record.begin(self._files(picture).values())
        return picture

    def _finish(self, prediction: Prediction) -> UserError | None:
        fault = self.results.write(prediction)
        if fault is None:
            picture, labels = prediction.picture, prediction.labels
            shares = class_shares(labels, self.info)
            files = self._files(picture).values()
            self.record.add(picture, labels.shape, shares, files)
        return fault

    def _tell(self, picture: Picture, prediction: Prediction) -> None:
        if prediction.notice:
            self.progress.say(prediction.notice)
        files = self._files(picture)
        shown = files.get("overlay") or next(iter(files.values()))
        shares = class_shares(prediction.labels, self.info)
        self._count(picture, f"{shown}: {self._shown(shares)}")

    def _count(self, picture: Picture, line: str, always: bool = False) -> None:
        """One more is done; the line is said if there is no bar, or always."""
        self.counts.done += 1
        if picture.stamp != stamp_of(picture.path):
            self.progress.say(
                f"warning: {picture.path}: changed while it was labelled: the same "
                "command labels it again"
            )
        if always:
            self.progress.say(line)
        self.progress.step("" if always else line)

    def _shown(self, shares: list[tuple[int, float]]) -> str:
        classes = self.info.classes
        return ", ".join(f"{classes[index]} {share:.1%}" for index, share in shares)
