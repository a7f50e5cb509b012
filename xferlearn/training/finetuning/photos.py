"""Photos for fine-tuning: batches of new views in every pass, and the validation photos."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.errors import XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.views import Augmentation
from xferlearn.system.runtime import untuned

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Photos of a dataset come with their bytes; this many of them are shuffled at a time.
_SHUFFLED_BYTES = 512 * 2**20


def training_batches(
    config: TrainConfig,
    source: PhotoSource,
    photos: Sequence[Photo],
    image_size: int,
    first_epoch: int,
    failures: list[Exception],
) -> "tf.data.Dataset":
    """Returns batches without end, every pass in new views and in an order of its own.

    Args:
        config: seed, augmentation, batch size, limits.
        source: where the photos are read again.
        photos: the training photos. Those that have changed or can't be read are left out.
        image_size: side in px of the square that the network sees.
        first_epoch: the pass to begin with.
        failures: gets the error that ends the batches, of which TensorFlow's own error has only
            the text.

    Returns:
        Pixels, uint8, [batch, image_size, image_size, 3], range [0, 255], and class indices,
        int32, [batch].
    """
    import tensorflow as tf

    augmentation = Augmentation.of(config, fine_tuning=True)
    limits = PhotoLimits.of(config)

    def entries(epoch: int) -> Iterator[Entry]:
        # Pass 0 sees view 1: number 0 is always the plain one.
        chosen = pick_photos(source, photos, augmentation=augmentation, numbers=(epoch + 1,))
        # NumPy takes no negative seeds.
        rng = np.random.default_rng([config.seed % 2**64, epoch])
        return _shuffled(chosen, rng, holds_bytes=source.holds_bytes)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        try:
            yield from passes()
        except Exception as error:
            failures.append(error)
            raise

    def passes() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for epoch in itertools.count(first_epoch):
            found = False
            for batch in decoded_batches(
                readable(load_photos(entries(epoch), image_size, limits)),
                image_size,
                limits,
                batch_size=config.fine_tune_batch_size,
                views=True,
            ):
                if batch.photos:
                    found = True
                    yield batch.pixels, np.array([item.entry.label for item in batch.photos])
            if not found:
                raise no_photos("training")

    signature = (
        tf.TensorSpec([None, image_size, image_size, 3], tf.uint8),
        tf.TensorSpec([None], tf.int32),
    )
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
    model: "keras.Model", source: PhotoSource, photos: Sequence[Photo], config: TrainConfig
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that asks a classifier, in its state at that time, about photos.

    Args:
        model: from float32 pixels to probabilities.
        source: where the photos are read again.
        photos: which ones. Those that have changed or can't be read are left out.
        config: limits.

    Returns:
        A function of no arguments that returns probabilities, float32, [photos, classes], and
        class indices, int32, [photos]. It raises XferlearnError if no photo can be read.
    """
    import tensorflow as tf

    # Not Keras' predict_on_batch, which answers once per device if there are several.
    signature = [tf.TensorSpec(model.input_shape, tf.float32)]
    ask = tf.function(lambda pixels: model(pixels, training=False), input_signature=signature)
    size = model.input_shape[1]
    limits = PhotoLimits.of(config)

    def predictions() -> tuple[np.ndarray, np.ndarray]:
        probabilities, labels = [], []
        loaded = readable(load_photos(pick_photos(source, photos), size, limits))
        for batch in decoded_batches(loaded, size, limits):
            if batch.photos:
                probabilities.append(np.asarray(ask(batch.pixels.astype(np.float32))))
                labels += [item.entry.label for item in batch.photos]
        if not probabilities:
            raise no_photos("validation")
        return np.concatenate(probabilities), np.array(labels, np.int32)

    return predictions
