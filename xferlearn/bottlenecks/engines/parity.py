"""Whether a faster engine gives the same bottlenecks as float32 TensorFlow."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from xferlearn.bottlenecks.engines.base import Engine

# Largest relative error of any checked photo's bottleneck. One feature space holds what agrees
# with float32 TensorFlow within its precision's bound, whichever engine computed it.
BOUNDS = {"float32": 0.001, "bfloat16": 0.1}
PHOTOS = 16


@dataclasses.dataclass(frozen=True)
class Parity:
    """What a comparison with float32 TensorFlow found.

    Attributes:
        engine: the engine that was compared.
        precision: its precision.
        photos: how many of the user's photos were compared.
        found: largest relative error, |a - b| / |b| over a photo's bottleneck.
        bound: what is allowed.
    """

    engine: str
    precision: str
    photos: int
    found: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the engine may be used."""
        return self.found <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.engine} {self.precision} differs from float32 TensorFlow by up to"
            f" {self.found:.2g} of a bottleneck's length on {self.photos} photos"
            f" (allowed: {self.bound:g})"
        )


class ParityError(Exception):
    """An engine's results differ too much; `parity` says by how much."""

    def __init__(self, parity: Parity) -> None:
        super().__init__(str(parity))
        self.parity = parity


def measure_parity(engine: Engine, reference: Engine, pixels: np.ndarray) -> Parity:
    """Compares two engines on photos.

    Args:
        engine: the one to check.
        reference: float32 TensorFlow.
        pixels: uint8, [photos, height, width, 3]; the first 16 are used.
    """
    few = pixels[:PHOTOS]
    expected, got = reference.run(few), engine.run(few)
    lengths = np.maximum(np.linalg.norm(expected, axis=1), np.finfo(np.float32).tiny)
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number does not pass
        error = np.linalg.norm(got - expected, axis=1) / lengths
    found = float(np.max(np.where(np.isfinite(error), error, np.inf)))
    return Parity(engine.name, engine.precision, len(few), found, BOUNDS[engine.precision])


def checked(
    engine: Engine, reference: Callable[[], Engine], report: Callable[[Parity], None]
) -> Engine:
    """Returns an engine that is compared with a reference on the first batch it gets.

    Args:
        engine: the one to check.
        reference: makes float32 TensorFlow; called once, with the first batch.
        report: takes what was found, before anything is returned.

    Returns:
        An engine whose first `run` raises ParityError where the results differ too much.
    """
    done = False
    lock = threading.Lock()

    def run(pixels: np.ndarray) -> np.ndarray:
        nonlocal done
        with lock:
            if not done:
                parity = measure_parity(engine, reference(), pixels)
                report(parity)
                if not parity.passed:
                    raise ParityError(parity)
                done = True
        return engine.run(pixels)

    return dataclasses.replace(engine, run=run)
