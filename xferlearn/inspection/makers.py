"""What models of other makers state about themselves: labels, size, values, and their task.

Ultralytics and Azure Custom Vision write pairs of key and text into ONNX files; Ultralytics keeps
the same as YAML beside other formats, and Hugging Face, timm and Lobe keep JSON there. TFLite's own
metadata is in `readers.tflite_metadata`.

Sources: https://docs.ultralytics.com/modes/export/,
https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md,
https://huggingface.co/docs/transformers/main_classes/image_processor
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from xferlearn.inspection.layers import Affine, Graph, StatedInput

_MOST_BYTES = 16 * 2**20
_MOST_LABELS = 100_000
_LARGEST_SIDE = 100_000
# Pixels from 0 to 255 become these ranges: https://github.com/onnx/onnx/blob/main/docs/
_NOMINAL = {
    "nominalrange_0_255": Affine(),
    "normalized_0_1": Affine((1 / 255,)),
    "normalized_1_1": Affine((1 / 127.5,), (-1.0,)),
    "nominalrange_16_235": Affine((219 / 255,), (16.0,)),
}
# Words for what models are for, as makers write them, in any letter case.
_TASKS = {
    "classification": "classification",
    "detection": "detection",
    "segmentation": "segmentation",
    "classify": "classification",
    "imageclassifier": "classification",
    "image-classification": "classification",
    "detect": "detection",
    "objectdetector": "detection",
    "object-detection": "detection",
    "ssd": "detection",
    "yolo": "detection",
    "obb": "detection",
    "segment": "segmentation",
    "imagesegmenter": "segmentation",
    "image-segmentation": "segmentation",
    "maskrcnn": "segmentation",
    "pose": "pose estimation",
    "imageembedder": "embedding",
    "image-feature-extraction": "embedding",
}
# Last words of the classes that Hugging Face's config.json names, and their tasks.
_HUGGING_FACE_TASKS = {
    "ForImageClassification": "classification",
    "ForImageClassificationWithTeacher": "classification",
    "ForObjectDetection": "detection",
    "ForSemanticSegmentation": "segmentation",
    "ForInstanceSegmentation": "segmentation",
    "ForUniversalSegmentation": "segmentation",
    "ForDepthEstimation": "depth estimation",
    "ForMaskedImageModeling": "pretraining",
}


@dataclass(frozen=True)
class Stated:
    """What a maker states about a model; fields as in `layers.StatedInput` and `layers.Graph`."""

    input: StatedInput | None = None
    labels: tuple[str, ...] = ()
    task: str = ""
    warnings: tuple[str, ...] = ()


def with_stated(graph: Graph, stated: Stated) -> Graph:
    """Returns a graph with what its maker states; what the file itself states stays."""
    nodes = dict(graph.nodes)
    pixels = (
        node
        for node in map(nodes.__getitem__, graph.inputs)
        if node.dtype != "string" and (node.shape is None or len(node.shape) == 4)
    )
    first = next(pixels, None)
    if first is not None and stated.input is not None and first.stated is None:
        nodes[first.name] = replace(first, stated=stated.input)
    return replace(
        graph,
        nodes=nodes,
        labels=graph.labels or stated.labels,
        task=graph.task or stated.task,
        warnings=(*graph.warnings, *stated.warnings),
    )


def known_task(word: Any) -> str:
    """Returns a maker's word for what a model is for as this package calls it; else the word."""
    word = word if isinstance(word, str) else ""
    return _TASKS.get(word.strip().lower(), word.strip()[:40])


def stated_by_pairs(pairs: Mapping[str, str]) -> Stated | None:
    """Returns what pairs of key and text state, as ONNX files hold them; None where nothing."""
    if any(key.startswith("Image.") for key in pairs):
        return _custom_vision(pairs)
    return ultralytics({key: _literal(value) for key, value in pairs.items()})


