"""What an engine is: the frozen backbone as one function on batches."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Engine:
    """A network that is ready to run.

    Attributes:
        name: the runtime, "tensorflow" or "openvino".
        precision: number format of its arithmetic, "float32" or "bfloat16".
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to float32 outputs,
            [batch, width].
    """

    name: str
    precision: str
    run: Callable[[np.ndarray], np.ndarray]
