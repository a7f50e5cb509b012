"""How the output of a network becomes one vector per photo, with layers that any Keras can load."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import keras

# From a network's output, the tokens before those of the patches, and the end of layers' names.
_Pool: TypeAlias = Callable[["keras.KerasTensor", int, str], "keras.KerasTensor"]


def _average(x: "keras.KerasTensor", prefix: int, suffix: str) -> "keras.KerasTensor":
    from keras import layers

    if len(x.shape) == 4:
        return layers.GlobalAveragePooling2D(name=f"pooling{suffix}")(x)
    return layers.GlobalAveragePooling1D(name=f"pooling{suffix}")(_patches(x, prefix, suffix))


def _class_token(x: "keras.KerasTensor", _prefix: int, suffix: str) -> "keras.KerasTensor":
    from keras import layers

    return layers.Flatten(name=f"pooling{suffix}")(_first(x, suffix))


def _both(x: "keras.KerasTensor", prefix: int, suffix: str) -> "keras.KerasTensor":
    from keras import layers

    mean = layers.GlobalAveragePooling1D(name=f"patch_mean{suffix}")(_patches(x, prefix, suffix))
    token = layers.Flatten(name=f"class_value{suffix}")(_first(x, suffix))
    return layers.Concatenate(name=f"pooling{suffix}")([token, mean])


def _none(x: "keras.KerasTensor", _prefix: int, suffix: str) -> "keras.KerasTensor":
    from keras import layers

    return layers.Identity(name=f"pooling{suffix}")(x)


POOLINGS: Mapping[str, _Pool] = MappingProxyType(
    {
        # Of all places of a map, or all tokens of patches.
        "average": _average,
        # The first token, which the network made for the whole photo.
        "class token": _class_token,
        "class token, mean of patches": _both,
        # The network's output is one vector already.
        "none": _none,
    }
)


def _first(tokens: "keras.KerasTensor", suffix: str) -> "keras.KerasTensor":
    from keras import layers

    # Cropping, where a slice would do: every export format and reader knows it by its name.
    return layers.Cropping1D((0, tokens.shape[1] - 1), name=f"class_token{suffix}")(tokens)


def _patches(tokens: "keras.KerasTensor", prefix: int, suffix: str) -> "keras.KerasTensor":
    from keras import layers

    if not prefix:
        return tokens
    return layers.Cropping1D((prefix, 0), name=f"patch_tokens{suffix}")(tokens)
