"""Points that stand for bottlenecks, in classes that lines separate."""

import numpy as np

WIDTH, CLASSES = 12, 3


def clusters(
    count: int, seed: int = 0, *, spread: float = 0.5, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre per class, float32, [count, WIDTH], and their classes."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (CLASSES, WIDTH))
    labels = np.arange(count, dtype=np.int32) % CLASSES
    points = centres[labels] + generator.normal(0, spread, (count, WIDTH))
    return (points * scale).astype(np.float32), labels
