"""One row per run on the HParams page: its settings and results."""

import time

from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from xferlearn.config import WHERE_LABELS_ARE
from xferlearn.config.base import settings_of
from xferlearn.config.presets import TESTING_PERCENTAGE
from xferlearn.photos.manifest import TEST, VALIDATION
from xferlearn.summaries.events import EventWriter, plain
from xferlearn.summaries.record import RunRecord

Value = bool | int | float | str

# They say where things are, not what is learned.
_LEFT_OUT = ("Output", "Photos")
_LEFT_OUT_NAMES = ("image_dir", "dataset", "data_dir", *WHERE_LABELS_ARE)
_USUAL = ("backbone", "image_size", "learning_rate", "hidden_units", "dropout")
_SHOWN = 5


def write_hparams(events: EventWriter, record: RunRecord) -> None:
    """Writes the run's row; its metrics are the scalars that `write_results` writes."""
    from tensorboard.plugins.hparams.summary import session_end_pb  # imports TensorFlow

    values = hparams(record)
    events.summary(_columns(record, values))
    started = time.time() - sum(record.seconds.values())
    # Runs of one trial are averaged into one row, so each is a trial of its own. The column is
    # narrow, and dates are mostly the same: they come last.
    day, _, rest = events.folder.name.partition("_")
    trial = f"{rest} {day}".strip()
    events.summary(hparams_pb(values, trial_id=trial, start_time_secs=started))
    events.summary(session_end_pb(api_pb2.STATUS_SUCCESS))


def _columns(record: RunRecord, values: dict[str, Value]) -> summary_pb2.Summary:
    # Until the reader chooses others, the page shows five settings: the first ones by name of
    # those that are marked as different between runs.
    changed = record.config.changed()
    order = (*(name for name in _USUAL if name in changed), *changed, *_USUAL)
    shown = list(dict.fromkeys(name for name in order if name in values))[:_SHOWN]
    experiment = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=name, differs=name in shown) for name in values],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
            for tag, name in _metrics(record).items()
        ],
    )
    content = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    summary = summary_pb2.Summary()
    summary.value.add(
        tag=metadata.EXPERIMENT_TAG,
        metadata=metadata.create_summary_metadata(content),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def _metrics(record: RunRecord) -> dict[str, str]:
    """Returns what each column of results is called, by the tag of its scalar."""
    measure = record.evaluations[VALIDATION].measure.removeprefix("mean ")
    judged = [f"{split} {measure}" for split in (TEST, VALIDATION)]
    return {f"results/{name.replace(' ', '_')}": name for name in judged} | {
        "results/seconds": "seconds",
        "results/photos_per_second": "photos per second",
    }


def hparams(record: RunRecord) -> dict[str, Value]:
    """Returns the settings of a run that decide what is learned, defaults filled in.

    Always the same names, so that runs are rows of one table.
    """
    config = record.config
    place = config.labels if config.labels is not None else config.image_dir or config.dataset
    values: dict[str, Value] = {"data": plain(str(place or ""))}
    for name, (_, rules) in settings_of(config).items():
        if rules.section not in _LEFT_OUT and name not in _LEFT_OUT_NAMES:
            value = getattr(config, name)
            values[name] = value if isinstance(value, (bool, int, float)) else plain(str(value))
    values["image_size"] = record.image_size
    values["backbone"] = record.metadata["backbone"]["name"]
    steps = config.how_many_training_steps
    values["how_many_training_steps"] = steps or record.metadata["training"]["steps_run"]
    # What was left open is shown as it was chosen.
    for name in ("hidden_units", "weight_decay"):
        values[name] = record.metadata["head"][name]
    if config.testing_percentage is None:
        tested = record.metadata["split"]["totals"]["test"]
        values["testing_percentage"] = TESTING_PERCENTAGE if tested else 0.0
    return values
