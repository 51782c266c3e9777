"""Linear warm-up of the learning rate."""

import keras

__all__ = ["WarmUp"]


@keras.saving.register_keras_serializable("segnet_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that grows linearly from 0, then follows another schedule.

    Args:
        schedule: the Keras schedule that follows.
        steps: length of the warm-up; at step `steps` the rate is schedule(0).
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
