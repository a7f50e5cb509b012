"""Files that are no model which is read are recognised, and the way to one is said, in one line."""

import collections
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from xferlearn.cli import main
from xferlearn.errors import UserError
from xferlearn.inspection import inspect_model


def zipped(**members):
    """A zip archive; `__` stands for `/` and `_dot_` for `.` in the members' names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return packed.getvalue()


def array(save, value):
    held = io.BytesIO()
    save(held, value)
    return held.getvalue()


def tarred():
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pb"))
    return held.getvalue()


def block(number, body):
    assert len(body) < 128
    key = number << 3 | 2
    return bytes([key & 127 | 128, key >> 7] if key > 127 else [key]) + bytes([len(body)]) + body


WEIGHTS = collections.OrderedDict(weight=[1.0, 2.0], bias=[0.5])
TORCH = zipped(best__data_dot_pkl=pickle.dumps(WEIGHTS), best__version="3")
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
SAFETENSORS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(4)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 5000000\n"
TABLE = bytes(200) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
ENGINE = struct.pack("<I", 90) + json.dumps({"author": "Ultralytics", "names": {"0": "a"}}).encode()
NET = b"[net]\nbatch=1\nwidth=224\n\n[convolutional]\nfilters=32\n"
CAFFE_TEXT = b'name: "CaffeNet"\nlayer {\n  name: "data"\n  type: "Input"\n}\n'
SAVED_MODEL_TEXT = b"saved_model_schema_version: 1\nmeta_graphs {\n  meta_info_def {\n  }\n}\n"
LABEL_MAP = b"item {\n  id: 1\n  name: 'cat'\n}\n"
TRITON = b'name: "flowers"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n'
PIR = b'{"base_code":{"magic":"pir","version":1},"program":{"regions":[]}}'

# File name, content, what it is said to be, and a part of the way out.
FILES = [
    ("best.pt", TORCH, "a PyTorch checkpoint", "torch.onnx.export"),
    ("no_ending", TORCH, "a PyTorch checkpoint", "torch.onnx.export"),
    ("pytorch_model.bin", TORCH, "a PyTorch checkpoint", "torch.onnx.export"),
    ("old.pth", LEGACY_TORCH + bytes(20), "a PyTorch checkpoint", "torch.onnx.export"),
    ("yolo.pt", zipped(yolo__data_dot_pkl=b"\x80\x02cultralytics.nn.tasks\nM\n."),
     "an Ultralytics checkpoint", "yolo export model=FILE format=onnx"),
    ("script.pt", zipped(m__data_dot_pkl=b"\x80\x02}.", m__code____torch___dot_py="x"),
     "a TorchScript model", "torch.jit.load"),
    ("net.mar", zipped(**{"MAR-INF__MANIFEST_dot_json": "{}"}), "TorchServe", "torch.onnx.export"),
    ("w.safetensors", SAFETENSORS, "a safetensors file", "optimum-cli export onnx"),
    ("llama.gguf", b"GGUF" + bytes(60), "a GGUF or GGML file", "llama.cpp"),
    ("net.pte", b"\x30\0\0\0ET12" + bytes(60), "an ExecuTorch program", "torch.onnx.export"),
    ("net.ort", b"\x30\0\0\0ORTM" + bytes(60), "ONNX Runtime's own format", ".onnx file"),
    ("net.mlmodel", bytes([8, 1, 0x12, 3]) + b"\x0a\x01x" + block(500, b"\x0a\0"),
     "a Core ML model", "ONNX or TFLite"),
    ("net.caffemodel", block(1, b"CaffeNet") + block(100, b"\x0a\x04conv"), "Caffe", "caffe2onnx"),
    ("net.pdmodel", block(1, b"\x08\0\x10\0") + block(4, b"\x08\1"), "PaddlePaddle", "paddle2onnx"),
    ("inference.json", PIR, "a PaddlePaddle network", "paddle2onnx"),
    ("net.pdiparams", bytes(64), "PaddlePaddle weights", "paddle2onnx"),
    ("deploy.prototxt", CAFFE_TEXT, "a Caffe network", "caffe2onnx"),
    ("yolo.cfg", b"# a comment\n" + NET, "a Darknet network", ".weights"),
    ("yolo.weights", struct.pack("<3iq", 0, 2, 5, 32013312) + bytes(64), "Darknet", ".cfg"),
    ("net.engine", b"ftrt" + bytes(64), "a TensorRT engine", "the ONNX file"),
    ("best.engine", ENGINE + bytes(90), "a TensorRT engine of Ultralytics", "format=onnx"),
    ("w.npy", array(np.save, np.zeros(3)), "a NumPy array", "no network"),
    ("w.npz", array(np.savez, np.zeros(3)), "an archive of NumPy arrays", "no network"),
    ("model.ckpt-7.index", TABLE, "the index of a TensorFlow checkpoint", "tf.saved_model.save"),
    ("model.ckpt-7.data-00000-of-00001", bytes(99), "weights of a TensorFlow checkpoint", "Sav"),
    ("checkpoint", b'model_checkpoint_path: "model.ckpt-7"\n', "TensorFlow checkpoints", "SavedM"),
    ("saved_model.pbtxt", SAVED_MODEL_TEXT, "a SavedModel as text", "tf.saved_model.load"),
    ("graph.meta.txt", b'meta_info_def {\n}\ngraph_def {\n}\n', "a MetaGraph as text", "Saved"),
    ("label_map.pbtxt", LABEL_MAP, "a detector's list of labels", "give the model"),
    ("config.pbtxt", TRITON, "a configuration of Triton", "1/model.onnx"),
    ("model.onnx", LFS, "a Git LFS pointer", "git lfs pull"),
    ("model.tflite", b"/annex/objects/MD5E-s12--ab.tflite\n", "a git-annex pointer", "git annex"),
    ("flax_model.msgpack", b"\x81\xa6params\x81\xa5dense\x80", "flax weights", "jax2tf.convert"),
    ("weights", b"\x81\xa6params\x81\xa5dense\x80", "flax weights", "jax2tf.convert"),
    ("net.param", b"7767517\n2 2\nInput data 0 1\n", "an ncnn network", "ONNX"),
    ("net-symbol.json", b'{"nodes": [], "arg_nodes": []}', "an MXNet network", "mxnet.onnx"),
    ("model.json", b'{"class_name": "Sequential", "config": {}}', "a Keras model", ".keras file"),
    ("config.json", b'{"architectures": ["ViTModel"]}', "Hugging Face", "optimum-cli"),
    ("model.safetensors.index.json", b'{"metadata": {}, "weight_map": {}}', "an index", "optimum"),
    ("group1-shard1of2.bin", bytes(64), "the weights of a TF.js model", "model.json"),
    ("net.bin", bytes(64), "weights without their network", ".xml"),
    ("net.onnx.data", bytes(64), "the weights that an ONNX file refers to", ".onnx file"),
    ("model.tflite", b"<!DOCTYPE html>\n<html><title>404</title>", "an HTML page", "fetch it"),
    ("model.onnx", b"\n<!-- x --><HTML lang=en>", "an HTML page", "fetch it again"),
    ("model.pb", b"<?xml version='1.0'?><Error/>", "an XML page without a model", "give the model"),
    ("notes.json", b'{"a": 1}', "JSON without a model", "give the model"),
    ("model.pb.gz", gzip.compress(b"x" * 99), "a gzip archive", "gunzip"),
    ("model.tar", tarred(), "a tar archive", "tar xf"),
    ("model.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7z archive", "7z x"),
    ("model.zst", b"\x28\xb5\x2f\xfd" + bytes(40), "a Zstandard archive", "unzstd"),
    ("model.rar", b"Rar!\x1a\x07\0" + bytes(40), "a RAR archive", "unrar"),
    ("model.onnx", b"", "empty", "Expected"),
    ("model.pb", b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG photo", "photos as photos"),
    ("train.py", b"import keras\n", "Python code", "not run"),
    ("model.h5", b"hello, this is no model", "no known format", "Expected"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "kind", "way"), FILES, ids=[f"{r[0]}" for r in FILES])
def test_files_are_recognised(tmp_path, capsys, name, data, kind, way):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        inspect_model(path)
    said = str(caught.value)
    assert said.startswith(f"{path} is ")
    assert kind in said
    assert way in said
    assert "\n" not in said
    # Labelling says the same.
    assert main(["label", f"--model={path}", "photo.jpg"]) == 2
    assert capsys.readouterr().err.strip() == f"xferlearn: {said}"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_recognised_and_not_run(tmp_path, protocol):
    class Harm:
        def __reduce__(self):
            return (io.open, (str(tmp_path / "harm"), "w"))

    for place, value in enumerate(({"a": 1.5, "b": [1, 2]}, [WEIGHTS], WEIGHTS, Harm())):
        path = tmp_path / f"{place}.pb"
        path.write_bytes(pickle.dumps(value, protocol))
        with pytest.raises(UserError, match="is a Python pickle, which runs code when it is read"):
            inspect_model(path)
    assert not (tmp_path / "harm").exists()


FOLDERS = [
    ({"Manifest.json": b"{}", "Data/com.apple.CoreML/model.mlmodel": b"x"}, "a Core ML model", "O"),
    ({"coremldata.bin": b"x", "weights/weight.bin": b"x"}, "a Core ML model", "TFLite"),
    ({"saved_model.pbtxt": SAVED_MODEL_TEXT}, "a SavedModel as text", "tf.saved_model.save"),
    ({"_METADATA": b"{}", "manifest.ocdbt": b"x"}, "a JAX checkpoint (Orbax)", "jax2tf"),
    ({"checkpoint": b"x", "m.index": TABLE}, "a folder of TensorFlow checkpoints", "SavedModel"),
    ({"model.pdmodel": b"x", "model.pdiparams": b"x"}, "a PaddlePaddle model", "paddle2onnx"),
    ({"config.json": b"{}", "model.safetensors": b"x"}, "a Hugging Face model", "optimum-cli"),
    ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "a Hugging Face model", "optimum-cli"),
    ({"model.json": b"{}", "group1-shard1of1.bin": b"x"}, "a folder of TF.js", "model.json"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "kind", "way"), FOLDERS)
def test_folders_are_recognised(tmp_path, files, kind, way):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as caught:
        inspect_model(tmp_path)
    assert kind in str(caught.value)
    assert way in str(caught.value)


def test_weights_beside_their_network(tmp_path):
    (tmp_path / "net.xml").write_text("<net/>")
    (tmp_path / "net.bin").write_bytes(bytes(64))
    with pytest.raises(UserError, match=r"OpenVINO network: give the \.xml beside it"):
        inspect_model(tmp_path / "net.bin")
