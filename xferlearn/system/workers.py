"""Threads beside the main one, also for work that may never end, such as reading from a drive."""

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
# Seconds: for threads that have nothing to do, and at the end of the process for busy ones.
_MOMENT, _PATIENCE = 0.2, 2.0


@contextlib.contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Has a thread work while the block runs, and waits for it in the end.

    Args:
        work: makes or keeps something that is used later. If it fails, nothing is there then, and
            whoever needs it makes it and sees the error.

    Example:
        >>> with meanwhile(network.model):
        ...     fit_head(config, prepared)
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        yield


class Workers:
    """Threads that do what is given to them, in its order.

    Unlike those of an executor they end with the process: a thread that hangs in the kernel can't
    be stopped, and nobody waits for it longer than `_PATIENCE`.
    """

    def __init__(self, count: int) -> None:
        """Starts threads."""
        self._waiting: queue.SimpleQueue[tuple[Future, Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._threads: list[threading.Thread] = []
        for _ in range(count):
            self._start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Returns the future result of a piece of work."""
        future: Future[T] = Future()
        self._waiting.put((future, work))
        return future

    def give_up(self, future: Future[T], result: T) -> bool:
        """Ends a piece of work that hangs: with this result, and with another thread for the next.

        Returns:
            False where it ended by itself in the same moment.
        """
        try:
            future.set_result(result)
        except InvalidStateError:
            return False
        self._start()
        return True

    def close(self) -> None:
        """Drops the work that no thread has begun, and ends the threads."""
        with contextlib.suppress(queue.Empty):
            while item := self._waiting.get_nowait():
                item[0].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        _join(self._threads, _MOMENT)
        if busy := [thread for thread in self._threads if thread.is_alive()]:
            # Native code does not survive that the interpreter ends under it.
            atexit.register(_join, busy, _PATIENCE)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="xferlearn-read", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                _done(*item)
            except InvalidStateError:
                return  # it was given up, and another thread is in this one's place
            del item  # the next one may take long to come


def _join(threads: list[threading.Thread], seconds: float) -> None:
    """Waits for threads, but no longer than this for all of them."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _done(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
