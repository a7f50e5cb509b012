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
_RGB, _IMAGE, _NORMALIZATION, _AXIS_LABELS = 1, 2, 1, 2
_ALIGNMENT = 16
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
    for name, content in stated.items():
        entry, buffer = schema.MetadataT(), Aligned()
        entry.name, entry.buffer = name, len(model.buffers)
        buffer.data = np.frombuffer(content, np.uint8)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or ()), entry]
    # The converter's own names come from a SavedModel.
    for place, name in zip((*graph.inputs, *graph.outputs), (INPUT, *names), strict=True):
        graph.tensors[place].name = name
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    file = io.BytesIO(bytes(builder.Output()))
    lists = {LABELS_FILE: model_folder.labels, _SECOND_LABELS_FILE: (FAMILIARITY,)}
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for member, labels in [*lists.items()][: len(names)]:
            # With ZIP's earliest date, so that the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(member), "".join(f"{label}\n" for label in labels))
    return file.getvalue()


def _model_metadata(model_folder: ModelFolder, names: Sequence[str]) -> bytes:
    """Returns a FlatBuffer ModelMetadata for a classifier of raw pixels with named outputs.

    Others take each output for a head with classes of its own, the first for the one that they ask.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    text, floats = builder.CreateString, functools.partial(_floats, builder)
    table, vector = functools.partial(_table, builder), functools.partial(_vector, builder)
    resize = model_folder.metadata["input"]["resize"]
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
        output = {
            0: text(name),
            1: text(about),
            5: table({0: floats(1), 1: floats(0)}),
            6: vector([table(labels, codes={2: _AXIS_LABELS})]),
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


def _table(builder: "Builder", parts: Mapping[int, int] = {}, codes: Mapping[int, int] = {}) -> int:
    """Writes a table, by field number: parts that were written before, and codes of one byte."""
    builder.StartObject(max((*parts, *codes)) + 1)
    for field, part in parts.items():
        builder.PrependUOffsetTRelativeSlot(field, part, 0)
    for field, code in codes.items():
        builder.PrependUint8Slot(field, code, 0)
    return int(builder.EndObject())
