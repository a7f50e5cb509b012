"""Keras files, `.keras` and `.h5`, as runtimes; files with code in them are not loaded."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport, read_hdf5, read_json_member
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Feed
from xferlearn.predictors.scores import Ending
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

# Loading these runs code that is in the file, or a graph that it points to.
_CODE = ("Lambda", "__lambda__", "TFSMLayer")
_OWN_MODULES = ("keras", "builtins")
_ENDINGS: dict[str, Ending] = {
    "softmax": "softmax",
    "Softmax": "softmax",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "linear": "logits",
}


def open_keras(path: Path, feed: Feed, output: OutputReport) -> Runtime:
    """Loads a Keras file; its variables become constants, which is faster.

    Args:
        path: a `.keras` or `.h5` file, whatever its suffix.
        feed: its input.
        output: what is read, known by its place.

    Raises:
        UserError: it has code in it, needs classes that Keras does not have, holds no weights, or
            is damaged.
    """
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    model = load_keras(path)

    def answer(values: tf.Tensor) -> tf.Tensor:
        return keras.tree.flatten(model(values, training=False))[output.place]

    spec = tf.TensorSpec(feed.shape, feed.dtype)
    held = len(model.weights)
    traced = tf.function(answer, autograph=False).get_concrete_function(spec)
    if len(model.weights) > held:
        # Keras made them on this call: random ones, different each time.
        raise UserError(
            f"{path} holds a model without its weights: it was saved before it was built. Save it"
            " again after it was trained."
        )
    frozen = convert_variables_to_constants_v2(traced)

    def run(values: np.ndarray) -> np.ndarray:
        return frozen(tf.convert_to_tensor(values))[0].numpy()

    return Runtime(feed.batched(run), _ending(model, output.place))


def load_keras(path: Path) -> "keras.Model":
    """Returns the model in a Keras file.

    Raises:
        UserError: as `open_keras`.
    """
    import keras

    check_keras_file(path)
    with path.open("rb") as file:
        ending = ".keras" if file.read(2) == b"PK" else ".h5"
    try:
        if path.suffix == ending:
            return keras.saving.load_model(path, compile=False)
        # Keras tells the format by the suffix alone.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"model{ending}"
            shutil.copyfile(path, copy)
            return keras.saving.load_model(copy, compile=False)
    except Exception as error:  # Keras raises many types on damaged files
        raise UserError(f"Keras can't load {path}: {one_line(error)}") from error


def check_keras_file(path: Path) -> None:
    """Checks the configuration of a Keras file, as text, for what Keras would run or import.

    Keras' own safe_mode, which stays on, finds less.

    Raises:
        UserError: the file has Python code in it, or needs classes from outside Keras.
    """
    try:
        with path.open("rb") as file:
            archive = file.read(2) == b"PK"
        if archive:
            with zipfile.ZipFile(path) as members:
                config = read_json_member(members, "config.json")
        else:
            config = json.loads(read_hdf5(path).attributes["model_config"])
    except OSError as error:
        raise UserError(f"{path} can't be read: {one_line(error)}.") from None
    except (ValueError, KeyError, RecursionError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read as a Keras model: {one_line(error)}.") from None
    for name, kind, reason in _refused(config):
        raise UserError(
            f"{path} is not loaded: its layer {name!r} ({kind}) {reason}. `xferlearn inspect` reads"
            " it without running it."
        )


def _refused(config: Any) -> Iterator[tuple[str, str, str]]:
    """Yields name, class and reason of each layer that is not plain Keras, at any depth."""
    queue = [config]
    while queue:
        value = queue.pop()
        if isinstance(value, list):
            queue.extend(value)
        if not isinstance(value, dict):
            continue
        queue.extend(value.values())
        kind, module = value.get("class_name"), value.get("module")
        registered = value.get("registered_name")
        inner = value.get("config")
        named = inner.get("name") if isinstance(inner, dict) else None
        name = str(named or value.get("name") or kind)[:80]
        words = [str(word) for word in (kind, registered) if isinstance(word, str)]
        if any(word.rpartition(">")[2] in _CODE for word in words):
            yield name, str(kind)[:80], "holds Python code, which loading would run"
        elif isinstance(module, str) and module.partition(".")[0] not in _OWN_MODULES:
            yield name, f"{module}.{kind}"[:80], "is a class from outside Keras"
        elif any(">" in word and not word.startswith("Keras>") for word in words):
            yield (
                name,
                words[-1][:80],
                "is a custom class, and the code that registers it is not here",
            )


def _ending(model: "keras.Model", output: int) -> Ending:
    operation = model.outputs[output]._keras_history.operation
    while getattr(operation, "outputs", None) and hasattr(operation, "layers"):
        operation = operation.outputs[0]._keras_history.operation
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    return _ENDINGS.get(kind) or _ENDINGS.get(getattr(activation, "__name__", ""), "unknown")
