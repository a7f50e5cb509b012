"""Predictions by photo, as predictions.parquet of a model folder and `evaluate --output` hold them.

What is decided about a model is chosen on them: thresholds, label sets, from which confidence on it
may answer alone.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import TEST
from xferlearn.photos.several import truth_of
from xferlearn.system.row_files import utf8, write_csv, write_json_lines

# Columns before those of the probabilities, which are named after the classes.
_COLUMNS = ("sha256", "file", "split", "label", "group", "familiarity")
_PROBABILITY = "probability_"


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Photos, their classes, and what was predicted of them by a head that has not seen them.

    Attributes:
        labels: class names in output order.
        digests: SHA-256 of each photo's bytes, 32 bytes.
        names: of each photo, as in photos.csv.
        splits: of each photo, "train", "validation" or "test"; "" where it is in none.
        truth: the class of each photo, which need not be one of `labels`; where photos may have
            several, their text, see `photos.several`.
        probabilities: float32, [photos, classes], range [0, 1]; NaN where no head was judged.
        familiarity: the share of the model's own photos that were less typical, float32, [photos],
            range [0, 1]; NaN where it is unknown.
        groups: the number of what each photo belongs to; empty where each stands alone.
        is_multi_label: whether photos may have several labels.
    """

    labels: tuple[str, ...]
    digests: tuple[bytes, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    truth: tuple[str, ...]
    probabilities: np.ndarray
    familiarity: np.ndarray
    groups: tuple[int, ...] = ()
    is_multi_label: bool = False

    def __repr__(self) -> str:
        return f"Predicted({len(self.names)} photos, {len(self.labels)} classes)"

    @property
    def y(self) -> np.ndarray:
        """True class index of each photo, int32, [photos]; -1 for none of `labels`.

        Where photos may have several labels, whether each has each class, bool, [photos, classes].
        """
        if self.is_multi_label:
            return truth_of(self.truth, self.labels)
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers.get(label, -1) for label in self.truth], np.int32)

    def judged(self, *, test: bool) -> "Predicted":
        """Returns only photos with probabilities: those of the test, or all others."""
        known = np.isfinite(self.probabilities).all(axis=1)
        tested = np.array([split == TEST for split in self.splits], bool)
        return self.only(np.flatnonzero(known & (tested == test)).tolist())

    def only(self, rows: Sequence[int]) -> "Predicted":
        """Returns only the photos at these positions."""
        return dataclasses.replace(
            self,
            digests=tuple(self.digests[row] for row in rows),
            names=tuple(self.names[row] for row in rows),
            splits=tuple(self.splits[row] for row in rows),
            truth=tuple(self.truth[row] for row in rows),
            probabilities=self.probabilities[rows],
            familiarity=self.familiarity[rows],
            groups=tuple(self.groups[row] for row in rows) if self.groups else (),
        )


def predicted_photos(
    manifest: Manifest,
    probabilities: dict[str, np.ndarray],
    familiarity: np.ndarray | None = None,
) -> Predicted:
    """Returns what was predicted of a manifest's photos.

    Args:
        manifest: the photos.
        probabilities: by split, of `manifest.judged(split)`, float32, [photos, classes].
        familiarity: of `manifest.photos`, float32, [photos]; None where it is unknown.
    """
    found = np.full((len(manifest.photos), len(manifest.labels)), np.nan, np.float32)
    for split, known in probabilities.items():
        found[manifest.judged(split)] = known
    if familiarity is None:
        familiarity = np.full(len(manifest.photos), np.nan, np.float32)
    return Predicted(
        manifest.labels,
        tuple(photo.digest for photo in manifest.photos),
        tuple(photo.name for photo in manifest.photos),
        tuple(manifest.splits),
        tuple(map(manifest.label_text, manifest.photos)),
        found,
        familiarity,
        tuple(manifest.groups),
        manifest.is_multi_label,
    )


