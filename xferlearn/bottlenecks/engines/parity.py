"""Whether a faster engine gives the same bottlenecks as float32 TensorFlow."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.bottlenecks.engines.base import Engine
from xferlearn.bottlenecks.engines.planning import EnginePlan
from xferlearn.system.files import read_record, unusable, write_record
from xferlearn.system.text import count

# Largest relative error of any compared photo's bottleneck. One feature space holds what agrees
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
            f" {self.found:.2g} of a bottleneck's length on {count(self.photos, 'photo')}"
            f" (allowed: {self.bound:g})"
        )


def measure_parity(engine: Engine, reference: Engine, pixels: np.ndarray) -> Parity:
    """Compares two engines on photos.

    Args:
        engine: the one to check.
        reference: float32 TensorFlow.
        pixels: uint8, [photos, height, width, 3], range [0, 255]; the first 16 are used.
    """
    few = pixels[:PHOTOS]
    # The squares of small values vanish in float32, and those of large ones overflow.
    expected, got = (one.run(few).astype(np.float64) for one in (reference, engine))
    lengths = np.maximum(np.linalg.norm(expected, axis=1), np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore"):  # NaN and infinity do not pass
        error = np.linalg.norm(got - expected, axis=1) / lengths
    found = float(np.max(np.where(np.isfinite(error), error, np.inf)))
    return Parity(engine.name, engine.precision, len(few), found, BOUNDS[engine.precision])


def read_parity(folder: Path, plan: EnginePlan, damage: list[str]) -> Parity | None:
    """Returns what an earlier comparison found; None if there was none, or its record is damaged.

    Args:
        folder: of the network on this machine, `KeptNetwork.folder`.
        plan: the engine that was compared.
        damage: takes one line on a record that is damaged.
    """
    path = _record_path(folder, plan.name)
    try:
        parity = Parity(**read_record(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        damage.append(f"{unusable(path, error)}; the engine is compared again.")
        return None
    # With another bound, or in another precision, it would have to be measured again.
    asked = (plan.name, plan.precision, BOUNDS[plan.precision])
    same = (parity.engine, parity.precision, parity.bound) == asked
    sound = isinstance(parity.found, float) and parity.found >= 0 and type(parity.photos) is int
    return parity if same and sound else None


def write_parity(folder: Path, parity: Parity) -> None:
    """Keeps what a comparison found for `read_parity`.

    Without room for it, such as on a full disk, the engine is only compared again next time.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(_record_path(folder, parity.engine), parity.as_dict())


def _record_path(folder: Path, engine: str) -> Path:
    return folder / f"parity-{engine}.json"
