"""SavedModels: the serving signature, with the functions behind it unfolded into one graph.

Field numbers: tensorflow/core/protobuf/{saved_model,meta_graph}.proto and
tensorflow/core/framework/function.proto
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from xferlearn.inspection.layers import Graph, Shape, reachable
from xferlearn.inspection.metadata import METADATA_ASSET, read_metadata
from xferlearn.inspection.readers.frozen_graph import with_ends
from xferlearn.inspection.readers.graphdef import (
    DTYPES,
    RawNode,
    attribute,
    attributes,
    build_graph,
    read_node,
    read_shape,
)
from xferlearn.inspection.readers.wire import (
    Budget,
    MalformedError,
    View,
    blob,
    entry,
    fields,
    number,
    operation_limit,
    text,
)
from xferlearn.inspection.source import ModelSource, open_view

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_CALL_NAMES = re.compile(r"^((Stateful)?PartitionedCall(_\d+)?/)+")
_DEEPEST_CALL = 40
Place = tuple[str, int]


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature."""

    name: str
    dtype: str
    shape: Shape | None


@dataclass
class MetaGraph:
    """The parts of a MetaGraphDef that describe the model."""

    nodes: list[RawNode] = field(default_factory=list)
    functions: dict[str, View] = field(default_factory=dict)
    signatures: dict[str, View] = field(default_factory=dict)
    version: str = ""


def find_saved_model(folder: Path) -> Path | None:
    """Returns the saved_model.pb of a folder, or of its newest version, as TensorFlow Serving does.

    The folder of a version has a number as its name. None where there is neither.
    """
    versions = [one for one in folder.glob("[0-9]*") if one.name.isdecimal()]
    folders = [folder, *sorted(versions, key=lambda one: int(one.name), reverse=True)]
    files = (one / "saved_model.pb" for one in folders)
    return next((file for file in files if file.is_file()), None)


def is_saved_model(source: ModelSource) -> bool:
    """Recognises a SavedModel's folder, or its saved_model.pb by the outermost fields."""
    if source.is_folder:
        return find_saved_model(source.path) is not None
    return (2, False) in source.outer_fields


def read_saved_model(source: ModelSource) -> Graph:
    """Reads a SavedModel, and what this package stated beside it.

    Raises:
        MalformedError: it is damaged.
    """
    file = find_saved_model(source.path) if source.is_folder else source.path
    if file is None:
        raise MalformedError("it has no saved_model.pb")
    graph = _read_file(open_view(file) if source.is_folder else source.data)
    stated = file.parent / METADATA_ASSET
    return replace(graph, metadata=read_metadata(stated)) if stated.is_file() else graph


def _read_file(data: View) -> Graph:
    budget = Budget(len(data))
    found = next((blob(value) for number, value in fields(data, budget) if number == 2), None)
    if found is None:
        raise MalformedError("it holds no graph")
    meta = _read_meta_graph(found, budget, operation_limit(len(data)))
    named = [name for name in meta.signatures if not name.startswith("__")]
    preferred = [name for name in ("serving_default", "serve") if name in named]
    nodes = _unfold(meta, budget, operation_limit(len(data)))
    graph = replace(build_graph(nodes, budget), producer=meta.version)
    if not named:
        warning = "The SavedModel has no signature: inputs and outputs are found in its graph."
        return replace(with_ends(graph), warnings=(warning,))
    chosen = (preferred or named)[0]
    graph = _without_call_names(_with_signature(graph, meta.signatures[chosen], budget))
    others = ", ".join(name for name in named if name != chosen)
    warning = f"Signature {chosen!r} is shown; the model also has {others}." if others else ""
    return replace(graph, warnings=(warning,) if warning else ())


def _read_meta_graph(view: View, budget: Budget, most: int) -> MetaGraph:
    meta = MetaGraph()
    for part, value in fields(view, budget):
        if part == 1:
            for inner, held in fields(blob(value), budget):
                if inner == 5:
                    meta.version = f"TensorFlow {text(held, 60)}"
        elif part == 2:
            for inner, held in fields(blob(value), budget):
                if inner == 1:
                    meta.nodes.append(read_node(blob(held), budget))
                elif inner == 2:
                    meta.functions.update(_read_library(blob(held), budget))
                if len(meta.nodes) > most:
                    raise MalformedError(f"it claims more than {most} operations")
        elif part == 5:
            name, signature = entry(value, budget)
            meta.signatures[name] = signature
    return meta


def _read_library(view: View, budget: Budget) -> dict[str, View]:
    library = {}
    for part, value in fields(view, budget):
        if part == 1:
            signatures = (v for n, v in fields(blob(value), budget) if n == 1)
            for inner, held in fields(blob(next(signatures, memoryview(b""))), budget):
                if inner == 1:
                    library[text(held)] = blob(value)
    return library


def _with_signature(graph: Graph, signature: View, budget: Budget) -> Graph:
    """Adds a signature's inputs and outputs, with the names that a caller uses."""
    sides: dict[int, dict[str, Tensor]] = {1: {}, 2: {}}
    for part, value in fields(signature, budget):
        if part in sides:
            name, info = entry(value, budget)
            sides[part][name] = _read_tensor_info(info, budget)
    nodes = dict(graph.nodes)
    ends: dict[int, dict[str, str]] = {1: {}, 2: {}}
    for part, tensors in sides.items():
        # Labels are an output too, but scores are what is looked for.
        for key, tensor in sorted(tensors.items(), key=lambda item: item[1].dtype == "string"):
            # An unfolded call is known by the tensor that the signature names, index included.
            base = tensor.name.partition(":")[0]
            held = tensor.name if tensor.name in nodes else base
            if held in nodes:
                ends[part][held] = key
                nodes[held] = replace(
                    nodes[held], shape=tensor.shape, dtype=tensor.dtype, tensor=tensor.name
                )
    return replace(
        graph,
        nodes=nodes,
        inputs=tuple(ends[1]),
        outputs=tuple(ends[2]),
        input_names=ends[1],
        output_names=ends[2],
    )


