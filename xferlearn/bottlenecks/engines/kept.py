"""Networks in OpenVINO's form, kept on disk: only the first use of one on a machine converts it."""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.system.files import (
    expire,
    keep_newest,
    remove_stale,
    replace_folder,
    temporary_folder,
)
from xferlearn.system.runtime import import_openvino
from xferlearn.system.version import __version__

if TYPE_CHECKING:
    import openvino

# Those of earlier versions, and of models that are no more, are not asked for again.
_UNUSED_SECONDS = 30 * 24 * 3600
_MOST_KEPT = 64
_VERSIONED = ("openvino", "tensorflow", "keras")
# Whose code decides what a network's layers are, and how it is converted.
_CODE = (
    *("backbones/*.py", "bottlenecks/networks.py", "bottlenecks/engines/*.py"),
    *("predictors/splitting.py", "system/constants.py"),
)
_GRAPH, _WEIGHTS, _RECORD = "network.xml", "network.bin", "network.json"


def networks_folder(root: Path) -> Path:
    """Returns where networks are kept in the folder of the bottlenecks."""
    return root / "networks"


@functools.cache
def machine() -> Mapping[str, str]:
    """Returns what a network in OpenVINO's form, and how exact it is, depend on besides itself."""
    versions = {"xferlearn": __version__, "code": _code_digest()}
    for name in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {**versions, "processor": _processor()}


def deciding_files() -> list[Path]:
    """Returns the modules of this package that decide what a kept network is."""
    package = Path(__file__).parents[2]
    return sorted(path for pattern in _CODE for path in package.glob(pattern))


def key_digest(key: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a key, in hex."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class KeptNetwork:
    """The place of a network in OpenVINO's form, which may not be there yet.

    What is there is used only if it is whole and of this key, so it may be removed at any time.

    Attributes:
        folder: it, and what is known of engines that run it.
        key: what the network follows from.
    """

    folder: Path
    key: Mapping[str, Any]

    @classmethod
    def of(cls, root: Path, name: str, key: Mapping[str, Any]) -> "KeptNetwork":
        """Returns the place of a network on this machine.

        Args:
            root: folder of the bottlenecks.
            name: begins the folder's name, and need not be unique.
            key: what decides the network besides the machine; JSON can hold it.
        """
        whole = {**key, **machine()}
        return cls(networks_folder(root) / f"{name}-{key_digest(whole)[:16]}", whole)

    def read(self) -> "openvino.Model | None":
        """Returns the network; None if it is not there, damaged, or of another key."""
        openvino = import_openvino()

        path = self._path
        try:
            record = json.loads((path / _RECORD).read_bytes())
            graph, weights = ((path / name).read_bytes() for name in (_GRAPH, _WEIGHTS))
            if record != self._record(graph, weights):
                return None
            network = openvino.Core().read_model(graph, weights)
        # A folder that anything may have been done to raises many types.
        except Exception:
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)
            os.utime(self.folder.parent)  # which may be one of several, too
        return network

    def write(self, network: "openvino.Model") -> None:
        """Keeps a network, whole or not at all; where that fails, it is converted again next time.

        Networks that nobody has used for 30 days are removed, and so are all but the last 64.
        """
        openvino = import_openvino()

        # Serialising raises a RuntimeError where the disk is full.
        with contextlib.suppress(OSError, RuntimeError):
            expire(self.folder.parent, "*", _UNUSED_SECONDS)
            keep_newest(self.folder.parent, _MOST_KEPT)
            with temporary_folder(self._path) as new:
                openvino.save_model(network, new / _GRAPH, compress_to_fp16=False)
                graph, weights = ((new / name).read_bytes() for name in (_GRAPH, _WEIGHTS))
                record = json.dumps(self._record(graph, weights), indent=2)
                (new / _RECORD).write_text(f"{record}\n", encoding="utf-8")
                replace_folder(self._path, new)
            remove_stale(self.folder)

    @property
    def _path(self) -> Path:
        return self.folder / "openvino"

    def _record(self, graph: bytes, weights: bytes) -> dict[str, Any]:
        digests = {
            name: hashlib.sha256(data).hexdigest()
            for name, data in ((_GRAPH, graph), (_WEIGHTS, weights))
        }
        return {"key": dict(self.key), "sha256": digests}


def _processor() -> str:
    """Returns the processor's model and what it can do, as Linux reports it."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "CPU part", "flags", "Features"):
                told.setdefault(name.strip(), " ".join(sorted(value.split())))
    return f"{platform.machine()} {key_digest(told) if told else platform.processor()}"


def _code_digest() -> str:
    digest = hashlib.sha256()
    for path in deciding_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()
