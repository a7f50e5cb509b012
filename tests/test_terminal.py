"""What a terminal gets and a file does not: colours, and lines that are parted at words."""

import io
import sys

import pytest

from xferlearn.cli import main
from xferlearn.system.terminal import say, say_csv, say_json, tell

ESCAPE = "\x1b["


class Terminal(io.StringIO):
    """What a program finds where a stream is a terminal."""

    def isatty(self) -> bool:
        return True


def terminals(monkeypatch: pytest.MonkeyPatch) -> tuple[Terminal, Terminal]:
    """Returns new stdout and stderr, both terminals of 60 columns."""
    made = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", made[0])
    monkeypatch.setattr(sys, "stderr", made[1])
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return made


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = terminals(monkeypatch)
    say("next:\n  xferlearn board\nplain text: of no colour")
    tell("warning: one")
    assert out.getvalue() == (
        "\x1b[1mnext:\x1b[0m\n\x1b[36m  xferlearn board\x1b[0m\nplain text: of no colour\n"
    )
    assert "\x1b[33mwarning:\x1b[0m one\n" in err.getvalue()


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
    ],
)
def test_who_wants_no_colours_gets_none(
    variables: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, _ = terminals(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    say("next:")
    assert (ESCAPE in out.getvalue()) == coloured


def test_a_file_gets_no_colours_unless_they_are_forced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    say("next:")
    tell("warning: one")
    monkeypatch.setenv("FORCE_COLOR", "1")
    say("next:")
    assert capsys.readouterr() == ("next:\n\x1b[1mnext:\x1b[0m\n", "warning: one\n")


def test_what_programs_read_has_no_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    say_json({"next:": "xferlearn: x"}, indent=2)
    say_csv(["warning:", "  xferlearn board"])
    assert main(["backbones", "--format=json"]) == 0
    assert ESCAPE not in capsys.readouterr().out


def test_names_can_not_colour_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = terminals(monkeypatch)
    say("\x1b[31mphoto.jpg")
    assert "\x1b[31m" not in out.getvalue()


def test_long_messages_are_parted_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = terminals(monkeypatch)
    assert main(["train", "--epochs=3"]) == 2
    lines = err.getvalue().replace("\r\x1b[K", "").splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 60 for line in lines[1:])
    assert lines[0].startswith(
        "\x1b[1;31mxferlearn:\x1b[0m `xferlearn train` has no flag --epochs."
    )
