"""Keras files, `.keras` and `.h5`, as runtimes; files with code in them are not loaded."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import (
    OutputReport,
    modernised,
    read_hdf5,
    read_json_member,
    refused_layers,
)
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras


def open_keras(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Loads a Keras file; its variables become constants, which is faster.

    Args:
        path: a `.keras` or `.h5` file, whatever its suffix.
        feed: its input.
        outputs: what is read, known by their places.

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

    def answer(values: tf.Tensor) -> list[tf.Tensor]:
        answers = keras.tree.flatten(model(values, training=False))
        return [answers[output.place] for output in outputs]

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

    def run(values: np.ndarray) -> Arrays:
        return tuple(answer.numpy() for answer in frozen(tf.convert_to_tensor(values)))

    return Runtime(feed.batched(run))


def load_keras(path: Path) -> "keras.Model":
    """Returns the model in a Keras file, also in one of Keras 2.

    Raises:
        UserError: as `open_keras`.
    """
    import keras

    held, config = _read_config(path)
    _check_config(path, config)
    # Keras tells the format by the suffix alone.
    ending = ".keras" if zipfile.is_zipfile(path) else ".h5"
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = path if path.suffix == ending else Path(folder) / f"model{ending}"
            if file != path:
                shutil.copyfile(path, file)
            if ending == ".h5":
                # Keras' own reader of these files knows neither operations nor Keras 2's words.
                model = keras.models.model_from_json(json.dumps(_named_module(config)))
                model.load_weights(file)
                for layer in model._flatten_layers():
                    if isinstance(layer, keras.layers.Normalization):
                        layer.finalize_state()  # Keras computes with what it held before
                return model
            if config != held:
                file = _with_config(file, Path(folder) / "modern.keras", config)
            return keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises many types on damaged files
        raise UserError(f"Keras can't load {path}: {_reason(error)}") from error


def _named_module(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a model's configuration with the module of its class, which `.h5` files leave out."""
    functional = config.get("class_name") == "Functional"
    module = "keras.src.models.functional" if functional else "keras"
    return {"module": module, "registered_name": None, **config}


def _with_config(source: Path, target: Path, config: Any) -> Path:
    """Writes a copy of a `.keras` file with another configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename == "config.json":
                new.writestr(member.filename, json.dumps(config))
            else:
                with old.open(member) as content, new.open(member.filename, "w") as copy:
                    shutil.copyfileobj(content, copy)
    return target


def _reason(error: Exception) -> str:
    """Returns what Keras says, without the configuration that it repeats."""
    said = str(error)
    for start in ("Exception encountered: ", "Error encountered: "):
        said = said.rpartition(start)[2]
    return one_line(said.partition("config={")[0].partition(" Full object config")[0] or error)


def check_keras_file(path: Path) -> None:
    """Checks the configuration of a Keras file, as text, for what Keras would run or import.

    Raises:
        UserError: the file has Python code in it, or needs classes from outside Keras.
    """
    _check_config(path, _read_config(path)[1])


def _read_config(path: Path) -> tuple[Any, Any]:
    """Returns the configuration in a Keras file, as it is and in the words of Keras 3."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as members:
                config = read_json_member(members, "config.json")
        else:
            config = json.loads(read_hdf5(path).attributes["model_config"])
        return config, modernised(config)
    except OSError as error:
        raise UserError(f"{path} can't be read: {one_line(error)}.") from None
    except (ValueError, KeyError, RecursionError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read as a Keras model: {one_line(error)}.") from None


def _check_config(path: Path, config: Any) -> None:
    for layer in refused_layers(config):
        raise UserError(
            f"{path} is not loaded: {layer}. `xferlearn inspect` reads it without running it."
        )
