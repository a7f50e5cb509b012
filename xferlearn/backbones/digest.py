"""The identity of a model's weights."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def weights_digest(model: "keras.Model") -> str:
    """Returns a SHA-256 over all weights of a model: role, shape, dtype and values, in order.

    Layer names are left out, because Keras numbers some of them anew in every process; the order
    of the weights stands for their place in the network.

    Args:
        model: a built model.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        header = f"{weight.name.rsplit('/', 1)[-1]} {value.dtype.name} {value.shape}\n"
        digest.update(header.encode())
        digest.update(value.data if value.dtype.kind in "fiub" else value.tobytes())
    return digest.hexdigest()
