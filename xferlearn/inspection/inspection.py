"""Reads a model file of any format and reports what its user needs to know."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from xferlearn.backbones.table import BACKBONES
from xferlearn.errors import UserError
from xferlearn.inspection.analysis import Classifier, find_bottleneck, find_classifier
from xferlearn.inspection.archives import Unpacked, unpacked
from xferlearn.inspection.endings import find_ending
from xferlearn.inspection.familiarity import own_familiarity
from xferlearn.inspection.formats import FORMATS, ModelFile, read_model_file
from xferlearn.inspection.layers import Graph, Node, constant_names, consumers, reachable
from xferlearn.inspection.proposing import labels_beside
from xferlearn.inspection.purpose import output_kind, refusal
from xferlearn.inspection.readers.model_folder import check_around
from xferlearn.inspection.readers.wire import DAMAGE, MalformedError
from xferlearn.inspection.report import (
    BackboneReport,
    GraphReport,
    InputReport,
    Layout,
    OutputReport,
)
from xferlearn.inspection.signatures import Signature, recognise_backbone
from xferlearn.inspection.sizes import known_size
from xferlearn.inspection.stated import with_metadata
from xferlearn.inspection.values import ValueFacts, read_start, value_facts
from xferlearn.model_folder import fetched_model
from xferlearn.system.addresses import is_bucket
from xferlearn.system.fetching import origin, told_by_address
from xferlearn.system.text import count, one_line, printable

_MOST_ENDS = 16
# Types of pixels, for inputs of which not even the number of axes is known.
_PIXELS = {"float16", "bfloat16", "float32", "float64", "uint8", "int8"}
# A network with fewer weights than this share of a known one is not that one.
_FEWEST_WEIGHTS = 0.9
# The smallest picture without an axis for channels, px, and the largest ratio of its sides.
_SMALLEST_PICTURE, _LONGEST_PICTURE = 8, 2
_MNIST = (28, 28)


def inspect_model(path: str | Path) -> GraphReport:
    """Reports which inputs and outputs a model file has, without running any of it.

    Args:
        path: a model folder of this package, a `.keras` or `.h5` file, a SavedModel folder or its
            saved_model.pb, a TensorFlow 1 frozen graph, a `.tflite` or `.onnx` file, an OpenVINO
            `.xml`, a TensorBoard folder or an event file, or a zip archive with one of these. The
            content decides, not the name.

    Returns:
        Inputs, outputs, value range, classes, labels, backbone and bottleneck of the model.

    Raises:
        UserError: the path does not exist, or holds no model or a damaged one.

    Example:
        >>> inspect_model("retrained_graph.pb").inputs[0].resolution
        '299 x 299'
    """
    return open_model(path)[1]


def open_model(path: str | Path) -> tuple[ModelFile, GraphReport]:
    """As `inspect_model`; also returns the graph itself.

    Raises:
        UserError: as `inspect_model`.
    """
    if not isinstance(path, (str, os.PathLike)) or path == "":
        raise UserError(f"Expected the path of a model. Received: {path!r}.")
    if is_bucket(path):
        copy = fetched_model(path, "a model")
        with told_by_address(copy):
            held, report = open_model(copy)
        return held, replace(report, path=origin(copy))
    path = Path(path)
    with unpacked(path) as archive:
        opened = open_unpacked(path, archive)
        if FORMATS[opened[0].format].holds == "model":
            check_around(path if archive is None else archive.path)
        return opened


def open_unpacked(path: Path, archive: Unpacked | None = None) -> tuple[ModelFile, GraphReport]:
    """As `open_model`, for a model that may have been unpacked from the archive at `path`."""
    place = path if archive is None else archive.path
    try:
        held = read_model_file(place)
        if archive is not None:
            held = replace(held, graph=_with_archive(held.graph, place, archive))
        report = build_report(str(path), held)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} can't be read: {one_line(error)}.") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: its JSON breaks off at {error.pos}.") from None
    except DAMAGE as error:
        raise UserError(f"{path} can't be read as a model: {one_line(error)}.") from None
    return held, report


def _with_archive(graph: Graph, path: Path, archive: Unpacked) -> Graph:
    """Adds where in its archive a model is, and the labels that are there too."""
    said = f"The model is {printable(archive.member)} in the archive."
    labels = graph.labels or (() if graph.metadata else labels_beside(path))
    return replace(graph, labels=labels, warnings=(said, *graph.warnings))


def build_report(path: str, held: ModelFile) -> GraphReport:
    """Returns the report on a model that has been read from `path`."""
    graph = held.graph
    _check_sizes(graph)
    constants = constant_names(graph)
    signature = _recognised(graph)
    spec = BACKBONES.get(signature.name) if signature else None
    backbone = None
    if signature:
        size = spec.image_size if spec else None
        backbone = BackboneReport(signature.name, signature.title, size)
    inputs = [_input(graph, name, constants, backbone) for name in graph.inputs[:_MOST_ENDS]]
    kinds = ("image", "encoded image", "values")
    inputs.sort(key=lambda one: (kinds.index(one.kind), one.shape is None))
    found = [(find_classifier(graph, name, constants), name) for name in graph.outputs[:_MOST_ENDS]]
    ends = [
        (classifier, _output(graph, classifier, name, place, constants))
        for place, (classifier, name) in enumerate(found)
    ]
    familiarity = graph.metadata.familiarity if graph.metadata else own_familiarity(graph)
    other = familiarity.output if familiarity else None
    ends.sort(key=lambda end: (end[1].name == other, *_scores_first(end)))
    outputs = tuple(one for _, one in ends)
    classifier = next((found.layer for found, _ in ends if found is not None), None)
    warnings = list(graph.warnings)
    for names, word in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        if len(names) > _MOST_ENDS:
            warnings.append(f"Only {_MOST_ENDS} of {len(names)} {word} are shown.")
    if graph.unsafe_layers:
        warnings.append(
            "Some layers hold code that runs when the file is loaded: load it only if you trust it."
        )
    missing = tuple(name for name in graph.files if not Path(path).with_name(name).is_file())
    if missing:
        warnings.append(f"Its weights are in {missing[0]}, which is not beside it: fetch that too.")
    counts = Counter(node.op for node in graph.nodes.values() if node.op)
    report = GraphReport(
        path=path,
        format=held.format,
        file_size=held.size,
        producer=graph.producer,
        inputs=tuple(inputs),
        outputs=outputs,
        classes=_classes(outputs[0], ends[0][0], graph.task) if outputs else None,
        labels=graph.labels,
        backbone=backbone,
        bottleneck=find_bottleneck(graph, classifier, constants),
        parameters=_parameters(graph),
        operations=sum(counts.values()),
        op_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        unsafe_layers=graph.unsafe_layers,
        not_loaded=graph.not_loaded,
        warnings=tuple(warnings),
        task=graph.task,
        missing=missing,
        familiarity=familiarity,
    )
    if graph.metadata:
        return with_metadata(report, graph.metadata)
    return replace(report, warnings=(*report.warnings, *_doubts(graph, report)))


def _doubts(graph: Graph, report: GraphReport) -> Iterator[str]:
    """Yields what the metadata of another maker state and the graph contradicts."""
    constants = constant_names(graph)
    for name in graph.inputs[:_MOST_ENDS]:
        node = graph.nodes[name]
        _, *found, _ = _image_axes(graph, node, constants)
        sides = (node.stated.height, node.stated.width) if node.stated else (None, None)
        for side, here, there in zip(("height", "width"), sides, found, strict=True):
            if here and there and here != there:
                yield f"The metadata state {side} {here}, but {name!r} takes {there}."
    first = report.outputs[0] if report.outputs else None
    reason = refusal(report.task, first.kind, first.name) if first else ""
    if first and reason:
        yield f"{reason} So it can't label photos."
    elif first and report.labels and report.classes is not None:
        scores = max(report.classes, 2)
        if len(report.labels) != scores:
            yield (
                f"The file names {count(len(report.labels), 'label')}, but {first.name!r} gives"
                f" {count(scores, 'score')}: give the right list with `labels=FILE`."
            )


def _recognised(graph: Graph) -> Signature | None:
    """Returns the known network that a graph is, by its layers and their number of weights."""
    signature = recognise_backbone(graph)
    spec = BACKBONES.get(signature.name) if signature else None
    weights = _parameters(graph)
    if spec and weights and weights < _FEWEST_WEIGHTS * spec.parameters:
        return None
    return signature


def _parameters(graph: Graph) -> int | None:
    """Returns the number of weights that the outputs depend on."""
    if graph.parameters is not None:
        return graph.parameters
    needed = reachable(graph, graph.outputs) if graph.outputs else set(graph.nodes)
    return sum(graph.nodes[name].elements for name in needed) or None


def _check_sizes(graph: Graph) -> None:
    """Raises MalformedError for a size that no tensor has and that other formats can't state."""
    for node in graph.nodes.values():
        for size in (*(node.shape or ()), node.units, node.fan_in):
            if size is not None and not -(2**63) <= size < 2**63:
                raise MalformedError("an operation in it claims a size of over 63 bits")