def write_predicted(file: BinaryIO, predicted: Predicted, form: str = "parquet") -> None:
    """Writes one row per photo.

    Args:
        file: open for writing.
        predicted: the photos.
        form: "parquet", "csv", "tsv" or "json" (JSON Lines).
    """
    if form == "parquet":
        _write_parquet(file, predicted)
    elif form == "json":
        write_json_lines(file, _records(predicted))
    else:
        columns = [*_COLUMNS, *(f"{_PROBABILITY}{label}" for label in predicted.labels)]
        write_csv(file, columns, _rows(predicted), "\t" if form == "tsv" else ",")


def read_predicted(data: bytes, labels: tuple[str, ...], *, multi_label: bool = False) -> Predicted:
    """Reads what `write_predicted` wrote as Parquet.

    Args:
        data: the file's content.
        labels: class names in output order.
        multi_label: whether photos may have several labels.

    Raises:
        ValueError: when it is damaged, or of other classes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # `read_table` starts threads, which abort a process that ends at once, as by an error.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        columns = {name: table.column(name) for name in _COLUMNS}
        names = [f"{_PROBABILITY}{utf8(label)}" for label in labels]
        if table.column_names != [*_COLUMNS, *names]:
            raise ValueError("its columns are not those of the model's classes")
        scores = [_floats(table.column(name)) for name in names]
        digests = tuple(bytes.fromhex(one) for one in columns["sha256"].to_pylist())
        text = {name: columns[name].to_pylist() for name in ("file", "split", "label", "group")}
        # Names that are not UTF-8 were written with escapes.
        exact = {utf8(label): label for label in labels}
        return Predicted(
            labels,
            digests,
            tuple(text["file"]),
            tuple(split or "" for split in text["split"]),
            tuple(exact.get(label, label) for label in text["label"]),
            np.stack(scores, axis=1) if scores else np.zeros((len(digests), 0), np.float32),
            _floats(columns["familiarity"]),
            () if None in text["group"] else tuple(text["group"]),
            multi_label,
        )
    except (KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise ValueError(str(error)) from None


def _write_parquet(file: BinaryIO, predicted: Predicted) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = len(predicted.names)
    texts = {
        "sha256": [digest.hex() for digest in predicted.digests],
        "file": [utf8(name) for name in predicted.names],
        "split": [split or None for split in predicted.splits],
        "label": [utf8(label) for label in predicted.truth],
    }
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns["group"] = pa.array(predicted.groups or [None] * number, pa.int32())
    columns["familiarity"] = pa.array(predicted.familiarity, pa.float32(), from_pandas=True)
    for label, scores in zip(predicted.labels, predicted.probabilities.T, strict=True):
        # What is not known is null, not NaN.
        columns[f"{_PROBABILITY}{utf8(label)}"] = pa.array(scores, pa.float32(), from_pandas=True)
    # Of numbers that hardly repeat, a dictionary costs time and room.
    pq.write_table(pa.table(columns), file, use_dictionary=[*texts, "group"])


def _floats(column: Any) -> np.ndarray:
    return np.asarray(column.to_numpy(), np.float32)


def _rows(predicted: Predicted) -> Iterator[list[object]]:
    for i, digest in enumerate(predicted.digests):
        yield [
            digest.hex(),
            predicted.names[i],
            predicted.splits[i] or None,
            predicted.truth[i],
            predicted.groups[i] if predicted.groups else None,
            _known(predicted.familiarity[i]),
            *map(_known, predicted.probabilities[i]),
        ]


def _records(predicted: Predicted) -> Iterator[dict[str, object]]:
    for row in _rows(predicted):
        scores = dict(zip(predicted.labels, row[len(_COLUMNS) :], strict=True))
        yield {**dict(zip(_COLUMNS, row, strict=False)), "probabilities": scores}


def _known(value: float) -> float | None:
    # As short as a float32 can be told.
    return float(str(np.float32(value))) if np.isfinite(value) else None
