"""`xferlearn evaluate`: how good a model is on photos with known classes."""

import json
import sys

from xferlearn.commands import print_warnings
from xferlearn.config import EvaluateCommandConfig
from xferlearn.evaluation import EvaluationResult, evaluate_with
from xferlearn.metrics import Evaluation, Misclassified
from xferlearn.synsets.names import readable_label
from xferlearn.system.tables import format_table


def run(config: EvaluateCommandConfig) -> int:
    """Evaluates, and prints the numbers as text or JSON; returns 1 where none could be read."""
    result = evaluate_with(config)
    print_warnings(
        f"{count} of {result.evaluation.total} photos were in the model's {split} split: the"
        " accuracy is too high."
        for split, count in result.seen.items()
        if count
    )
    print_warnings(result.warnings)
    if config.format == "json":
        print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(report(result))
    if not result.evaluation.total:
        print(f"None of {len(result.bad)} photos could be read.", file=sys.stderr)
        return 1
    return 0


def report(result: EvaluationResult) -> str:
    """Returns the numbers for a person to read."""
    evaluation = result.evaluation
    parts = [
        f"accuracy  {evaluation.summary()}",
        "",
        class_table(evaluation),
        "",
        "Confusion matrix: true class by row, predicted class by column.",
        confusion_table(evaluation),
    ]
    if result.misclassified:
        parts += ["", f"{len(result.misclassified)} photos are mislabelled:"]
        parts += misclassified_lines(result.misclassified)
    if result.bad:
        parts += ["", f"{len(result.bad)} photos were left out:"]
        parts += [f"  {bad.name}: {bad.reason}" for bad in result.bad]
    if result.run_dir:
        parts += ["", f"logs  {result.run_dir}"]
    return "\n".join(parts)


def class_table(evaluation: Evaluation) -> str:
    """Returns precision, recall and F1 by class."""
    rows = [["class", "photos", "precision", "recall", "F1"]]
    for row in evaluation.classes:
        shares = (row.precision, row.recall, row.f1)
        rows.append(
            [
                readable_label(row.label),
                str(row.photos),
                *("-" if share is None else f"{share:.3f}" for share in shares),
            ]
        )
    return format_table(rows)


def confusion_table(evaluation: Evaluation) -> str:
    """Returns the confusion matrix; with many classes only the pairs that were confused."""
    labels = [readable_label(label) for label in evaluation.labels]
    if len(labels) <= 12:
        rows = [["", *labels]]
        rows += [
            [label, *(str(count) for count in counts)]
            for label, counts in zip(labels, evaluation.confusion, strict=True)
        ]
        return format_table(rows)
    pairs = sorted(
        (
            (int(evaluation.confusion[i, j]), labels[i], labels[j])
            for i in range(len(labels))
            for j in range(len(labels))
            if i != j and evaluation.confusion[i, j]
        ),
        reverse=True,
    )
    shown = [["true class", "predicted class", "photos"]]
    shown += [[truth, predicted, str(count)] for count, truth, predicted in pairs[:40]]
    more = [f"... and {len(pairs) - 40} more pairs"] if len(pairs) > 40 else []
    return "\n".join([format_table(shown), *more])


def misclassified_lines(photos: tuple[Misclassified, ...]) -> list[str]:
    """Returns one line per photo that is labelled wrongly."""
    return [
        f"  {photo.name}: {readable_label(photo.truth)}, taken for"
        f" {readable_label(photo.predicted)} ({photo.score:.2f})"
        for photo in photos
    ]
