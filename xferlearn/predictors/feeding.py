"""What the input of a model is fed: its size, and how pixels become its values."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.config import ModelConfig
from xferlearn.errors import UserError
from xferlearn.inspection import FORMATS, GraphReport, InputReport
from xferlearn.model_folder import ModelFolder

_DEFAULT_SIZE = 224
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
        layout: "NHWC" or "NCHW".
        bgr: whether the order of the colours is blue, green, red.
        mean: one value, or one per channel in the order R, G, B.
        std: as mean; a pixel p (0 to 255) becomes (p - mean) / std.
        quantization: (scale, zero point) where integers stand for these values; None for 8-bit
            inputs, which take pixels.
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
        dtype = np.dtype(self.dtype)
        if self.quantization is not None:
            scale, zero_point = self.quantization
            values = values / np.float32(scale) + np.float32(zero_point)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.round(values), limits.min, limits.max)
        return np.ascontiguousarray(values.astype(dtype))

    def batched(self, run: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
        """Returns a function from the pixels of any number of photos to results, [photos, ...].

        Args:
            run: from what `values` returns to results; called with `batch` photos where that is a
                number.
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
    """(pixel - mean) / std as it was settled, with warnings on what was assumed."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    warnings: tuple[str, ...] = ()


# These sources are certain; a recognised backbone may have been trained with other values.
_FIRM = ("metadata", "layer in the model", "constants in the graph", "quantisation", "dtype")
_TORCH_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
_TORCH_STD = tuple(255 * value for value in (0.229, 0.224, 0.225))
_OVERRIDE = "override it with `input_mean` and `input_std`"


def settle_values(
    report: GraphReport, one: InputReport, mean: float | None, std: float | None
) -> Normalisation:
    """Decides which values an input is fed.

    Args:
        report: on the model.
        one: the input.
        mean: as the user gave it, None for not given.
        std: likewise.

    Raises:
        UserError: what the user gave contradicts the model.
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
        warning = f"{format_values(asked)} is fed, as asked for; expected was {reason}."
        return dataclasses.replace(asked, warnings=(warning,))
    if one.layout == "NCHW" and one.channels == 3:
        assumed, why = Normalisation(_TORCH_MEAN, _TORCH_STD), ", as PyTorch's models take,"
    else:
        # 0 and 255 are also the defaults of the lab's label_image.py.
        assumed, why = Normalisation((0.0,), (255.0,)), ", the range [0, 1],"
    if mean is not None and std is not None:
        return Normalisation((mean,), (std,))
    settled = _completed(assumed, mean, std)
    warning = (
        f"the file does not state which values {one.name!r} takes; {format_values(settled)}"
        f"{'' if given else why} was assumed: {_OVERRIDE} (127.5 and 127.5 for [-1, 1], 0 and 1"
        " for [0, 255])."
    )
    return dataclasses.replace(settled, warnings=(warning,))


def _completed(known: Normalisation, mean: float | None, std: float | None) -> Normalisation:
    return Normalisation(
        known.mean if mean is None else (mean,), known.std if std is None else (std,)
    )


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


def settle_feed(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[Feed, tuple[str, ...]]:
    """Decides what an input is fed; also returns what was assumed, in sentences.

    Args:
        report: on the model.
        one: the input.
        config: size, mean and standard deviation that the user gave.
        model_folder: the model folder that the model lies in, None for none.

    Raises:
        UserError: what the user gave contradicts the model.
    """
    height, width, warnings = _settle_size(report, one, config, model_folder)
    values = settle_values(report, one, config.input_mean, config.input_std)
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
        bgr=one.channel_order == "BGR",
        mean=values.mean,
        std=values.std,
        # The report on an 8-bit input is in its own integers.
        quantization=None if one.dtype in ("uint8", "int8") else one.quantization,
    )
    return feed, (*warnings, *values.warnings)


def _settle_size(
    report: GraphReport, one: InputReport, config: ModelConfig, model_folder: ModelFolder | None
) -> tuple[int, int, tuple[str, ...]]:
    asked = {"height": config.input_height, "width": config.input_width}
    known = {"height": one.height, "width": one.width}
    for side, value in asked.items():
        if value is not None and known[side] not in (None, value):
            raise UserError(
                f"`input_{side}={value}`, but {one.name!r} of {report.path} is {one.resolution} px."
                " Leave it out."
            )
    height, width = (asked[side] or known[side] for side in ("height", "width"))
    if height or width:
        return height or width or 0, width or height or 0, ()
    if model_folder is not None:
        return model_folder.image_size, model_folder.image_size, ()
    backbone = report.backbone
    size = backbone.image_size if backbone and backbone.image_size else _DEFAULT_SIZE
    warning = (
        f"the model takes photos of any size; {size} x {size} px was assumed: override it with"
        " `input_height` and `input_width`."
    )
    return size, size, (warning,)
