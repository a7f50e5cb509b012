"""Reads legacy (pre-zip) PyTorch checkpoints without PyTorch and without running their code.

Such a file is five pickles (magic number, protocol, system info, state dict, list of storage
keys), then for each key an 8-byte little-endian element count and the raw data.
"""

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.system.text import one_line

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_BYTES = 512 << 20
_MAX_RANK = 8
_STORAGES: Mapping[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {name}" for name in _STORAGES
}
# The opcodes that torch.save writes with pickle protocol 2. Others are refused before anything is
# unpickled: some (BYTEARRAY8, FRAME) make the unpickler allocate any size the file claims.
_OPCODES = frozenset(
    name
    for line in (
        "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE",
        "EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2",
        "TUPLE3 BINGET LONG_BINGET BINPUT LONG_BINPUT GLOBAL REDUCE BUILD BINPERSID",
    )
    for name in line.split()
)


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: Any
    offset: Any
    size: Any
    stride: Any


def _rebuild_tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, *_gradient_and_hooks: Any
) -> _Tensor:
    return _Tensor(storage, offset, size, stride)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in _GLOBALS:
            raise pickle.UnpicklingError(f"refused global {module}.{name}")
        if name in _STORAGES:
            return _STORAGES[name]
        return OrderedDict if name == "OrderedDict" else _rebuild_tensor_v2

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, *_view = pid
        if kind != "storage" or not isinstance(key, str) or not isinstance(count, int):
            raise pickle.UnpicklingError("unknown persistent id")
        return _Storage(dtype, key, count)


def read_torch_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a legacy PyTorch state dict.

    Only OrderedDict, torch's storages and `_rebuild_tensor_v2` are accepted in the pickles; sizes
    that the file claims are checked against its length before memory is allocated.

    Args:
        path: a file that `torch.save(model.state_dict(), ...)` wrote in the legacy format.

    Returns:
        Contiguous arrays by tensor name, in the file's order and dtypes.

    Raises:
        UserError: the file can't be read, is no such checkpoint, or contains anything else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} is larger than {_MAX_BYTES >> 20} MiB, too large for a .pth.")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"Can't read the checkpoint {path}: {one_line(error)}.") from None
    if data.startswith(b"PK\x03\x04"):
        raise UserError(
            f"{path} is a zip-format PyTorch checkpoint; only the legacy format is supported: save"
            " it again with torch.save(..., _use_new_zipfile_serialization=False)."
        )
    try:
        return _read(data)
    # A hostile pickle can provoke almost any exception inside the unpickler.
    except Exception as error:
        raise UserError(
            f"{path} is not a usable legacy PyTorch checkpoint: {one_line(error)}."
        ) from error


def _read(data: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    magic, protocol, _system, state, keys = (_load_pickle(data, stream) for _ in range(5))
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise ValueError("its magic number or protocol is not PyTorch's")
    if not isinstance(state, dict) or not isinstance(keys, list):
        raise ValueError("it holds no state dict")
    tensors = {name: value for name, value in state.items() if isinstance(value, _Tensor)}
    if len(tensors) != len(state) or not all(isinstance(name, str) for name in state):
        raise ValueError("its state dict holds something that is not a named tensor")
    declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if len(set(keys)) != len(keys) or set(keys) != set(declared):
        raise ValueError("its list of storages does not fit its tensors")
    storages = {}
    position = stream.tell()
    for key in keys:
        storage = declared[key]
        count = int.from_bytes(data[position : position + 8], "little", signed=True)
        position += 8
        if count != storage.count or count < 0:
            raise ValueError(f"storage {key} has {count} elements, declared are {storage.count}")
        length = count * np.dtype(storage.dtype).itemsize
        if length > len(data) - position:
            raise ValueError(f"storage {key} ends beyond the end of the file")
        storages[key] = np.frombuffer(data, storage.dtype, count, position)
        position += length
    return {name: _view(name, t, storages[t.storage.key]) for name, t in tensors.items()}


def _load_pickle(data: bytes, stream: io.BytesIO) -> Any:
    """Loads the pickle at the stream's position, after checking its opcodes one by one."""
    start = stream.tell()
    argument: Any
    for opcode, argument, _position in pickletools.genops(stream):
        if opcode.name not in _OPCODES:
            raise ValueError(f"refused pickle opcode {opcode.name}")
        if opcode.name == "GLOBAL" and argument not in _GLOBALS:
            raise ValueError(f"refused global {argument.replace(' ', '.')}")
        # The unpickler's memo is an array as long as the largest index.
        if opcode.name == "LONG_BINPUT" and argument > len(data):
            raise ValueError("its pickle has a memo index beyond its length")
    return _Unpickler(io.BytesIO(data[start : stream.tell()])).load()


def _view(name: str, tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """Returns the tensor's elements, picked from its storage by offset and strides."""
    size, stride, offset = tensor.size, tensor.stride, tensor.offset
    numbers = (*size, *stride, offset)
    if (
        len(size) != len(stride)
        or len(size) > _MAX_RANK
        or not all(type(number) is int and number >= 0 for number in numbers)
        or math.prod(size) > storage.size
    ):
        raise ValueError(f"tensor {name} has impossible sizes {size} or strides {stride}")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.size:
        raise ValueError(f"tensor {name} reaches beyond its storage")
    strides = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(size)
