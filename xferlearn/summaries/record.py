"""What the summaries of a run are made from."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.decisions import Reliability, decide_by_others, reliability
from xferlearn.metrics import AnyEvaluation, MultiLabelEvaluation, cross_entropy
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.sources import PhotoSource
from xferlearn.system.vectors import Vectors

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A finished training, as the summaries see it.

    Attributes:
        config: its settings.
        source: where its photos can be read again.
        manifest: its photos, and their split.
        bottlenecks: of `manifest.photos`, float32, [photos, width].
        predict: the delivered head, from bottlenecks, float32, [photos, width], to probabilities,
            float32, [photos, classes].
        classifier: from pixels to probabilities.
        probabilities: by split ("validation", "test"), for the photos that
            `manifest.judged(split)` lists, float32, [photos, classes], range [0, 1]; no rows
            where a split was not looked at.
        evaluations: by split, as `probabilities`.
        photos_per_second: from file to bottleneck.
        seconds: wall time of each stage so far.
        metadata: content of the model folder's metadata.json.
        familiarity: of `manifest.photos`, the share of the others that are less typical, float32,
            [photos], range [0, 1]; NaN, or None for all, where it is not known.
        promises: how labels are decided and what that gives, by name, in words.
    """

    config: TrainConfig
    source: PhotoSource
    manifest: Manifest
    bottlenecks: Vectors
    predict: Callable[[np.ndarray], np.ndarray]
    classifier: "keras.Model"
    probabilities: Mapping[str, np.ndarray]
    evaluations: Mapping[str, AnyEvaluation]
    photos_per_second: float
    seconds: Mapping[str, float]
    metadata: Mapping[str, Any]
    familiarity: np.ndarray | None = None
    promises: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def image_size(self) -> int:
        """Side in px of the square that the network sees."""
        return int(self.metadata["input"]["height"])

    @property
    def kept_training(self) -> Mapping[str, Any]:
        """Steps run and validation loss of the training that gave the weights.

        That is the fine-tuning where it was kept, else the head's training.
        """
        tuning = self.metadata.get("fine_tuning")
        if tuning and tuning["kept"]:
            loss = tuning["validation"]["fine_tuned"]["cross_entropy"]
            return {"steps_run": tuning["steps_run"], "validation_loss": loss}
        training = self.metadata["training"]
        return {key: training[key] for key in ("steps_run", "validation_loss")}

    def truth(self, split: str) -> np.ndarray:
        """Returns the classes of a split's photos, as `Manifest.truth` does."""
        return self.manifest.truth(self.manifest.judged(split))

    def decided(self, split: str) -> np.ndarray:
        """Returns the labels of a split's photos, as its evaluation counts them.

        Returns:
            Class indices, int, [photos]; where photos may have several labels, whether each gets
            each class, bool, [photos, classes].
        """
        scores, measured = self.probabilities[split], self.evaluations[split]
        if not isinstance(measured, MultiLabelEvaluation):
            return np.asarray(scores.argmax(axis=1))
        if measured.thresholds is not None:
            return np.asarray(scores >= measured.thresholds.astype(np.float32))
        manifest = self.manifest
        folds = np.array([manifest.folds[row] for row in manifest.judged(split)])
        return decide_by_others(manifest.labels, scores, self.truth(split), folds)

    def predictions(self, rows: Sequence[int]) -> np.ndarray:
        """Returns probabilities of photos, each by a head that has not seen it where one is.

        Args:
            rows: positions in `manifest.photos`.

        Returns:
            Float32, [rows, classes], range [0, 1].
        """
        found = np.array(self.predict(np.asarray(self.bottlenecks[rows], np.float32)))
        place_of = {row: place for place, row in enumerate(rows)}
        for split, probabilities in self.probabilities.items():
            for row, scores in zip(self.manifest.judged(split), probabilities, strict=True):
                if row in place_of:
                    found[place_of[row]] = scores
        return found

    def cross_entropy(self, split: str) -> float | None:
        """Returns the mean cross-entropy over a split's photos; None where none was judged."""
        probabilities = self.probabilities[split]
        if not len(probabilities):
            return None
        return cross_entropy(probabilities, self.truth(split))

    def reliability(self, split: str) -> Reliability:
        """Returns how far the probabilities of a split's photos and what is right agree."""
        groups = self.manifest.groups
        of_photos = [groups[i] for i in self.manifest.judged(split)] if groups else None
        return reliability(self.probabilities[split], self.truth(split), of_photos)
