"""Labels files into a folder: what `segnet predict` does, from Python, too."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segnet_tf.console.progress import Progress
from segnet_tf.datasets.opening import opened
from segnet_tf.errors import Stopped, UserError
from segnet_tf.files import FolderLock, unfinished
from segnet_tf.inference.many.inventory import RECORD
from segnet_tf.inference.many.large import is_large
from segnet_tf.inference.many.refusals import TABLE, refuse_lost, refuse_others
from segnet_tf.inference.many.run import Counts, Run
from segnet_tf.inference.many.settings import Settings, labelling
from segnet_tf.inference.many.sources import Sources, is_video
from segnet_tf.inference.model_file import FORMS, find_model
from segnet_tf.inference.predictor import Predictor

__all__ = ["label_files"]


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
    done before with the same model and settings is skipped. Only files that this
    command has written, and nobody has changed since, are written over.

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
            a result would replace an input or a file that is not ours, if another
            process is at work in the folder, or if it cannot be written to.
    """
    settings = settings or Settings()
    refuse_others(output)
    sources = Sources(images, output)
    if not len(sources):
        raise _told_but_last(sources.faults)
    alone = len(sources) == 1 and not sources.faults
    if alone:
        _refuse_unread(next(iter(sources)).path, settings.native)
    path = find_model(model, FORMS if settings.samples is None else ("model.keras",))
    if model is None:
        here = Path.cwd()
        print("model:", path.relative_to(here) if path.is_relative_to(here) else path)
    predictor = Predictor(path, threads, settings.native)
    run = Run(predictor, sources, output, settings, overwrite)
    _refuse_if_outdated(sources)
    refuse_lost(sources, run.results, run.record, settings.native, overwrite)
    label = labelling(predictor, output, settings)
    with _alone_in(sources):
        _label(run, label)
        if alone and run.last is not None and not run.counts.done:
            raise run.last
    run.sum_up()
    return run.counts


@contextmanager
def _alone_in(sources: Sources) -> Iterator[None]:
    """Keeps other processes out of the output folder, which takes files.

    If nothing comes into it, it is not there in the end if it was not in the beginning.
    """
    output = Path(sources.inventory.folder)
    lock, is_new = FolderLock(output), not output.exists()
    lock.acquire()
    try:
        _refuse_if_outdated(sources)
        with unfinished(output / TABLE):
            pass
        yield
    finally:
        if is_new:
            with suppress(OSError):
                _delete_if_empty(output, {lock.NAME, RECORD})
        lock.release()


def _delete_if_empty(folder: Path, others: set[str]) -> None:
    """Deletes a folder that holds no more than some files."""
    found = list(folder.iterdir())
    if {path.name for path in found} <= others:
        for path in found:
            path.unlink()
        folder.rmdir()


def _refuse_if_outdated(sources: Sources) -> None:
    if sources.inventory.is_outdated():
        raise UserError(
            f"{sources.inventory.folder}: another process was at work in it just now: "
            "give the same command again"
        )


def _label(run: Run, label: Callable | None) -> None:
    with Progress(len(run.sources)) as run.progress:
        run.say_what_is_left_out()
        for fault in run.sources.faults:
            run.fail(fault, counted=False)
        try:
            run.label_stills(label)
            run.label_large()
            run.label_videos(label)
        except (KeyboardInterrupt, Stopped, UserError) as end:
            # What is done can be looked at; the reason of the end counts.
            with suppress(UserError):
                run.write_overview()
            if not isinstance(end, UserError):
                with suppress(OSError):  # the terminal may be gone
                    run.say_how_far()
            raise
        finally:
            run.record.close()
        run.write_overview()


def _refuse_unread(path: str, native: bool) -> None:
    """Finds a wrong name before the model is loaded."""
    if is_video(path) or (native and is_large(path)):
        return
    with opened(path):
        pass


def _told_but_last(faults: list[UserError]) -> UserError:
    *others, last = faults or [UserError("no pictures are named")]
    with Progress(1) as progress:
        for fault in others:
            progress.say(str(fault), error=True)
    return last
