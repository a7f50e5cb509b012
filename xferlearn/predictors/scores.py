"""Turns a model's answers into one score per class; logits become probabilities."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import Ending


@dataclasses.dataclass(frozen=True)
class ScoreReader:
    """Turns answers into scores.

    Attributes:
        classes: number of scores per photo.
        read: float32, [photos, ...], as the model answers, to float32, [photos, classes].
        warnings: what was assumed.
        sure: whether the answers are certain to be scores: a softmax or sigmoid ends the model, or
            they sum to 1.
        alone: whether each class has a score of its own (sigmoid), so that photos may have several
            labels, or none.
    """

    classes: int
    read: Callable[[np.ndarray], np.ndarray]
    warnings: tuple[str, ...] = ()
    sure: bool = True
    alone: bool = False


def read_scores(ending: Ending, trial: np.ndarray, name: str) -> ScoreReader:
    """Decides, by one answer, how all answers are read.

    Args:
        ending: what the model does last.
        trial: its answer for some photos, [photos, ...].
        name: of the output, for messages.

    Raises:
        UserError: there is not one score per class, or nothing shows how they are to be read.
    """
    if trial.dtype.kind in "OSU":
        raise UserError(
            f"Expected one score per class from output {name!r}. Its values are text; choose"
            " another with `output_layer`."
        )
    axes = [size for size in trial.shape[1:] if size != 1]
    if trial.ndim < 1 or len(axes) > 1 or 0 in trial.shape:
        shape = ", ".join(["any", *map(str, trial.shape[1:])])
        raise UserError(
            f"Expected one score per class from output {name!r}. Its shape is [{shape}]; choose"
            " another with `output_layer`."
        )
    classes = axes[0] if axes else 1
    step: Callable[[np.ndarray], np.ndarray]
    warnings: tuple[str, ...] = ()
    if ending == "unknown":
        if not _sum_to_one(trial.reshape(len(trial), classes)):
            raise UserError(
                f"Expected one score per class from output {name!r}. Its values don't sum to 1,"
                " and no softmax or sigmoid ends it, so it may give an embedding; choose another"
                " with `output_layer`, or export the model with a softmax or sigmoid at its end."
            )
        ending = "softmax"
    elif ending == "logits" and classes > 1:
        warnings = (f"the model ends before its softmax, at {name!r}; softmax was applied here.",)
    if classes == 1:
        step = _pair_of_logit if ending == "logits" else _pair
        warnings = ("the model gives one score, which is taken for the second of two classes.",)
    else:
        step = {"log_softmax": _powers, "logits": _softmax}.get(ending, _same)

    def read(answer: np.ndarray) -> np.ndarray:
        return step(answer.reshape(len(answer), classes).astype(np.float32))

    alone = ending == "sigmoid" and classes > 1
    return ScoreReader(max(classes, 2), read, warnings, sure=ending != "logits", alone=alone)


def _sum_to_one(trial: np.ndarray) -> bool:
    if trial.shape[1] < 2 or not np.isfinite(trial).all() or trial.min() < 0:
        return False
    # 8-bit scores are multiples of 1/256 and sum to 1 only roughly.
    return bool(np.all(np.abs(trial.sum(1) - 1) < 0.02 + 0.002 * trial.shape[1]))


def _same(answer: np.ndarray) -> np.ndarray:
    return answer


def _powers(answer: np.ndarray) -> np.ndarray:
    return np.exp(answer)


def _softmax(answer: np.ndarray) -> np.ndarray:
    powers = np.exp(answer - answer.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _pair(answer: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - answer, answer], axis=1)


def _pair_of_logit(answer: np.ndarray) -> np.ndarray:
    return _pair(1 / (1 + np.exp(-answer)))
