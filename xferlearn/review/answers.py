"""The file of corrections while a review has it open: one review at a time, and nothing is lost."""

from collections.abc import Iterable
from pathlib import Path

from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.corrections import (
    Correction,
    Corrections,
    corrections_lock,
    read_corrections,
    write_corrections,
)
from xferlearn.system.addresses import check_address
from xferlearn.system.files import real_path
from xferlearn.system.folders import check_writable
from xferlearn.system.text import one_line


class ChangedMeanwhile(XferlearnError):
    """Another program has changed the file of corrections since the review has read it."""


class Answers:
    """Corrections and the file that has them, which answers are written to one after the other.

    Attributes:
        path: the file; the first answer makes it.
        corrections: what it holds.

    Example:
        >>> with Answers("corrections.csv") as answers:
        ...     answers.give([Correction(photo.digest, photo.name, "exclude")])
    """

    def __init__(self, path: str | Path) -> None:
        """Reads the file, and keeps other reviews from it.

        Args:
            path: the file, which need not exist yet.

        Raises:
            UserError: it can't be read, its folder can't be written to, or another review has it.
        """
        check_address("`corrections`", path, bucket=False)
        self.path = path
        self._real = real_path(path)
        if not self._real.parent.is_dir():
            raise UserError(f"There is no folder {self._real.parent} for `corrections`. Make it.")
        check_writable("corrections", self._real.parent)
        self._lock = corrections_lock(path)
        self._take()
        try:
            self.corrections = read_corrections(self._real, missing_ok=True)
            self._bytes = self._read()
        except BaseException:
            self._lock.release()
            raise
        self._given: list[tuple[int, dict[bytes, Correction | None]]] = []
        self._acts = 0

    def _take(self) -> None:
        try:
            self._lock.acquire()
        except BlockingIOError:
            owner = self._lock.owner()
            raise UserError(
                f"Another review has {self.path} open{f' (process {owner})' if owner else ''}. Go"
                " on in its page, end it with Ctrl-C, or choose another file with `corrections`."
            ) from None
        except OSError as error:
            raise UserError(
                f"Can't lock {self.path}: {one_line(error)}. Choose another `corrections`."
            ) from None

    @property
    def last(self) -> int:
        """The number of the act that `take_back` would take back; 0 for none."""
        return self._given[-1][0] if self._given else 0

    def give(self, rows: Iterable[Correction]) -> int:
        """Adds corrections; they are on disk when this returns.

        Returns:
            The number of this act, larger than all before.

        Raises:
            ChangedMeanwhile: another program has changed the file.
            OSError: it can't be written; nothing was added.
        """
        new = {row.digest: row for row in rows}
        before = {digest: self.corrections.get(digest) for digest in new}
        self._write(self.corrections.with_rows(new.values()))
        self._acts += 1
        self._given.append((self._acts, before))
        return self._acts

    def take_back(self) -> set[bytes]:
        """Takes back what `give` has added last, and returns the photos' digests.

        Returns:
            None of them where nothing is left to take back.

        Raises:
            ChangedMeanwhile: another program has changed the file.
            OSError: it can't be written; nothing was taken back.
        """
        if not self._given:
            return set()
        _, before = self._given[-1]
        rows = [row for row in before.values() if row is not None]
        self._write(self.corrections.without(before).with_rows(rows))
        self._given.pop()
        return set(before)

    def close(self) -> None:
        """Lets other reviews have the file."""
        self._lock.release()

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, corrections: Corrections) -> None:
        if self._read() != self._bytes:
            raise ChangedMeanwhile(
                f"Another program has changed {self.path}, so this was not written. End this review"
                " with Ctrl-C and start it again: it goes on with the file as it is now."
            )
        write_corrections(self._real, corrections)
        self.corrections = corrections
        self._bytes = self._read()

    def _read(self) -> bytes | None:
        try:
            return self._real.read_bytes()
        except FileNotFoundError:
            return None
