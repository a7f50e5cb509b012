"""The bottlenecks of one backbone: which feature space, which engine, and what is cached."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.compute import Extraction, extract
from xferlearn.bottlenecks.engines import (
    Engine,
    EnginePlan,
    Parity,
    ParityError,
    build_engine,
    checked,
    plan_engines,
)
from xferlearn.bottlenecks.engines.parity import BOUNDS
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import ImageConfig, default_bottleneck_dir
from xferlearn.errors import UserError
from xferlearn.photos.sources import PhotoSource
from xferlearn.system.files import write_atomically
from xferlearn.system.runtime import gpu_is_visible

if TYPE_CHECKING:
    import keras


class Features:
    """Computes and caches bottlenecks with the fastest engine that is exact enough.

    Attributes:
        store: the bottlenecks on disk, of `store.space`.
        plan: the engine in use.
        parity: how it compares with float32 TensorFlow, from this run or an earlier one; None
            for float32 TensorFlow itself, and before any photo was computed.
        fallbacks: why faster engines were given up, a line each.
    """

    def __init__(
        self,
        space_of: Callable[[str], FeatureSpace],
        model: Callable[[], "keras.Model"],
        config: ImageConfig,
        trained: str | None = None,
    ) -> None:
        """Chooses the engine and opens the store; loads and computes nothing.

        Args:
            space_of: returns the feature space for a precision.
            model: returns the backbone; called only when a photo must be computed.
            config: engine, precision, bottleneck_dir.
            trained: precision that a head was trained in: with precision "auto" it comes first,
                and float32 after it.

        Raises:
            UserError: when the engine that was asked for can't be had.
        """
        self.fallbacks: list[str] = []
        self._space_of = space_of
        self._model = model
        self._root = Path(config.bottleneck_dir or default_bottleneck_dir())
        self._loaded: Engine | None = None
        engine, precision = config.engine, config.precision
        if engine == "auto" and config.device != "cpu" and gpu_is_visible():
            # OpenVINO is for the CPU, and bfloat16 was not measured on a GPU.
            engine, precision = "tensorflow", "float32" if precision == "auto" else precision
        choices = [precision]
        if trained is not None and precision == "auto":
            choices = list(dict.fromkeys([trained, "float32"]))
        self._plans = [plan for one in choices for plan in plan_engines(engine, one)]
        self._open()

    def _open(self) -> None:
        while True:
            self.plan = self._plans.pop(0)
            self.store = BottleneckStore(self._root, self._space_of(self.plan.precision))
            self.parity = self._recorded()
            if self.parity is None or self.parity.passed:
                return
            self._give_up(self.parity)

    def _give_up(self, parity: Parity) -> None:
        if not self._plans:
            other = "--engine=auto" if parity.precision == "float32" else "--precision=float32"
            raise UserError(f"{parity}. Use {other}.")
        self.fallbacks.append(
            f"{parity}: {self._plans[0].name} {self._plans[0].precision} is used."
        )

    def engine(self) -> Engine:
        """Returns the engine; its first batch is checked where that was never done."""
        model = self._model()
        engine = build_engine(model, self.plan)
        exact = EnginePlan("tensorflow", "float32")
        if self.plan == exact or self.parity is not None:
            return engine
        return checked(engine, lambda: build_engine(model, exact), self._record)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns bottlenecks, float32, [batch, width], of uint8 pixels; loads the engine once.

        May change `store` on the first call, when the engine is given up for an exact one.
        """
        while True:
            if self._loaded is None:
                self._loaded = self.engine()
            try:
                return self._loaded.run(pixels)
            except ParityError as error:
                self._loaded = None
                self._give_up(error.parity)
                self._open()

    def extract(
        self, source: PhotoSource, limits: ImageConfig, *, views: bool = False
    ) -> Extraction:
        """Sees to it that every readable photo has its bottleneck in `store`; see `extract`."""
        while True:
            try:
                return extract(source, self.store, self.engine, limits, views=views)
            except ParityError as error:
                self._give_up(error.parity)
                self._open()

    def as_dict(self) -> dict[str, Any]:
        """Returns engine, precision and parity for the metadata."""
        return {
            "name": self.plan.name,
            "precision": self.plan.precision,
            "parity": self.parity.as_dict() if self.parity else None,
            "fallbacks": list(self.fallbacks),
        }

    @property
    def _record_path(self) -> Path:
        return self.store.folder / f"parity-{self.plan.name}.json"

    def _recorded(self) -> Parity | None:
        try:
            parity = Parity(**json.loads(self._record_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        asked = (self.plan.name, self.plan.precision, BOUNDS[self.plan.precision])
        same = (parity.engine, parity.precision, parity.bound) == asked
        return parity if same and isinstance(parity.found, float) else None

    def _record(self, parity: Parity) -> None:
        self.parity = parity
        # It is only measured again where it can't be kept, such as on a full disk.
        with contextlib.suppress(OSError):
            write_atomically(self._record_path, json.dumps(parity.as_dict()).encode())
