"""The package in Python: what editors, TAB, help, type checkers and errors show of it."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xferlearn
from xferlearn import config
from xferlearn.cli import COMMANDS, main
from xferlearn.config.base import Config, keras_words, settings_of
from xferlearn.config.keras_words import KERAS_WORDS
from xferlearn.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS: dict[str, type[Config]] = {
    "train": config.TrainConfig,
    "audit": config.AuditConfig,
    "evaluate": config.EvaluateConfig,
    "decide": config.DecideConfig,
    "diff": config.DiffConfig,
    "export": config.ExportConfig,
    "sweep": config.SweepConfig,
    "curve": config.CurveConfig,
    "compare": config.CompareConfig,
    "load_classifier": config.ModelConfig,
    "open_review": config.ReviewConfig,
}


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- What is public


def test_dir_and_tab_show_the_public_names_and_nothing_else() -> None:
    script = (
        "import rlcompleter, xferlearn\n"
        "print(dir(xferlearn) == sorted(xferlearn.__all__))\n"
        "xferlearn.train, xferlearn.export\n"  # modules that were loaded do not show either
        "print(dir(xferlearn) == sorted(xferlearn.__all__))\n"
        "complete = rlcompleter.Completer({'xferlearn': xferlearn}).complete\n"
        "found = [complete('xferlearn.', i) for i in range(100)]\n"
        "print(*{one.split('.')[1].rstrip('()') for one in found if one}, sep=' ')"
    )
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    before, after, tab = done.stdout.splitlines()
    assert (before, after) == ("True", "True")
    assert {*tab.split(), "__version__"} == set(xferlearn.__all__)


def test_help_of_the_package_is_a_page_of_contents() -> None:
    page = inspect.getdoc(xferlearn) or ""
    listed = re.findall(r"^    (\w+) {2,}\S", page, re.MULTILINE)
    assert sorted([*listed, "__version__"]) == sorted(xferlearn.__all__)
    assert "`__version__`" in page
    for name in xferlearn.__all__:
        assert name == "__version__" or inspect.getdoc(getattr(xferlearn, name)), name


# --- Signatures


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_have_every_setting_with_its_default(name: str) -> None:
    function, settings = getattr(xferlearn, name), settings_of(FUNCTIONS[name])
    parameters = inspect.signature(function).parameters
    assert set(parameters) == {*settings, *keras_words(FUNCTIONS[name])}
    for setting, (field, _) in settings.items():
        assert parameters[setting].default == field.default
        assert "Setting" not in str(parameters[setting])
    for word in keras_words(FUNCTIONS[name]):
        assert parameters[word].default is None
    positional = [one for one in parameters.values() if one.kind is not one.KEYWORD_ONLY]
    assert [one.name for one in positional] == (["model"] if name == "load_classifier" else [])
    returned = inspect.signature(function).return_annotation
    assert isinstance(returned, type)
    assert function.__annotations__["return"] is returned


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_describe_every_parameter(name: str) -> None:
    function, settings = getattr(xferlearn, name), settings_of(FUNCTIONS[name])
    page = inspect.getdoc(function) or ""
    sections = re.findall(r"^(\w+):$", page, re.MULTILINE)
    assert sections == ["Args", "Returns", "Raises", "Example"]
    text = " ".join(page.split())
    for setting, (_, rules) in settings.items():
        assert f" {setting}: {rules.help}" in text
    for word in keras_words(FUNCTIONS[name]):
        assert re.search(rf" {word}: [^.]*`{KERAS_WORDS[word].setting}`", text)
    # What stands on the command line as a flag is a parameter here.
    assert not re.search(r"--[a-z]", page)


SNIPPET = """
from pathlib import Path
import xferlearn

