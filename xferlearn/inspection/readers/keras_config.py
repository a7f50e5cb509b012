"""Keras model configurations (JSON): layers, connections and shapes; nothing is deserialised."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from xferlearn.inspection.arithmetic import affine_of, normalization
from xferlearn.inspection.layers import Affine, Graph, Node, Shape, role_of
from xferlearn.inspection.readers.keras_layers import MODELS, refused_layers
from xferlearn.inspection.readers.keras_two import modernised
from xferlearn.inspection.readers.wire import MalformedError

_DEEPEST = 24
_MOST_LAYERS = 50_000
_MOST_REFUSED = 1000
_CHANNELS_LAST = (-1, 3)


def read_keras_config(config: Mapping[str, Any]) -> Graph:
    """Reads a model's JSON as `model.to_json()` and config.json hold it.

    Args:
        config: the parsed JSON: {"class_name": ..., "config": {...}}.

    Returns:
        One node per layer; nested models are unfolded as name scopes.

    Raises:
        MalformedError: it is not a model's configuration.
    """
    name = config.get("class_name") if isinstance(config, Mapping) else None
    if not isinstance(name, str) or not isinstance(config.get("config"), (dict, list)):
        raise MalformedError("its configuration names no model class")
    config = modernised(config)
    refused = list(islice(refused_layers(config), _MOST_REFUSED))
    unsafe = tuple(dict.fromkeys(one.name for one in refused if one.code))
    not_loaded = f"is not loaded: {refused[0]}" if refused else ""
    custom = {one.name: one.kind for one in refused if one.custom}
    if not is_model(config):
        warning = (
            f"The model is of the Python class {name!r}, and the file does not list its layers."
        )
        return Graph({}, unsafe_layers=unsafe, not_loaded=not_loaded, warnings=(warning,))
    reader = _Reader()
    ends = reader.expand(config, "", (), 0)
    inputs = tuple(node.name for node in reader.nodes.values() if node.role == "input")
    warnings = tuple(
        f"Layer {layer!r} is of the custom class {kind!r}; loading it needs the code of that class."
        for layer, kind in custom.items()
    )
    nodes = {node.name: reader.finished(node) for node in reader.nodes.values()}
    places = {name: place for place, name in reversed(list(enumerate(ends)))}
    return Graph(
        nodes,
        inputs,
        tuple(dict.fromkeys(ends)),
        output_names=_output_names(config["config"], ends),
        output_places=places,
        unsafe_layers=unsafe,
        not_loaded=not_loaded,
        warnings=warnings[:8],
    )


def is_model(layer: Mapping[str, Any]) -> bool:
    """Returns whether a layer's configuration lists layers of its own."""
    inner = layer.get("config")
    listed = isinstance(inner, list) or (isinstance(inner, dict) and "layers" in inner)
    return listed and layer.get("class_name") in MODELS


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Returns a number, or nested lists of at most 64 of them, as a flat tuple; else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value),)
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        held = value.get("config")
        value = held.get("value") if isinstance(held, dict) else None
    if isinstance(value, (list, tuple)) and value and len(value) <= 64:
        parts = [_numbers(part) for part in value]
        if all(part is not None for part in parts):
            return tuple(number for part in parts for number in part or ())[:64]
    return None


def _shape(value: Any) -> Shape | None:
    if not isinstance(value, (list, tuple)) or len(value) > 32:
        return None
    if not all(size is None or _whole(size) is not None for size in value):
        return None
    return tuple(value)


