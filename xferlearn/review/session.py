"""A review at work: what is asked, what was answered, and heads that learn from the answers."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.auditing import Finding
from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.corrections import EXCLUDE, Corrections, now
from xferlearn.photos.photo import Photo
from xferlearn.photos.several import labelled_rows
from xferlearn.review.answers import Answers
from xferlearn.review.asking import Ask, asked_before, asks_of
from xferlearn.review.finding import Finder
from xferlearn.review.judging import Fit, accuracy_of, class_counts, fit, unfitted
from xferlearn.review.labels import Labels, shown_name
from xferlearn.system.text import one_line, readable
from xferlearn.training.material import LinearHeads, Material

# Answers after which the heads learn from them unasked.
REFIT_AFTER = 10


class _Abandoned(Exception):
    """What is being fitted or listed is not wanted any more."""


class Session:
    """What a page shows of a review, and what it may do; threads may call it at the same time.

    Attributes:
        material: the photos, with the labels that they lie under.
        answers: the file of corrections.

    Example:
        >>> session = Session(material, Answers("corrections.csv"), heads, finder)
        >>> session.answer([session.state()["items"][0]["id"]], "keep")
        >>> session.state()["pending"]
        1
    """

    def __init__(
        self,
        material: Material,
        answers: Answers,
        heads: LinearHeads,
        finder: Finder,
        *,
        title: str = "",
        copies: Mapping[bytes, Sequence[Photo]] | None = None,
    ) -> None:
        """Applies the corrections that there are, and fits the heads, if they can learn from them.

        Args:
            material: the photos, without corrections.
            answers: the file of corrections; closed by `close`.
            heads: heads on these photos.
            finder: finds what to ask.
            title: what the photos are called.
            copies: by digest, other files with the same pixels and class, or both without one,
                which are corrected together with the photo.
        """
        self.material = material
        self.answers = answers
        self._heads, self._finder, self._title = heads, finder, title
        self._labels = Labels(material, copies or {})
        self._labels.apply(answers.corrections, answers.corrections)
        self._changed = threading.Condition()
        self._revision, self._closed = 1, False
        self._touched: set[bytes] = set()
        self._fitted_with = answers.corrections
        self._busy, self._wanted, self._error = False, False, ""
        self._worker: threading.Thread | None = None
        self._asks: list[Ask] = []
        y, names = self._labels.y, self._labels.names
        try:
            self._last = fit(heads, y, len(names))
        except UserError as problem:  # answers can mend it, or be taken back
            self._last, self._error = unfitted(y, len(names)), str(problem)
        self._start = self._last
        self._ask_anew(*finder.find(self._last, names, self._without_class()))

    # --- What the page shows

    def state(self) -> dict[str, Any]:
        """Returns everything that the page shows, for JSON."""
        with self._changed:
            corrections = self.answers.corrections
            items = [self._item(one, corrections) for one in self._asks]
            material = self.material
            return {
                "title": readable(self._title),
                "labels": [*self._labels.names],
                "multi_label": self._labels.is_multi_label,
                "unlabelled": len(self._without_class()),
                "corrections": readable(str(self.answers.path)),
                "revision": self._revision,
                "items": items,
                "answered": sum(item["answer"] is not None for item in items),
                "pending": self._pending(),
                "last": self.answers.last,
                "fit": {
                    "busy": self._busy,
                    "seconds": round(self._last.seconds, 3),
                    "error": self._error,
                },
                "accuracy": accuracy_of(
                    self._start, self._last, self._labels.y, material.folds, material.groups
                ),
                "classes": class_counts(self._last, self._labels.y, self._labels.names),
                "kinds": list(dict.fromkeys(one.kind for one in self._asks)),
            }

    def wait(self, revision: int, seconds: float) -> bool:
        """Waits until the state is newer than a revision; returns whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._revision > revision or self._closed, seconds)
            return self._revision > revision

    def judged(self, digest: bytes) -> tuple[int, Fit, tuple[str, ...], str]:
        """Returns a photo's row, the last fit, the classes, and the class proposed for the photo.

        Where it may have several labels, that is the likeliest class that it does not have.

        Raises:
            UnknownPhoto: there is no such photo.
        """
        with self._changed:
            row = self._labels.row(digest)
            names = (*self._labels.names,)
            if self._labels.is_multi_label:
                return row, self._last, names, self._likeliest(row)
            asked = (one.proposed for one in self._asks if one.digest == digest)
            proposed = next(asked, None)
            best = int(self._last.best[row])
            if not proposed and best >= 0:
                proposed = names[best]
            return row, self._last, names, proposed or ""

    @property
    def is_multi_label(self) -> bool:
        """Whether photos may have several labels, or none."""
        return self._labels.is_multi_label

    @property
    def start(self) -> Fit:
        """The heads at the start."""
        return self._start

    @property
    def is_learning(self) -> bool:
        """Whether heads are learning, or what they would ask is being listed."""
        return self._busy

    def labelled(self) -> np.ndarray:
        """Returns which photos have a label by now, bool, [photos]."""
        with self._changed:
            return labelled_rows(self._labels.y)

    def labels_of(self, photo: Photo) -> list[str] | None:
        """Returns the labels that a photo, or a copy of one, has by now; None for none yet."""
        with self._changed:
            return self._labels.parts(self._labels.of(photo, self.answers.corrections))

    # --- What it does

    def answer(self, digests: Sequence[bytes], action: str, label: str = "") -> int:
        """Takes one answer for some photos; see `answer_all`."""
        return self.answer_all([(digests, action, label)])

    def answer_all(self, given: Iterable[tuple[Sequence[bytes], str, str]]) -> int:
        """Takes answers that are one act of the person; all are on disk when this returns.

        Args:
            given: which photos; "relabel", "exclude" or "keep"; and where photos are relabelled
                one of the classes, or as `photos.several` writes them all labels, else "".

        Returns:
            The number of the act, which `undo` takes back as one.

        Raises:
            UnknownPhoto: there is no such photo.
            UserError: the answer is none that these photos can have.
            ChangedMeanwhile: another program has changed the file.
            OSError: the answers can't be written; none was kept.
        """
        with self._changed:
            self._check_open()
            when = now()
            rows = [
                row
                for digests, action, label in given
                for digest in digests
                for row in self._labels.corrections(digest, action, label, when)
            ]
            if not rows:
                raise UserError("Expected an answer for at least one photo. Received: none.")
            act = self.answers.give(rows)
            self._answered({row.digest for row in rows})
            return act

    def undo(self, act: int | None = None) -> None:
        """Takes back the last act of this sitting, with all its photos.

        Args:
            act: which one is meant, as `answer_all` returned it; None for whichever is the last.

        Raises:
            UserError: there is none, or another one is the last.
            ChangedMeanwhile: another program has changed the file.
            OSError: it can't be written; the answer stands.
        """
        with self._changed:
            self._check_open()
            if act is not None and self.answers.last not in (0, act):
                raise UserError(
                    "That answer is not the last one any more: another window has answered since."
                    " Undo it there first, or answer this photo again."
                )
            digests = self.answers.take_back()
            if not digests:
                raise UserError("Nothing to undo: every answer of this sitting is taken back.")
            self._answered(digests)

    def add_class(self, label: str) -> None:
        """Adds a class, which photos can be given from now on.

        Raises:
            UserError: it is no name for a class, or there is one like it.
        """
        with self._changed:
            self._labels.add(label)
            self._tell()

    def refit(self) -> None:
        """Lets the heads learn from all answers, in a thread; the revision rises when it is done.

        Answers that are given meanwhile are learned from afterwards.
        """
        with self._changed:
            # Heads that know all answers, or are about to, need not learn again.
            self._wanted = self._busy and self._pending() > 0
            self._begin()

    def close(self) -> None:
        """Ends the review: waits for heads to stop learning, and lets others have the file."""
        with self._changed:
            self._closed = True
            self._tell()
        if self._worker is not None:
            self._worker.join()
        self.answers.close()

    # --- Within; the lock is held

    def _check_open(self) -> None:
        if self._closed:  # another review may have the file already
            raise XferlearnError("This review has ended. Start it again to go on.")

    def _tell(self) -> None:
        self._revision += 1
        self._changed.notify_all()

    def _begin(self) -> None:
        if not self._busy and not self._closed:
            self._busy = True
            self._worker = threading.Thread(target=self._work, name="refit", daemon=True)
            self._worker.start()
        self._tell()

    def _likeliest(self, row: int) -> str:
        said = self._last.probabilities[row]
        if not np.isfinite(said).all():
            return ""
        missing = self._labels.y[row, : len(said)] != 1
        return self._labels.names[int(np.where(missing, said, said - 1).argmax())]

    def _without_class(self) -> list[int]:
        return self._labels.without_class(self.answers.corrections)

    def _is_due(self) -> bool:
        return self._wanted or self._pending() >= REFIT_AFTER

    def _pending(self) -> int:
        before, after = self._fitted_with, self.answers.corrections
        # Copies of a photo are no answers of their own.
        return sum(
            before.get(one) != after.get(one) for one in self._touched if one in self._labels
        )

    def _item(self, one: Ask, corrections: Corrections) -> dict[str, Any]:
        row, labels = corrections.get(one.digest), self._labels
        given = None
        if row is not None and row.action != EXCLUDE:
            given = labels.parts(labels.shown(row.label))
        return {
            "id": one.digest.hex(),
            "name": shown_name(one.name),
            "labels": labels.parts(one.label),
            "kind": one.kind,
            "score": round(one.score, 4),
            "proposed": labels.parts(one.proposed),
            "text": one.text,
            "answer": None if row is None else {"action": row.action, "labels": given},
        }

    def _answered(self, digests: set[bytes]) -> None:
        self._touched |= digests
        self._labels.apply(digests, self.answers.corrections)
        if self._is_due():
            self._begin()
        else:
            self._tell()

    def _ask_anew(self, found: Sequence[Finding], unlabelled: Sequence[Ask]) -> None:
        """Puts what was answered first, and behind it what is to be asked by the last heads."""
        known, names = self.answers.corrections, self._labels.asked()
        answered = {one.digest: one for one in self._asks if one.digest in known}
        for digest in known:
            if digest in names and digest not in answered:
                answered[digest] = asked_before(known[digest], *names[digest])
        still_open = {digest: one for digest, one in names.items() if digest not in known}
        self._asks = [*answered.values(), *asks_of(found, unlabelled, still_open)]

    def _work(self) -> None:
        """Fits until no answer waits; the thread of `refit`."""
        more = True
        while more:
            with self._changed:
                corrections, rows = self.answers.corrections, self._without_class()
                y, names = self._labels.y.copy(), (*self._labels.names,)
                self._wanted = False
            error, to_ask = "", None
            try:
                last = fit(self._heads, y, len(names), check=self._check_wanted)
                # The accuracy is there long before the list of what to ask next.
                with self._changed:
                    self._learned(last, corrections)
                to_ask = self._finder.find(last, names, rows, self._check_current)
            except _Abandoned:
                pass
            except Exception as problem:  # whatever it is, the page has to say it
                error = one_line(problem, 500)
            with self._changed:
                self._error = error
                if to_ask is not None:
                    self._ask_anew(*to_ask)
                more = not self._closed and (self._wanted or (not error and self._is_due()))
                self._busy = more
                self._tell()

    def _check_wanted(self) -> None:
        if self._closed:
            raise _Abandoned

    def _check_current(self) -> None:
        """Ends a list that is out of date before it is made: the accuracy must not wait for it."""
        with self._changed:
            self._check_wanted()
            if self._is_due():
                raise _Abandoned

    def _learned(self, last: Fit, corrections: Corrections) -> None:
        if not len(self._start.present):  # nothing could be learned at the start
            self._start = last
        self._last, self._fitted_with = last, corrections
        now_given = self.answers.corrections
        self._touched = {one for one in self._touched if corrections.get(one) != now_given.get(one)}
        self._wanted = self._wanted and self._pending() > 0
        self._tell()
