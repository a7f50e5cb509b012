"""Configurations of Keras 2 in the words of Keras 3, as far as the numbers stay the same.

Keras 3 refuses arguments that Keras 2 wrote and that had no effect, and has no layer for
TensorFlow's functions, such as the division that `preprocess_input` makes.
"""

import json
from collections.abc import Mapping
from typing import Any

from xferlearn.inspection.arithmetic import affine_of, spread
from xferlearn.inspection.readers.keras_layers import LAYERS, MODELS, OPERATIONS

_DEEPEST = 24
_ANY, _NEVER = object(), object()
# Arguments that Keras 3 does not have, with the value at which they do nothing.
_DROPPED: dict[str, Any] = {
    "renorm": False, "fused": _ANY, "virtual_batch_size": None, "adjustment": None,
    "rng_type": _ANY, "time_major": False, "batch_input_shape": _ANY,
}  # fmt: skip
# Arguments of a plain convolution, which Keras 2 wrote for others too.
_OF_CONVOLUTIONS = {
    "groups": 1, "filters": None, "kernel_initializer": _ANY, "kernel_regularizer": _ANY,
    "kernel_constraint": _ANY,
}  # fmt: skip
_OF_SEPARABLE = {key: value for key, value in _OF_CONVOLUTIONS.items() if key != "filters"}
_OF_TRANSPOSED = {"groups": 1}
_OF_SPATIAL_DROPOUT = {"trainable": _ANY, "noise_shape": None}
_DROPPED_OF: dict[str, dict[str, Any]] = {
    "DepthwiseConv1D": _OF_CONVOLUTIONS,
    "DepthwiseConv2D": _OF_CONVOLUTIONS,
    "SeparableConv1D": _OF_SEPARABLE,
    "SeparableConv2D": _OF_SEPARABLE,
    "SeparableConvolution2D": _OF_SEPARABLE,
    "Conv1DTranspose": _OF_TRANSPOSED,
    "Conv2DTranspose": _OF_TRANSPOSED,
    "Conv3DTranspose": _OF_TRANSPOSED,
    "Convolution2DTranspose": _OF_TRANSPOSED,
    "SpatialDropout1D": _OF_SPATIAL_DROPOUT,
    "SpatialDropout2D": _OF_SPATIAL_DROPOUT,
    "SpatialDropout3D": _OF_SPATIAL_DROPOUT,
    "InputLayer": {"batch_input_shape": _NEVER},
}
# Weights are loaded, so what made them, or held them back in training, has no effect.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_RENAMED_CLASSES = {
    "Model": "Functional",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
_RENAMED_ARGUMENTS = {"LeakyReLU": {"alpha": "negative_slope"}}
_RENAMED_ACTIVATIONS = {"softmax_v2": "softmax"}
_OLD_MODULES = (
    "keras.src.",
    "keras.engine.",
    "keras.layers.",
    "tf_keras.",
    "tensorflow.python.keras.",
)
_ARITHMETIC = {
    "math.truediv": "div", "math.divide": "div", "__operators__.truediv": "div",
    "math.multiply": "mul", "__operators__.mul": "mul", "math.add": "add",
    "__operators__.add": "add", "nn.bias_add": "add", "math.subtract": "sub",
    "__operators__.sub": "sub",
}  # fmt: skip
_NODE_ARITHMETIC = {
    "RealDiv": "div", "Div": "div", "Mul": "mul", "Add": "add", "AddV2": "add", "BiasAdd": "add",
    "Sub": "sub",
}  # fmt: skip
_MERGES = {"add": "Add", "mul": "Multiply", "sub": "Subtract"}
_ACTIVATIONS = {
    "nn.relu": "relu", "nn.relu6": "relu6", "nn.sigmoid": "sigmoid", "math.sigmoid": "sigmoid",
    "nn.softmax": "softmax", "nn.tanh": "tanh", "math.tanh": "tanh", "nn.silu": "silu",
    "nn.swish": "silu", "identity": "linear", "stop_gradient": "linear",
}  # fmt: skip
_CONSTANT = "_CONSTANT_VALUE"
# Where Keras 3 keeps its own operations; its `.h5` files name the class alone.
_KERAS_OPERATIONS = {
    "keras.src.ops.numpy": "Absolute Add Clip Concatenate Divide ExpandDims Flip GetItem Maximum"
    " Mean Minimum Multiply Negative Power Reshape Sqrt Square Squeeze Stack Subtract Transpose"
    " TrueDivide",
    "keras.src.ops.nn": "Gelu Relu Relu6 Sigmoid Silu Softmax",
    "keras.src.ops.core": "Cast",
    "keras.src.ops.image": "Resize",
}
_MODULES = {name: key for key, names in _KERAS_OPERATIONS.items() for name in names.split()}


