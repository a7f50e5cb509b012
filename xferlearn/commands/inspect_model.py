"""`xferlearn inspect`: what a model file takes and gives, told without running it."""

import json

from xferlearn.config import InspectConfig
from xferlearn.graphs import inspect_model, write_graph
from xferlearn.graphs.text_report import format_report


def run(config: InspectConfig) -> int:
    """Prints the report on a model and, with `logs_dir`, writes its graph for TensorBoard.

    Args:
        config: the command's settings.

    Returns:
        0.

    Raises:
        UserError: there is no readable model at `config.model`.
    """
    report = inspect_model(str(config.model))
    written = write_graph(str(config.model), config.logs_dir) if config.logs_dir else None
    if config.format == "json":
        held = report.to_dict()
        if written is not None:
            held["graph_run"] = str(written)
        print(json.dumps(held, indent=2))
        return 0
    print(format_report(report))
    if written is not None:
        print(f"\nIts graph is in {written}: tensorboard --logdir={config.logs_dir}")
    return 0
