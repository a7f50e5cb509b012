"""Backbones of KerasHub: a preset becomes a row like those of the table, and a network."""

import contextlib
import hashlib
import importlib.util
import inspect
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xferlearn.backbones.names import HUB, checked_size
from xferlearn.backbones.table import UNKNOWN, BackboneSpec, Licence, Preprocessing
from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

INSTALL = 'pip install "xferlearn[hub]"'


@dataclass(frozen=True)
class Family:
    """What the backbones of one class of KerasHub have in common.

    Attributes:
        title: the family's name for people.
        pooling: how their output becomes one vector, a key of `pooling.POOLINGS`.
        tower: attribute that holds the network for images, "" where it is the backbone itself.
    """

    title: str
    pooling: str
    tower: str = ""


# By the name of the class. Poolings are those of the networks' own training and papers; weights to
# measure others with were not at hand.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "ResNetBackbone": Family("ResNet", "average"),
        "EfficientNetBackbone": Family("EfficientNet", "average"),
        "MobileNetBackbone": Family("MobileNet V3 and V4", "average"),
        "MobileNetV5Backbone": Family("MobileNet V5", "average"),
        "DenseNetBackbone": Family("DenseNet", "average"),
        "HGNetV2Backbone": Family("HGNet V2", "average"),
        "CSPNetBackbone": Family("CSPNet", "average"),
        "VGGBackbone": Family("VGG", "average"),
        "XceptionBackbone": Family("Xception", "average"),
        "MiTBackbone": Family("MiT", "average"),
        # Its classifier reads the mean of the last stage (arXiv:2103.14030, 3.1).
        "SwinTransformerBackbone": Family("Swin", "average"),
        # Their classifiers were trained on the class token (arXiv:2010.11929, 3.1; 2012.12877).
        "ViTBackbone": Family("ViT", "class token"),
        "DeiTBackbone": Family("DeiT", "class token"),
        # The linear classifiers of the paper read both joined (arXiv:2304.07193, B.3); DINOv3's
        # training is of the same kind.
        "DINOV2Backbone": Family("DINOv2", "class token, mean of patches"),
        "DINOV3Backbone": Family("DINOv3", "class token, mean of patches"),
        # It was trained with attention pooling, whose output its encoder gives (arXiv:2303.15343).
        "SigLIPBackbone": Family("SigLIP", "none", "vision_encoder"),
        # Contrastive training reads the class token alone (arXiv:2103.00020).
        "CLIPBackbone": Family("CLIP", "class token", "vision_encoder"),
    }
)
# Any other network for images: what it gives is averaged, whether it is a map or tokens.
_OTHER = Family("", "average")
# Arguments of KerasHub's networks that drop values in training.
_DROPPING = ("dropout_rate", "attention_dropout", "drop_path_rate", "drop_path", "dropout")
_LEAST_PIXELS = 16
# Of a model card, what stands before its text.
_FRONT_MATTER = re.compile(r"---\n(?:(?!---).*\n)*?licen[sc]e: *(\S[^\n]*)\n")


