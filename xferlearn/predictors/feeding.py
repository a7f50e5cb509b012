"""What one input of a model is fed: pixels of a photo -> the values that it takes."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.errors import UserError
from xferlearn.inspection import GraphReport, InputReport

# Luma of ITU-R BT.601, as libjpeg computes it.
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Feed:
    """One input, and what becomes of pixels before they go there.

    Attributes:
        tensor: what the model's runtime calls the input.
        name: what its report calls it.
        height: px.
        width: px.
        channels: 3, or 1 for gray.
        batch: number of photos that every call must bring; None for any.
        dtype: as in NumPy.
        layout: "NHWC" or "NCHW".
        bgr: True where the order of the colours is blue, green, red.
        mean: one value, or one per channel in the order R, G, B.
        std: as mean; a pixel p (0 to 255) becomes (p - mean) / std.
        quantization: (scale, zero point) where integers stand for the values made so; 8-bit
            inputs take pixels, and have None.
    """

    tensor: str
    name: str
    height: int
    width: int
    channels: int
    batch: int | None
    dtype: str
    layout: str
    bgr: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quantization: tuple[float, int] | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape that is fed, the batch's size first."""
        if self.layout == "NCHW":
            return self.batch, self.channels, self.height, self.width
        return self.batch, self.height, self.width, self.channels

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Returns what the input takes.

        Args:
            pixels: uint8, [batch, height, width, 3], RGB, range [0, 255].
        """
        values = pixels.astype(np.float32)
        if self.mean != (0.0,) or self.std != (1.0,):
            mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
            values = (values - mean) / std
        if self.channels == 1:
            values = (values @ _GRAY)[..., None]
        elif self.bgr:
            values = values[..., ::-1]
        if self.layout == "NCHW":
            values = values.transpose(0, 3, 1, 2)
        dtype = np.dtype(self.dtype)
        if self.quantization is not None:
            scale, zero_point = self.quantization
            values = values / np.float32(scale) + np.float32(zero_point)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.round(values), limits.min, limits.max)
        return np.ascontiguousarray(values.astype(dtype))

    def batched(self, run: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
        """Returns a function of pixels of any number of photos.

        Args:
            run: what `values` returns, `batch` photos of it where that is a number, to results,
                [photos, ...].
        """

        def whole(pixels: np.ndarray) -> np.ndarray:
            size = self.batch
            if size is None:
                return run(self.values(pixels))
            parts = []
            for start in range(0, len(pixels), size):
                part = pixels[start : start + size]
                spare = [(0, size - len(part)), (0, 0), (0, 0), (0, 0)]
                parts.append(run(self.values(np.pad(part, spare)))[: len(part)])
            return np.concatenate(parts)

        return whole


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std as it was settled, with the note that says what was assumed."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    warnings: tuple[str, ...] = ()


# How these are known leaves no doubt; a recognised backbone may have been trained otherwise.
_FIRM = ("metadata", "layer in the model", "constants in the graph", "quantisation", "dtype")
_TORCH_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
_TORCH_STD = tuple(255 * value for value in (0.229, 0.224, 0.225))
_OVERRIDE = "override it with `input_mean` and `input_std`"


def settle_values(
    report: GraphReport, one: InputReport, mean: float | None, std: float | None
) -> Normalisation:
    """Decides which values an input is fed.

    Args:
        report: of the model.
        one: the input.
        mean: what the user gave, None for nothing; likewise `std`.

    Raises:
        UserError: when what the user gave contradicts the model.
    """
    given = mean is not None or std is not None
    if one.mean is not None and one.std is not None:
        known = Normalisation(one.mean, one.std)
        if not given:
            return known
        asked = _completed(known, mean, std)
        if _same(known, asked):
            return asked
        reason = f"{format_values(known)} ({one.range_detail})"
        if one.range_source in _FIRM:
            raise UserError(
                f"`input_mean` and `input_std` ask for {format_values(asked)}, but {one.name!r} of"
                f" {report.path} takes {reason}. Leave them out."
            )
        warning = f"{format_values(asked)} is fed as asked for; expected was {reason}."
        return dataclasses.replace(asked, warnings=(warning,))
    if one.layout == "NCHW" and one.channels == 3:
        assumed, why = Normalisation(_TORCH_MEAN, _TORCH_STD), ", as PyTorch's models take,"
    else:
        # 0 and 255 are also what the lab's label_image.py takes where nothing is given.
        assumed, why = Normalisation((0.0,), (255.0,)), ", the range [0, 1],"
    if mean is not None and std is not None:
        return Normalisation((mean,), (std,))
    settled = _completed(assumed, mean, std)
    warning = (
        f"the file does not tell which values {one.name!r} takes; {format_values(settled)}"
        f"{'' if given else why} was assumed: {_OVERRIDE} (127.5 and 127.5 for [-1, 1], 0 and 1"
        " for [0, 255])."
    )
    return dataclasses.replace(settled, warnings=(warning,))


def _completed(known: Normalisation, mean: float | None, std: float | None) -> Normalisation:
    return Normalisation(
        known.mean if mean is None else (mean,), known.std if std is None else (std,)
    )


def _same(known: Normalisation, asked: Normalisation) -> bool:
    """Tells whether two agree to 1% of the range: 128 and 128 do for 127.5 and 127.5."""
    ends = np.array([[0.0], [255.0]])
    have = (ends - np.array(known.mean)) / np.array(known.std)
    want = (ends - np.array(asked.mean)) / np.array(asked.std)
    return bool(np.all(np.abs(have - want) <= 0.01 * np.ptp(have)))


def format_values(values: Normalisation) -> str:
    """Returns the arithmetic in words that fit a message."""
    if values.mean == (0.0,) and values.std == (1.0,):
        return "pixels as they are (mean 0, std 1)"
    return f"(pixel - {_numbers(values.mean)}) / {_numbers(values.std)}"


def _numbers(values: tuple[float, ...]) -> str:
    listed = ", ".join(f"{value:.6g}" for value in values)
    return listed if len(values) == 1 else f"[{listed}]"
