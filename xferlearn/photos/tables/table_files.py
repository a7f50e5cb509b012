"""Which files are tables, told apart from photos without opening them."""

import os
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.pixels.formats import SUFFIXES

# Files whose columns can hold photos.
ARROW_ENDINGS = (".parquet", ".arrow", ".feather")
TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")


def arrow_files_below(folder: str) -> list[str]:
    """Returns the Parquet and Arrow files of a folder that holds no photos, sorted; else nothing.

    It looks into the folder and into those in it, and no further than to the first photo, so a
    folder of photos costs nothing.

    Raises:
        OSError: when a folder can't be read.
    """
    found: list[str] = []
    places = [folder]
    for place in places:
        with os.scandir(place) as listed:
            for entry in listed:
                name = entry.name.lower()
                if name.startswith("."):
                    continue
                if name.endswith(SUFFIXES):
                    return []
                if name.endswith(ARROW_ENDINGS):
                    found.append(entry.path)
                elif place == folder and entry.is_dir():
                    places.append(entry.path)
    return sorted(found)


def holds_tables(path: str | Path) -> bool:
    """Returns whether a path is that of Parquet or Arrow files, not of a folder of photos.

    Raises:
        UserError: for a table in text, which can't hold photos.
    """
    path = str(path)
    if os.path.isfile(path):
        if path.lower().endswith(TEXT_ENDINGS):
            raise UserError(f"{path} is a table, not a folder of photos. Give it as `labels`.")
        return path.lower().endswith(ARROW_ENDINGS)
    try:
        return os.path.isdir(path) and bool(arrow_files_below(path))
    except OSError:
        return False  # the reader of folders says what is wrong with it
