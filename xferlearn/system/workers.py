"""Threads for work that may never end, such as reading from a network drive that is gone."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

T = TypeVar("T")


class Workers:
    """Threads that do what is given to them, in its order.

    Unlike those of an executor they end with the process: a thread that hangs in the kernel can't
    be stopped, and nobody waits for it.
    """

    def __init__(self, count: int) -> None:
        """Starts threads."""
        self._waiting: queue.SimpleQueue[tuple[Future, Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._count = 0
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
        for _ in range(self._count):
            self._waiting.put(None)

    def _start(self) -> None:
        self._count += 1
        threading.Thread(target=self._work, name="xferlearn-read", daemon=True).start()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                _done(*item)
            except InvalidStateError:
                return  # it was given up, and another thread is in this one's place
            del item  # the next one may take long to come


def _done(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
