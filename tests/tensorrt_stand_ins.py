"""A trtexec and a tensorrt package that run the ONNX file itself, with ONNX Runtime."""

import importlib.machinery
import stat
import sys
import types

import numpy as np

TRTEXEC = """#!{python}
import json, shutil, sys
import numpy as np
flags = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
if "onnx" in flags:
    if {broken!r} == "build" or "fp16" in flags and {broken!r} == "fp16":
        sys.exit("[E] Error[9]: no kernel for this GPU")
    assert flags["minShapes"] == "image:1x32x32x3" and flags["maxShapes"] == "image:32x32x32x3"
    assert ("fp16" in flags) == ("fp16" in flags["saveEngine"])
    shutil.copyfile(flags["onnx"], flags["saveEngine"])
elif "loadInputs" in flags:
    import onnxruntime
    shape = [int(size) for size in flags["shapes"].partition(":")[2].split("x")]
    image = np.fromfile(flags["loadInputs"].partition(":")[2], "<f4").reshape(shape)
    with open(flags["loadEngine"], "rb") as file:
        session = onnxruntime.InferenceSession(file.read())
    answers = session.run(None, {{"image": image}})
    if {broken!r} == "answers" and "fp16" in flags["loadEngine"]:
        answers[0] = answers[0][:, ::-1]
    told = [
        {{"name": one.name, "dimensions": "x", "values": answer.ravel().tolist()}}
        for one, answer in zip(session.get_outputs(), answers)
    ]
    with open(flags["exportOutput"], "w") as file:
        json.dump(told, file)
else:
    print("[I] Throughput: 500.5 qps")
    print("[I] Latency: min = 1 ms, max = 3 ms, mean = 2 ms, median = 1.25 ms, percentile(90%) = 2")
"""


def install_trtexec(folder, broken=""):
    """Writes a program called trtexec into a new folder, and returns the folder."""
    folder.mkdir()
    program = folder / "trtexec"
    program.write_text(TRTEXEC.format(python=sys.executable, broken=broken))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


class FakeCuda:
    """The CUDA runtime's few functions, on the host's memory."""

    def __init__(self):
        self.held = {}

    def cudaMalloc(self, place, size):
        import ctypes

        block = ctypes.create_string_buffer(size)
        address = ctypes.addressof(block)
        place._obj.value = address
        self.held[address] = block
        return 0

    def cudaMemcpy(self, target, source, size, kind):
        import ctypes

        ctypes.memmove(target, source, size)
        return 0

    def cudaFree(self, place):
        del self.held[place.value]
        return 0

    def cudaDeviceSynchronize(self):
        return 0


def fake_tensorrt():
    """The parts of the tensorrt package that are used; its engines are ONNX files."""
    import ctypes

    import onnxruntime

    module = types.ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    module.flags = []

    class Logger:
        ERROR = 1

        def __init__(self, level):
            pass

    class BuilderFlag:
        FP16, TF32 = "FP16", "TF32"

    class Profile:
        def set_shape(self, name, smallest, usual, largest):
            assert (name, smallest, largest) == ("image", (1, 32, 32, 3), (32, 32, 32, 3))

    class BuilderConfig:
        def add_optimization_profile(self, profile):
            assert isinstance(profile, Profile)

        def set_flag(self, flag):
            module.flags.append(flag)

        def clear_flag(self, flag):
            module.flags.append(f"no {flag}")

    class Builder:
        def __init__(self, logger):
            pass

        def create_network(self, flags):
            return types.SimpleNamespace()

        def create_builder_config(self):
            return BuilderConfig()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            return network.onnx

    class OnnxParser:
        def __init__(self, network, logger):
            self.network = network

        def parse(self, data):
            self.network.onnx = data
            return True

    class Context:
        def __init__(self, data):
            self.session = onnxruntime.InferenceSession(data)
            self.addresses = {}

        def set_input_shape(self, name, shape):
            self.shape = shape

        def set_tensor_address(self, name, address):
            self.addresses[name] = address

        def execute_async_v3(self, stream):
            count = int(np.prod(self.shape))
            fed = (ctypes.c_float * count).from_address(self.addresses["image"])
            image = np.frombuffer(fed, np.float32).reshape(self.shape)
            answers = self.session.run(None, {"image": image})
            for one, answer in zip(self.session.get_outputs(), answers, strict=True):
                ctypes.memmove(self.addresses[one.name], answer.ctypes.data, answer.nbytes)
            return True

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, data):
            return types.SimpleNamespace(create_execution_context=lambda: Context(data))

    for one in (Logger, BuilderFlag, Builder, OnnxParser, Runtime):
        setattr(module, one.__name__, one)
    return module
