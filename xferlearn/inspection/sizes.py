"""Works out which height and width an input takes, where its file does not state them."""

import math

from xferlearn.backbones.table import BACKBONES
from xferlearn.inspection.layers import Graph, Node, consumers
from xferlearn.inspection.values import read_start

_SMALLEST, _LARGEST = 8, 1024
# Operations that keep height and width, or whose `Window` says what they do to them.
_FOLLOWED = {
    "same", "arithmetic", "activation", "norm", "conv", "depthwise", "pool", "maxpool", "reverse",
    "stack", "resize",
}  # fmt: skip
_WINDOWED = {"conv", "depthwise", "pool", "maxpool", "resize"}
_TO_VECTOR = {"same", "arithmetic", "activation", "conv"}


def known_size(
    graph: Graph, node: Node, constants: frozenset[str], backbone: str | None
) -> tuple[tuple[int | None, int | None], str]:
    """Returns the height and width that an input of any size was made for, and how it is known.

    Args:
        graph: the network.
        node: an image input without a size.
        constants: `constant_names(graph)`.
        backbone: name of the recognised network, None for none.

    Returns:
        Height and width in px, None where unknown, and a reason, "" where there is none.
    """
    size = read_start(graph, node, constants).size
    if size is not None and None not in size:
        return size, "the model itself resizes to it"
    for fixed in graph.nodes.values():
        found = _needed_map(graph, fixed)
        if found is None:
            continue
        reader, needed = found
        path = _path_to(graph, reader, node, constants)
        if path is None:
            continue
        sides = [_fitting(path, needed[axis], axis) for axis in (0, 1)]
        spec = BACKBONES.get(backbone or "")
        made_for = {*spec.imagenet_sizes, spec.image_size} if spec else set()
        chosen = [_only(side, made_for) for side in sides]
        if None not in chosen:
            return (chosen[0], chosen[1]), f"{fixed.name} needs it"
        if all(sides):
            spans = " x ".join(f"{side[0]} to {side[-1]}" for side in sides)
            return (None, None), f"{fixed.name} needs {spans} px"
    return (None, None), ""


def _only(sizes: list[int], made_for: set[int]) -> int | None:
    """Returns the only size that fits, or the only one of them that a network was made for."""
    likely = sizes if len(sizes) == 1 else [size for size in sizes if size in made_for]
    return likely[0] if len(likely) == 1 else None


def _needed_map(graph: Graph, node: Node) -> tuple[Node, tuple[int, int]] | None:
    """Returns what reads a map of a certain size for a node, its height and width; None for any."""
    if node.role == "pool" and node.window is not None and not node.window.same:
        # A pooling over the whole map, as it stands before the classifier.
        height, width = node.window.kernel
        whole = min(height, width) > 2 and _ends_in_vector(graph, node)
        return (node, (height, width)) if whole else None
    if node.role == "dense" and node.fan_in and node.inputs:
        flat = graph.nodes.get(node.inputs[0])
        while flat is not None and flat.role in ("same", "activation") and flat.inputs:
            flat = graph.nodes.get(flat.inputs[0])
        if flat is None or flat.role != "flat" or not flat.inputs:
            return None
        channels = _channels(graph, graph.nodes.get(flat.inputs[0]))
        side = math.isqrt(node.fan_in // channels) if channels else 0
        fits = side > 1 and side * side * (channels or 0) == node.fan_in
        return (flat, (side, side)) if fits else None
    return None


def _ends_in_vector(graph: Graph, pool: Node) -> bool:
    """Returns whether what follows a pooling takes a map of one pixel for granted."""
    readers = consumers(graph)
    node = pool
    for _ in range(12):
        following = [graph.nodes[name] for name in readers[node.name]]
        if len(following) != 1:
            return False
        node = following[0]
        if node.role == "flat" or node.op == "Squeeze":
            return True
        if node.role not in _TO_VECTOR:
            return False
    return False


def _channels(graph: Graph, node: Node | None) -> int | None:
    for _ in range(12):
        if node is None or node.units or not node.inputs:
            break
        node = graph.nodes.get(node.inputs[0])
    return node.units if node is not None else None


def _path_to(
    graph: Graph, node: Node, source: Node, constants: frozenset[str]
) -> list[Node] | None:
    """Returns the nodes from an input to what `node` reads; None where sizes are lost on the way.

    All ways lead to the same size, so one of several is enough.
    """
    path: list[Node] = []
    seen: set[str] = set()
    while True:
        sources = [one for one in graph.data_inputs(node, constants) if one.name not in seen]
        if not sources:
            return None
        node = sources[0]
        seen.add(node.name)
        if node.name == source.name:
            return path[::-1]
        unknown = node.role in _WINDOWED and node.window is None
        if node.role not in _FOLLOWED or unknown:
            return None
        path.append(node)


def _fitting(path: list[Node], needed: int, axis: int) -> list[int]:
    """Returns the sizes of an input that lead to a map of the size that is needed."""
    windows = [node.window for node in path if node.window is not None]
    found = []
    for size in range(_SMALLEST, _LARGEST + 1):
        after = size
        for window in windows:
            after = window.after(after, axis)
        if after == needed:
            found.append(size)
    return found
