"""Opens a model of any format for labelling; what its file does not state is found or assumed."""

import dataclasses
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.inspection import (
    FORMATS,
    Ending,
    Graph,
    GraphReport,
    OutputReport,
    Unpacked,
    is_archive,
    open_unpacked,
)
from xferlearn.model_folder import (
    FAMILIARITY,
    METADATA_FILE,
    MODEL_FILE,
    ModelFolder,
    fetched_model,
    find_model_folder_around,
    read_as_one,
)
from xferlearn.predictors.base import Answers, Predictor, Runtime
from xferlearn.predictors.deciding import (
    check_no_threshold,
    settle_decision,
    settle_ending,
)
from xferlearn.predictors.ends import Ends, find_ends
from xferlearn.predictors.feeding import Arrays, Feed, settle_feed
from xferlearn.predictors.frozen_graph import open_frozen_graph
from xferlearn.predictors.imagenet import imagenet_predictor
from xferlearn.predictors.keras_files import load_keras, open_keras
from xferlearn.predictors.labels import find_labels
from xferlearn.predictors.model_folder import (
    depth_stated,
    model_folder_bit_depth,
    model_folder_predictor,
    model_folder_resize,
    resize_policy,
)
from xferlearn.predictors.onnx_files import open_onnx
from xferlearn.predictors.openvino_files import open_openvino
from xferlearn.predictors.saved_model import open_saved_model
from xferlearn.predictors.scores import read_scores
from xferlearn.predictors.tflite_files import open_tflite
from xferlearn.system.fetching import by_address, origin, told_by_address
from xferlearn.system.files import recover_folder
from xferlearn.system.progress import working
from xferlearn.system.runtime import choose_device, gpu_may_be_there, start_tensorflow
from xferlearn.system.text import one_line, printable

# What loads a file of each format that can be run: its path, the input that is fed, and the outputs
# that are read. Model folders are not among them, as their predictor has a cache.
RUNTIMES: dict[str, Callable[[Path, Feed, Sequence[OutputReport]], Runtime]] = {
    "keras": open_keras,
    "keras_h5": open_keras,
    "tflite": open_tflite,
    "openvino": open_openvino,
    "frozen_graph": open_frozen_graph,
    "onnx": open_onnx,
    "saved_model": open_saved_model,
}
# Only the lab's retrain.py, and the two networks that it took, give these names.
_LAB_ENDS = ("final_result", "Mul")
_LAB_SCOPES = ("MobilenetV1/", "pool_3/_reshape")
# What the user may state about a model, to be compared with what its file states.
_STATED = {
    "labels", "resize", "input_layer", "output_layer", "input_height", "input_width", "input_range",
    "input_mean", "input_std", "input_channels",
}  # fmt: skip


def open_predictor(config: ModelConfig) -> Predictor:
    """Opens the model that the settings name, ready to label.

    A SavedModel or frozen graph is a program: opening it runs it. Keras files with code in them
    are refused; nothing else of a file is run before it has been inspected.

    Args:
        config: the model or backbone, and what the user states about it.

    Returns:
        The predictor; its warnings say what was assumed.

    Raises:
        UserError: there is no such model, it can't be run, or it contradicts the settings.
        XferlearnError: something that is needed is missing, e.g. the weights of a backbone.

    Example:
        >>> open_predictor(ModelConfig(model="retrained_graph.pb")).labels
        ('daisy', 'roses')
    """
    if config.backbone:
        _start_tensorflow(config)
        return imagenet_predictor(
            config.backbone,
            weights=config.weights,
            resize=config.resize,
            verbose=config.verbose,
        )
    path = fetched_model(config.model or "")
    with told_by_address(path):
        predictor, archive = _open_path(path, config)
    shown = tuple(by_address(line, path) for line in predictor.warnings)
    predictor = dataclasses.replace(predictor, name=origin(path), warnings=shown, path=path)
    if archive is not None:
        # Runtimes may read the model later, and Keras' is loaded again when it is asked for.
        weakref.finalize(predictor, archive.close)
    return predictor


def _open_path(path: Path, config: ModelConfig) -> tuple[Predictor, Unpacked | None]:
    """Returns the predictor of a model, and the archive that it is in, unpacked."""
    if not is_archive(path):
        recover_folder(path)
        return _open_file(path, config), None
    archive = Unpacked(path)
    try:
        predictor = _open_file(path, config, archive)
        warnings = tuple(map(archive.shown, predictor.warnings))
        return dataclasses.replace(predictor, warnings=warnings), archive
    except BaseException as error:
        archive.close()
        if isinstance(error, UserError):
            raise UserError(archive.shown(str(error))) from error
        raise


