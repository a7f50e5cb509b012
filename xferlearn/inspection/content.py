"""What a file or folder shows of itself without being parsed as a model; nothing in it is run."""

import json
import pickletools
import re
import zipfile
from functools import cached_property
from itertools import islice
from pathlib import Path

from xferlearn.inspection.readers.wire import DAMAGE, Budget, MalformedError, fields
from xferlearn.inspection.source import ModelSource

_MOST_FILES = 10_000
_MOST_TEXT = 4 * 2**20
_START_BYTES = 2**20
# What pickles of protocol 0 and 1 start with; later ones start with 0x80 and their number.
_OLD_PICKLES = (b"(", b"]", b"}", b")", b"c", b"I", b"K", b"l", b"d")


class Content:
    """What a file or folder shows of itself without being parsed as a model."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.path: Path = source.path
        self.name = source.path.name.lower()
        self.head = source.head

    @cached_property
    def tail(self) -> bytes:
        """The last 16 bytes of the file."""
        if self.source.is_folder:
            return b""
        with self.path.open("rb") as file:
            file.seek(max(self.source.size - 16, 0))
            return file.read(16)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names in the folder, or of a zip archive's members; none of other files."""
        if self.source.is_folder:
            return frozenset(entry.name for entry in islice(self.path.iterdir(), _MOST_FILES))
        if not self.head.startswith(b"PK"):
            return frozenset()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return frozenset(archive.namelist()[:_MOST_FILES])
        except (OSError, *DAMAGE):
            return frozenset()

    @cached_property
    def text(self) -> str:
        """The file's text, where it is text of at most 4 MiB; else its start; "" for others."""
        start = self.head[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start or any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start):
            return ""
        with self.path.open("rb") as file:
            return str(file.read(_MOST_TEXT), "utf-8-sig", "replace").lstrip()

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of a JSON object; none of other files."""
        if not self.text.startswith("{"):
            return frozenset()
        try:
            held = json.loads(self.text)
        except (ValueError, RecursionError):
            # Longer than 4 MiB, or no JSON; the first keys are enough to tell.
            return frozenset(re.findall(r'"(\w+)"\s*:', self.text[:2000]))
        return frozenset(held) if isinstance(held, dict) else frozenset()

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the outermost fields of a protocol buffer written as text."""
        found = re.findall(r"^([A-Za-z]\w*)\s*[:{<]", self.text[:200_000], re.MULTILINE)
        return tuple(dict.fromkeys(found))

    @cached_property
    def protocol_fields(self) -> frozenset[tuple[int, bool]]:
        """The outermost fields of a protocol buffer, each with whether it is a number.

        Unlike `wire.outer_fields` of any numbers, for what is no format that is read.
        """
        if self.source.is_folder:
            return frozenset()
        data = self.source.data
        try:
            held = islice(fields(data, Budget(len(data))), _MOST_FILES)
            return frozenset((field, isinstance(value, int)) for field, value in held)
        except MalformedError:
            return frozenset()

    @cached_property
    def is_pickle(self) -> bool:
        """Whether the file is a pickle of any protocol; its opcodes are read and none is run."""
        if self.head[:1] == b"\x80" and self.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return True
        if not self.head.startswith(_OLD_PICKLES) or not self.tail.rstrip(b"\n").endswith(b"."):
            return False
        with self.path.open("rb") as file:
            data = file.read(_START_BYTES)
        count = 0
        try:
            for _ in pickletools.genops(data):
                count += 1
        except (ValueError, *DAMAGE):
            return self.source.size > len(data) and count > 20
        return count > 2

    def mentions(self, *words: bytes) -> bool:
        """Returns whether the file's first MiB has one of some words."""
        with self.path.open("rb") as file:
            start = file.read(_START_BYTES)
        return any(word in start for word in words)

    def member(self, end: str) -> bytes:
        """Returns the start of the zip archive's first member with a name that ends like this."""
        name = next((name for name in sorted(self.names) if name.endswith(end)), None)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name or "") as member:
                return member.read(_START_BYTES)
        except (OSError, *DAMAGE):
            return b""
