"""What a head is, and how it is trained, where its user does not say."""

import dataclasses
import math

from xferlearn.config import TrainConfig
from xferlearn.config.presets import (
    HIDDEN_UNITS,
    HIDDEN_UNITS_OF_FEW,
    LINEAR_WEIGHT_DECAY,
    WEIGHT_DECAY,
)

# Passes over the photos, at first and for large sets, which are learned in fewer.
PASSES, FEWEST_PASSES = 40, 10
FEWEST_STEPS, MANY_STEPS = 400, 4000
# With several views of each photo there is more to learn.
VIEWS_FACTOR = 2.5


@dataclasses.dataclass(frozen=True)
class HeadPlan:
    """A head and its training, with nothing left open.

    Attributes:
        hidden_units: units of the hidden layer; 0 for none.
        dropout: share of values dropped before the last layer, 0 to 1.
        weight_decay: half of it times the squares of the kernels is added to the loss.
        steps: training steps.
        batch_size: photos per step.
        learning_rate: the largest one; it falls to zero along a cosine.
        optimizer: "adam" or "sgd".
        class_weight: "none" or "balanced".
        seed: of weights, shuffling and dropout.
        multi_label: whether a photo may have several labels, see `build_head`.
    """

    hidden_units: int
    dropout: float
    weight_decay: float
    steps: int
    batch_size: int = TrainConfig.train_batch_size
    learning_rate: float = TrainConfig.learning_rate
    optimizer: str = TrainConfig.optimizer
    class_weight: str = TrainConfig.class_weight
    seed: int = TrainConfig.seed
    multi_label: bool = False


def plan_head(
    config: TrainConfig,
    photos: int,
    *,
    few: bool = False,
    views: bool = False,
    multi_label: bool = False,
) -> HeadPlan:
    """Returns the head that a config asks for, with defaults for what it leaves open.

    Args:
        config: its settings.
        photos: number of photos outside the test.
        few: whether each is left out once (leave-one-out), so that there are many heads.
        views: whether it learns from several views of each photo.
        multi_label: whether photos may have several labels.
    """
    hidden = config.hidden_units
    if hidden is None:
        hidden = HIDDEN_UNITS_OF_FEW if few else HIDDEN_UNITS
    decay = config.weight_decay
    if decay is None:
        decay = WEIGHT_DECAY if hidden else LINEAR_WEIGHT_DECAY
    steps = config.how_many_training_steps
    return HeadPlan(
        hidden_units=hidden,
        dropout=config.dropout,
        weight_decay=decay,
        steps=planned_steps(photos, config.train_batch_size, views) if steps is None else steps,
        batch_size=config.train_batch_size,
        learning_rate=config.learning_rate,
        optimizer=config.optimizer,
        class_weight=config.class_weight,
        seed=config.seed,
        multi_label=multi_label,
    )


def planned_steps(photos: int, batch_size: int, views: bool = False) -> int:
    """Returns the steps of a training whose user does not say how many."""
    of_many = max(MANY_STEPS, math.ceil(FEWEST_PASSES * photos / batch_size))
    steps = min(max(FEWEST_STEPS, math.ceil(PASSES * photos / batch_size)), of_many)
    return math.ceil(steps * VIEWS_FACTOR) if views else steps
