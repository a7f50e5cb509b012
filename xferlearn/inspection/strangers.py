"""Files and folders of kinds that are not read: what each is, and the way to a model that is.

Each is told by its content; where content can't tell, by its name. Nothing is unpickled or run.
"""

from dataclasses import dataclass

from xferlearn.inspection.content import Content
from xferlearn.inspection.signs import (
    Sign,
    all_keys,
    any_field,
    any_key,
    archive,
    folder,
    has_network_beside,
    holds,
    is_caffe,
    is_caffe_text,
    is_core_ml,
    is_core_ml_folder,
    is_darknet_weights,
    is_keras_architecture,
    is_msgpack,
    is_numpy_archive,
    is_paddle,
    is_safetensors,
    is_script,
    is_shard,
    is_text_saved_model,
    is_tfjs_archive,
    is_tfjs_shard,
    is_torch,
    is_ultralytics,
    is_ultralytics_engine,
    matches,
    named,
    pickled_with,
    starts,
)
from xferlearn.inspection.source import ModelSource

# The end of LevelDB's tables, which TensorFlow's checkpoints are.
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"

# Ways to a model that is read. One that starts with "which" goes on with the sentence.
_TORCH = (
    "its network is Python code, so export it there:"
    ' torch.onnx.export(model.eval(), torch.zeros(1, 3, HEIGHT, WIDTH), "model.onnx")'
)
_CHECKPOINT = (
    "which has weights and no network to run: load it where it was trained, and write a SavedModel"
    " with model.export or tf.saved_model.save"
)
_PADDLE = (
    "convert it: paddle2onnx --model_dir DIR --model_filename MODEL --params_filename PARAMS"
    " --save_file model.onnx"
)
_CAFFE = "convert network and weights (.prototxt and .caffemodel) to ONNX, e.g. with caffe2onnx"
_DARKNET = "convert network and weights (.cfg and .weights) to ONNX"
_HUGGING_FACE = "convert its folder: optimum-cli export onnx --model DIR OUT; then give model.onnx"
_CORE_ML = "which Apple's tools alone run: give what it was converted from, or ONNX or TFLite of it"
_JAX = (
    "which has weights and no network: where the network's code is, write a SavedModel with"
    " jax2tf.convert and tf.saved_model.save"
)
_TENSORRT = "which TensorRT alone reads: give the ONNX file that it was built from"
_NO_NETWORK = "which has numbers and no network: give the model"
_PHOTO = "give the model here, and photos as photos"
_NOT_A_MODEL = "give the model"


@dataclass(frozen=True)
class Stranger:
    """One kind of file or folder that is not read.

    Attributes:
        title: what it is, with its article.
        way: how to get a model that is read, in words or as a command.
        is_it: returns whether a file or folder is of this kind.
    """

    title: str
    way: str
    is_it: Sign


