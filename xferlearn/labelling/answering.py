"""From what a model says of a photo to an answer: a label, `unknown`, or a question to a person."""

import dataclasses
from typing import Literal

import numpy as np

from xferlearn.config import REJECT, AnswerConfig
from xferlearn.decisions import Answering, Decision, LabelSets, MultiLabelDecision, decision_of
from xferlearn.errors import UserError
from xferlearn.labelling.streaming import Labelled
from xferlearn.photos.several import label_text
from xferlearn.predictors import Predictor, model_folder_resize

Status = Literal["answered", "unknown", "ask", "failed"]

NONE_REACHES = "no label: none reaches its threshold"
"""What is said of a photo that may have several labels, and has none."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is answered for a photo.

    Attributes:
        status: "answered"; "unknown" where the photo is unlike those that the model was made from;
            "ask" where the model is not sure enough; "failed" for a photo that can't be used, or
            whose scores are no numbers.
        label: the label that was decided; None for a photo that can't be used. It is the answer
            only where the status says so. Where photos may have several labels it is their text,
            e.g. "cat|dog", and "" for none.
        probability: of that label, 0 to 1; None where photos may have several labels, each of which
            has its own in `scores`.
        familiarity: the share of the photos that the model was made from which are less typical, 0
            to 1; None for models that don't say.
        scores: labels with their probabilities: those that were decided, then others, best first.
        label_set: where photos may have several labels, those that were decided, best first, empty
            for none; else the labels of which one is right as often as `coverage` says, None where
            that was not asked for.
    """

    status: Status
    label: str | None = None
    probability: float | None = None
    familiarity: float | None = None
    scores: tuple[tuple[str, float], ...] = ()
    label_set: tuple[str, ...] | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether the photo may have several labels, or none."""
        return self.label is not None and self.probability is None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that were decided: one, unless photos may have several, or it failed."""
        if self.is_multi_label:
            return self.label_set or ()
        return () if self.label is None else (self.label,)


