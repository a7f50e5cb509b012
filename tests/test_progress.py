"""Progress: a bar on a terminal, a line every 30 s in a log, nothing where nothing is wanted."""

import io
import sys

import pytest

from xferlearn.system.progress import LogLines, StageClock, duration, progress_bar, working
from xferlearn.system.terminal import tell


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


def test_the_start_is_left_out_of_the_rate(clock, capsys):
    with LogLines("bottlenecks", 4_000, "photo", clock=clock) as job:
        clock.now += 50
        job.hold()
        job.update(100)
        assert job.sentence() == "bottlenecks: 100 of 4,000 photos"
        job.restart()
        for _ in range(9):
            clock.now += 10
            job.update(100)
    assert capsys.readouterr().err.splitlines() == [
        "bottlenecks: 100 of 4,000 photos",
        "bottlenecks: 400 of 4,000 photos, 10 per second, 6 min left",
        "bottlenecks: 700 of 4,000 photos, 10 per second, 5 min 30 s left",
        "bottlenecks: 1,000 of 4,000 photos, 10 per second, 5 min left",
        "bottlenecks: 1,000 of 4,000 photos, 10 per second",
    ]


def test_a_first_unit_that_starts_an_engine_is_left_out_of_the_rate(clock, capsys):
    with LogLines("labels", 100, "photo", starts=True, clock=clock) as job:
        clock.now += 20
        job.update()
        clock.now += 10
        job.update(10)
    assert capsys.readouterr().err.startswith("labels: 11 of 100 photos, 1 per second, 1 min 29 s")


def test_the_step_in_progress_is_said(clock, capsys):
    with LogLines("export", 3, "format", clock=clock) as job:
        job.update()
        clock.now += 40
        job.now("onnx")
        job.update()
    assert capsys.readouterr().err.startswith(
        "export: 2 of 3 formats, 20 s per format, 20 s left, "
    )


def test_a_stage_within_another_is_counted_once(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("xferlearn.system.progress.time.perf_counter", clock)
    stages = StageClock()
    with stages.stage("training"):
        clock.now += 1
        with stages.stage("views"):
            clock.now += 20
        clock.now += 2
    assert stages.seconds == {"training": 3, "views": 20}


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
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("bottlenecks", 40, done=10, verbose=verbose) as job:
        for _ in range(30):
            job.update()
    seen = terminal.getvalue()
    assert ("bottlenecks" in seen and "10 of 40" in seen) == shown
    assert seen.split("\x1b[K")[-1].strip() == ""


@pytest.mark.parametrize(
    ("verbose", "term", "shown"), [(1, "xterm", True), (0, "xterm", False), (1, "dumb", False)]
)
def test_a_stage_is_shown_while_it_goes_on(verbose, term, shown, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    with working("loading TensorFlow", verbose):
        assert terminal.getvalue().endswith("loading TensorFlow ...") == shown
        tell("a warning")
    seen = terminal.getvalue()
    if term == "dumb":
        assert seen == "a warning\n"
    else:
        assert "\r\x1b[Ka warning\n" in seen
        assert seen.endswith("\x1b[K" if shown else "warning\n")


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
