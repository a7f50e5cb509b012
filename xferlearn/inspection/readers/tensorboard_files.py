"""TensorBoard folders and event files: the graph of the model that they show.

An event file is a sequence of records (length, checksum, Event message, checksum); only records
that hold a graph are read. Field numbers: tensorboard/compat/proto/{event,summary,tensor}.proto
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from xferlearn.inspection.layers import Graph
from xferlearn.inspection.readers.frozen_graph import read_graph_def
from xferlearn.inspection.readers.graphdef import read_tensor_strings
from xferlearn.inspection.readers.hdf5 import MOST_JSON_BYTES
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.wire import (
    DAMAGE,
    Budget,
    MalformedError,
    View,
    blob,
    fields,
    text,
)
from xferlearn.inspection.source import ModelSource, open_view

_MOST_FILES = 10_000
_KERAS_PLUGIN = "graph_keras_model"


def is_tensorboard(source: ModelSource) -> bool:
    """Recognises an event file by its first record, or a folder with such files."""
    if source.is_folder:
        return next(_event_files(source.path), None) is not None
    return _is_event_file(source.head)


def read_tensorboard(source: ModelSource) -> Graph:
    """Reads the graph of an event file, or the newest graph of a folder.

    Raises:
        MalformedError: there is no graph in it.
        Exception: one of `DAMAGE`, where what could have held the graph is damaged.
    """
    return _read_folder(source.path) if source.is_folder else _read_event_file(source.data)


def _is_event_file(head: bytes) -> bool:
    # The first record names the format's version.
    return b"brain.Event:" in head[12:60]


def _records(data: View) -> Iterator[View]:
    """Yields the records of an event file, without a last one that is still being written.

    Ends at the zeros of a file that was made longer than its content.
    """
    at = 0
    while at + 12 <= len(data):
        size = struct.unpack_from("<Q", data, at)[0]
        if not 0 < size <= len(data) - at - 12:
            return
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


def _read_event_file(data: View) -> Graph:
    """Reads the graph of one event file; of a damaged record only its own content is lost.

    Where there are both, the Keras configuration is preferred: it also shows value ranges.
    """
    found: dict[str, Graph] = {}
    damage: Exception | None = None
    for record in _records(data):
        try:
            _read_record(record, found)
        except DAMAGE as error:
            damage = damage or error
    layers, ops = found.get("layers"), found.get("ops")
    if layers is not None and layers.inputs:
        return replace(layers, producer="Keras, through TensorBoard")
    if ops is None:
        raise damage or MalformedError("it holds no graph of a model")
    return ops


def _read_record(record: View, found: dict[str, Graph]) -> None:
    """Adds the graphs of a record to `found`: "ops" and "layers", the first of each."""
    # A log of months has more fields than any model, so every record has a budget of its own.
    budget = Budget(len(record))
    for part, value in fields(record, budget):
        if part == 4 and "ops" not in found:
            found["ops"] = read_graph_def(blob(value))
        elif part == 5 and "layers" not in found:
            config = _keras_config(blob(value), budget)
            if config:
                found["layers"] = read_keras_config(json.loads(config))


def _keras_config(summary: View, budget: Budget) -> str:
    """Returns the JSON of a conceptual graph, "" where a summary holds none."""
    for part, value in fields(summary, budget):
        if part != 1:
            continue
        held = dict(fields(blob(value), budget))
        plugin = ""
        for inner, name in _inside(held.get(9), 1, budget):
            plugin = text(name) if inner == 1 else plugin
        if plugin == _KERAS_PLUGIN and 8 in held:
            strings = read_tensor_strings(blob(held[8]), budget)
            if strings and len(strings[0]) <= MOST_JSON_BYTES:
                return str(strings[0], "utf-8", "replace")
    return ""


def _inside(
    message: int | View | None, field: int, budget: Budget
) -> Iterator[tuple[int, int | View]]:
    """Yields the fields of a message inside a message."""
    for part, value in fields(blob(message), budget) if message is not None else ():
        if part == field:
            yield from fields(blob(value), budget)


def _event_files(folder: Path) -> Iterator[Path]:
    for path in islice(folder.rglob("*"), _MOST_FILES):
        if path.is_file():
            with path.open("rb") as file:
                if _is_event_file(file.read(64)):
                    yield path


def _read_folder(folder: Path) -> Graph:
    """Reads the newest graph of a folder; a warning names the other runs that have one."""
    files = sorted(_event_files(folder), key=lambda path: (-path.stat().st_mtime, str(path)))
    graphs: dict[str, Graph] = {}
    for path in files:
        try:
            graph = _read_event_file(open_view(path))
        except DAMAGE:  # Most event files hold scalars only.
            continue
        graphs.setdefault(str(path.parent.relative_to(folder)), graph)
    if not graphs:
        raise MalformedError(f"none of its {len(files)} event files holds a graph of a model")
    name, graph = next(iter(graphs.items()))
    if len(graphs) == 1:
        return graph
    others = ", ".join(list(graphs)[1:6]) + (", ..." if len(graphs) > 6 else "")
    warning = f"Run {name!r}, the newest with a graph, is shown; others with one are {others}."
    return replace(graph, warnings=(*graph.warnings, warning))
