"""Which input of a model is fed and which output is read: as asked for, or as found."""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import (
    FORMATS,
    Graph,
    GraphReport,
    InputReport,
    Node,
    OutputReport,
    constant_names,
    find_ending,
    format_shape,
    output_kind,
    refusal,
)
from xferlearn.model_folder import FAMILIARITY
from xferlearn.system.text import printable

End = TypeVar("End", InputReport, OutputReport)
# Types of outputs that are never read for scores, such as what a SavedModel decides.
_NO_NUMBERS = ("string", "bool")


@dataclasses.dataclass(frozen=True)
class Ends:
    """Where a model is fed and read.

    Attributes:
        input: of the report, or an operation inside a frozen graph described like one.
        outputs: likewise: what gives the scores, then what gives the familiarity, where it does.
        warnings: what was chosen from several.
    """

    input: InputReport
    outputs: tuple[OutputReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def scores(self) -> OutputReport:
        """The output that gives the scores."""
        return self.outputs[0]


def find_ends(
    graph: Graph, report: GraphReport, config: ModelConfig, familiarity: str | None = None
) -> Ends:
    """Returns the input and the output that `config` asks for, or the report's first.

    Args:
        graph: of the model; in a frozen graph every operation can be asked for.
        report: on the model.
        config: with `input_layer` and `output_layer`.
        familiarity: name of the output that says how familiar a photo is; None for none. It is
            read too where `config` asks for no output.

    Raises:
        UserError: the model has no such layer, or none that takes pixels or may give scores.
    """
    if config.input_layer is not None:
        fed = _named_input(graph, report, config.input_layer)
    else:
        found = report.image_input
        if found is None:
            raise UserError(
                f"{report.path} has no input that takes pixels. Its input is"
                f" {_described(report.inputs)}.{_hint(report)}"
            )
        fed = found
    if fed.kind == "encoded image":
        other = report.image_input
        instead = f" Leave it out: {other.name!r} takes pixels." if other else _hint(report)
        raise UserError(
            f"`input_layer={config.input_layer!r}` takes encoded photos, but pixels are fed."
            + instead
        )
    if fed.kind == "values" or fed.channels not in (1, 3, None):
        raise UserError(
            "Expected an input for gray or RGB pixels, four axes with 1 or 3 channels."
            f" {fed.name!r} of {report.path} is {format_shape(fed.shape)}."
        )
    if not _has_operations(report):
        needed = [one.name for one in report.inputs if one.kind != "encoded image"]
        if len(needed) > 1:
            raise UserError(
                f"{report.path} takes {len(needed)} inputs ({_names(needed)}), and only"
                " photos can be fed."
            )
    if config.output_layer is not None:
        named = _named_output(graph, report, config.output_layer)
        _check_output(report, named)
        return Ends(fed, (named,))
    numbers = [
        one for one in report.outputs if one.dtype not in _NO_NUMBERS and one.name != familiarity
    ]
    if not numbers:
        raise UserError(
            f"{report.path} names no output of numbers. Name the operation to read with"
            " `output_layer`."
        )
    _check_output(report, numbers[0])
    warnings: tuple[str, ...] = ()
    if len(numbers) > 1:
        warnings = (
            f"the first of the outputs {_names(one.name for one in numbers)} is read; choose"
            f" another with `output_layer`.{_not_used(numbers[1:])}",
        )
    second = [one for one in report.outputs if one.name == familiarity]
    return Ends(fed, (numbers[0], *second[:1]), warnings)


def _not_used(others: Sequence[OutputReport]) -> str:
    """Returns a sentence on an output that only seems to say how familiar a photo is."""
    if FAMILIARITY not in {one.name for one in others}:
        return ""
    return f" {FAMILIARITY!r} is not used, as nothing states what it means."


def _refused(report: GraphReport, one: OutputReport) -> str:
    return refusal(report.task, one.kind, printable(one.name))


def _check_output(report: GraphReport, one: OutputReport) -> None:
    """Raises UserError for an output that is certain to give no scores."""
    reason = _refused(report, one)
    if reason:
        others = [other for other in report.outputs if not _refused(report, other)]
        hint = f" Choose {_names(other.name for other in others)} with `output_layer`."
        raise UserError(
            f"{report.path} can't label photos, which needs one score per class. {reason}"
            + (hint if others else "")
        )


def _has_operations(report: GraphReport) -> bool:
    """Returns whether any operation can be fed and read, not only inputs and outputs."""
    return FORMATS[report.format].of_the_lab


def _named_input(graph: Graph, report: GraphReport, given: str) -> InputReport:
    one = _named(report.inputs, given)
    if one is not None:
        return one
    node = _operation(graph, report, given)
    if node is None:
        kind = "operation" if _has_operations(report) else "input"
        raise UserError(
            f"`input_layer={given!r}`: {report.path} has no {kind} {given}; its input is"
            f" {_described(report.inputs)}." + _nearest(given, graph, report, report.inputs)
        )
    if node.role == "constant":
        raise UserError(
            f"`input_layer={given!r}`: in {report.path} this is a constant; its input is"
            f" {_described(report.inputs)}."
        )
    return _inner_input(node, report, given)


def _inner_input(node: Node, report: GraphReport, given: str) -> InputReport:
    """Returns an operation inside a graph as an input; without a size, it has the image input's."""
    shape = node.shape if node.shape is not None and len(node.shape) == 4 else None
    model = report.image_input
    sides = (model.height, model.width) if model else (None, None)
    sides = shape[1:3] if shape else sides
    return InputReport(
        name=node.name,
        tensor_name=_tensor(given),
        shape=shape,
        dtype=node.dtype if node.dtype not in ("", "string") else "float32",
        kind="image" if shape is not None or node.shape is None else "values",
        layout="NHWC",
        height=sides[0],
        width=sides[1],
        channels=shape[3] if shape else 3,
        channel_order="RGB",
        value_range=None,
        mean=None,
        std=None,
        range_source="unknown",
        range_detail="an operation inside the graph",
        quantization=None,
    )


def _named_output(graph: Graph, report: GraphReport, given: str) -> OutputReport:
    one = _named(report.outputs, given)
    if one is not None:
        return one
    node = _operation(graph, report, given)
    if node is not None:
        constants = constant_names(graph)
        return OutputReport(
            node.name,
            _tensor(given),
            node.shape,
            node.dtype,
            kind=output_kind(graph, node.name, constants),
            ending=find_ending(graph, node.name, constants),
        )
    kind = "operation" if _has_operations(report) else "output"
    whole = ", ".join(
        f"{printable(one.name)!r}, {format_shape(one.shape)} {one.dtype}".rstrip()
        for one in report.outputs[:3]
    )
    raise UserError(
        f"`output_layer={given!r}`: {report.path} has no {kind} {given}; its output is"
        f" {whole or 'not named'}." + _nearest(given, graph, report, report.outputs)
    )


def _named(ends: Sequence[End], given: str) -> End | None:
    """Returns the input or output of a name, else the one whose tensor has that name."""
    by_tensor = {_bare(one.tensor_name): one for one in reversed(ends)}
    by_name = {_bare(one.name): one for one in reversed(ends)}
    return (by_tensor | by_name).get(_bare(given))


def _operation(graph: Graph, report: GraphReport, given: str) -> Node | None:
    if not _has_operations(report):
        return None
    return graph.nodes.get(_tensor(given).partition(":")[0])


def _tensor(given: str) -> str:
    """Returns a tensor's name without the `import/` that TensorFlow 1's importer adds."""
    name = given.removeprefix("import/")
    return name if ":" in name else f"{name}:0"


def _bare(name: str) -> str:
    return name.removeprefix("import/").removesuffix(":0")


def _nearest(
    given: str, graph: Graph, report: GraphReport, ends: Sequence[InputReport | OutputReport]
) -> str:
    known = [one.name for one in ends]
    if _has_operations(report):
        known += [node.name for node in graph.nodes.values() if node.role != "constant"]
    by_lower = {name.lower(): name for name in reversed(known)}
    near = difflib.get_close_matches(given.lower(), by_lower, n=3, cutoff=0.5)
    return f" Did you mean {_names(by_lower[name] for name in near)}?" if near else ""


def _described(inputs: Sequence[InputReport]) -> str:
    whole = ", ".join(
        f"{printable(one.name)!r}, {one.dtype}, "
        + (one.resolution if one.kind == "image" else one.kind)
        for one in inputs[:3]
    )
    return whole or "not stated"


def _hint(report: GraphReport) -> str:
    if _has_operations(report):
        return " Name the operation that takes pixels with `input_layer`."
    return ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(printable(name)) for name in names)
