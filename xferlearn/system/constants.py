"""What a TensorFlow graph computes from constants alone, computed once."""

from typing import Any

# What `keras.ops.slice_update` becomes, which converters to other formats do not know.
_UPDATE = "XlaDynamicUpdateSlice"


def without_updates(graph: Any) -> Any:
    """Returns a GraphDef in which no slices of constants are updated, but the results stand.

    Networks with shifted windows, such as Swin, make their attention masks so.

    Args:
        graph: a GraphDef without variables, changed in place.
    """
    if any(node.op == _UPDATE for node in graph.node):
        fold_constants(graph)
    return graph


def fold_constants(graph: Any) -> None:
    """Replaces operations on constants alone by their results.

    TensorFlow does so each time that it loads a graph; OpenCV does not, and knows few of them.
    """
    import tensorflow as tf

    held: set[str] = set()
    read: set[str] = set()
    for node in graph.node:
        # What only has to come before a constant does not matter.
        node.input[:] = [one for one in node.input if one.lstrip("^") == one or one[1:] not in held]
        sources = {source.lstrip("^").partition(":")[0] for source in node.input}
        if node.op == "Const" or (sources and sources <= held):
            held.add(node.name)
        else:
            read |= sources & held
    made = [node.name for node in graph.node if node.op != "Const" and node.name in read & held]
    part = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    part.node.extend(node for node in graph.node if node.name in held)
    results = [f"{name}:0" for name in made]
    values = tf.function(
        lambda: tf.graph_util.import_graph_def(part, return_elements=results, name="fold")
    )()
    found = dict(zip(made, values, strict=True))
    kept = [node for node in graph.node if node.name not in held or node.name in read]
    del graph.node[:]
    for node in kept:
        if node.name not in held:
            graph.node.add().CopyFrom(node)
            continue
        value = found[node.name].numpy() if node.name in found else None
        if value is None:
            # Written anew too, as TensorFlow leaves zeros out, and OpenCV wants them.
            value = tf.make_ndarray(node.attr["value"].tensor)
        constant = graph.node.add(name=node.name, op="Const")
        constant.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
