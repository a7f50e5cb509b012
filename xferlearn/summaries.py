"""What TensorBoard shows of a run."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.errors import UserError

if TYPE_CHECKING:
    import keras


def create_run(logs_dir: str | Path, name: str) -> Path:
    """Makes a new folder for a run, `<logs_dir>/<date>_<time>_<name>`, and returns it.

    Never an existing one: runs that start in the same second get `-2`, `-3`, ... behind.

    Raises:
        UserError: when it can't be made.
    """
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)}"
    try:
        for attempt in range(1, 1000):
            path = Path(logs_dir) / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                continue
    except OSError as error:
        raise UserError(
            f"Can't write logs to {logs_dir}: {error.strerror}. Choose another --logs_dir."
        ) from None
    raise UserError(f"{logs_dir} holds a thousand runs of this second.")


def scalars_callback(run_dir: str | Path) -> "keras.callbacks.Callback":
    """Returns a Keras callback that logs a training for TensorBoard.

    Writes `loss`, `accuracy` (each metric by its name) and `learning_rate` at the optimizer's
    step, to `<run_dir>/train` and `<run_dir>/validation`, so that both are one chart.

    Args:
        run_dir: folder of the run.

    Example:
        >>> model.fit(data, validation_data=more, callbacks=[scalars_callback("logs/run1")])
    """
    import keras
    import tensorflow as tf

    class ScalarsCallback(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict | None = None) -> None:
            self.writers = {
                split: tf.summary.create_file_writer(str(Path(run_dir) / split))
                for split in ("train", "validation")
            }

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            step = int(self.model.optimizer.iterations)
            for name, value in (logs or {}).items():
                split = "validation" if name.startswith("val_") else "train"
                self._write(split, name.removeprefix("val_"), value, step)
            rate = float(self.model.optimizer.learning_rate)
            self._write("train", "learning_rate", rate, step)

        def on_train_end(self, logs: dict | None = None) -> None:
            for writer in self.writers.values():
                writer.close()

        def _write(self, split: str, name: str, value: float, step: int) -> None:
            with self.writers[split].as_default():
                tf.summary.scalar(name, value, step=step)

    return ScalarsCallback()
