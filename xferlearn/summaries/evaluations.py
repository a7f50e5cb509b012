"""What TensorBoard shows of an evaluation on other photos."""

from pathlib import Path

import numpy as np

from xferlearn.decisions import reliability
from xferlearn.metrics import AnyEvaluation, Evaluation
from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.pictures import write_confusion, write_reliability, write_together
from xferlearn.summaries.pr_curves import write_curves
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line


def write_evaluation(
    run_dir: str | Path, evaluation: AnyEvaluation, truth: np.ndarray, scores: np.ndarray, card: str
) -> tuple[str, ...]:
    """Writes accuracy, or what else is measured, confusion matrices, PR curves and reliability.

    Args:
        run_dir: the run's folder, as `run_folder` makes it.
        evaluation: the numbers.
        truth: true class index of each photo, [photos]; or whether each has each class, bool,
            [photos, classes].
        scores: float32, [photos, classes], range [0, 1].
        card: the report, Markdown.

    Returns:
        What could not be written, one line each.
    """
    try:
        with EventWriter(run_dir) as events:
            if evaluation.value is not None:
                name = evaluation.measure.replace(" ", "_")
                said = evaluation.summary()
                events.scalar(f"results/{name}", evaluation.value, description=said)
                if isinstance(evaluation, Evaluation):
                    write_confusion(events, evaluation, "evaluation")
                else:
                    write_together(events, evaluation, "evaluation")
            write_curves(events, evaluation, truth, scores)
            events.text("run_card", card)
            if len(truth):
                found = reliability(scores, truth)
                events.scalar("results/ece", found.ece, description=found.summary())
                write_reliability(events, found, "evaluation")
    except Exception as error:  # a full disk, or labels that can't be drawn
        return (Failure(f"The summaries in {run_dir} are not complete: {one_line(error)}."),)
    return ()
