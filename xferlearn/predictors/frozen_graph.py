"""TensorFlow 1's frozen graphs as runtimes. A graph is a program: run it only if you trust it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import OutputReport
from xferlearn.predictors.base import Runtime
from xferlearn.predictors.feeding import Arrays, Feed
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import tensorflow as tf

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
# Batch size that is tried with graphs that were made for one photo per call.
_TRIAL = 2


def open_frozen_graph(path: Path, feed: Feed, outputs: Sequence[OutputReport]) -> Runtime:
    """Imports the part of a frozen graph between an input and some outputs.

    A graph that was made for one photo per call takes whole batches after a small change to its
    reshapes, which is made only where the answers stay the same.

    Args:
        path: the `.pb` file.
        feed: its input; any operation's result can be fed.
        outputs: what is read, known by their tensors.

    Raises:
        UserError: the graph needs other inputs too, or has operations that this TensorFlow does
            not know.
    """
    import tensorflow as tf

    whole = tf.compat.v1.GraphDef()
    whole.ParseFromString(path.read_bytes())
    results = [output.tensor_name for output in outputs]
    needed = _between(whole, feed.tensor, results, path)
    single = _importer(needed, feed, results, feed.batch, path)
    if feed.batch is None:
        return Runtime(feed.batched(single))
    if feed.batch == 1:
        try:
            many = _importer(_for_batches(needed), feed, results, None, path)
            if _agree(single, many, feed):
                return Runtime(lambda pixels: many(feed.values(pixels)))
        except (UserError, tf.errors.OpError, ValueError):
            # It works for one photo per call only, and is run like that.
            pass
    return Runtime(feed.batched(single))


def _between(whole: Any, source: str, outputs: Sequence[str], path: Path) -> Any:
    """Returns the operations that the outputs need when the source is fed."""
    import tensorflow as tf

    nodes = {node.name: node for node in whole.node}
    fed = _node_name(source)
    wanted, queue = set(), [_node_name(output) for output in outputs]
    while queue:
        name = queue.pop()
        if name in wanted or name not in nodes:
            continue
        wanted.add(name)
        if name != fed:
            queue.extend(_node_name(one) for one in nodes[name].input)
    if fed not in wanted:
        raise UserError(
            f"In {path} the output {outputs[0]!r} does not depend on the input {source!r}. Choose"
            " others with `input_layer` and `output_layer`."
        )
    other = [n for n in wanted if n != fed and nodes[n].op in _PLACEHOLDERS]
    if other:
        raise UserError(
            f"{path} needs values for {', '.join(map(repr, sorted(other)[:3]))} besides the photos,"
            " and `label` has none. Freeze the graph without them, or choose another"
            " `output_layer`."
        )
    part = tf.compat.v1.GraphDef(versions=whole.versions, library=whole.library)
    for node in whole.node:
        if node.name not in wanted:
            continue
        if node.op == "BatchNormWithGlobalNormalization":
            part.node.extend(_modern_batch_norm(node))
            continue
        kept = part.node.add()
        kept.CopyFrom(node)
        # It names devices of the machine that wrote it.
        kept.device = ""
        if node.name == fed:
            del kept.input[:]
            # It only keeps the input's place, where importing puts the fed tensor.
            kept.op = "Placeholder"
            kept.attr.clear()
            kept.attr["dtype"].type = tf.as_dtype(_dtype_of(node, "float32")).as_datatype_enum
    return part


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def _dtype_of(node: Any, default: str) -> Any:
    for key in ("dtype", "T", "DstT"):
        if node.attr[key].type:
            return node.attr[key].type
    return default


def _modern_batch_norm(node: Any) -> list[Any]:
    """Returns the operations that replace one that TensorFlow dropped in GraphDef version 9.

    The Inception graph of 2015, the first that the lab retrained, has many of them.
    """
    import tensorflow as tf

    values, mean, variance, beta, gamma = node.input[:5]
    new = tf.compat.v1.NodeDef(name=node.name, op="FusedBatchNorm")
    extra = []
    if not node.attr["scale_after_normalization"].b:
        ones = tf.compat.v1.NodeDef(name=f"{node.name}/ones", op="OnesLike", input=[gamma])
        ones.attr["T"].type = tf.float32.as_datatype_enum
        gamma = ones.name
        extra = [ones]
    new.input.extend([values, gamma, beta, mean, variance])
    new.attr["T"].type = tf.float32.as_datatype_enum
    new.attr["epsilon"].f = node.attr["variance_epsilon"].f
    new.attr["is_training"].b = False
    return [*extra, new]


def _for_batches(part: Any) -> Any:
    """Returns the graph with every reshape to [1, n] changed to [-1, n]."""
    import tensorflow as tf

    constants = {node.name: node for node in part.node if node.op == "Const"}
    changed = tf.compat.v1.GraphDef()
    changed.CopyFrom(part)
    for node in changed.node:
        shape = constants.get(_node_name(node.input[1])) if node.op == "Reshape" else None
        if shape is None:
            continue
        sizes = tf.make_ndarray(shape.attr["value"].tensor)
        if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == 1 and (sizes > 0).all():
            sizes = np.concatenate([[-1], sizes[1:]]).astype(sizes.dtype)
            constant = changed.node.add(name=f"{node.name}/any_batch", op="Const")
            constant.attr["dtype"].CopyFrom(shape.attr["dtype"])
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(sizes))
            node.input[1] = constant.name
    return changed


def _importer(
    part: Any, feed: Feed, outputs: Sequence[str], batch: int | None, path: Path
) -> Callable[[np.ndarray], Arrays]:
    """Returns a function from values to answers."""
    import tensorflow as tf

    def between(values: "tf.Tensor") -> "list[tf.Tensor]":
        return tf.graph_util.import_graph_def(
            part, input_map={feed.tensor: values}, return_elements=[*outputs], name="label"
        )

    spec = tf.TensorSpec((batch, *feed.shape[1:]), feed.dtype)
    try:
        call = tf.function(between, autograph=False).get_concrete_function(spec)
    except Exception as error:  # the importer raises many types on graphs it doesn't know
        raise UserError(f"TensorFlow can't import {path}: {one_line(error)}") from error

    def run(values: np.ndarray) -> Arrays:
        return tuple(answer.numpy() for answer in call(tf.convert_to_tensor(values)))

    return run


def _agree(
    single: Callable[[np.ndarray], Arrays], many: Callable[[np.ndarray], Arrays], feed: Feed
) -> bool:
    shape = (_TRIAL, feed.height, feed.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    values = feed.values(pixels)
    one_by_one = [single(values[i : i + 1]) for i in range(_TRIAL)]
    return all(
        result.shape == np.concatenate(parts).shape
        and np.allclose(result, np.concatenate(parts), atol=1e-4)
        for result, *parts in zip(many(values), *one_by_one, strict=True)
    )
