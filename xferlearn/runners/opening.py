"""The runner that settings ask for."""

from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError
from xferlearn.runners.base import Runner
from xferlearn.runners.local import LocalRunner


def open_runner(config: RunnerConfig) -> Runner:
    """Returns the runner that settings ask for."""
    if config.runner != "local":
        raise UserError("Ray is not installed.")
    return LocalRunner()
