"""Fine-tuning of one backbone, or of the first of several, while the others stay frozen.

The photos of one fold judge it: tuning a network for every fold would take too long. Of several
backbones, the tuned network's head and one on the frozen networks are joined by the mean of their
logits. A head that learned from both at once would trust the tuned network too much, because that
has seen the photos that the head learns from.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from xferlearn.backbones.names import part_name
from xferlearn.config import TrainConfig
from xferlearn.metrics import cross_entropy
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.system.text import count
from xferlearn.training.finetuning.tuning import FineTuned, calibrated, fine_tune_one
from xferlearn.training.fit import Prepared, join
from xferlearn.training.fitting import Fitted, diverged_error, fit_head
from xferlearn.training.head import fold_temperature, join_heads

# With fewer photos than these, which model is better may be chance.
_ENOUGH_TO_JUDGE = 50


def fine_tune(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    state_path: Path,
    *,
    run_dir: Path | None = None,
    on_warning: Callable[[str], None] = lambda problem: None,
) -> FineTuned:
    """Fine-tunes a backbone, the first one of several.

    Args and errors are those of `fine_tune_one`, but that `fitted` may have folds: the photos of
    the first one are held out then.
    """
    found = _fine_tune(
        config, prepared, fitted.held_out(), state_path, run_dir=run_dir, on_warning=on_warning
    )
    judged = found.tuned.total
    if judged < _ENOUGH_TO_JUDGE:
        on_warning(
            f"Fine-tuning was judged by {count(judged, 'photo')} only: which model is better may be"
            " chance. Add photos, or hold out more with `validation_percentage`."
        )
    if not fitted.manifest.folds:
        return found
    folds = fitted.evaluate(VALIDATION, fitted.probabilities(VALIDATION))
    return dataclasses.replace(found, cross_validated=folds)


def _fine_tune(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    state_path: Path,
    *,
    run_dir: Path | None,
    on_warning: Callable[[str], None],
) -> FineTuned:
    if len(prepared.parts) == 1:
        return fine_tune_one(
            config, prepared, fitted, state_path, run_dir=run_dir, on_warning=on_warning
        )
    alone, others = prepared.only(slice(1)), prepared.only(slice(1, None))
    first, rest = (
        fit_head(config, part, manifest=fitted.manifest, only=TEST, on_warning=on_warning)
        for part in (alone, others)
    )
    if first.training.diverged or rest.training.diverged:
        raise diverged_error(config)
    found = fine_tune_one(config, alone, first, state_path, run_dir=run_dir, on_warning=on_warning)
    tuned = found.fitted
    together = join([found.prepared, others])
    head = join_heads([tuned.head, rest.head])
    units = (tuned.plan.hidden_units, rest.plan.hidden_units)
    joined = dataclasses.replace(
        tuned,
        bottlenecks=together.read(tuned.manifest.photos),
        head=head,
        measured=head,
        plan=dataclasses.replace(tuned.plan, hidden_units=sum(units)),
    )
    frozen = fitted.only({photo.digest for photo in joined.manifest.photos})
    before, _ = calibrated(frozen)
    after, temperature = calibrated(joined)
    fold_temperature(head, temperature)
    truth = frozen.truth(VALIDATION)
    return dataclasses.replace(
        found,
        network=part_name(prepared.spaces[0].backbone, prepared.spaces[0].image_size),
        frozen=frozen.evaluate(VALIDATION, before),
        frozen_loss=cross_entropy(before, truth),
        tuned=joined.evaluate(VALIDATION, after),
        tuned_loss=cross_entropy(after, truth),
        prepared=together,
        fitted=dataclasses.replace(joined, temperature=temperature),
        joined=units,
    )
