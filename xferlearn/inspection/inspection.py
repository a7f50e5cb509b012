"""Looks at a model file of any format and reports what a user of it needs to know."""

import json
from collections import Counter
from pathlib import Path
from typing import Literal

from xferlearn.backbones.table import BACKBONES
from xferlearn.errors import UserError
from xferlearn.inspection.analysis import (
    Classifier,
    ValueFacts,
    find_bottleneck,
    find_classifier,
    value_facts,
)
from xferlearn.inspection.formats import ModelFile, read_model_file
from xferlearn.inspection.layers import Graph, Node, Shape, constant_names, reachable
from xferlearn.inspection.model_folder import with_metadata
from xferlearn.inspection.readers.wire import DAMAGE, MalformedError
from xferlearn.inspection.report import BackboneReport, GraphReport, InputReport, OutputReport
from xferlearn.inspection.signatures import recognise_backbone
from xferlearn.system.text import one_line

_MOST_ENDS = 16
# What an input takes of which not even the number of axes is known, if it takes pixels.
_PIXELS = {"float16", "bfloat16", "float32", "float64", "uint8", "int8"}
Layout = Literal["NHWC", "NCHW", "unknown"]


def inspect_model(path: str | Path) -> GraphReport:
    """Reports what a model file takes and gives, without running any of it.

    Args:
        path: a model folder of this package, a `.keras` or `.h5` file, a SavedModel folder or its
            saved_model.pb, a TF1 frozen graph, a `.tflite` or `.onnx` file, OpenVINO's `.xml`, a
            TensorBoard folder or an event file. The type is told from the content.

    Returns:
        The report. Example: inspect_model("retrained_graph.pb").inputs[0].resolution

    Raises:
        UserError: the path doesn't exist, or holds no model or a damaged one.
    """
    held, report = open_model(path)
    del held
    return report


def open_model(path: str | Path) -> tuple[ModelFile, GraphReport]:
    """As `inspect_model`; returns the graph itself too.

    Raises:
        UserError: as `inspect_model`.
    """
    path = Path(path)
    try:
        held = read_model_file(path)
        report = build_report(str(path), held)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} can't be read: {one_line(error)}.") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: its JSON breaks off at {error.pos}.") from None
    except DAMAGE as error:
        raise UserError(f"{path} is no model that can be read: {one_line(error)}.") from None
    return held, report


def build_report(path: str, held: ModelFile) -> GraphReport:
    """Works out a report from a graph and, for a model folder, its metadata."""
    graph = held.graph
    _check_sizes(graph)
    constants = constant_names(graph)
    signature = recognise_backbone(graph)
    spec = BACKBONES.get(signature.name) if signature else None
    backbone = None
    if signature:
        size = spec.image_size if spec else None
        backbone = BackboneReport(signature.name, signature.title, size)
    inputs = [_input(graph, name, constants, backbone) for name in graph.inputs[:_MOST_ENDS]]
    kinds = ("image", "encoded image", "values")
    inputs.sort(key=lambda one: (kinds.index(one.kind), one.shape is None))
    ends = [
        (find_classifier(graph, name, constants), name, place)
        for place, name in enumerate(graph.outputs[:_MOST_ENDS])
    ]
    ends.sort(key=lambda end: (end[0] is None, end[0] is None or not end[0].scores))
    outputs = tuple(_output(graph, *end) for end in ends)
    classifier = next((end[0].layer for end in ends if end[0] is not None), None)
    warnings = list(graph.warnings)
    for names, word in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        if len(names) > _MOST_ENDS:
            warnings.append(f"{_MOST_ENDS} of {len(names)} {word} are shown.")
    if graph.unsafe_layers:
        warnings.append(
            "Layers with code in them: loading this file runs it. Load it only if you trust it."
        )
    counts = Counter(node.op for node in graph.nodes.values() if node.op)
    report = GraphReport(
        path=path,
        format=held.format,
        file_size=held.size,
        producer=graph.producer,
        inputs=tuple(inputs),
        outputs=outputs,
        classes=_classes(outputs[0], classifier) if classifier else None,
        labels=(),
        backbone=backbone,
        bottleneck=find_bottleneck(graph, classifier, constants),
        parameters=_parameters(graph),
        operations=sum(counts.values()),
        op_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        unsafe_layers=graph.unsafe_layers,
        warnings=tuple(warnings),
    )
    return with_metadata(report, held.metadata) if held.metadata else report


def _parameters(graph: Graph) -> int | None:
    """Returns the number of weights that the outputs depend on."""
    if graph.parameters is not None:
        return graph.parameters
    needed = reachable(graph, graph.outputs) if graph.outputs else set(graph.nodes)
    return sum(graph.nodes[name].elements for name in needed) or None


def _check_sizes(graph: Graph) -> None:
    """Raises MalformedError for a size that no tensor has, and that not every format can state."""
    for node in graph.nodes.values():
        for size in (*(node.shape or ()), node.units, node.fan_in):
            if size is not None and not -(2**63) <= size < 2**63:
                raise MalformedError("an operation in it claims a size of over 63 bits")


def _classes(scores: OutputReport, classifier: Node) -> int | None:
    shape = scores.shape
    return (shape[-1] if shape and len(shape) == 2 else None) or classifier.units


def _input(
    graph: Graph, name: str, constants: frozenset[str], backbone: BackboneReport | None
) -> InputReport:
    node = graph.nodes[name]
    layout, height, width, channels = _image_axes(node.shape)
    kind: Literal["image", "encoded image", "values"] = "image"
    if node.dtype == "string":
        kind, facts = "encoded image", ValueFacts(source="not needed", detail="JPEG or PNG bytes")
    elif layout == "unknown" and (node.shape is not None or node.dtype not in _PIXELS):
        kind, facts = "values", ValueFacts(order="")
    else:
        facts = value_facts(graph, node, constants, backbone.name if backbone else None)
    return InputReport(
        name=graph.input_names.get(name, name),
        tensor_name=node.tensor or name,
        shape=node.shape,
        dtype=node.dtype,
        kind=kind,
        layout=layout,
        height=height,
        width=width,
        channels=channels,
        channel_order=facts.order if kind == "image" and channels != 1 else "",
        value_range=facts.value_range,
        mean=facts.mean,
        std=facts.std,
        range_source=facts.source,
        range_detail=facts.detail,
        quantization=node.quantization,
    )


def _image_axes(shape: Shape | None) -> tuple[Layout, int | None, int | None, int | None]:
    """Returns layout, height, width and channels of a batch of images."""
    if shape is None or len(shape) != 4:
        return "unknown", None, None, None
    if shape[3] in (1, 3, 4) or shape[1] not in (1, 3, 4):
        return ("NHWC" if shape[3] in (1, 3, 4) else "unknown"), shape[1], shape[2], shape[3]
    return "NCHW", shape[2], shape[3], shape[1]


def _output(graph: Graph, classifier: Classifier | None, name: str, place: int) -> OutputReport:
    node = graph.nodes[name]
    shape = node.shape
    if shape is None and classifier is not None and classifier.layer.role == "dense":
        # Scores have the shape of the layer that makes them, and TF1 files state no shapes.
        alike = node.role in ("score", "activation", "arithmetic", "same", "dense")
        shape = (None, classifier.layer.units) if alike else None
    return OutputReport(
        graph.output_names.get(name, name), node.tensor or name, shape, node.dtype, place
    )
