"""What a training makes small."""

import numpy as np

# Below, one photo that is wholly wrong would be all that a mean says.
_LEAST = 1e-7


def cross_entropy(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Returns the mean cross-entropy, in nats.

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        y: true class index of each photo, int, [photos]; or whether each photo has each class,
            bool, [photos, classes], which gives the sum over the classes.
    """
    if y.ndim == 2:
        of_truth = np.where(y, probabilities, 1 - probabilities)
        return float(-np.log(np.clip(of_truth, _LEAST, 1)).sum(axis=1).mean())
    of_truth = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.clip(of_truth, _LEAST, 1)).mean())
