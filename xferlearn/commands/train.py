"""`xferlearn train`: trains, and tells a person what came out."""

import shlex
import sys

from xferlearn.config import TrainConfig
from xferlearn.manifest import SPLITS
from xferlearn.training import TrainResult, train_with


def run(config: TrainConfig) -> int:
    """Trains as the flags say and prints the summary."""
    result = train_with(config)
    for warning in (*result.problems, *result.manifest.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    print(summary(result))
    if config.print_misclassified_test_images:
        print(misclassified_list(result))
    print(next_commands(config, result))
    return 0


def summary(result: TrainResult) -> str:
    """Returns the table that a run ends with."""
    lines = [*_split_table(result), ""]
    extraction = result.extraction
    manifest = result.manifest
    if manifest.bad:
        lines.append(f"{len(manifest.bad)} photos were left out:")
        lines += [f"  {bad.name}: {bad.reason}" for bad in manifest.bad]
        lines.append("")
    if manifest.duplicates:
        lines += [f"{manifest.duplicates} copies of photos were left out.", ""]
    stages = ", ".join(f"{name} {value:.1f} s" for name, value in result.seconds.items())
    training = result.training
    rows = {
        "bottlenecks": f"{extraction.cached} cached, {extraction.computed} computed"
        f" ({extraction.photos_per_second:.0f} photos/s)",
        "time": f"{stages}; {sum(result.seconds.values()):.1f} s in all",
        "training": f"{training.steps} steps, best at step {training.best_step}",
        "validation": result.validation.summary(),
        "test": result.test.summary(),
        "model": str(result.bundle.path),
        "logs": str(result.run_dir),
    }
    width = max(map(len, rows))
    lines += [f"{name:<{width}}  {value}" for name, value in rows.items()]
    return "\n".join(lines)


def _split_table(result: TrainResult) -> list[str]:
    recall = {row.label: row for row in result.test.classes}
    rows = [["class", *SPLITS, "test recall"]]
    for label, counts in result.manifest.counts().items():
        found = recall[label]
        share = "" if found.recall is None else f"{found.correct}/{found.photos}"
        rows.append([label, *(str(counts[split]) for split in SPLITS), share])
    totals = [str(len(result.manifest.indices(split))) for split in SPLITS]
    rows.append(["all", *totals, f"{result.test.correct}/{result.test.total}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def misclassified_list(result: TrainResult) -> str:
    """Returns the test photos that the model labels wrongly, a line each."""
    lines = ["", f"{len(result.misclassified)} of {result.test.total} test photos are mislabelled:"]
    lines += [
        f"  {photo.name}: {photo.truth}, taken for {photo.predicted} ({photo.score:.2f})"
        for photo in result.misclassified
    ]
    return "\n".join(lines)


def next_commands(config: TrainConfig, result: TrainResult) -> str:
    """Returns the commands to run next, to be pasted."""
    model = shlex.quote(str(config.model_dir))
    return (
        "\nnext:\n"
        f"  xferlearn label --model={model} PHOTO...\n"
        f"  tensorboard --logdir {shlex.quote(str(result.run_dir.parent))}"
    )
