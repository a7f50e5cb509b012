"""`xferlearn train`: trains, and tells a person what came out."""

import shlex

from xferlearn.commands import print_warnings
from xferlearn.commands.evaluate import misclassified_lines
from xferlearn.commands.export import print_failures
from xferlearn.commands.export import report as export_report
from xferlearn.config import TrainConfig
from xferlearn.photos.manifest import SPLITS
from xferlearn.summaries import folder_bytes
from xferlearn.synsets.names import readable_label
from xferlearn.system.tables import format_facts, format_table
from xferlearn.training.finetuning import FineTuned
from xferlearn.training.job import TrainResult, train_with


def run(config: TrainConfig) -> int:
    """Trains as the flags say and prints the summary."""
    result = train_with(config)
    print_warnings((*result.warnings, *result.manifest.warnings))
    print(summary(result))
    if config.print_misclassified_test_images:
        print(misclassified_list(result))
    if result.exported is not None:
        print(f"\nexports:\n{export_report(result.exported)}")
        print_failures(result.exported)
    print(next_commands(config, result))
    return 0 if config.export is None or (result.exported and result.exported.passed) else 1


def summary(result: TrainResult) -> str:
    """Returns the table that a run ends with."""
    lines = [_split_table(result), ""]
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
        **_fine_tuning(result.fine_tuned),
        "validation": result.validation.summary(),
        "test": result.test.summary(),
        "model": str(result.model_folder.path),
    }
    if result.run_dir is not None:
        rows["logs"] = f"{result.run_dir} ({folder_bytes(result.run_dir) / 1e6:.1f} MB)"
    lines.append(format_facts(rows))
    return "\n".join(lines)


def _fine_tuning(tuned: FineTuned | None) -> dict[str, str]:
    if tuned is None:
        return {}
    resumed = f" ({tuned.resumed} in an earlier run)" if tuned.resumed else ""
    layers = tuned.layers
    span = f"{len(layers)} layers, {layers[0]} to {layers[-1]}"
    if len(layers) == 1:
        span = layers[0]
    passes = f"{tuned.epochs} pass{'es' if tuned.epochs > 1 else ''}{resumed}"
    return {
        "fine-tuning": f"{span}, {tuned.weights:,} weights; {passes}, best after"
        f" {tuned.best_epoch}",
        "  frozen": f"validation {tuned.frozen.summary()}, cross-entropy {tuned.frozen_loss:.3f}",
        "  tuned": f"validation {tuned.tuned.summary()}, cross-entropy {tuned.tuned_loss:.3f}",
        "  kept": "the tuned model" if tuned.better else "the frozen one: tuning was no better",
    }


def _split_table(result: TrainResult) -> str:
    recall = {row.label: row for row in result.test.classes}
    rows = [["class", *SPLITS, "right in test"]]
    for label, counts in result.manifest.counts().items():
        found = recall[label]
        share = f"{found.correct}/{found.photos}" if found.photos else ""
        rows.append([readable_label(label), *(str(counts[split]) for split in SPLITS), share])
    totals = [str(len(result.manifest.indices(split))) for split in SPLITS]
    rows.append(["all", *totals, f"{result.test.correct}/{result.test.total}"])
    return format_table(rows)


def misclassified_list(result: TrainResult) -> str:
    """Returns the test photos that the model labels wrongly, one line each."""
    count = f"{len(result.misclassified)} of {result.test.total} test photos are mislabelled:"
    return "\n".join(["", count, *misclassified_lines(result.misclassified)])


def next_commands(config: TrainConfig, result: TrainResult) -> str:
    """Returns the commands to run next, to be pasted."""
    lines = [
        "",
        "next:",
        f"  xferlearn label --model={shlex.quote(str(config.model_dir))} PHOTO...",
    ]
    if result.run_dir is not None:
        lines.append(f"  tensorboard --logdir {shlex.quote(str(result.run_dir.parent))}")
    return "\n".join(lines)
