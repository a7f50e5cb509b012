"""TensorRT engines from an ONNX file, in float32 and float16, by trtexec or the tensorrt package.

An engine runs only on the kind of GPU and with the version of TensorRT that built it, so the ONNX
file and the commands that build engines from it are always written beside it. `trtexec` comes with
NVIDIA's TensorRT and its containers; where it is not found, the tensorrt package is used with the
CUDA runtime library.
"""

import contextlib
import ctypes
import ctypes.util
import dataclasses
import functools
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.exports.onnx_files import ONNX_FILE
from xferlearn.exports.outputs import PROBABILITIES
from xferlearn.model_folder import FAMILIARITY, ModelFolder
from xferlearn.photos.pixels.decoding import BATCH_SIZE
from xferlearn.predictors import Answers, Predictor, model_folder_resize
from xferlearn.system.text import one_line

# What an engine gives for some photos, [photos, ...], by the output's name.
Outputs = dict[str, np.ndarray]

COMMANDS_FILE = "build_engines.sh"
# Smallest, usual and largest batch that an engine takes.
BATCHES = (1, 8, BATCH_SIZE)
# TF32, which float32 convolutions are computed in by default, keeps ten bits of each number.
_FLAGS = {"fp32": "--noTF32", "fp16": "--fp16"}
_BUILD_SECONDS = 3600
# Of cudaMemcpy.
_TO_DEVICE, _TO_HOST = 1, 2


class NotBuilt(XferlearnError):
    """Engines can't be built here; the ONNX file and the commands are still written."""

    def advice(self, folder: Path) -> str:
        """Returns the reason, and the command to run where TensorRT is installed."""
        command = shlex.join(trtexec_command(Path(ONNX_FILE), "fp16", self.image_size))
        return f"not built: {self}. On the GPU machine: cd {shlex.quote(str(folder))} && {command}"

    def __init__(self, reason: str, image_size: int) -> None:
        super().__init__(reason)
        self.image_size = image_size


@dataclasses.dataclass(frozen=True)
class EngineFile:
    """One engine that was built.

    Attributes:
        load: opens it.
        measure: returns its latency in ms and photos per second; None where calls of the
            predictor can be timed.
    """

    load: Callable[[], Predictor]
    measure: Callable[[], tuple[float | None, float | None]] | None


def trtexec_command(onnx: Path, precision: str, image_size: int) -> list[str]:
    """Returns the command that builds an engine beside an ONNX file.

    Args:
        onnx: the file.
        precision: "fp32" or "fp16".
        image_size: side in px of the square that the network sees.
    """
    shapes = zip(("min", "opt", "max"), BATCHES, strict=True)
    return [
        "trtexec",
        f"--onnx={onnx}",
        f"--saveEngine={_engine_path(onnx, precision)}",
        *(f"--{which}Shapes={_shape(batch, image_size)}" for which, batch in shapes),
        _FLAGS[precision],
        "--skipInference",
    ]


def _shape(batch: int, image_size: int) -> str:
    return f"image:{batch}x{image_size}x{image_size}x3"


