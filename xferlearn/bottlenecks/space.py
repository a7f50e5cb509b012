"""The feature space: what a bottleneck depends on besides the photo."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

from xferlearn import backbones
from xferlearn.photos.pixels.operations import RESIZE_POLICY

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """Everything that a bottleneck depends on besides the photo.

    Two bottlenecks may be compared, and one used in place of the other, only within one space.

    Attributes:
        backbone: name of the network, as in `backbones.BACKBONES`, or of its row made on demand.
        weights_sha256: digest of its weights, `backbones.weights_digest`.
        image_size: side in px of the square that it sees.
        resize: how a photo becomes that square.
        preprocessing: how pixels become its input.
        pooling: how its last feature map becomes one vector.
        precision: number format that it computes in.
        width: values per bottleneck.
    """

    backbone: str
    weights_sha256: str
    image_size: int
    resize: str
    preprocessing: str
    pooling: str
    precision: str
    width: int

    @property
    def folder(self) -> str:
        """Name of the space's folder: readable first, then the digest of all fields."""
        return f"{self.backbone}-{self.image_size}-{self.digest[:16]}"

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, in hex."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()

    def as_json(self) -> str:
        """Returns all fields, the same text for equal spaces; its digest names the folder."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"


def feature_space(backbone: "keras.Model", precision: str) -> FeatureSpace:
    """Returns the feature space of a backbone, as `load_backbone` returns it, in a precision.

    The engine is not part of it: engines agree within `engines.parity.BOUNDS`, which is measured.

    Args:
        backbone: the network.
        precision: "float32" or "bfloat16".
    """
    spec = backbones.spec_of(backbone)
    pooling = spec.pooling
    if spec.configuration:
        # Weights of networks that are not in the table may be those of several networks.
        pooling += f"; network {spec.configuration[:16]}"
    return FeatureSpace(
        backbone=backbone.name,
        weights_sha256=backbones.weights_digest(backbone),
        image_size=backbone.input_shape[1],
        resize=RESIZE_POLICY,
        preprocessing=spec.preprocessing,
        pooling=pooling,
        precision=precision,
        width=backbone.output_shape[-1],
    )
