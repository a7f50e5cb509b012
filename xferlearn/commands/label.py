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
    Labeller,
    Onlooker,
    PartFolder,
    WhyPage,
    checked_folder,
    label_photos,
    labelled_in,
    made_by,
    model_digest,
    plan_parts,
    working_on,
)
from xferlearn.photos.blocks import blocks_of
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.files import read_files
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.runners import POSITION, in_order
from xferlearn.system.folders import check_writable
from xferlearn.system.outputs import check_output_anywhere
from xferlearn.system.places import Place, place_of
from xferlearn.system.progress import progress_bar
from xferlearn.system.row_files import write_csv, write_json_lines, write_parquet
from xferlearn.system.terminal import say, say_csv, say_json, tell
from xferlearn.system.text import count, readable


def run(config: LabelConfig) -> int:
    """Labels all photos; returns 1 where some could not be read, after labelling the others."""
    output = folder = None
    if config.output_folder:
        folder = _folder_of(config)
    elif config.output is not None:
        output = check_output_anywhere(config.output)
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
    table = AnswerTable(answerer, min(config.top_k, len(predictor.labels)))
    if folder is not None:
        bad = _write_parts(config, folder, source, predictor, table, notes)
    else:
        onlooker = page.onlooker if page is not None else None
        photos = _labelled(config, source, predictor, unreadable, notes, onlooker)

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
        bad = len(unreadable)
    found = (*notes.lines(), *notes.labelling_depth(predictor.bit_depth))
    print_warnings((*found, *predictor.later_warnings()))
    for line in table.not_answered(source.count - bad):
        tell(line)
    for_a_person = config.output is not None or config.format in (None, "text")
    if for_a_person and config.verbose and source.count > 1 and table.counted():
        tell(table.counted())
    if bad:
        tell(f"{bad:,} of {count(source.count, 'photo')} could not be read.")
    if page is not None:
        tell(f"why: {config.why}/{page.path.name}")
    if config.output is not None:
        say(f"{count(table.answered, 'photo')} labelled: {config.output}")
    return 1 if bad else 0


def _folder_of(config: LabelConfig) -> Place:
    """Returns the folder that parts go to; sees, before any work, that it can be written."""
    place = place_of(str(config.output), "`output`")
    check_writable("output", place.address)
    return place


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
        if config.runner == "local":
            limits = PhotoLimits.of(config)
            found = label_photos(source.entries, predictor, limits, onlooker, notes)
        else:
            found = _by_workers(config, source, predictor, notes)
        for photo in found:
            bar.update()
            _check(config, photo, notes)
            yield photo
            if photo.problem is not None:
                unreadable.append(photo.name)
                tell(f"{photo.name}: {photo.problem}")


def _by_workers(
    config: LabelConfig, source: FileSource, predictor: Predictor, notes: ReadingNotes
) -> Iterator[Labelled]:
    """Yields the photos in their order, as workers have labelled them."""
    digest = model_digest(predictor, config.weights)
    with working_on(config, predictor, digest, source) as (runner, job):
        blocks = blocks_of(source.entries(), runner.block_rows(source.count))
        for result in in_order(runner.run(job, blocks)):
            yield from labelled_in(result, notes)


def _write_parts(
    config: LabelConfig,
    place: Place,
    source: FileSource,
    predictor: Predictor,
    table: AnswerTable,
    notes: ReadingNotes,
) -> int:
    """Writes the labels as parts; returns how many photos can't be read, which are told."""
    unreadable = 0
    by = made_by(predictor, config, table)
    plan = plan_parts(source.entries(), by)
    parts = PartFolder(place, plan, by, table, replace=config.replace_parts)
    if parts.there or parts.again:
        tell(parts.found())
    if parts.there == len(plan):
        parts.begin()
        return 0
    done, verbose, limits = parts.photos_there, config.verbose, PhotoLimits.of(config)
    with (
        progress_bar("labels", source.count, done=done, starts=True, verbose=verbose) as bar,
        working_on(
            config,
            predictor,
            by["model"]["sha256"],
            source,
            here=Labeller(predictor, limits, counted=bar.update),
        ) as (runner, job),
    ):
        parts.begin()
        for result in runner.run(job, parts.blocks(source.entries())):
            positions = result[POSITION].to_pylist()
            for position, photo in zip(positions, labelled_in(result, notes), strict=True):
                _check(config, photo, notes)
                parts.add(position, photo)
                if photo.problem is not None:
                    unreadable += 1
                    tell(f"{photo.name}: {photo.problem}")
            if runner.name != "local":
                bar.update(len(positions))
    parts.finish()
    return unreadable


def _check(config: LabelConfig, photo: Labelled, notes: ReadingNotes) -> None:
    if photo.problem is not None and config.on_bad_image == "fail":
        raise notes.refusal(photo.name, photo.problem)


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
