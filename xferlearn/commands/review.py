"""`xferlearn review`: a page that asks about suspicious photos, until Ctrl-C."""

import threading
import webbrowser

from xferlearn.config import ReviewConfig
from xferlearn.review.opening import open_review_with
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
    with open_review_with(config) as review:
        say("\n".join(review.facts))
        try:
            say(f"The page is at {review.url} (Ctrl-C ends it)", flush=True)
            if config.open and not webbrowser.open(review.url):
                tell("No browser was found to open it in.")
            threading.Event().wait()
        except KeyboardInterrupt:
            say()
    answers = review.session.answers
    number = len(answers.corrections)
    next_command = f"; {review.command}" if number else ""
    say(f"{count(number, 'correction')} in {answers.path}{next_command}")
    return 0
