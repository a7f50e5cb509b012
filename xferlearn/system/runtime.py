"""Starts TensorFlow late and without its messages, and says which hardware it uses."""

import contextlib
import gc
import importlib
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

_OPENVINO = threading.Lock()
# Keras imports matplotlib, which takes 0.3 s, for galleries of photos that few programs draw: the
# module in `keras.src.visualization`, its name for a module of matplotlib, and that module.
_GALLERIES = (
    ("plot_image_gallery", "plt", "matplotlib.pyplot"),
    ("plot_bounding_box_gallery", "patches", "matplotlib.patches"),
)


@contextlib.contextmanager
def captured_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr, and shows it only if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def core_count() -> int:
    """Returns the number of processor cores that this process may use, at least 1."""
    try:
        # Schedulers of clusters and containers leave a process fewer than the machine has.
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras quietly, with TensorFlow as Keras' backend.

    Every public function that needs TensorFlow calls this first. Where the user's own program has
    imported TensorFlow before, its messages stay as that program wants them.

    Raises:
        UserError: Keras was set to another backend, by KERAS_BACKEND or in this process.
    """
    # ~/.keras/keras.json may name another backend; tf.data and TensorBoard need this one.
    _check_backend(os.environ.setdefault("KERAS_BACKEND", "tensorflow"))
    quiet: contextlib.AbstractContextManager = contextlib.nullcontext()
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        quiet = captured_stderr()
    warnings.filterwarnings("ignore", message=".*np.object.*", category=FutureWarning)
    # Pillow warns of broken metadata; such photos are read without them.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    with quiet, _galleries_later(), _no_garbage():
        import keras
        import tensorflow as tf

        # The runtime prints its messages with the first operation.
        tf.constant(0)
    _check_backend(keras.backend.backend())


@contextlib.contextmanager
def _galleries_later() -> Iterator[None]:
    """Has a block that imports Keras leave matplotlib to the first gallery that is drawn."""
    if {"matplotlib", "keras"} & {*sys.modules}:
        yield
        return
    finder = _NoMatplotlib()
    # Lists of their own: a thread that imports something meanwhile walks along the one that it has.
    sys.meta_path = [finder, *sys.meta_path]
    try:
        yield
    finally:
        sys.meta_path = [one for one in sys.meta_path if one is not finder]
    for module, name, imported in _GALLERIES:
        home = sys.modules.get(f"keras.src.visualization.{module}")
        if home is not None and getattr(home, name, home) is None:
            setattr(home, name, _Later(imported))


class _NoMatplotlib:
    """Has matplotlib look as if it were not installed, to the thread that made this alone."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Leaves a module to other finders.

        Raises:
            ModuleNotFoundError: it is matplotlib, or in it.
        """
        if name.partition(".")[0] == "matplotlib" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Keeps Python from looking for garbage in a block whose objects stay.

    Six times it would look through all that TensorFlow and Keras consist of, a quarter of the time
    that they take to import.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Later:
    """A module that is imported when something in it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def import_openvino() -> Any:
    """Imports OpenVINO without its telemetry, and returns it.

    That would report each import and conversion to Google Analytics, from dozens of processes that
    it forks for it. A program that has imported the telemetry itself keeps it.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # not installed
    import openvino

    # Its table of types is made at the first use, and where two threads come to it at once, each
    # waits for the other for ever: one for the table, which holds Python's lock, one for that lock.
    with _OPENVINO:
        openvino.Type.f32.to_dtype()
    return openvino


@contextlib.contextmanager
def float32_layers() -> Iterator[None]:
    """Has Keras make layers that compute in float32, whatever policy the user set for others.

    What this package promises of its models' numbers holds for float32 alone.
    """
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _check_backend(name: str) -> None:
    if name != "tensorflow":
        raise UserError(
            f"Expected Keras to run on TensorFlow. Received: {name}. Set KERAS_BACKEND=tensorflow"
            " before Python starts."
        )


@contextlib.contextmanager
def quiet_retracing() -> Iterator[None]:
    """Holds back TensorFlow's warnings in the block: it takes many heads for one that is retraced.

    An experiment trains many, and each is a function of its own.
    """
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def untuned(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns a dataset whose parallelism and buffer sizes stay as they were set.

    Stopping the autotuning at the end of a dataset takes up to 0.6 s.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


# What drivers of GPUs that TensorFlow can use have on Linux: of Nvidia, its small boards, AMD, WSL.
_GPU_DEVICES = ("nvidia[0-9]*", "nvhost*", "kfd", "dxg")


def gpu_may_be_there() -> bool:
    """Returns False where there is surely no GPU for TensorFlow, found out without starting it."""
    if sys.platform != "linux":
        return True
    return any(next(Path("/dev").glob(name), None) for name in _GPU_DEVICES)


def gpu_is_visible() -> bool:
    """Returns whether TensorFlow sees a GPU that it may use."""
    if "tensorflow" not in sys.modules and not gpu_may_be_there():
        return False
    import tensorflow as tf

    return bool(tf.config.get_visible_devices("GPU"))


def on_device(device: str) -> contextlib.AbstractContextManager:
    """Returns a scope in which this thread computes on a device, for processes that use several.

    Args:
        device: "cpu"; "gpu" and "auto" leave the choice to TensorFlow, which prefers a GPU.
    """
    import tensorflow as tf

    return tf.device("/CPU:0") if device == "cpu" else contextlib.nullcontext()


def choose_device(device: str) -> None:
    """Selects the device that TensorFlow computes on.

    Args:
        device: "cpu" hides the GPUs from this process, "gpu" requires one, "auto" does neither.

    Raises:
        UserError: when there is no GPU for "gpu", or TensorFlow already uses one for "cpu".
    """
    import tensorflow as tf

    if device == "gpu" and not gpu_is_visible():
        raise UserError(
            "Expected a GPU for `device='gpu'`. TensorFlow sees none here; use `device='cpu'` or"
            " `device='auto'`."
        )
    if device == "cpu" and gpu_is_visible():
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise UserError(
                "`device='cpu'` came too late: TensorFlow uses the GPU in this process already."
            ) from None
