"""Progress: a bar on a terminal, a line every 30 s in a log, nothing where nothing is wanted."""

import io
import sys

import pytest

from xferlearn.system.progress import LogLines, duration, progress_bar


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_log_gets_one_line_every_30_seconds(clock, capsys):
    with LogLines("bottlenecks", 50_000, "photo", clock=clock) as job:
        for _ in range(60):
            clock.now += 1
            job.update(380)
    assert capsys.readouterr().err.splitlines() == [
        "bottlenecks: 11,400 of 50,000 photos, 380 per second, 1 min 42 s left",
        "bottlenecks: 22,800 of 50,000 photos, 380 per second, 1 min 12 s left",
        # It ended early: nothing is left to wait for.
        "bottlenecks: 22,800 of 50,000 photos, 380 per second",
    ]


def test_a_long_job_ends_with_its_whole_time(clock, capsys):
    with LogLines("fine-tuning", 4, "step", clock=clock) as job:
        for _ in range(4):
            clock.now += 25
            job.update()
    assert capsys.readouterr().err.splitlines() == [
        "fine-tuning: 2 of 4 steps, 25 s per step, 50 s left",
        "fine-tuning: 4 of 4 steps, 25 s per step",
        "fine-tuning: 4 steps in 1 min 40 s",
    ]


def test_a_job_that_goes_on_counts_what_was_done_but_not_its_time(clock, capsys):
    with LogLines("fine-tuning", 100, "step", done=90, clock=clock) as job:
        clock.now += 40
        job.update(4)
    assert "94 of 100 steps, 10 s per step, 1 min left" in capsys.readouterr().err


def test_an_unknown_total_has_no_time_left(clock, capsys):
    with LogLines("labels", None, "photo", clock=clock) as job:
        clock.now += 31
        job.update()
    assert capsys.readouterr().err.splitlines() == [
        "labels: 1 photo, 31 s per photo",
        "labels: 1 photo in 31 s",
    ]


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_short_job_leaves_no_line_in_a_log(verbose, capsys):
    with progress_bar("bottlenecks", 3, verbose=verbose) as job:
        for _ in range(3):
            job.update()
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """What a program finds where its stderr is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("verbose", "shown"), [(1, True), (0, False)])
def test_a_terminal_shows_a_bar_and_removes_it(verbose, shown, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("bottlenecks", 40, done=10, verbose=verbose) as job:
        for _ in range(30):
            job.update()
    seen = terminal.getvalue()
    assert ("bottlenecks" in seen and "10/40" in seen) == shown
    assert seen.split("\r")[-1].strip() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (600, "10 min"),
        (3599, "1 h"),
        (4800, "1 h 20 min"),
        (360_000, "100 h"),
    ],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words
