"""A model folder as a predictor; its frozen backbone's bottlenecks come from the cache."""

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.engines import build_engine
from xferlearn.bottlenecks.engines.planning import has_bfloat16
from xferlearn.bottlenecks.settling import Candidates, Features, Sample, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore, LostRowsError
from xferlearn.bottlenecks.writing import ShardWriter
from xferlearn.config import ImageConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.model_folder import (
    FAMILIARITY,
    FILES,
    METADATA_FILE,
    MODEL_FILE,
    PREDICTIONS,
    ModelFolder,
)
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.depth import DEPTHS
from xferlearn.photos.pixels.operations import RESIZE_POLICY
from xferlearn.photos.sources import Entry
from xferlearn.predictors.base import Answers, Predictor, Scorer
from xferlearn.predictors.keras_files import check_keras_file
from xferlearn.predictors.splitting import (
    Head,
    SplitModel,
    kept_head,
    one_output,
    parts_of,
    split_answers,
    start_head,
)
from xferlearn.system.progress import working
from xferlearn.system.runtime import choose_device, float32_layers, start_tensorflow
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras


def model_folder_predictor(
    model_folder: ModelFolder, config: ImageConfig | None = None, *, familiarity: bool = True
) -> Predictor:
    """Returns the predictor of a model folder.

    Its backbone runs in the precision that the head was trained in, so that its accuracy is the one
    that was measured; photos seen in training or labelled before need no network pass.

    Args:
        model_folder: the folder.
        config: engine, precision and folder of the bottlenecks; None for the defaults.
        familiarity: whether it is to say how familiar photos are, where the model can.

    Raises:
        UserError: when its model is missing or damaged, or what `config` asks for is not available.
    """
    check_keras_file(model_folder.path / MODEL_FILE)
    config = config or ImageConfig()

    @functools.cache
    def whole() -> "keras.Model":
        with working("loading TensorFlow", config.verbose):
            start_tensorflow()
        choose_device(config.device)
        return model_folder.load_model()

    says_familiarity = familiarity and _says_familiarity(model_folder, whole)

    def model() -> "keras.Model":
        return whole() if says_familiarity else _scores_alone(whole())

    size = model_folder.image_size
    predictor = Predictor(
        model_folder.labels,
        size,
        size,
        model_folder_resize(model_folder),
        lambda pixels: Answers(pixels),
        name=str(model_folder.path),
        backbone=str(model_folder.metadata.get("backbone", {}).get("name", "")),
        load_model=whole,
        metadata=model_folder.metadata,
        model_folder=model_folder,
        bit_depth=model_folder_bit_depth(model_folder),
        says_familiarity=says_familiarity,
    )
    try:
        cached = CachedScores(model_folder, model, config, says_familiarity=says_familiarity)
    except UserError as error:
        if {"engine", "precision", "bottleneck_dir"} & config.changed().keys():
            raise
        warning = f"all photos go through float32 TensorFlow, and none is cached: {error}"
        return dataclasses.replace(predictor, answer=_whole(model()), warnings=(warning,))
    return dataclasses.replace(
        predictor, answer=cached.answer, cached=cached, later_warnings=lambda: cached.later_warnings
    )


def _says_familiarity(model_folder: ModelFolder, load: "Callable[[], keras.Model]") -> bool:
    """Returns whether a model says how familiar photos are; checks its file."""
    if FILES not in model_folder.metadata:  # by which the metadata are of this model
        return isinstance(load().output, dict)
    model_folder.check_model()
    return model_folder.metadata.get(FAMILIARITY) is not None


def _scores_alone(model: "keras.Model") -> "keras.Model":
    """Returns a model without its other outputs."""
    import keras

    if not isinstance(model.output, dict):
        return model
    with float32_layers():
        return keras.Model(model.input, model.output[PREDICTIONS])


def _whole(model: "keras.Model") -> Callable[[np.ndarray], Answers]:
    """Returns a function from pixels to answers that runs a model in float32 TensorFlow."""
    run = build_engine(one_output(model)).run
    says_familiarity = isinstance(model.output, dict)
    return lambda pixels: split_answers(run(pixels), says_familiarity=says_familiarity)