def hub_backbone(name: str, image_size: int | None = None) -> tuple[BackboneSpec, int]:
    """Returns the row of a preset, and its image size; reads its configuration, no weights.

    Args:
        name: "hub:" and the name of a preset, an address such as hf://OWNER/NAME, or a folder.
        image_size: side of the square input, px; None for the preset's own.

    Raises:
        UserError: KerasHub is not installed; there is no such preset, or it is none for images; or
            it takes no photos of that size.
        XferlearnError: it can't be downloaded or read.
    """
    preset = name.removeprefix(HUB)
    hub = import_hub(name)
    with _explained(name, preset):
        loader = hub.src.utils.preset_utils.get_preset_loader(preset)
        kind = loader.check_backbone_class()
        family = FAMILIES.get(kind.__name__, _OTHER)
        own = _own_size(loader.config, family)
        converter = _converter(hub, preset)
    if converter is None and family is _OTHER:
        raise UserError(
            f"{name} ({kind.__name__}) is no backbone for photos: it has no image converter, which"
            " says how photos become its input."
        )
    if converter is None:
        raise UserError(
            f"{name} has no image_converter.json, which says what values it takes, and a wrong"
            " guess gives wrong labels. Save its image converter beside it"
            f" (`keras_hub.layers.{family.title}ImageConverter(...).save_to_preset(...)`)."
        )
    if converter.image_size:
        height, width = converter.image_size
        if height != width:
            raise UserError(
                f"{name} takes photos of {width} x {height} px, and only squares are fed here."
            )
        own = own or height
        stated = height
    else:
        stated = own
    size = image_size or stated
    if not size:
        raise UserError(f"{name} does not say for photos of which size it is. Give `image_size`.")
    held = json.dumps(loader.config, sort_keys=True).encode()
    spec = BackboneSpec(
        name=f"hub_{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(preset).name)}",
        builder=f"{__name__}.build_network",
        arguments={"preset": preset, "family": family},
        image_size=stated or size,
        preprocessing=_preprocessing(name, converter).text,
        width=0,
        parameters=0,
        source="",
        weights_file="",
        requirement="xferlearn[hub]",
        licence=_licence(hub, preset),
        family=family.title,
        min_size=_LEAST_PIXELS,
        imagenet_sizes=(),
        pooling=family.pooling,
        prefix_tokens=_prefix_tokens(kind.__name__, loader.config.get("config", {})),
        origin=name,
        configuration=hashlib.sha256(held).hexdigest(),
    )
    return spec, checked_size(spec, size)


def build_network(
    *, preset: str, family: Family, input_shape: tuple[int, int, int], weights: str | None
) -> "keras.Model":
    """Returns the network of a preset for photos of a size; the builder of rows made here.

    Args:
        preset: its name, address or folder.
        family: of its class.
        input_shape: (height, width, 3) in px.
        weights: None for random ones.

    Raises:
        UserError: it takes no photos of that size, or is none for images.
        XferlearnError: it can't be downloaded or read.
    """
    name = f"{HUB}{preset}"
    hub = import_hub(name)
    with _explained(name, preset):
        loader = hub.src.utils.preset_utils.get_preset_loader(preset)
        kind = loader.check_backbone_class()
        takes = inspect.signature(kind.__init__).parameters
        arguments: dict[str, Any] = {one: 0.0 for one in _DROPPING if one in takes}
        # A tower is built at its own size.
        if "image_shape" in takes:
            arguments["image_shape"] = input_shape
        try:
            model = loader.load_backbone(kind, weights is not None, dtype="float32", **arguments)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{name} can't be built for photos of {input_shape[0]} px: {one_line(error, 300)}"
            ) from error
    network = getattr(model, family.tower) if family.tower else model
    images = [one for one in network.inputs if len(one.shape) == 4 and one.shape[-1] == 3]
    if len(network.inputs) != 1 or not images or len(network.outputs) != 1:
        raise UserError(
            f"{name} ({kind.__name__}) is no backbone for photos: it takes"
            f" {len(network.inputs)} inputs and gives {len(network.outputs)} outputs."
        )
    if images[0].shape[1] not in (None, input_shape[0]):
        raise UserError(
            f"{name} takes photos of {images[0].shape[1]} px alone. Received: {input_shape[0]} px."
        )
    return _of_keras_alone(network) if _needs_no_hub(network) else network


def _needs_no_hub(network: "keras.Model") -> bool:
    layers = network._flatten_layers(include_self=False)
    return all(type(layer).__module__.startswith("keras.") for layer in layers)


def _of_keras_alone(network: "keras.Model") -> "keras.Model":
    """Returns a network without KerasHub's class, so that a saved model loads with Keras alone.

    Others keep their class: not all layers of KerasHub can be saved without it.
    """
    import keras

    return keras.Model(network.inputs[0], network.outputs[0])