def modernised(config: Any) -> Any:
    """Returns a model's configuration as Keras 3 would write it; one of Keras 3 as it is.

    What has no counterpart stays, and `keras_layers.refused_layers` finds it.

    Args:
        config: the parsed JSON, whatever it is.
    """
    return _layer(config, 0)


def _layer(layer: Any, depth: int) -> Any:
    if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
        return layer
    kind, inner = layer["class_name"], layer.get("config")
    if kind in OPERATIONS and isinstance(inner, dict):
        return _operation(layer, inner) or layer
    if isinstance(inner, dict) and _is_keras_operation(layer, inner):
        return {"module": _MODULES[kind], "registered_name": kind, **layer}
    bare = _RENAMED_CLASSES.get(kind, kind)
    if ".ops." in str(layer.get("module")):
        return layer
    if bare not in LAYERS or depth > _DEEPEST or not isinstance(inner, (dict, list)):
        return layer
    changed = {**layer, "class_name": bare}
    module = layer.get("module")
    if isinstance(module, str) and module.startswith(_OLD_MODULES):
        nested = "keras.src.models.functional" if bare == "Functional" else "keras"
        changed["module"] = nested if bare in MODELS else "keras.layers"
        changed["registered_name"] = bare if bare == "Functional" else None
    if isinstance(inner, list):
        inner = {"name": layer.get("name") or "sequential", "layers": inner}
    if bare in MODELS and isinstance(inner.get("layers"), list):
        changed["config"] = _model(inner, depth)
    else:
        changed["config"] = _arguments(bare, inner, depth, module is None)
    return _renamed(changed)


