"""An experiment as a run in the logs, which tab Transfer shows."""

import dataclasses
from typing import TypeVar

from xferlearn import summaries
from xferlearn.config.experiments import ExperimentConfig
from xferlearn.dashboard.experiments import write_experiment
from xferlearn.experiments.compare_result import Comparison
from xferlearn.experiments.sweep_result import Sweep

RecordedT = TypeVar("RecordedT", Sweep, Comparison)


def record(result: RecordedT, config: ExperimentConfig, command: str) -> RecordedT:
    """Writes what an experiment found as one run; returns it with the folder of that run.

    Args:
        result: what it found.
        config: its settings.
        command: its name.

    Raises:
        UserError: when the folder can't be made.
    """
    name = experiment_name(config, command)
    failed: tuple[str, ...] = ()
    with summaries.run_folder(config.logs_dir, name) as run_dir:
        failed = write_experiment(run_dir, result.document())
    return dataclasses.replace(result, run_dir=run_dir, warnings=(*result.warnings, *failed))


def experiment_name(config: ExperimentConfig, command: str) -> str:
    """Returns what the run of an experiment is called before its date, e.g. "flowers_sweep"."""
    return config.run_name or "_".join(filter(None, [config.data_name, command]))
