"""TensorBoard runs: the model's graph as event files keep it.

An event file is a chain of records (length, checksum, Event message, checksum); records are
skipped over without being read unless they hold a graph. Field numbers:
tensorboard/compat/proto/{event,summary,tensor}.proto
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from xferlearn.inspection.layers import Graph
from xferlearn.inspection.opening import open_view
from xferlearn.inspection.readers.frozen_graph import read_frozen_graph
from xferlearn.inspection.readers.graphdef import read_tensor_strings
from xferlearn.inspection.readers.hdf5_files import MOST_JSON_BYTES
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

_MOST_FILES = 10_000
_KERAS_PLUGIN = "graph_keras_model"


def is_event_file(head: bytes) -> bool:
    """Tells an event file by its first record, which names the format's version."""
    return b"brain.Event:" in head[12:60]


def records(data: View) -> Iterator[View]:
    """Yields the records of an event file; a last one still being written is left out.

    Ends at the zeros of a file that is made longer than what is in it.
    """
    at = 0
    while at + 12 <= len(data):
        size = struct.unpack_from("<Q", data, at)[0]
        if not 0 < size <= len(data) - at - 12:
            return
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


def read_event_file(data: View) -> Graph:
    """Reads the model's graph of one event file.

    The Keras configuration is preferred where there are both: it tells value ranges too. A damaged
    record costs no more than what it held.

    Raises:
        MalformedError: there is no graph in it.
        Exception: one of `DAMAGE`, where what could have held the graph is damaged.
    """
    found: dict[str, Graph] = {}
    damage: Exception | None = None
    for record in records(data):
        try:
            _read_record(record, found)
        except DAMAGE as error:
            damage = damage or error
    layers, ops = found.get("layers"), found.get("ops")
    if layers is not None and layers.inputs:
        return replace(layers, producer="Keras, by way of TensorBoard")
    if ops is None:
        raise damage or MalformedError("its event files hold no model graph")
    return ops


def _read_record(record: View, found: dict[str, Graph]) -> None:
    """Adds to `found` what graphs a record holds: "ops" and "layers", the first of each."""
    # A log of months has more fields than any model, so the budget is each record's own.
    budget = Budget(len(record))
    for part, value in fields(record, budget):
        if part == 4 and "ops" not in found:
            found["ops"] = read_frozen_graph(blob(value))
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
    """Yields the fields of a message inside of a message."""
    for part, value in fields(blob(message), budget) if message is not None else ():
        if part == field:
            yield from fields(blob(value), budget)


def find_event_files(folder: Path) -> list[Path]:
    """Returns the event files below a folder, the newest first."""
    files = (path for path in islice(folder.rglob("*"), _MOST_FILES) if path.is_file())
    events = []
    for path in files:
        with path.open("rb") as file:
            if is_event_file(file.read(64)):
                events.append(path)
    return sorted(events, key=lambda path: (-path.stat().st_mtime, str(path)))


def read_event_folder(folder: Path, files: list[Path]) -> Graph:
    """Reads the newest graph of a TensorBoard folder; a note names the runs there are.

    Raises:
        MalformedError: no event file holds a graph.
    """
    graphs: dict[str, Graph] = {}
    for path in files:
        try:
            graph = read_event_file(open_view(path))
        except DAMAGE:  # Most event files hold scalars only.
            continue
        graphs.setdefault(str(path.parent.relative_to(folder)), graph)
    if not graphs:
        raise MalformedError(f"none of its {len(files)} event files holds a model graph")
    name, graph = next(iter(graphs.items()))
    if len(graphs) == 1:
        return graph
    others = ", ".join(list(graphs)[1:6]) + (", ..." if len(graphs) > 6 else "")
    warning = f"Run {name!r}, the newest with a graph, is shown; there are also {others}."
    return replace(graph, warnings=(*graph.warnings, warning))
