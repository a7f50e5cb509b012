"""`xferlearn inspect`: what a model file takes and returns, without running it."""

import json

from xferlearn.config import InspectConfig
from xferlearn.inspection.inspection import open_model
from xferlearn.inspection.text_report import format_report


def run(config: InspectConfig) -> int:
    """Prints the report on a model and, with `logs_dir`, writes its graph for TensorBoard.

    Args:
        config: the command's settings.

    Returns:
        0.

    Raises:
        UserError: there is no readable model at `config.model`.
    """
    held, report = open_model(str(config.model))
    written = None
    if config.logs_dir:
        from xferlearn.inspection.writing import write_held

        written = write_held(str(config.model), held, config.logs_dir)
    if config.format == "json":
        said = report.to_dict()
        if written is not None:
            said["graph_run"] = str(written)
        print(json.dumps(said, indent=2))
        return 0
    print(format_report(report))
    if written is not None:
        print(f"\nIts graph is in {written}: tensorboard --logdir={config.logs_dir}")
    return 0
