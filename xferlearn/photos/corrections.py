"""Corrections of labels, as corrections.csv holds them: what a person, or an audit, has decided.

A correction names a photo by its content, so it holds wherever the photo lies, and the photo itself
is never touched. Where photos may have several labels, its label is all of them, `cat|dog`, and
empty for none. The file is plain text with a line per photo, in the order of the digests: two of
them can be merged, by hand or by Git, and none is lost.
"""

import contextlib
import csv
import dataclasses
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from xferlearn.errors import UserError
from xferlearn.photos.folders.names import check_name, class_label
from xferlearn.photos.several import read_label_text
from xferlearn.system.fetching import fetched
from xferlearn.system.files import real_path, write_atomically
from xferlearn.system.locks import FileLock
from xferlearn.system.text import count, one_line, readable

RELABEL, EXCLUDE, KEEP = ACTIONS = ("relabel", "exclude", "keep")
COLUMNS = ("digest", "name", "action", "label", "when", "command")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# A file of another kind is told by its first line, not read to its end.
_MOST_BYTES = 2**30
_MOST_HEADER = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Correction:
    """What was decided about one photo.

    Attributes:
        digest: SHA-256 of the photo's bytes, 32 bytes.
        name: the photo's name when that was decided, for people.
        action: "relabel" gives it a label; "exclude" leaves it out; "keep" says that the label it
            had is right.
        label: the label that it is given, or keeps; "" for "exclude", and for none where photos
            may have several.
        when: time of the decision, UTC, as in 2026-01-31T12:00:00Z.
        command: by which command.
    """

    digest: bytes
    name: str
    action: str
    label: str = ""
    when: str = ""
    command: str = ""

    @property
    def outcome(self) -> tuple[str, str]:
        """What it makes of the photo: two with the same do not contradict each other."""
        return ("", "") if self.action == EXCLUDE else ("label", self.label)


@dataclasses.dataclass(frozen=True)
class Corrections(Mapping[bytes, Correction]):
    """Corrections by the photo's digest; a mapping that does not change.

    Attributes:
        rows: the corrections by digest.

    Example:
        >>> corrections = read_corrections("corrections.csv")
        >>> corrections[photo.digest].label
        'tulips'
    """

    rows: Mapping[bytes, Correction] = dataclasses.field(default_factory=dict)

    def __getitem__(self, digest: bytes) -> Correction:
        return self.rows[digest]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Corrections({count(len(self), 'photo')})"

    def with_rows(self, rows: Iterable[Correction]) -> "Corrections":
        """Returns these corrections with others added; for the same photo the new one holds."""
        return Corrections({**self.rows, **{row.digest: row for row in rows}})

    def suited(self, *, multi_label: bool) -> "Corrections":
        """Returns these corrections for photos of a kind, with labels in the order of their names.

        Args:
            multi_label: whether photos may have several labels, or none.

        Raises:
            UserError: when photos have one label each, and a correction gives a photo none.
        """
        if multi_label:
            rows = self.rows.items()
            return Corrections(
                {
                    key: dataclasses.replace(row, label=read_label_text(row.label))
                    for key, row in rows
                }
            )
        for row in self.rows.values():
            if row.action != EXCLUDE and not row.label:
                raise UserError(
                    f"Expected a `label` to {row.action} for {readable(row.name)} in the"
                    " corrections: its photos have one label each. Found: none, which is for photos"
                    " that may have several. Give it one, or exclude it."
                )
        return self

    def without(self, digests: Iterable[bytes]) -> "Corrections":
        """Returns these corrections without those of some photos."""
        gone = set(digests)
        return Corrections({key: row for key, row in self.rows.items() if key not in gone})


