"""Where a network is cut in two: a part that stays frozen, and one that is trained.

A cut is a place where one tensor carries everything that the later layers need, such as the end of
a residual block. What the frozen part gives there never changes, so it can be kept.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from xferlearn.system.runtime import float32_layers

if TYPE_CHECKING:
    import keras

# `auto` trains about this share of the multiplications, in this range, after a cut whose tensor is
# at most so many times as large as the photo's pixels, and no larger than those next to it.
_TRAINED, _RANGE, _LARGEST = 0.6, (0.25, 0.75), 1.5
# Before a cut that saves less than this share of the multiplications, nothing is worth keeping.
_LEAST_FROZEN = 0.1


@dataclasses.dataclass(frozen=True)
class Cut:
    """A place in a network where one tensor goes through.

    Attributes:
        tensor: Keras' symbol for it.
        name: the layer that gives it.
        position: how many of the network's operations come before the cut.
        trained: share of the network's multiplications that come after it, 0 to 1.
    """

    tensor: "keras.KerasTensor"
    name: str
    position: int
    trained: float

    @property
    def values(self) -> int:
        """Numbers that the tensor has per photo."""
        return math.prod(self.tensor.shape[1:])


@dataclasses.dataclass(frozen=True)
class Halves:
    """A backbone that was cut in two; both parts share its layers.

    Attributes:
        cut: where.
        frozen: from pixels to the tensor, flattened: float32, [batch, cut.values].
        trained: from there to bottlenecks.
    """

    cut: Cut
    frozen: "keras.Model"
    trained: "keras.Model"


def leaves(operations: Iterable[Any]) -> Iterator["keras.layers.Layer"]:
    """Yields layers, and in place of models the layers in them, in the order of the data."""
    import keras

    for one in operations:
        if isinstance(one, keras.Model):
            yield from leaves(one.layers)
        elif isinstance(one, keras.layers.Layer):
            yield one


def network_of(backbone: "keras.Model") -> "keras.Model":
    """Returns the network in a backbone, without preprocessing and pooling; itself if flat."""
    import keras

    nested = [one for one in backbone.operations if isinstance(one, keras.Model)]
    return nested[0] if len(nested) == 1 else backbone


def cuts_of(network: "keras.Model") -> list[Cut]:
    """Returns all cuts of a functional network, from its input to its output."""
    import keras

    operations = network.operations
    # Inputs of layers are outputs of earlier ones, the same objects.
    last_use = {id(tensor): len(operations) for tensor in network.outputs}
    for index in reversed(range(len(operations))):
        if not isinstance(operations[index], keras.layers.InputLayer):
            for tensor in keras.tree.flatten(operations[index].input):
                last_use.setdefault(id(tensor), index)
    work = [_multiplications(one) for one in operations]
    total = max(sum(work), 1)
    cuts, carried, done = [], {}, 0
    for index, operation in enumerate(operations):
        done += work[index]
        for tensor in keras.tree.flatten(operation.output):
            carried[id(tensor)] = (tensor, operation.name)
        carried = {key: one for key, one in carried.items() if last_use.get(key, -1) > index}
        if len(carried) == 1:
            ((tensor, name),) = carried.values()
            if None not in tensor.shape[1:]:
                cuts.append(Cut(tensor, name, index + 1, 1 - done / total))
    return cuts


def automatic_cut(network: "keras.Model") -> Cut | None:
    """Returns the cut from which on `unfreeze="auto"` trains a network.

    Returns:
        Of EfficientNet-Lite0 the one before block5; None where a network has none that is suited.
    """
    cuts = cuts_of(network)
    most = _LARGEST * math.prod(network.inputs[0].shape[1:])
    sizes = [math.inf, *(cut.values for cut in cuts), math.inf]
    suited = [
        cut
        for cut, before, after in zip(cuts, sizes, sizes[2:], strict=False)
        if cut.values <= min(before, after, most) and _RANGE[0] <= cut.trained <= _RANGE[1]
    ]
    return min(suited, key=lambda cut: abs(cut.trained - _TRAINED), default=None)


def split_before(backbone: "keras.Model", layer: "keras.layers.Layer") -> Halves | None:
    """Cuts a backbone at the last place before a layer where one tensor goes through.

    Args:
        backbone: as `load_backbone` returns it.
        layer: of its network, perhaps in a block of it.

    Returns:
        Both parts, or None where there is no such place, or hardly anything comes before it.

    Example:
        >>> backbone = load_backbone("efficientnet_lite0")
        >>> layer = select_layers(backbone, "block5")[0]
        >>> split_before(backbone, layer).cut.tensor.shape
        (None, 14, 14, 80)
    """
    import keras

    network = network_of(backbone)
    holds = (any(leaf is layer for leaf in leaves([one])) for one in network.operations)
    position = next((index for index, found in enumerate(holds) if found), 0)
    before = [
        cut
        for cut in cuts_of(network)
        if cut.position <= position and cut.trained <= 1 - _LEAST_FROZEN
    ]
    if not before:
        return None
    # Of those with only padding and the like between them, the smallest is cheapest to keep.
    alike = [cut for cut in before if cut.trained == before[-1].trained]
    cut = min(reversed(alike), key=lambda cut: cut.values)
    shape = cut.tensor.shape[1:]
    with float32_layers():
        pixels, inner = backbone.inputs, keras.Model(network.inputs, cut.tensor)
        rows = keras.Input((cut.values,), name="activations")
        bottleneck = keras.Model(cut.tensor, network.outputs[0])(keras.layers.Reshape(shape)(rows))
        if network is backbone:
            tensor = cut.tensor
        else:
            # A backbone is a chain: preprocessing, the network, pooling.
            chain = backbone.operations
            place = chain.index(network)
            tensor = inner(chain[place - 1].output)
            bottleneck = keras.Model(chain[place + 1].input, backbone.outputs[0])(bottleneck)
        flat = keras.layers.Flatten(name="activations")(tensor)
        return Halves(cut, keras.Model(pixels, flat), keras.Model(rows, bottleneck))


def _multiplications(operation: Any) -> int:
    """Returns about how many multiplications a layer takes per photo: weights times places."""
    import keras

    shape = keras.tree.flatten(operation.output)[0].shape
    places = math.prod(side or 1 for side in shape[1:-1])
    weights = getattr(operation, "weights", ())
    return places * sum(math.prod(one.shape) for one in weights if len(one.shape) > 1)
