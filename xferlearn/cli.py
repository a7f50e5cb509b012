"""The command line: the table of commands, and flags made from `config`. No machine learning."""

import dataclasses
import importlib
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from xferlearn import config
from xferlearn.config.base import (
    Config,
    Setting,
    keras_words,
    settings_of,
    takes_list,
    takes_path,
    takes_words,
    value_type,
)
from xferlearn.config.keras_words import KERAS_WORDS
from xferlearn.config.wording import as_flags, flag_value
from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.system.streams import open_standard_streams
from xferlearn.system.terminal import say, tell
from xferlearn.system.text import one_line
from xferlearn.version import __version__


@dataclasses.dataclass(frozen=True)
class Command:
    """One row of the table of commands.

    Attributes:
        module: module with `run(config) -> int`; imported only when the command runs.
        settings: config class that its flags are made from.
        summary: one line for `xferlearn --help`.
        usage: what stands behind the command's name in its usage line.
        example: a command to start from.
    """

    module: str
    settings: type[Config]
    summary: str
    usage: str
    example: str


COMMANDS: dict[str, Command] = {
    "train": Command(
        "xferlearn.commands.train",
        config.TrainConfig,
        "Teach a pretrained network the classes of your photos.",
        "--image_dir=DIR --model_dir=DIR [flags]",
        "xferlearn train --image_dir=photos --model_dir=out/photos",
    ),
    "label": Command(
        "xferlearn.commands.label",
        config.LabelConfig,
        "Label photos with a model of any format, or with ImageNet's classes.",
        "--model=PATH|--backbone=NAME PHOTO|DIR|GLOB... [flags]",
        "xferlearn label --model=out/photos new/*.jpg",
    ),
    "evaluate": Command(
        "xferlearn.commands.evaluate",
        config.EvaluateCommandConfig,
        "Measure a trained model on photos with known classes.",
        "--model=DIR --image_dir=DIR [flags]",
        "xferlearn evaluate --model=out/photos --image_dir=more_photos",
    ),
    "diff": Command(
        "xferlearn.commands.diff",
        config.DiffCommandConfig,
        "Compare two models photo by photo, before and after.",
        "MODEL_DIR MODEL_DIR [--image_dir=DIR] [flags]",
        "xferlearn diff out/photos out/photos2",
    ),
    "decide": Command(
        "xferlearn.commands.decide",
        config.DecideConfig,
        "Set thresholds or costs of a trained model, without training.",
        "--model=DIR --min_recall=...|--cost=...|--clear [flags]",
        "xferlearn decide --model=out/photos --cost=defective:functional=5",
    ),
    "export": Command(
        "xferlearn.commands.export",
        config.ExportConfig,
        "Write a trained model in other formats, and prove that they agree.",
        "--model=DIR --format=NAME[,NAME...] [flags]",
        "xferlearn export --model=out/photos --format=tflite,onnx",
    ),
    "inspect": Command(
        "xferlearn.commands.inspect_model",
        config.InspectConfig,
        "Show a model's input layer, size, value range, outputs and backbone.",
        "PATH | --backbone=NAME [flags]",
        "xferlearn inspect retrained_graph.pb",
    ),
    "backbones": Command(
        "xferlearn.commands.backbones",
        config.BackbonesConfig,
        "List the pretrained networks: size, weights on this machine, licence.",
        "[flags]",
        "xferlearn backbones",
    ),
    "audit": Command(
        "xferlearn.commands.audit",
        config.AuditConfig,
        "Find photos and labels that are likely wrong.",
        "--image_dir=DIR [flags]",
        "xferlearn audit --image_dir=photos --page=audit.html",
    ),
    "review": Command(
        "xferlearn.commands.review",
        config.ReviewConfig,
        "Look at suspicious photos in a browser, correct them, and see the effect.",
        "--image_dir=DIR|--model_dir=DIR [flags]",
        "xferlearn review --image_dir=photos",
    ),
    "sweep": Command(
        "xferlearn.commands.sweep",
        config.SweepConfig,
        "Train with lists of settings, and see which of them matter.",
        "--image_dir=DIR --NAME=VALUE,VALUE,... [flags]",
        "xferlearn sweep --image_dir=photos --learning_rate=0.001,0.01 --seed=0,1,2",
    ),
    "curve": Command(
        "xferlearn.commands.curve",
        config.CurveConfig,
        "See how accuracy grows with the number of photos.",
        "--image_dir=DIR [flags]",
        "xferlearn curve --image_dir=photos",
    ),
    "compare": Command(
        "xferlearn.commands.compare",
        config.CompareConfig,
        "Compare backbones by accuracy, speed and size.",
        "--image_dir=DIR --backbone=NAME,NAME,... [flags]",
        "xferlearn compare --image_dir=photos --backbone=efficientnet_lite0,mobilenet",
    ),
    "board": Command(
        "xferlearn.commands.board",
        config.BoardConfig,
        "Show the runs in TensorBoard.",
        "[--logs_dir=DIR] [flags]",
        "xferlearn board --logs_dir=logs",
    ),
}


_HELP = ("--help", "-h", "-help", "--helpfull")
_WIDTH = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code.

    Args:
        argv: the words after the program's name; None takes sys.argv.

    Returns:
        0 when all went well; 1 when something failed outside the user's control, an export does
        not agree with its model, `label` could not read a photo, or `evaluate` could read none;
        2 for the user's mistakes; 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name need not be valid in any encoding, and must not end a command.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except XferlearnError as error:
        tell(f"xferlearn: {as_flags(str(error))}")
        return error.exit_code
    except BrokenPipeError:
        # The reader (such as `head`) went away; point stdout elsewhere so that the interpreter's
        # own flush at exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "a file" if error.filename is None else error.filename
        tell(f"xferlearn: can't use {where}: {one_line(error)}.")
        return 1
    except Exception as error:
        # Asked by its name, TensorFlow's error for it does not have to be imported.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        tell(
            "xferlearn: the memory is full; what was cached so far is kept. Close other programs,"
            " or use smaller photos or batches, and run again."
        )
        return 1
    except KeyboardInterrupt:
        tell("xferlearn: interrupted; what was cached so far is kept.")
        return 130