def _is_keras_operation(layer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    """Returns whether a layer without a module is an operation of Keras 3.

    Some layers have the name of one; layers state a type, and of the operations only Cast does.
    """
    calls = layer.get("inbound_nodes")
    called = isinstance(calls, list) and any(isinstance(call, dict) for call in calls)
    return (
        called
        and "module" not in layer
        and layer["class_name"] in _MODULES
        and ("dtype" not in inner or layer["class_name"] == "Cast")
    )


def _model(inner: dict[str, Any], depth: int) -> dict[str, Any]:
    layers = _with_input(inner["layers"]) if "input_layers" not in inner else inner["layers"]
    changed = {**inner, "layers": [_layer(one, depth + 1) for one in layers]}
    nodes = [one.get("inbound_nodes") for one in inner["layers"] if isinstance(one, dict)]
    if not any(isinstance(call, list) for calls in nodes for call in calls or ()):
        return changed
    # Keras 3 counts the calls of a nested model from 0, Keras 2 from 1.
    nested = {str(one.get("name")) for one in inner["layers"] if one.get("class_name") in MODELS}
    for part in ("input_layers", "output_layers"):
        ends = _references(inner.get(part), frozenset())
        # Keras 3 keeps the structure of inputs and outputs, Keras 2 always had a list.
        changed[part] = ends[0] if isinstance(ends, list) and len(ends) == 1 else ends
    changed["layers"] = [
        {**one, "inbound_nodes": _references(one["inbound_nodes"], frozenset(nested))}
        if isinstance(one, dict) and "inbound_nodes" in one
        else one
        for one in changed["layers"]
    ]
    return changed


def _with_input(layers: list[Any]) -> list[Any]:
    """Returns the layers of a Sequential model, the first an InputLayer where a shape is stated."""
    first = layers[0] if layers and isinstance(layers[0], dict) else {}
    settings = first.get("config")
    if first.get("class_name") == "InputLayer" or not isinstance(settings, dict):
        return layers
    shape = settings.get("batch_input_shape")
    if not isinstance(shape, list):
        return layers
    name = f"{settings.get('name') or 'image'}_input"
    given = {"batch_shape": shape, "dtype": settings.get("dtype"), "name": name}
    if not isinstance(given["dtype"], str):
        del given["dtype"]
    return [{"class_name": "InputLayer", "config": given}, *layers]


def _renamed(layer: dict[str, Any]) -> dict[str, Any]:
    """Returns a layer without slashes in its name, as MobileNetV3's layers have in Keras 2."""
    inner = layer["config"]
    if isinstance(layer.get("name"), str) and "/" in layer["name"]:
        layer = {**layer, "name": layer["name"].replace("/", "_")}
    if isinstance(inner.get("name"), str) and "/" in inner["name"]:
        layer = {**layer, "config": {**inner, "name": inner["name"].replace("/", "_")}}
    return layer


def _references(value: Any, nested: frozenset[str]) -> Any:
    """Returns nested lists with every ["layer", 0, 0, ...] as Keras 3 writes it."""
    if isinstance(value, dict):
        return {key: _references(one, nested) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > 2 and isinstance(value[0], str) and isinstance(value[1], int):
        name, place, *rest = value
        place -= 1 if name in nested and place > 0 else 0
        return [name.replace("/", "_"), place, *(_references(one, nested) for one in rest)]
    return [_references(one, nested) for one in value]


def _arguments(kind: str, inner: dict[str, Any], depth: int, legacy: bool) -> dict[str, Any]:
    """Returns a layer's arguments without those that Keras 3 does not have."""
    changed = {}
    names = _RENAMED_ARGUMENTS.get(kind, {})
    dropped = _DROPPED | _DROPPED_OF.get(kind, {})
    for key, value in inner.items():
        if key in dropped and (dropped[key] is _ANY or dropped[key] == value):
            continue
        if legacy and key.endswith(_OF_TRAINING):
            continue
        if key == "layer":  # of TimeDistributed and the like
            value = _layer(value, depth + 1)
        elif key == "dtype" and isinstance(value, dict) and value.get("class_name") == "Policy":
            value = (value.get("config") or {}).get("name")
        elif key == "activation" and isinstance(value, str):
            value = _RENAMED_ACTIVATIONS.get(value, value)
        elif key == "axis" and isinstance(value, list) and kind == "BatchNormalization":
            value = value[0] if len(value) == 1 else value
        changed[names.get(key, key)] = value
    return changed


def _operation(layer: Mapping[str, Any], inner: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the layer that does the same as an operation of Keras 2; None where there is none."""
    calls = layer.get("inbound_nodes")
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], list):
        return None
    call = calls[0][0] if calls[0] and isinstance(calls[0][0], list) else calls[0]
    if layer["class_name"] == "TensorFlowOpLayer":
        found = _node_operation(inner)
        sources = [call[:3]]
    else:
        found, sources = _function(str(inner.get("function")), call)
    if found is None or not all(_is_reference(source) for source in sources):
        return None
    kind, arguments = found
    name = str(layer.get("name") or inner.get("name")).replace("/", "_")
    changed: dict[str, Any] = {
        "class_name": kind,
        "config": {**arguments, "name": name},
        "name": name,
        "inbound_nodes": [[[*source, {}] for source in sources]],
    }
    if kind == "Flip":
        changed |= {"module": "keras.src.ops.numpy", "registered_name": "Flip"}
    elif "module" in layer:
        changed |= {"module": "keras.layers", "registered_name": None}
    return changed


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(isinstance(one, int) for one in value[1:])
    )


_Found = tuple[str, dict[str, Any]] | None


def _function(function: str, call: list[Any]) -> tuple[_Found, list[Any]]:
    """Returns the layer of a call of one of TensorFlow's functions, and what it reads."""
    named = call[3] if len(call) > 3 and isinstance(call[3], dict) else {}
    source, sources = call[:3], [call[:3]]
    settings = {key: value for key, value in named.items() if key not in ("name", "data_format")}
    if function in _ARITHMETIC and len(settings) == 1:
        other = next(iter(settings.values()))
        if source[0] == _CONSTANT:
            return _affine(_ARITHMETIC[function], [source[2], None]), [other]
        if _is_reference(other):
            merge = _MERGES.get(_ARITHMETIC[function])
            return ((merge, {}) if merge else None), [source, other]
        return _affine(_ARITHMETIC[function], [None, other]), sources
    if function == "math.negative" and not settings:
        return ("Rescaling", {"scale": -1.0, "offset": 0.0}), sources
    if function == "cast" and str(settings.get("dtype")) in ("float32", "float16", "bfloat16"):
        return ("Rescaling", {"scale": 1.0, "offset": 0.0}), sources
    if function in _ACTIVATIONS and settings.get("axis") in (None, -1):
        return ("Activation", {"activation": _ACTIVATIONS[function]}), sources
    if function == "image.resize" and settings.keys() <= {"size", "method"}:
        size, method = _numbers(settings.get("size")), settings.get("method", "bilinear")
        if size is not None and len(size) == 2 and method in ("bilinear", "nearest", "bicubic"):
            height, width = spread(size)
            return (
                "Resizing",
                {"height": height, "width": width, "interpolation": method},
            ), sources
    if function == "__operators__.getitem" and _reverses(settings.get("slice_spec")):
        return ("Flip", {"axis": -1}), sources
    if function == "reverse" and settings.get("axis") in ([-1], [3]):
        return ("Flip", {"axis": -1}), sources
    if function == "math.reduce_mean" and settings.get("axis") in ([1, 2], [-3, -2]):
        keeps = bool(settings.get("keepdims"))
        return ("GlobalAveragePooling2D", {"keepdims": keeps}), sources
    return None, sources


def _node_operation(inner: Mapping[str, Any]) -> _Found:
    """Returns the layer of one of TensorFlow's operations, as TensorFlow 2.0 to 2.3 wrote it."""
    held, constants = inner.get("node_def"), inner.get("constants")
    try:
        node = json.loads(held) if isinstance(held, str) else held
    except ValueError:
        return None
    if not isinstance(node, dict) or not isinstance(constants, dict):
        return None
    op, operands = str(node.get("op")), [constants.get(str(place)) for place in range(4)]
    if op in _NODE_ARITHMETIC and len(constants) == 1:
        return _affine(_NODE_ARITHMETIC[op], operands[:2])
    steps = _numbers(operands[3])
    if op == "StridedSlice" and steps and steps[-1] == -1 and set(steps[:-1]) <= {1.0}:
        return "Flip", {"axis": -1}
    return None


def _affine(op: str, operands: list[Any]) -> _Found:
    """Returns the Rescaling that does the same as an operation with one constant operand."""
    values = [None if one is None else _numbers(one) or () for one in operands]
    step = affine_of(op, values)
    if step is None:
        return None
    scale, offset = (
        part[0] if len(part) == 1 else list(part) for part in (step.scale, step.offset)
    )
    return "Rescaling", {"scale": scale, "offset": offset}


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Returns a number, or a list of at most 64, also in lists of one item, as a flat tuple."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    fits = 0 < len(values) <= 64 and len(numbers) == len(values)
    return tuple(map(float, numbers)) if fits else None


def _reverses(spec: Any) -> bool:
    """Returns whether a slice of pixels only reverses the last axis."""
    if not isinstance(spec, list) or len(spec) not in (2, 4):
        return False
    steps = [one.get("step") if isinstance(one, dict) else 0 for one in spec]
    bounds = [one.get(key) for one in spec if isinstance(one, dict) for key in ("start", "stop")]
    return steps[-1] == -1 and set(steps[:-1]) <= {None, 1} and set(bounds) == {None}
