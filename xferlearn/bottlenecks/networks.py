"""Frozen networks whose feature space is known, and whose layers are loaded where they are needed.

Building a Keras network takes as long as reading a thousand photos; what most runs need of it is
the name of its bottlenecks.
"""

import contextlib
import dataclasses
import functools
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
        load: returns a copy of it, in other processes too; None where only this one has it.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        space: FeatureSpace,
        parameters: int,
        load: Callable[[], "keras.Model"] | None,
        model: "keras.Model | None" = None,
    ) -> None:
        """Prepares a network; loads nothing.

        Args:
            spec: its row.
            space: its feature space in float32.
            parameters: number of its weights.
            load: returns it; called once here. None where there is a model.
            model: the network, where it is loaded.
        """
        self.spec = spec
        self.parameters = parameters
        self.load = load
        self._space = space
        self._model = model
        self._loading = threading.Lock()

    @classmethod
    def of(
        cls, model: "keras.Model", load: Callable[[], "keras.Model"] | None = None
    ) -> "FrozenNetwork":
        """Returns a network that is loaded: one that `load_backbone` returned, or a tuned one."""
        space = feature_space(model, "float32")
        return cls(spec_of(model), space, model.count_params(), load, model)

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
                if self.load is None:
                    raise ValueError("a network needs a model, or a way to load it")
                self._model = self.load()
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
    load = functools.partial(_load, spec, size, weights, verbose)
    origin = origin_of(spec, size, weights)
    if origin is None:
        return FrozenNetwork.of(load(), load)
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
        found = FrozenNetwork.of(load(), load)
        fields = dataclasses.asdict(found.space("float32"))
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, {"key": key, "parameters": found.parameters, **fields}, indent=2)
        return found
    with contextlib.suppress(OSError):
        os.utime(path)  # what is not used for long is removed

    return FrozenNetwork(spec, space, parameters, functools.partial(_checked, load, space, path))


def _load(spec: BackboneSpec, size: int, weights: str | Path | None, verbose: int) -> "keras.Model":
    return load_rows([(spec, size)], weights, verbose=verbose)[0]


def _checked(load: Callable[[], "keras.Model"], space: FeatureSpace, record: Path) -> "keras.Model":
    model = load()
    if feature_space(model, "float32") != space:
        with contextlib.suppress(OSError):
            record.unlink()
        raise XferlearnError(
            f"{record} said something else of {space.backbone} than the network that was built. It"
            " was removed: run again."
        )
    return model