@dataclasses.dataclass(frozen=True)
class Answerer:
    """How a model's scores become answers.

    Attributes:
        labels: class names in output order.
        decision: which label a photo gets, or which labels.
        reject: familiarity below which a photo is unknown, 0 to 1.
        answering: how sure the model must be; None to answer always.
        sets: the sets of labels; None for none.
    """

    labels: tuple[str, ...]
    decision: Decision | MultiLabelDecision
    reject: float = REJECT
    answering: Answering | None = None
    sets: LabelSets | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether a photo may get several labels, or none."""
        return isinstance(self.decision, MultiLabelDecision)

    @property
    def promises(self) -> tuple[str, ...]:
        """What the answers keep, one line each; none where nothing was asked of them."""
        if self.answering is not None:
            one = self.answering
            return (
                f"At most {100 * one.max_error:.3g}% of the labels are wrong (95% confidence), for"
                f" photos like those that the model was made from; it labels {one.share:.0%} of"
                " them.",
            )
        if self.sets is not None:
            return (
                f"At least {100 * self.sets.coverage:.3g}% of the sets have the right label (95%"
                " confidence), for photos like those that the model was made from.",
            )
        return ()

    @classmethod
    def of(cls, predictor: Predictor, config: AnswerConfig) -> "Answerer":
        """Returns how a model answers as `config` says.

        Args:
            predictor: the model.
            config: what is asked of its answers.

        Raises:
            UserError: the model can't keep what is asked, or does not say what it needs.
        """
        decision = decision_of({"labels": predictor.labels, **predictor.metadata})
        answerer = cls(predictor.labels, decision, _reject(predictor, config))
        if config.max_error is None and config.coverage is None:
            return answerer
        name = "max_error" if config.coverage is None else "coverage"
        if isinstance(decision, MultiLabelDecision):
            raise UserError(
                f"`{name}` is about one answer per photo, and photos may have several labels of"
                f" {predictor.name}. What each of them keeps is set by `xferlearn decide`:"
                " `min_precision`, how many of the photos with a label are right, and `min_recall`,"
                " how many of the photos of a class are found."
            )
        if predictor.model_folder is None:
            raise UserError(
                f"`{name}` needs predictions.parquet of a model folder, which says how often the"
                f" model is right. {predictor.name} has none."
            )
        if predictor.resize != model_folder_resize(predictor.model_folder):
            raise UserError(
                f"`{name}` is about photos fitted as in training. Leave out"
                f" `resize={predictor.resize!r}`."
            )
        judged = predictor.model_folder.predictions().judged(test=False)
        # Those that are rejected as unknown get no answer, now as later.
        known = judged.only(np.flatnonzero(~(judged.familiarity < answerer.reject)).tolist())
        probabilities, y, groups = known.probabilities, known.y, known.groups or None
        if config.coverage is not None:
            sets = LabelSets.fit(probabilities, y, config.coverage, known.digests, groups)
            return dataclasses.replace(answerer, sets=sets)
        decided = decision.decide(probabilities)
        rejected = len(judged.names) - len(y)
        answering = Answering.choose(
            probabilities, decided, y, config.max_error or 0.0, groups, rejected
        )
        if answering is None:
            raise UserError(
                f"`max_error={config.max_error:g}` can't be kept: however sure the model is, its"
                f" predictions of {len(y):,} photos do not prove with 95% confidence that so few"
                " labels are wrong. Ask for less, or add photos."
            )
        return dataclasses.replace(answerer, answering=answering)

    def answer(self, photo: Labelled, top_k: int | None = None) -> Answer:
        """Returns the answer for a photo, with the scores of `top_k` labels; None for all."""
        scores = photo.scores
        if scores is None:
            return Answer("failed")
        has = np.zeros(len(scores), bool)
        has[self.decision.decide(scores[None])[0]] = True
        # What is decided comes first, whatever is likelier.
        order = np.lexsort((-scores, ~has))
        given = [self.labels[one] for one in order[: has.sum()].tolist()]
        status: Status = "answered"
        if not np.isfinite(scores).all():
            status = "failed"
        elif photo.familiarity is not None and photo.familiarity < self.reject:
            status = "unknown"
        elif self.answering is not None and not self.answering.answers(scores[order[0]]):
            status = "ask"
        label_set = tuple(given) if self.is_multi_label else None
        if self.sets is not None:
            within = self.sets.sets(scores[None], [photo.digest])[0] | has  # an answer is one of it
            label_set = tuple(self.labels[one] for one in order[within[order]].tolist())
        shown = order[: None if top_k is None else max(top_k, len(given))]
        return Answer(
            status,
            label_text(given) if self.is_multi_label else given[0],
            None if self.is_multi_label else float(scores[order[0]]),
            photo.familiarity,
            tuple((self.labels[one], float(scores[one])) for one in shown.tolist()),
            label_set,
        )


def _least(predictor: Predictor) -> float:
    """Returns the smallest familiarity that a model can give."""
    stated = predictor.metadata.get("familiarity") or {}
    if not predictor.says_familiarity or not stated.get("photos"):
        return 0.0
    # It is a p-value of so many photos; files of 8 bits have steps.
    return max(1 / (int(stated["photos"]) + 1), float(stated.get("step") or 0.0))


def _reject(predictor: Predictor, config: AnswerConfig) -> float:
    """Returns the familiarity below which photos are unknown: as asked, else as the model says."""
    if "reject" not in config.given:
        stated = predictor.metadata.get("familiarity") or {}
        return float(stated.get("reject", config.reject))
    if config.reject > 0 and not predictor.says_familiarity:
        raise UserError(
            f"`reject` needs a model that says how familiar photos are. {predictor.name} does not:"
            " train it again with this version of xferlearn, or leave `reject` out."
        )
    least = _least(predictor)
    if 0 < config.reject <= least:
        raise UserError(
            f"`reject={config.reject:g}` would never reject a photo: the smallest familiarity that"
            f" {predictor.name} can give is {least:.4f}. Ask for more than that."
        )
    return config.reject
