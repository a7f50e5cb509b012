"""`xferlearn review`: a page that asks about suspicious photos, until Ctrl-C."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any

from xferlearn.config import ReviewConfig
from xferlearn.config.wording import as_flags
from xferlearn.review.browser import browser_at
from xferlearn.review.opening import Review, open_review_with
from xferlearn.system.terminal import say, tell
from xferlearn.system.text import count


def run(config: ReviewConfig) -> int:
    """Opens the review, prints its address, and serves the page until Ctrl-C.

    Args:
        config: the command's settings.

    Returns:
        0.

    Raises:
        UserError: a setting or the photos can't be used, or another review has the corrections.
    """
    with contextlib.ExitStack() as opened:
        review = opened.enter_context(open_review_with(config))
        say(as_flags("\n".join(review.facts)))
        try:
            say(f"The page is at {review.url} (Ctrl-C ends it)", flush=True)
            if config.open and not opened.enter_context(browser_at(review.url)):
                tell("No browser was found to open it in.")
            threading.Event().wait()
        except KeyboardInterrupt:
            say()
            _end_at_once_when_asked_again(review)
            if review.session.is_learning:
                tell("Ending; the heads still learn for a moment. Ctrl-C again ends at once.")
    answers = review.session.answers
    number = len(answers.corrections)
    next_command = f"; {review.command}" if number else ""
    say(f"{count(number, 'correction')} in {answers.path}{next_command}")
    return 0


def _end_at_once_when_asked_again(review: Review) -> None:
    def end(*_: Any) -> None:
        review.session.answers.close()
        sys.stdout.flush()
        # Python would wait for threads, and TensorFlow would not let it.
        os._exit(130)

    signal.signal(signal.SIGINT, end)
