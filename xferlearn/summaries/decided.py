"""What a terminal shows of decisions: how labels are decided, and what that gives."""

from collections.abc import Collection, Sequence

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.decisions import Answering, Chosen, DecisionMeasured, OperatingPoint
from xferlearn.system.results import Block, table_block


def decision_facts(chosen: Chosen, validation: str) -> dict[str, str]:
    """Returns how labels are decided, what that gives, and how many photos need no person.

    Args:
        chosen: the decision.
        validation: what the photos are called that it was chosen on.
    """
    facts = {}
    if chosen.decision:
        facts["decision"] = chosen.decision.text()
        for name, measured in ((validation, chosen.validation), ("test", chosen.test)):
            if measured.classes or measured.accuracy is not None:
                facts[f"  {name}"] = measured_text(measured)
    if chosen.validation.accuracy is not None:
        facts["answers alone"] = _alone(chosen)
    return facts


def measured_text(measured: DecisionMeasured) -> str:
    """Returns what a decision gives, e.g. "defective: recall 96.6% (N=87, ...), ..."."""
    parts = [_point_text(point) for point in measured.classes]
    cost = measured.cost
    if cost is not None:
        changed = "as with the largest probability"
        if cost.lowered is not None and cost.interval is not None:
            low, high = cost.interval
            changed = (
                f"{abs(cost.lowered):.0%} {'lower' if cost.lowered >= 0 else 'higher'} than with"
                f" the largest probability (95% interval {_lowered(low, high)})"
            )
        parts.insert(0, f"cost per photo {cost.cost:.3f}, {changed}")
    if measured.accuracy is not None:  # of one label per photo
        parts.append(f"accuracy {measured.accuracy:.1%} in place of {measured.largest:.1%}")
    return "; ".join(parts)


def _lowered(low: float, high: float) -> str:
    """Returns the ends of an interval in words, e.g. "from 35% higher to 90% lower"."""
    if low >= 0:
        return f"{low:.0%} to {high:.0%} lower"
    if high <= 0:
        return f"{-high:.0%} to {-low:.0%} higher"
    return f"from {-low:.0%} higher to {high:.0%} lower"


def points_block(points: Sequence[OperatingPoint], title: str, shown: Collection[str]) -> Block:
    """Returns recall and precision of some classes by threshold; an empty block without any."""
    rows = [["class", "chosen for", "threshold", "recall", "precision"]]
    for point in points:
        if point.label in shown:
            asked = point.recall_asked
            decided = "largest" if point.threshold is None else "decision"
            rows.append(
                [
                    readable_label(point.label),
                    decided if asked is None else f"recall {asked:g}",
                    "-" if point.threshold is None else f"{point.threshold:.3g}",
                    _share(point.recall, point.recall_interval),
                    _share(point.precision, point.precision_interval),
                ]
            )
    if len(rows) == 1:
        return Block()
    block = table_block(rows, "operating point", 0)
    return Block(
        (title, *block.head), block.items, block.noun, "metadata.json of the model has all"
    )


def _point_text(point: OperatingPoint) -> str:
    def share(value: float | None, interval: tuple[float, float], number: int) -> str:
        low, high = interval
        known = "not measured" if value is None else f"{value:.1%}"
        return f"{known} (N={number}, 95% interval {low:.0%} to {high:.0%})"

    recall = share(point.recall, point.recall_interval, point.photos)
    precision = share(point.precision, point.precision_interval, point.labelled)
    return f"{readable_label(point.label)}: recall {recall}, precision {precision}"


def _share(value: float | None, interval: tuple[float, float]) -> str:
    if value is None:
        return "-"
    low, high = interval
    return f"{value:.1%} ({low:.0%} to {high:.0%})"


def _alone(chosen: Chosen) -> str:
    found = [(error, one) for error, one in chosen.alone.items() if one is not None]
    if found:
        parts = [f"{one.share:.0%} of photos at {error:.0%} error" for error, one in found]
        return f"on {', on '.join(parts)} (95% sure); ask a person about the others"
    error = max(chosen.alone)
    fewest = Answering.fewest(error)
    return f"on none at {error:.0%} error, which takes {fewest} photos and few mistakes"
