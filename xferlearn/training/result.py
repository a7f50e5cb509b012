"""What a training gave, as `train` returns it, and how it shows itself."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.auditing import AuditResult
from xferlearn.backbones.synsets.names import readable_label
from xferlearn.bottlenecks.compute import Extraction
from xferlearn.decisions import Chosen, MultiLabelDecision
from xferlearn.exports import ExportResult
from xferlearn.metrics import AnyEvaluation, Evaluation, Misclassified, MultiLabelEvaluation
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import SPLITS, TEST, TRAIN
from xferlearn.summaries import folder_bytes
from xferlearn.summaries.decided import decision_facts, points_block
from xferlearn.summaries.measured import (
    main_evaluation,
    main_name,
    measured_facts,
    validation_name,
)
from xferlearn.summaries.notebook import (
    Pictures,
    accuracy_tile,
    classes_tile,
    confusion_section,
    left_out_lines,
    wrong_section,
)
from xferlearn.summaries.terminal import bad_block, classes_block, label_block
from xferlearn.system.fetching import origin
from xferlearn.system.html import facts, h, notices, tile, tiles
from xferlearn.system.progress import duration
from xferlearn.system.results import Block, Result, facts_block
from xferlearn.system.text import count
from xferlearn.training.callbacks import Training
from xferlearn.training.finetuning import FineTuned
from xferlearn.training.own_photos import OwnFamiliarity


@dataclasses.dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """What a training gave.

    Its `repr` is the summary that the command prints; in a notebook it shows accuracies, the
    confusion matrix, and the photos that were misclassified: of cross-validation, or where
    validation photos were held out those of the test, or without a test of the validation.

    Attributes:
        model_folder: the model folder that was written.
        run_dir: folder of the run in the logs; None where no summaries were asked for.
        manifest: the photos and their split.
        extraction: what was computed and what was cached.
        training: how the training of the head went.
        fine_tuned: what fine-tuning gave, kept or not; None where none was asked for.
        exported: what `config.export` asked for; None where nothing was, or nothing could be
            written.
        chosen: how labels are decided, what that gives, and how many photos the model answers
            alone.
        validation: evaluation of the photos in folds, each predicted by a head that has not learned
            from it, or where validation photos were held out of those.
        test: evaluation on the test split, which chose nothing.
        familiarity: how familiar the photos are to the model; None where no head has judged any.
        misclassified: the test photos that the model gets wrong.
        misclassified_in_validation: the photos of `validation` that the head which has not learned
            from them gets wrong.
        pictures: where those photos are read again when a notebook shows them.
        warnings: what was found in the photos and in the bottleneck store, and summaries that
            could not be written, one line each.
        seconds: wall time of each stage.
        audit: what is suspicious in the photos and their labels; None where nobody asked, or the
            audit failed.
    """

    model_folder: ModelFolder
    run_dir: Path | None
    manifest: Manifest
    extraction: Extraction
    training: Training
    fine_tuned: FineTuned | None
    exported: ExportResult | None
    chosen: Chosen
    validation: AnyEvaluation
    test: AnyEvaluation
    familiarity: OwnFamiliarity | None
    misclassified: tuple[Misclassified, ...]
    misclassified_in_validation: tuple[Misclassified, ...]
    pictures: Pictures
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    audit: AuditResult | None = None

    def blocks(self) -> list[Block]:
        """Returns the summary: photos by class, those left out, and the facts of the run."""
        manifest = self.manifest
        return [
            self._split_block(),
            self._points_block(),
            Block(self.audit.table() if self.audit else ()),
            Block(self.audit.brief() if self.audit else ()),
            bad_block(manifest.bad, _ALL_IN_METADATA),
            Block((*manifest.label_counts, *manifest.notes)),
            facts_block(
                self._facts(),
                prose=(
                    "engine",
                    "time",
                    "F1",
                    "coverage",
                    *_fine_tuning(self.fine_tuned),
                    *self._promised(),
                ),
            ),
        ]

    def _split_block(self) -> Block:
        splits = SPLITS if self.validation.folds is None else ()
        main = main_evaluation(self.validation, self.test)
        test = self.test
        if not isinstance(main, Evaluation) or not isinstance(test, Evaluation):
            several = [one for one in (main, test) if isinstance(one, MultiLabelEvaluation)]
            thresholds, named = self.chosen.decision.thresholds, self.chosen.decision.named
            # Of a class of which something was asked, these numbers are at another one.
            told = {label: value for label, value in thresholds.items() if label not in named}
            return label_block(several[0], _ALL_IN_METADATA, told)
        judged: dict[str, Evaluation] = {}
        if main is not test:
            judged["right in validation" if splits else "right, cross-validated"] = main
        if test.total:
            judged["right in test"] = test
        counted = {name: _right(evaluation) for name, evaluation in judged.items()}
        rows = [["class", *(splits or ["photos"]), *judged]]
        for place, (label, counts) in enumerate(self.manifest.counts().items()):
            photos = [counts[split] for split in splits] or [sum(counts.values())]
            shares = [shown[place] for shown in counted.values()]
            rows.append([readable_label(label), *map(str, photos), *shares])
        totals = [len(self.manifest.indices(split)) for split in splits]
        totals = totals or [len(self.manifest.photos)]
        shares = [f"{evaluation.correct}/{evaluation.total}" for evaluation in judged.values()]
        rows.append(["all", *map(str, totals), *shares])
        return classes_block(rows, main, _ALL_IN_METADATA)

    def _points_block(self) -> Block:
        decision, labels = self.chosen.decision, self.manifest.labels
        # Of many classes they would bury everything else.
        shown = decision.named if decision else labels if len(labels) == 2 else ()
        title = f"Operating points, {validation_name(self.validation)}, with 95% intervals."
        return points_block(self.chosen.points, title, shown)

    def _facts(self) -> dict[str, str]:
        extraction, validation = self.extraction, self.validation
        stages = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        steps = count(self.training.steps, "step")
        streamed = "bottlenecks streamed from disk" if self.training.streamed else ""
        rows = {
            "bottlenecks": f"{extraction.cached} cached, {extraction.computed} computed"
            f" ({extraction.photos_per_second:.0f} photos/s)",
            **self._engine(),
            "time": f"{stages}; {sum(self.seconds.values()):.1f} s in all",
            "training": ", ".join(filter(None, (steps, validation.folding, streamed))),
            **_fine_tuning(self.fine_tuned),
            **measured_facts(validation, self.test, self.model_folder.metadata),
            **self._promised(),
            "model": self.model_folder.place,
        }
        if self.exported is not None:
            rows["exports"] = ", ".join(f"{r.format} {r.result}" for r in self.exported.rows)
        if self.run_dir is not None:
            rows["logs"] = origin(self.run_dir)
            if self.run_dir.is_dir():  # not in a bucket
                rows["logs"] += f" ({folder_bytes(self.run_dir) / 1e6:.1f} MB)"
        return rows

    def _engine(self) -> dict[str, str]:
        """Returns why a faster engine was not used; nothing where it was."""
        engine = self.model_folder.metadata["engine"]
        parts = engine.get("parts", [engine])
        lines = dict.fromkeys(line for part in parts for line in part.get("fallbacks", ()))
        return {"engine": " ".join(lines)} if lines else {}

    def _promised(self) -> dict[str, str]:
        return promised_facts(self.chosen, self.familiarity, self.validation)

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the confusion matrix and misclassified photos."""
        manifest, extraction, validation, test = (
            self.manifest, self.extraction, self.validation, self.test
        )  # fmt: skip
        name, main = validation_name(validation), main_evaluation(validation, test)
        measure = main.measure
        judged = [(f"{name.capitalize()} {measure}", validation), (f"Test {measure}", test)]
        shown = [one for one in judged if one[1] is main or one[1].total]
        if main is test:
            shown.reverse()
        counts = {
            TRAIN: len(manifest.indices(TRAIN)) if validation.folds is None else 0,
            name: validation.total,
            TEST: test.total,
        }
        left_out = len(manifest.bad) + manifest.duplicates
        seconds = sum(self.seconds.values())
        rate = f"{extraction.photos_per_second:,.0f} photos per second"
        measured = measured_facts(validation, test, self.model_folder.metadata)
        wrong = self.misclassified if main is test else self.misclassified_in_validation
        return [
            tiles(
                *(accuracy_tile(title, one, main=one is main) for title, one in shown),
                tile(
                    "Photos",
                    f"{len(manifest.photos):,}",
                    ", ".join(f"{number:,} {said}" for said, number in counts.items() if number),
                    f"Delivered: {measured['delivered']}",
                    *([f"{left_out:,} left out"] if left_out else []),
                ),
                classes_tile(manifest.labels),
                tile("Time", duration(seconds), rate, f"{extraction.cached:,} cached"),
            ),
            notices(
                [
                    *self.warnings,
                    *manifest.label_counts,
                    *manifest.notes,
                    *left_out_lines(manifest.bad),
                ]
            ),
            confusion_section(main, f"Confusion matrix of the {main_name(validation, test)} photos")
            if isinstance(main, Evaluation)
            else None,
            wrong_section(wrong, main.total, self.pictures),
            [h("h4", "Audit"), self.audit.sections()] if self.audit else None,
            h("h4", "The run"),
            facts({name: value for name, value in self._facts().items() if name not in measured}),
        ]


