"""What this package states about its own models, and where each format keeps it.

A model folder has it in metadata.json. Files that `export` writes hold the same inside, so they
are still understood when they are copied alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xferlearn.inspection.readers.wire import MalformedError

# The key in ONNX metadata, OpenVINO's rt_info and TFLite's metadata.
METADATA_KEY = "xferlearn"
# A constant that nothing reads, in frozen graphs.
METADATA_NODE = "xferlearn/metadata"
# Beside a SavedModel's saved_model.pb.
METADATA_ASSET = "assets.extra/xferlearn.json"
_MOST_BYTES = 16 * 2**20
# Larger values are damage, and JSON has no infinity.
_LARGEST = 1e12


@dataclass(frozen=True)
class StatedFamiliarity:
    """Which output says how familiar a photo is, and below what it is unknown.

    Attributes:
        output: its name.
        reject: below this familiarity a photo is unknown, 0 to 1; None where it is not stated.
        photos: how many photos it was measured on; None where it is not stated.
        step: between two values of an output of whole numbers; None for floats.
    """

    output: str
    reject: float | None = None
    photos: int | None = None
    step: float | None = None

    @property
    def least(self) -> float:
        """The smallest familiarity that a photo can have: 1 / (photos + 1), to the nearest step."""
        least = 0.0 if self.photos is None else 1 / (self.photos + 1)
        return round(least / self.step) * self.step if self.step else least


@dataclass(frozen=True)
class WeightsLicence:
    """Under which licence the weights of a backbone are.

    Attributes:
        backbone: whose weights.
        licence: its name, e.g. "Apache-2.0"; "unknown" where nothing states it.
        source: where the weights come from; "" where that is not stated.
    """

    backbone: str
    licence: str
    source: str


@dataclass(frozen=True)
class ModelMetadata:
    """What a model states, as far as reports and predictors need it; None for what is missing.

    `resize` says how photos were fitted in training, and `decision` is as it is stated, {} where
    the largest probability decides. `multi_label` says whether photos may have several labels, each
    with a probability of its own. The other names are those of the keys.
    """

    labels: tuple[str, ...]
    input_name: str | None
    height: int | None
    width: int | None
    channels: int | None
    value_range: tuple[float, float] | None
    resize: str | None
    bit_depth: int | None
    backbone: str | None
    bottleneck: str | None
    bottleneck_width: int | None
    format_version: int | None
    familiarity: StatedFamiliarity | None
    decision: dict[str, Any]
    licences: tuple[WeightsLicence, ...]
    multi_label: bool


def read_metadata(file: Path) -> ModelMetadata:
    """Reads metadata from a JSON file.

    Raises:
        MalformedError: it is not a JSON object, or larger than 16 MiB.
    """
    if file.stat().st_size > _MOST_BYTES:
        raise MalformedError(f"its {file.name} is larger than {_MOST_BYTES // 2**20} MiB")
    return parse_metadata(file.read_bytes())


def parse_metadata(data: bytes) -> ModelMetadata:
    """Reads metadata from JSON; a value of the wrong type counts as missing.

    Raises:
        MalformedError: it is not a JSON object.
    """
    held = json.loads(data)
    if not isinstance(held, dict):
        raise MalformedError("its metadata is not a JSON object")
    fed, backbone, bottleneck = (_part(held, key) for key in ("input", "backbone", "bottleneck"))
    labels = held.get("labels")
    return ModelMetadata(
        labels=tuple(map(str, labels)) if isinstance(labels, list) else (),
        input_name=_text(fed.get("name")),
        height=_whole(fed.get("height")),
        width=_whole(fed.get("width")),
        channels=_whole(fed.get("channels")),
        value_range=_range(fed.get("value_range")),
        resize=_text(fed.get("resize")),
        # Files from before say nothing: of deeper photos all 16 bits were used.
        bit_depth=_whole(fed.get("bit_depth", 16)),
        backbone=_text(backbone.get("name")),
        bottleneck=_text(bottleneck.get("layer")),
        bottleneck_width=_whole(bottleneck.get("width")),
        format_version=_whole(held.get("format_version")),
        familiarity=_familiarity(_part(held, "familiarity")),
        decision=_part(held, "decision"),
        licences=_licences(backbone),
        multi_label=held.get("multi_label") is True,
    )


def _licences(backbone: dict[str, Any]) -> tuple[WeightsLicence, ...]:
    # Of several backbones that are combined, each has its own.
    parts = backbone.get("parts")
    each = parts if isinstance(parts, list) else [backbone]
    said = [
        [_text(part.get(key)) for key in ("name", "licence", "licence_source")]
        for part in each
        if isinstance(part, dict)
    ]
    return tuple(
        WeightsLicence(name or "", licence, source or "")
        for name, licence, source in said
        if licence
    )


def _familiarity(said: dict[str, Any]) -> StatedFamiliarity | None:
    output, reject = _text(said.get("output")), said.get("reject")
    share = float(reject) if isinstance(reject, (int, float)) and 0 <= reject <= 1 else None
    photos = _whole(said.get("photos"))
    photos = photos if photos is not None and photos >= 0 else None
    return StatedFamiliarity(output, share, photos) if output else None


def _part(held: dict[str, Any], key: str) -> dict[str, Any]:
    value = held.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _range(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(isinstance(end, (int, float)) and abs(end) <= _LARGEST for end in value):
        return None
    return float(value[0]), float(value[1])


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse_labels(data: bytes) -> tuple[str, ...]:
    """Returns the labels of a text file, one per line; blank lines at its end don't count.

    Where every line begins with its own number, as in "0 daisy" of Teachable Machine, the numbers
    are left out.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    text = data.decode("utf-8-sig").rstrip()
    # Only line ends: str.splitlines would also split at characters that labels may hold.
    lines = [line.strip() for line in text.split("\n")] if text else []
    parts = [line.partition(" ") for line in lines]
    numbered = all(part[0] == str(place) and part[2] for place, part in enumerate(parts))
    if numbered and len(lines) > 1:
        lines = [part[2].strip() for part in parts]
    return tuple(lines)