def _read_tensor_info(view: View, budget: Budget) -> Tensor:
    name, dtype, shape = "", "", None
    for part, value in fields(view, budget):
        if part == 1:
            name = text(value)
        elif part == 2:
            dtype = DTYPES.get(number(value), "")
        elif part == 3:
            shape = read_shape(value, budget)
    return Tensor(name, dtype, shape)


def _without_call_names(graph: Graph) -> Graph:
    """Keeps what the outputs depend on, and drops the names of the calls that lead there."""
    needed = reachable(graph, (*graph.outputs, *graph.inputs))
    short: dict[str, str] = {}
    taken = set(needed)
    for name in graph.nodes:
        if name in needed:
            wanted = _CALL_NAMES.sub("", name)
            short[name] = name if wanted in taken else wanted
            taken.add(short[name])
    nodes = {}
    for name, node in graph.nodes.items():
        if name in needed:
            tensor = node.tensor if name in (*graph.inputs, *graph.outputs) else short[name]
            inputs = tuple(short[source] for source in node.inputs if source in short)
            nodes[short[name]] = replace(node, name=short[name], inputs=inputs, tensor=tensor)
    return replace(
        graph,
        nodes=nodes,
        inputs=tuple(short[name] for name in graph.inputs),
        outputs=tuple(short[name] for name in graph.outputs),
        input_names={short[name]: key for name, key in graph.input_names.items()},
        output_names={short[name]: key for name, key in graph.output_names.items()},
    )


class _Unfolder:
    """Replaces calls with the bodies of the functions that they call, with names as scopes."""

    def __init__(self, meta: MetaGraph, budget: Budget, most: int) -> None:
        self.meta, self.budget, self.most = meta, budget, most
        self.nodes: dict[str, RawNode] = {}
        self.same: dict[Place, Place] = {}
        self.outer: list[Place] = []

    def expand(self, raws: list[RawNode], scope: str, depth: int) -> None:
        for raw in raws:
            name = scope + raw.name
            inputs = tuple(self.place(source, scope) for source in raw.inputs)
            body = self.called(raw) if depth < _DEEPEST_CALL else None
            if body is not None:
                self.call(body, name, inputs, depth)
                continue
            named = tuple(f"{source}:{index}" for source, index in inputs)
            self.nodes[name] = replace(raw, name=name, inputs=named)
            if len(self.nodes) > self.most:
                raise MalformedError(f"its functions unfold to more than {self.most} operations")

    def place(self, source: str, scope: str) -> Place:
        parts = source.split(":")
        index = int(parts[-1]) if len(parts) > 1 and parts[-1].isdecimal() else 0
        return scope + parts[0], index

    def called(self, raw: RawNode) -> View | None:
        if raw.op in _CALLS:
            held = attribute(attributes(raw, self.budget).get("f"), 10, self.budget)
            names = [
                text(v) for n, v in fields(blob(held or memoryview(b"")), self.budget) if n == 1
            ]
            return self.meta.functions.get(names[0]) if names else None
        return self.meta.functions.get(raw.op)

    def call(self, body: View, name: str, inputs: tuple[Place, ...], depth: int) -> None:
        arguments: list[str] = []
        results: list[str] = []
        returned: dict[str, str] = {}
        raws: list[RawNode] = []
        for part, value in fields(body, self.budget):
            if part == 1:
                for inner, held in fields(blob(value), self.budget):
                    if inner in (2, 3):
                        names = [text(v) for n, v in fields(blob(held), self.budget) if n == 1]
                        (arguments if inner == 2 else results).extend(names[:1])
            elif part == 3:
                raws.append(read_node(blob(value), self.budget))
            elif part == 4:
                key, target = _read_pair(blob(value), self.budget)
                returned[key] = target
        scope = name + "/"
        for argument, source in zip(arguments, inputs, strict=False):
            self.same[scope + argument, 0] = source
        for index, result in enumerate(results):
            self.same[name, index] = self.place(returned.get(result, ""), scope)
            if depth == 0:
                self.outer.append((name, index))
        self.expand(raws, scope, depth + 1)

    def resolve(self, place: Place) -> str:
        for _ in range(4 * _DEEPEST_CALL):
            if place not in self.same:
                break
            place = self.same[place]
        return place[0]


def _read_pair(view: View, budget: Budget) -> tuple[str, str]:
    held = dict.fromkeys((1, 2), "")
    for part, value in fields(view, budget):
        held[part] = text(value)
    return held[1], held[2]


def _unfold(meta: MetaGraph, budget: Budget, most: int) -> list[RawNode]:
    """Returns all operations with calls replaced; the name of a call stays as an Identity."""
    unfolder = _Unfolder(meta, budget, most)
    unfolder.expand(meta.nodes, "", 0)
    empty = memoryview(b"")
    nodes = []
    for raw in unfolder.nodes.values():
        places = (source.rpartition(":") for source in raw.inputs)
        inputs = tuple(unfolder.resolve((name, int(index))) for name, _, index in places)
        nodes.append(replace(raw, inputs=inputs))
    # The signature names results of calls in the outer graph, so those names are kept.
    for name, index in unfolder.outer:
        source = unfolder.resolve((name, index))
        nodes.append(RawNode(f"{name}:{index}", "Identity", (source,), empty))
    return nodes
