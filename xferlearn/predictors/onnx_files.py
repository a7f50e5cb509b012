"""ONNX files as runtimes, with ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.text import one_line


def open_onnx(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Loads an ONNX file.

    Args:
        path: the file.
        feed: its input.
        outputs: what is read, known by their tensors.

    Raises:
        UserError: ONNX Runtime is not installed, or can't load the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            f'{path} is an ONNX file; to run it: pip install "xferlearn[onnx]"'
        ) from None
    options = onnxruntime.SessionOptions()
    # Errors are raised; what it would print as well is for its developers.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # each of its failures has a class of its own
        raise UserError(f"ONNX Runtime can't load {path}: {one_line(error)}") from error

    names = [output.tensor_name for output in outputs]

    def run(values: np.ndarray) -> Arrays:
        answers = session.run(names, {feed.tensor: values})
        return tuple(map(_array, answers, outputs))

    return Runtime(feed.batched(run))


def _array(answer: Any, output: OutputReport) -> np.ndarray:
    if not output.keys:
        return np.asarray(answer)
    # A map per photo, whose keys are sorted here and not in the model.
    scores = [{str(key): score for key, score in one.items()} for one in answer]
    return np.array([[one[key] for key in output.keys] for one in scores], np.float32)
