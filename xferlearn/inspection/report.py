"""The report on a model: the dataclasses that `inspect_model` returns."""

import dataclasses
from typing import Any, Literal

from xferlearn.inspection.endings import Ending
from xferlearn.inspection.layers import Calibration, Shape
from xferlearn.inspection.metadata import StatedFamiliarity, WeightsLicence
from xferlearn.inspection.purpose import OutputKind

RangeSource = Literal[
    "metadata",
    "layer in the model",
    "constants in the graph",
    "known backbone",
    "quantisation",
    "dtype",
    "not needed",
    "unknown",
]
Layout = Literal["NHWC", "NCHW", "NHW", "unknown"]


@dataclasses.dataclass(frozen=True)
class InputReport:
    """One input.

    It takes (p - mean) / std for a pixel p, 0 to 255.

    Attributes:
        name: name of the layer or operation; for SavedModel and TFLite the signature's name.
        tensor_name: what the format's own runtime calls it, e.g. "input:0".
        shape: None for an axis of any size; None in all where the file does not state it.
        dtype: as in NumPy; "string" for encoded images.
        kind: "image" (pixels), "encoded image" (JPEG or PNG bytes), or "values" (anything else).
        layout: "NHWC", "NCHW", "NHW" (gray pixels without an axis for channels), or "unknown".
        height: px; None for any.
        width: px; None for any.
        size_detail: how height and width are known where the file does not state them, or what
            limits them; "" for nothing.
        channels: None where unknown.
        channel_order: "RGB" or "BGR"; "" for what is not a colour image.
        value_range: smallest and largest value that it was made for; None where unknown.
        mean: one value, or one per channel in the order R, G, B; None where unknown.
        std: as mean.
        range_source: how the range is known.
        range_detail: the same in more words.
        quantization: (scale, zero point) of an integer input.
    """

    name: str
    tensor_name: str
    shape: Shape | None
    dtype: str
    kind: Literal["image", "encoded image", "values"]
    layout: Layout
    height: int | None
    width: int | None
    channels: int | None
    channel_order: Literal["RGB", "BGR", ""]
    value_range: tuple[float, float] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    range_source: RangeSource
    range_detail: str
    quantization: tuple[float, int] | None
    size_detail: str = ""

    @property
    def resolution(self) -> str:
        """Height x width in px, e.g. "224 x 224", or "any"."""
        if self.height is None and self.width is None:
            return "any"
        return f"{self.height or 'any'} x {self.width or 'any'}"


@dataclasses.dataclass(frozen=True)
class OutputReport:
    """One output; fields as in `InputReport`.

    Attributes:
        place: its index among the model's outputs, in the model's own order.
        kind: what its values are, as far as the graph shows: "scores" (made by a softmax or
            sigmoid), "row" (one row per photo, which may be scores or an embedding), "features"
            (of a network without a head), "embedding", "detections", "map", "index" or "text".
        calibration: how the file has its scores calibrated; None where it does not.
        keys: classes in order, where the runtime gives a map from class to score; () elsewhere.
        quantization: (scale, zero point) of an integer output.
        ending: what gives them last, as far as the graph shows: "softmax", "log_softmax", "sigmoid"
            (each score stands alone), "logits" or "unknown".
    """

    name: str
    tensor_name: str
    shape: Shape | None
    dtype: str
    place: int = 0
    kind: OutputKind = "row"
    calibration: Calibration | None = None
    keys: tuple[str, ...] = ()
    quantization: tuple[float, int] | None = None
    ending: Ending = "unknown"


@dataclasses.dataclass(frozen=True)
class BackboneReport:
    """The network before the head.

    Attributes:
        name: this package's name for it, e.g. "mobilenet_0.25".
        title: name for people, e.g. "MobileNet 0.25".
        image_size: side of the square that it was made for, px; None where unknown.
    """

    name: str
    title: str
    image_size: int | None


@dataclasses.dataclass(frozen=True)
class BottleneckReport:
    """The layer whose values the head takes.

    Attributes:
        name: name of the layer or operation.
        tensor_name: what the format's own runtime calls its result.
        width: number of values per image; None where unknown.
    """

    name: str
    tensor_name: str
    width: int | None


@dataclasses.dataclass(frozen=True)
class GraphReport:
    """What is in a model file, found without running any of it.

    Attributes:
        path: the file or folder that was given, or the name of a backbone.
        format: key of `inspection.formats.FORMATS`, e.g. "model_folder", "keras" or "onnx"; or
            "backbone".
        file_size: bytes; for a folder, of all files in it; for a backbone, of its weights in
            float32.
        producer: what wrote the file, "" where the file does not state it.
        inputs: images first.
        outputs: scores first.
        classes: number of classes; None where the model gives no scores.
        labels: class names in order; () where the file does not hold them.
        task: what the file says that the model is for, e.g. "classification"; "" where it does
            not say.
        backbone: None where the network is not recognised.
        bottleneck: None where no head is recognised.
        parameters: number of weights; None where unknown.
        operations: number of operations or layers.
        op_counts: number of operations of each type, the most frequent first.
        unsafe_layers: layers that hold code (Lambda): load such a file only if you trust it.
        not_loaded: why this package does not load the file, as the rest of a sentence that names
            it; "" where no reason was found.
        warnings: what else there is to know, in sentences.
        missing: names of files with its weights that belong beside it and are not there.
        familiarity: which of the outputs says how familiar a photo is; None for none.
        decision: how probabilities become a label, as the metadata state it; {} where the largest
            one decides.
        licences: of the weights of the backbone, or of each that is combined, as the metadata state
            it; () where they don't.
        multi_label: whether the metadata state that photos may have several labels, or none.
    """

    path: str
    format: str
    file_size: int
    producer: str
    inputs: tuple[InputReport, ...]
    outputs: tuple[OutputReport, ...]
    classes: int | None
    labels: tuple[str, ...]
    backbone: BackboneReport | None
    bottleneck: BottleneckReport | None
    parameters: int | None
    operations: int
    op_counts: dict[str, int]
    unsafe_layers: tuple[str, ...]
    not_loaded: str
    warnings: tuple[str, ...]
    task: str = ""
    missing: tuple[str, ...] = ()
    familiarity: StatedFamiliarity | None = None
    decision: dict[str, Any] = dataclasses.field(default_factory=dict)
    licences: tuple[WeightsLicence, ...] = ()
    multi_label: bool = False

    @property
    def has_lone_scores(self) -> bool:
        """Whether each class has a score of its own, so that photos may have several labels."""
        first = self.outputs[0] if self.outputs else None
        lone = first is not None and first.ending == "sigmoid" and (self.classes or 0) > 1
        return self.multi_label or lone

    @property
    def image_input(self) -> InputReport | None:
        """The input that takes pixels; None where there is none."""
        return next((one for one in self.inputs if one.kind == "image"), None)

    def __repr__(self) -> str:
        """Returns the report as `xferlearn inspect` prints it."""
        from xferlearn.inspection.text_report import format_report  # which needs this module

        return format_report(self)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as `json.dumps` takes it, with each resolution as text."""
        held = dataclasses.asdict(self)
        for one, entry in zip(self.inputs, held["inputs"], strict=True):
            entry["resolution"] = one.resolution
        return held
