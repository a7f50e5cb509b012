"""What a training gave, as `train` returns it, and how it shows itself."""

import dataclasses
from pathlib import Path
from typing import Any

from xferlearn.bottlenecks.compute import Extraction
from xferlearn.exports import ExportResult
from xferlearn.metrics import Evaluation, Misclassified
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.manifest import SPLITS, Manifest
from xferlearn.summaries import folder_bytes
from xferlearn.summaries.notebook import (
    Pictures,
    accuracy_tile,
    classes_tile,
    confusion_section,
    left_out_lines,
    wrong_section,
)
from xferlearn.summaries.terminal import bad_block
from xferlearn.synsets.names import readable_label
from xferlearn.system.html import facts, h, notices, tile, tiles
from xferlearn.system.progress import duration
from xferlearn.system.results import Block, Result, facts_block, table_block
from xferlearn.system.text import count
from xferlearn.training.callbacks import Training
from xferlearn.training.finetuning import FineTuned


@dataclasses.dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """What a training gave.

    Its `repr` is the summary that the command prints; in a notebook it shows accuracies, the
    confusion matrix of the test, and the test photos that were misclassified.

    Attributes:
        model_folder: the model folder that was written.
        run_dir: folder of the run in the logs; None where no summaries were asked for.
        manifest: the photos and their split.
        extraction: what was computed and what was cached.
        training: steps run, best step.
        fine_tuned: what fine-tuning gave, kept or not; None where none was asked for.
        exported: what `config.export` asked for; None where nothing was, or nothing could be
            written.
        validation: evaluation on the validation split, which chose the weights.
        test: evaluation on the test split, which chose nothing.
        misclassified: the test photos that the model gets wrong.
        pictures: where those photos are read again when a notebook shows them.
        warnings: what was found in the photos and in the bottleneck store, and summaries that
            could not be written, one line each.
        seconds: wall time of each stage.
    """

    model_folder: ModelFolder
    run_dir: Path | None
    manifest: Manifest
    extraction: Extraction
    training: Training
    fine_tuned: FineTuned | None
    exported: ExportResult | None
    validation: Evaluation
    test: Evaluation
    misclassified: tuple[Misclassified, ...]
    pictures: Pictures
    warnings: tuple[str, ...]
    seconds: dict[str, float]

    def blocks(self) -> list[Block]:
        """Returns the summary: photos by class, those left out, and the facts of the run."""
        manifest = self.manifest
        rest = "metadata.json of the model has all"
        return [
            self._split_block(),
            bad_block(manifest.bad, rest),
            Block(manifest.notes),
            facts_block(self._facts(), prose=("time", "fine-tuning")),
        ]

    def _split_block(self) -> Block:
        found = {row.label: row for row in self.test.classes}
        rows = [["class", *SPLITS, "right in test"]]
        for label, counts in self.manifest.counts().items():
            row = found[label]
            share = f"{row.correct}/{row.photos}" if row.photos else ""
            rows.append([readable_label(label), *(str(counts[split]) for split in SPLITS), share])
        totals = [str(len(self.manifest.indices(split))) for split in SPLITS]
        rows.append(["all", *totals, f"{self.test.correct}/{self.test.total}"])
        mistakes = self.test.mistakes
        block = table_block(rows, "class", rank=lambda index: -mistakes[index])
        return dataclasses.replace(block, items=block.items[:-1], tail=block.items[-1:])

    def _facts(self) -> dict[str, str]:
        extraction, training = self.extraction, self.training
        stages = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        rows = {
            "bottlenecks": f"{extraction.cached} cached, {extraction.computed} computed"
            f" ({extraction.photos_per_second:.0f} photos/s)",
            "time": f"{stages}; {sum(self.seconds.values()):.1f} s in all",
            "training": count(training.steps, "step"),
            **_fine_tuning(self.fine_tuned),
            "validation": self.validation.summary(),
            "test": self.test.summary(),
            "model": str(self.model_folder.path),
        }
        if self.exported is not None:
            rows["exports"] = ", ".join(f"{r.format} {r.result}" for r in self.exported.rows)
        if self.run_dir is not None:
            rows["logs"] = f"{self.run_dir} ({folder_bytes(self.run_dir) / 1e6:.1f} MB)"
        return rows

    def html(self) -> list[Any]:
        """Returns tiles, warnings, the test's confusion matrix and misclassified photos."""
        manifest, extraction = self.manifest, self.extraction
        counts = [f"{len(manifest.indices(split)):,} {split}" for split in SPLITS]
        left_out = len(manifest.bad) + manifest.duplicates
        seconds = sum(self.seconds.values())
        rate = f"{extraction.photos_per_second:,.0f} photos per second"
        shown = {k: v for k, v in self._facts().items() if k not in ("validation", "test")}
        return [
            tiles(
                accuracy_tile("Test accuracy", self.test, main=True),
                accuracy_tile("Validation accuracy", self.validation),
                tile(
                    "Photos",
                    f"{len(manifest.photos):,}",
                    ", ".join(counts),
                    *([f"{left_out:,} left out"] if left_out else []),
                ),
                classes_tile(manifest.labels),
                tile("Time", duration(seconds), rate, f"{extraction.cached:,} cached"),
            ),
            notices([*self.warnings, *manifest.notes, *left_out_lines(manifest.bad)]),
            confusion_section(self.test, "Confusion matrix of the test photos"),
            wrong_section(self.misclassified, self.test.total, self.pictures),
            h("h4", "The run"),
            facts(shown),
        ]


def _fine_tuning(tuned: FineTuned | None) -> dict[str, str]:
    if tuned is None:
        return {}
    resumed = f" ({tuned.resumed} in an earlier run)" if tuned.resumed else ""
    layers = tuned.layers
    span = f"{count(len(layers), 'layer')}, {layers[0]} to {layers[-1]}"
    if len(layers) == 1:
        span = layers[0]
    passes = f"{count(tuned.epochs, 'pass')}{resumed}"
    return {
        "fine-tuning": f"{span}, {count(tuned.weights, 'weight')}; {passes}",
        "  frozen": f"validation {tuned.frozen.summary()}, cross-entropy {tuned.frozen_loss:.3f}",
        "  tuned": f"validation {tuned.tuned.summary()}, cross-entropy {tuned.tuned_loss:.3f}",
        "  kept": "the tuned model" if tuned.better else "the frozen one: tuning was no better",
    }
