"""Labels in a folder, a Parquet part per block of photos; a killed job goes on where it was.

A part is named by what it was made of: its photos (name, size, time of the last change), the model
and the settings that answers depend on. `_job.json`, written before the first of them, names all
parts that belong together. Readers of a folder of Parquet files pass over names that begin with
"_" or ".", and read what is in folders below it. A part with photos that could not be read is made
again by the next run: it may have been the network.
"""

import bisect
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xferlearn.errors import UserError, XferlearnError
from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.labelling.streaming import Labelled
from xferlearn.photos.blocks import block_of
from xferlearn.photos.sources import Entry
from xferlearn.system.addresses import bucket_reason, shown_address
from xferlearn.system.places import Place
from xferlearn.system.row_files import write_parquet
from xferlearn.system.text import count, plural_of, readable

if TYPE_CHECKING:
    import pyarrow as pa

JOB_FILE = "_job.json"
_PART = re.compile(r"labels-[0-9a-f]{40}\.parquet")
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
        parts.append(Part(f"labels-{digest.hexdigest()[:40]}.parquet", first, end))

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
        again: how many more are there, but are made again, because photos could not be read.
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
        """Looks for parts that are there, and counts their answers; changes nothing.

        Args:
            place: the folder.
            parts: see `plan_parts`.
            made_by: model and settings.
            table: makes rows of answers, and counts them.
            replace: whether parts of other jobs are removed.

        Raises:
            UserError: when there is something else in the folder, and it is not to be replaced, or
                it can't be read.
        """
        self.parts = parts
        self._place = place
        self._table = table
        self._starts = [part.first for part in parts]
        self._rows: dict[int, dict[int, list[Any]]] = {}
        self.again = 0
        self._shown = shown_address(place.address)
        photos = parts[-1].end if parts else 0
        job = {**made_by, "photos": photos, "parts": [part.name for part in parts]}
        self._job = json.dumps(job, indent=1).encode()
        try:
            found, self._others = self._look(replace=replace)
        except OSError as error:
            raise UserError(
                f"Can't read {self._shown}: {bucket_reason(error)}. Choose another `output`."
            ) from None
        self._done = {part.name for part in parts if part.name in found and self._count(part)}
        self.there = len(self._done)
        self.photos_there = sum(p.end - p.first for p in parts if p.name in self._done)

    def found(self) -> str:
        """Returns which parts were there, as a line for people."""
        said, of_all = [], f" of {count(len(self.parts), 'part')}"
        if self.there:
            said.append(f"{self.there:,}{of_all} {plural_of(self.there, 'was', 'were')} there")
        if self.again:
            have, are = ("has", "is") if self.again == 1 else ("have", "are")
            others = " more" if said else of_all
            said.append(f"{self.again:,}{others} {have} unreadable photos and {are} made again")
        return f"{'; '.join(said)}."

    def begin(self) -> None:
        """Makes the folder this job's: removes parts of others, and writes `_job.json`.

        Raises:
            UserError: when it can't be written to.
        """
        try:
            for name in self._others:
                self._place.remove(name)
            self._place.write(JOB_FILE, self._job)
        except OSError as error:
            raise UserError(
                f"Can't write to {self._shown}: {bucket_reason(error)}. Choose another `output`."
            ) from None

    def _look(self, *, replace: bool) -> tuple[set[str], list[str]]:
        """Returns this job's parts that are there, and those of other jobs, or refuses them."""
        own, names = {part.name for part in self.parts}, list[str]()
        address = self._shown
        for file in self._place.files(below=True):
            if any(name[0] in "._" for name in file.name.split("/")):
                continue
            if not _PART.fullmatch(file.name):
                raise UserError(
                    "Expected `output` to be a folder of labels, which are read as one, or a new"
                    f" one. Found {readable(file.name)} in {address}."
                )
            names.append(file.name)
        others = [name for name in names if name not in own]
        if others and not replace:
            number = len(others)
            raise UserError(
                f"{address} holds {count(number, 'part')} of other photos, another model or other"
                f" settings, and {plural_of(number, 'it', 'they')} would be read together with the"
                " new ones. `replace_parts` removes"
                f" {plural_of(number, 'it', 'them')}, or give another `output`."
            )
        return own.intersection(names), others

    def _count(self, part: Part) -> bool:
        """Counts the answers of a part; returns whether it is whole and all photos were read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            content = pa.BufferReader(self._place.read(part.name))
            file = pq.ParquetFile(content, page_checksum_verification=True)
            if file.metadata.num_rows != part.end - part.first:
                return False
            if file.schema_arrow.names != [*self._table.columns]:
                return False
            rows = file.read(use_threads=False)
        except (OSError, pa.ArrowException):  # damaged: it is made again
            return False
        if rows["error"].null_count < len(rows):
            self.again += 1
            return False
        self._table.count_rows(rows)
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
        if len(rows) < part.end - part.first:
            return
        del self._rows[number]
        buffer = io.BytesIO()
        write_parquet(buffer, self._table.columns, (rows[one] for one in sorted(rows)))
        try:
            self._place.write(part.name, buffer.getvalue())
        except OSError as error:
            raise XferlearnError(
                f"Can't write {shown_address(self._place.address_of(part.name))}:"
                f" {bucket_reason(error)}. The parts that are there stay; run again to go on."
            ) from error

    def finish(self) -> None:
        """Checks that the folder holds this job's parts and no others.

        Raises:
            XferlearnError: when another job wrote to it meanwhile, or it can't be read.
        """
        own = {part.name for part in self.parts}
        try:
            there = {one.name for one in self._place.files() if _PART.fullmatch(one.name)}
            alone = there <= own and self._place.read(JOB_FILE) == self._job
        except OSError as error:
            raise XferlearnError(
                f"Can't read {self._shown} again: {bucket_reason(error)}. Run again to see that all"
                " parts are there."
            ) from None
        if not alone:
            raise XferlearnError(
                f"Another job wrote to {self._shown} meanwhile, of other photos,"
                " another model or other settings. This one's parts are complete, but not alone:"
                " give each job an `output` of its own, and run again."
            )
