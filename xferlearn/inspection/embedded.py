"""What files that `export` wrote say of themselves; they stay understood when copied alone."""

from collections.abc import Iterator
from pathlib import Path

from xferlearn.inspection.model_folder import ModelMetadata, parse_metadata
from xferlearn.inspection.readers.flat import root
from xferlearn.inspection.readers.graphdef import attribute, attributes, read_node
from xferlearn.inspection.readers.wire import Budget, View, blob, entry, fields

# The key in ONNX metadata, OpenVINO's rt_info and TFLite's metadata.
KEY = "xferlearn"
# A constant that nothing reads, in frozen graphs.
NODE = "xferlearn/metadata"
# Beside a SavedModel's saved_model.pb.
ASSET = "assets.extra/xferlearn.json"
_MOST_BYTES = 16 * 2**20


def find_embedded(format: str, path: Path, data: View) -> ModelMetadata | None:
    """Returns the metadata that a model file holds; None where it holds none of ours.

    Args:
        format: as in `GraphReport`; other formats than those that `export` writes hold none.
        path: the file.
        data: its content.

    Raises:
        ValueError: they are damaged.
    """
    if format == "saved_model":
        asset = path.parent / ASSET
        if not asset.is_file() or asset.stat().st_size > _MOST_BYTES:
            return None
        return parse_metadata(asset.read_bytes())
    find = {"onnx": _in_onnx, "frozen_graph": _in_frozen_graph, "tflite": _in_tflite}.get(format)
    found = next(find(data), None) if find is not None else None
    return parse_metadata(bytes(found)) if found is not None else None


def _in_onnx(data: View) -> Iterator[View]:
    budget = Budget(len(data))
    for part, value in fields(data, budget):
        if part == 14:
            key, held = entry(value, budget)
            if key == KEY:
                yield held


def _in_frozen_graph(data: View) -> Iterator[View]:
    budget = Budget(len(data))
    for part, value in fields(data, budget):
        if part != 1:
            continue
        node = read_node(blob(value), budget)
        if node.name != NODE:
            continue
        tensor = attribute(attributes(node, budget).get("value"), 8, budget)
        for inner, held in fields(blob(tensor), budget) if tensor is not None else ():
            if inner == 8:
                yield blob(held)


def _in_tflite(data: View) -> Iterator[View]:
    model = root(data, Budget(len(data)))
    buffers = list(model.tables(4))
    for one in model.tables(6):
        index = one.value(1, "I")
        if one.text(0, 100) == KEY and index < len(buffers):
            yield buffers[index].blob(0)