result = xferlearn.train(
    image_dir=Path("photos"), model_dir="out", learning_rate=1, export=["onnx"], batch_size=32,
    test_size=0.2, steps=None,
)
steps: int = result.training.steps
xferlearn.sweep(image_dir="photos", learning_rate=[0.1, 1], seed=(0, 1), batch_size="16,32")
xferlearn.compare(dataset="elpv", backbone=["mobilenet"], split_seed=3)
xferlearn.curve(image_dir="photos", draws=2)
xferlearn.evaluate(model="out", image_dir="photos")
xferlearn.export(model="out", format="onnx,tflite")
labels: list[tuple[str, float]] = xferlearn.load_classifier("out", device="cpu").label("a.jpg")

xferlearn.train(learning_rate="fast", nonsense=3)  # wrong: arg-type call-arg
xferlearn.train("photos")  # wrong: call-arg
xferlearn.train(batch_size=0.5)  # wrong: arg-type
xferlearn.sweep(learning_rate=object())  # wrong: arg-type
xferlearn.export(model=3)  # wrong: arg-type
xferlearn.load_classifier("out", "more")  # wrong: call-arg
xferlearn.load_classifier(input_hight=3)  # wrong: call-arg
xferlearn.evaluate(format="json")  # wrong: call-arg
number: int = xferlearn.train(image_dir="photos", model_dir="out")  # wrong: assignment
"""


def test_type_checkers_see_the_parameters(tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text(SNIPPET)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found: dict[int, set[str]] = {}
    for number, code in re.findall(r"snippet\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M):
        found.setdefault(int(number), set()).add(code)
    expected = {
        number: set(wrong.split())
        for number, line in enumerate(SNIPPET.splitlines(), 1)
        for wrong in re.findall(r"# wrong: (.*)", line)
    }
    assert found == expected, done.stdout + done.stderr


def test_settings_have_their_types_everywhere() -> None:
    untyped = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "xferlearn").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for one in (*node.args.args, *node.args.kwonlyargs, node.args.kwarg)
        if one is not None
        and (one.arg == "settings" or (one.arg == "config" and not path.name.startswith("keras_")))
        and isinstance(one.annotation, ast.Name)
        and one.annotation.id == "Any"
    ]
    assert untyped == []


# --- Values


def test_sequences_and_keras_words_reach_the_work(
    photo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[config.SweepConfig] = []
    monkeypatch.setattr("xferlearn.experiments.sweeping.sweep_with", asked.append)
    xferlearn.sweep(image_dir=photo_dir, learning_rate=[0.005, 1.0], batch_size=[16, 32])
    xferlearn.sweep(image_dir=photo_dir, learning_rate="0.005,1.0", train_batch_size="16,32")
    assert asked[0] == asked[1]
    assert asked[0].values("train_batch_size") == (16, 32)
    assert asked[0].image_dir == str(photo_dir)


# --- Errors in both forms


@pytest.mark.parametrize(
    ("name", "settings", "flags", "python", "command_line"),
    [
        (
            "train",
            {"image_dir": "/no/where", "model_dir": "/no/thing"},
            "--image_dir=/no/where --model_dir=/no/thing",
            "Expected `image_dir` to be a folder. Found nothing at /no/where.",
            "Expected --image_dir to be a folder. Found nothing at /no/where.",
        ),
        (
            "train",
            {"image_dir": "a b/photos", "model_dir": "a b"},
            "--image_dir=a\\ b/photos --model_dir=a\\ b",
            "`image_dir='a b/photos'` lies in `model_dir='a b'`, which is replaced as a whole."
            " Choose a `image_dir` outside of it.",
            "--image_dir='a b/photos' lies in --model_dir='a b', which is replaced as a whole."
            " Choose a --image_dir outside of it.",
        ),
        (
            "train",
            {"model_dir": "out", "learning_rate": -1.0},
            "--model_dir=out --learning_rate=-1",
            "Expected `learning_rate` to be above 0. Received: -1.",
            "Expected --learning_rate to be above 0. Received: -1.",
        ),
        (
            "train",
            {"batch_size": 1, "train_batch_size": 1},
            "--batch_size=1 --train_batch_size=1",
            "Expected either `train_batch_size` or `batch_size`, which are one setting."
            " Received: both.",
            "Expected either --train_batch_size or --batch_size, which are one setting."
            " Received: both.",
        ),
        (
            "evaluate",
            {"model": "m"},
            "--model=m",
            "Expected `image_dir`. Received: nothing.",
            "Expected --image_dir. Received: nothing.",
        ),
        (
            "train",
            {"image_dir": "photos", "model_dir": "out", "validation_percentage": 90.0},
            "--image_dir=photos --model_dir=out --validation_percentage=90",
            "Expected `testing_percentage` and `validation_percentage` to leave something to train"
            " on. Received: 10 + 90 percent.",
            "Expected --testing_percentage and --validation_percentage to leave something to train"
            " on. Received: 10 + 90 percent.",
        ),
    ],
)
def test_errors_name_parameters_in_python_and_flags_on_the_command_line(
    name: str,
    settings: dict[str, Any],
    flags: str,
    python: str,
    command_line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UserError) as caught:
        getattr(xferlearn, name)(**settings)
    assert str(caught.value) == python
    words = [word.replace("\\ ", " ") for word in re.split(r"(?<!\\) ", flags)]
    assert main([name, *words]) == 2
    assert capsys.readouterr().err == f"xferlearn: {command_line}\n"


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no setting `learning_rat`\. Did you mean `learning_rate"):
        xferlearn.train(image_dir="x", model_dir="y", learning_rat=1)  # type: ignore[call-arg]


def test_warnings_name_parameters_in_python_and_flags_on_the_command_line(
    photo_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"backbone": "mobilenet_0.25_128", "weights": "none", "device": "cpu"}
    classifier = xferlearn.load_classifier(**network)
    assert classifier.predictor.warnings == (
        "with random weights (`weights='none'`) the labels mean nothing.",
    )
    photo = next((photo_dir / "red").iterdir())
    flags = [f"--{name}={value}" for name, value in network.items()]
    assert main(["label", *flags, str(photo)]) == 0
    assert capsys.readouterr().err == (
        "warning: with random weights (--weights=none) the labels mean nothing.\n"
    )


def _strings(tree: ast.Module) -> list[tuple[int, str]]:
    """Strings of a module that are no docstrings, with their lines."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_messages_are_written_with_parameters() -> None:
    names = {name for command in COMMANDS.values() for name in settings_of(command.settings)}
    flag = re.compile(rf"--({'|'.join(sorted(names | KERAS_WORDS.keys()))})\b")
    # What is to be pasted into a shell, there also for programs of others.
    commands = re.compile(
        r"^ *xferlearn .*|`xferlearn [^`]*|^--model_dir=out/best$|^--\w+$"
        r"|\b(?:paddle2onnx|optimum-cli|tensorflowjs_converter) .*"
    )
    written = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / "xferlearn").rglob("*.py"))
        if path.parent.name != "cli" and path.parts[-2:] != ("commands", "table.py")
        for line, text in _strings(ast.parse(path.read_text(encoding="utf-8")))
        if flag.search(commands.sub("", text))
    ]
    assert written == []


# --- Keras' backend


@pytest.mark.parametrize(
    "call",
    [
        "load_backbone('mobilenet', weights='none')",
        "build_head(8, 2)",
        "build_classifier(None, None)",
        "load_classifier(backbone='mobilenet')",
    ],
)
def test_another_backend_of_keras_is_one_clear_line(call: str) -> None:
    script = f"import xferlearn\ntry: xferlearn.{call}\nexcept xferlearn.UserError as e: print(e)"
    done = run_python(script, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "Expected Keras to run on TensorFlow. Received: jax. Set KERAS_BACKEND=tensorflow before"
        " Python starts.\n"
    )


def test_another_backend_ends_a_command_without_a_traceback(
    tmp_path: Path, photo_dir: Path
) -> None:
    words = ["train", f"--image_dir={photo_dir}", f"--model_dir={tmp_path / 'm'}"]
    done = run_python(f"import xferlearn.cli as c; exit(c.main({words!r}))", KERAS_BACKEND="torch")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "xferlearn: Expected Keras to run on TensorFlow. Received: torch."
    )
    assert done.stderr.count("\n") == 1