# Looked for before the formats that are read; the first that fits counts.
BY_CONTENT: tuple[Stranger, ...] = (
    Stranger(
        "a Git LFS pointer",
        "fetch the file that it stands for: git lfs pull",
        starts(b"version https://git-lfs.", b"version https://hawser."),
    ),
    Stranger(
        "a git-annex pointer",
        "fetch the file that it stands for: git annex get FILE",
        matches(r"(\.\./)*(/|\.git/)annex/objects/"),
    ),
    Stranger(
        "a TorchScript model",
        "load it with torch.jit.load, and export it with torch.onnx.export to ONNX",
        is_script,
    ),
    Stranger(
        "an Ultralytics checkpoint for PyTorch",
        "export it: yolo export model=FILE format=onnx",
        is_ultralytics,
    ),
    Stranger("a PyTorch checkpoint", _TORCH, is_torch),
    Stranger(
        "a program of torch.export",
        "load it with torch.export.load, and export it with torch.onnx.export to ONNX",
        archive("serialized_exported_program.json", "archive_format"),
    ),
    Stranger(
        "an archive of TorchServe",
        "unzip it, and export the checkpoint in it with torch.onnx.export to ONNX",
        archive("MAR-INF/MANIFEST.json"),
    ),
    Stranger(
        "a TF.js model in a zip archive",
        "which runs in browsers and Node.js: in Teachable Machine, export the model as Keras or"
        " TFLite instead, and give that archive; elsewhere, give what it was converted from",
        is_tfjs_archive,
    ),
    Stranger("an archive of NumPy arrays", _NO_NETWORK, is_numpy_archive),
    Stranger("a PyTorch checkpoint", _TORCH, pickled_with(b"torch", _TORCH_MAGIC)),
    Stranger("PaddlePaddle weights", _PADDLE, pickled_with(b"StructuredToParameterName@@")),
    Stranger(
        "a Python pickle",
        "which runs code when it is read: where it was made, write the model as ONNX, e.g. with"
        " torch.onnx.export or skl2onnx",
        lambda one: one.is_pickle,
    ),
    Stranger(
        "a safetensors file",
        "which has weights and no network: export the model where its code is, e.g. with"
        " torch.onnx.export, or optimum-cli export onnx --model DIR OUT",
        is_safetensors,
    ),
    Stranger(
        "a GGUF or GGML file",
        "which has a language model's weights for llama.cpp: give an image classifier",
        starts(b"GGUF", b"lmgg", b"tjgg", b"fmgg"),
    ),
    Stranger("an ExecuTorch program", _TORCH, holds(4, b"ET12", b"ET11")),
    Stranger(
        "a model in ONNX Runtime's own format",
        "give the .onnx file that it was made from",
        holds(4, b"ORTM"),
    ),
    Stranger("a Core ML model", _CORE_ML, is_core_ml),
    Stranger("a Core ML model", _CORE_ML, is_core_ml_folder),
    Stranger("the weights of a Caffe network", _CAFFE, is_caffe),
    Stranger("a PaddlePaddle network", _PADDLE, is_paddle),
    Stranger("a PaddlePaddle network", _PADDLE, all_keys("base_code", "program")),
    Stranger("a TensorRT engine", _TENSORRT, starts(b"ftrt", b"ptrt")),
    Stranger(
        "a TensorRT engine of Ultralytics",
        "which TensorRT alone reads: yolo export model=FILE.pt format=onnx writes ONNX",
        is_ultralytics_engine,
    ),
    Stranger("a NumPy array", _NO_NETWORK, starts(b"\x93NUMPY")),
    Stranger("a MATLAB file", "export the network there to ONNX", starts(b"MATLAB 5.0 MAT-file")),
    Stranger(
        "the index of a TensorFlow checkpoint",
        _CHECKPOINT,
        lambda one: one.tail.endswith(_TABLE_END),
    ),
    Stranger(
        "a list of TensorFlow checkpoints",
        _CHECKPOINT,
        any_field("model_checkpoint_path", "all_model_checkpoint_paths"),
    ),
    Stranger(
        "a SavedModel as text",
        "load its folder with tf.saved_model.load, and save it with tf.saved_model.save",
        any_field("saved_model_schema_version", "meta_graphs"),
    ),
    Stranger(
        "a SavedModel as text",
        "load it with tf.saved_model.load, and save it with tf.saved_model.save",
        is_text_saved_model,
    ),
    Stranger("a MetaGraph as text", _CHECKPOINT, any_field("meta_info_def", "graph_def")),
    Stranger("a detector's list of labels", _NOT_A_MODEL, any_field("item")),
    Stranger(
        "an ONNX model as text",
        'write it as binary: onnx.save(onnx.load(FILE, format="textproto"), "model.onnx")',
        any_field("ir_version", "opset_import"),
    ),
    Stranger(
        "a configuration of TensorFlow's detectors",
        "give the exported saved_model folder",
        any_field("train_config", "train_input_reader"),
    ),
    Stranger(
        "a configuration of Triton",
        "give the model in the folder of its version, e.g. 1/model.onnx",
        any_field("platform", "backend", "max_batch_size", "instance_group"),
    ),
    Stranger("a Caffe network", _CAFFE, is_caffe_text),
    Stranger("a Caffe training configuration", _CAFFE, any_field("base_lr", "lr_policy")),
    Stranger("a Darknet network", _DARKNET, matches(r"(?:[#;][^\n]*\n|\s)*\[(net|network)\]")),
    Stranger("Darknet weights", _DARKNET, is_darknet_weights),
    Stranger("an ncnn network", "give the ONNX file that it was made from", starts(b"7767517")),
    Stranger(
        "an MXNet network",
        "export network and weights to ONNX with mxnet.onnx.export_model",
        all_keys("nodes", "arg_nodes"),
    ),
    Stranger(
        "the architecture of a Keras model",
        "which has no weights: give the .keras file",
        is_keras_architecture,
    ),
    Stranger(
        "an index of weights in several files",
        "which has no network: " + _HUGGING_FACE,
        all_keys("weight_map"),
    ),
    Stranger(
        "the configuration of a Hugging Face model",
        _HUGGING_FACE,
        any_key("architectures", "model_type", "pretrained_cfg", "image_processor_type"),
    ),
    Stranger("flax weights (msgpack)", _JAX, is_msgpack),
    Stranger(
        "an HTML page",
        "a download may have given an error or a login page in place of the file; fetch it again",
        matches(r"(<!--.*?-->\s*)*<(!doctype html|html|head|body)"),
    ),
    Stranger("a gzip archive", "unpack it first: tar xzf FILE or gunzip FILE", starts(b"\x1f\x8b")),
    Stranger("a bzip2 archive", "unpack it first: tar xjf FILE or bunzip2 FILE", starts(b"BZh")),
    Stranger(
        "an xz archive", "unpack it first: tar xJf FILE or unxz FILE", starts(b"\xfd7zXZ\x00")
    ),
    Stranger("a Zstandard archive", "unpack it first: unzstd FILE", starts(b"\x28\xb5\x2f\xfd")),
    Stranger("a 7z archive", "unpack it first: 7z x FILE", starts(b"7z\xbc\xaf\x27\x1c")),
    Stranger("a RAR archive", "unpack it first: unrar x FILE", starts(b"Rar!\x1a\x07")),
    Stranger("a tar archive", "unpack it first: tar xf FILE", holds(257, b"ustar")),
    Stranger("a JPEG photo", _PHOTO, starts(b"\xff\xd8\xff")),
    Stranger("a PNG image", _PHOTO, starts(b"\x89PNG")),
    Stranger("a GIF image", _PHOTO, starts(b"GIF8")),
    Stranger("a TIFF image", _PHOTO, starts(b"II*\x00", b"MM\x00*")),
    Stranger("a WebP image", _PHOTO, holds(8, b"WEBP")),
    Stranger("a HEIC or AVIF image, or a video", _PHOTO, holds(4, b"ftyp")),
    Stranger("a PDF", _NOT_A_MODEL, starts(b"%PDF")),
    Stranger("a program", _NOT_A_MODEL, starts(b"\x7fELF", b"MZ\x90", b"\xcf\xfa\xed\xfe")),
    Stranger("a table (Parquet or Arrow)", _NOT_A_MODEL, starts(b"PAR1", b"ARROW1")),
    Stranger(
        "a model compiled for one chip",
        "give the model that it was compiled from",
        starts(b"RKNN", b"\x01HEF"),
    ),
)

