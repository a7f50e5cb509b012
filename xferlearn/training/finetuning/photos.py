"""Batches for fine-tuning: new views of the photos in every pass, and the validation photos."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.decisions import fit_temperature, with_temperature
from xferlearn.errors import XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.views import Augmentation
from xferlearn.system.runtime import untuned

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# What a network takes, and the photos' classes as `Manifest.truth` has them.
Batch = tuple[np.ndarray, np.ndarray]
# Photos of a dataset come with their bytes; this many of them are shuffled at a time.
_SHUFFLED_BYTES = 512 * 2**20


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos that pass through the whole network in every pass: what it learns from.

    Attributes:
        config: seed, augmentation, batch size, limits.
        source: where the photos are read again. Those that have changed or can't be read by then
            are left out.
        trained: the network, from pixels to bottlenecks.
        training: the training photos.
        validation: the validation photos.
        targets: the classes of photos by their label's index, as `Manifest.targets` has them.
    """

    config: TrainConfig
    source: PhotoSource
    trained: "keras.Model"
    training: Sequence[Photo]
    validation: Sequence[Photo]
    targets: np.ndarray

    def training_pass(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of a pass, in views and in an order of its own.

        Args:
            epoch: number of the pass, from 0.

        Returns:
            Pixels, uint8, [batch, height, width, 3], range [0, 255], and classes as `targets` has
            them.
        """
        augmentation = Augmentation.of(self.config, fine_tuning=True)
        # Pass 0 sees view 1: number 0 is always the plain one.
        chosen = pick_photos(
            self.source, self.training, augmentation=augmentation, numbers=(epoch + 1,)
        )
        # NumPy takes no negative seeds.
        rng = np.random.default_rng([self.config.seed % 2**64, epoch])
        entries = _shuffled(chosen, rng, holds_bytes=self.source.holds_bytes)
        yield from self._batches(entries, batch_size=self.config.fine_tune_batch_size, views=True)

    def validation_pass(self) -> Iterator[Batch]:
        """Yields the validation photos in the plain view, as `training_pass` does."""
        yield from self._batches(pick_photos(self.source, self.validation))

    def remove(self) -> None:
        """Does nothing: nothing was kept."""

    def _batches(self, entries: Iterator[Entry], **how: Any) -> Iterator[Batch]:
        limits, size = PhotoLimits.of(self.config), self.trained.input_shape[1]
        loaded = readable(load_photos(entries, size, limits))
        for batch in decoded_batches(loaded, size, limits, **how):
            if batch.photos:
                yield batch.pixels, self.targets[[item.entry.label for item in batch.photos]]


def endless(
    one_pass: Callable[[int], Iterator[Batch]],
    first_epoch: int,
    model: "keras.Model",
    failures: list[Exception],
    *,
    multi_label: bool = False,
) -> "tf.data.Dataset":
    """Returns the batches of pass after pass, without end.

    Args:
        one_pass: yields the batches of the pass with a number.
        first_epoch: the pass to begin with.
        model: takes the batches.
        failures: gets the error that ends the batches, of which TensorFlow's own error has only
            the text.
        multi_label: whether photos may have several labels.
    """
    import tensorflow as tf

    def generate() -> Iterator[Batch]:
        try:
            for epoch in itertools.count(first_epoch):
                found = False
                for x, labels in one_pass(epoch):
                    found = True
                    yield x, labels.astype(of_labels.dtype.as_numpy_dtype)
                if not found:
                    raise no_photos("training")
        except Exception as error:
            failures.append(error)
            raise

    # Pixels stay bytes until they reach the network.
    kind = tf.float32 if len(model.input_shape) == 2 else tf.uint8
    of_labels = tf.TensorSpec([None], tf.int32)
    if multi_label:
        of_labels = tf.TensorSpec(model.output_shape, tf.float32)
    signature = (tf.TensorSpec(model.input_shape, kind), of_labels)
    return untuned(tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2))


def no_photos(kind: str) -> XferlearnError:
    """Returns the error of a fine-tuning whose photos of a kind have all been removed."""
    return XferlearnError(
        f"None of the {kind} photos can be read any more. Bring them back and run again:"
        " fine-tuning continues after its last complete pass."
    )


def _shuffled(
    entries: Iterator[Entry], rng: np.random.Generator, *, holds_bytes: bool
) -> Iterator[Entry]:
    window: list[Entry] = []
    held = 0
    for entry in entries:
        window.append(entry)
        held += entry.size if holds_bytes else 0
        while held > _SHUFFLED_BYTES:
            picked = int(rng.integers(len(window)))
            window[picked], window[-1] = window[-1], window[picked]
            held -= window[-1].size
            yield window.pop()
    for index in rng.permutation(len(window)):
        yield window[index]


def classifier_predictions(
    model: "keras.Model", one_pass: Callable[[], Iterator[Batch]]
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that asks a classifier, in its state at that time, about photos.

    Args:
        model: to probabilities.
        one_pass: yields the batches of the validation photos.

    Returns:
        A function of no arguments that returns probabilities, float32, [photos, classes], at the
        temperature that suits them, and their classes. It raises XferlearnError if no photo can be
        read.
    """
    import tensorflow as tf

    # Not Keras' predict_on_batch, which answers once per device if there are several.
    signature = [tf.TensorSpec(model.input_shape, tf.float32)]
    ask = tf.function(lambda x: model(x, training=False), input_signature=signature)

    def predictions() -> tuple[np.ndarray, np.ndarray]:
        answers = [(np.asarray(ask(x.astype(np.float32))), labels) for x, labels in one_pass()]
        if not answers:
            raise no_photos("validation")
        probabilities, labels = (np.concatenate(one) for one in zip(*answers, strict=True))
        if np.isfinite(probabilities).all():  # else it diverged
            temperature = fit_temperature(probabilities, labels)
            multi_label = labels.ndim == 2
            probabilities = with_temperature(probabilities, temperature, multi_label=multi_label)
        return probabilities, labels

    return predictions
