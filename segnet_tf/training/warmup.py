"""A learning rate that grows before it falls."""

import keras

__all__ = ["WarmUp"]


@keras.saving.register_keras_serializable("segnet_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Grows linearly from 0 to another schedule's start, which then begins.

    Args:
        schedule: what follows.
        steps: length of the growth; at step `steps` the rate is schedule(0).
    """

    def __init__(self, schedule, steps: int):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        growth = keras.ops.minimum(step / self.steps, 1.0)
        return growth * self.schedule(keras.ops.maximum(step - self.steps, 0.0))

    def get_config(self):
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["steps"])
