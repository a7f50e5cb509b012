"""Sets how a trained model's labels are decided, by the predictions that `train` kept."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from xferlearn.config import REJECT, DecideConfig
from xferlearn.config.signatures import from_settings
from xferlearn.decisions import Chosen, Decision, Judged, choose
from xferlearn.model_folder import EXPORTS_DIR, ModelFolder, change_metadata
from xferlearn.photos.predicted import Predicted
from xferlearn.summaries.decided import decision_facts, points_block
from xferlearn.system.html import facts, notices
from xferlearn.system.places import place_of
from xferlearn.system.results import Block, Result, facts_block


@dataclasses.dataclass(frozen=True, repr=False)
class DecideResult(Result):
    """The decision that was set, and what it gives.

    Attributes:
        model_folder: the model folder with its new metadata.
        chosen: the decision, measured on the photos that it was chosen on and on the test photos.
        warnings: what has to be made again, one line each.
    """

    model_folder: ModelFolder
    chosen: Chosen
    warnings: tuple[str, ...] = ()

    def blocks(self) -> list[Block]:
        """Returns the operating points of the classes that it names, and what it gives."""
        said = self._facts()
        title = f"Operating points, {self._validation}, with 95% intervals."
        return [
            points_block(self.chosen.points, title, self._shown),
            facts_block(said, prose=[*said]),
        ]

    def html(self) -> list[Any]:
        """Returns warnings, and what the decision gives."""
        return [notices(self.warnings), facts(self._facts())]

    @property
    def _validation(self) -> str:
        folds = self.model_folder.metadata.get("cross_validation")
        return "cross-validated" if folds else "validation"

    @property
    def _shown(self) -> Collection[str]:
        decision = self.chosen.decision
        if decision:
            return decision.named
        return decision.labels if len(decision.labels) == 2 else ()

    def _facts(self) -> dict[str, str]:
        return {
            "decision": self.chosen.decision.text(),
            **decision_facts(self.chosen, self._validation),
            "model": self.model_folder.place,
        }


@from_settings(DecideConfig)
def decide(config: DecideConfig) -> DecideResult:
    """Sets how a model's labels are decided, without training; `xferlearn decide` in Python.

    `model`, and one of `min_recall`, `min_precision`, `cost` and `clear`, are required. The
    decision is chosen on the cross-validated predictions that `train` kept in the model folder, and
    measured on the test photos.

    Returns:
        The decision, and what it gives.

    Raises:
        UserError: the model can't be used, or what is asked can't be reached.

    Example:
        >>> result = decide(model="out/cells", cost={("defective", "functional"): 5})
        >>> result.chosen.test.cost.lowered
        0.51
    """
    return decide_with(config)


def decide_with(config: DecideConfig) -> DecideResult:
    """Decides as `config` says; see `decide`."""
    found: list[tuple[Any, Chosen]] = []

    def change(folder: ModelFolder) -> dict[str, Any]:
        several = folder.is_multi_label
        if config.clear and not folder.has_predictions and not several:
            # There is nothing to measure by, and the thresholds of `train` stay true.
            chosen = Chosen(Decision(folder.labels))
            changed: dict[str, Any] = {"decision": None, "answers_alone": []}
        else:
            predicted = folder.predictions()
            judged = [_judged(predicted.judged(test=test)) for test in (False, True)]
            chosen = choose(
                folder.labels, *judged, **config.asked(folder.labels, multi_label=several)
            )
            changed = chosen.as_dict()
        found.append((_rule(folder.metadata), chosen))
        return changed

    folder = change_metadata(config.model or "", change)
    former, chosen = found[-1]
    warnings = []
    exports = place_of(folder.place).child(EXPORTS_DIR)
    if former != _rule(folder.metadata) and any(exports.files(below=True)):
        warnings.append(
            f"The files in {exports.address} were made before and decide as they did. Export them"
            " again."
        )
    return DecideResult(folder, chosen, tuple(warnings))


def _rule(metadata: Mapping[str, Any]) -> Any:
    """Returns how a model decides, also where this version does not know the rule."""
    said = metadata.get("decision")
    if not isinstance(said, dict):
        return said
    return {name: value for name, value in said.items() if name != "measured"}


def _judged(predicted: Predicted) -> Judged:
    unknown = predicted.familiarity < REJECT
    return Judged(predicted.probabilities, predicted.y, predicted.groups or None, unknown)
