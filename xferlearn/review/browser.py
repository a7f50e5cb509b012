"""Opens the page in a browser without telling its address to whoever lists processes."""

import contextlib
import html
import os
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>Review</title>
<p><a href="{url}">To the review</a></p>
"""


@contextlib.contextmanager
def browser_at(url: str) -> Iterator[bool]:
    """Opens a browser with a file that leads to an address, and removes the file in the end.

    A browser's arguments can be read by everyone on a machine, and the address has the token; the
    file is the person's alone.

    Args:
        url: the address.

    Yields:
        Whether a browser was found.

    Example:
        >>> with browser_at(review.url) as found:
        ...     input("" if found else f"Open {review.url}. Enter ends the review.")
    """
    file, name = tempfile.mkstemp(prefix="review-", suffix=".html")  # mode 600
    try:
        with os.fdopen(file, "w", encoding="utf-8") as page:
            page.write(_PAGE.format(url=html.escape(url)))
        yield webbrowser.open(Path(name).as_uri())
    finally:
        with contextlib.suppress(OSError):  # whoever cleans up may have been here
            os.unlink(name)
