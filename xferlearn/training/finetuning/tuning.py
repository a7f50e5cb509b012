"""The fine-tuning itself.

Only what was unfrozen changes. BatchNormalization never does: its statistics, from ImageNet, would
be replaced by those of a few small batches. The tuned model replaces the frozen one only if its
cross-entropy on the validation photos is lower, each at its own temperature: tuned networks are too
sure of themselves, which one number puts right, and which says nothing about their labels.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn import summaries
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.config import DECISION, WHERE_LABELS_ARE, TrainConfig
from xferlearn.decisions import fit_temperature, with_temperature
from xferlearn.metrics import AnyEvaluation, cross_entropy
from xferlearn.photos.photo import TRAIN, VALIDATION, Photo
from xferlearn.system.progress import progress_bar
from xferlearn.training import head as heads
from xferlearn.training.batches import class_shares, class_weights, label_weights
from xferlearn.training.callbacks import validator, weights_keeper
from xferlearn.training.descent import loss_of_sets
from xferlearn.training.finetuning.activations import Activations, CantKeepError
from xferlearn.training.finetuning.averaging import averaged, momentum_for
from xferlearn.training.finetuning.cutting import split_before
from xferlearn.training.finetuning.layers import copy_of, select_layers, unfreeze
from xferlearn.training.finetuning.photos import Photos, classifier_predictions, endless, no_photos
from xferlearn.training.finetuning.state import State
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.fitting import Fitted, diverged_error

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Share of the steps: Adam's moments are inaccurate at first, and must not ruin the weights.
WARM_UP = 0.1
# Settings that change neither what is learned nor from what.
_NOT_LEARNED = (
    *WHERE_LABELS_ARE, *DECISION, "model_dir", "overwrite", "logs_dir", "summaries",
    "print_misclassified_test_images", "bottleneck_dir", "on_bad_image", "engine", "precision",
    "export", "verbose", "run_name",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """The result of a fine-tuning.

    Attributes:
        network: the backbone's name; of several that are combined, the name of the tuned one.
        layers: names of the backbone's layers that were trained.
        weights: how many weights those layers have.
        epochs: passes over the training photos.
        steps_per_pass: optimizer steps of one pass.
        resumed: passes that an earlier, interrupted run had completed.
        frozen: the model before the fine-tuning, on the validation photos.
        frozen_loss: its cross-entropy there, at the temperature that suits it there.
        tuned: the model after the fine-tuning, on the validation photos.
        tuned_loss: its cross-entropy there, likewise.
        prepared: the photos' bottlenecks of the tuned network.
        fitted: its head.
        joined: hidden units of the heads whose logits' mean `fitted` gives: that on the tuned
            network, and that on the others; empty where there is only one network.
        cross_validated: the model before the fine-tuning, on the photos of all folds, of which one
            judges the fine-tuning; None where there are no folds.
    """

    network: str
    layers: tuple[str, ...] = dataclasses.field(repr=False)
    weights: int
    epochs: int
    steps_per_pass: int
    resumed: int
    frozen: AnyEvaluation
    frozen_loss: float
    tuned: AnyEvaluation
    tuned_loss: float
    prepared: Prepared = dataclasses.field(repr=False)
    fitted: Fitted = dataclasses.field(repr=False)
    joined: tuple[int, ...] = ()
    cross_validated: AnyEvaluation | None = None

    @property
    def better(self) -> bool:
        """Whether the tuned model is kept: whether its validation cross-entropy is lower."""
        return self.tuned_loss < self.frozen_loss

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for the metadata."""
        return {
            "kept": self.better,
            "network": self.network,
            "layers": list(self.layers),
            "weights": self.weights,
            "epochs": self.epochs,
            "steps_run": self.epochs * self.steps_per_pass,
            "validation": {
                "frozen": {**self.frozen.as_dict(), "cross_entropy": self.frozen_loss},
                "fine_tuned": {**self.tuned.as_dict(), "cross_entropy": self.tuned_loss},
            },
            "frozen_cross_validated": (
                None if self.cross_validated is None else self.cross_validated.as_dict()
            ),
        }


