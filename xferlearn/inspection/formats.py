"""Tells a model's format from its content and calls the reader for it."""

import json
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from xferlearn.errors import UserError, did_you_mean
from xferlearn.inspection.embedded import find_embedded
from xferlearn.inspection.layers import Graph
from xferlearn.inspection.model_folder import ModelMetadata, read_metadata
from xferlearn.inspection.opening import open_view
from xferlearn.inspection.readers import tflite_files
from xferlearn.inspection.readers.event_files import (
    find_event_files,
    is_event_file,
    read_event_file,
    read_event_folder,
)
from xferlearn.inspection.readers.frozen_graph import read_frozen_graph
from xferlearn.inspection.readers.hdf5_files import SIGNATURE as HDF5_SIGNATURE
from xferlearn.inspection.readers.keras_files import read_keras_archive, read_keras_hdf5
from xferlearn.inspection.readers.onnx_files import read_onnx
from xferlearn.inspection.readers.openvino_files import is_openvino, read_openvino
from xferlearn.inspection.readers.saved_model import find_saved_model, read_saved_model
from xferlearn.inspection.readers.wire import Budget, MalformedError, View, fields

_KNOWN = (
    "a model folder, .keras, .h5, SavedModel, frozen .pb, .tflite, .onnx, OpenVINO's .xml or a"
    " TensorBoard folder"
)
# First bytes of what people pass by mistake, and what to say.
_STRANGERS = (
    (b"\x80\x02", "a Python pickle (PyTorch?), which runs code when read; export it to ONNX"),
    (b"\x80\x04", "a Python pickle, which runs code when read; export the model to ONNX"),
    (b"\xff\xd8\xff", "a JPEG photo"),
    (b"\x89PNG", "a PNG image"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF"),
    (b"ftrt", "a TensorRT engine, which nothing but TensorRT reads; take the ONNX file it is from"),
    (b"<", "an HTML or XML page"),
)
_MOST_FILES = 100_000


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read.

    Attributes:
        format: as in `GraphReport`.
        size: bytes, of all files of a folder.
        graph: the network.
        metadata: what a model folder or an exported file of this package says of itself.
    """

    format: str
    size: int
    graph: Graph
    metadata: ModelMetadata | None = None


def read_model_file(path: Path) -> ModelFile:
    """Reads a model of any format.

    Raises:
        UserError: there is no model at `path`.
        ValueError: it is damaged (and other errors of parsing).
        OSError: it can't be read.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        if path.exists():
            raise UserError(f"{path} is neither a file nor a folder. Expected {_KNOWN}.")
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = did_you_mean(path.name, [entry.name for entry in islice(siblings, 1000)])
        raise UserError(f"There is no {path}.{hint}")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty. Expected {_KNOWN}.")
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"PK\x03\x04"):
        return ModelFile("keras", size, read_keras_archive(path))
    if HDF5_SIGNATURE in (head[:8], head[512:520]):
        graph = read_keras_hdf5(path)
        return ModelFile("keras_h5" if graph.inputs else "keras_weights", size, graph)
    data = open_view(path)
    if head[4:8] == tflite_files.IDENTIFIER:
        return _described("tflite", path, data, tflite_files.read_tflite(data))
    if is_event_file(head):
        return ModelFile("tensorboard", size, read_event_file(data))
    if is_openvino(head):
        weights = path.with_suffix(".bin")
        size += weights.stat().st_size if weights.is_file() else 0
        return ModelFile("openvino", size, *read_openvino(path))
    for start, kind in _STRANGERS:
        if head.startswith(start):
            raise UserError(f"{path} is {kind}. Expected {_KNOWN}.")
    return _read_protobuf(path, data)


def _read_protobuf(path: Path, data: View) -> ModelFile:
    """Tells GraphDef, SavedModel and ONNX apart by their outermost fields."""
    seen: set[tuple[int, bool]] = set()
    count = 0
    try:
        for number, value in fields(data, Budget(len(data))):
            count += 1
            seen.add((number, isinstance(value, int)))
            if not seen & {(1, True), (1, False)} or number > 100:
                raise MalformedError("no model starts like this")
    except MalformedError as error:
        if count < 2:
            raise UserError(f"{path} is of no known format. Expected {_KNOWN}.") from None
        raise MalformedError(f"{error}; is it cut off?") from None
    if (1, False) in seen:
        return _described("frozen_graph", path, data, read_frozen_graph(data))
    if (7, False) in seen:
        return _described("onnx", path, data, read_onnx(data))
    if (2, False) in seen:
        return _described("saved_model", path, data, read_saved_model(data))
    raise UserError(f"{path} is of no known format. Expected {_KNOWN}.")


def _described(format: str, path: Path, data: View, graph: Graph) -> ModelFile:
    return ModelFile(format, len(data), graph, find_embedded(format, path, data))


def _read_folder(folder: Path) -> ModelFile:
    if (folder / "metadata.json").is_file() and (folder / "model.keras").is_file():
        metadata = read_metadata(folder)
        graph = read_keras_archive(folder / "model.keras")
        return ModelFile("model_folder", _folder_size(folder), graph, metadata)
    file = find_saved_model(folder)
    if file is not None:
        data = open_view(file)
        held = _described("saved_model", file, data, read_saved_model(data))
        return replace(held, size=_folder_size(folder))
    events = find_event_files(folder)
    if events:
        return ModelFile("tensorboard", _folder_size(folder), read_event_folder(folder, events))
    names = sorted(entry.name for entry in islice(folder.iterdir(), 1000))
    listed = json.dumps(names[:5])[1:-1] + (", ..." if len(names) > 5 else "")
    raise UserError(f"{folder} holds no model but {listed or 'nothing'}. Expected {_KNOWN}.")


def _folder_size(folder: Path) -> int:
    files = (path for path in islice(folder.rglob("*"), _MOST_FILES) if path.is_file())
    return sum(path.stat().st_size for path in files)
