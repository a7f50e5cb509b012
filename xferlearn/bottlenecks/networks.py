"""Frozen networks whose feature space is known, and whose layers are loaded where they are needed.

Building a Keras network takes as long as reading a thousand photos; what most runs need of it is
the name of its bottlenecks.
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.backbones import BackboneSpec, load_rows, spec_of
from xferlearn.backbones.origin import origin_of
from xferlearn.bottlenecks.engines.kept import key_digest, machine, networks_folder
from xferlearn.bottlenecks.space import FeatureSpace, feature_space
from xferlearn.errors import XferlearnError
from xferlearn.system.files import read_record, write_record

if TYPE_CHECKING:
    import keras


class FrozenNetwork:
    """A frozen network that may not be loaded yet.

    Attributes:
        spec: its row.
        parameters: number of its weights.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        space: FeatureSpace,
        parameters: int,
        load: Callable[[], "keras.Model"],
    ) -> None:
        """Prepares a network; loads nothing.

        Args:
            spec: its row.
            space: its feature space in float32.
            parameters: number of its weights.
            load: returns it; called once.
        """
        self.spec = spec
        self.parameters = parameters
        self._space = space
        self._load = load
        self._model: keras.Model | None = None
        self._loading = threading.Lock()

    @classmethod
    def of(cls, model: "keras.Model") -> "FrozenNetwork":
        """Returns a network that is loaded: one that `load_backbone` returned, or a tuned one."""
        space = feature_space(model, "float32")
        return cls(spec_of(model), space, model.count_params(), lambda: model)

    @property
    def image_size(self) -> int:
        """Side of the square that it takes, px."""
        return self._space.image_size

    def space(self, precision: str) -> FeatureSpace:
        """Returns its feature space in a precision, "float32" or "bfloat16"."""
        return dataclasses.replace(self._space, precision=precision)

    def model(self) -> "keras.Model":
        """Returns the network itself, as `load_backbone` does; any thread may ask for it."""
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model


def frozen_network(
    spec: BackboneSpec,
    size: int,
    weights: str | Path | None,
    root: Path,
    *,
    verbose: int = 1,
) -> FrozenNetwork:
    """Returns a backbone; it is loaded only where its feature space is not known of earlier runs.

    Args:
        spec: the backbone's row.
        size: side of its input, px.
        weights: as for `load_backbone`.
        root: folder of the bottlenecks, which keeps what is known.
        verbose: 0 shows no progress of a download.

    Raises:
        UserError: as `load_backbone`.
        XferlearnError: as `load_backbone`.
    """

    def load() -> "keras.Model":
        return load_rows([(spec, size)], weights, verbose=verbose)[0]

    origin = origin_of(spec, size, weights)
    if origin is None:
        return FrozenNetwork.of(load())
    key = key_digest({**origin, **machine()})
    path = networks_folder(root) / f"{spec.name}-{size}-{key[:16]}.json"
    try:
        fields = read_record(path)
        if fields.pop("key") != key:
            raise ValueError("it is of another network")
        parameters = int(fields.pop("parameters"))
        space = FeatureSpace(**fields)
    # One that is damaged, or another program's, is written anew.
    except (OSError, ValueError, KeyError, TypeError):
        found = FrozenNetwork.of(load())
        fields = dataclasses.asdict(found.space("float32"))
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, {"key": key, "parameters": found.parameters, **fields}, indent=2)
        return found
    with contextlib.suppress(OSError):
        os.utime(path)  # what is not used for long is removed

    def checked() -> "keras.Model":
        model = load()
        if feature_space(model, "float32") != space:
            with contextlib.suppress(OSError):
                path.unlink()
            raise XferlearnError(
                f"{path} said something else of {spec.name} than the network that was built. It was"
                " removed: run again."
            )
        return model

    return FrozenNetwork(spec, space, parameters, checked)