def fine_tune_one(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    state_path: Path,
    *,
    run_dir: Path | None = None,
    on_warning: Callable[[str], None] = lambda problem: None,
) -> FineTuned:
    """Trains the layers that `config.unfreeze` names, and the head, on views of the photos.

    Where one tensor of the network separates what is frozen from what is trained, the photos pass
    through the frozen part once per view, and the passes see its activations only. The learning
    rate warms up over a tenth of the steps and falls to zero along a cosine. The
    averaged weights after the last pass are kept. After every pass everything is saved, and a
    second run with the same settings and photos continues from there.

    Args:
        config: settings.
        prepared: the photos, some of them for validation, and the frozen backbone, which is not
            changed.
        fitted: the head on it, which is not changed.
        state_path: file for the state of a killed run; the caller removes it once all is saved.
        run_dir: folder of the run; charts go to `fine_tuning` in it.
        on_warning: called with what could not be written, and with photos that were removed.

    Raises:
        UserError: when there are no such layers, or training diverges.
        XferlearnError: when no photo can be read any more.
    """
    manifest = fitted.manifest
    training, validation = (
        [manifest.photos[i] for i in manifest.indices(split)] for split in (TRAIN, VALIDATION)
    )
    strategy = distribution()
    with strategy.scope():
        backbone, head = copy_of(prepared.backbone), copy_of(fitted.head)
        chosen = select_layers(backbone, config.unfreeze or "")
        unfreeze(backbone, chosen)
        head.trainable = True
    lessons = _lessons(
        config,
        prepared,
        (backbone, chosen[0]),
        (training, validation, manifest.targets),
        state_path,
        on_warning,
    )
    steps = -(-len(training) // config.fine_tune_batch_size)
    with strategy.scope():
        model = heads.build_classifier(lessons.trained, head)
        y = manifest.truth(manifest.indices(TRAIN))
        _compile(model, config, steps * config.fine_tune_epochs, y)
        keeper = weights_keeper()
        key = _key(config, prepared, fitted, lessons)
        state = State(state_path, key, model, keeper, on_warning)
        resumed = state.restore()
    charts = None if run_dir is None else run_dir / "fine_tuning"
    _fit(config, lessons, state, resumed, charts, on_warning)
    if keeper.diverged:
        state.forget()
        raise diverged_error(config, "fine_tune_learning_rate")
    backbone.trainable = False
    # Every fine-tuning makes another network: kept, they would fill the disk.
    network = FrozenNetwork.of(backbone)
    tuned = prepare(config, prepared.source, [network], looks=prepared.looks, keep=False)
    # Photos may have been removed in the meantime: both models are asked about the same ones.
    left = fitted.only({photo.digest for photo in tuned.extraction.photos})
    if not left.manifest.indices(VALIDATION):
        raise no_photos("validation")
    if gone := set(manifest.photos) - set(left.manifest.photos):
        on_warning(
            f"The fine-tuned model was compared without {len(gone)} of {len(manifest.photos)}"
            f" photos, which changed or were removed in the meantime, e.g."
            f" {min(photo.name for photo in gone)}."
        )
    bottlenecks = tuned.read(left.manifest.photos)
    tuned_fit = dataclasses.replace(left, bottlenecks=bottlenecks, head=head, measured=head)
    before, _ = calibrated(left)
    after, temperature = calibrated(tuned_fit)
    heads.fold_temperature(head, temperature)
    truth = left.truth(VALIDATION)
    lessons.remove()
    return FineTuned(
        network=prepared.name,
        layers=tuple(layer.name for layer in chosen),
        weights=sum(layer.count_params() for layer in chosen),
        epochs=keeper.looks,
        steps_per_pass=steps,
        resumed=resumed,
        frozen=left.evaluate(VALIDATION, before),
        frozen_loss=cross_entropy(before, truth),
        tuned=tuned_fit.evaluate(VALIDATION, after),
        tuned_loss=cross_entropy(after, truth),
        prepared=tuned,
        fitted=dataclasses.replace(tuned_fit, temperature=temperature),
    )


def _lessons(
    config: TrainConfig,
    prepared: Prepared,
    trained: tuple["keras.Model", "keras.layers.Layer"],
    photos: tuple[list[Photo], list[Photo], np.ndarray],
    state_path: Path,
    on_warning: Callable[[str], None],
) -> Photos | Activations:
    """Returns what is learned from: activations that were computed once, or else photos.

    Args:
        config: settings.
        prepared: the photos.
        trained: the backbone and the first layer of it that is trained.
        photos: for training and validation, and their classes by label.
        state_path: file of the state.
        on_warning: called with why activations can't be kept, and which are missing.
    """
    halves = split_before(*trained)
    if halves is not None:
        try:
            kept = Activations.plan(config, prepared, halves, *photos, state_path)
            kept.compute(prepared, on_warning)
            return kept
        except CantKeepError as error:
            on_warning(f"Every photo passed through the whole network in every pass: {error}.")
    return Photos(config, prepared.source, trained[0], *photos)


def _compile(model: "keras.Model", config: TrainConfig, steps: int, y: np.ndarray) -> None:
    import keras
    import tensorflow as tf

    warm_up = int(WARM_UP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - warm_up,
        warmup_target=config.fine_tune_learning_rate,
        warmup_steps=warm_up,
    )
    loss: Any = "sparse_categorical_crossentropy"
    metrics: list[Any] = [
        "accuracy",
        keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
    ]
    if y.ndim == 2:
        loss, metrics = _losses_of_sets(y, config.class_weight)
    model.compile(
        keras.optimizers.Adam(schedule, use_ema=True, ema_momentum=momentum_for(steps)),
        loss=loss,
        metrics=metrics,
        # XLA's convolutions are several times slower than oneDNN's on a CPU.
        jit_compile=bool(tf.config.list_logical_devices("GPU")),
    )
    model.optimizer.build(model.trainable_variables)


def _fit(
    config: TrainConfig,
    lessons: Photos | Activations,
    state: State,
    resumed: int,
    charts: Path | None,
    on_warning: Callable[[str], None],
) -> None:
    """Makes the passes that no earlier run has made; leaves the averaged weights in the model."""
    import tensorflow as tf

    model, keeper = state.model, state.keeper
    if resumed == config.fine_tune_epochs:
        model.set_weights(keeper.weights)
        return
    y = lessons.targets[[photo.label for photo in lessons.training]]
    multi_label = y.ndim == 2
    steps = -(-len(y) // config.fine_tune_batch_size)
    callbacks = [
        *averaged(validator(classifier_predictions(model, lessons.validation_pass)), keeper),
        state.callback(),
        _bar(resumed * steps, config.fine_tune_epochs * steps, config.verbose),
    ]
    if charts is not None:
        callbacks.append(summaries.scalars_callback(charts, on_warning=on_warning))
    failures: list[Exception] = []
    try:
        model.fit(
            endless(lessons.training_pass, resumed, model, failures, multi_label=multi_label),
            epochs=config.fine_tune_epochs,
            initial_epoch=resumed,
            steps_per_epoch=steps,
            # Where photos may have several labels, the loss weighs the classes.
            class_weight=None
            if multi_label
            else _class_weights(y, model.output_shape[-1], config.class_weight),
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def calibrated(fitted: Fitted) -> tuple[np.ndarray, float]:
    """Returns the validation photos' probabilities at the temperature that suits them, and it."""
    probabilities, groups = fitted.probabilities(VALIDATION), fitted.manifest.groups
    rows = fitted.rows(VALIDATION)
    temperature = fit_temperature(
        probabilities, fitted.truth(VALIDATION), [groups[i] for i in rows] if groups else None
    )
    multi_label = fitted.manifest.is_multi_label
    return with_temperature(probabilities, temperature, multi_label=multi_label), temperature


def _class_weights(y: np.ndarray, classes: int, class_weight: str) -> dict[int, float]:
    every = np.ones((len(y), 1), bool)
    shares = class_shares(y, every, classes, class_weight, every[:, 0])
    weights = class_weights(y, every, shares)
    return dict(enumerate(weights[:, 0].tolist()))


def _losses_of_sets(y: np.ndarray, class_weight: str) -> tuple[Any, list[Any]]:
    """Returns loss and metrics where photos may have several labels: a head's, see `fit_heads`."""
    import keras

    every = np.ones((len(y), 1), bool)
    shares = class_shares(y, every, y.shape[1], class_weight, every[:, 0])
    mean = "sum_over_batch_size"
    loss = loss_of_sets(label_weights(y, every, shares)[:, 0], mean, from_logits=False)
    alike = loss_of_sets(np.ones((2, y.shape[1]), np.float32), "none", from_logits=False)
    return loss, [keras.metrics.MeanMetricWrapper(alike, name="cross_entropy")]


def distribution() -> "tf.distribute.Strategy":
    """Returns what spreads a batch over all visible GPUs, if there are several."""
    import tensorflow as tf

    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _bar(done: int, steps: int, verbose: int) -> "keras.callbacks.Callback":
    import keras

    class Bar(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict | None = None) -> None:
            self._bar = progress_bar("fine-tuning", steps, "step", done=done, verbose=verbose)

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self._bar.update()

        def on_train_end(self, logs: dict | None = None) -> None:
            self._bar.close()

    return Bar()


def _key(
    config: TrainConfig, prepared: Prepared, fitted: Fitted, lessons: Photos | Activations
) -> str:
    """Returns a digest of what a fine-tuning starts from and does."""
    settings = {name: value for name, value in config.as_dict().items() if name not in _NOT_LEARNED}
    manifest = fitted.manifest
    parts = [
        json.dumps(settings, sort_keys=True, default=str),
        prepared.spaces[0].weights_sha256,
        type(lessons).__name__,
        *(
            f"{p.digest.hex()} {','.join(map(str, manifest.classes_of(p)))} {split}"
            for p, split in zip(manifest.photos, manifest.splits, strict=True)
        ),
    ]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
