"""What the input of a model is fed: its size, and how pixels become its values."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.config import ModelConfig
from xferlearn.config.models import as_numbers
from xferlearn.errors import UserError
from xferlearn.inspection import (
    FORMATS,
    GraphReport,
    InputReport,
    eight_bit_span,
    fits_integers,
    missing_size,
    missing_values,
)
from xferlearn.model_folder import ModelFolder

# What a model gives for a batch, one array per output that is read.
Arrays = tuple[np.ndarray, ...]
# Luma of ITU-R BT.601, as libjpeg computes it.
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Feed:
    """One input, and how its values are made of pixels.

    Attributes:
        tensor: what the model's runtime calls the input.
        name: what its report calls it.
        height: px.
        width: px.
        channels: 3, or 1 for gray.
        batch: number of photos that every call must have; None for any.
        dtype: as in NumPy.
        layout: "NHWC", "NCHW" or "NHW".
        bgr: whether the order of the colours is blue, green, red.
        mean: one value, or one per channel in the order R, G, B.
        std: as mean; a pixel p (0 to 255) becomes (p - mean) / std.
        quantization: (scale, zero point) where integers stand for these values; None where they
            are these values.
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
        """The shape that is fed, batch size first."""
        if self.layout == "NCHW":
            return self.batch, self.channels, self.height, self.width
        if self.layout == "NHW":
            return self.batch, self.height, self.width
        return self.batch, self.height, self.width, self.channels

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Returns what the input takes, in its own shape and dtype.

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
        elif self.layout == "NHW":
            values = values[..., 0]
        dtype = np.dtype(self.dtype)
        if self.quantization is not None:
            scale, zero_point = self.quantization
            values = values / np.float32(scale) + np.float32(zero_point)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.round(values), limits.min, limits.max)
        return np.ascontiguousarray(values.astype(dtype))

    def batched(self, run: Callable[[np.ndarray], Arrays]) -> Callable[[np.ndarray], Arrays]:
        """Returns a function from the pixels of any number of photos to results, [photos, ...].

        Args:
            run: from what `values` returns to results, one array per output; called with `batch`
                photos where that is a number.
        """

        def whole(pixels: np.ndarray) -> Arrays:
            size = self.batch
            if size is None:
                return run(self.values(pixels))
            parts = []
            for start in range(0, len(pixels), size):
                part = pixels[start : start + size]
                spare = [(0, size - len(part)), (0, 0), (0, 0), (0, 0)]
                results = run(self.values(np.pad(part, spare)))
                parts.append([result[: len(part)] for result in results])
            return tuple(map(np.concatenate, zip(*parts, strict=True)))

        return whole


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std as it was settled, with warnings on what was assumed."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    warnings: tuple[str, ...] = ()


# These sources are certain; a recognised backbone may have been trained with other values.
_FIRM = ("metadata", "layer in the model", "constants in the graph", "dtype")


def settle_values(report: GraphReport, one: InputReport, config: ModelConfig) -> Normalisation:
    """Decides which values an input is fed.

    Args:
        report: on the model.
        one: the input.
        config: with the range, or mean and standard deviation, that the user gave.

    Raises:
        UserError: what the user gave contradicts the model, or the model does not state which
            values it takes and the user does not either.
    """
    known = Normalisation(one.mean, one.std) if one.mean and one.std else None
    asked, settings = _asked(known, config)
    if asked is not None and one.channels == 1 and max(len(asked.mean), len(asked.std)) > 1:
        raise UserError(
            f"{one.name!r} of {report.path} takes gray pixels. Give one number each for"
            " `input_mean` and `input_std`."
        )
    if asked is None:
        if known is not None:
            return known
        raise UserError(missing_values(report, one))
    middle, deviation = float(np.mean(asked.mean)), float(np.mean(asked.std))
    given = (-middle / deviation, (255 - middle) / deviation)
    if not fits_integers(given, one.dtype, one.quantization):
        low, high = eight_bit_span(one.dtype, one.quantization) or (0.0, 0.0)
        raise UserError(
            f"{settings} for {format_values(asked)}, but the 8 bits of {one.name!r} of"
            f" {report.path} stand for {low:.4g} to {high:.4g}. Give what fits in there."
        )
    if known is None or _same(known, asked):
        return asked
    reason = f"{format_values(known)} ({one.range_detail})"
    if one.range_source in _FIRM:
        raise UserError(
            f"{settings} for {format_values(asked)}, but {one.name!r} of {report.path} takes"
            f" {reason}. Leave them out."
        )
    warning = f"{format_values(asked)} is fed, as asked for; expected was {reason}."
    return dataclasses.replace(asked, warnings=(warning,))