def import_hub(name: str) -> Any:
    """Returns KerasHub.

    Args:
        name: what needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError(f"{name} needs KerasHub: {INSTALL}.")
    start_tensorflow()
    with warnings.catch_warnings():
        # Of its dependencies, about their own future.
        warnings.simplefilter("ignore")
        import keras_hub
        import keras_hub.src.utils.preset_utils

    return keras_hub


@contextlib.contextmanager
def _explained(name: str, preset: str) -> Iterator[None]:
    """Turns what KerasHub and the hubs raise into one line.

    Raises:
        UserError: there is no such preset.
        XferlearnError: it can't be downloaded or read.
    """
    from keras_hub.src.utils.preset_utils import BUILTIN_PRESETS

    local = "://" not in preset and preset not in BUILTIN_PRESETS
    if local and not Path(preset).is_dir():
        near = did_you_mean(preset, BUILTIN_PRESETS)
        raise UserError(
            f"There is no preset {preset!r} in KerasHub, nor a folder of that name.{near}"
            " `xferlearn backbones --hub` lists those for images."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except XferlearnError:
        raise
    except Exception as error:  # every hub has errors of its own
        reason = one_line(error, 300)
        if local:
            raise UserError(f"{preset} can't be read as a preset of KerasHub: {reason}") from error
        raise XferlearnError(
            f"Can't download the preset {name} ({type(error).__name__}: {reason}). Where it was"
            f" saved with `save_to_preset`, {HUB}FOLDER needs no download."
        ) from error


def _own_size(config: Mapping[str, Any], family: Family) -> int | None:
    """Returns the side of the photos that a preset's network was built for, px."""
    held = config.get("config", config)
    if family.tower and isinstance(held.get(family.tower), dict):
        held = held[family.tower].get("config", {})
    shape = held.get("image_shape")
    return shape[0] if isinstance(shape, (list, tuple)) and len(shape) == 3 else None


def _prefix_tokens(kind: str, config: Mapping[str, Any]) -> int:
    """Returns how many tokens of a network's output come before those of patches."""
    if not kind.startswith("DINO"):
        return 0
    default = {"DINOV2Backbone": 0, "DINOV3Backbone": 4}.get(kind, 0)
    return 1 + int(config.get("num_register_tokens", default))


def _converter(hub: Any, preset: str) -> Any:
    """Returns a preset's image converter; None for none, as of a network for text."""
    try:
        return hub.layers.ImageConverter.from_preset(preset)
    except (ValueError, FileNotFoundError, KeyError, NotImplementedError):
        return None


def _preprocessing(name: str, converter: Any) -> Preprocessing:
    import numpy as np
    from keras_hub.layers import ImageConverter

    if type(converter).call is not ImageConverter.call:
        raise UserError(
            f"{name} has an image converter of its own kind ({type(converter).__name__}), which"
            " can't be built into a model."
        )

    def each(value: Any, default: float) -> tuple[float, float, float]:
        held = np.ravel(default if value is None else np.asarray(value, float))
        if held.size not in (1, 3):
            raise UserError(f"{name} is for photos of {held.size} channels, not of three.")
        red, green, blue = np.broadcast_to(held, 3).tolist()
        return red, green, blue

    return Preprocessing(each(converter.scale, 1.0), each(converter.offset, 0.0))


def preset_licence(held: Mapping[str, Any]) -> Licence:
    """Returns the licence of a preset's weights as KerasHub's own list states it."""
    metadata = held.get("metadata", {})
    source = metadata.get("model_card") or held.get("kaggle_handle", "")
    return Licence(_stated(metadata) or UNKNOWN, source)


def _licence(hub: Any, preset: str) -> Licence:
    """Returns the licence of a preset's weights, as its metadata or its page state it."""
    utils = hub.src.utils.preset_utils
    listed = preset_licence(utils.BUILTIN_PRESETS.get(preset, {}))
    name = listed.name if listed.name != UNKNOWN else ""
    with contextlib.suppress(Exception):  # not every preset has the file
        name = name or _stated(utils.load_json(preset, utils.METADATA_FILE))
    if not name and not listed.source:
        with contextlib.suppress(Exception):
            text = Path(utils.get_file(preset, utils.README_FILE)).read_text(encoding="utf-8")
            found = _FRONT_MATTER.match(text)
            name = found[1].strip("\"' ") if found else ""
    return Licence(name or UNKNOWN, listed.source or (preset if "://" in preset else ""))


def _stated(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("license") or metadata.get("licence") or "")
