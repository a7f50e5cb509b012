"""Settings that say how labels are decided: shared by the commands that choose a decision."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from xferlearn.config.base import Config, Setting, StrPath
from xferlearn.errors import UserError, did_you_mean

ByClass: TypeAlias = str | Mapping[str, float] | None
ByMistake: TypeAlias = str | Mapping[str, float] | Mapping[tuple[str, str], float] | None

DECISION = ("min_recall", "min_precision", "cost")
_MOST_NAMED = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecisionConfig(Config):
    """What is asked of the labels; nothing for those of the largest probability."""

    min_recall: Annotated[
        ByClass,
        Setting(
            "Smallest share of a class's photos that must get its label, e.g. defective=0.95: the"
            " largest threshold on its probability that promises it, on average over models.",
            above=0,
            maximum=0.9999,
            pairs="CLASS",
            section="Decision",
        ),
    ] = None
    min_precision: Annotated[
        ByClass,
        Setting(
            "Smallest share of the photos with a class's label that must be of that class, e.g."
            " roses=0.9: the smallest threshold that is proved to keep it, with 95% confidence.",
            above=0,
            maximum=0.9999,
            pairs="CLASS",
            section="Decision",
        ),
    ] = None
    cost: Annotated[
        ByMistake,
        Setting(
            "What mistakes cost, instead of thresholds: defective:functional=5 for a defective one"
            " that is labelled functional. Mistakes that are not named cost 1. A photo gets the"
            " label of the smallest expected cost. In Python also"
            ' {("defective", "functional"): 5}.',
            minimum=0,
            maximum=1e9,
            pairs="TRUE:LABEL",
            section="Decision",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cost is not None:
            for name in ("min_recall", "min_precision"):
                if getattr(self, name) is not None:
                    raise UserError(f"Expected either `cost` or `{name}`. Received: both.")
        both = _numbers(self.min_recall).keys() & _numbers(self.min_precision).keys()
        if both:
            raise UserError(
                f"Expected either `min_recall` or `min_precision` of {min(both)!r}. Received: both."
            )

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return any(getattr(self, name) is not None for name in DECISION)

    def asked(self, labels: Sequence[str], *, multi_label: bool = False) -> dict[str, Any]:
        """Returns what is asked of a model's classes, as `choose` takes it.

        Args:
            labels: class names.
            multi_label: whether photos may have several labels.

        Raises:
            UserError: when a class that is named is none of them, with the nearest one, and on
                costs where photos may have several labels.
        """
        if multi_label and self.cost is not None:
            raise UserError(
                "`cost` is of one class taken for another. Where photos may have several labels,"
                " each class is a question of its own: ask for its `min_recall` or"
                " `min_precision`."
            )
        for name in ("min_recall", "min_precision"):
            for label in _numbers(getattr(self, name)):
                if label not in labels:
                    raise _no_class(name, label, labels)
        costs: dict[str, dict[str, float]] = {}
        for mistake, cost in _numbers(self.cost).items():
            truth, label = _mistake(mistake, labels)
            row = costs.setdefault(truth, {})
            if label in row:
                raise UserError(
                    f"Expected one `cost` of {truth!r} labelled {label!r}. Received: two."
                )
            row[label] = cost
        return {
            "min_recall": _numbers(self.min_recall),
            "min_precision": _numbers(self.min_precision),
            **({} if multi_label else {"costs": costs}),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecideConfig(DecisionConfig):
    """Settings of `xferlearn decide` and of `xferlearn.decide(...)`."""

    model: Annotated[
        StrPath | None,
        Setting(
            "Model folder, as `train` writes it, whose decision is to be set.",
            section="Data",
            aliases=("graph", "model_dir"),
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    clear: Annotated[
        bool,
        Setting(
            "Remove the decision: a photo gets the label of the largest probability, or where it"
            " may have several, those at the thresholds of the largest F1.",
            section="Decision",
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("model")
        if self.asks == self.clear:
            came = "both" if self.clear else "nothing"
            raise UserError(
                "Expected `min_recall`, `min_precision` or `cost`, or `clear=True`. Received:"
                f" {came}."
            )


def _numbers(value: Any) -> dict[str, float]:
    """Returns a setting of pairs, as a config holds it, with its type."""
    return dict(value or {})


def _mistake(text: str, labels: Sequence[str]) -> tuple[str, str]:
    """Returns true class and label of a mistake; a class may have a colon in its name."""
    splits = list(_splits(text))
    known = [(truth, label) for truth, label in splits if truth in labels and label in labels]
    if not known:
        truth, label = splits[0]
        raise _no_class("cost", label if truth in labels else truth, labels)
    if len(known) > 1:
        readings = " or ".join(f"{truth!r} labelled {label!r}" for truth, label in known)
        raise UserError(f"`cost` {text!r} may mean {readings}. Rename a class, so that it is one.")
    truth, label = known[0]
    if truth == label:
        raise UserError(f"`cost` of {truth!r} labelled {label!r}: what is right costs nothing.")
    return truth, label


def _splits(text: str) -> Iterator[tuple[str, str]]:
    for place, sign in enumerate(text):
        if sign == ":":
            yield text[:place].strip(), text[place + 1 :].strip()


def _no_class(name: str, label: str, labels: Sequence[str]) -> UserError:
    left = len(labels) - _MOST_NAMED
    more = f" and {left:,} more" if left > 0 else ""
    return UserError(
        f"`{name}` names {label!r}, which is no class.{did_you_mean(label, labels)} The classes are"
        f" {', '.join(labels[:_MOST_NAMED])}{more}."
    )
