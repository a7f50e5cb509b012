"""Signs by which kinds of files and folders are told; `strangers` puts them to use."""

import re
import struct
from collections.abc import Callable

from xferlearn.inspection.content import Content
from xferlearn.inspection.readers.wire import MalformedError, varint

Sign = Callable[[Content], bool]


def starts(*starts: bytes) -> Sign:
    """A file whose first bytes are one of these."""
    return lambda one: one.head.startswith(starts)


def holds(place: int, *parts: bytes) -> Sign:
    """A file with one of these bytes at a place."""
    return lambda one: one.head.startswith(parts, place)


def named(*ends: str) -> Sign:
    """A file whose name ends so."""
    return lambda one: not one.source.is_folder and one.name.endswith(ends)


def archive(*ends: str) -> Sign:
    """A zip archive with a member whose name ends so."""
    return lambda one: not one.source.is_folder and any(n.endswith(ends) for n in one.names)


def folder(*ends: str) -> Sign:
    """A folder with an entry whose name ends so."""
    return lambda one: one.source.is_folder and any(n.endswith(ends) for n in one.names)


def any_key(*keys: str) -> Sign:
    """A JSON object with one of these keys."""
    return lambda one: not one.keys.isdisjoint(keys)


def all_keys(*keys: str) -> Sign:
    """A JSON object with all of these keys."""
    return lambda one: one.keys.issuperset(keys)


def is_keras_architecture(one: Content) -> bool:
    """What Keras' model.to_json() writes, and no TF.js model, which may hold that."""
    return {"class_name", "config"} <= one.keys and "modelTopology" not in one.keys


def any_field(*names: str) -> Sign:
    """A protocol buffer as text with one of these outermost fields."""
    return lambda one: not set(one.fields).isdisjoint(names)


def matches(pattern: str) -> Sign:
    """Text that starts with what a regular expression matches."""
    found = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda one: found.match(one.text[:4000]) is not None


def pickled_with(*words: bytes) -> Sign:
    """A pickle whose first MiB has one of these words."""
    return lambda one: one.is_pickle and one.mentions(*words)


def is_torch(one: Content) -> bool:
    """PyTorch's zip archive: the checkpoint's pickle and its arrays."""
    return any(name == "data.pkl" or name.endswith("/data.pkl") for name in one.names)


def is_script(one: Content) -> bool:
    """PyTorch's zip archive with the network's code in it."""
    return is_torch(one) and any("/code/" in name for name in one.names)


def is_ultralytics(one: Content) -> bool:
    """A PyTorch checkpoint whose classes are Ultralytics'."""
    if is_torch(one):
        return b"ultralytics" in one.member("data.pkl")
    return one.is_pickle and one.mentions(b"ultralytics")


def is_numpy_archive(one: Content) -> bool:
    """A zip archive of NumPy arrays alone."""
    return bool(one.names) and all(name.endswith(".npy") for name in one.names)


def is_safetensors(one: Content) -> bool:
    """The length of a JSON header, then the header."""
    if one.head[8:10] not in (b'{"', b"{ ", b"{}"):
        return False
    (length,) = struct.unpack("<Q", one.head[:8])
    return 2 <= length <= one.source.size - 8


def is_core_ml(one: Content) -> bool:
    """Version, description, and the model in a field whose number is its kind."""
    found = one.protocol_fields
    whole = {(1, True), (2, False)} <= found and any(field >= 200 for field, _ in found)
    return whole or (one.name.endswith(".mlmodel") and one.head.startswith(b"\x08"))


def is_caffe(one: Content) -> bool:
    """A NetParameter with layers of the new kind; the old kind goes by its name."""
    found = one.protocol_fields
    if (100, False) in found:
        return (1, True) not in found
    return one.name.endswith(".caffemodel")


def is_paddle(one: Content) -> bool:
    """A ProgramDesc: blocks, the first of which starts with its index 0, then a version."""
    if not one.head.startswith(b"\x0a") or not {(1, False), (4, False)} <= one.protocol_fields:
        return False
    try:
        _, start = varint(memoryview(one.head), 1)
    except MalformedError:
        return False
    return one.head.startswith(b"\x08\x00\x10", start)


def is_caffe_text(one: Content) -> bool:
    """A NetParameter as text."""
    parts = set(one.fields)
    return not parts.isdisjoint(("layer", "layers", "input_dim")) and "node" not in parts


def is_darknet_weights(one: Content) -> bool:
    """Version numbers that Darknet writes, under its name, as any file may have them."""
    if not one.name.endswith(".weights") or len(one.head) < 16:
        return False
    major, minor, _ = struct.unpack("<3i", one.head[:12])
    return major in (0, 1) and 0 <= minor <= 5


def is_ultralytics_engine(one: Content) -> bool:
    """Metadata as JSON, with their length before them."""
    return one.head.startswith(b'{"', 4) and b'"' in one.head[6:] and len(one.head) > 100


def is_msgpack(one: Content) -> bool:
    """A map with a few keys of text, as flax writes {"params": ...}."""
    head = one.head
    if one.source.is_folder or not head:
        return False
    mapped = 0x81 <= head[0] <= 0x8F and 0xA1 <= (head[1:2] or b"\0")[0] <= 0xBF
    return one.name.endswith(".msgpack") or (mapped and (b"params" in head or b"kernel" in head))


def is_core_ml_folder(one: Content) -> bool:
    """A .mlpackage or a compiled .mlmodelc."""
    if not one.source.is_folder:
        return False
    return "coremldata.bin" in one.names or (one.path / "Data/com.apple.CoreML").is_dir()


def is_text_saved_model(one: Content) -> bool:
    """A SavedModel folder whose graph is text alone."""
    text, binary = "saved_model.pbtxt" in one.names, "saved_model.pb" in one.names
    return one.source.is_folder and text and not binary


def is_shard(one: Content) -> bool:
    """A shard of a TensorFlow checkpoint's weights."""
    return re.search(r"\.data-\d{5}-of-\d{5}$", one.name) is not None


def has_network_beside(one: Content) -> bool:
    """A .bin beside the .xml of an OpenVINO network."""
    return one.name.endswith(".bin") and one.path.with_suffix(".xml").is_file()


def is_tfjs_shard(one: Content) -> bool:
    """A shard of a TF.js model's weights."""
    if re.search(r"shard\d+of\d+(\.bin)?$", one.name):
        return True
    return one.name.endswith(".bin") and one.path.with_name("model.json").is_file()


def is_tfjs_archive(one: Content) -> bool:
    """A zip archive of a TF.js model: model.json, and weights in a folder with it."""
    if one.source.is_folder:
        return False
    folders = {name.removesuffix("model.json") for name in one.names if _last(name) == "model.json"}
    return any(name.endswith(".bin") and _folder(name) in folders for name in one.names)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _folder(name: str) -> str:
    return name.removesuffix(_last(name))
