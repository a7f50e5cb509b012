"""Which layers of a Keras configuration are loaded, and why the others are not."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MODELS = {"Functional", "Model", "Sequential"}
# Loading these runs code that is in the file, or a graph that it points to.
_CODE = {"Lambda", "__lambda__", "TFSMLayer"}
_OWN_MODULES = ("keras", "builtins")
# What Keras 2 made of TensorFlow's functions; `keras_two` translates those that Keras 3 has too.
OPERATIONS = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"}
# The layers of Keras 3; files of Keras 2 don't say which layers are of a class of their own.
_LAYER_NAMES = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
    AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
    AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose
    Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D
    Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot
    Dropout ELU EinsumDense Embedding Equalization Flatten FlaxLayer GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
    GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup JaxLayer LSTM
    LSTMCell Lambda LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
    RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
    RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector
    Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D
    SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell
    Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer TextVectorization
    TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
LAYERS = MODELS.union(_LAYER_NAMES.split())
_WAY_OUT = "export it as a SavedModel where it was made (`model.export(...)`), and label with that"
_WITH_KERAS_2 = (
    "load it with the package tf_keras, export it as a SavedModel (`model.export(...)`), and label"
    " with that"
)


@dataclass(frozen=True)
class Refused:
    """A layer that is not loaded.

    Attributes:
        name: of the layer.
        kind: its class.
        reason: the rest of a sentence that begins with the layer.
        code: whether loading it would run code that is in the file.
        custom: whether its class is not one of Keras'.
    """

    name: str
    kind: str
    reason: str
    code: bool = False
    custom: bool = False

    def __str__(self) -> str:
        return f"its layer {self.name!r} ({self.kind}) {self.reason}"


def refused_layers(config: Any) -> Iterator[Refused]:
    """Yields the layers, at any depth, that this package does not load, without recursion.

    Keras' own safe_mode, which stays on, finds less.

    Args:
        config: a model's configuration, as `keras_two.modernised` returns it.
    """
    queue: list[Any] = [config]
    own: set[int] = set()  # the layers that models list
    while queue:
        value = queue.pop()
        if isinstance(value, list):
            queue.extend(reversed(value))
        if not isinstance(value, dict):
            continue
        queue.extend(reversed(value.values()))
        listed = value.get("layers")
        if isinstance(listed, list):
            own.update(id(layer) for layer in listed)
        found = _refused(value, id(value) in own)
        if found is not None:
            yield found


def _refused(layer: dict[str, Any], listed: bool) -> Refused | None:
    kind, module = layer.get("class_name"), layer.get("module")
    registered, inner = layer.get("registered_name"), layer.get("config")
    named = inner.get("name") if isinstance(inner, dict) else None
    name = str(named or layer.get("name") or kind)[:80]
    words = [word for word in (kind, registered) if isinstance(word, str)]
    shown = str(kind)[:80]
    if any(word.rpartition(">")[2] in _CODE for word in words):
        reason = f"holds Python code, which loading would run; {_WAY_OUT}"
        return Refused(name, shown, reason, code=True)
    if kind in OPERATIONS:
        what = inner.get("function") if isinstance(inner, dict) else None
        called = f"tf.{what}"[:80] if isinstance(what, str) else "of its own"
        return Refused(name, shown, f"is the operation {called} of Keras 2; {_WITH_KERAS_2}")
    if isinstance(module, str) and module.partition(".")[0] == "keras_hub":
        # Its classes are code of its package, as Keras' own are, and Keras finds them there.
        if importlib.util.find_spec("keras_hub") is not None:
            return None
        reason = 'is one of KerasHub: pip install "xferlearn[hub]"'
        return Refused(name, shown, reason, custom=True)
    if isinstance(module, str) and module.partition(".")[0] not in _OWN_MODULES:
        return Refused(name, f"{module}.{kind}"[:80], f"is a class from outside Keras; {_WAY_OUT}",
                       custom=True)  # fmt: skip
    if any(">" in word and not word.startswith("Keras>") for word in words):
        reason = f"is a custom class, and the code that registers it is not here; {_WAY_OUT}"
        return Refused(name, words[-1][:80], reason, custom=True)
    if module is None and listed and shown.removeprefix("Keras>") not in LAYERS:
        reason = f"is of a class that Keras 3 does not have; {_WITH_KERAS_2}"
        return Refused(name, shown, reason, custom=True)
    if isinstance(inner, dict) and inner.get("activation") == "hard_sigmoid" and module is None:
        reason = f"has hard_sigmoid, which is another function in Keras 3; {_WITH_KERAS_2}"
        return Refused(name, shown, reason)
    return None
