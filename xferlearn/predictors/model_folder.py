"""Our own model folder as a predictor; bottlenecks of its frozen backbone come from the cache."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.engines import build_engine
from xferlearn.bottlenecks.engines.planning import has_bfloat16
from xferlearn.bottlenecks.features import Features
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import ShardWriter
from xferlearn.config import ImageConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder import METADATA_FILE, MODEL_FILE, ModelFolder
from xferlearn.photos.pixels import RESIZE_POLICY
from xferlearn.predictors.base import Predictor
from xferlearn.predictors.keras_files import check_keras_file

if TYPE_CHECKING:
    import keras


def model_folder_predictor(
    model_folder: ModelFolder, config: ImageConfig | None = None
) -> Predictor:
    """Returns the predictor of a model folder.

    Its backbone runs in the precision that the head was trained in, so that what was measured is
    what one gets, and photos that were seen in training or labelled before need no network pass.

    Args:
        model_folder: the folder.
        config: engine, precision and folder of the bottlenecks; None for the defaults.

    Raises:
        UserError: when its model is missing or damaged, or what `config` asks for can't be had.
    """
    check_keras_file(model_folder.path / MODEL_FILE)
    model = model_folder.load_model()
    config = config or ImageConfig()
    size = model_folder.image_size
    predictor = Predictor(
        model_folder.labels,
        size,
        size,
        model_folder_resize(model_folder),
        lambda pixels: pixels,
        name=str(model_folder.path),
        backbone=str(model_folder.metadata.get("backbone", {}).get("name", "")),
        load_model=lambda: model,
    )
    try:
        cached = CachedScores(model_folder, model, config)
    except UserError as error:
        if {"engine", "precision", "bottleneck_dir"} & config.changed().keys():
            raise
        warning = f"all photos go through float32 TensorFlow, and none is cached: {error}"
        return dataclasses.replace(predictor, run=build_engine(model).run, warnings=(warning,))
    return dataclasses.replace(
        predictor, run=cached.run, cached=cached, later_warnings=lambda: cached.later_warnings
    )


def model_folder_resize(model_folder: ModelFolder) -> str:
    """Returns how a model's photos were fitted in training, "crop" or "squash"."""
    return resize_policy(model_folder.metadata["input"].get("resize"))


def resize_policy(stated: Any) -> str:
    """Returns "crop" or "squash" for what metadata say in words of how photos were fitted."""
    return "squash" if str(stated).startswith("squash") else "crop"


class CachedScores:
    """Scores of a model folder: backbone, or cache, and then the head."""

    def __init__(
        self, model_folder: ModelFolder, model: "keras.Model", config: ImageConfig
    ) -> None:
        """Splits a model at its bottleneck and opens the cache.

        Args:
            model_folder: the folder.
            model: its model.
            config: engine, precision and folder of the bottlenecks.

        Raises:
            UserError: when the cache can't be opened, the engine that was asked for can't be had,
                or the metadata are damaged.
        """
        try:
            space = FeatureSpace(**model_folder.metadata["feature_space"])
            backbone, self._head = split_classifier(
                model, model_folder.metadata["bottleneck"]["layer"]
            )
            if space.width != backbone.output_shape[-1]:
                raise ValueError(
                    f"a bottleneck is said to have {space.width} values, and has"
                    f" {backbone.output_shape[-1]}"
                )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{model_folder.path / METADATA_FILE} is damaged ({error}).") from None
        bfloat16 = space.precision == "bfloat16" and has_bfloat16()
        self._features = Features(
            lambda precision: dataclasses.replace(space, precision=precision, resize=RESIZE_POLICY),
            lambda: backbone,
            config,
            "bfloat16" if bfloat16 else "float32",
        )
        self._first = self._features.store
        self._writing = contextlib.ExitStack()
        self._writer: ShardWriter | None = None
        self._unwritten: list[str] = []

    @property
    def later_warnings(self) -> tuple[str, ...]:
        """Engines that were given up so far, and what is wrong with the cache, a line each."""
        store = self._features.store
        stores = [self._first] if store is self._first else [self._first, store]
        damage = [problem for one in stores for problem in one.warnings]
        return (*self._features.fallbacks, *damage, *self._unwritten)

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo's bottleneck is cached."""
        return digest in self._features.store or digest in self._first

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns scores as `Predictor.run` does, without the cache."""
        return self.scores([b""] * len(pixels), pixels)

    def scores(self, digests: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        """Returns scores as `Predictor.scores` does, and caches new bottlenecks."""
        vectors = np.empty((len(digests), self._features.store.space.width), np.float32)
        new = list(range(len(digests)))
        # Photos that the first store knew came without pixels, though the engine may have been
        # given up since: theirs are of the precision that the head was trained in.
        for store in (self._features.store, self._first):
            known = [i for i in new if digests[i] in store]
            if known:
                vectors[known] = store.read([digests[i] for i in known])
            new = [i for i in new if digests[i] not in store]
        if new:
            vectors[new] = self._features.run(pixels[new])
            self._add([(digests[i], vectors[i]) for i in new if digests[i]])
        return np.asarray(self._head(vectors))

    def flush(self) -> None:
        """Commits the bottlenecks that were computed since."""
        self._writer = None
        try:
            self._writing.close()
        except XferlearnError as error:  # labels matter more than the cache
            self._unwritten.append(str(error))

    def _add(self, rows: list[tuple[bytes, np.ndarray]]) -> None:
        if self._unwritten or not rows:
            return
        try:
            if self._writer is None:
                self._writer = self._writing.enter_context(self._features.store.writer())
            for digest, vector in rows:
                self._writer.add(digest, vector)
        except XferlearnError as error:
            self._unwritten.append(str(error))


def split_classifier(model: "keras.Model", layer: str) -> tuple["keras.Model", "keras.Model"]:
    """Returns a classifier's backbone and head, which share its layers.

    Args:
        model: as `heads.build_classifier` returns it.
        layer: name of the layer whose output is the bottleneck.

    Raises:
        ValueError: when the model has no such layer.
    """
    import keras

    bottleneck = model.get_layer(layer)
    names = [one.name for one in model.layers]
    x = head_input = keras.Input(bottleneck.output.shape[1:], name="bottleneck")
    for following in model.layers[names.index(layer) + 1 :]:
        x = following(x)
    return keras.Model(model.input, bottleneck.output), keras.Model(head_input, x)