# Looked for where no format that is read fits, as these names may belong to other things too.
BY_NAME: tuple[Stranger, ...] = (
    Stranger("a folder of TF.js", "give the model.json in it", folder("model.json")),
    Stranger("a JAX checkpoint (Orbax)", _JAX, folder("_METADATA", "manifest.ocdbt")),
    Stranger("a PaddlePaddle model", _PADDLE, folder(".pdmodel", ".pdiparams", "__model__")),
    Stranger(
        "a Hugging Face model",
        _HUGGING_FACE,
        folder(".safetensors", "pytorch_model.bin", ".safetensors.index.json"),
    ),
    Stranger("a folder of TensorFlow checkpoints", _CHECKPOINT, folder("checkpoint", ".index")),
    Stranger("the weights of a TensorFlow checkpoint", _CHECKPOINT, is_shard),
    Stranger(
        "the weights of an OpenVINO network",
        "give the .xml beside it, which has the network",
        has_network_beside,
    ),
    Stranger("the weights of a TF.js model", "give the model.json beside it", is_tfjs_shard),
    Stranger("PaddlePaddle weights", _PADDLE, named(".pdiparams", ".pdparams")),
    Stranger(
        "the weights that an ONNX file refers to",
        "give the .onnx file beside it",
        named(".onnx.data", ".onnx_data"),
    ),
    Stranger(
        "of no known format, though named as PyTorch's",
        "if it is a checkpoint, export it there with torch.onnx.export to ONNX",
        named(".pt", ".pth"),
    ),
    Stranger("weights of Darknet", _DARKNET, named(".weights")),
    Stranger("weights of MXNet", "give network and weights as ONNX", named(".params")),
    Stranger("a TensorRT engine", _TENSORRT, named(".engine", ".trt", ".plan")),
    Stranger(
        "weights without their network",
        "if they are OpenVINO's, fetch the .xml of the same name too and give that",
        named(".bin"),
    ),
    Stranger("JSON without a model", _NOT_A_MODEL, lambda one: bool(one.keys)),
    Stranger("an XML page without a model", _NOT_A_MODEL, matches("<")),
    Stranger("Python code", "which is not run: give the model that it writes", named(".py")),
)


def recognise(source: ModelSource, kinds: tuple[Stranger, ...]) -> str:
    """Returns what a file or folder is and what to do, as the rest of a sentence; "" for unknown.

    Args:
        source: the file or folder.
        kinds: `BY_CONTENT` or `BY_NAME`.
    """
    content = Content(source)
    one = next((kind for kind in kinds if kind.is_it(content)), None)
    if one is None:
        return ""
    joint = ", " if one.way.startswith("which ") else ": "
    return f"is {one.title}{joint}{one.way}."
