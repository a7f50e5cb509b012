"""Metadata of TFLite files, for MediaPipe, TensorFlow's Task Library and this package.

Field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs, and metadata_schema.fbs of
tflite-support.
"""

import functools
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.decisions import MultiLabelDecision, decision_of
from xferlearn.exports.metadata import describe
from xferlearn.exports.outputs import PROBABILITIES
from xferlearn.inspection import METADATA_KEY
from xferlearn.model_folder import FAMILIARITY, LABELS_FILE, ModelFolder

if TYPE_CHECKING:
    from flatbuffers import Builder
    from tensorflow.lite.python.schema_py_generated import ModelT

INPUT = "image"
# Of the head that gives the familiarity: one class. With class names that are allowed or denied,
# MediaPipe and the Task Library want names in every head.
_SECOND_LABELS_FILE = "familiarity.txt"
_IDENTIFIER, _MODEL_IDENTIFIER = b"M001", b"TFL3"
_ENTRY = "TFLITE_METADATA"
# No field below is newer.
_PARSER_VERSION = "1.0.0"
_RGB, _IMAGE, _AXIS_LABELS, _AXIS_CALIBRATION = 1, 2, 2, 4
_NORMALIZATION, _CALIBRATION, _THRESHOLDING, _INVERSE_LOGISTIC = 1, 2, 3, 2
# Where photos may have several labels: what makes scores below the threshold of their class 0 and
# leaves the others as they are, since the inverse of the logistic function is undone by it.
_THRESHOLDS_FILE = "thresholds.txt"
_ALIGNMENT = 16
_SEVERAL = "Each stands alone: a photo may have several labels, or none."
_CALIBRATES = "Makes what is below the threshold of its class 0. One line per class."
# By name of an output: what it is, the file that names its classes, and what that is.
_OUTPUTS = {
    PROBABILITIES: ("Probability of each class.", LABELS_FILE, "Classes, one per line."),
    FAMILIARITY: (
        "Share of the photos of the training that were less typical than this one, 0 to 1.",
        _SECOND_LABELS_FILE,
        "The name of this one number.",
    ),
}


def with_metadata(model: "ModelT", model_folder: ModelFolder) -> bytes:
    """Returns a TFLite file with its metadata, and with labels.txt in a ZIP archive at its end.

    Args:
        model: as the converter returned it; metadata and names are added to it.
        model_folder: the model folder.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    class Aligned(schema.BufferT):
        """A buffer aligned as the schema requires; Python's generated code aligns to bytes."""

        def Pack(self, builder: "Builder") -> int:
            if self.data is not None:
                builder.Prep(_ALIGNMENT, len(self.data))
            return int(super().Pack(builder))

    for buffer in model.buffers:
        buffer.__class__ = Aligned
    graph = model.subgraphs[0]
    names = (PROBABILITIES, FAMILIARITY)[: len(graph.outputs)]
    said = describe(model_folder, familiarity=FAMILIARITY if FAMILIARITY in names else None)
    stated = {_ENTRY: _model_metadata(model_folder, names), METADATA_KEY: said.encode()}
    for name, held in stated.items():
        entry, buffer = schema.MetadataT(), Aligned()
        entry.name, entry.buffer = name, len(model.buffers)
        buffer.data = np.frombuffer(held, np.uint8)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or ()), entry]
    # The converter's own names come from a SavedModel.
    for place, name in zip((*graph.inputs, *graph.outputs), (INPUT, *names), strict=True):
        graph.tensors[place].name = name
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    file = io.BytesIO(bytes(builder.Output()))
    lists = {LABELS_FILE: model_folder.labels, _SECOND_LABELS_FILE: (FAMILIARITY,)}
    members = {
        member: "".join(f"{label}\n" for label in labels)
        for member, labels in [*lists.items()][: len(names)]
    }
    decision = decision_of(model_folder.metadata)
    if isinstance(decision, MultiLabelDecision):
        members[_THRESHOLDS_FILE] = "\n".join(f"1,1,0,{one:.9g}" for one in decision.limits)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            # With ZIP's earliest date, so that the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(member), content)
    return file.getvalue()


def _model_metadata(model_folder: ModelFolder, names: Sequence[str]) -> bytes:
    """Returns a FlatBuffer ModelMetadata for a classifier of raw pixels with named outputs.

    Others take each output for a head with classes of its own, the first for the one that they ask.
    Where photos may have several labels, they give those that reach their thresholds.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    text, floats = builder.CreateString, functools.partial(_floats, builder)
    table, vector = functools.partial(_table, builder), functools.partial(_vector, builder)
    resize = model_folder.metadata["input"]["resize"]
    decision = decision_of(model_folder.metadata)
    image = {
        0: text(INPUT),
        1: text(f"Photo: {resize}. RGB pixels from 0 to 255, as they are."),
        3: table({1: table(codes={0: _RGB})}, codes={0: _IMAGE}),
        4: vector([table({1: table({0: floats(0), 1: floats(1)})}, codes={0: _NORMALIZATION})]),
        5: table({0: floats(255), 1: floats(0)}),
    }
    outputs = []
    for name in names:
        about, file, content = _OUTPUTS[name]
        labels = {0: text(file), 1: text(content)}
        files = [table(labels, codes={2: _AXIS_LABELS})]
        units = []
        if name == PROBABILITIES and isinstance(decision, MultiLabelDecision):
            about = f"{about} {_SEVERAL}"
            thresholds = {0: text(_THRESHOLDS_FILE), 1: text(_CALIBRATES)}
            files.append(table(thresholds, codes={2: _AXIS_CALIBRATION}))
            least = {0: float(decision.limits.min()) / 2}  # leaves out what became 0
            units = [
                table({1: table(codes={0: _INVERSE_LOGISTIC})}, codes={0: _CALIBRATION}),
                table({1: table(numbers=least)}, codes={0: _THRESHOLDING}),
            ]
        output = {
            0: text(name),
            1: text(about),
            **({4: vector(units)} if units else {}),
            5: table({0: floats(1), 1: floats(0)}),
            6: vector(files),
        }
        outputs.append(table(output))
    graph = {2: vector([table(image)]), 3: vector(outputs)}
    model = {
        0: text("ImageClassifier"),
        1: text(f"Classifies photos into {len(model_folder.labels)} classes."),
        3: vector([table(graph)]),
        7: text(_PARSER_VERSION),
    }
    builder.Finish(table(model), _IDENTIFIER)
    return bytes(builder.Output())


def _floats(builder: "Builder", *values: float) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, np.float32)))


def _vector(builder: "Builder", tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for one in reversed(tables):
        builder.PrependUOffsetTRelative(one)
    return int(builder.EndVector())


def _table(
    builder: "Builder",
    parts: Mapping[int, int] = {},
    codes: Mapping[int, int] = {},
    numbers: Mapping[int, float] = {},
) -> int:
    """Writes a table, by field number: parts written before, codes of one byte, and floats."""
    builder.StartObject(max((*parts, *codes, *numbers)) + 1)
    for field, part in parts.items():
        builder.PrependUOffsetTRelativeSlot(field, part, 0)
    for field, code in codes.items():
        builder.PrependUint8Slot(field, code, 0)
    for field, number in numbers.items():
        builder.PrependFloat32Slot(field, number, 0)
    return int(builder.EndObject())
