"""What a model's metadata state, put into the report in place of what was found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xferlearn.inspection.metadata import ModelMetadata
from xferlearn.inspection.report import (
    BackboneReport,
    BottleneckReport,
    GraphReport,
    InputReport,
)

# A stated value range that is narrower than this is damage.
_NARROWEST = 1e-12


def with_metadata(report: GraphReport, metadata: ModelMetadata) -> GraphReport:
    """Prefers what the metadata state to what was found, and warns where the two differ."""
    warnings = list(report.warnings)

    def stated(what: str, value: Any, found: Any) -> Any:
        if value is None:
            return found
        if found is not None and found != value:
            warnings.append(f"The metadata state {what} {value!r}, but the model has {found!r}.")
        return value

    inputs = list(report.inputs)
    if inputs:
        inputs[0] = _stated_input(inputs[0], metadata, stated)
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
    ending = report.outputs[0].ending if report.outputs else "unknown"
    if metadata.multi_label and ending not in ("sigmoid", "unknown"):
        warnings.append(
            "The metadata state that photos may have several labels, each with a score of its own"
            f" (sigmoid), but the model ends in another way ({ending})."
        )
    familiarity = metadata.familiarity
    if familiarity:
        given = {one.name: one for one in report.outputs}.get(familiarity.output)
        if given is None:
            warnings.append(
                f"The metadata state an output {familiarity.output!r}, which the model does not"
                " have."
            )
            familiarity = None
        elif given.quantization is not None:
            familiarity = replace(familiarity, step=given.quantization[0])
    return replace(
        report,
        inputs=tuple(inputs),
        classes=stated("number of classes", count, report.classes),
        labels=metadata.labels or report.labels,
        backbone=backbone,
        bottleneck=bottleneck,
        warnings=tuple(warnings),
        familiarity=familiarity,
        decision=metadata.decision,
        licences=metadata.licences,
        multi_label=metadata.multi_label,
    )


def _stated_input(
    found: InputReport, metadata: ModelMetadata, stated: Callable[[str, Any, Any], Any]
) -> InputReport:
    # A range that is worked out from a graph's constants is only likely.
    sure = found.value_range if found.range_source == "layer in the model" else None
    span = stated("value range", metadata.value_range, sure) or found.value_range
    one = replace(
        found,
        name=stated("input", metadata.input_name, found.name),
        height=stated("height", metadata.height, found.height),
        width=stated("width", metadata.width, found.width),
        channels=stated("channels", metadata.channels, found.channels),
        value_range=span,
    )
    if metadata.value_range is None or span is None or abs(span[1] - span[0]) < _NARROWEST:
        return one
    std = 255 / (span[1] - span[0])
    return replace(
        one,
        mean=(0.0 - span[0] * std,),
        std=(std,),
        range_source="metadata",
        range_detail="stated by the model's metadata"
        + (f"; {found.range_detail}" if span == found.value_range else ""),
    )
