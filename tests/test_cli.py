"""The command line as people type it: real words in, one line and an exit code out."""

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from xferlearn.cli import COMMANDS, main, parse_settings
from xferlearn.config.base import keras_words, settings_of
from xferlearn.config.wording import flag_value
from xferlearn.errors import UserError
from xferlearn.system.folders import check_outside
from xferlearn.system.version import __version__

ROOT = Path(__file__).resolve().parent.parent


def words(command: str) -> list[str]:
    return shlex.split(command)


def fails(command: str, capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Runs a command that must fail, and returns its one line."""
    assert main(words(command)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("xferlearn: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("command", ["", "--help", "-h", "help", "--helpfull"])
def test_help_lists_the_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(command)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "usage: xferlearn COMMAND" in out
    for name, row in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(row.summary)}$", out, re.MULTILINE)


def test_help_for_a_command_that_is_not_there_is_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["help", "nonsense"]) == 2
    assert "There is no command 'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_its_own_flags_and_no_others(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = set()
    for command in (f"{name} --help", f"help {name}", f"{name} -h", f"{name} x --help --nonsense"):
        assert main(words(command)) == 0
        outputs.add(capsys.readouterr().out)
    (short,) = outputs
    assert main([name, "--help_all"]) == main([name, "--helpfull"]) == 0
    out = capsys.readouterr().out
    out = out[: len(out) // 2]
    shown = re.findall(r"^  --(?:\[no\])?(\w+)(?:=|$)", out, re.MULTILINE)
    settings = settings_of(COMMANDS[name].settings)
    assert shown == sorted(shown, key=shown.index)
    assert set(shown) == set(settings)
    common = re.findall(r"^  --(?:\[no\])?(\w+)(?:=|$)", short, re.MULTILINE)
    if len(settings) > 16:
        assert common == [one for one in shown if settings[one][1].common]
        assert 4 <= len(common) <= 13
        assert f"`xferlearn {name} --help_all` also shows {len(shown) - len(common)} other" in short
    else:
        assert short == out
    for example in COMMANDS[name].examples:
        assert f"\n  {example}\n" in short + "\n"
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    for setting, (field, rules) in settings.items():
        for choice in rules.choices or ():
            assert re.search(rf"--{setting}=\S*{choice}|Names: .*{choice}", text)
        if isinstance(field.default, (int, float, str)) and not isinstance(field.default, bool):
            assert f"Default: {flag_value(field.default)}." in text
        for alias in rules.aliases:
            assert f"--{alias}" in text
        # Help speaks of flags, Python's docstrings of parameters.
        assert f"`{setting}`" not in text
    for word in keras_words(COMMANDS[name].settings):
        assert re.search(rf"Also: [^.]*--{word}\b", text)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["version"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert lines[0] == f"xferlearn {__version__}"
    assert f"tensorflow {metadata.version('tensorflow')}" in lines
    assert "tensorrt" in lines[-1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("trian", "no command 'trian'. Did you mean train?"),
        ("TRAIN", "no command 'TRAIN'. Did you mean train?"),
        ("predct --model=m x.jpg", "no command 'predct'. Did you mean label?"),
        ("test --model=m", "no command 'test'. `xferlearn evaluate` measures a model on photos"),
        ("lable --model=m x.jpg", "no command 'lable'. Did you mean label?"),
        ("xyzzy", "no command 'xyzzy'. The commands are train, label, evaluate"),
        ("--image_dir=x", "no command '--image_dir=x'"),
        ("train --learning_rat=1", "train` has no flag --learning_rat. Did you mean --learning"),
        ("train --architectur=x", "no flag --architectur. Did you mean --backbone?"),
        ("train --top_k=1", "`xferlearn train` has no flag --top_k."),
        ("train -x", "`xferlearn train` has no flag --x."),
        ("train photos more --model_dir=m", "train` takes no word 'more'; settings are written --"),
        ("train photos --image_dir=a", "train` takes no word 'photos'; settings are written --"),
        ("train photos --data=a", "train` takes no word 'photos'; settings are written --"),
        ("train photos lr=1", "Settings are written with dashes: --lr=1"),
        ("train photos --epochs=10", "no flag --epochs. --how_many_training_steps counts batches"),
        ("train photos --model=m", "--model. The pretrained network is --backbone, the folder of"),
        ("train photos --early-stopping", "`xferlearn train` has no flag --early-stopping."),
        ("label --model=m x.jpg --epochs=10", "`xferlearn label` has no flag --epochs."),
        ("train --data_dir=photos", "neither. --data_dir is where a --dataset is kept; your own"),
        ("completion", "Expected --shell. Received: nothing."),
        ("completion csh", "--shell to be one of bash, zsh, fish. Received: 'csh'."),
        ("train --image_dir", "image_dir"),
        (
            "train --learning_rate=fast --image_dir=a --model_dir=b",
            "--learning_rate to be a number. Received: 'fast'.",
        ),
        (
            "train --seed=1.5 --image_dir=a --model_dir=b",
            "--seed to be a whole number. Received: '1.5'.",
        ),
        (
            "train --seed=9223372036854775808 --image_dir=a --model_dir=b",
            "at most 9223372036854775807. Received: 9223372036854775808.",
        ),
        (
            "train --image_dir=a --model_dir=/dev/null/m",
            "Can't write to /dev/null: /dev/null is not a folder. Choose another --model_dir",
        ),
        (
            "train --overwrite=maybe --image_dir=a --model_dir=b",
            "--overwrite to be True or False. Received: 'maybe'.",
        ),
        (
            "train --learning_rate=-1 --image_dir=a --model_dir=b",
            "--learning_rate to be above 0. Received: -1.",
        ),
        ("train --learning_rate=nan --image_dir=a --model_dir=b", "a finite number"),
        ("train --class_weight=balance --image_dir=a --model_dir=b", "Did you mean balanced?"),
        ("train --backbone=mobilnet --image_dir=a --model_dir=b", "Did you mean mobilenet"),
        ("train --batch_size=0 --image_dir=a --model_dir=b", "--batch_size to be at least 1"),
        ("train --test_size=20 --image_dir=a --model_dir=b", "--test_size to be at most 0.9"),
        (
            "train --batch_size=1 --train_batch_size=100 --image_dir=a --model_dir=b",
            "either --train_batch_size or --batch_size, which are one setting. Received: both.",
        ),
        ("train --export=onxx --image_dir=a --model_dir=b", "Did you mean onnx?"),
        ("sweep --learning_rate=0.1,fast --image_dir=a", "--learning_rate to be a number. Rec"),
        ("train --model_dir=b", "either --image_dir or --dataset. Received: neither"),
        ("train --model_dir=b --image_dir=a --dataset=elpv", "--dataset. Received: both"),
        ("train --image_dir=/", "Expected --model_dir"),
        ("train --image_dir=/no/where --model_dir=/no/thing", "Found nothing at /no/where"),
        ("label", "Received: neither"),
        (
            "label --model=m",
            "Expected photos, folders or glob patterns to label. Received: nothing.",
        ),
        ("label --model=/no/where x.jpg", "/no/where"),
        ("label --model=m x.jpg --top_k=0", "--top_k to be at least 1"),
        ("label --model=m x.jpg --format=xml", "one of text, json, csv"),
        ("evaluate --image_dir=a", "Expected --model. Received: nothing."),
        ("evaluate --model=m", "Expected --image_dir. Received: nothing."),
        ("evaluate", "Expected --model and --image_dir. Received: nothing."),
        ("export", "Expected --model and --format. Received: nothing."),
        ("inspect", "path of a model"),
        ("inspect /no/where", "/no/where"),
        ("inspect a b", "takes no word 'b'"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_exit_code_2(
    command: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in fails(command, capsys)


def test_all_mistakes_of_a_command_line_are_answered_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = "train --epoch 3 --seed=a --batch-size=0 --overwrite=perhaps --nonsense x --lr=0"
    assert main(words(command)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.removeprefix("xferlearn: ") for line in err.splitlines()] == [
        "`xferlearn train` has no flag --epoch. --how_many_training_steps counts batches, not"
        " passes over the photos; the passes of fine-tuning are --fine_tune_epochs.",
        "`xferlearn train` has no flag --nonsense.",
        "Expected --overwrite to be True or False. Received: 'perhaps'.",
        "Expected --learning_rate to be above 0. Received: 0.",
        "Expected --seed to be a whole number. Received: 'a'.",
        "Expected --batch_size to be at least 1. Received: 0.",
    ]


def test_a_value_for_a_negated_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert "overwrite" in fails("train --nooverwrite=3 --image_dir=a --model_dir=b", capsys)


def test_flags_become_settings() -> None:
    settings = parse_settings(
        "train",
        words(
            "--image_dir='my photos' --model_dir m --learning_rate=0.5 --overwrite --seed=-3"
            " --hidden_units=7 --noprint_misclassified_test_images"
        ),
    )
    assert settings.changed() == {
        "image_dir": "my photos",
        "model_dir": "m",
        "learning_rate": 0.5,
        "overwrite": True,
        "seed": -3,
        "hidden_units": 7,
    }


@pytest.mark.parametrize(
    ("name", "command", "setting", "value"),
    [
        ("train", "--image_dir=a --model_dir=m --architecture=x", "backbone", "x"),
        ("train", "photos", "image_dir", "photos"),
        ("train", "photos/daisies/", "model_dir", "out/daisies"),
        ("train", "--overwrite photos --model-dir=m", "image_dir", "photos"),
        ("train", "photos --model-dir --labels", "model_dir", "--labels"),
        ("train", "photos --no-overwrite", "overwrite", False),
        ("train", "photos --overwrite=false", "overwrite", False),
        ("train", "photos --print-misclassified-test-images", "overwrite", False),
        ("train", "photos --batch-size=3 -seed=4", "train_batch_size", 3),
        ("train", "photos --lr=1e-3", "learning_rate", 0.001),
        ("train", "--data=photos --imgsz=128", "image_size", 128),
        ("train", "-- --photos", "image_dir", "--photos"),
        ("sweep", "photos --lr=1,2", "learning_rate", (1.0, 2.0)),
        ("audit", "photos --page=a.html", "image_dir", "photos"),
        ("review", "photos", "image_dir", "photos"),
        ("curve", "photos --draws=2", "image_dir", "photos"),
        ("compare", "photos", "image_dir", "photos"),
        ("evaluate", "photos --model_dir=m", "model", "m"),
        ("label", "--model=m lr=1.jpg", "photos", ("lr=1.jpg",)),
        ("completion", "bash", "shell", "bash"),
        ("train", "--image_dir=a --model_dir=m --summaries_dir=x", "logs_dir", "x"),
        ("train", "--image_dir=a --model_dir=m --batch_size=7", "train_batch_size", 7),
        ("train", "--image_dir=a --model_dir=m --steps 7", "how_many_training_steps", 7),
        ("train", "--image_dir=a --model_dir=m --test_size=0.25", "testing_percentage", 25.0),
        ("train", "--image_dir=a --model_dir=m --export=onnx,tflite", "export", ("onnx", "tflite")),
        ("sweep", "--image_dir=a --batch_size=7,8", "train_batch_size", (7, 8)),
        ("label", "--graph=x a.jpg", "model", "x"),
        ("label", "--model=m --image=x", "photos", ("x",)),
        ("label", "--model=m --image=x y z", "photos", ("x", "y", "z")),
        ("label", "--model=m x --image=y --top_k=2 z", "photos", ("y", "x", "z")),
        ("label", "--model=m -- -x.jpg", "photos", ("-x.jpg",)),
        ("evaluate", "--graph=x --image_dir=a", "model", "x"),
        ("inspect", "x", "model", "x"),
        ("inspect", "--graph=x", "model", "x"),
    ],
)
def test_aliases_and_words(name: str, command: str, setting: str, value: object) -> None:
    assert getattr(parse_settings(name, words(command)), setting) == value


def test_parsing_twice_does_not_remember() -> None:
    first = parse_settings("label", words("--model=m x --top_k=2"))
    second = parse_settings("label", words("--model=n y"))
    assert first.changed() == {"model": "m", "photos": ("x",), "top_k": 2}
    assert second.changed() == {"model": "n", "photos": ("y",)}


def test_a_users_mistake_found_late_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="no flag --x"):
        parse_settings("train", ["--x=1"])


def test_an_existing_model_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "metadata.json").write_text('{"format_version": 1, "labels": [], "input": {}}')
    (model / "model.keras").touch()
    # The photos don't exist: a command that began to work would say so.
    line = fails(f"train --image_dir={tmp_path}/none --model_dir={model}", capsys)
    assert "holds a model already" in line
    assert "--overwrite" in line
    line = fails(f"train --image_dir={tmp_path}/none --model_dir={model} --overwrite", capsys)
    assert "Found nothing at" in line
    (model / "notes").mkdir()
    line = fails(f"train --image_dir={tmp_path}/none --model_dir={model} --overwrite", capsys)
    assert "holds notes, which is not part of a model" in line
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    for text in ("", '{"title": "my thesis"}'):
        if text:
            (tmp_path / "mine" / "metadata.json").write_text(text)
        for more in ("", "--overwrite"):
            line = fails(f"train --image_dir=x --model_dir={tmp_path}/mine {more}", capsys)
            assert "is not a model folder" in line
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("--image_dir={root}/m/photos", "--image_dir={root}/m/photos"),
        ("--image_dir={root}/p --logs_dir={root}/m/logs", "--logs_dir={root}/m/logs"),
        ("--image_dir={root}/p --bottleneck_dir={root}/m", "--bottleneck_dir={root}/m"),
        ("--dataset=elpv --data_dir={root}/m/tfds", "--data_dir={root}/m/tfds"),
    ],
)
def test_nothing_that_is_needed_lies_in_the_model_folder(
    command: str, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, flag = (text.format(root=tmp_path) for text in (command, flag))
    line = fails(f"train --model_dir={tmp_path}/m {command}", capsys)
    assert f"{flag} lies in --model_dir={tmp_path}/m, which is replaced as a whole" in line
    assert not (tmp_path / "m").exists()


def test_too_few_photos_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "daisy").mkdir(parents=True)
    line = fails(f"train --image_dir={tmp_path}/photos --model_dir={tmp_path}/m", capsys)
    assert "Expected at least two classes" in line
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("train --model_dir={photos}/m", "--model_dir={photos}/m"),
        ("train --model_dir={photos}/red/m", "--model_dir={photos}/red/m"),
        ("train --model_dir={root}/m --logs_dir={photos}", "--logs_dir={photos}"),
        ("train --model_dir={root}/m --bottleneck_dir={photos}/b", "--bottleneck_dir={photos}/b"),
        ("sweep --logs_dir={photos}/logs", "--logs_dir={photos}/logs"),
        ("curve --logs_dir={root}/l --output_dir={photos}/out", "--output_dir={photos}/out"),
    ],
)
def test_nothing_is_written_among_the_photos(
    command: str, flag: str, photo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, flag = (text.format(photos=photo_dir, root=tmp_path) for text in (command, flag))
    before = sorted(photo_dir.iterdir())
    line = fails(f"{command} --image_dir={photo_dir}", capsys)
    assert f"{flag} lies in --image_dir={photo_dir}, where every folder is a class" in line
    assert sorted(photo_dir.iterdir()) == before


def test_a_hidden_folder_among_the_photos_is_no_class(photo_dir: Path) -> None:
    check_outside(str(photo_dir), "logs_dir", photo_dir / ".logs")
    check_outside(str(photo_dir), "logs_dir", f"{photo_dir}-logs")


def run_python(*arguments: str, **settings: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        **settings,
    )


LIGHT = """
import sys
from xferlearn.cli import COMMANDS, main
for words in (["--help"], ["version"], ["completion", "bash"], ["train", "--oops"], ["trian"],
              ["train"], *([name, "--help"] for name in COMMANDS)):
    main(words)
heavy = ("tensorflow", "keras", "tensorflow_datasets", "pyarrow", "onnx", "tensorboard", "h5py")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def test_help_and_mistakes_import_nothing_heavy() -> None:
    done = run_python("-c", LIGHT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


def test_module_and_script_are_the_same_program() -> None:
    done = run_python("-m", "xferlearn", "train", "--imge_dir=x")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "xferlearn: `xferlearn train` has no flag --imge_dir. Did you mean --image_dir?\n"
    )
    setup = (ROOT / "setup.cfg").read_text()
    assert "xferlearn = xferlearn.cli:run_and_exit" in setup


THREADS = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from xferlearn.cli import running

def late():
    time.sleep(0.2)
    print("pool")

def later():
    threading.main_thread().join()
    print("thread", end="")

def run(words):
    ThreadPoolExecutor(1).submit(late)
    threading.Thread(target=later).start()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return 3

running._run = run
running.run_and_exit()
"""


def test_a_program_ends_after_its_threads() -> None:
    done = run_python("-c", THREADS)
    assert (done.returncode, done.stdout, done.stderr) == (3, "pool\nthread", "")


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "xferlearn", "train", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 1


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xferlearn.cli.running.parse_settings", interrupt)
    line = fails("train --image_dir=a --model_dir=b", capsys, code=130)
    assert "interrupted" in line


def test_a_file_that_fails_where_nobody_expected_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: object) -> int:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("xferlearn.commands.board.run", fail)
    line = fails("board", capsys, code=1)
    assert line == "xferlearn: can't use /some/file: Permission denied.\n"