def now() -> str:
    """Returns the time of a decision that is made now, as `Correction.when` has it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_corrections(path: str | Path, *, missing_ok: bool = False) -> Corrections:
    """Reads a file of corrections.

    Files that were merged by appending one to the other, header and all, are read too; what is said
    twice counts once.

    Args:
        path: the file.
        missing_ok: whether a file that is not there has no corrections.

    Raises:
        UserError: when there is no such file, it is no file of corrections, a line is not as
            expected, or two lines contradict each other; it names the lines.

    Example:
        >>> len(read_corrections("corrections.csv"))
        12
    """
    here = fetched(path, "`corrections`")
    try:
        with open(here, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        if missing_ok:
            return Corrections()
        raise UserError(
            f"Expected `corrections` to be a CSV file. Found nothing at {path}. `xferlearn review`"
            " makes one."
        ) from None
    except OSError as error:
        raise UserError(f"Can't read `corrections` {path}: {one_line(error)}.") from None
    if len(data) > _MOST_BYTES:
        raise UserError(f"{path} has more than 1 GiB, which no file of corrections has.")
    try:
        text = data.decode("utf-8").replace("\ufeff", "")  # one per file that was appended
    except UnicodeDecodeError:
        raise UserError(f"{path} is no file of corrections: it is not text in UTF-8.") from None
    return _read(text, str(path))


def _read(text: str, path: str) -> Corrections:
    reader = csv.reader(io.StringIO(text, newline=""))
    rows: dict[bytes, Correction] = {}
    lines: dict[bytes, int] = {}
    try:
        header = tuple(cell.strip() for cell in next(reader, ()))
        if set(header) != set(COLUMNS) or len(header) != len(COLUMNS):
            raise UserError(
                f"Expected the columns {', '.join(COLUMNS)} in the first line of {path}. Found:"
                f" {readable(', '.join(header)) or 'nothing'}."
            )
        for cells in reader:
            place = f"line {reader.line_num} of {path}"
            if not cells or tuple(cell.strip() for cell in cells) == header:
                continue
            if len(cells) != len(header):
                raise UserError(f"Expected {len(header)} cells in {place}. Found: {len(cells)}.")
            found = _correction(dict(zip(header, cells, strict=True)), place)
            known = rows.get(found.digest)
            if known is None:
                rows[found.digest], lines[found.digest] = found, reader.line_num
            elif known.outcome == found.outcome:
                # A label that is given holds wherever the photo lies, one that is kept does not.
                rows[found.digest] = found if found.action == RELABEL else known
            else:
                raise UserError(
                    f"Lines {lines[found.digest]} and {reader.line_num} of {path} contradict each"
                    f" other about {readable(found.name)}: {_said(known)}, and {_said(found)}."
                    " Remove one of them."
                )
    except csv.Error as error:
        raise UserError(
            f"Can't read line {reader.line_num} of {path}: {one_line(error)}."
        ) from None
    return Corrections(rows)


def _correction(cells: dict[str, str], place: str) -> Correction:
    digest, action = cells["digest"].strip(), cells["action"].strip()
    if not _DIGEST.fullmatch(digest):
        raise UserError(
            f"Expected `digest` to be the SHA-256 of a photo, 64 hexadecimal digits, in {place}."
            f" Found: {readable(digest) or 'nothing'}."
        )
    if action not in ACTIONS:
        raise UserError(
            f"Expected `action` to be {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]} in {place}."
            f" Found: {readable(action) or 'nothing'}."
        )
    label = class_label(cells["label"])
    if action == EXCLUDE and label:
        raise UserError(
            f"Expected no `label` for a photo that is excluded in {place}. Found: the label"
            f" {readable(label)!r}."
        )
    if label:
        check_name(label, "label", place)
    return Correction(
        bytes.fromhex(digest), cells["name"], action, label, cells["when"], cells["command"]
    )


def _said(row: Correction) -> str:
    return row.action if row.action == EXCLUDE else f"{row.action} {readable(row.label)!r}"


def corrections_lock(path: str | Path) -> FileLock:
    """Returns the lock that whoever changes a file of corrections holds meanwhile.

    Args:
        path: the file.
    """
    real = real_path(path)
    return FileLock(real.with_name(f".{real.name}.lock"))


@contextlib.contextmanager
def changing_corrections(path: str | Path) -> Iterator[Corrections]:
    """Keeps reviews from a file of corrections while it is changed, and yields what it holds.

    Args:
        path: the file, which need not be there.

    Raises:
        UserError: it is there and is no file of corrections.
        OSError: a review has it open, or it can't be locked.

    Example:
        >>> with changing_corrections("corrections.csv") as known:
        ...     write_corrections("corrections.csv", known.with_rows(rows))
    """
    lock = corrections_lock(path)
    try:
        lock.acquire()
    except BlockingIOError:
        raise OSError("a review has it open; end that with Ctrl-C first") from None
    try:
        yield read_corrections(path, missing_ok=True)
    finally:
        lock.release()


def check_no_corrections(name: str, path: str | Path) -> None:
    """Checks that a file that is to be written replaces no file of corrections.

    Args:
        name: setting that names the file.
        path: the file, which need not be there.

    Raises:
        UserError: when it is one.
    """
    try:
        with open(path, "rb") as file:
            first = file.readline(_MOST_HEADER).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return
    if {cell.strip() for cell in first.split(",")} == {*COLUMNS}:
        raise UserError(
            f"{readable(str(path))} is a file of corrections, which `{name}` would replace. Choose"
            f" another `{name}`."
        )


def write_corrections(path: str | Path, corrections: Corrections) -> None:
    """Writes a file of corrections; it is whole under its name, or as it was before.

    Raises:
        OSError: when it can't be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for digest in sorted(corrections):
        row = corrections[digest]
        # The name is for people; with escapes for line breaks, a photo has one line.
        name = readable(row.name, None)
        writer.writerow([digest.hex(), name, row.action, row.label, row.when, row.command])
    write_atomically(Path(path), text.getvalue().encode("utf-8", "backslashreplace"))
