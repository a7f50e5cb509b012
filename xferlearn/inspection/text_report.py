"""The report as text for people; it ends in commands that can be pasted."""

import textwrap

from xferlearn.decisions import MultiLabelDecision, decision_of
from xferlearn.errors import UserError
from xferlearn.inspection.formats import FORMATS
from xferlearn.inspection.layers import Shape
from xferlearn.inspection.proposing import purpose, suggested_commands
from xferlearn.inspection.report import GraphReport, InputReport, OutputReport
from xferlearn.system.text import count, printable

_MOST_COUNTS = 12
_BACKBONE = "pretrained backbone, without its classifier"
_COLUMN = 14
_WIDTH = 80


def format_report(report: GraphReport) -> str:
    """Returns the report as aligned lines, with commands in the last ones."""
    lines = [printable(report.path, 500)]
    backbone, bottleneck = report.backbone, report.bottleneck
    rows = [
        ("format", FORMATS[report.format].title if report.format in FORMATS else _BACKBONE),
        ("size", f"{_bytes(report.file_size)} ({count(report.file_size, 'byte')})"),
        ("written by", printable(report.producer)),
    ]
    for one in report.inputs:
        rows += _input_rows(one)
    for output in report.outputs:
        rows.append(("output", _output(output)))
    rows += [
        ("familiarity", _familiarity(report)),
        ("scores", _lone_scores(report)),
        ("decision", _decision(report)),
        ("classes", "" if report.classes is None else f"{report.classes:,}"),
        ("labels", _listed(report.labels)),
        ("made for", printable(report.task)),
        ("backbone", backbone.title if backbone else "not recognised"),
    ]
    several = len(report.licences) > 1
    for said in report.licences:
        of = f" of {said.backbone}" if several else ""
        text = ", ".join(filter(None, [f"{said.licence} (the weights{of})", said.source]))
        rows.append(("licence", printable(text, 500)))
    if bottleneck:
        width = f", {count(bottleneck.width, 'value')}" if bottleneck.width is not None else ""
        rows.append(("bottleneck", printable(bottleneck.name) + width))
    rows += [
        ("parameters", "not stated" if report.parameters is None else f"{report.parameters:,}"),
        ("operations", f"{report.operations:,}: {_counts(report)}"),
        ("unsafe layers", _listed(report.unsafe_layers)),
    ]
    rows += [("warning", printable(warning, 500)) for warning in report.warnings]
    lines += [_wrapped(key, value) for key, value in rows if value]
    commands = suggested_commands(report)
    if commands:
        lines += [
            "",
            *textwrap.wrap(purpose(report), _WIDTH),
            *(f"  {command}" for command in commands),
        ]
    return "\n".join(lines)


def _wrapped(key: str, value: str) -> str:
    return textwrap.fill(
        value,
        _WIDTH,
        initial_indent=f"  {key:<{_COLUMN}}",
        subsequent_indent=" " * (2 + _COLUMN),
        # Names stay whole, so that they can be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )


def _input_rows(one: InputReport) -> list[tuple[str, str]]:
    named = printable(one.name)
    if one.tensor_name != one.name:
        named += f" (tensor {printable(one.tensor_name)})"
    rows = [("input", named), ("  shape", f"{format_shape(one.shape)} {one.dtype}")]
    if one.kind == "encoded image":
        return [*rows, ("  values", one.range_detail)]
    if one.kind == "values":
        return rows
    layout = "" if one.layout == "unknown" else f" px, {one.layout}"
    known = f" [{printable(one.size_detail)}]" if one.size_detail else ""
    rows.append(("  resolution", one.resolution + layout + known))
    rows.append(("  values", f"{_range(one)} [{one.range_source}: {printable(one.range_detail)}]"))
    if one.quantization is not None:
        scale, zero = one.quantization
        rows.append(("  quantised", f"scale {scale:.6g}, zero point {zero}"))
    return rows


def _range(one: InputReport) -> str:
    if one.value_range is None:
        return "range unknown"
    low, high = (f"{end:.4g}" for end in one.value_range)
    return f"range [{low}, {high}], {one.channel_order or 'grey'}: {_formula(one)}"


def _formula(one: InputReport) -> str:
    if one.mean == (0.0,) and one.std == (1.0,):
        return "pixels as they are"
    return f"(pixel - {_numbers(one.mean)}) / {_numbers(one.std)}"


def _numbers(values: tuple[float, ...] | None) -> str:
    listed = ", ".join(f"{value:.6g}" for value in values or ())
    return listed if values is not None and len(values) == 1 else f"[{listed}]"


def _output(one: OutputReport) -> str:
    tensor = f" (tensor {printable(one.tensor_name)})" if one.tensor_name != one.name else ""
    calibrated = ", calibrated as the metadata state" if one.calibration else ""
    return (
        f"{printable(one.name)}{tensor}, {format_shape(one.shape)} {one.dtype}".rstrip()
        + calibrated
    )


def _familiarity(report: GraphReport) -> str:
    said = report.familiarity
    if said is None:
        return ""
    below = ""
    if said.reject is not None:
        below = f"; below {said.reject:g} a photo is unknown"
        if said.least >= said.reject:
            below = f"; it is never below {said.reject:g}, so that no photo is unknown"
    return (
        f"output {printable(said.output)!r}: the share of the model's own photos that were less"
        f" typical{below}"
    )


def _lone_scores(report: GraphReport) -> str:
    if not report.has_lone_scores:
        return ""
    own = "one of its own for each class (sigmoid)"
    if report.multi_label:
        return f"{own}: a photo may have several labels, or none"
    return f"{own}: a photo may have several labels; from which score on is not stated"


def _decision(report: GraphReport) -> str:
    if not report.decision:
        return ""
    try:
        said = decision_of({"labels": report.labels, "decision": report.decision})
    except UserError:
        return "of a kind that this version does not know"
    text = printable(said.text(), 500)
    if not isinstance(said, MultiLabelDecision):
        return text
    each = tuple(f"{label} {said.thresholds[label]:.3g}" for label in said.labels)
    return f"{text}: {_listed(each)}"


def format_shape(shape: Shape | None) -> str:
    """Returns a shape as text, e.g. "[any, 224, 224, 3]"."""
    if shape is None:
        return "shape not stated,"
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _counts(report: GraphReport) -> str:
    pairs = list(report.op_counts.items())
    listed = ", ".join(f"{amount} {printable(op, 60)}" for op, amount in pairs[:_MOST_COUNTS])
    rest = len(pairs) - _MOST_COUNTS
    return listed + (f" and {count(rest, 'more type')}" if rest > 0 else "")


def _listed(names: tuple[str, ...], most: int = 8) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(printable(name, 60) for name in names[:most]) + rest


def _bytes(size: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return count(size, "byte")
