"""Which photos are used: the caps on their size, and what happens to those that can't be used."""

import dataclasses

from xferlearn.config import ImageConfig, PhotoConfig


@dataclasses.dataclass(frozen=True)
class PhotoLimits:
    """What reading and decoding need to know of the settings; the defaults are `config`'s.

    Attributes:
        max_image_bytes: larger files are not read.
        max_image_pixels: photos with more pixels are not decoded.
        on_bad_image: "skip" lists photos that can't be used and goes on, "fail" stops at the first.
        max_memory: bytes that the process may take, which bounds the pixels decoded at a time;
            None for half of what is free.
        bit_depth: bits used of photos with more than 8 per channel, at least; None for what each
            needs.
        read_seconds: how long the reading of a photo may take.

    Example:
        >>> PhotoLimits(max_image_pixels=10_000_000)
    """

    max_image_bytes: int = ImageConfig.max_image_bytes
    max_image_pixels: int = ImageConfig.max_image_pixels
    on_bad_image: str = ImageConfig.on_bad_image
    max_memory: int | None = None
    bit_depth: int | None = None
    read_seconds: float = 60.0

    @classmethod
    def of(cls, config: PhotoConfig, bit_depth: int | None = None) -> "PhotoLimits":
        """Returns the limits that the settings of a command ask for."""
        return cls(
            config.max_image_bytes,
            config.max_image_pixels,
            config.on_bad_image,
            None if config.max_memory is None else int(config.max_memory),
            bit_depth,
        )
