"""What a model says of photos with known classes, one after the other, in a few bytes each."""

import abc
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xferlearn.config import REJECT
from xferlearn.decisions import DecisionMeasured, OperatingPoint
from xferlearn.labelling import Labelled
from xferlearn.metrics import AnyEvaluation, Misclassified
from xferlearn.photos.predicted import Predicted
from xferlearn.predictors import Predictor
from xferlearn.system.growing_table import GrowingTable, taken

if TYPE_CHECKING:
    import pyarrow as pa


class Measured(NamedTuple):
    """What answers are worth.

    Attributes:
        evaluation: accuracy, or what several labels are measured by, and numbers by class.
        misclassified: the photos with a wrong label.
        decided: what the decision gives; None where there is none, or there are no photos.
        points: recall and precision at the thresholds that `train` told, by class.
    """

    evaluation: AnyEvaluation
    misclassified: tuple[Misclassified, ...]
    decided: DecisionMeasured | None
    points: tuple[OperatingPoint, ...]


class Answers(abc.ABC):
    """What a model says of photos that come one by one.

    Photos are added, then `finish` is called, then the answers are asked what they are worth.
    """

    is_multi_label = False

    def __init__(self, predictor: Predictor, *, keep: bool) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            keep: whether names and probabilities are kept, for `kept`.
        """
        import pyarrow as pa

        self._labels = predictor.labels
        self._keep = keep
        kept = {"name": pa.large_binary(), "scores": pa.binary(4 * len(self._labels))}
        # On disk where they are many.
        self._rows = GrowingTable(
            pa.schema(
                {
                    "digest": pa.binary(32),
                    "truth": pa.int32(),
                    "familiarity": pa.float32(),
                    **self._own_columns(),
                    **(kept if keep else {}),
                }
            )
        )
        self._table: pa.Table | None = None
        self._says_familiarity = predictor.says_familiarity
        self._reject = (predictor.metadata.get("familiarity") or {}).get("reject", REJECT)

    def add(self, photo: Labelled, truth: int) -> None:
        """Adds a photo.

        Args:
            photo: what the model says of it.
            truth: what it shows, an index into the labels that `measured` is given.

        Raises:
            ValueError: when it could not be used.
        """
        if photo.scores is None:
            raise ValueError(f"{photo.name} has no scores")
        familiarity = math.nan if photo.familiarity is None else photo.familiarity
        kept = [os.fsencode(photo.name), photo.scores.tobytes()] if self._keep else []
        self._rows.add(photo.digest, truth, familiarity, *self._own_cells(photo, truth), *kept)

    def _own_columns(self) -> "dict[str, pa.DataType]":
        """Returns what else is known of each photo."""
        return {}

    def _own_cells(self, photo: Labelled, truth: int) -> list[Any]:
        """Returns the values of a photo for `_own_columns`."""
        return []

    def finish(self) -> None:
        """Ends the adding of photos; only now can be asked for what they are worth."""
        self._table = self._rows.finish()

    def only(self, kept: np.ndarray) -> None:
        """Forgets photos.

        Args:
            kept: of each photo whether it is kept, bool, [photos].
        """
        self._table = taken(self._known, np.flatnonzero(kept))

    @property
    def _known(self) -> "pa.Table":
        if self._table is None:
            raise ValueError("finish() was not called")
        return self._table

    def _column(self, name: str, dtype: str) -> np.ndarray:
        """Returns a column of fixed width, without a copy, [photos] or [photos, values]."""
        array = self._known.column(name).combine_chunks()
        width = array.type.bit_width // 8
        start = array.offset * width
        values = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        values = values[start : start + len(array) * width].view(dtype)
        return values if len(values) == len(array) else values.reshape(len(array), -1)

    @property
    def digests(self) -> np.ndarray:
        """SHA-256 of each photo, uint8, [photos, 32]."""
        return self._column("digest", "u1").reshape(-1, 32)

    @property
    def _truth(self) -> np.ndarray:
        return self._column("truth", "i4")

    @property
    def unknown(self) -> int | None:
        """How many photos are unlike those of the model; None for models that don't say."""
        if not self._says_familiarity:
            return None
        return int((self._column("familiarity", "f4") < self._reject).sum())

    @abc.abstractmethod
    def measured(self, labels: Sequence[str]) -> Measured:
        """Returns what the answers are worth.

        Args:
            labels: the model's classes, and behind them others that photos have; where photos may
                have several, the sets of them that occur, as `photos.several` writes them.
        """

    @property
    def probabilities(self) -> np.ndarray:
        """Those that are kept, float32, [photos, classes], range [0, 1]."""
        return self._column("scores", "f4").reshape(-1, len(self._labels))

    @property
    def _names(self) -> list[str]:
        return [os.fsdecode(name) for name in self._known.column("name").to_pylist()]

    def kept(self, labels: Sequence[str], splits: Mapping[bytes, str]) -> Predicted:
        """Returns the photos with their probabilities, where these are kept.

        Args:
            labels: as for `measured`.
            splits: the model's own photos and their splits, by digest.
        """
        digests = tuple(row.tobytes() for row in self.digests)
        return Predicted(
            self._labels,
            digests,
            tuple(self._names),
            tuple(splits.get(digest, "") for digest in digests),
            tuple(labels[number] for number in self._truth),
            self.probabilities,
            self._column("familiarity", "f4"),
            is_multi_label=self.is_multi_label,
        )
