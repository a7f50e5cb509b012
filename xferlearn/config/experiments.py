"""Settings of the commands that train many heads: those of `train`, some of them as lists."""

import dataclasses
from typing import Any

from xferlearn.config.base import Config, setting, settings_of, value_type
from xferlearn.config.training import TrainConfig
from xferlearn.errors import UserError

# What `sweep` takes lists of.
SWEPT = (
    "backbone", "image_size", "device", "learning_rate", "optimizer", "how_many_training_steps",
    "train_batch_size", "hidden_units", "dropout", "weight_decay", "augment", "split_seed", "seed",
)  # fmt: skip
# A result is a mean over these, and its interval says how much they matter.
SEEDS = ("split_seed", "seed")
# Experiments write runs and tables, no model.
_OF_TRAIN_ALONE = (
    "model_dir", "overwrite", "export", "summaries", "print_misclassified_test_images", "unfreeze",
    "fine_tune_epochs", "fine_tune_learning_rate", "fine_tune_batch_size",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Experiment(Config):
    output_dir: str | None = setting(
        None,
        "Folder for the table (CSV), the plot (PNG) and what a killed command goes on from."
        " Default: experiments in --logs_dir.",
        section="Output",
    )

    def train_config(self, **changed: Any) -> TrainConfig:
        """Returns the settings of one run.

        Args:
            **changed: settings of `TrainConfig` in their own types.

        Raises:
            UserError: on a value that `train` would not take either.
        """
        known = settings_of(TrainConfig)
        settings = {
            name: getattr(self, name)
            for name in settings_of(self)
            if name in known and name not in self.lists()
        }
        return TrainConfig(**{**settings, "model_dir": "model", "summaries": "scalars", **changed})

    @classmethod
    def lists(cls) -> tuple[str, ...]:
        """Names of the settings of `TrainConfig` that are comma-separated lists here."""
        return ()

    def values(self, name: str) -> list[Any]:
        """Returns the values of a list, each once; without one, the default of `train`."""
        field, _ = settings_of(TrainConfig)[name]
        text = getattr(self, name)
        if text is None:
            return [field.default]
        kind = value_type(field)[0]
        words = {int: "whole numbers", float: "numbers", str: "names"}[kind]
        values = []
        for part in text.split(","):
            try:
                values.append(kind(part.strip()))
            except ValueError:
                raise UserError(
                    f"Expected --{name} to be {words}, separated by commas. Received: {text!r}."
                ) from None
        return list(dict.fromkeys(values))


def _listed(name: str) -> tuple[str, Any, Any]:
    rules = settings_of(TrainConfig)[name][1]
    default = settings_of(TrainConfig)[name][0].default
    told = "" if default is None else f" Default: {default}."
    return (
        name,
        str | None,
        setting(
            None,
            f"{rules.help}{told} Several, separated by commas, are compared.",
            section=rules.section,
            aliases=rules.aliases,
        ),
    )


def _experiment(name: str, doc: str, lists: tuple[str, ...], *own: tuple[str, Any, Any]) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    replaced = {row[0] for row in own}
    for setting_name, (field, rules) in settings_of(TrainConfig).items():
        if setting_name in lists:
            fields.append(_listed(setting_name))
        elif setting_name not in _OF_TRAIN_ALONE and setting_name not in replaced:
            copy = dataclasses.field(default=field.default, metadata={"setting": rules})
            fields.append((setting_name, field.type, copy))
    made = dataclasses.make_dataclass(
        name,
        [*fields, *own],
        bases=(_Experiment,),
        namespace={"lists": classmethod(lambda cls: lists), "__doc__": doc},
        frozen=True,
        kw_only=True,
    )
    made.__module__ = __name__
    return made


SweepConfig = _experiment(
    "SweepConfig",
    "Settings of `xferlearn sweep`.",
    SWEPT,
    (
        "max_runs",
        int | None,
        setting(
            None,
            "Train at most this many heads: some of the combinations, each with all seeds, drawn at"
            " random, the same each time.",
            minimum=1,
            section="Data",
        ),
    ),
)
CompareConfig = _experiment(
    "CompareConfig", "Settings of `xferlearn compare`.", ("backbone", "split_seed")
)
CurveConfig = _experiment(
    "CurveConfig",
    "Settings of `xferlearn curve`.",
    (),
    (
        "draws",
        int,
        setting(
            5, "How often photos are drawn for each number of them.", minimum=1, section="Data"
        ),
    ),
    (
        "validation_percentage",
        float,
        setting(
            10.0,
            "Percent of the photos that are left out, because `train` needs them to decide when"
            " training stops.",
            minimum=0,
            maximum=90,
            section="Data",
        ),
    ),
    (
        "how_many_training_steps",
        int,
        setting(
            400,
            "Steps that each head trains. There are no validation photos to end it earlier:"
            " somebody with five photos a class has none to spare for that.",
            minimum=1,
            maximum=10**9,
            section="Head",
        ),
    ),
)
