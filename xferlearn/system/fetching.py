"""Copies on this machine of files and folders in buckets, for what can only read local ones.

A copy is a folder named after its address and after the sizes and change times of what it holds, so
it is never changed once it has its name: who reads it goes on reading what was there. Copies that
nobody has asked for in a month are removed.
"""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from xferlearn.errors import UserError, XferlearnError
from xferlearn.system.addresses import (
    address_below,
    bucket_reason,
    is_bucket,
    last_name,
    local_name,
    shown_address,
)
from xferlearn.system.files import (
    cache_folder,
    expire,
    remove_stale,
    replace_folder,
    temporary_folder,
    write_atomically,
)
from xferlearn.system.places import FileFound, Place, place_of

_KEPT = datetime.timedelta(days=30)
# A folder that changes more often than that while it is read is given up.
_MOST_READS = 5
# Beside a copy: of which files it is.
_LISTING = "listing.json"
# In the folder of all copies of an address: what lies in each of them.
_ADDRESS = "address.txt"
_FETCHED, _STAGED = "fetched", "staged"


def staging_folder(address: str) -> Path:
    """Returns a folder of this machine for what is made here and then put to an address.

    What is put there lies in it below any name and then the last one of the address.
    """
    return _folder_of(_STAGED, address)


def origin(path: str | Path) -> str:
    """Returns the address that a copy is of, or is meant for; of any other path, it itself.

    Example:
        >>> origin(fetched("s3://models/flowers", "`model`") / "labels.txt")
        's3://models/flowers/labels.txt'
    """
    root = cache_folder()
    parts = Path(path).parts[len(root.parts) :] if Path(path).is_relative_to(root) else ()
    # fetched/flowers-0f3a.../9c1e.../flowers/labels.txt
    if len(parts) < 4 or parts[0] not in (_FETCHED, _STAGED):
        return str(path)
    try:
        address = (root / parts[0] / parts[1] / _ADDRESS).read_text()
    except OSError:
        return str(path)
    return address_below(address, "/".join(parts[4:]))


def fetched(
    address: str | Path,
    what: str,
    *,
    skip: Callable[[str], bool] = lambda _: False,
    beside: Callable[[str], bool] = lambda _: False,
) -> Path:
    """Returns where a file or folder is on this machine; of one in a bucket, a copy of today.

    Args:
        address: a path, which is returned, or an address of a bucket.
        what: what it was given for, such as "`model`".
        skip: whether a file of a folder, by its name below it, is not needed.
        beside: whether a file that lies beside a file, by its name, is needed with it.

    Raises:
        UserError: when there is nothing at the address, or its bucket can't be reached.
        XferlearnError: when it changes again and again, or the copy can't be written.

    Example:
        >>> fetched("s3://models/flowers", "`model`")
        PosixPath('/home/ann/.cache/xferlearn/fetched/flowers-0f3a.../9c1e.../flowers')
    """
    if not is_bucket(address):
        return Path(address)
    address = str(address)
    expire(cache_folder() / _FETCHED, "*/*", _KEPT.total_seconds())
    try:
        for _ in range(_MOST_READS):
            place, files, one = _listed(address, what, skip, beside)
            kept = _folder_of(_FETCHED, address, place.address)
            copy = kept / hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
            if copy.is_dir() or _copied(
                place, files, copy, lambda: _listed(address, what, skip, beside)[1]
            ):
                os.utime(copy)
                return copy / last_name(place.address) / one
    except OSError as error:
        raise XferlearnError(
            f"Can't fetch {what} {shown_address(address)}: {bucket_reason(error)}."
        ) from None
    raise XferlearnError(
        f"{shown_address(address)} is changed again and again. Try when that has ended."
    )


@contextlib.contextmanager
def told_by_address(copy: Path) -> Iterator[None]:
    """Lets errors name the address of a copy where they name the copy."""
    try:
        yield
    except XferlearnError as error:
        shown = origin(copy)
        if shown == str(copy):
            raise
        raise type(error)(*(str(one).replace(str(copy), shown) for one in error.args)) from None


def _folder_of(kind: str, address: str, above: str = "") -> Path:
    folder = cache_folder() / kind / local_name(address)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _ADDRESS, (above or address).encode())
    return folder


def _listed(
    address: str, what: str, skip: Callable[[str], bool], beside: Callable[[str], bool]
) -> tuple[Place, list[FileFound], str]:
    """Returns the files at an address, below which folder, and which one it is of itself."""
    place = place_of(address, what)
    head, mark, options = address.partition("?")
    above, _, name = head.rstrip("/").rpartition("/")
    if not above.endswith("/"):
        folder = place_of(f"{above}{mark}{options}", what)
        found = folder.find(name)
        if found is not None:
            others = (one for one in folder.files() if one.name != name and beside(one.name))
            return folder, sorted([found, *others]), name
    files = sorted(
        one
        for one in place.files(below=True)
        # A bucket takes any name, also one that leads out of the copy.
        if not {"", ".."} & {*one.name.split("/")} and not skip(one.name)
    )
    if not files:
        raise UserError(f"Found nothing at {shown_address(address)}, given for {what}.")
    return place, files, ""


def _copied(
    place: Place, files: list[FileFound], copy: Path, now: Callable[[], list[FileFound]]
) -> bool:
    """Makes a copy; returns False where the files changed meanwhile, which may be parts of two.

    Of files that did not change it shares those of earlier copies.
    """
    former = _former(copy.parent)
    remove_stale(copy.parent)
    with temporary_folder(copy) as new:
        for one in files:
            target = new / last_name(place.address) / one.name
            target.parent.mkdir(parents=True, exist_ok=True)
            earlier = former.get(one)
            if earlier is not None and _linked(earlier, target):
                continue
            try:
                target.write_bytes(place.read(one.name))
            except FileNotFoundError:
                return False
        if now() != files:
            return False
        (new / _LISTING).write_text(json.dumps(files))
        replace_folder(copy, new)
    return True


def _former(kept: Path) -> dict[FileFound, Path]:
    found: dict[FileFound, Path] = {}
    for listing in kept.glob(f"*/{_LISTING}"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            files = [FileFound(*one) for one in json.loads(listing.read_text())]
            below = [one for one in listing.parent.iterdir() if one.is_dir()]
            found |= {one: below[0] / one.name for one in files if below}
    return found


def _linked(earlier: Path, target: Path) -> bool:
    try:
        os.link(earlier, target)
    except OSError:
        return False
    return True