def _whole(value: Any) -> int | None:
    """Returns a size that other formats can state too, None for any other value."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if fits else None


def _dtype(value: Any) -> str:
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name")
    return str(value)[:40] if value else ""


@dataclass
class _Reader:
    nodes: dict[str, Node] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    # The outputs of nested models, and the layers that feed their inputs.
    same: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def expand(
        self, model: Mapping[str, Any], scope: str, fed: tuple[str, ...], depth: int
    ) -> tuple[str, ...]:
        """Adds a model's layers; returns the names of the nodes that give its outputs, in order."""
        if depth > _DEEPEST:
            raise MalformedError(f"its models are nested more than {_DEEPEST} deep")
        inner = model["config"]
        layers = inner if isinstance(inner, list) else inner["layers"]
        chain = model["class_name"] == "Sequential"
        previous, place = fed, 0
        if chain and not scope and layers and layers[0].get("class_name") != "InputLayer":
            previous = (self.implied_input(model, layers[0]),)
        for layer in layers:
            name = scope + str(layer.get("name") or layer["config"]["name"])
            if layer.get("class_name") == "InputLayer":
                if scope:
                    self.same[name] = fed[place : place + 1]
                    place += 1
                else:
                    self.input(name, layer["config"])
                    previous = (name,)
                continue
            sources, operands = (previous, ()) if chain else self.inbound(layer, scope)
            build = layer.get("build_config")
            if chain and isinstance(build, dict) and len(sources) == 1:
                self.learn(sources[0], build.get("input_shape"))
            if is_model(layer):
                self.same[name] = self.expand(layer, name + "/", sources, depth + 1)
            else:
                self.layer(name, layer, sources, operands)
            previous = (name,)
            if len(self.nodes) > _MOST_LAYERS:
                raise MalformedError(f"it claims more than {_MOST_LAYERS} layers")
        if chain or not isinstance(inner, dict):
            return tuple(end for name in previous for end in self.resolve(name))
        outputs = [(scope + name, place) for _, name, place in _outputs(inner.get("output_layers"))]
        return tuple(end for name, place in outputs for end in self.result(name, place))

    def result(self, name: str, place: int) -> tuple[str, ...]:
        """Returns the node that gives one of the results of a layer or nested model."""
        ends = self.resolve(name)
        return ends[place : place + 1] or ends[:1]

    def implied_input(self, model: Mapping[str, Any], first: Mapping[str, Any]) -> str:
        """Adds the input of a Sequential model that lists none; its first layer states the shape.

        Where that is a model itself, the first layer in it does.
        """
        build = model.get("build_config") or first.get("build_config") or {}
        for _ in range(_DEEPEST):
            inner = first.get("config")
            listed = inner.get("layers") if isinstance(inner, dict) else inner
            if not is_model(first) or not listed:
                break
            first = listed[0]
        held = first.get("config")
        settings = held if isinstance(held, dict) else {}
        shape = settings.get("batch_input_shape") or settings.get("batch_shape")
        shape = shape or model["config"].get("build_input_shape") or build.get("input_shape")
        self.input("input", {"batch_shape": shape, "dtype": settings.get("dtype")})
        return "input"

    def input(self, name: str, settings: Mapping[str, Any]) -> None:
        shape = _shape(settings.get("batch_shape") or settings.get("batch_input_shape"))
        if shape is None and _shape(settings.get("shape")) is not None:
            shape = (None, *settings["shape"])
        dtype = _dtype(settings.get("dtype")) or "float32"
        self.nodes[name] = Node(name, "InputLayer", (), shape, dtype, "input", tensor=name)

    def inbound(
        self, layer: Mapping[str, Any], scope: str
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Returns the nodes that a layer reads, and its first call's operands (numbers, None)."""
        calls = layer.get("inbound_nodes") or []
        call = calls[0] if calls else []
        found: list[str] = []

        def read(history: Any) -> tuple[str, ...]:
            name, _, place = (*history, 0, 0)[:3]
            return self.result(scope + str(name), _whole(place) or 0)

        if isinstance(call, dict):
            for tensor in _tensors([call.get("args"), call.get("kwargs")]):
                held = tensor.get("config", {})
                ends = read(held["keras_history"])
                for end in ends:
                    self.learn(end, held.get("shape"))
                found.extend(ends)
            arguments = call.get("args") or []
            return tuple(found), tuple(_numbers(argument) for argument in arguments[:2])
        histories = call if call and isinstance(call[0], list) else calls
        return tuple(end for history in histories for end in read(history)), ()

    def learn(self, name: str, shape: Any) -> None:
        known = _shape(shape)
        for end in self.resolve(name) if known is not None else ():
            self.shapes.setdefault(end, known or ())

    def resolve(self, name: str) -> tuple[str, ...]:
        ends, names = [], [name]
        for _ in range(200):
            if not names:
                break
            one = names.pop()
            if one in self.same:
                names.extend(source for source in reversed(self.same[one]) if source != one)
            else:
                ends.append(one)
        return tuple(ends)

    def layer(
        self, name: str, layer: Mapping[str, Any], sources: tuple[str, ...], operands: Any
    ) -> None:
        kind = str(layer.get("class_name"))[:100]
        inner = layer.get("config")
        settings: dict[str, Any] = inner if isinstance(inner, dict) else {}
        op = kind
        role = role_of(op)
        channel = None
        if kind == "Flip" and settings.get("axis") in _CHANNELS_LAST:
            role = "reverse"
        elif kind == "GetItem":
            role, channel = _sliced(layer)
        if role == "conv" and isinstance(settings.get("groups"), int) and settings["groups"] > 1:
            role = "depthwise"
        activation = _activation(settings.get("activation"))
        if role == "activation" and activation:
            role = role_of(activation) or role
        elif kind == "Activation":
            role = "same"
        units = settings.get("filters", settings.get("units"))
        inputs = tuple(dict.fromkeys(end for source in sources for end in self.resolve(source)))
        fed = self.nodes.get(inputs[0]) if len(inputs) == 1 else None
        before = self.shapes.get(fed.name, fed.shape) if fed else None
        if kind.startswith("Global") and before and not settings.get("keepdims"):
            self.shapes[name] = (before[0], before[-1])
        self.nodes[name] = Node(
            name,
            op,
            inputs,
            _resized(settings) if role == "resize" else None,
            _dtype(settings.get("dtype")),
            role,
            units=_whole(units),
            activation=activation,
            affine=_affine(op, settings, operands),
            tensor=name,
            channel=channel,
        )

    def finished(self, node: Node) -> Node:
        """Adds the shape, which the layers that read this one state, and the channels it reads."""
        shape = self.shapes.get(node.name, node.shape)
        before = [self.shapes.get(name, self.nodes[name].shape) for name in node.inputs
                  if name in self.nodes]  # fmt: skip
        fan_in = before[0][-1] if len(before) == 1 and before[0] else None
        if node.role == "dense" and shape is None and len(before) == 1 and before[0]:
            shape = (*before[0][:-1], node.units)
        if node.role in ("same", "score", "activation", "norm", "arithmetic") and len(before) == 1:
            shape = shape or before[0]
        return replace(node, shape=shape, fan_in=fan_in)


def _sliced(layer: Mapping[str, Any]) -> tuple[str, int | None]:
    """Returns the role of a slice of pixels, and the only channel that it picks, if it does."""
    calls = layer.get("inbound_nodes")
    call = calls[0] if isinstance(calls, list) and calls else None
    arguments = call.get("args") if isinstance(call, dict) else None
    if not isinstance(arguments, list) or len(arguments) < 2 or not isinstance(arguments[1], list):
        return "", None
    *before, last = arguments[1]
    whole = {"start": None, "stop": None, "step": None}
    if len(before) not in (1, 3) or not all(
        isinstance(one, dict)
        and (one.get("class_name") == "__ellipsis__" or one.get("config") == whole)
        for one in before
    ):
        return "", None
    if isinstance(last, dict) and last.get("config") == {**whole, "step": -1}:
        return "reverse", None
    return "", _whole(last)


def _activation(value: Any) -> str:
    """Returns the name of a layer's activation; "" for none or one that changes nothing."""
    if isinstance(value, dict):
        held = value.get("config")
        value = held if isinstance(held, str) else value.get("class_name")
    return "" if value is None or value == "linear" else str(value)[:100]


def _resized(settings: Mapping[str, Any]) -> Shape | None:
    height, width = _whole(settings.get("height")), _whole(settings.get("width"))
    return None if height is None or width is None else (None, height, width, None)


def _affine(kind: str, settings: Mapping[str, Any], operands: tuple[Any, ...]) -> Affine | None:
    if kind == "Rescaling":
        scale, offset = _numbers(settings.get("scale")), _numbers(settings.get("offset", 0.0))
        return Affine(scale, offset) if scale and offset else None
    if kind == "Normalization":
        mean, variance = _numbers(settings.get("mean")), _numbers(settings.get("variance"))
        # An adapted layer has its mean among the weights.
        inverts = bool(settings.get("invert"))
        return normalization(mean, variance) if mean and variance and not inverts else None
    return affine_of(kind.replace("truediv", "TrueDivide"), operands)


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    queue = deque([value])
    while queue:
        one = queue.popleft()
        if isinstance(one, dict):
            if one.get("class_name") == "__keras_tensor__":
                yield one
            else:
                queue.extend(one.values())
        elif isinstance(one, list):
            queue.extend(one)


def _outputs(value: Any, path: str = "") -> Iterator[tuple[str, str, int]]:
    """Yields the outputs of a model in Keras' own order, in which dictionaries are sorted by key.

    Args:
        value: ["layer", 0, place of the result], or lists or dictionaries of such.
        path: keys that lead to it.

    Yields:
        Its keys, "" for none; name of the layer; place of the result among those of the layer.
    """
    if isinstance(value, list) and value and isinstance(value[0], str):
        yield path, value[0], _whole(value[2]) or 0 if len(value) > 2 else 0
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _outputs(value[key], f"{path}/{key}" if path else key)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _outputs(one, f"{path}/{place}" if path else "")


def _output_names(model: Any, ends: tuple[str, ...]) -> dict[str, str]:
    """Returns the keys of outputs that are a dictionary, by the node that gives each."""
    outputs = _outputs(model.get("output_layers")) if isinstance(model, dict) else ()
    keys = [key for key, _, _ in outputs]
    # Not where a layer is missing, so that no output is taken for another.
    named = zip(ends, keys, strict=True) if len(ends) == len(keys) else ()
    return {end: key for end, key in reversed(list(named)) if key}
