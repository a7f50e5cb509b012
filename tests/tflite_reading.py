"""What is in TFLite files, read as others read it."""

from xferlearn.inspection.readers import flat
from xferlearn.inspection.readers.wire import Budget, View


def metadata(data: bytes, name: str) -> View:
    """Returns the named entry of a model's metadata."""
    model = flat.root(memoryview(data), Budget(len(data)))
    buffers = list(model.tables(4))
    (found,) = [one.value(1, "I") for one in model.tables(6) if one.text(0, 100) == name]
    return buffers[found].blob(0)
