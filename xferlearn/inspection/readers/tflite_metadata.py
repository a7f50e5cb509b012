"""What TFLite files of other makers state: their metadata, and the archive behind the file.

TensorFlow's Task Library, Model Maker, AutoML Vision and MediaPipe describe inputs and outputs in a
FlatBuffer and put label files into a zip archive at the file's end; Ultralytics puts its metadata
there as text.

Field numbers: metadata_schema.fbs of tflite-support
"""

import ast
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from xferlearn.inspection.layers import Affine, Calibration, StatedInput
from xferlearn.inspection.makers import known_task, ultralytics
from xferlearn.inspection.metadata import parse_labels
from xferlearn.inspection.readers.flat import Table, root
from xferlearn.inspection.readers.wire import DAMAGE, Budget, View
from xferlearn.system.text import count

_IDENTIFIER = b"M001"
_MOST_BYTES = 16 * 2**20
_MOST_FILES = 1000
_IMAGE, _BOXES = 2, 3
_NORMALIZATION, _CALIBRATION = 1, 2
_DESCRIPTIONS, _AXIS_LABELS, _VALUE_LABELS, _CALIBRATION_FILE = 1, 2, 3, 4
_TRANSFORMS: tuple[Literal["none", "log", "inverse logistic"], ...] = (
    "none",
    "log",
    "inverse logistic",
)
# Names of the files that Ultralytics appends, the newer first.
_ULTRALYTICS = ("metadata.json", "temp_meta.txt")


@dataclass(frozen=True)
class TFLiteMetadata:
    """What a TFLite file states beside its graph.

    Attributes:
        inputs: by place; None where nothing is stated.
        calibrations: of the outputs, by place; None for a plain output.
        labels: class names, () for none.
        task: as in `layers.Graph`.
        warnings: what could not be used.
    """

    inputs: tuple[StatedInput | None, ...] = ()
    calibrations: tuple[Calibration | None, ...] = ()
    labels: tuple[str, ...] = ()
    task: str = ""
    warnings: tuple[str, ...] = ()


def read_tflite_metadata(path: Path, held: View | None, budget: Budget) -> TFLiteMetadata:
    """Reads the metadata of a TFLite file.

    Args:
        path: of the file, which may have an archive behind it.
        held: the FlatBuffer in its entry TFLITE_METADATA, None for none.
        budget: shared with the rest of the file.

    Raises:
        MalformedError: the FlatBuffer is damaged.
    """
    files = _Files(path)
    if held is None or bytes(held[4:8]) != _IDENTIFIER:
        return files.without_metadata()
    model = root(held, budget)
    task = known_task(model.text(0, 100).replace(" ", ""))
    # Model Maker calls all kinds of models by these names; others call theirs as they like.
    task = task if task in ("classification", "detection", "segmentation", "embedding") else ""
    graph = next(model.tables(3), None)
    if graph is None:
        return files.without_metadata()
    outputs = list(graph.tables(3))
    if any(_kind(one) == _BOXES for one in outputs):
        task = "detection"
    labels = next(filter(None, (files.labels_of(one) for one in outputs)), ())
    if not labels:
        # AutoML and old tools name the label file once, for the whole graph or model.
        labels = files.labels_of(graph, 4) or files.labels_of(model, 6)
    if not labels and not outputs:
        labels = files.first_labels()
    calibrations = tuple(files.calibration(one, len(labels)) for one in outputs)
    return TFLiteMetadata(
        tuple(_input(tensor) for tensor in graph.tables(2)),
        calibrations,
        labels or files.first_labels(),
        task,
        tuple(files.warnings),
    )


def _kind(tensor: Table) -> int:
    content = tensor.table(3)
    return int(content.value(0, "B")) if content is not None else 0


def _input(tensor: Table) -> StatedInput | None:
    """Returns mean, standard deviation and size of one input, as far as they are stated."""
    height = width = None
    content = tensor.table(3)
    image = content.table(1) if content is not None and _kind(tensor) == _IMAGE else None
    size = image.table(1) if image is not None else None
    if size is not None:
        width, height = size.value(0, "I") or None, size.value(1, "I") or None
    step = next(filter(None, map(_normalization, tensor.tables(4))), None)
    stated = step is not None or height or width
    return StatedInput(step, height=height, width=width) if stated else None


