"""The formats of exports: the files of each, what writes them, and which packages that needs."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xferlearn.errors import UserError
from xferlearn.exports.frozen_graph import GRAPH_FILE, write_frozen_graph
from xferlearn.exports.onnx_files import ONNX_FILE, write_onnx
from xferlearn.exports.openvino_files import XML_FILE, write_openvino
from xferlearn.exports.photos import ProofPhotos
from xferlearn.exports.proof import Reference
from xferlearn.exports.saved_model import VERSION, check_image_bytes, write_saved_model
from xferlearn.exports.tensorrt_files import EngineFile, engine_builders
from xferlearn.exports.tflite_files import write_tflite
from xferlearn.model_folder import ModelFolder

if TYPE_CHECKING:
    import keras

Calibration = Callable[[], Iterator[np.ndarray]]
Writer = Callable[["keras.Model", ModelFolder, Path, Calibration], None]
EngineBuilders = Callable[[Path, ModelFolder], dict[Path, Callable[[], EngineFile]]]
Kind = Literal["float32", "float16", "int8"]


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        target: file or folder below exports/ that holds it, and nothing else.
        write: writes it to a new path.
        opened: path below a target that is a folder, of what is opened; "" for the target itself.
        extra: pip extra that installs what it needs; "" for none.
        packages: modules of that extra that writing and running import.
        min_agreement: default of the setting.
        min_set_agreement: likewise where photos may have several labels, all of which must be the
            same: each is a close call more, which int8 may decide otherwise.
        calibrated: whether `write` uses the photos for calibration.
        check: raises XferlearnError where the file is wrong in a way that `proof.prove`, which
            feeds pixels, does not see; None for no such way.
        engines: returns what builds engines from the ONNX file that `write` writes; None for
            formats whose own file is the result.
        then: what to do with the file next, one sentence with {path}.
        familiarity: the largest mean difference of a familiarity, 0 to 1, with which a file
            passes; None where the format can't carry how familiar a photo is.
    """

    target: str
    write: Writer
    then: str
    opened: str = ""
    extra: str = ""
    packages: tuple[str, ...] = ()
    min_agreement: float = 0.99
    min_set_agreement: float = 0.99
    calibrated: bool = False
    check: Callable[[Path, ProofPhotos, Reference], None] | None = None
    engines: EngineBuilders | None = None
    familiarity: float | None = 1e-3


def _plain(write: Callable[["keras.Model", ModelFolder, Path], None]) -> Writer:
    return lambda model, model_folder, path, calibration: write(model, model_folder, path)


def _write_tflite(
    kind: Kind,
    model: "keras.Model",
    model_folder: ModelFolder,
    path: Path,
    calibration: Calibration,
) -> None:
    write_tflite(model, path, kind, model_folder, calibration if kind == "int8" else None)


def _tflite(
    kind: Kind,
    target: str,
    then: str,
    min_agreement: tuple[float, float] = (0.99, 0.99),
    *,
    familiarity: float | None = 1e-3,
) -> Format:
    return Format(
        target,
        functools.partial(_write_tflite, kind),
        f"Put it into the assets of an app; MediaPipe's ImageClassifier takes it as it is. {then}",
        extra="tflite",
        packages=("ai_edge_litert",),
        min_agreement=min_agreement[0],
        min_set_agreement=min_agreement[1],
        calibrated=kind == "int8",
        familiarity=familiarity,
    )


_ONNX = ("onnx", "onnxruntime", "tf2onnx")
# The largest mean difference of a familiarity in half precision.
_HALF = 0.03
# By the names in `config.models.EXPORT_FORMATS`.
FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "saved_model",
        _plain(write_saved_model),
        "Serve it with TensorFlow Serving, which takes JPEG and PNG files as they are; in Python"
        " tf.saved_model.load({path!r}).",
        opened=VERSION,
        check=check_image_bytes,
    ),
    "tflite": _tflite("float32", "model.tflite", "Other files are smaller: tflite_int8."),
    "tflite_float16": _tflite(
        "float16", "model_float16.tflite", "Best with a GPU delegate.", familiarity=_HALF
    ),
    "tflite_int8": _tflite(
        "int8",
        "model_int8.tflite",
        "Smallest, and fastest on a CPU.",
        (0.97, 0.9),
        familiarity=0.1,
    ),
    "onnx": Format(
        ONNX_FILE,
        _plain(write_onnx),
        "In Python, onnxruntime.InferenceSession({path!r}).",
        extra="onnx",
        packages=_ONNX,
    ),
    "openvino": Format(
        "openvino",
        _plain(write_openvino),
        "In Python, openvino.compile_model({path!r}).",
        opened=XML_FILE,
        extra="openvino",
        packages=("openvino",),
    ),
    "frozen_graph": Format(
        "frozen_graph",
        _plain(write_frozen_graph),
        "The lab's label_image.py takes it, with labels.txt beside it.",
        opened=GRAPH_FILE,
        familiarity=None,
    ),
    "tensorrt": Format(
        "tensorrt",
        _plain(write_onnx),
        "It runs on GPUs of this kind only; build_engines.sh beside it builds it on others.",
        extra="onnx",
        packages=_ONNX,
        engines=engine_builders,
        familiarity=_HALF,
    ),
}


def check_formats(names: tuple[str, ...]) -> None:
    """Checks, before any work, that the packages that formats need are installed.

    Args:
        names: keys of `FORMATS`.

    Raises:
        UserError: a package is missing; the message has the command that installs it.
    """
    for name in names:
        one = FORMATS[name]
        missing = [package for package in one.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(
                f'Format {name} needs {" and ".join(missing)}: pip install "xferlearn[{one.extra}]"'
            )
