"""Writes any model's graph for TensorBoard's Graphs page, one node per operation or layer."""

import time
from collections import Counter
from pathlib import Path

from tensorboard.compat.proto import event_pb2, graph_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from xferlearn.errors import UserError, XferlearnError
from xferlearn.inspection.formats import FORMATS, ModelFile
from xferlearn.inspection.inspection import open_model
from xferlearn.inspection.layers import Graph, Node, Shape
from xferlearn.inspection.readers.graphdef import DTYPE_NUMBERS
from xferlearn.system.text import one_line

_NAME_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-\\>"
)
_FLOAT32 = 1


def write_graph(path: str | Path, logs_dir: str | Path) -> Path:
    """Writes a model's graph into a new run below `logs_dir`.

    Args:
        path: a model of any format that `inspect_model` reads.
        logs_dir: TensorBoard's folder; created where it is missing, and nothing in it is changed.

    Returns:
        The new run's folder, named after the model.

    Raises:
        UserError: as `inspect_model`, and for a file that holds only weights.
        XferlearnError: the folder can't be written.
    """
    held, _ = open_model(path)
    return write_held(path, held, logs_dir)


def write_held(path: str | Path, held: ModelFile, logs_dir: str | Path) -> Path:
    """As `write_graph`, for a model that was read from `path` before."""
    format = FORMATS.get(held.format)  # None for a backbone, which is not a file
    if format is not None and format.holds == "weights":
        raise UserError(
            f"{path} holds weights without an architecture: there is no graph to write."
        )
    path = Path(path)
    named = path.is_dir() or held.format == "backbone"
    name = path.name if named else path.stem
    return write_event(build_graph_def(held.graph), name or "model", Path(logs_dir))


def build_graph_def(graph: Graph) -> graph_pb2.GraphDef:
    """Returns a TensorFlow GraphDef with names, shapes and types but without weights.

    Inputs become `Placeholder` nodes with a `shape`; every node whose shape is known has
    `_output_shapes`; arithmetic with constants keeps its numbers as `_scale` and `_offset`, and
    layers with weights keep their channels, so that `inspect_model` reports the same on the run
    as on the model.
    """
    names = _valid_names(graph)
    definition = graph_pb2.GraphDef()
    for node in graph.nodes.values():
        entry = definition.node.add()
        entry.name = names[node.name]
        entry.op = _op(node)
        # TensorBoard follows these; a cycle in a damaged file does it no harm.
        entry.input.extend(names[source] for source in node.inputs if source in names)
        entry.attr["dtype"].type = DTYPE_NUMBERS.get(node.dtype, _FLOAT32)
        if node.shape is not None:
            _write_shape(entry.attr["_output_shapes"].list.shape.add(), node.shape)
            if node.role == "input":
                _write_shape(entry.attr["shape"].shape, node.shape)
        if node.affine is not None:
            entry.attr["_scale"].list.f.extend(node.affine.scale)
            entry.attr["_offset"].list.f.extend(node.affine.offset)
        if node.units:
            entry.attr["_units"].i = node.units
            entry.attr["_fan_in"].i = node.fan_in or 0
            entry.attr["_depthwise"].b = node.role == "depthwise"
    definition.versions.producer = 22
    return definition


def _op(node: Node) -> str:
    if node.role == "input":
        return "Placeholder"
    return "Const" if node.role == "constant" and not node.op else _cleaned(node.op)


def _cleaned(text: str) -> str:
    return "".join(sign if sign in _NAME_CHARACTERS else "_" for sign in text)


def _write_shape(target: object, shape: Shape) -> None:
    for size in shape:
        target.dim.add().size = -1 if size is None else size  # type: ignore[attr-defined]


def _valid_names(graph: Graph) -> dict[str, str]:
    """Returns unique names that TensorBoard accepts; foreign files hold any characters."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    callers = graph.output_names | graph.input_names
    for name in graph.nodes:
        wanted = callers.get(name, name).removesuffix(":0")
        base = valid = _cleaned(wanted).strip("/") or "node"
        while valid in taken:
            numbers[base] += 1
            valid = f"{base}_{numbers[base]}"
        taken.add(valid)
        names[name] = valid
    return names


def write_event(definition: graph_pb2.GraphDef, name: str, logs_dir: Path) -> Path:
    """Writes a GraphDef as the only event of a new run.

    Args:
        definition: the graph.
        name: of the run; a number is added where the name is taken.
        logs_dir: TensorBoard's folder.

    Returns:
        The run's folder.

    Raises:
        XferlearnError: the folder can't be written.
    """
    now = time.time()
    try:
        run = _new_folder(logs_dir, name)
        file = (run / f"events.out.tfevents.{int(now)}.graph").open("xb")
        with file:
            writer = RecordWriter(file)
            for event in (
                event_pb2.Event(wall_time=now, file_version="brain.Event:2"),
                event_pb2.Event(wall_time=now, graph_def=definition.SerializeToString()),
            ):
                writer.write(event.SerializeToString())
    except OSError as error:
        raise XferlearnError(f"{logs_dir} can't be written: {one_line(error)}.") from None
    return run


def _new_folder(logs_dir: Path, name: str) -> Path:
    logs_dir.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        run = logs_dir / (f"{name}_graph" if number == 1 else f"{name}_graph_{number}")
        try:
            run.mkdir()
            return run
        except FileExistsError:
            number += 1
