"""Batches of bottlenecks for many heads, with how much each photo counts for each head."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.errors import XferlearnError
from xferlearn.system.runtime import untuned
from xferlearn.training.stored_rows import StoredRows

if TYPE_CHECKING:
    import tensorflow as tf

# Batches that are read from disk at a time, and the bytes that they may take.
_MOST_BATCHES, _PIECE_BYTES = 64, 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Rows:
    """What heads learn from.

    Attributes:
        x: bottlenecks, float32, [rows, width], in memory or in their stores.
        y: class indices, int32, [rows]; or whether each row has each class, float32,
            [rows, classes].
        learned: which rows each head learns from, bool, [rows, heads].
        weights: how much a photo of each class counts for each head, float32, [classes, heads];
            where photos may have several labels 1, and the loss weighs the classes.
    """

    x: np.ndarray | StoredRows
    y: np.ndarray
    learned: np.ndarray
    weights: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns a batch as `weighted_batches` yields it, of the rows at these positions."""
        learned = self.learned[rows].astype(np.float32)
        share = learned / np.maximum(learned.sum(axis=0), 1)
        y = self.y[rows]
        labels = np.repeat(y[:, None], learned.shape[1], axis=1)
        if y.ndim == 1:
            share = share * self.weights[y]
        return np.asarray(self.x[rows]), labels, share


@contextlib.contextmanager
def weighted_batches(rows: Rows, batch_size: int, seed: int) -> Iterator["tf.data.Dataset"]:
    """Returns batches without end, every pass in an order of its own.

    Rows that are not in memory are read shard by shard, several mixed among one another.

    Args:
        rows: what is learned from.
        batch_size: rows per batch.
        seed: of the order.

    Returns:
        Bottlenecks, float32, [batch, width]; class indices, int32, [batch, heads], the same for
        each head, or where photos may have several labels float32, [batch, heads, classes]; how
        much each counts, float32, [batch, heads]: for a head the photos that it learns from share
        1 among them, times the weights of their classes. While they are learned from, the block
        raises what the reading of rows raises.
    """
    import tensorflow as tf

    failures: list[XferlearnError] = []
    if isinstance(rows.x, np.ndarray):
        batches = _gathered(rows, rows.x, batch_size, seed)
    else:
        batches = _streamed(rows, rows.x, batch_size, seed, failures)
    try:
        yield untuned(batches.prefetch(8))
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def _gathered(rows: Rows, x: np.ndarray, batch_size: int, seed: int) -> "tf.data.Dataset":
    import tensorflow as tf

    bottlenecks, learned = tf.constant(x), tf.constant(rows.learned)
    labels, weigh = tf.constant(rows.y, _kind_of_labels(rows)), _weigher(rows)

    @tf.autograph.experimental.do_not_convert
    def batch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        own, y = tf.gather(learned, indices), tf.gather(labels, indices)
        return tf.gather(bottlenecks, indices), *weigh(own, y)

    # Only indices are shuffled and batched; one gather fetches a whole batch.
    indices = tf.data.Dataset.range(len(rows.y)).shuffle(len(rows.y), seed=seed)
    return indices.repeat().batch(batch_size).map(batch)