def ultralytics(held: Mapping[str, Any]) -> Stated | None:
    """Returns what Ultralytics' metadata state: names, imgsz, task; None for other metadata.

    Args:
        held: the metadata, values as in Python.
    """
    labels = _names(held.get("names"))
    task = known_task(held.get("task"))
    size = _sides(held.get("imgsz"))
    if not labels and not task and size is None:
        return None
    step, detail = None, "stated by the file"
    if task == "classification" and "ultralytics" in str(held.get("author", "")).lower():
        # Its classifiers of version 8 and later have mean 0 and standard deviation 1.
        step, detail = Affine((1 / 255,)), "what Ultralytics' classifiers take"
    height, width = size or (None, None)
    return Stated(
        StatedInput(step, height=height, width=width, detail=detail), labels=labels, task=task
    )


def _literal(value: str) -> Any:
    """Returns the value of a Python literal, or the text where it is none; nothing is run."""
    if len(value) > _MOST_BYTES or not value.lstrip().startswith(("{", "[", "(")):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _names(held: Any) -> tuple[str, ...]:
    """Returns class names from a list, or from a dict by number; () where numbers are missing."""
    if isinstance(held, Mapping):
        try:
            by_number = {int(key): name for key, name in held.items()}
        except (TypeError, ValueError):
            return ()
        if sorted(by_number) != list(range(len(by_number))):
            return ()
        held = [by_number[index] for index in range(len(by_number))]
    if not isinstance(held, (list, tuple)) or len(held) > _MOST_LABELS:
        return ()
    return tuple(str(name) for name in held)


def _sides(held: Any) -> tuple[int, int] | None:
    """Returns height and width from a number or a list of two."""
    sides = list(held) if isinstance(held, (list, tuple)) else [held]
    sides = sides * 2 if len(sides) == 1 else sides
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(0 < side <= _LARGEST_SIDE for side in sides):
        return None
    return sides[0], sides[1]


def _custom_vision(pairs: Mapping[str, str]) -> Stated:
    """Returns what ONNX's standard keys for images state, as Azure Custom Vision writes them."""
    found = pairs.get("Image.BitmapPixelFormat", "").lower()
    order: Literal["RGB", "BGR"] = "BGR" if found.startswith("bgr") else "RGB"
    span = pairs.get("Image.NominalPixelRange", "").lower()
    gamma = pairs.get("Image.ColorSpaceGamma", "")
    warnings: tuple[str, ...] = ()
    if gamma.lower() not in ("", "srgb"):
        warnings = (f"The metadata state the gamma {gamma[:40]!r}; photos are fed as sRGB.",)
    step = _NOMINAL.get(span)
    return Stated(StatedInput(step, order), labels=_names(_literal(pairs.get("labels", ""))),
                  warnings=warnings)  # fmt: skip


def openvino_info(pairs: Mapping[str, str]) -> Stated:
    """Returns labels and task of an OpenVINO file's `model_info`, as Geti and Model API write it.

    Its mean and scale are left alone, as they may be in the graph already.
    """
    labels = tuple(pairs.get("labels", "").split())
    return Stated(labels=labels, task=known_task(pairs.get("model_type")))


def stated_beside(path: Path) -> Stated | None:
    """Returns what files beside a model state, or in its folder; None for none.

    Hugging Face's are one folder above where the model is in `onnx/`.
    """
    folders = [path] if path.is_dir() else [path.parent]
    folders += [folder.parent for folder in folders if folder.name == "onnx"]
    for folder in folders:
        lobe = _lobe(_json(folder / "signature.json"))
        if lobe is not None:
            return lobe
        config = _json(folder / "config.json")
        if isinstance(config.get("pretrained_cfg"), Mapping):
            return _timm(config, config["pretrained_cfg"])
        if "architectures" in config or "id2label" in config:
            return _hugging_face(config, _json(folder / "preprocessor_config.json"))
        held = _yaml(folder / "metadata.yaml")
        if "ultralytics" in str(held.get("author", "")).lower():
            return ultralytics(held)
    return None


