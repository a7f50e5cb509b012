"""What a person sees while work goes on.

On a terminal and in a notebook it is a bar with a sentence, and in a log, where nothing can be
overwritten, one sentence every 30 s.
"""

import contextlib
import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from xferlearn.system.terminal import overwrites, show_status, tell
from xferlearn.system.text import count, plural_of

LOG_SECONDS = 30.0
"""Time between two lines of a log; shorter jobs write none."""

_NOTEBOOK_SECONDS = 0.2
_TERMINAL_SECONDS = 0.1
_MANY = 100
# A rate says nothing before that: photos are counted when their batch ends.
_RATED_SECONDS = 0.5
# Signs of a bar on a terminal.
_LENGTH = 10


class Progress(Protocol):
    """A job that is counted, as a context manager."""

    def update(self, count: int = 1) -> object:
        """Counts units that are done."""

    def now(self, step: str) -> None:
        """Says which step is in progress."""

    def hold(self) -> None:
        """Shows no rate until `restart`, such as while an engine starts."""

    def restart(self) -> None:
        """Leaves the time so far out of the rate, and of what is estimated with it."""

    def close(self) -> None:
        """Ends the display."""

    def __enter__(self) -> Any:
        """Returns the job itself."""

    def __exit__(self, *error: Any) -> None:
        """Ends the display."""


def progress_bar(
    stage: str,
    total: int | None,
    unit: str = "photo",
    *,
    done: int = 0,
    starts: bool = False,
    verbose: int = 1,
) -> Progress:
    """Returns the display of a job, on stderr or below the notebook's cell.

    Args:
        stage: what is going on, such as "bottlenecks".
        total: number of units; None where it is not known.
        unit: what is counted, singular.
        done: number of units that an earlier run has done.
        starts: whether an engine starts with the first unit, which is then left out of the rate.
        verbose: 0 shows nothing, 1 shows progress.

    Example:
        >>> with progress_bar("bottlenecks", len(photos)) as bar:
        ...     for photo in photos:
        ...         bar.update()
    """
    if not verbose:
        return Count(stage, total, unit, done, starts)
    kind = NotebookBar if in_notebook() else TerminalBar if overwrites() else LogLines
    return kind(stage, total, unit, done, starts)


@contextlib.contextmanager
def working(on: str, verbose: int = 1) -> Iterator[None]:
    """Shows on a terminal what is going on while nothing can be counted.

    Args:
        on: such as "loading TensorFlow".
        verbose: 0 shows nothing, 1 shows progress.
    """
    if verbose:
        show_status(f"{on} ...")
    try:
        yield
    finally:
        if verbose:
            show_status("")


def shows_bars(verbose: int) -> bool:
    """Returns whether other libraries' progress bars are to be shown, which overwrite themselves.

    Args:
        verbose: 0 shows nothing, 1 shows progress.
    """
    return bool(verbose) and (in_notebook() or overwrites())


