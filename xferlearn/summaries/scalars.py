"""Charts: the course of a training, and its results as single numbers."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.metrics import AnyEvaluation
from xferlearn.photos.photo import TEST, TRAIN, VALIDATION
from xferlearn.summaries.events import RunWriters
from xferlearn.summaries.record import RunRecord
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

# Fewer are spikes beside each other.
_FEWEST_VALUES = 30


def scalars_callback(
    run_dir: str | Path,
    *,
    batch: tuple[Any, ...] | None = None,
    weights: Callable[[], Mapping[str, np.ndarray]] | None = None,
    histograms: bool = False,
    on_warning: Callable[[str], None] = warnings.warn,
) -> "keras.callbacks.Callback":
    """Returns a Keras callback that logs a training for TensorBoard, in any `model.fit`.

    After every epoch it writes `loss`, `accuracy` (each metric by its name), `learning_rate` and
    `weight_norm` at the optimizer's step, to `<run_dir>/train` and `<run_dir>/validation`, so that
    both are lines of one chart.

    Args:
        run_dir: folder of the run, e.g. from `create_run`.
        batch: inputs and targets, and perhaps how much each counts, on which `gradient_norm` is
            measured after every epoch; None for no such chart.
        weights: returns the weights, by name, that `weight_norm` and histograms show; None for the
            model's trainable ones.
        histograms: also write how each of these weights that has 30 values or more is distributed,
            from the second epoch on.
        on_warning: called once, with the reason, when the events can't be written, e.g. on a full
            disk. The training continues without them.

    Example:
        >>> run_dir = create_run("logs", "my_model")
        >>> model.fit(x, y, validation_data=more, callbacks=[scalars_callback(run_dir)])
    """
    import keras
    import tensorflow as tf

    class ScalarsCallback(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self._writers = RunWriters(run_dir)
            self._failed = False
            self._gradient_norm: Callable[[], tf.Tensor] | None = None
            self._distributions: list[tuple[int, dict[str, np.ndarray]]] = []
            self._epochs = 0

        def on_train_begin(self, logs: dict | None = None) -> None:
            if batch is not None:
                self._gradient_norm = _gradient_norm(self.model, batch)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if not self._failed:
                step = int(self.model.optimizer.iterations)
                self._try(lambda: self._write(logs or {}, step))

        def on_train_end(self, logs: dict | None = None) -> None:
            if not self._failed:
                self._try(self._writers.close)

        def _try(self, write: Callable[[], None]) -> None:
            try:
                write()
            except (OSError, tf.errors.OpError) as error:
                self._failed = True
                on_warning(Failure(f"Can't write events to {run_dir}: {one_line(error)}."))

        def _write(self, logs: dict[str, float], step: int) -> None:
            self._epochs += 1
            train, validation = self._writers[TRAIN], self._writers[VALIDATION]
            for name, value in logs.items():
                # Keras 3 puts the rate into the logs where ReduceLROnPlateau is used.
                if name != "learning_rate":
                    events = validation if name.startswith("val_") else train
                    events.scalar(name.removeprefix("val_"), value, step)
            train.scalar("learning_rate", float(self.model.optimizer.learning_rate), step)
            shown = weights() if weights else _trainable(self.model)
            train.scalar("weight_norm", _norm(list(shown.values())), step)
            if self._gradient_norm is not None:
                train.scalar("gradient_norm", float(self._gradient_norm()), step)
            if histograms:
                self._write_distributions(step, shown)
            train.flush()
            validation.flush()

        def _write_distributions(self, step: int, shown: Mapping[str, np.ndarray]) -> None:
            values = {
                f"weights/{name}": np.array(one)
                for name, one in shown.items()
                if one.size >= _FEWEST_VALUES
            }
            self._distributions.append((step, values))
            if self._epochs == 1:  # alone it says nothing of how weights change
                return
            for step, values in self._distributions:
                for tag, one in values.items():
                    self._writers[TRAIN].histogram(tag, one, step)
            self._distributions.clear()

    return ScalarsCallback()


def _trainable(model: "keras.Model") -> dict[str, np.ndarray]:
    return {weight.path: np.asarray(weight) for weight in model.trainable_weights}


def _norm(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays)))


def _gradient_norm(model: "keras.Model", batch: tuple[Any, ...]) -> Callable[[], Any]:
    import tensorflow as tf

    x, y, *counts = (tf.convert_to_tensor(part) for part in batch)

    @tf.function(jit_compile=False)
    def norm() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=False), *counts)
        weights = [weight.value for weight in model.trainable_weights]
        return tf.linalg.global_norm(tape.gradient(loss, weights))

    return norm


def write_results(writers: RunWriters, record: RunRecord) -> None:
    """Writes cross-entropy and calibration of the kept weights; `write_hparams` has the accuracy.

    The test's `accuracy` and `loss` are points in the charts of the training. Where photos may have
    several labels, it is the mean average precision instead of the accuracy.
    """
    run, step = writers[""], record.kept_training["steps_run"]
    for split in (VALIDATION, TEST):
        evaluation, loss = record.evaluations[split], record.cross_entropy(split)
        value = evaluation.value
        if value is None or loss is None:
            continue
        run.scalar(f"results/{split}_cross_entropy", loss, step)
        found = record.reliability(split)
        run.scalar(f"results/{split}_ece", found.ece, step, found.summary())
        if split == TEST:
            writers[split].scalar(measure_tag(evaluation), value, step)
            writers[split].scalar("loss", loss, step)


def measure_tag(evaluation: AnyEvaluation) -> str:
    """Returns what charts call an evaluation's value: "accuracy" or "average_precision"."""
    return evaluation.measure.removeprefix("mean ").replace(" ", "_")


def write_seconds(writers: RunWriters, seconds: dict[str, float]) -> None:
    """Writes the wall time of each stage, one chart per stage."""
    for stage, value in seconds.items():
        writers[""].scalar(f"seconds/{stage.replace(' ', '_')}", value)
