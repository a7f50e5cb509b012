"""The numbers that a training says of itself, in words.

They are three: what cross-validation, or validation photos, say; what the test says, on which
nothing was chosen; and what was delivered afterwards, which may have learned from all photos.
"""

from collections.abc import Mapping
from typing import Any

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import AnyEvaluation, Evaluation, MultiLabelEvaluation
from xferlearn.system.text import count


def validation_name(validation: AnyEvaluation) -> str:
    """Returns "cross-validated" where photos were folded, else "validation"."""
    return "validation" if validation.folds is None else "cross-validated"


def main_evaluation(validation: AnyEvaluation, test: AnyEvaluation) -> AnyEvaluation:
    """Returns the evaluation that tells most.

    Out-of-fold predictions are of most photos. Without them it is the test, on which nothing was
    chosen, and without test photos the validation.
    """
    return test if validation.folds is None and test.total else validation


def main_name(validation: AnyEvaluation, test: AnyEvaluation) -> str:
    """Returns what the main evaluation is of: "cross-validated", "test" or "validation"."""
    main = main_evaluation(validation, test)
    return validation_name(validation) if main is validation else "test"


def largest_class_text(evaluation: AnyEvaluation) -> str:
    """Returns what an accuracy is to be compared with, e.g. "always tulips: 24.6%".

    Without photos it is "", and where photos may have several labels.
    """
    if not isinstance(evaluation, Evaluation) or evaluation.largest_class is None:
        return ""
    label, share = evaluation.largest_class
    return f"always {readable_label(label)}: {share:.1%}"


def delivered_text(metadata: Mapping[str, Any]) -> str:
    """Returns what the delivered head has learned from, as a model's metadata.json has it."""
    learned, total = metadata["delivered"]["photos"], sum(metadata["split"]["totals"].values())
    if learned == total:
        return f"trained on all {count(total, 'photo')} after measuring"
    # Photos in folds are measured by other heads.
    left = "those of the test" if metadata["cross_validation"] else "those it was measured on"
    return f"trained on {learned:,} of {count(total, 'photo')}, not on {left}"


def label_set_facts(
    evaluation: MultiLabelEvaluation, *, chosen_on_them: bool = False
) -> dict[str, str]:
    """Returns what else is said of photos that may have several labels.

    Args:
        evaluation: what was measured.
        chosen_on_them: whether the thresholds were chosen on the same photos.
    """
    low, high = evaluation.f1_interval
    f1 = "not measured"
    if evaluation.f1 is not None:
        f1 = f"{evaluation.f1:.3f} (95%: {low:.3f} to {high:.3f})"
    where = "their thresholds"
    if evaluation.folds is not None:
        where = "thresholds of the other folds"
    elif chosen_on_them:
        where = "thresholds that were chosen on these photos"
    low, high = evaluation.coverage_interval
    labels = f"{evaluation.coverage:.2f} labels (95%: {low:.2f} to {high:.2f})"
    return {
        "F1": f"{f1}, mean over classes with photos at {where}",
        "all labels right": evaluation.exact_text(),
        "coverage": f"{labels}, the most probable first, hold all of a photo's",
    }


def measured_facts(
    validation: AnyEvaluation, test: AnyEvaluation, metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the three numbers by name, and what they are to be compared with."""
    main, nothing = main_evaluation(validation, test), "none: no photos were set aside"
    if metadata["split"]["totals"]["test"]:
        nothing = "not looked at"
    return {
        validation_name(validation): validation.summary(),
        "test": test.summary() if test.total else nothing,
        **(
            label_set_facts(main, chosen_on_them=main is validation)
            if isinstance(main, MultiLabelEvaluation)
            else {"to compare": largest_class_text(main)}
        ),
        "delivered": delivered_text(metadata),
    }
