"""One row per run on the HParams page: its settings and results."""

import time

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from xferlearn.config import WHERE_LABELS_ARE
from xferlearn.config.base import settings_of
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.summaries.events import RunWriters, plain
from xferlearn.summaries.record import RunRecord
from xferlearn.summaries.scalars import measure_tag

Value = bool | float | str

# TensorBoard takes all charts of a row's run for results, and shows the first ones by name. So the
# row is a run of its own, with four charts.
RUN = "hparams"
# Where things are, not what is learned.
_LEFT_OUT = ("Output", "Photos", "Progress")
_LEFT_OUT_NAMES = ("image_dir", "dataset", "data_dir", *WHERE_LABELS_ARE)
# With results and what TensorBoard adds these are 23 columns; `changed` has all other settings.
_COLUMNS = (
    *("backbone", "weights", "image_size", "hidden_units", "dropout", "learning_rate", "optimizer"),
    *("weight_decay", "train_batch_size", "how_many_training_steps", "class_weight", "augment"),
    *("unfreeze", "split_seed", "seed"),
)


def write_hparams(writers: RunWriters, record: RunRecord) -> None:
    """Writes the run's row.

    Of all rows TensorBoard puts the settings that vary first, since no run says which those are.
    """
    from tensorboard.plugins.hparams.summary import session_end_pb  # imports TensorFlow

    events, step = writers[RUN], record.kept_training["steps_run"]
    started = time.time() - sum(record.seconds.values())
    # Runs of one trial are averaged into one row, so each is a trial of its own.
    trial = writers.run_dir.name
    events.summary(hparams_pb(hparams(record), trial_id=trial, start_time_secs=started))
    for tag, value in results(record).items():
        events.scalar(tag, value, step)
    events.summary(session_end_pb(api_pb2.STATUS_SUCCESS))


def results(record: RunRecord) -> dict[str, float]:
    """Returns what is compared between runs, by tag."""
    evaluations = [(split, record.evaluations[split]) for split in (TEST, VALIDATION)]
    return {
        **{
            f"results/{split}_{measure_tag(evaluation)}": evaluation.value
            for split, evaluation in evaluations
            if evaluation.value is not None
        },
        "speed/photos_per_second": record.photos_per_second,
        "speed/seconds": sum(record.seconds.values()),
    }


def hparams(record: RunRecord) -> dict[str, Value]:
    """Returns the settings of a run that decide what is learned, defaults filled in.

    Always the same names, so that runs are rows of one table. Whole numbers are text, which
    TensorBoard shows as it is; it would write 224 as "224.00".
    """
    config = record.config
    place = config.labels if config.labels is not None else config.image_dir or config.dataset
    found = {name: getattr(config, name) for name in _COLUMNS}
    found["image_size"] = record.image_size
    found["backbone"] = record.metadata["backbone"]["name"]
    steps = config.how_many_training_steps
    found["how_many_training_steps"] = steps or record.metadata["training"]["steps_run"]
    # What was left open is shown as it was chosen.
    for name in ("hidden_units", "weight_decay"):
        found[name] = record.metadata["head"][name]
    found["data"] = str(place or "")
    found["changed"] = _changed(record)
    return {name: _shown(value) for name, value in found.items()}


def _shown(value: object) -> Value:
    return value if isinstance(value, (bool, float)) else plain(str(value))


def _changed(record: RunRecord) -> str:
    """Returns all settings that differ from their defaults, e.g. "hidden_units=0 twins=keep"."""
    sections = {name: rules.section for name, (_, rules) in settings_of(record.config).items()}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in record.config.changed().items()
        if sections[name] not in _LEFT_OUT and name not in _LEFT_OUT_NAMES
    )
