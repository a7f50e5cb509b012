"""The user's own Keras models as backbones: a model becomes a row like those of the table."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.backbones.names import KERAS_FILES, checked_size
from xferlearn.backbones.table import UNKNOWN, BackboneSpec, Licence, Preprocessing
from xferlearn.config import ModelConfig
from xferlearn.config.heads import OwnNetworkConfig
from xferlearn.config.in_memory import ModelInMemory
from xferlearn.errors import UserError, did_you_mean
from xferlearn.inspection import (
    GraphReport,
    InputReport,
    ModelFile,
    build_report,
    layer_before_scores,
    open_model,
    read_keras_config,
    refused_layers,
)
from xferlearn.predictors.feeding import settle_feed
from xferlearn.predictors.keras_files import check_keras_file, load_keras
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.text import count, one_line

if TYPE_CHECKING:
    import keras

_STATED = ("input_range", "input_mean", "input_std", "input_channels")
_LEAST_PIXELS = 8


def own_backbone(
    name: str, image_size: int | None, stated: OwnNetworkConfig
) -> tuple[BackboneSpec, int]:
    """Returns the row of a model, and its image size; inspects the model, and runs none of it.

    Args:
        name: path of a `.keras` or `.h5` file, or a `ModelInMemory`.
        image_size: side of the square input, px; None for the model's own.
        stated: what the user says of it.

    Raises:
        UserError: it can't serve as a backbone, what it needs is not known, or what was stated
            contradicts it.
    """
    held, report = _inspected(name)
    one = _image_input(report)
    size = _size(report, one, image_size)
    given: dict[str, Any] = {"input_height": size, "input_width": size}
    given |= {key: value for key in _STATED if (value := getattr(stated, key)) is not None}
    feed, _ = settle_feed(report, one, ModelConfig(report.path, **given), None)
    mean, std = (np.broadcast_to(part, 3).tolist() for part in (feed.mean, feed.std))
    preprocessing = Preprocessing(
        tuple(1 / one for one in std),
        tuple(0.0 - middle / one for middle, one in zip(mean, std, strict=True)),
        feed.bgr,
    )
    layer = stated.bottleneck_layer or layer_before_scores(held.graph)
    stem = name.model.name if isinstance(name, ModelInMemory) else Path(name).stem
    config = json.dumps([sorted(held.graph.nodes), str(held.graph.nodes), layer])
    spec = BackboneSpec(
        name=f"own_{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)}",
        builder=f"{__name__}.build_network",
        arguments={"model": name, "layer": layer},
        image_size=size,
        preprocessing=preprocessing.text,
        width=0,
        parameters=report.parameters or 0,
        source="",
        weights_file="",
        requirement="",
        licence=Licence(UNKNOWN, ""),
        family="",
        min_size=_LEAST_PIXELS,
        imagenet_sizes=(),
        pooling="none",
        origin=str(name),
        configuration=hashlib.sha256(config.encode()).hexdigest(),
    )
    return spec, checked_size(spec, size)


def build_network(
    *, model: str, layer: str, input_shape: tuple[int, int, int], weights: str | None
) -> "keras.Model":
    """Returns a model up to a layer, as one vector per photo; the builder of rows made here.

    Args:
        model: path of the file, or a `ModelInMemory`, of which a copy is made.
        layer: name of the layer; "" for the model's output.
        input_shape: (height, width, 3) in px.
        weights: None where random ones were asked for.

    Raises:
        UserError: the file can't be loaded, or has no such layer, or it gives no features.
    """
    import keras

    if weights is None:
        raise UserError(f"`weights='none'` belongs to backbones by name. {model} has its own.")
    if isinstance(model, ModelInMemory):
        whole = keras.models.clone_model(model.model)
        whole.set_weights(model.model.get_weights())
        for one in whole._flatten_layers():
            if isinstance(one, keras.layers.Normalization):
                one.finalize_state()  # it computes with copies of its weights
    else:
        whole = load_keras(Path(model))
    names = [one.name for one in whole.layers]
    if layer and layer not in names:
        raise UserError(
            f"{model} has no layer {layer!r} of its own, whose values the head could see."
            f"{did_you_mean(layer, names)} Give `bottleneck_layer`; its last layers are"
            f" {', '.join(names[-6:])}."
        )
    try:
        output = whole.get_layer(layer).output if layer else whole.outputs[0]
        # The layers before the cut, built anew for the size that they see here.
        image = keras.Input(input_shape, name="preprocessed_image")
        features = keras.Model(whole.inputs[0], output)(image, training=False)
        x = keras.Model(whole.inputs[0], output).outputs[0]
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{model} can't be cut at {layer!r}: {one_line(error, 300)}") from error
    rank = len(features.shape)
    if rank == 4:
        x = keras.layers.GlobalAveragePooling2D(name="mean_of_map")(x)
    elif rank == 3:
        x = keras.layers.GlobalAveragePooling1D(name="mean_of_tokens")(x)
    elif rank != 2 or features.shape[1] is None:
        raise UserError(
            f"Layer {layer!r} of {model} gives {list(features.shape)}, which is no vector, map or"
            " tokens per photo. Give another `bottleneck_layer`."
        )
    return keras.Model(whole.inputs[0], x)


def _inspected(name: str) -> tuple[ModelFile, GraphReport]:
    """Returns the graph of a model and the report on it, checked for code in it."""
    if not isinstance(name, ModelInMemory):
        held, report = open_model(name)
        if not report.format.startswith("keras"):
            raise UserError(
                f"Expected a Keras model as backbone, a file that ends in"
                f" {', '.join(KERAS_FILES)}. {name} is {report.format}."
            )
        check_keras_file(Path(name))
        return held, report
    start_tensorflow()
    import keras

    model = name.model
    if not isinstance(model, (keras.Sequential, keras.Function)) or not model.built:
        raise UserError(
            f"{name} can't serve as a backbone: its layers are not known, as those of a functional"
            " model, or of a Sequential one that is built, are."
        )
    config = json.loads(model.to_json())
    for layer in refused_layers(config):
        raise UserError(f"{name} can't serve as a backbone: {layer}.")
    if config["class_name"] not in ("Functional", "Sequential"):
        raise UserError(
            f"{name} can't serve as a backbone: its class is {config['class_name']}. A backbone of"
            " KerasHub is given as hub:FOLDER after `save_to_preset`; of another class give"
            " `keras.Model(model.inputs, model.outputs)`."
        )
    held = ModelFile("keras", 4 * model.count_params(), read_keras_config(config))
    return held, build_report(str(name), held)


def _image_input(report: GraphReport) -> InputReport:
    """Returns the only input of a model, which takes photos of three channels."""
    one = report.image_input
    if len(report.inputs) != 1:
        raise UserError(
            f"{report.path} can't serve as a backbone: it takes"
            f" {count(len(report.inputs), 'input')}, and a backbone takes a photo alone."
        )
    if one is None or one.channels not in (3, None):
        shape = list(report.inputs[0].shape or ())
        raise UserError(
            f"{report.path} can't serve as a backbone: its input takes {shape}, and a backbone"
            " takes photos of three channels, [batch, height, width, 3]."
        )
    return one


def _size(report: GraphReport, one: InputReport, image_size: int | None) -> int:
    """Returns the side of the photos that a model is shown, px."""
    known = (one.height, one.width)
    # A model that resizes its input itself takes any size.
    if None in known or one.size_detail:
        if image_size is None and None in known:
            raise UserError(
                f"{report.path} takes photos of any size. Give the size that it was trained with,"
                " `image_size`."
            )
        return image_size or int(one.height or 0)
    if one.height != one.width:
        raise UserError(
            f"{report.path} takes photos of {one.resolution} px, and only squares are fed here."
        )
    if image_size not in (None, one.height):
        raise UserError(
            f"`image_size={image_size}`, but {report.path} takes {one.resolution} px. Leave it out."
        )
    return int(one.height or 0)
