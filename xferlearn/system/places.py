"""Folders on this machine and in buckets, in one form; buckets through pyarrow's file systems.

An address without a scheme is a folder of this machine. `s3://`, `gs://` and `hdfs://` are those
of Amazon S3 and what speaks like it, of Google Cloud Storage and of Hadoop. Who may read and write
there is the business of their libraries: credentials come from the environment or the files that
their own tools write, and never stand in an address, which is shown and recorded.
"""

import abc
import contextlib
import datetime
import functools
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import SplitResult, parse_qs, urlsplit

from xferlearn.errors import UserError
from xferlearn.system.addresses import (
    ANYBODY,
    address_below,
    bucket_reason,
    check_address,
    is_bucket,
    shown_address,
)
from xferlearn.system.files import write_atomically

if TYPE_CHECKING:
    import pyarrow.fs

# Bytes that are uploaded in one request, which is done or not; more are several parts.
_ONE_REQUEST = 5 * 2**20
# What is being written, here and in file systems that have folders.
_TEMPORARY = re.compile(r"(.*/)?\.(.+\.)?[0-9a-f]{8}\.tmp", re.DOTALL)
_SECONDS_TO_CONNECT, _SECONDS_PER_REQUEST = 10.0, 60.0


class FileFound(NamedTuple):
    """One file of a place.

    Attributes:
        name: path below the place, with `/`.
        size: bytes.
        changed: time of the last change, ns since 1970; 0 where it is unknown.
    """

    name: str
    size: int
    changed: int