def _normalization(unit: Table) -> Affine | None:
    options = unit.table(1) if unit.value(0, "B") == _NORMALIZATION else None
    means = options.numbers(0, "f", 4) if options else ()
    stds = options.numbers(1, "f", 4) if options else ()
    if not means or len(means) != len(stds) or not all(stds):
        return None
    offset = tuple(-mean / std for mean, std in zip(means, stds, strict=True))
    return Affine(tuple(1 / std for std in stds), offset)


class _Files:
    """The files in the archive behind a TFLite file; what is damaged counts as missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        try:
            with zipfile.ZipFile(path) as archive:
                self.names = archive.namelist()[:_MOST_FILES]
        except Exception:  # zipfile raises many types on archives that are damaged or encrypted
            self.names = []

    def content(self, name: str) -> bytes:
        """Returns a file's bytes, at most 16 MiB; none where it is missing or damaged."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as member:
                return member.read(_MOST_BYTES)
        except Exception:  # as above
            return b""

    def labels(self, name: str) -> tuple[str, ...]:
        try:
            return parse_labels(self.content(name))
        except UnicodeDecodeError:
            return ()

    def first_labels(self) -> tuple[str, ...]:
        """Returns the labels of the first text file, which old files have without metadata."""
        named = (name for name in self.names if name.endswith(".txt") and name not in _ULTRALYTICS)
        return next(map(self.labels, named), ())

    def labels_of(self, part: Table, field: int = 6) -> tuple[str, ...]:
        """Returns the labels that a tensor's associated files name: those without a language."""
        plain: dict[int, tuple[str, ...]] = {}
        for file in part.tables(field, _MOST_FILES):
            kind = int(file.value(2, "b"))
            if kind in (_DESCRIPTIONS, _AXIS_LABELS, _VALUE_LABELS) and not file.text(3, 20):
                plain.setdefault(kind, self.labels(file.text(0, 1000)))
        return plain.get(_AXIS_LABELS) or plain.get(_VALUE_LABELS) or ()

    def calibration(self, tensor: Table, classes: int) -> Calibration | None:
        """Returns how an output's scores are calibrated; None where they are left alone."""
        units = (one for one in tensor.tables(4) if one.value(0, "B") == _CALIBRATION)
        unit = next(units, None)
        options = unit.table(1) if unit is not None else None
        if options is None:
            return None
        kinds = ((int(file.value(2, "b")), file) for file in tensor.tables(6, _MOST_FILES))
        name = next((file.text(0, 1000) for kind, file in kinds if kind == _CALIBRATION_FILE), "")
        transform = int(options.value(0, "b"))
        rows = _calibration_rows(self.content(name)) if name in self.names else ()
        if not 0 <= transform < len(_TRANSFORMS) or not rows or len(rows) != classes:
            found = "no readable file"
            if rows:
                found = f"{count(len(rows), 'line')} for {count(classes, 'label')}"
            self.warnings.append(
                f"The metadata ask for calibrated scores, and have {found}; scores are shown as the"
                " model gives them."
            )
            return None
        return Calibration(_TRANSFORMS[transform], float(options.value(1, "f")), rows)

    def without_metadata(self) -> TFLiteMetadata:
        """Returns what the archive alone tells: Ultralytics' metadata, or labels."""
        for name in _ULTRALYTICS:
            stated = ultralytics(_parsed(self.content(name))) if name in self.names else None
            if stated is not None:
                return TFLiteMetadata((stated.input,), (), stated.labels, stated.task)
        return TFLiteMetadata(labels=self.first_labels())


def _calibration_rows(data: bytes) -> tuple[tuple[float, float, float, float | None] | None, ...]:
    """Returns scale, slope, offset and smallest score of each line; () where one is damaged."""
    found: list[tuple[float, float, float, float | None] | None] = []
    try:
        for line in str(data, "utf-8").rstrip().split("\n"):
            held = [float(part) for part in line.split(",")] if line.strip() else []
            if held and (len(held) not in (3, 4) or not all(map(isfinite, held)) or held[0] < 0):
                return ()
            smallest = held[3] if len(held) == 4 else None
            found.append((held[0], held[1], held[2], smallest) if held else None)
    except ValueError:
        return ()
    return tuple(found) if any(found) else ()


def _parsed(data: bytes) -> Mapping[str, Any]:
    """Returns metadata written as JSON or as a Python literal; nothing is run."""
    try:
        text = str(data, "utf-8")
        held = json.loads(text) if text.lstrip().startswith('{"') else ast.literal_eval(text)
    except (SyntaxError, MemoryError, *DAMAGE):
        return {}
    return held if isinstance(held, dict) else {}
