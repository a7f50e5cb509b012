"""Blocks of photos to blocks of predictions: what workers do when photos are labelled."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import ImageConfig, LabelConfig, ModelConfig
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos
from xferlearn.photos.blocks import entries_in
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.reading import Loaded
from xferlearn.photos.sources import Entry
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.runners import POSITION, PROBLEM, Job

if TYPE_CHECKING:
    import pyarrow as pa

Looking = Callable[[], contextlib.AbstractContextManager[Onlooker | None]]


class _Notes(ReadingNotes):
    """Notes that remember each photo, for whoever counts them elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[bool, str, int | None]] = []

    def add(self, item: Loaded) -> None:
        reached = item.depth.reached if item.depth is not None else None
        self.rows.append((item.paged, item.remedy, reached))


class Labeller:
    """Labels blocks of photos, each by one call; the work of a `Job`."""

    def __init__(
        self,
        predictor: Predictor,
        limits: PhotoLimits,
        looking: Looking = contextlib.nullcontext,
        counted: Callable[[], object] = int,
    ) -> None:
        """Labels with a model.

        Args:
            predictor: the model.
            limits: caps on bytes and pixels.
            looking: returns who else sees the pixels of a block's photos.
            counted: called for each photo.
        """
        self._predictor = predictor
        self._limits = limits
        self._looking = looking
        self._counted = counted

    def __call__(self, block: "pa.Table") -> "pa.Table":
        """Returns what the model says of a block's photos, in their order."""
        entries, notes = entries_in(block), _Notes()
        with self._looking() as onlooker:
            said = label_photos(lambda: entries, self._predictor, self._limits, onlooker, notes)
            photos = []
            for photo in said:
                self._counted()
                photos.append(photo)
        return _table(block, photos, notes.rows)


def open_labeller(settings: Mapping[str, Any]) -> Labeller:
    """Opens a model in a worker.

    Args:
        settings: those of `ModelConfig` that were given.
    """
    config = ModelConfig(**settings)
    return Labeller(open_predictor(config), PhotoLimits.of(config))


def failed(block: "pa.Table", reason: str) -> "pa.Table":
    """Returns what is said of photos that can't be labelled."""
    photos = [Labelled("", problem=reason)] * block.num_rows
    return _table(block, photos, [(False, "", None)] * block.num_rows)


def labelling_job(
    predictor: Predictor,
    config: LabelConfig,
    entries: Callable[[], Iterable[Entry]],
    counted: Callable[[], object] = int,
) -> Job:
    """Returns the job of labelling photos.

    Args:
        predictor: the model of `config`, opened here.
        config: settings of the model, and where it runs.
        entries: returns the photos, of which some are read where engines are compared.
        counted: called for each photo that this process labels.
    """
    if config.runner == "local":
        limits = PhotoLimits.of(config)
        return Job(lambda: Labeller(predictor, limits, counted=counted), {}, failed)
    return Job(open_labeller, {"settings": worker_settings(predictor, config, entries)}, failed)


def worker_settings(
    predictor: Predictor, config: ImageConfig, entries: Callable[[], Iterable[Entry]]
) -> dict[str, Any]:
    """Returns the settings of `ModelConfig` for workers: as given, with the engine settled here.

    Args:
        predictor: the model, opened here.
        config: settings that these are among.
        entries: returns the photos, of which some are read where engines are compared.
    """
    of_model = ModelConfig if isinstance(config, ModelConfig) else ImageConfig
    names = {field.name for field in dataclasses.fields(of_model)}
    given = {name: value for name, value in config.changed().items() if name in names}
    for name in ("model", "weights", "labels", "bottleneck_dir"):
        path = given.get(name)
        if path is not None and os.path.exists(path):
            given[name] = os.path.abspath(path)
    with predictor.scoring(entries, PhotoLimits.of(config)):
        pass  # which settles the engine
    settled = predictor.cached.settled if predictor.cached is not None else {}
    return given | dict(settled) | {"verbose": 0}


def labelled_in(table: "pa.Table", notes: ReadingNotes) -> Iterator[Labelled]:
    """Yields the photos of a block of predictions.

    Args:
        table: what a `Labeller` returned.
        notes: counts what is worth a line in the end.
    """
    scores = table["scores"].combine_chunks()
    for row, told in enumerate(table.drop_columns("scores").to_pylist()):
        name = os.fsdecode(told["name"])
        notes.add_read(name, paged=told["paged"], remedy=told["remedy"], reached=told["reached"])
        yield Labelled(
            name,
            told["label"],
            told["digest"],
            np.asarray(scores[row].values) if scores[row].is_valid else None,
            told["familiarity"],
            told[PROBLEM],
        )


def _table(
    block: "pa.Table", photos: list[Labelled], read: list[tuple[bool, str, int | None]]
) -> "pa.Table":
    import pyarrow as pa

    scores = [photo.scores for photo in photos]
    paged, remedy, reached = zip(*read, strict=True)
    return pa.table(
        {
            POSITION: block[POSITION],
            "name": block["name"],
            "label": block["label"],
            "digest": pa.array([photo.digest for photo in photos], pa.binary()),
            "scores": pa.array(scores, pa.large_list(pa.float32())),
            # Python's number is a double.
            "familiarity": pa.array([photo.familiarity for photo in photos], pa.float64()),
            PROBLEM: pa.array([photo.problem for photo in photos], pa.string()),
            "paged": pa.array(paged, pa.bool_()),
            "remedy": pa.array(remedy, pa.string()),
            "reached": pa.array(reached, pa.int8()),
        }
    )
