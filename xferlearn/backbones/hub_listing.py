"""KerasHub's presets for photos: how large, under which licence, and whether they are here."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.backbones.hub import FAMILIES, import_hub, preset_licence

_WEIGHTS = ("model.weights.h5", "model.weights.json")


@dataclasses.dataclass(frozen=True)
class ListedPreset:
    """A preset of KerasHub that can be a backbone.

    Attributes:
        name: what `--backbone` takes.
        family: name of its family for people.
        pooling: how its output becomes a bottleneck, a key of `pooling.POOLINGS`.
        parameters: number of weights of the whole preset, a text tower included; 0 for unknown.
        megabytes: size of these weights in float32, 10^6 bytes.
        on_this_machine: whether its weights are in the cache of Kaggle's hub.
        licence: licence of the weights as its metadata state it, or "unknown".
        licence_source: where the weights come from.
    """

    name: str
    family: str
    pooling: str
    parameters: int
    megabytes: float
    on_this_machine: bool
    licence: str
    licence_source: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return dataclasses.asdict(self)


def list_presets() -> tuple[ListedPreset, ...]:
    """Returns KerasHub's presets for photos, by family; downloads nothing.

    Raises:
        UserError: KerasHub is not installed.
    """
    hub = import_hub("The list of its presets")
    cache = _cache()
    found = []
    for kind, family in FAMILIES.items():
        presets = getattr(hub.models, kind).presets if hasattr(hub.models, kind) else {}
        for name, held in presets.items():
            parameters = int(held.get("metadata", {}).get("params") or 0)
            licence = preset_licence(held)
            found.append(
                ListedPreset(
                    name=f"hub:{name}",
                    family=family.title,
                    pooling=family.pooling,
                    parameters=parameters,
                    megabytes=round(4 * parameters / 1e6, 1),
                    on_this_machine=_is_cached(cache, str(held.get("kaggle_handle", ""))),
                    licence=licence.name,
                    licence_source=licence.source,
                )
            )
    return tuple(found)


def _cache() -> Path:
    from kagglehub.config import get_cache_folder

    return Path(get_cache_folder()) / "models"


def _is_cached(cache: Path, handle: str) -> bool:
    folder = cache / handle.removeprefix("kaggle://")
    return bool(handle) and any((folder / name).is_file() for name in _WEIGHTS)
