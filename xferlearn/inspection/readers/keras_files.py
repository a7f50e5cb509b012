"""Keras files, `.keras` and `.h5`: what their configuration states; no layer is built."""

import json
import zipfile
from dataclasses import replace
from math import prod
from typing import Any

from xferlearn.inspection.arithmetic import normalization
from xferlearn.inspection.layers import Graph, Node
from xferlearn.inspection.readers.hdf5 import (
    MOST_JSON_BYTES,
    SIGNATURE,
    HDF5Content,
    HDF5Error,
    read_hdf5,
)
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.wire import MalformedError
from xferlearn.inspection.source import ModelSource
from xferlearn.system.text import one_line

_MODEL = "model_config"
_WEIGHTS = "model.weights.h5"
_NO_WEIGHTS = ("optimizer", "_optimizer", "optimizer_weights", "metrics", "loss", "seed_generator")


def is_keras(source: ModelSource) -> bool:
    """Recognises a `.keras` file, which is a zip archive."""
    return source.head.startswith(b"PK\x03\x04")


def is_keras_h5(source: ModelSource) -> bool:
    """Recognises an HDF5 file that holds a model."""
    return _is_hdf5(source) and _MODEL in source.hdf5.attributes


def is_keras_weights(source: ModelSource) -> bool:
    """Recognises an HDF5 file that holds weights without a model."""
    return _is_hdf5(source) and _MODEL not in source.hdf5.attributes


def _is_hdf5(source: ModelSource) -> bool:
    return SIGNATURE in (source.head[:8], source.head[512:520])


def read_keras(source: ModelSource) -> Graph:
    """Reads a `.keras` file.

    Raises:
        MalformedError: it is not a Keras archive, or its configuration is larger than 16 MiB.
    """
    with zipfile.ZipFile(source.path) as archive:
        names = set(archive.namelist())
        if "config.json" not in names:
            raise MalformedError(
                "it is a zip archive with no model in it; without config.json it is no .keras file"
            )
        graph = read_keras_config(read_json_member(archive, "config.json"))
        wrote = read_json_member(archive, "metadata.json") if "metadata.json" in names else {}
        stored = _WEIGHTS in names and archive.getinfo(_WEIGHTS).compress_type == zipfile.ZIP_STORED
    version = wrote.get("keras_version") if isinstance(wrote, dict) else None
    graph = replace(graph, producer=f"Keras {str(version)[:40]}" if version else "Keras")
    if not stored:
        # Keras also writes them in other forms, whose names start the same.
        missing = not any(name.startswith("model.weights") for name in names)
        return _with_parameters(graph, 0) if missing else graph
    try:
        content = read_hdf5(source.path, _WEIGHTS)
    except HDF5Error as error:
        problem = f"Its weights can't be read: {one_line(error)}."
        return replace(graph, warnings=(*graph.warnings, problem))
    graph = _with_statistics(graph, content)
    return _with_parameters(graph, _count_parameters(content))


def read_json_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Reads one JSON member of an archive, of at most 16 MiB however well it was compressed."""
    with archive.open(name) as member:
        text = member.read(MOST_JSON_BYTES + 1)
    if len(text) > MOST_JSON_BYTES:
        raise MalformedError(f"its {name} is larger than {MOST_JSON_BYTES // 2**20} MiB")
    return json.loads(text)


def read_keras_h5(source: ModelSource) -> Graph:
    """Reads the model of an HDF5 file.

    Raises:
        MalformedError: its configuration is damaged.
    """
    return _with_facts(read_keras_config(json.loads(source.hdf5.attributes[_MODEL])), source.hdf5)


def read_keras_weights(source: ModelSource) -> Graph:
    """Reads the weights of an HDF5 file, as layers without connections.

    Raises:
        MalformedError: it holds no weights either.
    """
    return _with_facts(_weights_alone(source.hdf5), source.hdf5)


def _with_facts(graph: Graph, content: HDF5Content) -> Graph:
    version = content.attributes.get("keras_version", "")[:40]
    graph = _with_statistics(replace(graph, producer=f"Keras {version}".strip()), content)
    return _with_parameters(graph, _count_parameters(content))


def _with_parameters(graph: Graph, count: int) -> Graph:
    """Adds the number of weights, and a warning where layers have none that should."""
    graph = replace(graph, parameters=count)
    if count or not any(node.units for node in graph.nodes.values()):
        return graph
    warning = "The file holds no weights, e.g. because the model was saved before it was built."
    problem = (
        "holds a model without its weights, e.g. because it was saved before it was built. Save it"
        " again after it was trained"
    )
    return replace(
        graph, not_loaded=graph.not_loaded or problem, warnings=(*graph.warnings, warning)
    )


def _with_statistics(graph: Graph, content: HDF5Content) -> Graph:
    """Adds what a Normalization layer that was adapted to data computes.

    Not where there are several, of which the file does not tell which is which.
    """
    adapted = [
        node
        for node in graph.nodes.values()
        if node.op == "Normalization" and node.role == "arithmetic" and node.affine is None
    ]
    paths = sorted(content.statistics)
    if len(adapted) != 1 or len(paths) != 2 or len({path.rpartition("/")[0] for path in paths}) > 1:
        return graph
    mean, variance = (content.statistics[path] for path in paths)
    affine = normalization(mean, variance)
    node = replace(adapted[0], affine=affine)
    return replace(graph, nodes={**graph.nodes, node.name: node})


def _count_parameters(content: HDF5Content) -> int:
    """Returns the number of floating-point weights, without those of the optimiser."""
    return sum(
        prod(shape)
        for name, shape, dtype in content.data_sets
        if "float" in dtype and not set(name.split("/")) & set(_NO_WEIGHTS)
    )


def _weights_alone(content: HDF5Content) -> Graph:
    if not content.data_sets:
        raise MalformedError("it is an HDF5 file with neither a Keras model nor weights")
    nodes: dict[str, Node] = {}
    for name, shape, dtype in content.data_sets:
        parts = [part for part in name.split("/") if part not in ("vars", "layers")]
        if set(parts) & set(_NO_WEIGHTS) or "float" not in dtype:
            continue
        layer = "/".join(dict.fromkeys(parts[:-1])) or parts[-1]
        node = nodes.get(layer) or Node(layer, "layer")
        if len(shape) == 4:
            depthwise = shape[-1] == 1 and shape[-2] > 1
            node = replace(node, op="DepthwiseConv2D" if depthwise else "Conv2D", units=shape[-1],
                           role="depthwise" if depthwise else "conv", fan_in=shape[-2])  # fmt: skip
        elif len(shape) == 2:
            node = replace(node, op="Dense", role="dense", units=shape[-1], fan_in=shape[0])
        nodes[layer] = replace(node, elements=node.elements + prod(shape))
    warning = (
        "The file holds weights without an architecture: no inputs, outputs or connections. Build"
        " the same network and call its load_weights()."
    )
    return Graph(nodes, warnings=(warning,))