_ALL_IN_METADATA = "metadata.json of the model has all"


def promised_facts(
    chosen: Chosen, familiarity: OwnFamiliarity | None, validation: AnyEvaluation
) -> dict[str, str]:
    """Returns which photos are unknown, how the others' labels are decided, and what that gives."""
    rows = {"unknown": familiarity.text()} if familiarity is not None else {}
    rows |= decision_facts(chosen, validation_name(validation))
    if chosen.decision and isinstance(chosen.decision, MultiLabelDecision):
        rows["all else"] = (
            "at the thresholds of the largest F1: the table, F1, and which photos have all labels"
            " right; `evaluate` goes by the decision"
        )
    elif chosen.decision:
        rows["all else"] = (
            "by the largest probability: the table, accuracies, confusion matrices and"
            " misclassified photos; `evaluate` goes by the decision"
        )
    return rows


def _right(evaluation: Evaluation) -> list[str]:
    """Returns by class how many of its photos are right; nothing where there are none."""
    rows = evaluation.classes
    return [f"{row.correct}/{row.photos}" if row.photos else "" for row in rows]


def _fine_tuning(tuned: FineTuned | None) -> dict[str, str]:
    if tuned is None:
        return {}
    resumed = f" ({tuned.resumed} in an earlier run)" if tuned.resumed else ""
    layers = tuned.layers
    span = f"{count(len(layers), 'layer')}, {layers[0]} to {layers[-1]}"
    if len(layers) == 1:
        span = layers[0]
    passes = f"{count(tuned.epochs, 'pass')}{resumed}"
    # A frozen model that was kept says this below of itself.
    folds = tuned.cross_validated if tuned.better else None
    return {
        "fine-tuning": f"{tuned.network}: {span}, {count(tuned.weights, 'weight')}; {passes}",
        "  frozen": f"validation {tuned.frozen.summary()}, cross-entropy {tuned.frozen_loss:.3f}",
        **({"  in folds": f"frozen, cross-validated: {folds.summary()}"} if folds else {}),
        "  tuned": f"validation {tuned.tuned.summary()}, cross-entropy {tuned.tuned_loss:.3f}",
        "  kept": "the tuned model" if tuned.better else "the frozen one: tuning was no better",
    }
