"""`xferlearn train`: trains, and prints what came out and what to do next."""

import shlex

from xferlearn.commands import board_command, print_result
from xferlearn.config import TrainConfig
from xferlearn.summaries.measured import validation_name
from xferlearn.summaries.terminal import misclassified_block, misclassified_head
from xferlearn.system.fetching import origin
from xferlearn.system.results import fit
from xferlearn.system.terminal import say
from xferlearn.training.job import train_with
from xferlearn.training.result import TrainResult


def run(config: TrainConfig) -> int:
    """Trains as the flags say and prints the summary."""
    result = train_with(config)
    print_result(result)
    if config.print_misclassified_test_images:
        say(misclassified_list(result))
    if result.exported is not None:
        say("\nexports:")
        print_result(result.exported)
    say(next_commands(config, result))
    exported = result.exported is None or (result.exported.passed and result.exported.complete)
    return 0 if result.complete and exported else 1


def misclassified_list(result: TrainResult) -> str:
    """Returns the test photos that a head which never saw them gets wrong, one line each.

    Where no photos were kept for the test they are those of cross-validation or validation.
    """
    wrong, total, noun = result.misclassified, result.test.total, "test photo"
    if not total:
        wrong, total = result.misclassified_in_validation, result.validation.total
        noun = f"{validation_name(result.validation)} photo"
    several = result.manifest.is_multi_label
    head = misclassified_head(len(wrong), total, noun, several=several)
    return "\n" + fit(
        [misclassified_block(wrong, head, "predictions.parquet of the model has all")]
    )


def next_commands(config: TrainConfig, result: TrainResult) -> str:
    """Returns the commands to run next, ready for the shell."""
    model = shlex.quote(str(config.model_dir))
    lines = ["", "next:", f"  xferlearn label --model={model} PHOTO..."]
    if result.audit is not None and result.audit.findings:
        lines.append(f"  xferlearn review --model_dir={model}")
    if result.run_dir is not None:
        lines.append(f"  {board_command(origin(result.run_dir.parent))}")
    return "\n".join(lines)
