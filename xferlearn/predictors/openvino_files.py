"""OpenVINO files as runtimes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xferlearn.bottlenecks.engines.planning import openvino_installed
from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.runtime import import_openvino
from xferlearn.system.text import one_line


def open_openvino(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Loads an OpenVINO `.xml` with the `.bin` beside it.

    Args:
        path: the `.xml`.
        feed: its input.
        outputs: what is read, known by their places.

    Raises:
        UserError: OpenVINO is not installed, or can't load the file.
    """
    if not openvino_installed():
        raise UserError(f'{path} is an OpenVINO file; to run it: pip install "xferlearn[openvino]"')
    openvino = import_openvino()

    try:
        # In bfloat16, the default on processors that have it, scores would differ from the file's.
        compiled = openvino.Core().compile_model(
            str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    except Exception as error:  # its errors are RuntimeErrors of several lines
        raise UserError(f"OpenVINO can't load {path}: {one_line(error)}") from error
    request = compiled.create_infer_request()

    def run(values: np.ndarray) -> Arrays:
        request.infer({feed.tensor: values})
        return tuple(request.get_output_tensor(one.place).data.copy() for one in outputs)

    return Runtime(feed.batched(run))
