"""Which layers of a backbone are trained, and copies that leave the original unchanged."""

from typing import TYPE_CHECKING

from xferlearn.errors import UserError, did_you_mean
from xferlearn.training.finetuning.cutting import automatic_cut, leaves, network_of

if TYPE_CHECKING:
    import keras


def select_layers(backbone: "keras.Model", unfreeze: str) -> list["keras.layers.Layer"]:
    """Returns the layers that `unfreeze` means: those with weights, but no BatchNormalization.

    Args:
        backbone: as `load_backbone` returns it.
        unfreeze: "auto", for what comes after `automatic_cut`; "all"; a number, for the last ones;
            or the name of a layer, or the beginning of a block's layers' names, for everything
            from the first such layer on.

    Raises:
        UserError: when there is no such layer.
    """
    import keras

    every = list(leaves(backbone.layers))
    trainable = [
        layer
        for layer in every
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    network = network_of(backbone)
    if unfreeze == "auto" and (cut := automatic_cut(network)) is not None:
        after = {id(layer) for layer in leaves(network.operations[cut.position :])}
        return [layer for layer in trainable if id(layer) in after]
    if unfreeze in ("all", "auto"):
        return trainable
    if unfreeze.isdecimal():
        count = int(unfreeze)
        if not 1 <= count <= len(trainable):
            raise UserError(
                f"Expected `unfreeze` to be 1 to {len(trainable)} layers of {backbone.name}, auto,"
                f" all or a layer's name. Received: {unfreeze}."
            )
        return trainable[-count:]
    names = [layer.name for layer in every]
    matches = [name for name in names if name == unfreeze] or [
        name for name in names if name.startswith(unfreeze)
    ]
    if not matches:
        some = ", ".join(layer.name for layer in trainable[-6:])
        near = did_you_mean(unfreeze, names)
        raise UserError(
            f"{backbone.name} has no layer or block {unfreeze!r}.{near} Its last layers are {some};"
            f" `xferlearn inspect` on a trained model lists them all."
        )
    later = {id(layer) for layer in every[names.index(matches[0]) :]}
    chosen = [layer for layer in trainable if id(layer) in later]
    if not chosen:
        raise UserError(f"No layer of {backbone.name} from {unfreeze!r} on has weights to train.")
    return chosen


def copy_of(model: "keras.Model") -> "keras.Model":
    """Returns a model with the same layers and weights that shares none of them."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    if hasattr(model, "backbone_spec"):
        copy.backbone_spec = model.backbone_spec
    return copy


def unfreeze(backbone: "keras.Model", chosen: list["keras.layers.Layer"]) -> None:
    """Makes layers of a backbone trainable, and no others."""
    wanted = {id(layer) for layer in chosen}
    backbone.trainable = True
    for layer in leaves(backbone.layers):
        layer.trainable = id(layer) in wanted
