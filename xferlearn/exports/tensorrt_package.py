"""TensorRT engines by way of the tensorrt package and the CUDA runtime library, without trtexec."""

import ctypes
import ctypes.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.errors import XferlearnError

_TO_DEVICE, _TO_HOST = 1, 2


def build_engine(
    onnx: Path, engine: Path, half: bool, batches: tuple[int, int, int], image_size: int
) -> None:
    """Builds an engine from an ONNX file.

    Args:
        onnx: the file, with an input `image`, [batch, image_size, image_size, 3].
        engine: the file to write.
        half: compute in float16 where that is faster; else in float32 without TF32.
        batches: smallest, usual and largest batch.
        image_size: px.

    Raises:
        XferlearnError: TensorRT can't read the file or build from it.
    """
    import tensorrt

    builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, tensorrt.Logger(tensorrt.Logger.ERROR))
    if not parser.parse(onnx.read_bytes()):
        raise XferlearnError(f"TensorRT can't read {onnx.name}: {parser.get_error(0)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", *((batch, image_size, image_size, 3) for batch in batches))
    config.add_optimization_profile(profile)
    if half:
        config.set_flag(tensorrt.BuilderFlag.FP16)
    else:
        config.clear_flag(tensorrt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise XferlearnError(f"TensorRT can't build an engine from {onnx.name}.")
    engine.write_bytes(plan)


def open_engine(engine: Path, classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an engine and returns it as a function of uint8 pixels.

    Args:
        engine: as `build_engine` writes it.
        classes: number of scores a photo.

    Raises:
        XferlearnError: it can't be loaded on this GPU.
    """
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    loaded = runtime.deserialize_cuda_engine(engine.read_bytes())
    if loaded is None:
        raise XferlearnError(f"TensorRT can't load {engine.name} on this GPU.")
    context = loaded.create_execution_context()
    cuda = _cuda()

    def run(pixels: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(pixels, np.float32)
        scores = np.empty((len(pixels), classes), np.float32)
        with _Memory(cuda, values.nbytes) as fed, _Memory(cuda, scores.nbytes) as answered:
            _check(cuda.cudaMemcpy(fed.at, values.ctypes.data, values.nbytes, _TO_DEVICE))
            context.set_input_shape("image", values.shape)
            context.set_tensor_address("image", fed.at.value)
            context.set_tensor_address("probabilities", answered.at.value)
            if not context.execute_async_v3(0):
                raise XferlearnError("TensorRT can't run the engine.")
            _check(cuda.cudaDeviceSynchronize())
            _check(cuda.cudaMemcpy(scores.ctypes.data, answered.at, scores.nbytes, _TO_HOST))
        return scores

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
    """A piece of the GPU's memory, freed at the end of the block."""

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
