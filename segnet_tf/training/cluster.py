"""The processes of a run on several machines: their addresses, and who this one is."""

import json
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from segnet_tf.errors import UserError

__all__ = ["Cluster"]

VARIABLE = "TF_CONFIG"
"""The variable that Kubeflow, SageMaker and Vertex AI set; TensorFlow reads it."""

PATIENCE = 300.0
"""Seconds that a process waits for the others to begin."""

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
        found = set()
        for address in self.workers:
            if not _ADDRESS.fullmatch(address):
                raise UserError(f"workers: {address!r}: must be host:port")
            host, port = _parts(address)
            if not 0 < port < 2**16:
                raise UserError(f"workers: {address!r}: a port is 1 to 65535")
            if (host.lower(), port) in found:
                raise UserError(f"workers: {address} is there twice")
            found.add((host.lower(), port))
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
            kind, index = config["task"]["type"], config["task"]["index"]
            if isinstance(index, str) and index.isdecimal():
                index = int(index)
            if type(index) is not int or not 0 <= index < len(groups[kind]):
                raise ValueError("no place of that kind")
            order = [name for name in (*_OLDER_NAMES, "worker") if groups.get(name)]
            before = order[: order.index(kind)]
            place = sum(len(groups[name]) for name in before) + index
            workers = tuple(str(each) for name in order for each in groups[name])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise UserError(
                f"{VARIABLE}: must be JSON with cluster.worker and task, whose type is "
                f"worker or chief and whose index is one of that type's: {text!r:.200}"
            ) from None
        if groups.get("ps"):
            raise UserError(
                f"{VARIABLE}: has parameter servers (ps), which there are not here: "
                "leave them out"
            )
        return cls(workers, place) if len(workers) > 1 else None

    def tell_tensorflow(self) -> None:
        """Sets `TF_CONFIG` in the one form in which all processes are workers."""
        os.environ[VARIABLE] = json.dumps(
            {
                "cluster": {"worker": list(self.workers)},
                "task": {"type": "worker", "index": self.index},
            }
        )

    def gather(self, seconds: float = PATIENCE) -> None:
        """Waits until all processes of the run are there.

        TensorFlow would wait without end, and hold Python's lock. So the others listen
        at their ports until the chief's is open, which TensorFlow opens there; the
        chief lets TensorFlow begin when all of them listen.

        Args:
            seconds: to wait.

        Raises:
            UserError: if one does not come in that time, or if the port of this process
                is taken.
        """
        listener = self._listening()
        if self.is_chief:
            listener.close()  # TensorFlow needs the port
        awaited = self.workers[1:] if self.is_chief else self.workers[:1]
        end = time.monotonic() + seconds
        with nullcontext() if self.is_chief else listener:
            while missing := _unreachable(awaited):
                if time.monotonic() > end:
                    others = "" if self.is_chief else ", or from one that it waits for,"
                    raise UserError(
                        f"no answer from {', '.join(missing)}{others} in "
                        f"{seconds:.0f} s: start all workers within that time, with "
                        "the same --workers"
                    )
                time.sleep(0.2)

    def _listening(self) -> socket.socket:
        port = _parts(self.workers[self.index])[1]
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            return socket.create_server(("", port), family=family, dualstack_ipv6=both)
        except OSError as error:
            raise UserError(
                f"workers: port {port} of this machine: {error.strerror}: end the "
                "process that has it, or choose another port"
            ) from None


def _parts(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def _unreachable(addresses: Iterable[str]) -> list[str]:
    """Those at which nobody listens."""
    missing = []
    for address in addresses:
        try:
            socket.create_connection(_parts(address), 2).close()
        except OSError:
            missing.append(address)
    return missing
