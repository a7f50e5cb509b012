"""Photos in buckets as a user names them: an object, a folder, or a pattern such as `*.jpg`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from xferlearn.errors import UserError
from xferlearn.photos.folders.bucket_listing import list_bucket
from xferlearn.photos.folders.columns import FilesBuilder, bytes_of, text_of
from xferlearn.photos.folders.listing import Folder, PassedOver
from xferlearn.photos.pixels.formats import SUFFIXES
from xferlearn.system.places import FileFound, place_of
from xferlearn.system.text import one_line

_MAGIC = ("*", "[")  # "?" begins the options of an address


def add_objects(builder: FilesBuilder, address: str) -> tuple[str, ...]:
    """Adds the photos that an address names to others.

    Args:
        builder: the others.
        address: an object, listed also where it is not there; a folder, for all photos in it and
            below; or a pattern whose `*`, `[abc]` and `**` are as in patterns of paths.

    Returns:
        What a person should know of what was found, one line each.

    Raises:
        UserError: on a folder without photos, a pattern that matches none, or a bucket that can't
            be listed.
    """
    bare, mark, options = address.partition("?")
    if any(sign in bare for sign in _MAGIC):
        parts = bare.split("/")
        first = next(i for i, part in enumerate(parts) if any(sign in part for sign in _MAGIC))
        root = "/".join(parts[:first])
        top = list_bucket(place_of(root + mark + options, "photos"), PassedOver())
        if not _add_matching(builder, top, root, parts[first:], mark + options):
            raise UserError(f"Nothing matches {address}.")
        return ()
    folder, _, name = bare.rpartition("/")
    one = _object(folder + mark + options, name) if name and not folder.endswith("/") else None
    if one is not None:
        builder.add(f"{folder}/", bytes_of(name + mark + options), -1, one.size, one.changed)
        return ()
    passed = PassedOver()
    top = list_bucket(place_of(address, "photos"), passed)
    warnings = passed.warnings(address)
    if not _add_matching(builder, top, bare.rstrip("/"), (), mark + options):
        if name.lower().endswith(SUFFIXES) and not top.folders:
            builder.add(f"{folder}/", bytes_of(name + mark + options), -1)
            return warnings
        raise UserError(" ".join((f"Found no photos in folder {address}.", *warnings)))
    return warnings


def _object(folder: str, name: str) -> FileFound | None:
    place = place_of(folder, "photos")
    try:
        return place.find(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Can't look at {place.address_of(name)}: {one_line(error)}. Check the address, and"
            " that this machine may read it."
        ) from None


def _add_matching(
    builder: FilesBuilder, top: Folder, root: str, pattern: Sequence[str], options: str
) -> int:
    number = 0
    for start, names in top.runs(root):
        inside = start[len(root) + 1 :].split("/")[:-1]
        for name, size, changed in names.rows():
            if _matches(pattern, [*inside, text_of(name)]):
                builder.add(start, name + bytes_of(options), -1, size, changed)
                number += 1
    return number


def _matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Returns whether a pattern matches a path, or a folder that it lies in."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(pattern[1:], path[start:]) for start in range(len(path)))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])
