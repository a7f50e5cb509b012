"""Settings of `xferlearn train`."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Setting, Several, StrPath
from xferlearn.config.decisions import DecisionConfig
from xferlearn.config.heads import BackboneConfig, HeadConfig, ViewConfig
from xferlearn.config.models import EXPORT_FORMATS
from xferlearn.config.presets import RECIPES, TESTING_PERCENTAGE
from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(DecisionConfig, ViewConfig, HeadConfig, BackboneConfig, RunnerConfig):
    """Settings of `xferlearn train` and of `xferlearn.train(...)`."""

    validation_percentage: Annotated[
        float,
        Setting(
            "Percentage of the photos that are held out for validation. With 0, each photo outside"
            " the test is instead predicted by a head that has not learned from it"
            " (cross-validation), so that all of them are learned from and all are measured.",
            minimum=0,
            maximum=90,
            section="Data",
            form="PERCENT",
        ),
    ] = 0.0
    validation_size: float | None = None
    refit: Annotated[
        str,
        Setting(
            "What the delivered head learns from, once the accuracy is measured: `all` photos,"
            " those of test and validation too, or `none` but the training photos. A fine-tuned"
            " network is not trained again: it has learned from the training photos outside the"
            " fold that judged it.",
            choices=("all", "none"),
            section="Data",
        ),
    ] = "all"
    split_seed: Annotated[
        int,
        Setting(
            "Seed of the split: a photo's content and this number decide whether it is for"
            " training, validation or test, and in which fold it is left out.",
            minimum=0,
            section="Data",
        ),
    ] = 0
    quality: Annotated[
        str,
        Setting(
            "A recipe that decides what you leave open: `fast` (one backbone, one pass per photo),"
            " `balanced` (three backbones, two of them at more pixels: six times the network's"
            " time), or `best` (the first of them fine-tuned too: minutes). The manual has the"
            ' accuracy of each. `balanced` and `best` need pip install "xferlearn[lite]".',
            choices=tuple(RECIPES),
            section="Network",
            common=True,
        ),
    ] = "fast"
    model_dir: Annotated[
        StrPath | None,
        Setting(
            "Folder that the trained model is written to. Default: out/NAME, after the photos'"
            " folder, table or dataset.",
            section="Output",
            form="FOLDER",
            bucket=True,
            common=True,
        ),
    ] = None
    overwrite: Annotated[
        bool, Setting("Replace the model in `model_dir`.", section="Output", common=True)
    ] = False
    summaries: Annotated[
        str,
        Setting(
            "What is written to `logs_dir` for TensorBoard: `none`; `scalars` for charts, run card"
            " and HParams row (50 KB); `full` also for graph, images, histograms, PR curves and"
            " projector (11 MB for the 1,000 flowers, and at most a tenth of the time).",
            choices=("none", "scalars", "full"),
            section="Output",
        ),
    ] = "full"
    export: Annotated[
        Several[str] | None,
        Setting(
            "Also export the model in these formats, and prove the files, as `xferlearn export`"
            " does.",
            choices=EXPORT_FORMATS,
            section="Output",
            common=True,
        ),
    ] = None
    audit: Annotated[
        bool,
        Setting(
            "Also look for photos and labels that are likely wrong, as `xferlearn audit` does; they"
            " are shown in TensorBoard too.",
            section="Output",
        ),
    ] = False
    print_misclassified_test_images: Annotated[
        bool,
        Setting(
            "List the test photos that are labelled wrongly, or where there are none the"
            " cross-validated or validation ones; in Python, the result's `misclassified` and"
            " `misclassified_in_validation` have them.",
            section="Output",
        ),
    ] = False
    how_many_training_steps: Annotated[
        int | None,
        Setting(
            "Number of training steps. Default: 40 passes over the photos, but at least 400 steps;"
            " above 4,000 steps, 10 passes if that is more. With several views of each photo 2.5"
            " times as many.",
            minimum=1,
            maximum=10**9,
            section="Head",
            common=True,
        ),
    ] = None
    steps: int | None = None
    unfreeze: Annotated[
        str | None,
        Setting(
            "After the head, also train layers of the backbone: `auto`, those after a suitable"
            " place; `all`; a number, for that many of the last layers with weights; or the name of"
            " a layer or block, e.g. block5, for everything from there on. What comes before stays"
            " frozen, and runs once per view. BatchNormalization stays frozen too. Of several"
            " backbones the first is tuned. The photos of one fold judge it; it is kept where it is"
            " better, and is not trained again on them. Takes minutes; `all` takes much longer.",
            section="Fine-tuning",
            form="auto|all|NUMBER|LAYER",
        ),
    ] = None
    fine_tune_epochs: Annotated[
        int,
        Setting(
            "Passes over the training photos, each with new views.",
            minimum=1,
            maximum=10**6,
            section="Fine-tuning",
        ),
    ] = 6
    fine_tune_learning_rate: Annotated[
        float,
        Setting(
            "Peak step size of the fine-tuning: a warm-up, then a cosine down to zero.",
            above=0,
            maximum=1e38,
            section="Fine-tuning",
        ),
    ] = 0.0003
    fine_tune_batch_size: Annotated[
        int,
        Setting("Batch size of the fine-tuning.", minimum=1, maximum=10**6, section="Fine-tuning"),
    ] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        recipe = RECIPES[self.quality]
        if "backbone" in recipe and "backbone" not in self.given:
            for name in ("image_size", "weights"):
                if name in self.changed():
                    raise UserError(
                        f"`quality={self.quality!r}` chooses backbones with sizes and weights of"
                        f" their own. Leave `{name}` out, or choose a `backbone`."
                    )
        for name, value in recipe.items():
            if name not in self.given:
                object.__setattr__(self, name, value)
        self.check_one_source()
        if self.dataset is not None and self.group_by is not None:
            raise UserError("`group_by` needs `image_dir` or `labels`; a `dataset` has no groups.")
        if self.model_dir is None:
            name = self.data_name
            object.__setattr__(self, "model_dir", f"out/{name}" if name else None)
        if not self.model_dir:
            raise UserError(
                "Expected `model_dir`, the folder to write the model to. Received: nothing."
            )
        testing = self.testing_percentage
        if testing is None:
            testing = TESTING_PERCENTAGE
        if testing + self.validation_percentage >= 100:
            raise UserError(
                "Expected `testing_percentage` and `validation_percentage` to leave something to"
                f" train on. Received: {testing:g} + {self.validation_percentage:g} percent."
            )
