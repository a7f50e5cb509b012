"""The table of commands."""

import dataclasses
import types
from collections.abc import Mapping

from xferlearn import config
from xferlearn.config.base import Config


@dataclasses.dataclass(frozen=True)
class Command:
    """One row of the table of commands.

    Attributes:
        module: module with `run(config) -> int`; imported only when the command runs.
        settings: config class that its flags are made from.
        summary: one line for `xferlearn --help`.
        usage: what stands behind the command's name in its usage line.
        examples: commands to start from, the simplest first.
        aliases: what other tools call the same thing.
    """

    module: str
    settings: type[Config]
    summary: str
    usage: str
    examples: tuple[str, ...]
    aliases: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {
    "train": Command(
        "xferlearn.commands.train",
        config.TrainConfig,
        "Teach a pretrained network the classes of your photos.",
        "FOLDER [--model_dir=FOLDER] [flags]",
        (
            "xferlearn train flower_photos",
            "xferlearn train flower_photos --model_dir=out/best --quality=balanced",
            "xferlearn train photos --labels=labels.csv --export=tflite,onnx",
        ),
        ("fit", "retrain"),
    ),
    "label": Command(
        "xferlearn.commands.label",
        config.LabelConfig,
        "Label photos with any model file, or with ImageNet's classes.",
        "--model=PATH|--backbone=NAME PHOTO|FOLDER|GLOB... [flags]",
        (
            "xferlearn label --model=out/flower_photos new/*.jpg",
            "xferlearn label --model=out/flower_photos new --output=labels.csv",
            "xferlearn label --backbone=efficientnet_lite0 cat.jpg",
        ),
        ("predict", "classify"),
    ),
    "evaluate": Command(
        "xferlearn.commands.evaluate",
        config.EvaluateCommandConfig,
        "Measure a trained model on photos with known classes.",
        "FOLDER --model=FOLDER [flags]",
        (
            "xferlearn evaluate more_photos --model=out/flower_photos",
            "xferlearn evaluate more_photos --model=out/flower_photos --output=photos.csv",
        ),
        ("eval", "val"),
    ),
    "diff": Command(
        "xferlearn.commands.diff",
        config.DiffCommandConfig,
        "Compare two models photo by photo, before and after.",
        "FOLDER FOLDER [--image_dir=FOLDER] [flags]",
        ("xferlearn diff out/photos out/photos2",),
    ),
    "decide": Command(
        "xferlearn.commands.decide",
        config.DecideConfig,
        "Set thresholds or costs of a trained model, without training.",
        "--model=FOLDER --min_recall=...|--cost=...|--clear",
        ("xferlearn decide --model=out/photos --cost=defective:functional=5",),
    ),
    "export": Command(
        "xferlearn.commands.export",
        config.ExportConfig,
        "Write a trained model in other formats, and prove that they agree.",
        "--model=FOLDER --format=NAME[,NAME...] [flags]",
        ("xferlearn export --model=out/photos --format=tflite,onnx",),
        ("convert",),
    ),
    "inspect": Command(
        "xferlearn.commands.inspect_model",
        config.InspectConfig,
        "Show a model's input, size, value range, outputs and backbone.",
        "PATH | --backbone=NAME [flags]",
        ("xferlearn inspect retrained_graph.pb",),
    ),
    "backbones": Command(
        "xferlearn.commands.backbones",
        config.BackbonesConfig,
        "List the pretrained networks: size, weights found, licence.",
        "[flags]",
        ("xferlearn backbones",),
    ),
    "audit": Command(
        "xferlearn.commands.audit",
        config.AuditConfig,
        "Find photos and labels that are likely wrong.",
        "FOLDER [flags]",
        ("xferlearn audit photos", "xferlearn audit photos --page=audit.html"),
    ),
    "review": Command(
        "xferlearn.commands.review",
        config.ReviewConfig,
        "Look at suspicious photos in a browser, and correct them.",
        "FOLDER | --model_dir=FOLDER [flags]",
        ("xferlearn review photos --open", "xferlearn review --model_dir=out/photos"),
    ),
    "sweep": Command(
        "xferlearn.commands.sweep",
        config.SweepConfig,
        "Train with lists of settings, and see which of them matter.",
        "FOLDER --NAME=VALUE,VALUE,... [flags]",
        ("xferlearn sweep photos --learning_rate=0.001,0.01 --seed=0,1,2",),
    ),
    "curve": Command(
        "xferlearn.commands.curve",
        config.CurveConfig,
        "See how accuracy grows with the number of photos.",
        "FOLDER [flags]",
        ("xferlearn curve photos",),
    ),
    "compare": Command(
        "xferlearn.commands.compare",
        config.CompareConfig,
        "Compare backbones by accuracy, speed and size.",
        "FOLDER --backbone=NAME,NAME,... [flags]",
        ("xferlearn compare photos --backbone=efficientnet_lite0,mobilenet",),
    ),
    "board": Command(
        "xferlearn.commands.board",
        config.BoardConfig,
        "Show the runs in TensorBoard.",
        "[--logs_dir=FOLDER] [flags]",
        ("xferlearn board --open",),
        ("tensorboard",),
    ),
    "completion": Command(
        "xferlearn.commands.completion",
        config.CompletionConfig,
        "Print a script that completes commands and flags in your shell.",
        "bash|zsh|fish",
        ('eval "$(xferlearn completion bash)"', "xferlearn completion fish | source"),
    ),
    "version": Command(
        "xferlearn.commands.version",
        config.VersionConfig,
        "Print the versions of xferlearn and of what it runs on.",
        "",
        ("xferlearn version",),
    ),
}


# What may mean more than one command; the names in `Command.aliases` mean one.
COMMAND_HINTS: Mapping[str, str] = types.MappingProxyType(
    {
        "test": "`xferlearn evaluate` measures a model on photos with known classes,"
        " `xferlearn label` labels others.",
        "finetune": "`xferlearn train` does it, with `unfreeze`.",
    }
)
