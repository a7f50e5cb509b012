"""TFLite files as runtimes, with LiteRT."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import Calibration, OutputReport
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.runtime import captured_stderr, core_count
from xferlearn.system.text import one_line


def open_tflite(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Loads a TFLite file.

    Args:
        path: the file.
        feed: its input.
        outputs: what is read, known by their tensors.

    Raises:
        UserError: LiteRT is not installed, or can't load the file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(
            f'{path} is a TFLite file; to run it: pip install "xferlearn[tflite]"'
        ) from None
    problem: Exception | None = None
    # It reports its delegate on stderr, and repeats its errors there.
    with captured_stderr():
        try:
            interpreter = Interpreter(str(path), num_threads=core_count())
            interpreter.allocate_tensors()
        except Exception as error:  # it raises many types on what it can't run
            problem = error
    if problem is not None:
        raise UserError(f"LiteRT can't load {path}: {one_line(problem)}") from problem
    source = _named(interpreter.get_input_details(), feed.tensor)["index"]
    details = interpreter.get_output_details()
    results = [_result(details, output) for output in outputs]
    batch = [feed.batch or 1]

    def run(values: np.ndarray) -> Arrays:
        if len(values) != batch[0]:
            interpreter.resize_tensor_input(source, values.shape)
            interpreter.allocate_tensors()
            batch[0] = len(values)
        interpreter.set_tensor(source, values)
        interpreter.invoke()
        answers = (_dequantized(interpreter.get_tensor(one["index"]), one) for one in results)
        return tuple(
            answer if output.calibration is None else calibrated(answer, output.calibration)
            for answer, output in zip(answers, outputs, strict=True)
        )

    # Calibrated scores are one by one, as those of a sigmoid.
    return Runtime(feed.batched(run), None if outputs[0].calibration is None else "sigmoid")


def _result(details: list[dict[str, Any]], output: OutputReport) -> dict[str, Any]:
    """Returns the interpreter's details of an output."""
    place = details[output.place] if output.place < len(details) else {}
    # Names need not be unique, so the place counts where it has the right one.
    right = place.get("name") == output.tensor_name
    return place if right else _named(details, output.tensor_name)


def _dequantized(answer: np.ndarray, result: dict[str, Any]) -> np.ndarray:
    scale, zero_point = result["quantization"]
    return (answer.astype(np.float32) - zero_point) * np.float32(scale) if scale else answer


def calibrated(scores: np.ndarray, how: Calibration) -> np.ndarray:
    """Returns scores calibrated as TensorFlow's Task Library and MediaPipe do it.

    Source: score_calibration.cc of tflite-support.

    Args:
        scores: [photos, classes].
        how: of the file's metadata.

    Returns:
        float32, [photos, classes], range [0, scale of the class].
    """
    values = scores.reshape(len(scores), -1).astype(np.float64)
    rows = [row or (0.0, 0.0, 0.0, np.inf) for row in how.classes]
    # A limit that is not stated becomes NaN, and no score is below that.
    scale, slope, offset, smallest = np.array(rows, np.float64).T
    # As there, so that 0 and 1 stay finite.
    inside = np.clip(values, 1e-12, 1 - 1e-12)
    if how.transform == "log":
        fed = np.log(inside)
    elif how.transform == "inverse logistic":
        fed = np.log(inside) - np.log1p(-inside)
    else:
        fed = values
    with np.errstate(over="ignore"):
        changed = scale / (1 + np.exp(-(slope * fed + offset)))
    return np.where(values < smallest, how.default, changed).astype(np.float32)


def _named(details: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((one for one in details if one["name"] == name), details[0])
