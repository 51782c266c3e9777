"""The processes of a run on several machines: their addresses, and who this one is."""

import json
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from segnet_tf.errors import UserError

__all__ = ["Cluster", "deadline"]

VARIABLE = "TF_CONFIG"
"""The variable that Kubeflow, SageMaker and Vertex AI set; TensorFlow reads it."""

PATIENCE = 300.0
"""Seconds that a worker waits for the others to begin."""

_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_OLDER_NAMES = ("chief", "master")


@dataclass(frozen=True)
class Cluster:
    """All processes of a run, in an order that all of them share.

    Attributes:
        workers: "host:port" of each. The first one, the chief, writes the run's folder.
        index: which of them this process is.
    """

    workers: tuple[str, ...]
    index: int

    def __post_init__(self):
        wrong = [each for each in self.workers if not _ADDRESS.fullmatch(each)]
        if wrong:
            raise UserError(f"workers: {wrong[0]!r}: must be host:port")
        if len(set(self.workers)) < len(self.workers):
            raise UserError("workers: an address is there twice")
        if not 0 <= self.index < len(self.workers):
            raise UserError(
                f"index: {self.index}, must be 0 to {len(self.workers) - 1} for "
                f"{len(self.workers)} workers"
            )

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @classmethod
    def of_flags(cls, workers: str | None, index: int | None) -> "Cluster | None":
        """The cluster that two flags name, or else that `TF_CONFIG` names.

        Args:
            workers: addresses with commas between them.
            index: of this process.

        Returns:
            None if neither names more than one process.

        Raises:
            UserError: if one flag is missing, or if an address is none.
        """
        if (workers is None) != (index is None):
            raise UserError("--workers and --index: give both, or neither")
        if workers is None:
            return cls.of_environment(os.environ)
        found = cls(tuple(workers.replace(" ", "").split(",")), index or 0)
        return found if len(found.workers) > 1 else None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "Cluster | None":
        """The cluster of the variable `TF_CONFIG`.

        Raises:
            UserError: if it is damaged, or has kinds of processes that there are not
                here, such as parameter servers.
        """
        text = environment.get(VARIABLE)
        if not text:
            return None
        try:
            config = json.loads(text)
            groups = dict(config["cluster"])
            kind, index = config["task"]["type"], int(config["task"]["index"])
            order = [name for name in (*_OLDER_NAMES, "worker") if groups.get(name)]
            before = order[: order.index(kind)]
            place = sum(len(groups[name]) for name in before) + index
            workers = tuple(str(each) for name in order for each in groups[name])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise UserError(
                f"{VARIABLE}: must be JSON with cluster.worker and task, whose type is "
                f"worker or chief: {text!r:.200}"
            ) from None
        return cls(workers, place) if len(workers) > 1 else None

    def tell_tensorflow(self) -> None:
        """Sets `TF_CONFIG` in the one form in which all processes are workers."""
        os.environ[VARIABLE] = json.dumps(
            {
                "cluster": {"worker": list(self.workers)},
                "task": {"type": "worker", "index": self.index},
            }
        )

    def unreachable(self) -> list[str]:
        """The addresses at which nobody listens, this process's left out."""
        missing = []
        for place, address in enumerate(self.workers):
            host, port = address.rsplit(":", 1)
            try:
                if place != self.index:
                    socket.create_connection((host.strip("[]"), int(port)), 2).close()
            except (OSError, OverflowError):
                missing.append(address)
        return missing


@contextmanager
def deadline(cluster: Cluster, seconds: float = PATIENCE) -> Iterator[None]:
    """Ends the process if what is inside takes longer: TensorFlow waits without end.

    One line names the workers that do not answer; the exit code is 2.
    """

    def give_up() -> None:
        missing = ", ".join(cluster.unreachable()) or "one of the workers"
        line = (
            f"error: no answer from {missing} in {seconds:.0f} s: start all workers "
            "within that time, with the same --workers\n"
        )
        # TensorFlow may hold standard error back, and Python's locks.
        with suppress(OSError):
            os.write(2, line.encode())
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
