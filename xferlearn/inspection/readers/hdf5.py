"""HDF5 files: attributes, shapes of data sets and a few numbers, read in a process of their own.

The HDF5 library is C code that can crash, loop or take gigabytes on a damaged file. So it runs in
a child with limits on time and memory; the child is this file, run as a script.
"""

import contextlib
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_JSON_BYTES = 16 * 2**20
_ATTRIBUTES = ("model_config", "keras_version", "backend", "layer_names")
_MOST_DATA_SETS = 100_000
# Mean and variance of a Normalization layer: in `.keras` files by class and number, in `.h5` files
# by name.
_STATISTICS = re.compile(r"(^|/)normalization(_\d+)?/vars/[01]$|/(mean|variance)(:0)?$")
_MOST_NUMBERS = 64
_SECONDS = 60
_MEMORY_BYTES = 2 * 2**30


class HDF5Error(ValueError):
    """The file can't be read as HDF5. Becomes a UserError with the file's name."""


@dataclass(frozen=True)
class HDF5Content:
    """What an HDF5 file holds, without its numbers.

    Attributes:
        attributes: the root's text attributes.
        data_sets: (path, shape, dtype) of every data set, in the file's order.
        statistics: the numbers of the data sets that may be the mean or the variance of a
            Normalization layer, by path.
    """

    attributes: dict[str, str]
    data_sets: tuple[tuple[str, tuple[int, ...], str], ...]
    statistics: dict[str, tuple[float, ...]] = field(default_factory=dict)


def read_hdf5(path: Path, member: str = "") -> HDF5Content:
    """Reads attributes and shapes.

    Args:
        path: an HDF5 file, or a zip archive.
        member: name of the HDF5 file in the zip archive, stored without compression.

    Raises:
        HDF5Error: the file is damaged, or reading it crashed or took too long.
    """
    command = [sys.executable, "-I", str(Path(__file__).resolve()), str(path.resolve()), member]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise HDF5Error(f"reading it took more than {_SECONDS} s") from None
    if done.returncode < 0:
        raise HDF5Error("the HDF5 library crashed on it")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise HDF5Error("the HDF5 library could not read it") from None
    if "error" in answer:
        raise HDF5Error(answer["error"])
    listed = tuple((name, tuple(shape), kind) for name, shape, kind in answer["data_sets"])
    statistics = {name: tuple(numbers) for name, numbers in answer["statistics"].items()}
    return HDF5Content(answer["attributes"], listed, statistics)


def _scan(path: str, member: str) -> dict[str, Any]:
    import h5py

    attributes: dict[str, str] = {}
    found: list[tuple[str, tuple[int, ...], str]] = []
    statistics: dict[str, list[float]] = {}

    def visit(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            shape = tuple(int(size) for size in item.shape or ())
            found.append((name[:1000], shape, str(item.dtype)[:40]))
            few = 0 < item.size <= _MOST_NUMBERS and len(statistics) < _MOST_NUMBERS
            if few and item.dtype.kind == "f" and _STATISTICS.search(name):
                statistics[name] = [float(one) for one in item[()].ravel()]
        return True if len(found) >= _MOST_DATA_SETS else None

    with contextlib.ExitStack() as stack:
        source: Any = path
        if member:
            archive = stack.enter_context(zipfile.ZipFile(path))
            source = stack.enter_context(archive.open(member))
        file = stack.enter_context(h5py.File(source, "r"))
        for key in _ATTRIBUTES:
            if key in file.attrs and file.attrs.get_id(key).get_storage_size() < MOST_JSON_BYTES:
                value = file.attrs[key]
                value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                attributes[key] = value if isinstance(value, str) else ""
        file.visititems(visit)
    return {"attributes": attributes, "data_sets": found, "statistics": statistics}


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    # Only root may raise a hard limit that is already set.
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main() -> None:
    try:
        _limit_memory()
        answer = _scan(sys.argv[1], sys.argv[2])
    except ImportError:
        answer = {"error": "h5py is not installed: pip install h5py"}
    except Exception as error:  # The parent turns whatever the library says into one line.
        answer = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
