"""ONNX files as runtimes, with ONNX Runtime."""

from pathlib import Path

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Feed
from xferlearn.system.text import one_line


def open_onnx(path: Path, feed: Feed, output: OutputReport) -> Runtime:
    """Loads an ONNX file.

    Args:
        path: the file.
        feed: its input.
        output: what is read, known by its tensor.

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

    def run(values: np.ndarray) -> np.ndarray:
        answer = session.run([output.tensor_name], {feed.tensor: values})[0]
        if output.keys:
            # A map per photo, whose keys are sorted here and not in the model.
            scores = [{str(key): score for key, score in one.items()} for one in answer]
            return np.array([[one[key] for key in output.keys] for one in scores], np.float32)
        return answer

    return Runtime(feed.batched(run))
