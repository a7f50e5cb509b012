"""How a model's scores become labels: as its file states it, the folder around it, or the user."""

from pathlib import Path
from typing import Any

from xferlearn.config import ModelConfig
from xferlearn.decisions import MultiLabelDecision
from xferlearn.errors import UserError
from xferlearn.inspection import Ending, Graph, GraphReport
from xferlearn.model_folder import ModelFolder
from xferlearn.predictors.scores import ScoreReader

# A score of its own says that a label is more likely right than wrong from here on.
_EVEN = 0.5


def settle_ending(path: Path, graph: Graph, found: Ending) -> Ending:
    """Returns what ends a model: as its metadata state it, else as found.

    Args:
        path: of the model.
        graph: of the model.
        found: by its operations, or its runtime.

    Raises:
        UserError: both contradict each other.
    """
    if graph.metadata is None or not graph.metadata.multi_label:
        return found
    if found not in ("sigmoid", "unknown"):
        raise UserError(
            f"{path} states that photos may have several labels, each with a score of its own"
            f" (sigmoid). The output that is read is of another kind ({found})."
        )
    return "sigmoid"


def settle_decision(
    path: Path,
    graph: Graph,
    report: GraphReport,
    model_folder: ModelFolder | None,
    scores: ScoreReader,
    labels: tuple[str, ...],
    config: ModelConfig,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Decides how labels are decided; also returns what was assumed.

    Args:
        path: of the model.
        graph: of the model.
        report: on the model.
        model_folder: the model folder that it lies in, None for none.
        scores: how its scores are read.
        labels: class names in output order, which the user may have given.
        config: with `label_threshold`.

    Returns:
        `decision` as metadata.json has it, with the `labels` of whoever states it; {} for the
        largest score.

    Raises:
        UserError: `label_threshold` contradicts the model.
    """
    stated = _stated(graph, report, model_folder, scores)
    if stated or not scores.alone:
        check_no_threshold(path, config, stated=bool(stated))
        return stated, ()
    if config.label_threshold is None:
        warning = (
            "each label has a score of its own (sigmoid), so that photos may have several, and the"
            " file does not state from which score on. That each photo has one, of the largest"
            f" score, was assumed; `label_threshold={_EVEN:g}` gives all labels from there on."
        )
        return {}, (warning,)
    decision = MultiLabelDecision(labels, dict.fromkeys(labels, config.label_threshold))
    return {"labels": list(labels), "multi_label": True, "decision": decision.as_dict()}, ()


def check_no_threshold(path: Path, config: ModelConfig, *, stated: bool) -> None:
    """Raises UserError where `label_threshold` is given for a model that has no use for it.

    Args:
        path: of the model.
        config: with the setting.
        stated: whether the model states how labels are decided.
    """
    if config.label_threshold is None:
        return
    reason = "has one label per photo, as its scores are shares of 1 (softmax)"
    if stated:
        reason = "states how its labels are decided; `xferlearn decide` changes that"
    raise UserError(
        f"`label_threshold={config.label_threshold:g}` is for models that have a score of its own"
        f" for each label and state no thresholds. {path} {reason}."
    )


def _stated(
    graph: Graph, report: GraphReport, model_folder: ModelFolder | None, scores: ScoreReader
) -> dict[str, Any]:
    """Returns how labels are decided, as the file states it, or its folder, as metadata.json does.

    With the labels of whoever states it, in output order: the user may call them something else.
    """
    labels: tuple[str, ...] = ()
    decision: Any = None
    several = False
    if graph.metadata is not None:
        labels, decision = graph.metadata.labels, graph.metadata.decision
        several = graph.metadata.multi_label
    elif model_folder is not None and not report.labels:
        labels, decision = model_folder.labels, model_folder.metadata.get("decision")
        several = model_folder.is_multi_label
    # A file of another model may lie in the folder, with labels that the user gives.
    if not decision or len(labels) != scores.classes or several != scores.alone:
        return {}
    return {
        "labels": list(labels), **({"multi_label": True} if several else {}), "decision": decision
    }  # fmt: skip
