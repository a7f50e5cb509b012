"""Which photos are used: the caps on their size, and what happens to those that can't be used."""

import dataclasses

from xferlearn.config import ImageConfig


@dataclasses.dataclass(frozen=True)
class PhotoLimits:
    """What reading and decoding need to know of the settings; the defaults are `config`'s.

    Attributes:
        max_image_bytes: larger files are not read.
        max_image_pixels: photos with more pixels are not decoded.
        on_bad_image: "skip" lists photos that can't be used and goes on, "fail" stops at the first.

    Example:
        >>> PhotoLimits(max_image_pixels=10_000_000)
    """

    max_image_bytes: int = ImageConfig.max_image_bytes
    max_image_pixels: int = ImageConfig.max_image_pixels
    on_bad_image: str = ImageConfig.on_bad_image

    @classmethod
    def of(cls, config: ImageConfig) -> "PhotoLimits":
        """Returns the limits that the settings of a command ask for."""
        return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})
