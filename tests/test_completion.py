"""Completion: what a shell offers after the words that somebody typed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from xferlearn.cli import COMMANDS, main
from xferlearn.commands.completion import bash_script, fish_script, zsh_script
from xferlearn.config.base import settings_of

# What bash itself does: it parts words at = too, and calls the function with their list.
ASK = """
{script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_xferlearn
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return {"bash": bash_script(), "zsh": zsh_script(), "fish": fish_script()}


def complete(script: str, words: str, folder: Path) -> list[str]:
    """Returns what bash offers; the words are parted by blanks, the last one is being typed."""
    shown = " ".join(f"'{word}'" for word in words.split(" "))
    done = subprocess.run(
        ["bash", "-c", ASK.format(script=script, words=shown)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("xferlearn ", list(COMMANDS)),
        ("xferlearn ex", ["export"]),
        ("xferlearn train --model", ["--model_dir="]),
        ("xferlearn train --model-", ["--model_dir="]),
        ("xferlearn train --overw", ["--overwrite"]),
        ("xferlearn evaluate --mod", ["--model="]),
        ("xferlearn train --engine = ", ["auto", "tensorflow", "openvino"]),
        ("xferlearn train --engine = o", ["openvino"]),
        ("xferlearn train --engine=o", ["--engine=openvino"]),
        ("xferlearn train --engine o", ["openvino"]),
        ("xferlearn train --on-bad-image = s", ["skip"]),
        ("xferlearn train --backbone = efficientnet_lite", [
            "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"
        ]),
        ("xferlearn train --image_dir = ph", ["photos"]),
        ("xferlearn train --labels = ph", ["photos", "photos.csv"]),
        ("xferlearn train ph", ["photos"]),
        ("xferlearn train --overwrite ph", ["photos"]),
        ("xferlearn train --seed = ", []),
        ("xferlearn label --model = m ph", ["photos", "photos.csv"]),
        ("xferlearn completion ", ["bash", "zsh", "fish"]),
        ("xferlearn nonsense ph", []),
    ],
)  # fmt: skip
def test_bash_offers_what_fits(
    typed: str, expected: list[str], scripts: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.csv").touch()
    assert sorted(complete(scripts["bash"], typed, tmp_path)) == sorted(expected)


def test_every_script_has_every_flag(scripts: dict[str, str]) -> None:
    for name, command in COMMANDS.items():
        assert f" -a {name} -d " in scripts["fish"]
        for setting in settings_of(command.settings):
            assert f"seen_subcommand_from {name}' -l {setting} " in scripts["fish"]
            assert f"'--{setting}" in scripts["zsh"]
            assert f"--{setting}" in scripts["bash"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_script(
    shell: str, scripts: dict[str, str], tmp_path: Path
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on this machine")
    path = tmp_path / "script"
    path.write_text(scripts[shell], encoding="utf-8")
    subprocess.run([program, "-n", str(path)], check=True, timeout=20)


def test_the_command_prints_a_script(
    scripts: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "fish"]) == 0
    assert capsys.readouterr().out == scripts["fish"] + "\n"
