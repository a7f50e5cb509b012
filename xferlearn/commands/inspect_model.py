"""`xferlearn inspect`: prints input, output and backbone of a model, without running it."""

import shlex

from xferlearn.backbones import resolve_backbone
from xferlearn.config import InspectConfig
from xferlearn.inspection import format_report, open_model
from xferlearn.system.terminal import say, say_json


def run(config: InspectConfig) -> int:
    """Prints the report on a model and, with `logs_dir`, writes its graph for TensorBoard.

    Args:
        config: the command's settings.

    Returns:
        0.

    Raises:
        UserError: there is no readable model at `config.model`, or no such backbone.
        XferlearnError: `config.logs_dir` can't be written.
    """
    if config.backbone:
        from xferlearn.inspection import open_backbone
        from xferlearn.system.runtime import start_tensorflow

        resolve_backbone(config.backbone)
        start_tensorflow()
        held, report = open_backbone(config.backbone)
    else:
        held, report = open_model(str(config.model))
    run_dir = None
    if config.logs_dir:
        from xferlearn.inspection import write_held

        run_dir = write_held(report.path, held, config.logs_dir)
    if config.format == "json":
        fields = report.to_dict()
        if run_dir is not None:
            fields["graph_run"] = str(run_dir)
        say_json(fields, indent=2)
        return 0
    say(format_report(report))
    if run_dir is not None:
        logs_dir = shlex.quote(str(config.logs_dir))
        say(f"\nIts graph is in {run_dir}: tensorboard --logdir={logs_dir}")
    return 0
