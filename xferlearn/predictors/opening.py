"""Opens a model of any format for labelling: what its file does not tell is found or assumed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.inspection import GraphReport, InputReport, OutputReport
from xferlearn.inspection.formats import ModelFile
from xferlearn.inspection.inspection import open_model
from xferlearn.inspection.layers import Graph
from xferlearn.model_folder import METADATA_FILE, MODEL_FILE, ModelFolder, read_model_folder
from xferlearn.predictors.base import Predictor, Runtime
from xferlearn.predictors.ends import Ends, find_ends
from xferlearn.predictors.feeding import Feed, settle_values
from xferlearn.predictors.frozen_graph import open_frozen_graph
from xferlearn.predictors.imagenet import imagenet_predictor
from xferlearn.predictors.keras_files import open_keras
from xferlearn.predictors.labels import find_labels, find_model_folder_around
from xferlearn.predictors.model_folder import (
    model_folder_predictor,
    model_folder_resize,
    resize_policy,
)
from xferlearn.predictors.onnx_files import open_onnx
from xferlearn.predictors.openvino_files import open_openvino
from xferlearn.predictors.saved_model import open_saved_model
from xferlearn.predictors.scores import Ending, find_ending, read_scores
from xferlearn.predictors.tflite_files import open_tflite
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line

_DEFAULT_SIZE = 224
# Only the lab's retrain.py, and the two networks it took, give these names.
_LAB_ENDS = ("final_result", "Mul")
_LAB_SCOPES = ("MobilenetV1/", "pool_3/_reshape")
# What the user may say about a model, to be compared with what its file says.
_TOLD = {
    "labels", "resize", "input_layer", "output_layer", "input_height", "input_width", "input_mean",
    "input_std",
}  # fmt: skip
_NOT_RUN = {
    "keras_weights": "holds weights and no network; for a backbone's own weights give --backbone"
    " and --weights",
    "tensorboard": "is a TensorBoard log, which holds the graph but no weights; give the model",
}


def open_predictor(config: ModelConfig) -> Predictor:
    """Opens the model that the settings name, ready to label.

    A SavedModel or frozen graph is a program: opening it runs it. Keras files with code in them
    are refused; nothing else of a file is run before it has been inspected.

    Args:
        config: the model or backbone, and what the user says about it.

    Returns:
        The predictor; its notes say what was assumed.

    Raises:
        UserError: when there is no such model, it can't be run, or contradicts the settings.
        XferlearnError: when something needed is missing, such as a backbone's weights.

    Example:
        >>> open_predictor(ModelConfig(model="retrained_graph.pb")).labels
        ('daisy', 'roses')
    """
    if config.backbone:
        _start_tensorflow(config)
        return imagenet_predictor(config.backbone, weights=config.weights, resize=config.resize)
    path = Path(config.model or "")
    if (path / METADATA_FILE).is_file() and (path / MODEL_FILE).is_file():
        model_folder = read_model_folder(path)
        if not _TOLD & config.changed().keys():
            _start_tensorflow(config)
            return model_folder_predictor(model_folder, config)
    held, report = open_model(path)
    if report.format in _NOT_RUN:
        raise UserError(f"{path} {_NOT_RUN[report.format]}.")
    return _opened(path, held, report, config)


def _opened(path: Path, held: ModelFile, report: GraphReport, config: ModelConfig) -> Predictor:
    graph = held.graph
    model_folder = find_model_folder_around(path)
    ends = find_ends(graph, report, config)
    feed, warnings = _settle_feed(report, ends.input, config, model_folder)
    stated = _stated_resize(held, model_folder)
    resize, resize_warnings = _settle_resize(graph, report, config, stated)
    warnings = (*ends.warnings, *warnings, *resize_warnings)
    _start_tensorflow(config)
    if report.format == "model_folder" and model_folder is not None:
        ours = model_folder_predictor(model_folder, config)
        labels = find_labels(path, config.labels, report, len(ours.labels), model_folder)
        # Bottlenecks are cached for photos fitted as in training, not as asked for here.
        cached = ours.cached if resize == ours.resize else None
        return dataclasses.replace(
            ours,
            labels=labels.names,
            resize=resize,
            warnings=(*warnings, *ours.warnings),
            cached=cached,
        )
    run, ending, trial = _start(path, report, feed, ends)
    if ending is None:
        ending = find_ending(graph, _node_name(graph, ends.output))
    scores = read_scores(ending, trial, ends.output.name)
    labels = find_labels(path, config.labels, report, scores.classes, model_folder)
    return Predictor(
        labels.names,
        feed.height,
        feed.width,
        resize,
        lambda pixels: scores.read(run(pixels)),
        (*warnings, *scores.warnings, *labels.warnings),
    )


def _start_tensorflow(config: ModelConfig) -> None:
    start_tensorflow()
    choose_device(config.device)


def _settle_feed(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[Feed, tuple[str, ...]]:
    """Decides what the input is fed; returns what had to be assumed too."""
    height, width, warnings = _settle_size(report, one, config, model_folder)
    values = settle_values(report, one, config.input_mean, config.input_std)
    layout = one.layout
    if layout == "unknown":
        layout = "NCHW" if report.format == "onnx" else "NHWC"
    feed = Feed(
        tensor=one.tensor_name,
        name=one.name,
        height=height,
        width=width,
        channels=one.channels or 3,
        batch=one.shape[0] if one.shape else None,
        dtype=one.dtype,
        layout=layout,
        bgr=one.channel_order == "BGR",
        mean=values.mean,
        std=values.std,
        # What the report says of 8-bit inputs is in their own integers.
        quantization=None if one.dtype in ("uint8", "int8") else one.quantization,
    )
    return feed, (*warnings, *values.warnings)


def _settle_size(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[int, int, tuple[str, ...]]:
    asked = {"height": config.input_height, "width": config.input_width}
    known = {"height": one.height, "width": one.width}
    for side, value in asked.items():
        if value is not None and known[side] not in (None, value):
            raise UserError(
                f"--input_{side}={value}, but `{one.name}` of {report.path} is {one.resolution} px."
                " Leave it out."
            )
    height, width = (asked[side] or known[side] for side in ("height", "width"))
    if height or width:
        return height or width or 0, width or height or 0, ()
    if model_folder is not None:
        return model_folder.image_size, model_folder.image_size, ()
    backbone = report.backbone
    size = backbone.image_size if backbone and backbone.image_size else _DEFAULT_SIZE
    warning = (
        f"the model takes photos of any size; {size} x {size} px was assumed: override it with"
        " --input_height and --input_width."
    )
    return size, size, (warning,)


def _stated_resize(held: ModelFile, model_folder: ModelFolder | None) -> str | None:
    """Returns how photos were fitted in training, as the file itself says, or the folder."""
    if held.metadata is not None and held.metadata.resize is not None:
        return resize_policy(held.metadata.resize)
    return model_folder_resize(model_folder) if model_folder is not None else None


def _settle_resize(
    graph: Graph, report: GraphReport, config: ModelConfig, stated: str | None
) -> tuple[str, tuple[str, ...]]:
    if config.resize is not None:
        differs = stated not in (None, config.resize)
        warning = f"--resize={config.resize}, but the model was trained with {stated}."
        return config.resize, (warning,) if differs else ()
    if stated is not None:
        return stated, ()
    if _is_from_the_lab(graph, report):
        warning = (
            "photos are squashed to the model's size, as the lab's tools did in training:"
            " --resize=crop takes the centre instead."
        )
        return "squash", (warning,)
    warning = (
        "the file does not tell how photos were fitted in training; the centre crop was assumed:"
        " --resize=squash takes the whole photo instead."
    )
    return "crop", (warning,)


def _is_from_the_lab(graph: Graph, report: GraphReport) -> bool:
    if report.format != "frozen_graph":
        return False
    ends = {one.name for one in report.inputs} | {one.name for one in report.outputs}
    return not ends.isdisjoint(_LAB_ENDS) or any(n.startswith(_LAB_SCOPES) for n in graph.nodes)


def _start(
    path: Path, report: GraphReport, feed: Feed, ends: Ends
) -> tuple[Callable[[np.ndarray], np.ndarray], Ending | None, np.ndarray]:
    """Loads a model and tries it; returns how to run it, its ending, and its answers."""
    # Two photos, so that a graph that mixes or drops photos of a batch is noticed.
    shape = (2, feed.height, feed.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    runtime = _load(path, report, feed, ends)
    run = _explained(runtime.run, path)
    try:
        answer = run(pixels)
        if answer.ndim and len(answer) == len(pixels):
            return run, runtime.ending, answer
        problem = UserError(
            f"{path} answers {list(answer.shape)} for {len(pixels)} photos, where one row a photo"
            " was expected. Choose another output with --output_layer."
        )
    except UserError as error:
        problem = error
    if feed.batch is not None:
        raise problem
    # Files don't always say that they take one photo a call.
    try:
        return _start(path, report, dataclasses.replace(feed, batch=1), ends)
    except UserError:
        raise problem from None


def _load(path: Path, report: GraphReport, feed: Feed, ends: Ends) -> Runtime:
    output = ends.output
    if report.format == "saved_model":
        return open_saved_model(path, feed, output.name)
    if report.format == "tflite":
        return open_tflite(path, feed, output.tensor_name)
    if report.format == "onnx":
        return open_onnx(path, feed, output.tensor_name)
    if report.format == "openvino":
        return open_openvino(path, feed, output.place)
    if report.format == "frozen_graph":
        return open_frozen_graph(path, feed, output.tensor_name)
    return open_keras(path, feed, output.place)


def _explained(
    run: Callable[[np.ndarray], np.ndarray], path: Path
) -> Callable[[np.ndarray], np.ndarray]:
    def explained(pixels: np.ndarray) -> np.ndarray:
        try:
            return run(pixels)
        except XferlearnError:
            raise
        except Exception as error:  # every runtime has errors of its own
            raise UserError(f"{path} can't be run: {one_line(error)}") from error

    return explained


def _node_name(graph: Graph, output: OutputReport) -> str:
    names = (name for name in graph.outputs if graph.output_names.get(name, name) == output.name)
    return next(names, output.name)
