"""The model for the Graphs page: one node per Keras layer, nested models as boxes."""

import json
from typing import TYPE_CHECKING

from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

from xferlearn.inspection import build_graph_def, read_keras_config
from xferlearn.summaries.events import EventWriter

if TYPE_CHECKING:
    import keras

_KERAS_PLUGIN = "graph_keras_model"


def write_graph(events: EventWriter, model: "keras.Model") -> None:
    """Writes a model's graph, twice.

    As an operation graph with one node per layer, shapes on the edges and the inputs as
    placeholders, which Keras' own callback does not write; and as the conceptual graph, where
    TensorBoard draws that correctly.

    Args:
        events: writer of the run.
        model: a functional or sequential model; nothing is written for others, whose layers
            Keras can't list.

    Example:
        >>> with EventWriter(run_dir) as events:
        ...     write_graph(events, model)
    """
    config = json.loads(model.to_json()) if type(model).__name__ in _DRAWABLE else None
    if config is None:
        return
    outputs = config["config"].get("output_layers")
    if isinstance(outputs, dict):  # TensorBoard knows lists alone
        config["config"]["output_layers"] = list(outputs.values())
    definition = build_graph_def(read_keras_config(config))
    for node in definition.node:
        node.name = _boxed(node.name)
        node.input[:] = map(_boxed, node.input)
    events.graph(definition)
    if conceptual_graph_is_right(config):
        events.summary(_conceptual(json.dumps(config)))


def _boxed(name: str) -> str:
    """Returns the name of a layer by which TensorBoard puts those of the familiarity in one box."""
    return name.replace("_", "/", 1) if name.startswith(_BOXED) else name


_BOXED = "familiarity_"
_DRAWABLE = ("Functional", "Sequential")


def conceptual_graph_is_right(config: dict) -> bool:
    """Returns whether TensorBoard draws a model's configuration with all its edges.

    It loses, for example, the edge from a Sequential to a nested Functional.

    Args:
        config: the parsed JSON of `model.to_json()`.
    """
    try:
        nodes = keras_model_to_graph_def(config).node
    except Exception:  # it was written for Keras 2, and fails in many ways
        return False
    consumed = {source for node in nodes for source in node.input}
    names = {node.name for node in nodes}
    inputs = {node.name for node in nodes if node.attr["keras_class"].s == b"InputLayer"}
    ends = {node.name for node in nodes if node.name not in consumed}
    starts = {node.name for node in nodes if not node.input}
    outputs = config["config"].get("output_layers") or [()]
    # One output is written as ["name", 0, 0], several as a list of those.
    count = 1 if outputs and isinstance(outputs[0], str) else len(outputs)
    return consumed <= names and starts <= inputs and len(ends) <= count


def _conceptual(text: str) -> summary_pb2.Summary:
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=_KERAS_PLUGIN, content=b"1"),
        data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
    )
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=[text.encode()],
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
    )
    summary = summary_pb2.Summary()
    summary.value.add(tag="keras", metadata=metadata, tensor=tensor)
    return summary
