"""`xferlearn label`: labels photos, best label first, to the terminal or to a file."""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from xferlearn.backbones.synsets.names import readable_label
from xferlearn.commands import print_warnings
from xferlearn.config import LabelConfig
from xferlearn.labelling import (
    Answerer,
    AnswerTable,
    Labelled,
    Onlooker,
    WhyPage,
    checked_folder,
    label_photos,
)
from xferlearn.photos.folders.files import FileSource, read_files
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.system.outputs import check_output_anywhere
from xferlearn.system.progress import progress_bar
from xferlearn.system.row_files import write_csv, write_json_lines, write_parquet
from xferlearn.system.terminal import say, say_csv, say_json, tell
from xferlearn.system.text import count, readable


def run(config: LabelConfig) -> int:
    """Labels all photos; returns 1 where some could not be read, after labelling the others."""
    output = None if config.output is None else check_output_anywhere(config.output)
    why = None if config.why is None else checked_folder(config.why)
    source = read_files(config.photos)
    predictor = open_predictor(config)
    print_warnings((*source.warnings, *predictor.warnings))
    answerer = Answerer.of(predictor, config)
    for line in answerer.promises:
        tell(line)
    unreadable: list[str] = []
    notes = ReadingNotes()
    page = WhyPage(why, predictor, answerer, config, source.count) if why else None
    onlooker = page.onlooker if page is not None else None
    photos = _labelled(config, source, predictor, unreadable, notes, onlooker)
    table = AnswerTable(answerer, min(config.top_k, len(predictor.labels)))

    def deliver(photos: Iterable[Labelled]) -> None:
        if output is None:
            _PRINTERS[config.format or "text"](table, photos)
        else:
            write = _WRITERS[config.output_format or ""]
            output.write(lambda file: write(file, table, photos))

    if page is None:
        deliver(photos)
    else:
        page.write(photos, deliver)
    found = (*notes.lines(), *notes.labelling_depth(predictor.bit_depth))
    print_warnings((*found, *predictor.later_warnings()))
    for line in table.not_answered(source.count - len(unreadable)):
        tell(line)
    for_a_person = output is not None or config.format in (None, "text")
    if for_a_person and config.verbose and source.count > 1 and table.counted():
        tell(table.counted())
    if unreadable:
        tell(f"{len(unreadable):,} of {count(source.count, 'photo')} could not be read.")
    if page is not None:
        tell(f"why: {config.why}/{page.path.name}")
    if output is not None:
        say(f"{count(table.answered, 'photo')} labelled: {config.output}")
    return 1 if unreadable else 0


def _labelled(
    config: LabelConfig,
    source: FileSource,
    predictor: Predictor,
    unreadable: list[str],
    notes: ReadingNotes,
    onlooker: Onlooker | None,
) -> Iterator[Labelled]:
    """Yields the photos with their labels; those that can't be read are told, and collected."""
    with progress_bar("labels", source.count, starts=True, verbose=config.verbose) as bar:
        limits = PhotoLimits.of(config)
        for photo in label_photos(source.entries, predictor, limits, onlooker, notes):
            bar.update()
            if photo.problem is not None and config.on_bad_image == "fail":
                raise notes.refusal(photo.name, photo.problem)
            yield photo
            if photo.problem is not None:
                unreadable.append(photo.name)
                tell(f"{photo.name}: {photo.problem}")


def _print_text(table: AnswerTable, photos: Iterable[Labelled]) -> None:
    for photo in photos:
        answer = table.answer(photo)
        if not answer.scores:
            continue
        say(readable(photo.name, None))
        for line in table.reasons(answer):
            say(f"  {line}")
        top = [(readable(readable_label(label)), score) for label, score in answer.scores]
        width = max(len(label) for label, _ in top)
        for label, score in top:
            say(f"  {label:<{width}}  {score:.4f}")


def _print_json(table: AnswerTable, photos: Iterable[Labelled]) -> None:
    for photo in photos:
        say_json(table.record(photo))


def _print_csv(table: AnswerTable, photos: Iterable[Labelled]) -> None:
    say_csv(table.columns)
    for photo in photos:
        say_csv(table.texts(photo))


# JSON is one object per line, so that a million photos can be written and read as a stream.
_PRINTERS: dict[str, Callable[[AnswerTable, Iterable[Labelled]], None]] = {
    "text": _print_text,
    "json": _print_json,
    "csv": _print_csv,
}


def _write_json(file: BinaryIO, table: AnswerTable, photos: Iterable[Labelled]) -> None:
    write_json_lines(file, map(table.record, photos))


def _write_csv(file: BinaryIO, table: AnswerTable, photos: Iterable[Labelled]) -> None:
    write_csv(file, [*table.columns], map(table.texts, photos))


def _write_tsv(file: BinaryIO, table: AnswerTable, photos: Iterable[Labelled]) -> None:
    write_csv(file, [*table.columns], map(table.texts, photos), "\t")


def _write_parquet(file: BinaryIO, table: AnswerTable, photos: Iterable[Labelled]) -> None:
    write_parquet(file, table.columns, map(table.cells, photos))


_WRITERS: dict[str, Callable[[BinaryIO, AnswerTable, Iterable[Labelled]], None]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "json": _write_json,
    "parquet": _write_parquet,
}