def _run(words: list[str]) -> int:
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    if not words or words[0] in _HELP:
        say(_help())
        return 0
    name = words[0]
    if name == "--version":
        say(f"xferlearn {__version__}")
        return 0
    if name not in COMMANDS:
        raise UserError(
            f"There is no command {name!r}.{did_you_mean(name, COMMANDS)}"
            f" The commands are {', '.join(COMMANDS)}."
        )
    if any(word in _HELP for word in words[1:]):
        say(_command_help(name))
        return 0
    command = COMMANDS[name]
    settings = parse_settings(name, words[1:])
    return importlib.import_module(command.module).run(settings)


def parse_settings(name: str, words: Sequence[str]) -> Config:
    """Returns the settings that the words after a command's name ask for.

    Args:
        name: a key of `COMMANDS`.
        words: flags and positional words.

    Raises:
        UserError: on an unknown flag, a value of the wrong type, or a word too many.
    """
    command = COMMANDS[name]
    values = _flag_values(command.settings)
    try:
        rest = values([name, *words])[1:]
    except flags.UnrecognizedFlagError as error:
        near = did_you_mean(f"--{error.flagname}", [f"--{flag}" for flag in values])
        raise UserError(f"`xferlearn {name}` has no flag --{error.flagname}.{near}") from None
    except (flags.Error, ValueError) as error:  # absl has bare ValueErrors for --nofoo=value
        raise UserError(one_line(error)) from None
    names = [field.name for field in dataclasses.fields(command.settings)]
    given = {one: values[one].value for one in names if values[one].value is not None}
    return command.settings(**_with_positionals(name, given, rest))


def _with_positionals(name: str, given: dict[str, Any], words: list[str]) -> dict[str, Any]:
    for setting, (field, rules) in settings_of(COMMANDS[name].settings).items():
        if rules.positional and words:
            if takes_words(field):
                given[setting] = [*given.get(setting, ()), *words]
                words = []
            elif setting not in given:
                given[setting], words = words[0], words[1:]
    if words:
        raise UserError(
            f"`xferlearn {name}` takes no word {words[0]!r}; settings are written --name=value. "
            f"`xferlearn {name} --help` lists them."
        )
    return given


def _flag_values(config: type[Config]) -> flags.FlagValues:
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    settings = settings_of(config)
    for name, (field, rules) in settings.items():
        _define(name, field, values)
        for alias in rules.aliases:
            flags.DEFINE_alias(alias, name, flag_values=values)
    for word in keras_words(config):
        _define(word, settings[KERAS_WORDS[word].setting][0], values)
    return values


def _define(name: str, field: dataclasses.Field, values: flags.FlagValues) -> None:
    kinds: dict[type, Any] = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    define = kinds[value_type(field)]
    if takes_words(field):
        define = flags.DEFINE_multi_string
    elif takes_list(field):
        define = flags.DEFINE_string
    # The defaults are the config's: what is None here was not given.
    define(name, None, "", flag_values=values)


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {row.summary}" for name, row in COMMANDS.items())
    return (
        "Teach a pretrained network your own image classes.\n\n"
        "usage: xferlearn COMMAND [flags]\n\n"
        f"{commands}\n\n"
        "`xferlearn COMMAND --help` shows a command's flags. To begin:\n"
        f"  {COMMANDS['train'].example}"
    )


def _command_help(name: str) -> str:
    command = COMMANDS[name]
    lines = [
        command.summary,
        "",
        f"usage: xferlearn {name} {command.usage}",
        "",
        "example:",
        f"  {command.example}",
    ]
    section = ""
    for setting, (field, rules) in settings_of(command.settings).items():
        if rules.section != section:
            section = rules.section
            lines += ["", f"{section}:"]
        lines += _setting_help(setting, field, rules, keras_words(command.settings))
    return "\n".join(lines)


def _setting_help(
    name: str, field: dataclasses.Field, rules: Setting, words: Sequence[str]
) -> list[str]:
    kind = value_type(field)
    text = as_flags(rules.help)
    form = "PATH" if takes_path(field) else kind.__name__.upper()
    if rules.pairs:
        form = f"{rules.pairs}=NUMBER"
    if rules.choices:
        form = "|".join(rules.choices)
        if len(form) > _WIDTH // 2:
            form, text = "NAME", f"{text} Names: {', '.join(rules.choices)}."
    more = "[,...]" if takes_list(field) or rules.pairs else ""
    flag = f"--[no]{name}" if kind is bool else f"--{name}={form}{more}"
    if field.default not in (None, ()) and kind is not bool:
        text += f" Default: {flag_value(field.default)}."
    also = [f"--{alias}" for alias in rules.aliases]
    for word in words:
        if KERAS_WORDS[word].setting == name:
            also.append(f"--{word}{_as_share(word)}")
    if also:
        text += f" Also: {', '.join(also)}."
    indent = " " * 6
    filled = textwrap.fill(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return [f"  {flag}", filled]


def _as_share(word: str) -> str:
    return "" if KERAS_WORDS[word].times == 1 else " as a share, 0 to 1"
