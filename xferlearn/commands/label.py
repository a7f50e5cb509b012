"""`xferlearn label`: labels photos, best label first, to the terminal or to a file."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from xferlearn.commands import print_warnings
from xferlearn.config import LabelConfig
from xferlearn.errors import UserError
from xferlearn.labelling import Labelled, Onlooker, WhyPage, checked_folder, label_photos
from xferlearn.photos.folders.files import FileSource, read_files
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.synsets.names import readable_label
from xferlearn.system.files import real_path, write_atomically
from xferlearn.system.folders import check_no_url, check_writable
from xferlearn.system.progress import progress_bar
from xferlearn.system.row_files import write_csv, write_json_lines, write_parquet
from xferlearn.system.terminal import say, say_csv, say_json, tell
from xferlearn.system.text import count, readable


def run(config: LabelConfig) -> int:
    """Labels all photos; returns 1 where some could not be read, after labelling the others."""
    output = None if config.output is None else _checked(config.output)
    why = None if config.why is None else checked_folder(config.why)
    source = read_files(config.photos)
    predictor = open_predictor(config)
    print_warnings((*source.warnings, *predictor.warnings))
    unreadable: list[str] = []
    notes = ReadingNotes()
    page = WhyPage(why, predictor, config, source.count) if why is not None else None
    onlooker = page.onlooker if page is not None else None
    photos = _labelled(config, source, predictor, unreadable, notes, onlooker)
    most = min(config.top_k, len(predictor.labels))

    def deliver(photos: Iterable[Labelled]) -> None:
        if output is None:
            _PRINTERS[config.format or "text"](photos, predictor.labels, most)
        else:
            write = _WRITERS[config.output_format or ""]
            write_atomically(output, lambda file: write(file, photos, predictor.labels, most))

    if page is None:
        deliver(photos)
    else:
        page.write(photos, deliver)
    found = (*notes.lines(), *notes.labelling_depth(predictor.bit_depth))
    print_warnings((*found, *predictor.later_warnings()))
    if unreadable:
        tell(f"{len(unreadable):,} of {count(source.count, 'photo')} could not be read.")
    if page is not None:
        tell(f"why: {config.why}/{page.path.name}")
    if output is not None:
        say(f"{count(source.count - len(unreadable), 'photo')} labelled: {config.output}")
    return 1 if unreadable else 0


def _checked(output: str | Path) -> Path:
    """Returns the file to write to; sees, before any work, that it can be written."""
    check_no_url("`output`", output)
    path = real_path(output)
    if path.is_dir():
        raise UserError(f"Expected `output` to be a file. Found a folder at {output}.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {os.path.dirname(output)} for `output`. Make it.")
    check_writable("output", path.parent)
    return path


def _labelled(
    config: LabelConfig,
    source: FileSource,
    predictor: Predictor,
    unreadable: list[str],
    notes: ReadingNotes,
    onlooker: Onlooker | None,
) -> Iterator[Labelled]:
    """Yields the photos with their labels; those that can't be read are told, and collected."""
    with progress_bar("labels", source.count, verbose=config.verbose) as bar:
        limits = PhotoLimits.of(config)
        for photo in label_photos(source.entries, predictor, limits, onlooker, notes):
            bar.update()
            if photo.problem is not None and config.on_bad_image == "fail":
                raise notes.refusal(photo.name, photo.problem)
            yield photo
            if photo.problem is not None:
                unreadable.append(photo.name)
                tell(f"{photo.name}: {photo.problem}")


def _record(photo: Labelled, labels: Sequence[str], most: int) -> dict[str, Any]:
    # JSON has no NaN.
    top = [
        {"label": name, "score": score if math.isfinite(score) else None}
        for name, score in photo.top(labels, most)
    ]
    row: dict[str, Any] = {"image": photo.name, "labels": top}
    if photo.problem is not None:
        row["error"] = photo.problem
    return row


def _columns(most: int) -> dict[str, type]:
    pairs = ((f"label_{rank}", f"score_{rank}") for rank in range(1, most + 1))
    scores = {name: kind for pair in pairs for name, kind in zip(pair, (str, float), strict=True)}
    return {"image": str, **scores, "error": str}


def _cells(photo: Labelled, labels: Sequence[str], most: int) -> list[Any]:
    top = [cell for pair in photo.top(labels, most) for cell in pair]
    return [photo.name, *top, *[None] * (2 * most - len(top)), photo.problem]


def _texts(photo: Labelled, labels: Sequence[str], most: int) -> list[str]:
    cells = _cells(photo, labels, most)
    return ["" if c is None else f"{c:.6f}" if isinstance(c, float) else c for c in cells]


def _print_text(photos: Iterable[Labelled], labels: Sequence[str], most: int) -> None:
    for photo in photos:
        if photo.problem is None:
            say(readable(photo.name, None))
            top = [
                (readable(readable_label(label)), score) for label, score in photo.top(labels, most)
            ]
            width = max(len(label) for label, _ in top)
            for label, score in top:
                say(f"  {label:<{width}}  {score:.4f}")


def _print_json(photos: Iterable[Labelled], labels: Sequence[str], most: int) -> None:
    for photo in photos:
        say_json(_record(photo, labels, most))


def _print_csv(photos: Iterable[Labelled], labels: Sequence[str], most: int) -> None:
    say_csv(_columns(most))
    for photo in photos:
        say_csv(_texts(photo, labels, most))


# JSON is one object per line, so that a million photos can be written and read as a stream.
_PRINTERS: dict[str, Callable[[Iterable[Labelled], Sequence[str], int], None]] = {
    "text": _print_text,
    "json": _print_json,
    "csv": _print_csv,
}


def _write_json(
    file: BinaryIO, photos: Iterable[Labelled], labels: Sequence[str], most: int
) -> None:
    write_json_lines(file, (_record(photo, labels, most) for photo in photos))


def _write_csv(
    file: BinaryIO, photos: Iterable[Labelled], labels: Sequence[str], most: int
) -> None:
    write_csv(file, [*_columns(most)], (_texts(photo, labels, most) for photo in photos))


def _write_tsv(
    file: BinaryIO, photos: Iterable[Labelled], labels: Sequence[str], most: int
) -> None:
    write_csv(file, [*_columns(most)], (_texts(photo, labels, most) for photo in photos), "\t")


def _write_parquet(
    file: BinaryIO, photos: Iterable[Labelled], labels: Sequence[str], most: int
) -> None:
    write_parquet(file, _columns(most), (_cells(photo, labels, most) for photo in photos))


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[Labelled], Sequence[str], int], None]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "json": _write_json,
    "parquet": _write_parquet,
}