def in_notebook() -> bool:
    """Returns whether this is the kernel of a Jupyter notebook, or of what works like one."""
    # Whoever runs in IPython has imported it.
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Count:
    """A job that is counted and not shown; what shows it in a notebook or a log builds on this.

    Attributes:
        total: number of units; None where it is not known.
        done: number of units that are done.
    """

    # Between two times that it is shown; this one never is.
    _seconds = float("inf")

    def __init__(
        self,
        stage: str,
        total: int | None,
        unit: str,
        done: int = 0,
        starts: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.done = total, done
        self._stage, self._unit, self._step = stage, unit, ""
        self._clock, self._started = clock, clock()
        self._before = self._unrated = done
        self._rated_from = self._shown_at = self._started
        self._held = self._starts = starts
        self._lock = threading.Lock()

    def update(self, count: int = 1) -> None:
        """Counts units that are done."""
        # Photos are counted by the thread that reads and by the one that computes.
        with self._lock:
            self.done += count
            now = self._clock()
            if self._starts:
                self._starts = self._held = False
                self._rated_from, self._unrated = now, self.done
            if now - self._shown_at >= self._seconds:
                self._shown_at = now
                self._show(self.sentence())

    def now(self, step: str) -> None:
        """Says which step is in progress."""
        self._step = step
        self._show_step()

    def hold(self) -> None:
        """Shows no rate until `restart`, such as while an engine starts."""
        self._held = True

    def restart(self) -> None:
        """Leaves the time so far out of the rate, and of what is estimated with it."""
        with self._lock:
            self._held, self._rated_from, self._unrated = False, self._clock(), self.done

    def _show(self, sentence: str) -> None:
        """Shows how far the job is."""

    def _show_step(self) -> None:
        """Shows a new step where that can be overwritten."""

    def close(self) -> None:
        """Ends the display."""

    def __enter__(self) -> "Count":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def sentence(self, *, ended: bool = False) -> str:
        """Returns such as "bottlenecks: 1,200 of 50,000 photos, 380 per second, 2 min left"."""
        seconds = self._clock() - self._rated_from
        finished = self.done - self._unrated
        amount = f"{self.done:,} of {self.total:,}" if self.total else f"{self.done:,}"
        parts = [f"{self._stage}: {amount} {plural_of(self.total or self.done, self._unit)}"]
        if finished and seconds >= _RATED_SECONDS and not self._held:
            rate = finished / seconds
            slow = f"{duration(1 / rate)} per {self._unit}"
            parts.append(slow if rate < 1 else f"{rate:,.0f} per second")
            if self.total and self.done < self.total and not ended:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self._step and not ended:
            parts.append(self._step)
        return ", ".join(parts)

    def last_sentence(self) -> str:
        """Returns such as "bottlenecks: 50,000 photos in 2 min, 380 per second"."""
        if self.total is not None and self.done < self.total:
            return self.sentence(ended=True)
        now = self._clock()
        seconds, finished = now - self._started, self.done - self._before
        rated = self.done - self._unrated
        per_second = rated / max(now - self._rated_from, 1e-9)
        # Of few units the rate says less than the time.
        rate = f", {per_second:,.0f} per second" if rated >= _MANY else ""
        return f"{self._stage}: {count(finished, self._unit)} in {duration(seconds)}{rate}"


class LogLines(Count):
    """A job that writes one line to stderr every `LOG_SECONDS`."""

    _seconds = LOG_SECONDS

    def _show(self, sentence: str) -> None:
        tell(sentence)

    def close(self) -> None:
        """Writes the last line of a job that has written others."""
        if self._shown_at > self._started:
            self._show(self.last_sentence())


class TerminalBar(Count):
    """A job that is shown in the last line of a terminal, and goes when it ends."""

    _seconds = _TERMINAL_SECONDS

    def __init__(self, *job: Any, **rest: Any) -> None:
        super().__init__(*job, **rest)
        self._show(self.sentence())

    def _show(self, sentence: str) -> None:
        bar = ""
        if self.total:
            full = _LENGTH * min(self.done, self.total) // self.total
            bar = f"[{'=' * full}{' ' * (_LENGTH - full)}] "
        show_status(f"{bar}{sentence}")

    def _show_step(self) -> None:
        self._show(self.sentence())

    def close(self) -> None:
        """Removes the line."""
        show_status("")


class NotebookBar(Count):
    """A job that is shown below the notebook's cell, and stays there as one line.

    Not `tqdm.notebook`: it needs ipywidgets, and a saved page shows its bars only with a script
    from elsewhere. Without ipywidgets, `tqdm.auto` adds a red line to the page with every update.
    """

    _seconds = _NOTEBOOK_SECONDS

    def __init__(self, *job: Any, **rest: Any) -> None:
        super().__init__(*job, **rest)
        from IPython.display import display

        self._display = display(_bar(self, self.sentence()), raw=True, display_id=True)

    def _show(self, sentence: str) -> None:
        self._display.update(_bar(self, sentence), raw=True)

    def _show_step(self) -> None:
        self._show(self.sentence())

    def close(self) -> None:
        """Leaves the last line on the page."""
        self._show(self.last_sentence())


def _bar(job: Count, sentence: str) -> dict[str, str]:
    value = f' value="{min(job.done, job.total)}" max="{job.total}"' if job.total else ""
    return {
        "text/plain": sentence,
        "text/html": (
            '<div class="xferlearn-progress" style="display: flex; align-items: center; gap: 10px">'
            f'<progress{value} style="flex: 0 0 120px; accent-color: #c65102">'
            f"</progress><span>{html.escape(sentence)}</span></div>"
        ),
    }


def duration(seconds: float) -> str:
    """Returns a time in words of at most two units: "3.1 s", "40 s", "2 min 5 s", "1 h 20 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


class StageClock:
    """Measures the stages of a command, and shows on a terminal which of them goes on.

    Attributes:
        seconds: wall time of each stage so far, in order; without that of stages within it.

    Example:
        >>> clock = StageClock()
        >>> with clock.stage("train"):
        ...     work()
        >>> clock.seconds
        {"train": 1.2}
    """

    def __init__(self, verbose: int = 0) -> None:
        """Makes a clock.

        Args:
            verbose: 0 shows nothing, 1 the stages that have words.
        """
        self.seconds: dict[str, float] = {}
        self._verbose = verbose
        self._within, self._on = 0.0, ""

    @contextlib.contextmanager
    def stage(self, name: str, on: str = "") -> Iterator[None]:
        """Adds the block's wall time to stage `name`.

        Args:
            name: of the stage.
            on: what is shown meanwhile, such as "loading TensorFlow".
        """
        started, before, outer = time.perf_counter(), self._within, self._on
        self._within, self._on = 0.0, on or outer
        self.seconds.setdefault(name, 0.0)
        try:
            with working(on, self._verbose if on else 0):
                yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] += elapsed - self._within
            self._within, self._on = before + elapsed, outer
            if outer and self._verbose:
                show_status(f"{outer} ...")
