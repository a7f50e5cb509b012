"""SavedModels as runtimes. Loading one runs what is in it: load it only if you trust it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport, find_saved_model
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.text import one_line


def open_saved_model(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Loads the signature of a SavedModel that has a given input and given outputs.

    Args:
        path: the folder, or the saved_model.pb in it.
        feed: the input, known by its name in the signature.
        outputs: what is read, likewise.

    Raises:
        UserError: there is no such signature, or the variables are missing.
    """
    import tensorflow as tf

    file = find_saved_model(path) if path.is_dir() else path
    folder = path if file is None else file.parent
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # the loader raises many types on damaged files
        raise UserError(
            f"TensorFlow can't load the SavedModel {folder}: {one_line(error)}"
        ) from error
    names = [output.name for output in outputs]
    call = _signature(loaded.signatures, feed.name, names)
    if call is None:
        raise UserError(
            f"{folder} has no signature from {feed.name!r} to {' and '.join(map(repr, names))},"
            " which labelling needs."
        )
    # TensorFlow frees a loaded model's variables with the model, even those that its calls use.
    call.keep = loaded

    def run(values: np.ndarray) -> Arrays:
        answers = call(**{feed.name: tf.convert_to_tensor(values)})
        return tuple(answers[name].numpy() for name in names)

    return Runtime(feed.batched(run))


def _signature(signatures: Any, name: str, outputs: Sequence[str]) -> Any:
    # In the order of the report.
    preferred = [key for key in ("serving_default", "serve") if key in signatures]
    for key in [*preferred, *signatures]:
        call = signatures[key]
        if name in call.structured_input_signature[1] and {*outputs} <= {*call.structured_outputs}:
            return call
    return None
