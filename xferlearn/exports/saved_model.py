"""SavedModels for TensorFlow Serving: pixels or encoded photos in, probabilities and labels out."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.decisions import Decision, MultiLabelDecision, decision_of
from xferlearn.errors import XferlearnError
from xferlearn.exports.encoded import decode_photo
from xferlearn.exports.metadata import describe
from xferlearn.exports.outputs import PROBABILITIES, in_order, output_names
from xferlearn.exports.photos import ProofPhotos
from xferlearn.exports.proof import Reference
from xferlearn.inspection import METADATA_ASSET
from xferlearn.model_folder import FAMILIARITY, ModelFolder
from xferlearn.photos.several import label_text
from xferlearn.predictors import model_folder_bit_depth, model_folder_resize

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Of a probability, between a photo's file and its pixels: float32 in batches of another size.
_TOLERANCE = 1e-3
_CHECKED_PHOTOS = 64
# TensorFlow Serving looks for versions below a model's folder.
VERSION = "1"


def write_saved_model(model: "keras.Model", model_folder: ModelFolder, folder: Path) -> None:
    """Writes a SavedModel with two signatures below `folder`/1.

    `serving_default` takes `image`, float32 pixels, [batch, height, width, 3], range [0, 255].
    `serve_image_bytes` takes `image_bytes`, JPEG or PNG files, [batch], and prepares photos in the
    graph as training does. Both give `probabilities`, float32, [batch, classes], and
    `labels`, the names of the classes in the same order, string, [batch, classes]. Where the model
    says how familiar a photo is, they give `familiarity`, float32, [batch], too; where it has a
    decision, `decision`, the label that each photo gets by it, string, [batch]; where photos may
    have several labels, whether each gets each of `labels`, bool, [batch, classes].

    Args:
        model: the model folder's model.
        model_folder: the model folder.
        folder: a new folder.
    """
    import tensorflow as tf

    size, resize = model_folder.image_size, model_folder_resize(model_folder)
    bits = model_folder_bit_depth(model_folder)
    decision = decision_of(model_folder.metadata)
    image = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="image")

    @tf.function(input_signature=[image], autograph=False)
    def network(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = in_order(model(image, training=False))
        return dict(zip(output_names(model), outputs, strict=True))

    def answer(given: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # One row per photo, as TensorFlow Serving's REST interface expects of every output.
        probabilities = given[PROBABILITIES]
        labels = tf.tile(tf.constant([model_folder.labels]), [tf.shape(probabilities)[0], 1])
        answers = {**given, "labels": labels}
        if FAMILIARITY in given:
            answers[FAMILIARITY] = given[FAMILIARITY][:, 0]
        if has_decision(decision):
            answers["decision"] = decided(decision, probabilities)
        return answers

    @tf.function(input_signature=[image], autograph=False)
    def serving_default(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(network(image))

    files = tf.TensorSpec([None], tf.string, name="image_bytes")

    @tf.function(input_signature=[files], autograph=False)
    def serve_image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(
            lambda data: tf.cast(decode_photo(data, size, resize, bits), tf.float32),
            image_bytes,
            fn_output_signature=tf.TensorSpec(image.shape[1:], tf.float32),
        )
        return answer(network(pixels))

    # Not the Keras model itself, which would be saved with a second copy of its weights.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signatures = {"serving_default": serving_default, "serve_image_bytes": serve_image_bytes}
    tf.saved_model.save(module, str(folder / VERSION), signatures)
    asset = folder / VERSION / METADATA_ASSET
    asset.parent.mkdir()
    asset.write_text(describe(model_folder), encoding="utf-8")


def has_decision(decision: Decision | MultiLabelDecision) -> bool:
    """Returns whether it takes more than the largest probability to label a photo."""
    return isinstance(decision, MultiLabelDecision) or bool(decision)


def decided(decision: Decision | MultiLabelDecision, probabilities: "tf.Tensor") -> "tf.Tensor":
    """Returns the label that each photo gets, as `Decision.decide` does, string, [batch].

    Where there may be several, whether each photo gets each, bool, [batch, classes].
    """
    import tensorflow as tf

    if isinstance(decision, MultiLabelDecision):
        return tf.cast(probabilities, tf.float32) >= decision.limits
    scores = tf.cast(probabilities, tf.float64)
    if decision.costs:
        places = tf.argmin(scores @ decision.cost_matrix, axis=1)
    else:
        limits = [decision.thresholds.get(label, np.inf) for label in decision.labels]
        ratios, free = scores / np.array(limits), np.isinf(limits)
        places = tf.argmax(ratios, axis=1)
        if free.any():
            others = tf.argmax(tf.where(free, scores, -1.0), axis=1)
            places = tf.where(tf.reduce_max(ratios, axis=1) >= 1, places, others)
    return tf.gather(tf.constant(decision.labels), places)


def check_image_bytes(folder: Path, photos: ProofPhotos, reference: Reference) -> None:
    """Checks that `serve_image_bytes` answers a photo's file as the model answers its pixels.

    Args:
        folder: of the version.
        photos: the first 64 that are JPEG or PNG are fed as files.
        reference: the answers of model.keras to their pixels.

    Raises:
        XferlearnError: the probabilities differ.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    call = loaded.signatures["serve_image_bytes"]
    differences = [0.0]
    for read, expected in zip(photos.read[:_CHECKED_PHOTOS], reference.scores, strict=False):
        data = read()
        if data.startswith((b"\xff\xd8", b"\x89PNG")):
            answers = call(image_bytes=tf.constant([data]))
            scores = answers[PROBABILITIES].numpy()
            differences.append(float(np.abs(scores[0] - expected).max()))
            if has_decision(reference.decision):
                _check_decision(answers["decision"].numpy(), scores, reference)
    largest = float(np.max(differences))
    if not largest <= _TOLERANCE:
        raise XferlearnError(
            f"serve_image_bytes gives other probabilities than the model, by up to {largest:.2g}"
        )


def _check_decision(answer: np.ndarray, scores: np.ndarray, reference: Reference) -> None:
    right = reference.decision.decide(scores)[0]
    if reference.is_multi_label:
        given, label = (
            label_text(np.array(reference.labels)[has].tolist()) for has in (answer[0], right)
        )
    else:
        given, label = answer[0].decode(), reference.labels[right]
    if given != label:
        raise XferlearnError(
            f"serve_image_bytes decides for {given!r} where the model's decision gives {label!r}"
        )