def _read(file: Path) -> str:
    """Returns a file's text; none of a file that is missing, too large or damaged."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return ""
        return file.read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _yaml(file: Path) -> dict[str, Any]:
    """Returns metadata.yaml as Ultralytics writes it: values, lists of values, dicts of values."""
    held: dict[str, Any] = {}
    key = ""
    for line in _read(file).split("\n"):
        name, found, value = line.strip().partition(":")
        item = line.strip().startswith("- ")
        if item and isinstance(held.get(key), (list, dict)):
            held[key] = [*held[key], _scalar(line.strip()[2:])]
        elif found and line.startswith((" ", "\t")) and isinstance(held.get(key), dict):
            held[key][name] = _scalar(value)
        elif found and not line.startswith((" ", "\t")):
            key = name
            held[key] = _scalar(value) if value.strip() else {}
    return held


def _scalar(value: str) -> Any:
    """Returns a YAML value: a whole number, or text with or without quotes."""
    value = value.strip()
    if value.lstrip("-").isdecimal():
        return int(value)
    if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
        return value[1:-1].replace("''", "'")
    return _literal(value)


def _json(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(_read(file))
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def _hugging_face(config: Mapping[str, Any], photos: Mapping[str, Any]) -> Stated:
    named = config.get("architectures")
    kind = str(named[0]) if isinstance(named, list) and named else ""
    task = next((task for end, task in _HUGGING_FACE_TASKS.items() if kind.endswith(end)), "")
    if kind.endswith("Model") and not task:
        task = "embedding"
    factor = photos.get("rescale_factor", 1 / 255) if photos.get("do_rescale", True) else 1.0
    mean, std = photos.get("image_mean"), photos.get("image_std")
    if not photos.get("do_normalize", True):
        mean, std = [0.0], [1.0]
    size = photos.get("crop_size") if photos.get("do_center_crop") else photos.get("size")
    height, width = _hugging_face_size(size) or (None, None)
    where = "stated by preprocessor_config.json"
    step = _step(mean, std, factor) if photos else None
    return Stated(StatedInput(step, height=height, width=width, detail=where),
                  labels=_names(config.get("id2label")), task=task)  # fmt: skip


def _hugging_face_size(size: Any) -> tuple[int, int] | None:
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            size = size["shortest_edge"]
        else:
            size = [size.get("height"), size.get("width")]
    return _sides(size)


def _timm(config: Mapping[str, Any], trained: Mapping[str, Any]) -> Stated:
    size = trained.get("input_size")
    sides = _sides(size[1:]) if isinstance(size, list) and len(size) == 3 else None
    height, width = sides or (None, None)
    step = _step(trained.get("mean"), trained.get("std"), 1 / 255)
    labels = _names(config.get("label_names")) or _names(trained.get("label_names"))
    task = "embedding" if config.get("num_classes") == 0 else "classification"
    return Stated(StatedInput(step, height=height, width=width, detail="stated by config.json"),
                  labels=labels, task=task)  # fmt: skip


def _lobe(signature: Mapping[str, Any]) -> Stated | None:
    """Returns what Lobe's signature.json states; None for another file of that name."""
    classes, inputs = signature.get("classes"), signature.get("inputs")
    labels = _names(classes.get("Label") if isinstance(classes, Mapping) else classes)
    first = next(iter(inputs.values()), None) if isinstance(inputs, Mapping) else None
    shape = first.get("shape") if isinstance(first, Mapping) else None
    sides = _sides(shape[1:3]) if isinstance(shape, list) and len(shape) == 4 else None
    if not labels and sides is None:
        return None
    height, width = sides or (None, None)
    hint = "Lobe's own code feeds 0 to 1"
    return Stated(StatedInput(height=height, width=width, hint=hint), labels=labels)


def _step(mean: Any, std: Any, factor: Any) -> Affine | None:
    """Returns (pixel * factor - mean) / std; None for what is not numbers for 1 or 3 colours."""
    parts = [list(one) if isinstance(one, (list, tuple)) else [one] for one in (mean, std)]
    numbers = [*parts[0], *parts[1], factor]
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in numbers):
        return None
    if len(parts[0]) != len(parts[1]) or len(parts[0]) not in (1, 3) or not all(parts[1]):
        return None
    pairs = list(zip(*parts, strict=True))
    return Affine(
        tuple(factor / deviation for _, deviation in pairs),
        tuple(-middle / deviation for middle, deviation in pairs),
    )
