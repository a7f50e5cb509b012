"""Keras files: `.keras` archives and `.h5`, told from their configuration only."""

import json
import zipfile
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from xferlearn.inspection.layers import Graph, Node
from xferlearn.inspection.readers.hdf5_files import (
    MOST_JSON_BYTES,
    HDF5Content,
    HDF5Error,
    read_hdf5,
)
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.readers.wire import MalformedError

_NO_WEIGHTS = ("optimizer", "_optimizer", "optimizer_weights", "metrics", "loss", "seed_generator")


def read_keras_archive(path: Path) -> Graph:
    """Reads a `.keras` file.

    Raises:
        MalformedError: it is no Keras archive, or its configuration is over 16 MiB.
    """
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if "config.json" not in names:
            raise MalformedError("it is a zip archive without config.json, so no .keras file")
        graph = read_keras_config(read_json_member(archive, "config.json"))
        wrote = read_json_member(archive, "metadata.json") if "metadata.json" in names else {}
        weights = "model.weights.h5"
        stored = weights in names and archive.getinfo(weights).compress_type == zipfile.ZIP_STORED
    version = wrote.get("keras_version") if isinstance(wrote, dict) else None
    graph = replace(graph, producer=f"Keras {str(version)[:40]}" if version else "Keras")
    if not stored:
        return graph
    try:
        content = read_hdf5(path, weights)
    except HDF5Error as error:
        return replace(graph, warnings=(*graph.warnings, f"Its weights can't be read: {error}."))
    return replace(graph, parameters=count_parameters(content))


def read_json_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Reads one JSON member, at most 16 MiB of it, however well it was compressed."""
    with archive.open(name) as member:
        text = member.read(MOST_JSON_BYTES + 1)
    if len(text) > MOST_JSON_BYTES:
        raise MalformedError(f"its {name} is over {MOST_JSON_BYTES // 2**20} MiB")
    return json.loads(text)


def read_keras_hdf5(path: Path) -> Graph:
    """Reads a `.h5` file: a whole model, or weights alone (then there are no connections).

    Raises:
        HDF5Error: it can't be read as HDF5.
        MalformedError: it is HDF5 with neither a Keras model nor weights.
    """
    content = read_hdf5(path)
    version = content.attributes.get("keras_version", "")[:40]
    parameters = count_parameters(content)
    if "model_config" in content.attributes:
        graph = read_keras_config(json.loads(content.attributes["model_config"]))
    else:
        graph = _weights_alone(content)
    return replace(graph, producer=f"Keras {version}".strip(), parameters=parameters)


def count_parameters(content: HDF5Content) -> int:
    """Returns the number of floating-point weights, those of the optimiser excluded."""
    return sum(
        prod(shape)
        for name, shape, dtype in content.data_sets
        if "float" in dtype and not set(name.split("/")) & set(_NO_WEIGHTS)
    )


def _weights_alone(content: HDF5Content) -> Graph:
    if not content.data_sets:
        raise MalformedError("it is HDF5 with neither a Keras model nor weights in it")
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
        "Weights only: the file has no architecture, so no inputs, outputs or connections. Build"
        " the same network and use its load_weights()."
    )
    return Graph(nodes, warnings=(warning,))
