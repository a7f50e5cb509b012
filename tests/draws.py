"""Predictions that are drawn at random, whose truth is known."""

import numpy as np


def drawn(
    photos: int, classes: int = 4, seed: int = 0, spread: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are exactly right: each class is drawn with its own.

    The larger the spread, the surer they are.
    """
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, spread, (photos, classes))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    chosen = probabilities.cumsum(axis=1) < generator.random((photos, 1))
    return probabilities.astype(np.float32), np.minimum(chosen.sum(axis=1), classes - 1)
