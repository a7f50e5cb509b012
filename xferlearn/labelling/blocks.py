"""Blocks of photos to blocks of predictions: what workers do when photos are labelled."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.blocks import Probe, check_seen, probed
from xferlearn.config import (
    EvaluateConfig,
    ImageConfig,
    LabelConfig,
    ModelConfig,
    default_bottleneck_dir,
)
from xferlearn.errors import UserError
from xferlearn.labelling.made_by import model_digest
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos
from xferlearn.photos.blocks import entries_in
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.reading import Loaded
from xferlearn.photos.sources import PhotoSource
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.runners import POSITION, PROBLEM, Job, Runner, open_runner
from xferlearn.system.addresses import absolute_address
from xferlearn.system.columns import text_of
from xferlearn.system.text import readable

if TYPE_CHECKING:
    import pyarrow as pa

# A photo among so many is looked for that can be read.
_FIRST = 64
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


def open_labeller(settings: Mapping[str, Any], probe: Probe, digest: str) -> Labeller:
    """Opens a model in a worker.

    Args:
        settings: of the model, and how it runs.
        probe: what must be seen there.
        digest: of the model that is meant, see `model_digest`.

    Raises:
        UserError: when it is not seen, or the model can't be opened or is another one.
    """
    config, predictor = open_there(settings, probe, digest)
    return Labeller(predictor, PhotoLimits.of(config))


def open_there(
    settings: Mapping[str, Any], probe: Probe, digest: str
) -> tuple[ModelConfig, Predictor]:
    """Opens a model in a worker; arguments as for `open_labeller`."""
    config = ModelConfig(**settings)
    check_seen(probe, str(config.bottleneck_dir))
    predictor = open_predictor(config)
    if model_digest(predictor, config.weights) != digest:
        raise UserError(
            f"the model {readable(predictor.name)} changed while this was running, or is another"
            " one there than on the machine that asks. See that all have the same, and run again."
        )
    return config, predictor


def failed(block: "pa.Table", reason: str) -> "pa.Table":
    """Returns what is said of photos that can't be labelled."""
    photos = [Labelled("", problem=reason)] * block.num_rows
    return _table(block, photos, [(False, "", None)] * block.num_rows)


@contextlib.contextmanager
def working_on(
    config: LabelConfig | EvaluateConfig,
    predictor: Predictor,
    digest: str,
    source: PhotoSource,
    make: Callable[..., Labeller] = open_labeller,
    here: Labeller | None = None,
) -> Iterator[tuple[Runner, Job]]:
    """Opens what runs the labelling of photos, and the job that it runs.

    Args:
        config: the model, how it runs, and where.
        predictor: the model, opened here.
        digest: of it, see `model_digest`; workers refuse any other model.
        source: the photos, of which some are read where engines are compared.
        make: opens the model in a worker elsewhere, as `open_labeller`.
        here: what labels in this process, where that is the runner.
    """
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(open_runner(config, verbose=config.verbose))
        if runner.name == "local":
            labeller = here or Labeller(predictor, PhotoLimits.of(config))
            yield runner, Job(lambda: labeller, {}, failed)
            return
        settings = _settings_there(config, predictor, source)
        first = itertools.islice(source.entries(), _FIRST)
        probe = stack.enter_context(probed(settings["bottleneck_dir"], first))
        yield runner, Job(make, {"settings": settings, "probe": probe, "digest": digest}, failed)


def _settings_there(
    config: LabelConfig | EvaluateConfig, predictor: Predictor, source: PhotoSource
) -> dict[str, Any]:
    """Returns the settings of `ModelConfig` for workers: as given, with the engine settled here."""
    of_model = ModelConfig if isinstance(config, ModelConfig) else ImageConfig
    names = {field.name for field in dataclasses.fields(of_model)}
    given = {name: value for name, value in config.changed().items() if name in names}
    given |= {"model": config.model, "verbose": 0}
    given["bottleneck_dir"] = config.bottleneck_dir or default_bottleneck_dir()
    for name in ("model", "weights", "labels", "bottleneck_dir"):
        path = given.get(name)
        if path is not None and (os.path.exists(path) or name == "bottleneck_dir"):
            given[name] = absolute_address(path)
    with predictor.scoring(source.entries, PhotoLimits.of(config)):
        pass  # which settles the engine
    return given | dict(predictor.cached.settled if predictor.cached is not None else {})


def labelled_in(table: "pa.Table", notes: ReadingNotes) -> Iterator[Labelled]:
    """Yields the photos of a block of predictions.

    Args:
        table: what a `Labeller` returned.
        notes: counts what is worth a line in the end.
    """
    scores = table["scores"].combine_chunks()
    for row, told in enumerate(table.drop_columns("scores").to_pylist()):
        name = text_of(told["name"])
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