def model_folder_resize(model_folder: ModelFolder) -> str:
    """Returns how a model's photos were fitted in training, "crop" or "squash"."""
    return resize_policy(model_folder.metadata["input"].get("resize"))


def model_folder_bit_depth(model_folder: ModelFolder) -> int | None:
    """Returns the bits used of a model's training photos with more than 8; None without such.

    Models that say nothing are from before: all 16 were used of every such photo.
    """
    return depth_stated(model_folder.metadata["input"].get("bit_depth", 16))


def depth_stated(stated: Any) -> int | None:
    """Returns a bit depth that metadata state; None for none, and for values that are not one."""
    return stated if stated in DEPTHS else None


def resize_policy(stated: Any) -> str:
    """Returns "crop" or "squash" for the words in which metadata say how photos were fitted."""
    return "squash" if str(stated).startswith("squash") else "crop"


class CachedScores:
    """Scores of a model folder: backbone or cache, then head.

    Where several backbones are combined, each has its own engine and cache. One that is smaller
    than the model's input sees what the model resizes, so its bottlenecks have a space of their
    own: a photo's scores do not depend on what was cached before.

    Attributes:
        resize: how photos are fitted, "crop" or "squash".
    """

    def __init__(
        self,
        model_folder: ModelFolder,
        load: Callable[[], "keras.Model"],
        config: ImageConfig,
        *,
        says_familiarity: bool,
    ) -> None:
        """Splits a model at its bottlenecks and opens their caches.

        Args:
            model_folder: the folder.
            load: returns its model; called where what is kept of it does not do.
            config: engine, precision and folder of the bottlenecks.
            says_familiarity: whether the model says how familiar photos are.

        Raises:
            UserError: when the cache can't be opened, the engine that was asked for is not
                available or too inexact, or the metadata are damaged.
        """
        self.resize = model_folder_resize(model_folder)
        metadata = model_folder.metadata
        try:
            spaces = [FeatureSpace(**said) for said in parts_of(metadata["feature_space"])]
            split = SplitModel.of(metadata, load)
            self._parts = [
                _CachedPart(
                    config,
                    functools.partial(split.network, index),
                    _seen_space(space, model_folder.image_size),
                )
                for index, space in enumerate(spaces)
            ]
            root = self._parts[0].features.store.folder.parent
            kept = kept_head(root, model_folder, familiarity=says_familiarity)
            in_openvino = all(part.features.plan.name == "openvino" for part in self._parts)
            self._head = start_head(split.head, kept if in_openvino else None)
        except UserError:  # a ValueError too, which says itself what is wrong
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{model_folder.path / METADATA_FILE} is damaged ({one_line(error)})."
            ) from None
        self._unwritten: list[str] = []

    @property
    def later_warnings(self) -> tuple[str, ...]:
        """Why faster engines are not used, and what is wrong with the cache, one line each."""
        found = [line for part in self._parts for line in part.features.warnings]
        return tuple(dict.fromkeys([*found, *self._unwritten]))

    @property
    def settled(self) -> dict[str, str]:
        """`engine` and `precision` of what computes; {} where several backbones differ."""
        plans = {part.features.plan for part in self._parts}
        if len(plans) > 1:
            return {}
        (plan,) = plans
        return {"engine": plan.name, "precision": plan.precision}

    @contextlib.contextmanager
    def scoring(
        self, entries: Callable[[], Iterable[Entry]], limits: PhotoLimits
    ) -> Iterator[Scorer]:
        """Returns a scorer as `Predictor.scoring` does; it caches new bottlenecks."""

        def sample(store: BottleneckStore) -> np.ndarray:
            return sample_pixels(entries(), store, limits, resize=self.resize)

        scorer = _Scorer([part.settled(sample) for part in self._parts], self._head)
        try:
            yield scorer
        finally:
            self._unwritten += scorer.close()

    def answer(self, pixels: np.ndarray) -> Answers:
        """Returns what `Predictor.answer` does, without the cache."""
        settled = [part.settled(lambda store: pixels) for part in self._parts]
        rows = [part.store.rounded(part.engine().run(pixels)) for part in settled]
        return self._head(np.concatenate(rows, axis=1))