def _open_file(path: Path, config: ModelConfig, archive: Unpacked | None = None) -> Predictor:
    """Returns the predictor of a model that may have been unpacked from the archive at `path`."""
    named, path = path, path if archive is None else archive.path
    if (path / METADATA_FILE).is_file() and (path / MODEL_FILE).is_file():
        renamed = config.labels is not None
        return read_as_one(path, lambda folder: _opened_folder(folder, config), renamed=renamed)
    held, report = open_unpacked(named, archive)
    instead = FORMATS[report.format].instead
    if instead:
        raise UserError(f"{path} {instead}.")
    if report.missing:
        raise UserError(
            f"The weights of {path} are in {printable(report.missing[0])}, which is not beside it:"
            " fetch that too."
        )
    if report.not_loaded:
        raise UserError(f"{path} {report.not_loaded}.")
    return _opened(path, held.graph, report, config)


def _opened_folder(folder: ModelFolder, config: ModelConfig) -> Predictor:
    """Returns the predictor of a model folder, checked against what the user states about it."""
    stated = bool(folder.metadata.get("decision"))
    check_no_threshold(folder.path, config, stated=stated)
    if config.device == "gpu" or (config.device == "cpu" and gpu_may_be_there()):
        _start_tensorflow(config)
    if not _STATED & config.changed().keys():
        return model_folder_predictor(folder, config)
    held, report = open_unpacked(folder.path)
    graph = held.graph
    ends = find_ends(graph, report, config, _familiarity(report, folder))
    if config.output_layer is not None and ends.scores != report.outputs[0]:
        raise UserError(
            f"`output_layer={config.output_layer!r}`: the scores of {folder.path} are its output"
            f" {report.outputs[0].name!r}."
        )
    _, warnings = settle_feed(report, ends.input, config, folder)
    resize, resize_warnings = _settle_resize(graph, report, config, folder)
    predictor = model_folder_predictor(folder, config, familiarity=len(ends.outputs) > 1)
    labels = find_labels(folder.path, config.labels, report, len(predictor.labels), folder)
    return dataclasses.replace(
        predictor,
        labels=labels.names,
        resize=resize,
        warnings=(*ends.warnings, *warnings, *resize_warnings, *predictor.warnings),
        # Bottlenecks are cached for photos fitted as in training, not as asked for here.
        cached=predictor.cached if resize == predictor.resize else None,
    )


def _opened(path: Path, graph: Graph, report: GraphReport, config: ModelConfig) -> Predictor:
    """Returns the predictor of any other model."""
    folder = find_model_folder_around(path, renamed=config.labels is not None)
    ends = find_ends(graph, report, config, _familiarity(report, folder))
    feed, warnings = settle_feed(report, ends.input, config, folder)
    resize, resize_warnings = _settle_resize(graph, report, config, folder)
    _start_tensorflow(config)
    run, ending, trial = _start(path, report, feed, ends)
    ending = settle_ending(path, graph, ending or ends.scores.ending)
    scores = read_scores(ending, trial[0], ends.scores.name)
    _check_familiarity(path, ends, trial)

    def answer(pixels: np.ndarray) -> Answers:
        found, *familiarity = run(pixels)
        return Answers(
            scores.read(found),
            familiarity[0].reshape(len(pixels)).astype(np.float32) if familiarity else None,
        )

    labels = find_labels(path, config.labels, report, scores.classes, folder, sure=scores.sure)
    decision, assumed = settle_decision(path, graph, report, folder, scores, labels.names, config)
    return Predictor(
        labels.names,
        feed.height,
        feed.width,
        resize,
        answer,
        (
            *ends.warnings,
            *warnings,
            *resize_warnings,
            *scores.warnings,
            *assumed,
            *labels.warnings,
        ),
        name=str(path),
        backbone=report.backbone.name if report.backbone else "",
        # The runtime keeps constants alone, so the model itself is loaded when it is asked for.
        load_model=(lambda: load_keras(path)) if RUNTIMES[report.format] is open_keras else None,
        metadata=decision | (_stated_familiarity(graph, report, folder) if len(trial) > 1 else {}),
        says_familiarity=len(trial) > 1,
        values=feed.values,
        bit_depth=_stated_bit_depth(graph, folder),
    )


def _start_tensorflow(config: ModelConfig) -> None:
    with working("loading TensorFlow", config.verbose):
        start_tensorflow()
    choose_device(config.device)


