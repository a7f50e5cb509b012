"""Compares an exported file with model.keras, in answers and speed, on the model's own photos."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from xferlearn.config.presets import REJECT
from xferlearn.decisions import Decision, MultiLabelDecision, decision_of
from xferlearn.errors import XferlearnError
from xferlearn.exports.changed import (
    Changed,
    ChangedSet,
    changed_photos,
    changed_text,
    labelled_alike,
)
from xferlearn.exports.familiarity import Familiarity, FamiliarityProof, compare_familiarity
from xferlearn.exports.foreign import foreign_pictures
from xferlearn.exports.photos import ProofPhotos
from xferlearn.metrics import paired_change
from xferlearn.model_folder import FAMILIARITY, ModelFolder
from xferlearn.photos.pixels.decoding import BATCH_SIZE
from xferlearn.predictors import Answers, Predictor, model_folder_resize
from xferlearn.system.text import count

# Calls for the latency: an odd number, so that the median is one of them.
_CALLS = 31
_WARM_UP = 3


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast a model answers, from uint8 pixels to scores, without decoding.

    Attributes:
        load_seconds: from the file to the first answer; importing the runtime is part of it,
            importing TensorFlow is not.
        latency_ms: median time of a call with one photo, ms; None where it was not measured.
        photos_per_second: in batches of 32; None where it was not measured.
    """

    load_seconds: float
    latency_ms: float | None
    photos_per_second: float | None


