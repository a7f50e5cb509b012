"""Batches of bottlenecks for many heads, with how much each photo counts for each head."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.system.runtime import untuned

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Rows:
    """What heads learn from.

    Attributes:
        x: bottlenecks, float32, [rows, width]; in a memory map where they are too many for memory.
        y: class indices, int32, [rows].
        learned: which rows each head learns from, bool, [rows, heads].
        weights: how much a photo of each class counts for each head, float32, [classes, heads].
    """

    x: np.ndarray
    y: np.ndarray
    learned: np.ndarray
    weights: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns a batch as `weighted_batches` yields it, of the rows at these positions."""
        learned = self.learned[rows].astype(np.float32)
        share = learned / np.maximum(learned.sum(axis=0), 1)
        y = self.y[rows]
        labels = np.repeat(y[:, None], learned.shape[1], axis=1)
        return np.asarray(self.x[rows]), labels, share * self.weights[y]


def weighted_batches(rows: Rows, batch_size: int, seed: int) -> "tf.data.Dataset":
    """Returns batches without end, every pass in an order of its own.

    Args:
        rows: what is learned from.
        batch_size: rows per batch.
        seed: of the order.

    Returns:
        Bottlenecks, float32, [batch, width]; class indices, int32, [batch, heads], the same for
        each head; how much each counts, float32, [batch, heads]: for a head the photos that it
        learns from share 1 among them, times the weights of their classes.
    """
    import tensorflow as tf

    # Only indices are shuffled and batched; one gather fetches a whole batch.
    return untuned(
        tf.data.Dataset.range(len(rows.y))
        .shuffle(len(rows.y), seed=seed)
        .repeat()
        .batch(batch_size)
        .map(_gatherer(rows))
        .prefetch(8)
    )


def _gatherer(rows: Rows) -> Callable[["tf.Tensor"], tuple]:
    import tensorflow as tf

    x, heads = rows.x, rows.learned.shape[1]
    labels = tf.constant(rows.y, tf.int32)
    learned, weights = tf.constant(rows.learned), tf.constant(rows.weights, tf.float32)
    if isinstance(x, np.memmap):
        # Too large for memory: the rows of a batch are read from the disk.
        def bottlenecks(indices: tf.Tensor) -> tf.Tensor:
            picked = tf.numpy_function(lambda i: np.asarray(x[i]), [indices], tf.float32)
            return tf.ensure_shape(picked, [None, x.shape[1]])
    else:
        values = tf.constant(x)

        def bottlenecks(indices: tf.Tensor) -> tf.Tensor:
            return tf.gather(values, indices)

    @tf.autograph.experimental.do_not_convert
    def batch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        own = tf.cast(tf.gather(learned, indices), tf.float32)
        share = own / tf.maximum(tf.reduce_sum(own, axis=0), 1)
        y = tf.gather(labels, indices)
        repeated = tf.repeat(y[:, None], heads, axis=1)
        return bottlenecks(indices), repeated, share * tf.gather(weights, y)

    return batch


def class_weights(
    y: np.ndarray, learned: np.ndarray, classes: int, class_weight: str
) -> np.ndarray:
    """Returns how much a photo of each class counts for each head, float32, [classes, heads].

    A class has the same share of the loss of every head. Otherwise a head that is to predict one of
    three photos of a class has learned that the class is rarer than the others, and leave-one-out
    finds nearly all photos wrong.

    Args:
        y: class indices, int, [rows].
        learned: which rows each head learns from, bool, [rows, heads].
        classes: number of classes.
        class_weight: "none" gives each class its share of all photos, "balanced" all the same.
    """
    counts = np.zeros((classes, learned.shape[1]))
    np.add.at(counts, y, learned)
    shares = np.bincount(y, minlength=classes)
    if class_weight == "balanced":
        shares = np.minimum(shares, 1)
    wanted = np.where(counts > 0, shares[:, None], 0)
    wanted = wanted / np.maximum(wanted.sum(axis=0), 1)
    return (wanted * learned.sum(axis=0) / np.maximum(counts, 1)).astype(np.float32)