def _settle_resize(
    graph: Graph, report: GraphReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[str, tuple[str, ...]]:
    """Decides how photos are fitted, "crop" or "squash"; also returns what was assumed."""
    stated = _stated_resize(graph, model_folder)
    if config.resize is not None:
        differs = stated not in (None, config.resize)
        warning = f"`resize={config.resize!r}`, but the model was trained with {stated}."
        return config.resize, (warning,) if differs else ()
    if stated is not None:
        return stated, ()
    if _is_from_the_lab(graph, report):
        warning = (
            "photos are squashed to the model's size, as the lab's tools did in training;"
            " `resize='crop'` takes the centre instead."
        )
        return "squash", (warning,)
    warning = (
        "the file does not state how photos were fitted in training; the centre crop was assumed;"
        " `resize='squash'` takes the whole photo instead."
    )
    return "crop", (warning,)


def _stated_resize(graph: Graph, model_folder: ModelFolder | None) -> str | None:
    """Returns how photos were fitted in training, as the file states it, or its folder."""
    if graph.metadata is not None and graph.metadata.resize is not None:
        return resize_policy(graph.metadata.resize)
    return model_folder_resize(model_folder) if model_folder is not None else None


def _stated_familiarity(
    graph: Graph, report: GraphReport, model_folder: ModelFolder | None
) -> dict[str, dict[str, Any]]:
    """Returns what is stated of the familiarity, as metadata.json does, and the step of int8."""
    if (
        graph.metadata is None
        and model_folder is not None
        and model_folder.metadata.get(FAMILIARITY)
    ):
        return {FAMILIARITY: model_folder.metadata[FAMILIARITY]}
    said = dataclasses.asdict(report.familiarity) if report.familiarity else {}
    return {FAMILIARITY: {name: one for name, one in said.items() if one is not None}}


def _stated_bit_depth(graph: Graph, model_folder: ModelFolder | None) -> int | None:
    if graph.metadata is not None:
        return depth_stated(graph.metadata.bit_depth)
    return model_folder_bit_depth(model_folder) if model_folder is not None else None


def _familiarity(report: GraphReport, model_folder: ModelFolder | None) -> str | None:
    """Returns the output that says how familiar a photo is, as the file states it, or its folder.

    An output of that name in a file of another maker may mean anything.
    """
    if report.familiarity is not None:
        return report.familiarity.output
    held = model_folder is not None and model_folder.metadata.get(FAMILIARITY)
    return FAMILIARITY if held else None


def _is_from_the_lab(graph: Graph, report: GraphReport) -> bool:
    if not FORMATS[report.format].of_the_lab:
        return False
    ends = {one.name for one in report.inputs} | {one.name for one in report.outputs}
    return not ends.isdisjoint(_LAB_ENDS) or any(n.startswith(_LAB_SCOPES) for n in graph.nodes)


def _start(
    path: Path, report: GraphReport, feed: Feed, ends: Ends
) -> tuple[Callable[[np.ndarray], Arrays], Ending | None, Arrays]:
    """Loads a model and tries it; returns a function that runs it, its ending, and its answers."""
    # Two photos, so that a graph that mixes or drops the photos of a batch is noticed.
    shape = (2, feed.height, feed.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    runtime = RUNTIMES[report.format](path, feed, ends.outputs)
    run = _explained(runtime.run, path)
    try:
        answers = run(pixels)
        answer = answers[0]
        if answer.ndim and len(answer) == len(pixels):
            _check_repeatable(path, answer, run(pixels)[0])
            return run, runtime.ending, answers
        problem = UserError(
            f"Expected one row of scores per photo from output {ends.scores.name!r} of {path}."
            f" Received {list(answer.shape)} for {len(pixels)} photos; choose another output with"
            " `output_layer`."
        )
    except UserError as error:
        problem = error
    if feed.batch is not None:
        raise problem
    # Not all files state that they take one photo per call.
    try:
        return _start(path, report, dataclasses.replace(feed, batch=1), ends)
    except UserError:
        raise problem from None


def _check_repeatable(path: Path, answer: np.ndarray, again: np.ndarray) -> None:
    """Raises UserError for a model that was exported with its augmentation at work."""
    if answer.dtype.kind != "f":
        return
    if not np.allclose(answer, again, rtol=1e-2, atol=1e-3, equal_nan=True):
        raise UserError(
            f"{path} gives other scores each time, for the same photos: layers for training, such"
            " as RandomFlip or Dropout, are at work in it. Export the model without them (in Keras,"
            " of `keras.Model(inputs, outputs)` with outputs computed with `training=False`)."
        )


def _check_familiarity(path: Path, ends: Ends, trial: Arrays) -> None:
    for output, answer in zip(ends.outputs[1:], trial[1:], strict=True):
        if answer.size != len(trial[0]):
            raise UserError(
                f"Expected one number per photo from output {output.name!r} of {path}, which its"
                f" metadata name as the familiarity. Received {list(answer.shape)} for"
                f" {len(trial[0])} photos; leave it out with `output_layer={ends.scores.name!r}`."
            )


def _explained(run: Callable[[np.ndarray], Arrays], path: Path) -> Callable[[np.ndarray], Arrays]:
    def explained(pixels: np.ndarray) -> Arrays:
        try:
            return run(pixels)
        except XferlearnError:
            raise
        except Exception as error:  # every runtime has errors of its own
            raise UserError(f"{path} can't be run: {one_line(error)}") from error

    return explained
