"""Photos for fine-tuning: batches of new views in every pass, and the validation photos."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.config import TrainConfig
from xferlearn.errors import XferlearnError
from xferlearn.photos.decoding import decoded_batches
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry, FileSource, PhotoSource, Selection
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
    labels: dict[str, int],
    image_size: int,
    first_epoch: int,
    failures: list[Exception],
) -> "tf.data.Dataset":
    """Returns batches of pixels and classes without end, every pass in an order of its own.

    Photos that can't be read any more are passed over. What ends the batches goes to `failures`:
    TensorFlow, which raises an error of its own then, has only the text.
    """
    import tensorflow as tf

    augmentation = Augmentation.of(config, fine_tuning=True)

    def entries(epoch: int) -> Iterator[Entry]:
        # Pass 0 sees view 1: number 0 is always the plain one.
        chosen = Selection(source, labels.keys(), augmentation, (epoch + 1,))
        # NumPy takes no negative seeds.
        rng = np.random.default_rng([config.seed % 2**64, epoch])
        return _shuffled(chosen.entries(), rng, holds_bytes=not isinstance(source, FileSource))

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        try:
            yield from passes()
        except Exception as error:
            failures.append(error)
            raise

    def passes() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for epoch in itertools.count(first_epoch):
            ordered = _Ordered(source.labels, len(labels), entries(epoch))
            readable = False
            for batch in decoded_batches(
                _readable(load_photos(ordered, image_size, config)),
                image_size,
                config,
                batch_size=config.fine_tune_batch_size,
                views=True,
            ):
                if batch.photos:
                    readable = True
                    yield batch.pixels, np.array([labels[p.entry.name] for p in batch.photos])
            if not readable:
                raise no_photos("training")

    signature = (
        tf.TensorSpec([None, image_size, image_size, 3], tf.uint8),
        tf.TensorSpec([None], tf.int32),
    )
    return untuned(tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2))


def no_photos(kind: str) -> XferlearnError:
    """Returns the error of a fine-tuning whose photos of a kind have all gone away."""
    return XferlearnError(
        f"No {kind} photo can be read any more. Bring the photos back and run again: fine-tuning"
        " goes on after its last whole pass."
    )


def _readable(loaded: Iterator[Loaded]) -> Iterator[Loaded]:
    """Yields what there is to decode: anything else would come out of the decoder black."""
    return (item for item in loaded if item.problem is None)


@dataclasses.dataclass(frozen=True)
class _Ordered:
    labels: tuple[str, ...]
    count: int
    items: Iterator[Entry]

    def entries(self) -> Iterator[Entry]:
        return self.items


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
    model: "keras.Model", photos: PhotoSource, config: TrainConfig
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that asks a classifier, as it is then, about photos.

    It returns probabilities, float32, [photos, classes], and class indices, int32, [photos], of
    those that can be read; XferlearnError where none can.
    """
    import tensorflow as tf

    # Not Keras' predict_on_batch, which answers once a device where there are several.
    signature = [tf.TensorSpec(model.input_shape, tf.float32)]
    ask = tf.function(lambda pixels: model(pixels, training=False), input_signature=signature)
    size = model.input_shape[1]

    def predictions() -> tuple[np.ndarray, np.ndarray]:
        probabilities, labels = [], []
        for batch in decoded_batches(_readable(load_photos(photos, size, config)), size, config):
            if batch.photos:
                probabilities.append(np.asarray(ask(batch.pixels.astype(np.float32))))
                labels += [photo.entry.label for photo in batch.photos]
        if not probabilities:
            raise no_photos("validation")
        return np.concatenate(probabilities), np.array(labels, np.int32)

    return predictions
