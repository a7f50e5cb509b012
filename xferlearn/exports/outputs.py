"""What a model gives, and what its outputs are called in exported files."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xferlearn.model_folder import FAMILIARITY, PREDICTIONS

if TYPE_CHECKING:
    import keras

PROBABILITIES = "probabilities"


def output_names(model: "keras.Model") -> tuple[str, ...]:
    """Returns what files call the outputs of a model: `probabilities` and, if any, `familiarity`.

    Args:
        model: of a model folder.
    """
    return (PROBABILITIES, FAMILIARITY)[: len(in_order(model.output))]


def in_order(outputs: Any) -> tuple[Any, ...]:
    """Returns what a model gives, or its symbolic outputs: predictions, then the familiarity.

    Args:
        outputs: a dict of both, or predictions alone, as models of earlier versions give them.
    """
    if not isinstance(outputs, Mapping):
        return (outputs,)
    return outputs[PREDICTIONS], outputs[FAMILIARITY]


def with_outputs(model: "keras.Model", count: int) -> "keras.Model":
    """Returns a model that gives the first outputs of another, and has no other layers.

    Args:
        model: of a model folder.
        count: 1 for the predictions alone, 2 for the familiarity too.
    """
    import keras

    outputs = in_order(model.output)
    return model if count == len(outputs) else keras.Model(model.input, outputs[0])
