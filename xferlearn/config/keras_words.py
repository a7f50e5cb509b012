"""Keras' and scikit-learn's names for settings, which are accepted beside the lab's."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class KerasWord:
    """What another name for a setting means.

    Attributes:
        setting: name of the setting, as metadata and messages have it.
        times: the setting's value is that of the other name times this.
    """

    setting: str
    times: int = 1

    def value(self, given: Any) -> Any:
        """Returns the setting's value: 10.0 for a `test_size` of 0.1."""
        # Rounded, because 0.29 * 100 is 28.999999999999996.
        return given if self.times == 1 else round(given * self.times, 10)

    def bound(self, bound: float | None) -> float | None:
        """Returns a bound of the setting as one of the other name."""
        return bound if bound is None or self.times == 1 else bound / self.times


# A config that has one of the settings has a field of the other name beside it, for its type.
KERAS_WORDS: Mapping[str, KerasWord] = types.MappingProxyType(
    {
        "batch_size": KerasWord("train_batch_size"),
        "steps": KerasWord("how_many_training_steps"),
        "test_size": KerasWord("testing_percentage", times=100),
        "validation_size": KerasWord("validation_percentage", times=100),
    }
)