def _seen_space(space: FeatureSpace, image_size: int) -> FeatureSpace:
    """Returns the feature space of a backbone behind a model's input, px."""
    resize = RESIZE_POLICY
    if space.image_size != image_size:
        resize += f"; then {space.image_size} px, bilinear"
    return dataclasses.replace(space, image_size=image_size, resize=resize)


class _CachedPart:
    """A backbone of a model: its engine and cache.

    Attributes:
        features: what is settled so far.
    """

    def __init__(
        self, config: ImageConfig, load: Callable[[], "keras.Model"], space: FeatureSpace
    ) -> None:
        bfloat16 = space.precision == "bfloat16" and has_bfloat16()
        self._candidates = Candidates.of(
            config,
            load,
            lambda precision: dataclasses.replace(space, precision=precision),
            "bfloat16" if bfloat16 else "float32",
        )
        self._settling = threading.Lock()
        # Without photos only engines that were compared before are ruled out.
        self.features = self._candidates.settle(_no_photos)

    def settled(self, sample: Sample) -> Features:
        """Returns an engine that may compute, and its cache; `sample` is as for `settle`."""
        with self._settling:
            if not self.features.proven:
                self.features = self._candidates.settle(sample)
            return self.features


def _no_photos(store: BottleneckStore) -> np.ndarray:
    return np.zeros((0, store.space.image_size, store.space.image_size, 3), np.uint8)


class _Scorer:
    """A scorer that caches what it computes; a full disk ends the caching, not the labelling."""

    def __init__(self, parts: Sequence[Features], head: Head) -> None:
        self._parts = [_KeptRows(features) for features in parts]
        self._head = head

    def knows(self, key: bytes) -> bool:
        return all(part.knows(key) for part in self._parts)

    def answer(self, keys: Sequence[bytes], pixels: np.ndarray) -> Answers:
        rows = [part.rows(keys, pixels) for part in self._parts]
        return self._head(np.concatenate(rows, axis=1))

    def close(self) -> list[str]:
        """Commits new bottlenecks; returns what could not be written, one line each."""
        return [line for part in self._parts for line in part.close()]


class _KeptRows:
    """Bottlenecks of one backbone, from its cache or computed and cached."""

    def __init__(self, features: Features) -> None:
        self.store = features.store
        self._engine = features.engine
        self._writing = contextlib.ExitStack()
        self._writer: ShardWriter | None = None
        self._unwritten: list[str] = []
        self._at_hand: dict[bytes, np.ndarray] = {}

    def knows(self, key: bytes) -> bool:
        """Returns whether a photo needs no pixels: damage of its row is found before it is said."""
        if key in self.store:
            with contextlib.suppress(LostRowsError, KeyError):
                self._at_hand[key] = self.store.read([key])[0]
                return True
        return False

    def rows(self, keys: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        """Returns bottlenecks, float32, [photos, width]; arguments are those of `scores`."""
        vectors = np.empty((len(keys), self.store.space.width), np.float32)
        held = [self._at_hand.pop(key, None) for key in keys]
        for row, vector in zip(vectors, held, strict=True):
            if vector is not None:
                row[:] = vector
        rest = [i for i, vector in enumerate(held) if vector is None]
        known = [i for i in rest if keys[i] in self.store]
        new = [i for i in rest if keys[i] not in self.store]
        if known:  # copies, and photos that came twice
            vectors[known] = self.store.read([keys[i] for i in known])
        if new:
            vectors[new] = self.store.rounded(self._engine().run(pixels[new]))
            self._add([(keys[i], vectors[i]) for i in new])
        return vectors

    def close(self) -> list[str]:
        """Commits new bottlenecks; returns what could not be written, one line each."""
        try:
            self._writing.close()
        except XferlearnError as error:
            self._unwritten.append(str(error))
        return self._unwritten

    def _add(self, rows: list[tuple[bytes, np.ndarray]]) -> None:
        if self._unwritten:
            return
        try:
            if self._writer is None:
                self._writer = self._writing.enter_context(self.store.writer())
            for key, vector in rows:
                self._writer.add(key, vector)
        except XferlearnError as error:
            self._unwritten.append(str(error))
