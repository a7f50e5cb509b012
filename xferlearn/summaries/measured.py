"""The numbers that a training says of itself, in words.

They are three: what cross-validation, or validation photos, say; what the test says, on which
nothing was chosen; and what was delivered afterwards, which may have learned from all photos.
"""

from collections.abc import Mapping
from typing import Any

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.metrics import Evaluation
from xferlearn.system.text import count


def validation_name(validation: Evaluation) -> str:
    """Returns "cross-validated" where photos were folded, else "validation"."""
    return "validation" if validation.folds is None else "cross-validated"


def main_evaluation(validation: Evaluation, test: Evaluation) -> Evaluation:
    """Returns the evaluation that tells most.

    Out-of-fold predictions are of most photos. Without them it is the test, on which nothing was
    chosen, and without test photos the validation.
    """
    return test if validation.folds is None and test.total else validation


def main_name(validation: Evaluation, test: Evaluation) -> str:
    """Returns what the main evaluation is of: "cross-validated", "test" or "validation"."""
    main = main_evaluation(validation, test)
    return validation_name(validation) if main is validation else "test"


def largest_class_text(evaluation: Evaluation) -> str:
    """Returns what an accuracy is to be compared with, e.g. "always tulips: 24.6%".

    Without photos it is "".
    """
    if evaluation.largest_class is None:
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


def measured_facts(
    validation: Evaluation, test: Evaluation, metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the three numbers by name, and what they are to be compared with."""
    nothing = "none: no photos were set aside"
    if metadata["split"]["totals"]["test"]:
        nothing = "not looked at"
    return {
        validation_name(validation): validation.summary(),
        "test": test.summary() if test.total else nothing,
        "to compare": largest_class_text(main_evaluation(validation, test)),
        "delivered": delivered_text(metadata),
    }