class Place(abc.ABC):
    """A folder, on this machine or in a bucket; it need not exist before something is written.

    Two places are equal where their addresses are. Methods raise OSError where something outside
    fails, FileNotFoundError for what is not there.

    Attributes:
        address: as it was given, without a slash at the end.
        local: the folder, where it is on this machine; else None.
    """

    address: str
    local: Path | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    @abc.abstractmethod
    def child(self, name: str) -> "Place":
        """Returns the folder with a name, or a path with `/`, below this one."""

    @abc.abstractmethod
    def address_of(self, name: str) -> str:
        """Returns the address of a file below it, for messages and records."""

    @abc.abstractmethod
    def files(
        self, *, below: bool = False, odd: Callable[[str], object] = lambda name: None
    ) -> Iterator[FileFound]:
        """Yields its files, in no certain order; none where there is no such folder.

        Those that are being written, or were when a kill came, are not among them.

        Args:
            below: whether those of folders in it are meant too.
            odd: called with the names of objects that no folder could hold, such as `a//b`, which
                are passed over.
        """

    @abc.abstractmethod
    def find(self, name: str) -> FileFound | None:
        """Returns a file, or None where there is none with that name."""

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""

    @abc.abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Returns a file, open for reading at any position; of a bucket only parts are fetched."""

    @abc.abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Writes a file that is there as a whole or not at all, and replaces one that is there."""

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Removes a file; does nothing where there is none."""


class _LocalPlace(Place):
    def __init__(self, path: str | Path) -> None:
        self.address = str(path)
        self.local: Path = Path(path)

    def child(self, name: str) -> Place:
        return _LocalPlace(self.local / name)

    def address_of(self, name: str) -> str:
        return str(self.local / name)

    def files(
        self,
        *,
        below: bool = False,
        odd: Callable[[str], object] = lambda name: None,
    ) -> Iterator[FileFound]:
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = os.scandir(self.local / folder)
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    name = f"{folder}{entry.name}"
                    if entry.is_dir():
                        if below:
                            waiting.append(f"{name}/")
                        continue
                    if _TEMPORARY.fullmatch(name):
                        continue
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:  # removed meanwhile
                        continue
                    yield FileFound(name, stat.st_size, stat.st_mtime_ns)

    def find(self, name: str) -> FileFound | None:
        path = self.local / name
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if path.is_dir() else FileFound(name, stat.st_size, stat.st_mtime_ns)

    def read(self, name: str) -> bytes:
        return (self.local / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self.local / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)

    def remove(self, name: str) -> None:
        (self.local / name).unlink(missing_ok=True)


class _Bucket(Place):
    """A folder of a file system of pyarrow.

    Attributes:
        system: the file system.
        path: of the folder there.
    """

    def __init__(self, address: str, system: "pyarrow.fs.FileSystem", path: str) -> None:
        self.address = address
        self.system = system
        self.path = path

    def child(self, name: str) -> Place:
        return _Bucket(self.address_of(name), self.system, self._path(name))

    def address_of(self, name: str) -> str:
        return address_below(self.address, name)

    def files(
        self, *, below: bool = False, odd: Callable[[str], object] = lambda name: None
    ) -> Iterator[FileFound]:
        from pyarrow.fs import FileSelector, FileType

        def listed(path: str, recursive: bool) -> Iterator[FileFound]:
            selector = FileSelector(path, recursive=recursive, allow_not_found=True)
            for found in self.system.get_file_info(selector):
                name = found.path[len(self.path) + 1 :] if self.path else found.path
                if not all(name.split("/")):
                    # Asked for what is below, pyarrow would list the folder above once more.
                    odd(name)
                elif found.type == FileType.File:
                    if not _TEMPORARY.fullmatch(found.path):
                        yield FileFound(name, found.size or 0, found.mtime_ns or 0)
                # All that is below at once would take a kilobyte of memory per file.
                elif below and not recursive:
                    yield from listed(found.path, True)

        yield from listed(self.path, False)

    def find(self, name: str) -> FileFound | None:
        from pyarrow.fs import FileType

        (found,) = self.system.get_file_info([self._path(name)])
        if found.type != FileType.File:
            return None
        return FileFound(name, found.size or 0, found.mtime_ns or 0)

    def read(self, name: str) -> bytes:
        with self.system.open_input_stream(self._path(name), compression=None) as file:
            return file.readall()

    def open(self, name: str) -> BinaryIO:
        return self.system.open_input_file(self._path(name))

    def write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        objects = self.system.type_name in ("s3", "gcs")
        if objects and len(content) <= _ONE_REQUEST:
            self._write(path, content)
            return
        # Pyarrow completes an upload of which a part failed: half of it would be there.
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/.{last}.{uuid.uuid4().hex[:8]}.tmp".removeprefix("/")
        if folder and not objects:
            self.system.create_dir(folder, recursive=True)
        try:
            self._write(temporary, content)
            self.system.move(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.system.delete_file(temporary)
            raise

    def _write(self, path: str, content: bytes) -> None:
        with self.system.open_output_stream(path, compression=None) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        if self.find(name) is not None:
            self.system.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}".removeprefix("/")


def place_of(address: str | Path, what: str = "a folder") -> Place:
    """Returns a folder on this machine or in a bucket; it need not exist.

    Args:
        address: a path, or an address of a bucket.
        what: what it was given for, such as "`image_dir`".

    Raises:
        UserError: when its scheme is not supported, it holds credentials, or its file system can't
            be reached.

    Example:
        >>> place_of("s3://flowers/photos").child("roses").read("1.jpg")[:3]
        b'\\xff\\xd8\\xff'
    """
    check_address(what, address)
    text = str(address)
    if not is_bucket(text):
        return _LocalPlace(address)
    head, mark, options = text.partition("?")
    head = head.rstrip("/") if head.rstrip("/").count("/") > 1 else head
    text = f"{head}{mark}{options}"
    parts = urlsplit(text)
    try:
        system = file_system(parts.scheme.lower(), parts.netloc, parts.query)
    except Exception as error:  # of several libraries
        raise UserError(
            f"Can't reach {what} {shown_address(head)}: {bucket_reason(error)}. Check"
            " the address, and that this machine may use it."
        ) from None
    return _Bucket(text, system, _path_of(parts))


def _path_of(parts: SplitResult) -> str:
    """Returns where a file system of pyarrow has what an address names."""
    if parts.scheme.lower() == "hdfs":
        return parts.path or "/"
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


@functools.cache
def file_system(scheme: str, host: str, options: str) -> "pyarrow.fs.FileSystem":
    """Returns the file system of addresses that begin alike; it is made once per process.

    Args:
        scheme: one of `SCHEMES`.
        host: what stands between `//` and the next `/`.
        options: what stands behind `?`, as pyarrow's addresses have it: `region`,
            `endpoint_override`, `scheme`.

    Raises:
        Exception: of pyarrow's, where it can't be reached.
    """
    from pyarrow import fs

    user, _, bucket = host.rpartition("@")
    if scheme == "gs":
        # Its own limit is a quarter of an hour.
        limit = datetime.timedelta(seconds=_SECONDS_PER_REQUEST)
        return fs.GcsFileSystem(anonymous=user == ANYBODY, retry_time_limit=limit)
    if scheme == "hdfs":
        return fs.FileSystem.from_uri(f"hdfs://{host}/{'?' * bool(options)}{options}")[0]
    stated = {name: values[-1] for name, values in parse_qs(options).items()}
    endpoint = (
        stated.get("endpoint_override")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    region = (
        stated.get("region")
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket))
    )
    return fs.S3FileSystem(
        region=region,
        endpoint_override=endpoint,
        scheme=stated.get("scheme")
        or ("http" if (endpoint or "").startswith("http:") else "https"),
        anonymous=user == ANYBODY,
        connect_timeout=_SECONDS_TO_CONNECT,
        request_timeout=_SECONDS_PER_REQUEST,
        # Photos are read by many threads, each through a connection of its own.
        background_writes=False,
        # Small files are one request instead of three.
        allow_delayed_open=True,
    )
