"""Views of a photo: which part of it is seen, mirrored or not, how bright.

A view follows from the photo's content and a number, so it is the same in every run, and its
bottleneck can be cached like the photo's own.
"""

import dataclasses
import hashlib
import struct

import numpy as np

from xferlearn.config import AUGMENTATIONS, TrainConfig

# Shorter side to 256/224 of what the network sees, then the centre: 1.2 points better on the
# flowers than squashing the whole photo into the square.
CROP_FRACTION = 0.875


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """One way to look at a photo.

    Attributes:
        window: side of what is seen, as a share of the largest box that fits into the photo.
        reach: share of the photo's sides that the window may lie in, around the centre; 0 for the
            central `CROP_FRACTION` of the largest box.
        x: where in it, 0 (left) to 1 (right), as the photo is stored.
        y: likewise, 0 (top) to 1.
        flip: mirrored left to right, once upright.
        brightness: factor on the pixels; 1 changes nothing.
    """

    window: float = CROP_FRACTION
    reach: float = 0.0
    x: float = 0.5
    y: float = 0.5
    flip: bool = False
    brightness: float = 1.0

    def key(self, digest: bytes) -> bytes:
        """Returns the name of this view of a photo, 32 bytes; its digest for the plain view."""
        if self == PLAIN:
            return digest
        numbers = (self.window, self.reach, self.x, self.y, float(self.flip), self.brightness)
        return hashlib.sha256(digest + struct.pack("<6d", *numbers)).digest()

    def parameters(self, width: int, height: int, aspect: float = 1.0) -> tuple[float, ...]:
        """Returns what `pixels.decode_pixels` takes for a photo.

        Args:
            width: of the photo as stored, px.
            height: likewise.
            aspect: width by height of what the network sees, in the photo's orientation.

        Returns:
            Top, left, height and width of the window as shares of the photo, in [0, 1]; 1 for
            mirrored, else 0; the factor on the pixels.
        """
        largest = (min(width, height * aspect), min(height, width / aspect))
        sides = (width, height)
        places = []
        for side, box, at in zip(sides, largest, (self.x, self.y), strict=True):
            size = box * self.window
            room = side * self.reach if self.reach else box * CROP_FRACTION
            start = (side - room) / 2 + at * max(room - size, 0.0)
            places.append((start / side, size / side))
        (left, share_x), (top, share_y) = places
        return (top, left, share_y, share_x, float(self.flip), self.brightness)


PLAIN = View()


@dataclasses.dataclass(frozen=True, slots=True)
class Augmentation:
    """What may vary from view to view; the names and percentages are the lab's.

    Attributes:
        flip_left_right: half of the views are mirrored.
        random_crop: margin in percent: the window has 100 / (100 + margin) of the photo's shorter
            side, and lies anywhere in the photo. With 0 it stays in the centre.
        random_scale: the photo is enlarged by up to this many percent.
        random_brightness: the pixels are multiplied by 1 plus or minus up to this many percent.
    """

    flip_left_right: bool = False
    random_crop: float = 0.0
    random_scale: float = 0.0
    random_brightness: float = 0.0

    @classmethod
    def of(cls, config: TrainConfig, *, fine_tuning: bool = False) -> "Augmentation":
        """Returns what the settings ask for: `augment`'s preset, and what is set beside it.

        Args:
            config: `augment` and the lab's four settings.
            fine_tuning: for the fine-tuning, or for the head on cached bottlenecks.
        """
        own = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls)}
        name = config.augment
        if name == "auto":
            name = "full" if fine_tuning and cls(**own) == cls() else "none"
        preset = AUGMENTATIONS[name]
        return cls(**{key: value or preset.get(key, value) for key, value in own.items()})

    @property
    def most_views(self) -> int | None:
        """How many different views there are of a photo; None if their number has no limit."""
        if self.random_crop or self.random_scale or self.random_brightness:
            return None
        return 2 if self.flip_left_right else 1

    def numbers(self, most: int) -> range:
        """Returns the numbers of a photo's first views, 0 (the plain one) and up.

        Args:
            most: how many there may be; there are fewer where they would repeat.
        """
        return range(most if self.most_views is None else min(most, self.most_views))

    @property
    def smallest_window(self) -> float:
        """The smallest `View.window` that is drawn."""
        return self._window() / (1 + self.random_scale / 100)

    def view(self, digest: bytes, number: int) -> View:
        """Returns a view of the photo with a digest; number 0 is the plain one."""
        if number == 0:
            return PLAIN
        if self.most_views is not None:
            return View(flip=self.flip_left_right and number % 2 == 1)
        seed = hashlib.sha256(digest + number.to_bytes(8, "big")).digest()
        draw = np.random.default_rng(int.from_bytes(seed[:16], "big"))
        x, y, enlarged, brighter, flip = draw.random(5).tolist()
        return View(
            window=self._window() / (1 + enlarged * self.random_scale / 100),
            reach=1.0 if self.random_crop else 0.0,
            x=x,
            y=y,
            flip=self.flip_left_right and flip < 0.5,
            brightness=1 + (2 * brighter - 1) * self.random_brightness / 100,
        )

    def _window(self) -> float:
        return 100 / (100 + self.random_crop) if self.random_crop else CROP_FRACTION
