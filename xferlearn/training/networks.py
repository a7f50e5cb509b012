"""The frozen networks that settings name: of the table, of KerasHub, or the user's own models."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.backbones import BackboneSpec, combine_backbones, load_rows, resolve_backbones
from xferlearn.backbones.loading import check_weights
from xferlearn.backbones.names import Resolve
from xferlearn.bottlenecks.networks import FrozenNetwork, frozen_network
from xferlearn.config import TrainConfig, default_bottleneck_dir, local_bottleneck_dir
from xferlearn.config.base import Several, settings_of
from xferlearn.config.heads import BackboneConfig, OwnNetworkConfig
from xferlearn.errors import UserError
from xferlearn.system.folders import check_writable
from xferlearn.training.own_models import own_backbone

if TYPE_CHECKING:
    import keras


def rows_of(config: TrainConfig) -> tuple[tuple[BackboneSpec, int], ...]:
    """Returns the rows of the backbones that a config names, and their image sizes.

    Raises:
        UserError: there is no such backbone, it takes no photos of that size, or it can't serve.
    """
    return resolve_backbones(config.backbone, config.image_size, _own(config))


def check_backbone(config: TrainConfig) -> None:
    """Checks, before any work, that backbone and image size exist, and what is said fits them.

    Raises:
        UserError: when they don't.
    """
    _check_stated(rows_of(config), config)


def load_networks(config: TrainConfig) -> tuple[FrozenNetwork, ...]:
    """Returns the frozen networks that a config names, one or several.

    Those whose feature space is known from an earlier run are loaded only where their layers are
    needed.
    """
    rows = rows_of(config)
    check_weights(rows, config.weights)
    root = local_bottleneck_dir(config)
    return tuple(
        frozen_network(spec, size, config.weights, root, verbose=config.verbose)
        for spec, size in rows
    )


def load_backbone(
    name: "str | Path | Sequence[str] | keras.Model",
    *,
    weights: str | Path | None = "imagenet",
    image_size: int | None = None,
    bottleneck_layer: str | None = None,
    input_range: Several[float] | None = None,
    input_mean: Several[float] | None = None,
    input_std: Several[float] | None = None,
    input_channels: str | None = None,
    seed: int = 0,
    verbose: int = 1,
) -> "keras.Model":
    """Loads a frozen backbone: raw pixels in, bottlenecks out.

    Its layers are `image`, `preprocessing`, the network under the backbone's name, and `pooling`.
    They are Keras' own, so a saved model loads without this package; some networks of KerasHub
    need its classes. It computes in float32, whatever policy `keras.config.set_dtype_policy` sets
    for other layers.

    Args:
        name: of a backbone of the table, or "hub:PRESET" for one of KerasHub: a preset's name, an
            address such as hf://OWNER/NAME, or a folder as `save_to_preset` writes it; or a Keras
            model of your own, its path or the model itself, of which a copy is taken. Several are
            combined: their bottlenecks stand side by side.
        weights: "imagenet"; "none" or None for random ones; or, for one backbone of the table, a
            weights file: .weights.h5, .h5, .keras, for EfficientNet-Lite also .pth. Presets and
            your own models have weights of their own, for which "imagenet" stands.
        image_size: side of the input, px; None for the size in the name, or else the backbone's.
        bottleneck_layer: of a model of your own, the layer that gives the bottlenecks; None for
            the one before the last dense layer.
        input_range: of a model of your own, the values that it takes for a black and for a white
            pixel; None for what its layers show.
        input_mean: of a model of your own that takes (pixel - input_mean) / input_std.
        input_std: see `input_mean`.
        input_channels: of a model of your own, "rgb" or "bgr".
        seed: seed of random weights. The global random state stays as it is.
        verbose: 0 shows nothing, 1 shows the progress of a download.

    Returns:
        A functional model: float32 [batch, size, size, 3], RGB, range [0, 255], to float32
        [batch, width]. Nothing in it is trainable, and it computes the same during training.
        When you unfreeze layers, leave the BatchNormalization layers frozen.

    Raises:
        UserError: the name, size, model or weights file can't be used; or a model does not say
            which values it takes.
        XferlearnError: the weights can't be downloaded or read.

    Example:
        >>> load_backbone("efficientnet_lite0").output_shape
        (None, 1280)
        >>> load_backbone("hub:./tiny_vit").output_shape
        (None, 16)
    """
    config = BackboneConfig(
        backbone=str(name) if isinstance(name, Path) else name,
        bottleneck_layer=bottleneck_layer,
        input_range=input_range,
        input_mean=input_mean,
        input_std=input_std,
        input_channels=input_channels,
    )
    rows = resolve_backbones(config.backbone, image_size, _own(config))
    _check_stated(rows, config)
    return combine_backbones(load_rows(rows, weights, seed=seed, verbose=verbose))


def _own(stated: OwnNetworkConfig) -> Resolve:
    return functools.partial(own_backbone, stated=stated)


def _check_stated(rows: Sequence[tuple[BackboneSpec, int]], config: BackboneConfig) -> None:
    """Sees that what is said of a model of the user's own is said of one."""
    if any(spec.name.startswith("own_") for spec, _ in rows):
        return
    for name in settings_of(OwnNetworkConfig):
        if getattr(config, name) is not None:
            raise UserError(
                f"`{name}` belongs to a Keras model of your own as `backbone`. {config.backbone}"
                " has its own."
            )


def check_result_folders(config: TrainConfig) -> None:
    """Checks, before any work, that bottlenecks and logs can be written.

    Raises:
        UserError: when they can't be.
    """
    check_writable("bottleneck_dir", config.bottleneck_dir or default_bottleneck_dir())
    if config.summaries != "none":
        check_writable("logs_dir", config.logs_dir)
