"""Copies of the network on several devices or machines, each with a part of a batch.

TensorFlow's strategies do the work: the gradients of all replicas are added, and all
take the same step. Batch normalisation, the loss and the metric count over the whole
batch, so that the result is the one that a single device would have.
"""

import signal
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.pipeline import evaluation_rounds
from segnet_tf.errors import Stopped, UserError
from segnet_tf.training.cluster import Cluster
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.run_options import FREE

__all__ = ["ReplicaModel", "Replicas"]


LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
"""What TensorFlow raises if another process does not answer any more."""


class Replicas:
    """Where the network's copies are. With one of them, nothing is distributed.

    Attributes:
        count: number of replicas, on all machines.
        is_chief: whether this process writes the run's folder.
    """

    def __init__(self, strategy=None, cluster: Cluster | None = None):
        self.strategy = strategy
        self.cluster = cluster
        self.count = strategy.num_replicas_in_sync if strategy else 1
        self.is_chief = cluster is None or cluster.is_chief

    @classmethod
    def on(cls, devices: str, cluster: Cluster | None = None) -> "Replicas":
        """The replicas that the flags of a command name.

        It comes before all other work of TensorFlow: a cluster needs that.

        Args:
            devices: a number of devices of this machine, or "all": GPUs if there are
                any.
            cluster: the processes of the run; each uses all GPUs of its machine.

        Raises:
            UserError: if the machine has fewer devices, if `devices` is no number, or
                if a process of the cluster does not come.
        """
        if cluster is not None:
            if devices != "1":
                raise UserError("devices: with --workers, each uses all of its machine")
            cluster.gather()
            cluster.tell_tensorflow()
            return cls(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
        if devices == "1":
            return cls()
        if devices != "all" and not (devices.isdecimal() and int(devices)):
            raise UserError(f"devices: {devices!r}, must be a number or all")
        there = tf.config.list_logical_devices("GPU")
        there = there or tf.config.list_logical_devices("CPU")
        wanted = len(there) if devices == "all" else int(devices)
        if wanted > len(there):
            kind = there[0].device_type
            raise UserError(
                f"devices: {wanted}, but this machine has {len(there)} {kind}"
            )
        names = [device.name for device in there[:wanted]]
        return cls(tf.distribute.MirroredStrategy(names)) if wanted > 1 else cls()

    def scope(self):
        """A context in which networks and optimizers are made, or loaded."""
        return self.strategy.scope() if self.strategy else nullcontext()

    def check(self, config: TrainConfig) -> None:
        """Raises a UserError if a run cannot be spread over these replicas."""
        optimization, count = config.optimization, self.count
        if count == 1:
            return
        if optimization.batch_size % count:
            raise UserError(
                f"batch_size: {optimization.batch_size} crops for {count} devices: "
                "must be a multiple of their number"
            )
        # Keras 3.15 fails in the one and waits for ever in the other.
        if optimization.accumulate > 1:
            raise UserError(
                "accumulate: does not work on several devices: leave it out, and give "
                "a larger --batch-size"
            )
        if config.run.jit_compile:
            raise UserError(
                "jit_compile: does not work on several devices: leave it out"
            )

    def compare(
        self, folder, options: Mapping[str, Any], epoch: int, step: int
    ) -> None:
        """Refuses processes that would not train the same network.

        Args:
            folder: of the run.
            options: what has to be equal on all machines, but for those of `FREE`.
            epoch: number of finished epochs in the folder.
            step: number of finished steps of the next one.

        Raises:
            UserError: in every process, if they have other options or see another run.
        """
        if self.cluster is None:
            return
        places = {"epoch": epoch, "step": step}
        bound = {name: options[name] for name in options if name not in FREE}
        own = {name: zlib.crc32(repr(value).encode()) for name, value in bound.items()}
        own |= places
        # A row for each process: the sum is the table of all.
        table = np.zeros((len(self.cluster.workers), len(own)))
        table[self.cluster.index] = [*own.values()]
        table = self.summed(table)
        unlike = [n for n, found in zip(own, table.T, strict=True) if np.ptp(found)]
        if unlike and unlike[0] in places:
            raise UserError(
                f"{folder}: here at epoch {epoch}, step {step}, elsewhere not: all "
                "workers need the same folder, on a disk that they share"
            )
        if unlike:
            raise UserError(
                f"{', '.join(unlike)}: not the same on all workers: give them the same "
                "options and data"
            )

    @contextmanager
    def losses(self) -> Iterator[None]:
        """Turns the loss of another process, which ends the run, into one line."""
        try:
            yield
        except LOST as error:
            if self.cluster is None:
                raise
            raise Stopped(
                signal.SIGTERM,
                f"another worker is gone ({type(error).__name__}): start all "
                "workers again with --resume",
            ) from error

    def rounds(self, split: Split | None) -> int | None:
        """How many batches of a validation each replica gets; None: until the end."""
        if split is None or self.strategy is None:
            return None
        return evaluation_rounds(split, self.count)

    def batches(self, make: Callable[..., tf.data.Dataset]) -> Any:
        """The batches of all replicas, for `fit`.

        Args:
            make: (number of replicas; the range of them that this process feeds) ->
                batches, one for each of these in turn.
        """
        if self.strategy is None:
            return make(1, range(1))

        def of_process(context) -> tf.data.Dataset:
            here = self.count // context.num_input_pipelines
            first = context.input_pipeline_id * here
            return make(self.count, range(first, first + here))

        return self.strategy.distribute_datasets_from_function(of_process)

    def summed(self, values: Any) -> Any:
        """The sum of one small array over all processes, each of which has to call it.

        Args:
            values: of one shape and type everywhere.
        """
        if self.cluster is None:
            return values
        return self._sum(tf.constant(values)).numpy()

    @tf.function
    def _sum(self, values):
        assert self.strategy is not None and self.cluster is not None
        here = self.count // len(self.cluster.workers)
        total = self.strategy.reduce("SUM", self.strategy.run(lambda: values), None)
        return total // here


@keras.saving.register_keras_serializable("segnet_tf")
class ReplicaModel(keras.Model):
    """A network that Keras can train with a distribution strategy.

    Without one, it is a keras.Model and no more. Keras would take a batch from the
    stream to build the metrics, so that the run has other batches than one on a single
    device; with several machines it would fail there, and at the scalars that a step
    returns (keras#20585).
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None:
            return
        images = keras.KerasTensor((1, 32, 32, self.input_shape[-1]), "float32")
        labels = keras.KerasTensor((1, 32, 32), "uint8")
        with self._distribute_strategy.scope():
            self._symbolic_build(data_batch=(images, labels, None))

    def train_step(self, data):
        return self._for_reduction(super().train_step(data))

    def test_step(self, data):
        return self._for_reduction(super().test_step(data))

    def _for_reduction(self, results: dict) -> dict:
        strategy = self._distribute_strategy
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras takes their mean along the first axis.
            return {name: value[None] for name, value in results.items()}
        return results
