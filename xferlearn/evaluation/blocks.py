"""What workers do when a model is measured: they label blocks of photos, and keep their prints."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from xferlearn.bottlenecks.blocks import Probe
from xferlearn.bottlenecks.prints import KeptPrints
from xferlearn.bottlenecks.store import PrintStore
from xferlearn.config import EvaluateConfig, ModelConfig, default_bottleneck_dir
from xferlearn.errors import UserError
from xferlearn.labelling import (
    Labelled,
    Labeller,
    label_photos,
    labelled_in,
    model_digest,
    open_there,
    working_on,
)
from xferlearn.photos.blocks import blocks_of
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.sources import PhotoSource
from xferlearn.predictors import Predictor
from xferlearn.runners import in_order


def predicted_photos(
    config: EvaluateConfig,
    predictor: Predictor,
    source: PhotoSource,
    notes: ReadingNotes,
    prints: PrintStore | None,
) -> Iterator[Labelled]:
    """Yields what a model says of photos, in their order; their prints are kept where they can be.

    Args:
        config: where the work is done.
        predictor: the model, opened here.
        source: the photos.
        notes: counts what is worth a line in the end.
        prints: as `print_store` returns it.
    """
    if config.runner == "local":
        with contextlib.ExitStack() as stack:
            kept = None if prints is None else stack.enter_context(_kept(prints))
            limits = PhotoLimits.of(config)
            yield from label_photos(source.entries, predictor, limits, kept, notes)
        return
    digest = model_digest(predictor)
    with working_on(config, predictor, digest, source, open_measuring) as (runner, job):
        blocks = blocks_of(source.entries(), runner.block_rows(source.count))
        for result in in_order(runner.run(job, blocks)):
            yield from labelled_in(result, notes)
    if prints is not None:
        prints.refresh()


def open_measuring(settings: Mapping[str, Any], probe: Probe, digest: str) -> Labeller:
    """Opens a model in a worker; see `open_labeller`."""
    config, predictor = open_there(settings, probe, digest)
    store = print_store(config, predictor)
    limits = PhotoLimits.of(config)
    if store is None:
        return Labeller(predictor, limits)
    return Labeller(predictor, limits, lambda: _kept(store))


def print_store(config: EvaluateConfig | ModelConfig, predictor: Predictor) -> PrintStore | None:
    """Returns where prints are kept; None where a model saw its photos in another way."""
    if predictor.resize != "crop" or predictor.height != predictor.width:
        return None
    try:
        return PrintStore(config.bottleneck_dir or default_bottleneck_dir(), predictor.height)
    except UserError:  # the predictor has said that nothing can be cached there
        return None


def _kept(store: PrintStore) -> contextlib.AbstractContextManager[KeptPrints]:
    return contextlib.closing(KeptPrints(store))