def _streamed(
    rows: Rows, x: StoredRows, batch_size: int, seed: int, failures: list[XferlearnError]
) -> "tf.data.Dataset":
    import tensorflow as tf

    # Python takes as long for many batches as for one.
    most = _PIECE_BYTES // (x.dtype.itemsize * x.shape[1] * batch_size)
    number = int(np.clip(min(most, len(x) // batch_size), 1, _MOST_BATCHES))
    kind, weigh = _kind_of_labels(rows), _weigher(rows)

    def pieces() -> Iterator[tuple[np.ndarray, ...]]:
        try:
            for places, piece in x.mixed(number * batch_size, seed):
                values = piece, rows.learned[places], rows.y[places].astype(kind.as_numpy_dtype)
                yield tuple(value.reshape(number, batch_size, *value.shape[1:]) for value in values)
        except XferlearnError as error:
            failures.append(error)
            raise

    shape = number, batch_size
    batches = tf.data.Dataset.from_generator(
        pieces,
        output_signature=(
            tf.TensorSpec((*shape, x.shape[1]), tf.float32),
            tf.TensorSpec((*shape, rows.learned.shape[1]), tf.bool),
            tf.TensorSpec((*shape, *rows.y.shape[1:]), kind),
        ),
    )

    @tf.autograph.experimental.do_not_convert
    def batch(
        bottlenecks: tf.Tensor, own: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return bottlenecks, *weigh(own, y)

    return batches.prefetch(1).unbatch().map(batch)


def _kind_of_labels(rows: Rows) -> "tf.DType":
    import tensorflow as tf

    return tf.float32 if rows.y.ndim == 2 else tf.int32


def _weigher(rows: Rows) -> Callable[["tf.Tensor", "tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]:
    """Returns what makes the labels and weights of a batch of who learns from it and classes."""
    import tensorflow as tf

    heads, several = rows.learned.shape[1], rows.y.ndim == 2
    weights = tf.constant(rows.weights, tf.float32)

    def weigh(learned: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = tf.cast(learned, tf.float32)
        share = own / tf.maximum(tf.reduce_sum(own, axis=0), 1)
        repeated = tf.repeat(y[:, None], heads, axis=1)
        if not several:
            share *= tf.gather(weights, y)
        return repeated, share

    return weigh


def class_shares(
    y: np.ndarray, learned: np.ndarray, classes: int, class_weight: str, known: np.ndarray
) -> np.ndarray:
    """Returns the share of each class in the loss of each head, float64, [classes, heads].

    A class has the same share for all heads that learn from known rows. Otherwise a head that is to
    predict one of three photos of a class would have learned that the class is rarer than the
    others, and leave-one-out would find nearly all photos wrong.

    Args:
        y: class indices, int, [rows]; or whether each row has each class, [rows, classes].
        learned: which rows each head learns from, bool, [rows, heads].
        classes: number of classes.
        class_weight: "none" gives each class its share of the photos, "balanced" all the same.
            Where photos may have several labels, it is the share of photos that have a class, and
            one half for "balanced".
        known: the rows outside the test, bool, [rows]. A head that learns from others too has its
            own shares; no other head may know of them.
    """
    counts = _counts(y, learned, classes)
    several = y.ndim == 2
    shared = y[known].sum(axis=0) if several else np.bincount(y[known], minlength=classes)
    shares = np.where(learned[~known].any(axis=0), counts, shared.astype(float)[:, None])
    if several:
        number = np.where(learned[~known].any(axis=0), learned.sum(axis=0), known.sum())
        shares = shares / np.maximum(number, 1)
        if class_weight == "balanced":
            shares = np.where((shares > 0) & (shares < 1), 0.5, shares)
        # A head that has seen no photo with a class, or none without, knows no better.
        own = counts / np.maximum(learned.sum(axis=0), 1)
        return np.where((own > 0) & (own < 1), shares, own)
    if class_weight == "balanced":
        shares = np.minimum(shares, 1)
    shares = np.where(counts > 0, shares, 0)
    return shares / np.maximum(shares.sum(axis=0), 1)


def class_weights(y: np.ndarray, learned: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns how much a photo of each class counts for each head, float32, [classes, heads].

    Args:
        y: class indices, int, [rows].
        learned: which rows each head learns from, bool, [rows, heads].
        shares: of the classes in the loss, float, [classes, heads], as of `class_shares`.
    """
    if y.ndim == 2:
        return np.ones(shares.shape, np.float32)
    counts = np.maximum(_counts(y, learned, len(shares)), 1)
    return (shares * learned.sum(axis=0) / counts).astype(np.float32)


def label_weights(y: np.ndarray, learned: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns how much having a class, or not, counts for each head, where photos may have several.

    Photos that have a class and photos that have not share their weight as `shares` says, whatever
    each head has seen of them; unless that is balanced it is 1 for a head that has seen all.

    Args:
        y: whether each row has each class, bool, [rows, classes].
        learned: which rows each head learns from, bool, [rows, heads].
        shares: as `class_shares` returns them.

    Returns:
        Float32, [2, heads, classes]: for photos without the class, and for those with it.
    """
    own = _counts(y, learned, len(shares)) / np.maximum(learned.sum(axis=0), 1)
    told = (own > 0) & (own < 1)
    parts = [
        np.divide(1 - shares, 1 - own, out=np.ones_like(own), where=told),
        np.divide(shares, own, out=np.ones_like(own), where=told),
    ]
    return np.stack([part.T for part in parts]).astype(np.float32)


def _counts(y: np.ndarray, learned: np.ndarray, classes: int) -> np.ndarray:
    if y.ndim == 2:
        return np.asarray(y.T.astype(np.float64) @ learned)
    counts = np.zeros((classes, learned.shape[1]))
    np.add.at(counts, y, learned)
    return counts
