"""The formats: what each is called, which files it is made of, who writes it, what it needs."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xferlearn.errors import UserError
from xferlearn.exports.frozen_graph import GRAPH_FILE, write_frozen_graph
from xferlearn.exports.onnx_files import write_onnx
from xferlearn.exports.openvino_files import XML_FILE, write_openvino
from xferlearn.exports.photos import ProofPhotos
from xferlearn.exports.proof import Reference
from xferlearn.exports.saved_model import VERSION, check_image_bytes, write_saved_model
from xferlearn.model_folder import ModelFolder

if TYPE_CHECKING:
    import keras

Calibration = Callable[[], Iterator[np.ndarray]]
Writer = Callable[["keras.Model", ModelFolder, Path, Calibration], None]
Kind = Literal["float32", "float16", "int8"]


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        target: file or folder below exports/ that holds it, and nothing else.
        write: writes it under a new path.
        opened: what is opened of a target that is a folder; "" for the target itself.
        extra: pip extra that brings what it needs; "" for none.
        packages: modules of it that writing and running import.
        min_agreement: default of the setting.
        check: raises XferlearnError where what is opened is wrong in a way that `proof.prove`,
            which feeds pixels, does not see; None for no such way.
    """

    target: str
    write: Writer
    opened: str = ""
    extra: str = ""
    packages: tuple[str, ...] = ()
    min_agreement: float = 0.99
    check: Callable[[Path, ProofPhotos, Reference], None] | None = None


def _plain(write: Callable[["keras.Model", ModelFolder, Path], None]) -> Writer:
    return lambda model, model_folder, path, calibration: write(model, model_folder, path)


def _write_tflite(
    kind: Kind,
    model: "keras.Model",
    model_folder: ModelFolder,
    path: Path,
    calibration: Calibration,
) -> None:
    from xferlearn.exports.tflite_files import write_tflite

    write_tflite(model, path, kind, model_folder, calibration if kind == "int8" else None)


def _tflite(kind: Kind, target: str, min_agreement: float = 0.99) -> Format:
    return Format(
        target,
        functools.partial(_write_tflite, kind),
        extra="tflite",
        packages=("ai_edge_litert",),
        min_agreement=min_agreement,
    )


_ONNX = ("onnx", "onnxruntime", "tf2onnx")
FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model", _plain(write_saved_model), opened=VERSION, check=check_image_bytes
    ),
    "tflite": _tflite("float32", "model.tflite"),
    "tflite_float16": _tflite("float16", "model_float16.tflite"),
    "tflite_int8": _tflite("int8", "model_int8.tflite", 0.97),
    "onnx": Format("model.onnx", _plain(write_onnx), extra="onnx", packages=_ONNX),
    "openvino": Format(
        "openvino",
        _plain(write_openvino),
        opened=XML_FILE,
        extra="openvino",
        packages=("openvino",),
    ),
    "frozen_graph": Format("frozen_graph", _plain(write_frozen_graph), opened=GRAPH_FILE),
    # Engines are built from the ONNX file, see `exports.tensorrt_engines`.
    "tensorrt": Format("tensorrt", _plain(write_onnx), extra="onnx", packages=_ONNX),
}


def check_formats(names: tuple[str, ...]) -> None:
    """Checks, before any work, that what the formats need is installed.

    Args:
        names: keys of `FORMATS`.

    Raises:
        UserError: when something is missing, with the command that installs it.
    """
    for name in names:
        one = FORMATS[name]
        missing = [package for package in one.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(
                f'Format {name} needs {" and ".join(missing)}: pip install "xferlearn[{one.extra}]"'
            )
