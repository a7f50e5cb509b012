"""Labels in a folder, a Parquet part per block of photos; a killed job goes on where it was.

A part is named by what it was made of: its photos (name, size, time of the last change), the model
and the settings that answers depend on. `_job.json`, written before the first of them, names all
parts that belong together. Readers of a folder of Parquet files pass over names that begin with
"_" or ".".
"""

import bisect
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xferlearn.errors import UserError, XferlearnError
from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.labelling.streaming import Labelled
from xferlearn.photos.blocks import block_of
from xferlearn.photos.sources import Entry
from xferlearn.system.places import Place
from xferlearn.system.row_files import write_parquet
from xferlearn.system.text import count, one_line, plural_of, readable

if TYPE_CHECKING:
    import pyarrow as pa

JOB_FILE = "_job.json"
_PREFIX, _SUFFIX = "labels-", ".parquet"
# A part ends where the name of a photo says so, so that a new photo changes one part and not all
# that follow it.
_LEAST_ROWS, _MOST_ROWS, _ONE_IN = 1_000, 4_096, 1_024


class Part(NamedTuple):
    """One part of a job.

    Attributes:
        name: of its file.
        first: position of its first photo.
        end: position behind its last.
    """

    name: str
    first: int
    end: int


def plan_parts(entries: Iterable[Entry], made_by: Mapping[str, Any]) -> list[Part]:
    """Returns the parts of a job, in the order of the photos.

    Args:
        entries: the photos.
        made_by: model and settings, as JSON has them.
    """
    start = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
    parts: list[Part] = []
    first, digest = 0, start.copy()

    def close(end: int) -> None:
        parts.append(Part(f"{_PREFIX}{digest.hexdigest()[:40]}{_SUFFIX}", first, end))

    position = -1
    for position, entry in enumerate(entries):
        name = entry.name.encode("utf-8", "surrogateescape")
        digest.update(b"%d %d %d " % (len(name), entry.size, entry.changed) + name)
        rows = position + 1 - first
        if rows >= _LEAST_ROWS:
            own = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
            if rows >= _MOST_ROWS or own % _ONE_IN == 0:
                close(position + 1)
                first, digest = position + 1, start.copy()
    if first <= position:
        close(position + 1)
    return parts


class PartFolder:
    """A folder of parts, being written.

    Attributes:
        parts: all of them, in the order of the photos.
        there: how many of them an earlier run had written.
        photos_there: how many photos they are of.
        unreadable: how many photos could not be read, those of earlier runs included.
    """

    def __init__(
        self,
        place: Place,
        parts: Sequence[Part],
        made_by: Mapping[str, Any],
        table: AnswerTable,
        *,
        replace: bool,
    ) -> None:
        """Looks for parts that are there, and counts their answers.

        Args:
            place: the folder.
            parts: see `plan_parts`.
            made_by: model and settings.
            table: makes rows of answers, and counts them.
            replace: whether parts of other jobs are removed.

        Raises:
            UserError: when there is something else in the folder, and it is not to be replaced.
        """
        self.parts = parts
        self._place = place
        self._table = table
        self._starts = [part.first for part in parts]
        self._rows: dict[int, dict[int, list[Any]]] = {}
        self.unreadable = 0
        self._made_by = dict(made_by)
        found = self._look(replace=replace)
        photos = parts[-1].end if parts else 0
        job = {**self._made_by, "photos": photos, "parts": [part.name for part in parts]}
        self._job = json.dumps(job, indent=1).encode()
        try:
            place.write(JOB_FILE, self._job)
        except OSError as error:
            raise UserError(
                f"Can't write to {readable(place.address)}: {one_line(error)}. Choose another"
                " `output`."
            ) from None
        self._done = {part.name for part in parts if part.name in found and self._count(part)}
        self.there = len(self._done)
        self.photos_there = sum(p.end - p.first for p in parts if p.name in self._done)

    def _look(self, *, replace: bool) -> set[str]:
        """Returns the parts that are there; removes those of other jobs, or refuses."""
        own = {part.name for part in self.parts}
        names = [file.name for file in self._place.files() if file.name[0] not in "._"]
        strange = sorted(name for name in names if not _is_part(name))
        address = readable(self._place.address)
        if strange:
            raise UserError(
                f"Expected `output` to be a folder of labels, which are read as one, or a new one."
                f" Found {readable(strange[0])} in {address}."
            )
        others = [name for name in names if name not in own]
        if others and not replace:
            number = len(others)
            raise UserError(
                f"{address} holds {count(number, 'part')} of other photos, another model or other"
                f" settings, and {plural_of(number, 'it', 'they')} would be read together with the"
                " new ones. `replace_parts` removes"
                f" {plural_of(number, 'it', 'them')}, or give another `output`."
            )
        for name in others:
            self._place.remove(name)
        return own.intersection(names)

    def _count(self, part: Part) -> bool:
        """Counts the answers of a part; returns whether it is whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(pa.BufferReader(self._place.read(part.name)))
            if file.metadata.num_rows != part.end - part.first:
                return False
            if file.schema_arrow.names != [*self._table.columns]:
                return False
            rows = file.read(use_threads=False)
        except (OSError, pa.ArrowException):  # damaged: it is made again
            return False
        self._table.count_rows(rows)
        self.unreadable += len(rows) - rows["error"].null_count
        return True

    def blocks(self, entries: Iterable[Entry]) -> "Iterator[pa.Table]":
        """Yields the photos of the parts that are missing, a block per part.

        Args:
            entries: the same photos in the same order as when the parts were planned.
        """
        left = iter(entries)
        for part in self.parts:
            photos = [entry for _, entry in zip(range(part.first, part.end), left, strict=False)]
            if part.name not in self._done:
                yield block_of(photos, part.first)

    def add(self, position: int, photo: Labelled) -> None:
        """Adds a photo's labels; writes its part where it is the last of it.

        Raises:
            XferlearnError: when it can't be written.
        """
        number = bisect.bisect_right(self._starts, position) - 1
        part = self.parts[number]
        rows = self._rows.setdefault(number, {})
        rows[position] = self._table.cells(photo)
        self.unreadable += photo.problem is not None
        if len(rows) < part.end - part.first:
            return
        del self._rows[number]
        buffer = io.BytesIO()
        write_parquet(buffer, self._table.columns, (rows[one] for one in sorted(rows)))
        try:
            self._place.write(part.name, buffer.getvalue())
        except OSError as error:
            raise XferlearnError(
                f"Can't write {readable(self._place.address_of(part.name))}: {one_line(error)}. The"
                " parts that are there stay; run again to go on."
            ) from error

    def finish(self) -> None:
        """Checks that the folder holds this job's parts and no others.

        Raises:
            XferlearnError: when another job wrote to it meanwhile.
        """
        own = {part.name for part in self.parts}
        others = [f.name for f in self._place.files() if _is_part(f.name) and f.name not in own]
        if others or self._place.read(JOB_FILE) != self._job:
            raise XferlearnError(
                f"Another job wrote to {readable(self._place.address)} meanwhile, of other photos,"
                " another model or other settings. This one's parts are complete, but not alone:"
                " give each job an `output` of its own, and run again."
            )


def _is_part(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
