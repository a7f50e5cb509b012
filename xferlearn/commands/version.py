"""`xferlearn version`: the versions of the package and of what it runs on."""

import platform
from importlib import metadata

from xferlearn.config import VersionConfig
from xferlearn.system.terminal import say
from xferlearn.system.version import __version__

# What trains, what runs the frozen network, and what shows, reads and writes models.
_LIBRARIES = (
    "tensorflow", "keras", "openvino", "tensorboard", "onnx", "onnxruntime", "ai-edge-litert",
    "tensorrt",
)  # fmt: skip


def run(config: VersionConfig) -> int:  # noqa: ARG001
    """Prints one version per line; the libraries are not imported for it, which takes seconds."""
    say(f"xferlearn {__version__}")
    say(f"python {platform.python_version()}")
    missing = []
    for name in _LIBRARIES:
        try:
            say(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        say(f"not installed: {', '.join(missing)}")
    return 0