def _scores_first(end: tuple[Classifier | None, OutputReport]) -> tuple[bool, bool, bool]:
    classifier, one = end
    refused = bool(refusal("", one.kind, one.name))
    return refused, classifier is None, classifier is None or not classifier.scores


def _classes(scores: OutputReport, classifier: Classifier | None, task: str) -> int | None:
    """Returns how many scores an output gives; None where it gives none."""
    if refusal(task, scores.kind, scores.name):
        return None
    if classifier is None and scores.kind != "scores":
        return None
    width = scores.shape[-1] if scores.shape and len(scores.shape) == 2 else None
    return width or (classifier.layer.units if classifier else None)


def _input(
    graph: Graph, name: str, constants: frozenset[str], backbone: BackboneReport | None
) -> InputReport:
    node = graph.nodes[name]
    layout, height, width, channels = _image_axes(graph, node, constants)
    size_detail = ""
    kind: Literal["image", "encoded image", "values"] = "image"
    if node.dtype == "string":
        kind, facts = "encoded image", ValueFacts(source="not needed", detail="JPEG or PNG bytes")
    elif layout == "unknown" and (node.shape is not None or node.dtype not in _PIXELS):
        kind, facts = "values", ValueFacts(order="")
    else:
        known = backbone.name if backbone else None
        facts = value_facts(graph, node, constants, known)
        if node.stated is not None:
            height, width = height or node.stated.height, width or node.stated.width
        if height is None and width is None:
            (height, width), size_detail = known_size(graph, node, constants, known)
        if layout == "unknown":
            first = read_start(graph, node, constants).first
            channels = first.fan_in if first is not None and first.role == "conv" else None
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
        size_detail=size_detail,
    )


