"""Model folders that were changed: their metadata, or their model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.decisions import fit_familiarity
from xferlearn.exports.photos import export_photos
from xferlearn.model_folder import read_model_folder


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
    """Gives a copy of `colour_model` a network whose values are of usual size, as int8 needs.

    It has one output, as models of earlier versions have.
    """
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

    def change(told: dict[str, Any]) -> None:
        told["feature_space"]["width"] = told["bottleneck"]["width"] = 16
        del told["familiarity"]

    edit_metadata(folder, change)


def training_photos(folder: Path) -> np.ndarray:
    """Returns the training photos of a model folder, float32, [photos, height, width, 3]."""
    _, calibration = export_photos(read_model_folder(folder), 1, calibrate=200)
    return np.concatenate(list(calibration())).astype(np.float32)


def remove_familiarity(folder: Path) -> None:
    """Makes a model folder as earlier versions wrote it: with one output."""
    import keras

    model = read_model_folder(folder).load_model()
    keras.Model(model.input, model.output["predictions"]).save(folder / "model.keras")
    edit_metadata(folder, lambda told: told.pop("familiarity"))


def add_familiarity(folder: Path, reject: float) -> None:
    """Gives a model folder's model the second output, and says so in the metadata."""
    import keras

    from xferlearn.training.own_photos import with_familiarity

    model_folder = read_model_folder(folder)
    model = model_folder.load_model()
    layers = [model.get_layer("pooling").output, model.output]
    bottlenecks, probabilities = keras.Model(model.input, layers)(training_photos(folder))
    numbers = np.arange(len(bottlenecks))
    # Training photos come blue, green, red, and so on.
    familiarity = fit_familiarity(
        np.asarray(bottlenecks),
        numbers % 3,
        numbers,
        np.asarray(probabilities),
        folds=(numbers // 3 % 4).tolist(),
        most_weights=500,
    )
    with_familiarity(model, "pooling", familiarity).save(folder / "model.keras")
    said = {"output": "familiarity", "reject": reject, "photos": familiarity.photos}
    edit_metadata(folder, lambda told: told.update(familiarity=said))