def _asked(known: Normalisation | None, config: ModelConfig) -> tuple[Normalisation | None, str]:
    """Returns what the user asks for, None for nothing, and the settings that do."""
    if config.input_range is not None:
        low, high = as_numbers(config.input_range)
        scale = 255 / (high - low)
        return Normalisation((0.0 - low * scale,), (scale,)), "`input_range` asks"
    mean, std = (
        None if value is None else as_numbers(value)
        for value in (config.input_mean, config.input_std)
    )
    if mean is None and std is None:
        return None, ""
    if known is None and (mean is None or std is None):
        given, other = ("input_std", "input_mean") if mean is None else ("input_mean", "input_std")
        raise UserError(f"Expected `{other}` too. Received: `{given}` alone.")
    asked = Normalisation(
        known.mean if mean is None and known is not None else mean or (),
        known.std if std is None and known is not None else std or (),
    )
    return asked, "`input_mean` and `input_std` ask"


def _same(known: Normalisation, asked: Normalisation) -> bool:
    """Returns whether two agree to 1% of the range, e.g. mean and std 127.5 with 128."""
    ends = np.array([[0.0], [255.0]])
    have = (ends - np.array(known.mean)) / np.array(known.std)
    want = (ends - np.array(asked.mean)) / np.array(asked.std)
    return bool(np.all(np.abs(have - want) <= 0.01 * np.ptp(have)))


def format_values(values: Normalisation) -> str:
    """Returns the arithmetic in words, for messages."""
    if values.mean == (0.0,) and values.std == (1.0,):
        return "pixels as they are (mean 0, std 1)"
    return f"(pixel - {_numbers(values.mean)}) / {_numbers(values.std)}"


def _numbers(values: tuple[float, ...]) -> str:
    listed = ", ".join(f"{value:.6g}" for value in values)
    return listed if len(values) == 1 else f"[{listed}]"


def _settle_channels(
    report: GraphReport, one: InputReport, config: ModelConfig
) -> tuple[bool, str]:
    """Decides whether an input takes blue first; also returns a warning, "" for none.

    Raises:
        UserError: what the user gave contradicts the model.
    """
    asked, known = config.input_channels, one.channel_order.lower()
    if asked is None or asked == known:
        return known == "bgr", ""
    named = f"{one.name!r} of {report.path}"
    if one.channels == 1:
        raise UserError(f"{named} takes gray pixels. Leave `input_channels` out.")
    if one.range_source == "metadata":
        raise UserError(
            f"`input_channels={asked!r}`, but {named} takes {known} ({one.range_detail}). Leave it"
            " out."
        )
    if one.range_source == "known backbone":
        return asked == "bgr", f"{asked} is fed, as asked for; expected was {known}."
    return asked == "bgr", ""


def settle_feed(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[Feed, tuple[str, ...]]:
    """Decides what an input is fed; also returns what is to be known about it, in sentences.

    Args:
        report: on the model.
        one: the input.
        config: size, values and order of the colours that the user gave.
        model_folder: the model folder that the model lies in, None for none.

    Raises:
        UserError: what the user gave contradicts the model, or neither states what is needed.
    """
    height, width = _settle_size(report, one, config, model_folder)
    values = settle_values(report, one, config)
    bgr, warning = _settle_channels(report, one, config)
    layout = one.layout
    if layout == "unknown":
        layout = FORMATS[report.format].layout
    feed = Feed(
        tensor=one.tensor_name,
        name=one.name,
        height=height,
        width=width,
        channels=one.channels or 3,
        batch=one.shape[0] if one.shape else None,
        dtype=one.dtype,
        layout=layout,
        bgr=bgr,
        mean=values.mean,
        std=values.std,
        quantization=one.quantization,
    )
    return feed, (*values.warnings, *([warning] if warning else []))


def _settle_size(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[int, int]:
    asked = {"height": config.input_height, "width": config.input_width}
    known = {"height": one.height, "width": one.width}
    # A model that resizes its input itself takes any size.
    stated = not one.size_detail
    for side, value in asked.items():
        if stated and value is not None and known[side] not in (None, value):
            raise UserError(
                f"`input_{side}={value}`, but {one.name!r} of {report.path} is {one.resolution} px."
                " Leave it out."
            )
    height, width = (asked[side] or (known[side] if stated else None) for side in asked)
    # What is asked for stands for both sides; one side that the file states may not.
    other = asked["height"] or asked["width"]
    height, width = height or other, width or other
    if height and width:
        return height, width
    if one.height and one.width:
        return one.height, one.width
    if model_folder is not None:
        return model_folder.image_size, model_folder.image_size
    raise UserError(missing_size(report, one))
