"""Metadata of this package's models: what was stated, checked against the network itself.

A model folder has it in metadata.json; an exported file carries the same inside, see `embedded`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xferlearn.inspection.readers.wire import MalformedError
from xferlearn.inspection.report import BackboneReport, BottleneckReport, GraphReport, InputReport

_MOST_BYTES = 16 * 2**20
# Values beyond, or ranges narrower than one part of it, are damage, and JSON has no infinity.
_LARGEST = 1e12


@dataclass(frozen=True)
class ModelMetadata:
    """What a model states, as far as a report or a predictor needs it; None for the rest.

    `resize` says how photos were fitted in training; the other names are those of the keys.
    """

    labels: tuple[str, ...]
    input_name: str | None
    height: int | None
    width: int | None
    channels: int | None
    value_range: tuple[float, float] | None
    resize: str | None
    backbone: str | None
    bottleneck: str | None
    bottleneck_width: int | None
    format_version: int | None


def read_metadata(folder: Path) -> ModelMetadata:
    """Reads metadata.json of a model folder.

    Raises:
        MalformedError: it is no JSON object, or over 16 MiB.
    """
    file = folder / "metadata.json"
    if file.stat().st_size > _MOST_BYTES:
        raise MalformedError("its metadata.json is over 16 MiB")
    return parse_metadata(file.read_bytes())


def parse_metadata(data: bytes) -> ModelMetadata:
    """Reads metadata from JSON; what has the wrong type counts as not stated.

    Raises:
        MalformedError: it is no JSON object.
    """
    held = json.loads(data)
    if not isinstance(held, dict):
        raise MalformedError("its metadata is no JSON object")
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
        backbone=_text(backbone.get("name")),
        bottleneck=_text(bottleneck.get("layer")),
        bottleneck_width=_whole(bottleneck.get("width")),
        format_version=_whole(held.get("format_version")),
    )


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


def with_metadata(report: GraphReport, metadata: ModelMetadata) -> GraphReport:
    """Puts what the metadata states before what the network tells; notes where they differ."""
    warnings = list(report.warnings)

    def stated(what: str, value: Any, told: Any) -> Any:
        if value is None:
            return told
        if told is not None and told != value:
            warnings.append(f"The metadata say {what} {value!r}, but the model has {told!r}.")
        return value

    inputs = list(report.inputs)
    if inputs:
        inputs[0] = _input(inputs[0], metadata, stated)
    backbone = report.backbone
    name = stated("backbone", metadata.backbone, backbone.name if backbone else None)
    if name is not None and (backbone is None or backbone.name != name):
        backbone = BackboneReport(name, name, backbone.image_size if backbone else None)
    bottleneck = report.bottleneck
    layer = stated("bottleneck layer", metadata.bottleneck, bottleneck and bottleneck.name)
    width = stated("bottleneck width", metadata.bottleneck_width, bottleneck and bottleneck.width)
    if layer is not None:
        bottleneck = BottleneckReport(layer, layer, width)
    count = len(metadata.labels) or None
    return replace(
        report,
        inputs=tuple(inputs),
        classes=stated("number of classes", count, report.classes),
        labels=metadata.labels,
        backbone=backbone,
        bottleneck=bottleneck,
        warnings=tuple(warnings),
    )


def _input(told: InputReport, metadata: ModelMetadata, stated: Any) -> InputReport:
    # Ranges that are worked out from a graph's constants are likely, no more.
    sure = told.value_range if told.range_source == "layer in the model" else None
    span = stated("value range", metadata.value_range, sure) or told.value_range
    one = replace(
        told,
        name=stated("input", metadata.input_name, told.name),
        height=stated("height", metadata.height, told.height),
        width=stated("width", metadata.width, told.width),
        channels=stated("channels", metadata.channels, told.channels),
        value_range=span,
    )
    if metadata.value_range is None or span is None or abs(span[1] - span[0]) < 1 / _LARGEST:
        return one
    std = 255 / (span[1] - span[0])
    return replace(
        one,
        mean=(0.0 - span[0] * std,),
        std=(std,),
        range_source="metadata",
        range_detail="stated by the model's metadata"
        + (f"; {told.range_detail}" if span == told.value_range else ""),
    )
