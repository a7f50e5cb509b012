"""Model folders that were changed: their metadata, or their model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.exports.photos import export_photos
from xferlearn.model_folder import read_model_folder

if TYPE_CHECKING:
    import keras


def edit_metadata(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a model folder's metadata; without digests, as earlier versions wrote them."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text())
    for name in ("files", "sha256"):
        metadata.pop(name, None)
    change(metadata)
    path.write_text(json.dumps(metadata))
    labels = "".join(f"{label}\n" for label in metadata["labels"])
    (folder / "labels.txt").write_text(labels, encoding="utf-8")


def write_small_network(folder: Path) -> None:
    """Gives a copy of `colour_model` a network whose values are of usual size, as int8 needs."""
    import keras

    from xferlearn.training.head import build_classifier, build_head, measure_scale

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    features = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pooling")(x))
    photos = training_photos(folder)
    bottlenecks = np.asarray(features(photos))
    head = build_head(16, 3, hidden_units=0, scale=measure_scale(bottlenecks))
    # Training photos come blue, green, red, and so on.
    scaled = np.asarray(head.get_layer("normalization")(bottlenecks))
    wanted = 6 * np.eye(3)[np.arange(len(photos)) % 3]
    kernel = np.linalg.lstsq(np.c_[scaled, np.ones(len(photos))], wanted, rcond=1e-3)[0]
    head.get_layer("predictions").set_weights([kernel[:-1], kernel[-1]])
    build_classifier(features, head).save(folder / "model.keras")

    def narrower(told: dict[str, Any]) -> None:
        told["feature_space"]["width"] = told["bottleneck"]["width"] = 16

    edit_metadata(folder, narrower)


def training_photos(folder: Path) -> np.ndarray:
    """Returns the training photos of a model folder, float32, [photos, height, width, 3]."""
    _, calibration = export_photos(read_model_folder(folder), 1, calibrate=200)
    return np.concatenate(list(calibration())).astype(np.float32)


def add_familiarity(folder: Path, reject: float = 0.05) -> None:
    """Gives a model folder's model the second output, and says so in the metadata."""
    import keras

    model = read_model_folder(folder).load_model()
    pooled = keras.Model(model.input, model.get_layer("pooling").output)
    with_familiarity(model, np.asarray(pooled(training_photos(folder)))).save(
        folder / "model.keras"
    )
    edit_metadata(
        folder, lambda told: told.update(familiarity={"output": "familiarity", "reject": reject})
    )


def with_familiarity(model: "keras.Model", bottlenecks: np.ndarray) -> "keras.Model":
    """Returns a classifier with a second output, as `train` adds it, but simpler.

    Args:
        model: has a layer `pooling`.
        bottlenecks: of the photos that are familiar, float32, [photos, width].
    """
    import keras

    layers = keras.layers
    directions = bottlenecks / np.linalg.norm(bottlenecks, axis=1, keepdims=True)
    x = layers.UnitNormalization(name="familiarity_direction")(model.get_layer("pooling").output)
    near = layers.Dense(len(directions[::2]), use_bias=False, name="familiarity_near")
    x = layers.Reshape((len(directions[::2]), 1), name="familiarity_rows")(near(x))
    x = layers.GlobalMaxPooling1D(name="familiarity_nearest")(x)
    x = layers.Concatenate(name="familiarity_both")([x, model.output])
    last = layers.Dense(1, activation="hard_sigmoid", name="familiarity")
    both = keras.Model(model.input, {"predictions": model.output, "familiarity": last(x)})
    # Half of the photos are near, and those of the other half that are least so get 0.1.
    near.set_weights([directions[::2].T])
    least = (directions[1::2] @ directions[::2].T).max(axis=1).min()
    slope = 0.9 / (1 - least)
    classes = model.output_shape[-1]
    kernel = np.zeros((1 + classes, 1))
    kernel[0] = 6 * slope
    last.set_weights([kernel, np.array([6 * (0.1 - slope * least) - 3])])
    return both