def engine_builders(onnx: Path, model_folder: ModelFolder) -> dict[Path, Callable[[], EngineFile]]:
    """Writes the commands beside an ONNX file; nothing is built yet.

    Args:
        onnx: as `write_onnx` writes it.
        model_folder: the model folder.

    Returns:
        For each file, `model_<precision>.engine`, the function that builds it. The function
        raises XferlearnError when that fails.

    Raises:
        NotBuilt: neither trtexec nor the tensorrt package is installed.
    """
    commands = [trtexec_command(Path(onnx.name), one, model_folder.image_size) for one in _FLAGS]
    lines = ["#!/bin/sh", "set -e", *map(shlex.join, commands)]
    (onnx.parent / COMMANDS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    trtexec = shutil.which("trtexec")
    if trtexec is None and importlib.util.find_spec("tensorrt") is None:
        raise NotBuilt(
            "neither trtexec nor the tensorrt package is installed (pip install"
            ' "xferlearn[tensorrt]", with an NVIDIA GPU)',
            model_folder.image_size,
        )
    return {
        _engine_path(onnx, precision): functools.partial(
            _build, trtexec, onnx, precision, model_folder
        )
        for precision in _FLAGS
    }


def _build(
    trtexec: str | None, onnx: Path, precision: str, model_folder: ModelFolder
) -> EngineFile:
    engine = _engine_path(onnx, precision)
    if trtexec is None:
        _build_with_package(onnx, engine, precision == "fp16", model_folder.image_size)
        return EngineFile(_opener(engine, model_folder), None)
    _run([trtexec, *trtexec_command(onnx, precision, model_folder.image_size)[1:]])
    runner = _Trtexec(trtexec, engine, model_folder)
    return EngineFile(runner.predictor, runner.measure)


def _engine_path(onnx: Path, precision: str) -> Path:
    return onnx.with_name(f"model_{precision}.engine")


def _opener(engine: Path, model_folder: ModelFolder) -> Callable[[], Predictor]:
    return lambda: _predictor(model_folder, _open_with_package(engine, _widths(model_folder)))


def _widths(model_folder: ModelFolder) -> dict[str, int]:
    """Returns how many numbers each output of an engine gives per photo."""
    second = {FAMILIARITY: 1} if FAMILIARITY in model_folder.metadata else {}
    return {PROBABILITIES: len(model_folder.labels), **second}


def _predictor(model_folder: ModelFolder, run: Callable[[np.ndarray], Outputs]) -> Predictor:
    size = model_folder.image_size

    def answer(pixels: np.ndarray) -> Answers:
        found = run(pixels)
        familiarity = found[FAMILIARITY][:, 0] if FAMILIARITY in found else None
        return Answers(found[PROBABILITIES], familiarity)

    return Predictor(
        model_folder.labels,
        size,
        size,
        model_folder_resize(model_folder),
        answer,
        metadata=model_folder.metadata,
    )


def _run(command: list[str]) -> str:
    """Runs trtexec and returns what it prints."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise XferlearnError(f"{shlex.join(command)} can't be run: {one_line(error)}") from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "[E]" in line] or [done.stdout]
        raise XferlearnError(
            f"trtexec failed ({done.returncode}): {one_line(errors[0].strip()[-200:])}"
        )
    return done.stdout


@dataclasses.dataclass(frozen=True)
class _Trtexec:
    """Runs an engine with trtexec, which reads photos from a file and writes answers to one."""

    trtexec: str
    engine: Path
    model_folder: ModelFolder

    def predictor(self) -> Predictor:
        return _predictor(self.model_folder, self.run)

    def run(self, pixels: np.ndarray) -> Outputs:
        with tempfile.TemporaryDirectory() as folder:
            fed, answered = Path(folder) / "image.bin", Path(folder) / "answer.json"
            pixels.astype("<f4").tofile(fed)
            shape = _shape(len(pixels), self.model_folder.image_size)
            _run(
                [
                    self.trtexec,
                    f"--loadEngine={self.engine}",
                    f"--shapes={shape}",
                    f"--loadInputs=image:{fed}",
                    f"--exportOutput={answered}",
                    *("--iterations=1", "--warmUp=0", "--duration=0"),
                ]
            )
            outputs: list[dict[str, Any]] = json.loads(answered.read_text(encoding="utf-8"))
        values = {one["name"]: np.asarray(one["values"], np.float32) for one in outputs}
        widths = _widths(self.model_folder)
        return {name: values[name].reshape(len(pixels), width) for name, width in widths.items()}

    def measure(self) -> tuple[float | None, float | None]:
        """Returns median latency of one photo, ms, and photos per second of 32, by trtexec."""
        size = self.model_folder.image_size
        one, many = (
            _run([self.trtexec, f"--loadEngine={self.engine}", f"--shapes={_shape(batch, size)}"])
            for batch in (1, BATCH_SIZE)
        )
        latency = re.search(r"Latency: .*?median = ([0-9.]+) ms", one)
        rate = re.search(r"Throughput: ([0-9.]+) qps", many)
        return (
            float(latency[1]) if latency else None,
            float(rate[1]) * BATCH_SIZE if rate else None,
        )


def _build_with_package(onnx: Path, engine: Path, half: bool, image_size: int) -> None:
    """Builds an engine in float16 where that is faster, else in float32 without TF32."""
    import tensorrt

    builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, tensorrt.Logger(tensorrt.Logger.ERROR))
    if not parser.parse(onnx.read_bytes()):
        raise XferlearnError(f"TensorRT can't read {onnx.name}: {parser.get_error(0)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", *((batch, image_size, image_size, 3) for batch in BATCHES))
    config.add_optimization_profile(profile)
    if half:
        config.set_flag(tensorrt.BuilderFlag.FP16)
    else:
        config.clear_flag(tensorrt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise XferlearnError(f"TensorRT can't build an engine from {onnx.name}.")
    engine.write_bytes(plan)


def _open_with_package(engine: Path, widths: dict[str, int]) -> Callable[[np.ndarray], Outputs]:
    """Loads an engine with some outputs; returns it as a function of uint8 pixels."""
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    loaded = runtime.deserialize_cuda_engine(engine.read_bytes())
    if loaded is None:
        raise XferlearnError(f"TensorRT can't load {engine.name} on this GPU.")
    context = loaded.create_execution_context()
    cuda = _cuda()

    def run(pixels: np.ndarray) -> Outputs:
        values = np.ascontiguousarray(pixels, np.float32)
        given = {name: np.empty((len(pixels), n), np.float32) for name, n in widths.items()}
        with contextlib.ExitStack() as memory:
            at = {
                name: memory.enter_context(_Memory(cuda, array.nbytes)).at
                for name, array in {"image": values, **given}.items()
            }
            _check(cuda.cudaMemcpy(at["image"], values.ctypes.data, values.nbytes, _TO_DEVICE))
            context.set_input_shape("image", values.shape)
            for name, place in at.items():
                context.set_tensor_address(name, place.value)
            if not context.execute_async_v3(0):
                raise XferlearnError("TensorRT can't run the engine.")
            _check(cuda.cudaDeviceSynchronize())
            for name, array in given.items():
                _check(cuda.cudaMemcpy(array.ctypes.data, at[name], array.nbytes, _TO_HOST))
        return given

    return run


def _cuda() -> Any:
    name = ctypes.util.find_library("cudart")
    if name is None:
        raise XferlearnError("The CUDA runtime library (libcudart) is not installed.")
    cuda = ctypes.CDLL(name)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    cuda.cudaMalloc.argtypes = [ctypes.POINTER(pointer), size]
    cuda.cudaMemcpy.argtypes = [pointer, pointer, size, ctypes.c_int]
    cuda.cudaFree.argtypes = [pointer]
    return cuda


class _Memory:
    """Memory of the GPU, freed at the end of the block."""

    def __init__(self, cuda: Any, size: int) -> None:
        self._cuda = cuda
        self.at = ctypes.c_void_p()
        _check(cuda.cudaMalloc(ctypes.byref(self.at), size))

    def __enter__(self) -> "_Memory":
        return self

    def __exit__(self, *_: object) -> None:
        self._cuda.cudaFree(self.at)


def _check(code: int) -> None:
    if code:
        raise XferlearnError(f"CUDA failed with error {code}.")