@dataclasses.dataclass(frozen=True)
class Proof:
    """A comparison of an exported file with model.keras in float32.

    Attributes:
        photos: how many were compared.
        minimum: agreement that was asked for, 0 to 1.
        agreement: share of the photos with the same first label, 0 to 1; where photos may have
            several, with the same labels at the model's thresholds.
        largest_difference: of any probability of any photo, 0 to 1.
        mean_difference: of all probabilities of all photos.
        accuracy: share of the photos that the file labels correctly, 0 to 1, all labels of each
            where there may be several; None, as the next two, where the model has learned from
            them.
        accuracy_change: that minus the share of model.keras.
        accuracy_interval: 95% interval of the change, see `metrics.paired_interval`.
        changed: the photos that disagree.
        speed: of the file in its own runtime.
        decided: share of the photos that get the same label by the model's decision, 0 to 1; None
            where the largest probability decides, and where `agreement` is of the decision.
        familiarity: the comparison of what is rejected; None where the model does not say how
            familiar a photo is, or the format can't carry it.
    """

    photos: int
    minimum: float
    agreement: float
    largest_difference: float
    mean_difference: float
    accuracy: float | None
    accuracy_change: float | None
    accuracy_interval: tuple[float, float] | None
    changed: tuple[Changed, ...] | tuple[ChangedSet, ...]
    speed: Speed
    decided: float | None = None
    familiarity: FamiliarityProof | None = None

    @property
    def passed(self) -> bool:
        """Whether the file agrees well enough."""
        return not self.disagreements

    @property
    def disagreements(self) -> tuple[str, ...]:
        """In what the file agrees too rarely, one clause each; none for a file that passed."""
        photos = count(self.photos, "photo")
        found = {f"of {photos} {changed_text(self.changed)}": self.agreement}
        if self.decided is not None:
            changed = round((1 - self.decided) * self.photos)
            found[f"of {photos} {changed:,} changed the decided label"] = self.decided
        problems = [
            f"agreement {share:.2%} is below {self.minimum:.2%}: {said}"
            for said, share in found.items()
            if share < self.minimum
        ]
        if self.familiarity is not None:
            problems.append(self.familiarity.disagreement(self.minimum))
        return tuple(filter(None, problems))

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {"passed": self.passed, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Reference:
    """model.keras itself, in Keras and float32.

    Attributes:
        labels: class names in output order.
        resize: how photos are fitted, "crop" or "squash".
        scores: float32, [photos, classes].
        accuracy: share of the photos that it labels correctly, 0 to 1; None where it has learned
            from them.
        speed: of Keras.
        decision: the model's.
        familiarity: of the photos and of foreign pictures; None where the model does not say it,
            or the format that is compared can't carry it.
        reject: below this familiarity a photo is unknown, 0 to 1.
    """

    labels: tuple[str, ...]
    resize: str
    scores: np.ndarray
    accuracy: float | None
    speed: Speed
    decision: Decision | MultiLabelDecision = dataclasses.field(
        default_factory=lambda: Decision(())
    )
    familiarity: Familiarity | None = None
    reject: float = REJECT

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""
        return isinstance(self.decision, MultiLabelDecision)

    def labelled(self, scores: np.ndarray) -> np.ndarray:
        """Returns how photos are labelled, in the form of `ProofPhotos.truth`.

        Args:
            scores: float, [photos, classes]. What is not finite is right nowhere.
        """
        if self.is_multi_label:
            return self.decision.decide(scores)
        return np.asarray(scores.argmax(axis=1))


def measure_reference(
    model_folder: ModelFolder,
    run: Callable[[np.ndarray], Answers],
    photos: ProofPhotos,
    load_seconds: float,
) -> Reference:
    """Runs model.keras on the photos; see `Reference`."""
    answers, latency, throughput = _measure(run, photos.pixels)
    reference = Reference(
        model_folder.labels,
        model_folder_resize(model_folder),
        answers.scores,
        None,
        Speed(load_seconds, latency, throughput),
        decision_of(model_folder.metadata),
        _familiarity(run, answers, photos),
        model_folder.metadata.get(FAMILIARITY, {}).get("reject", REJECT),
    )
    if photos.learned:
        return reference
    right = labelled_alike(reference.labelled(answers.scores), photos.truth)
    return dataclasses.replace(reference, accuracy=float(right.mean()))


def _familiarity(
    run: Callable[[np.ndarray], Answers], answers: Answers, photos: ProofPhotos
) -> Familiarity | None:
    """Returns how familiar the photos are, and foreign pictures, which are run here."""
    if answers.familiarity is None:
        return None
    pictures = _in_batches(run, foreign_pictures(photos.pixels.shape[1])).familiarity
    return None if pictures is None else Familiarity(answers.familiarity, pictures)


def prove(
    load: Callable[[], Predictor],
    photos: ProofPhotos,
    reference: Reference,
    minimum: float,
    speed: Callable[[], tuple[float | None, float | None]] | None = None,
    *,
    most_difference: float = 0.0,
) -> Proof:
    """Loads an exported file in its own runtime and compares it with model.keras.

    Args:
        load: opens the file.
        photos: to compare on.
        reference: model.keras.
        minimum: agreement that is asked for, 0 to 1.
        speed: measures latency (ms) and throughput (photos per second) where timing calls of the
            predictor would measure something else; None to time the calls.
        most_difference: the largest mean difference of a familiarity that passes; of no effect
            where the reference has none.

    Raises:
        XferlearnError: the file can't be run, or what it states about itself is wrong.
    """
    started = time.perf_counter()
    predictor = load()
    predictor.answer(photos.pixels[:1])
    loaded = time.perf_counter() - started
    _check_description(predictor, photos, reference)
    latency: float | None
    throughput: float | None
    if speed is None:
        answers, latency, throughput = _measure(predictor.answer, photos.pixels)
    else:
        answers = _in_batches(predictor.answer, photos.pixels)
        latency, throughput = speed()
    scores = answers.scores
    before, after = map(reference.labelled, (reference.scores, scores))
    # Scores that are not finite agree with nothing and are never right.
    finite = np.isfinite(scores).all(axis=1)
    same = labelled_alike(before, after) & finite
    right_before, right_after = (
        labelled_alike(before, photos.truth),
        labelled_alike(after, photos.truth) & finite,
    )
    difference = np.abs(scores - reference.scores)
    accuracy = change = interval = None
    if not photos.learned:
        accuracy = float(right_after.mean())
        found = paired_change(right_before, right_after)
        change, interval = found.mean, found.interval
    return Proof(
        photos=len(photos.names),
        minimum=minimum,
        agreement=float(same.mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        accuracy=accuracy,
        accuracy_change=change,
        accuracy_interval=interval,
        changed=changed_photos(
            reference.decision, reference.labels, (reference.scores, scores), photos, ~same
        ),
        speed=Speed(loaded, latency, throughput),
        decided=_decided(reference, scores),
        familiarity=_compared(predictor, answers, photos, reference, most_difference),
    )


def _decided(reference: Reference, scores: np.ndarray) -> float | None:
    """Returns the share of the photos that get the same label by the model's decision.

    None where the largest probability decides, and where there may be several labels.
    """
    if reference.is_multi_label or not reference.decision:
        return None
    before, after = map(reference.decision.decide, (reference.scores, scores))
    return float(((before == after) & np.isfinite(scores).all(axis=1)).mean())


def _compared(
    predictor: Predictor,
    answers: Answers,
    photos: ProofPhotos,
    reference: Reference,
    most_difference: float,
) -> FamiliarityProof | None:
    if reference.familiarity is None:
        return None
    found = _familiarity(predictor.answer, answers, photos)
    if found is None:
        raise XferlearnError(
            "the written file does not say how familiar a photo is, but the model does"
        )
    return compare_familiarity(reference.familiarity, found, reference.reject, most_difference)


def _check_description(predictor: Predictor, photos: ProofPhotos, reference: Reference) -> None:
    size, decision = photos.pixels.shape[1:3], decision_of(predictor.metadata)
    for what, stated, expected in (
        ("labels", predictor.labels, reference.labels),
        ("size", predictor.image_size, size),
        ("resize", predictor.resize, reference.resize),
        ("decision", decision.text(), reference.decision.text()),
        ("thresholds", dict(decision.thresholds), dict(reference.decision.thresholds)),
    ):
        if stated != expected:
            raise XferlearnError(
                f"the written file states {what} {stated}, but the model has {expected}"
            )


def _measure(
    run: Callable[[np.ndarray], Answers], pixels: np.ndarray
) -> tuple[Answers, float, float]:
    """Returns answers, median time of a call with one photo, ms, and photos per second."""
    singles = [pixels[i % len(pixels)][None] for i in range(_WARM_UP + _CALLS)]
    seconds = []
    for one in singles:
        started = time.perf_counter()
        run(one)
        seconds.append(time.perf_counter() - started)
    run(pixels[:BATCH_SIZE])
    started = time.perf_counter()
    answers = _in_batches(run, pixels)
    took = time.perf_counter() - started
    return answers, 1000 * statistics.median(seconds[_WARM_UP:]), len(pixels) / took


def _in_batches(run: Callable[[np.ndarray], Answers], pixels: np.ndarray) -> Answers:
    starts = range(0, len(pixels), BATCH_SIZE)
    return Answers.joined([run(pixels[start : start + BATCH_SIZE]) for start in starts])
