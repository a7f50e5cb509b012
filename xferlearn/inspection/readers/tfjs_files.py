"""TF.js models: model.json, with a Keras model's topology or a GraphDef, and a list of weights.

Source: https://github.com/tensorflow/tfjs/tree/master/tfjs-converter
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from xferlearn.inspection.layers import Graph, Shape
from xferlearn.inspection.readers.graph_text import graph_of_json
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.wire import MalformedError
from xferlearn.inspection.source import ModelSource

_MOST_BYTES = 64 * 2**20
_TOPOLOGY = b'"modelTopology"'


def is_tfjs(source: ModelSource) -> bool:
    """Recognises a model.json by the names in it; the topology may be long."""
    if source.is_folder or not source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    return _TOPOLOGY in source.head or _TOPOLOGY in bytes(source.data[:_MOST_BYTES])


def read_tfjs(source: ModelSource) -> Graph:
    """Reads a model.json.

    Raises:
        MalformedError: it holds no topology, or is longer than 64 MiB.
    """
    if source.size > _MOST_BYTES:
        raise MalformedError(f"its JSON is longer than {_MOST_BYTES // 2**20} MiB")
    held = json.loads(source.path.read_bytes())
    topology = held.get("modelTopology") if isinstance(held, dict) else None
    if not isinstance(topology, dict):
        raise MalformedError("its JSON has no modelTopology")
    weights = list(_weights(held.get("weightsManifest")))
    if "node" in topology:
        graph = _with_signature(graph_of_json(_with_shapes(topology, weights)), held)
    else:
        graph = read_keras_config(topology.get("model_config", topology))
    made = [str(held[key])[:100] for key in ("generatedBy", "convertedBy") if held.get(key)]
    count = sum(prod(shape) for _, shape, dtype in weights if dtype.startswith(("float", "uint8")))
    return replace(
        graph, producer=", ".join(made) or "TF.js", parameters=count if weights else None
    )


def _weights(manifest: Any) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yields name, shape and type of every weight that the manifest lists."""
    for group in manifest if isinstance(manifest, list) else ():
        for one in group.get("weights", ()) if isinstance(group, Mapping) else ():
            shape = tuple(int(size) for size in one.get("shape", ()))
            if any(size < 0 for size in shape) or len(shape) > 32:
                raise MalformedError("a weight in it has an impossible shape")
            yield str(one.get("name", "")), shape, str(one.get("dtype", ""))


def _with_shapes(
    topology: dict[str, Any], weights: list[tuple[str, tuple[int, ...], str]]
) -> dict[str, Any]:
    """Returns the topology with the shapes of its constants, which the manifest has for sure."""
    shapes = {name: shape for name, shape, _ in weights}
    nodes = []
    for node in topology["node"] if isinstance(topology["node"], list) else ():
        name = node.get("name") if isinstance(node, Mapping) else None
        if name in shapes and node.get("op") == "Const":
            dims = [{"size": size} for size in shapes[name]]
            held = {**node.get("attr", {})}
            tensor = {"dtype": held.get("dtype", {}).get("type"), "tensorShape": {"dim": dims}}
            nodes.append({**node, "attr": {**held, "value": {"tensor": tensor}}})
        else:
            nodes.append(node)
    return {**topology, "node": nodes}


def _with_signature(graph: Graph, held: Mapping[str, Any]) -> Graph:
    """Returns the graph with the outputs that the signature names, their order and shapes."""
    signature = held.get("signature") or held.get("userDefinedMetadata", {}).get("signature")
    outputs = signature.get("outputs") if isinstance(signature, Mapping) else None
    nodes, names = dict(graph.nodes), {}
    for name, one in outputs.items() if isinstance(outputs, Mapping) else ():
        node = str(one.get("name", name)).partition(":")[0]
        if node in nodes:
            names[node] = str(name)[:200]
            shape = _shape(one.get("tensorShape"))
            if shape is not None and nodes[node].shape is None:
                nodes[node] = replace(nodes[node], shape=shape)
    return replace(graph, nodes=nodes, outputs=tuple(names) or graph.outputs, output_names=names)


def _shape(held: Any) -> Shape | None:
    if not isinstance(held, Mapping) or held.get("unknownRank"):
        return None
    sizes = [int(one.get("size", 0)) for one in held.get("dim", ())]
    return tuple(None if size < 0 else size for size in sizes[:32])