def _image_axes(
    graph: Graph, node: Node, constants: frozenset[str]
) -> tuple[Layout, int | None, int | None, int | None]:
    """Returns layout, height, width and channels of a batch of images."""
    shape = node.shape
    if shape is not None and len(shape) == 3 and _is_picture(graph, node, constants):
        return "NHW", shape[1], shape[2], 1
    if shape is None or len(shape) != 4:
        return "unknown", None, None, None
    if shape[3] in (1, 3, 4) or shape[1] not in (1, 3, 4):
        return ("NHWC" if shape[3] in (1, 3, 4) else "unknown"), shape[1], shape[2], shape[3]
    return "NCHW", shape[2], shape[3], shape[1]


def _is_picture(graph: Graph, node: Node, constants: frozenset[str]) -> bool:
    """Returns whether an input of three axes is a batch of gray pictures, not of sequences.

    Those have the shape of a picture, and are flattened, or get the missing axis, before any layer
    with weights; or they have MNIST's shape.
    """
    height, width = (node.shape or ())[1:]
    if height is None or width is None or node.dtype not in _PIXELS:
        return False
    if min(height, width) < _SMALLEST_PICTURE:
        return False
    if (height, width) == _MNIST:
        return True
    readers = consumers(graph)
    following = [graph.nodes[name] for name in readers[node.name] if name not in constants]
    roles = {"flat", "arithmetic", "same", "resize"}
    alike = max(height, width) <= _LONGEST_PICTURE * min(height, width)
    return alike and bool(following) and all(one.role in roles for one in following)


def _output(
    graph: Graph,
    classifier: Classifier | None,
    name: str,
    place: int,
    constants: frozenset[str],
) -> OutputReport:
    node = graph.nodes[name]
    shape = node.shape
    if shape is None and classifier is not None and classifier.layer.role == "dense":
        # Scores have the shape of the layer that gives them; TensorFlow 1 files state no shapes.
        alike = node.role in ("score", "activation", "arithmetic", "same", "dense")
        shape = (None, classifier.layer.units) if alike else None
    return OutputReport(
        graph.output_names.get(name, name),
        node.tensor or name,
        shape,
        node.dtype,
        graph.output_places.get(name, place),
        output_kind(graph, name, constants),
        node.calibration,
        node.keys,
        node.quantization,
        find_ending(graph, name, constants),
    )
