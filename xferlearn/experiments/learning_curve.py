"""`xferlearn curve`: how accuracy grows with the number of photos per class."""

import csv
import dataclasses
import hashlib
import io

import numpy as np

from xferlearn import summaries
from xferlearn.config import CurveConfig, TrainConfig
from xferlearn.config.signatures import from_settings
from xferlearn.dashboard.experiments import write_experiment
from xferlearn.errors import XferlearnError
from xferlearn.experiments.curve_result import Curve, Point
from xferlearn.experiments.forecasting import FEWEST_JUDGED, Forecast, forecast_gain
from xferlearn.experiments.outcomes import (
    Outcome,
    OutcomeStore,
    column_of,
    heading_of,
    judged_photos,
    measure_of,
    share,
)
from xferlearn.experiments.plotting import Fit, save, save_curve
from xferlearn.experiments.recording import experiment_name
from xferlearn.experiments.running import (
    all_warnings,
    need_judged,
    open_photos,
    open_space,
    output_dir,
    run_key,
)
from xferlearn.photos.manifest import Manifest
from xferlearn.photos.photo import TRAIN, VALIDATION
from xferlearn.summaries.events import EventWriter
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device
from xferlearn.system.text import count, plural_of
from xferlearn.training.fit import Prepared
from xferlearn.training.fitting import fit_head
from xferlearn.training.networks import check_backbone


@from_settings(CurveConfig)
def curve(config: CurveConfig) -> Curve:
    """Trains on more and more photos, and always predicts the same; `xferlearn curve` in Python.

    One of `image_dir`, `labels` and `dataset` is required.

    Returns:
        The accuracy, or where photos may have several labels the mean average precision, by number
        of photos, and a forecast for more of them.

    Raises:
        UserError: a setting or the photos can't be used.

    Example:
        >>> print(curve(image_dir="photos").forecast)
        100 more per class: about +1.2 points (+0.4 to +2.0)
    """
    return curve_with(config)


def curve_with(config: CurveConfig) -> Curve:
    """Measures as `config` says; see `curve`."""
    settings = config.train_config()
    check_backbone(settings)
    source = open_photos(settings, output_dir(config))
    choose_device(settings.device)
    space = open_space(settings, source)
    if space.prepared is None:
        raise space.problem or XferlearnError("The backbone is not available.")
    manifest = space.prepared.split(settings)
    need_judged(manifest, "A learning curve")
    store = OutcomeStore(output_dir(config) / "runs")
    points = []
    places = [order_photos(manifest, draw) for draw in range(config.draws)]
    sizes = _sizes(int(places[0].max()) + 1)
    # All photos of every class can be drawn in one way only.
    draws = (len(sizes) - 1) * config.draws + 1
    with (
        progress_bar("curve", draws, "draw", verbose=config.verbose) as bar,
        summaries.run_folder(settings.logs_dir, experiment_name(config, "curve")) as run_dir,
        EventWriter(run_dir) as events,
    ):
        for size in sizes:
            outcomes, total = [], 0
            for draw in range(config.draws if size < sizes[-1] else 1):
                drawn = (places[draw] >= 0) & (places[draw] < size)
                total = max(total, int(drawn.sum(axis=0).max()))
                outcomes.append(_outcome(settings, space.prepared, manifest, drawn, draw, store))
                bar.update()
            found = share(outcomes)
            points.append(Point(size, total, found, tuple(outcomes)))
            if found.photos:
                for name, value in (("", found.mean), ("_low", found.low), ("_high", found.high)):
                    # As the charts of a training call it.
                    tag = f"curve/{column_of(heading_of(found.measure))}{name}"
                    events.scalar(tag, value, size, "the step is the number of photos per class")
    forecast, why_not = _forecast(points)
    folder = output_dir(config)
    save(folder / "curve.csv", _csv(points).encode())
    rows = [(point.photos, point.validation) for point in points]
    save_curve(folder / "curve.png", found.name, rows, _fit(points, forecast))
    result = Curve(
        points=tuple(points),
        forecast=forecast,
        why_not=why_not,
        answer=_answer(points),
        # The last point has all photos, and with them all that is to be said of the others.
        warnings=all_warnings([(space, list(points[-1].outcomes))], settings, store),
        table=folder / "curve.csv",
        plot=folder / "curve.png",
        run_dir=run_dir,
    )
    failed = write_experiment(run_dir, result.document())
    return dataclasses.replace(result, warnings=(*result.warnings, *failed))


def _sizes(largest: int) -> list[int]:
    usual = (1, 3, *(digit * 10**power for power in range(7) for digit in (5, 10, 20)))
    return [*(size for size in usual if size < largest), largest]


def order_photos(manifest: Manifest, draw: int) -> np.ndarray:
    """Returns in which order the heads of a draw learn from photos, so that draws are nested.

    The order follows from the content of the photos and the number of the draw. For each head it
    passes over the photos of its fold.

    Args:
        manifest: the photos.
        draw: number of the draw.

    Returns:
        The place of each photo among those of its class, 0 and up, int, [photos, heads]; -1 where
        the head never learns from it. There is a head per fold, or one where there are no folds.
        Of a photo with several labels it is the smallest of its places, so that as many photos of
        every class are drawn; those without any label are taken as one more class.
    """
    ordered = sorted(
        manifest.indices(TRAIN),
        key=lambda i: hashlib.sha256(manifest.photos[i].digest + draw.to_bytes(4, "big")).digest(),
    )
    order = np.array(ordered, int)
    truth = manifest.truth(ordered)
    members = [truth == label for label in range(len(manifest.labels))]
    if truth.ndim == 2:
        members = [*truth.T, ~truth.any(axis=1)]
    folds = np.array([manifest.folds[i] for i in ordered] if manifest.folds else -1)
    places = np.full((len(manifest.photos), max(manifest.fold_count, 1)), -1)
    for head in range(places.shape[1]):
        for member in members:
            rows = order[member & (folds != head)]
            before, place = places[rows, head], np.arange(len(rows))
            places[rows, head] = np.where(before < 0, place, np.minimum(before, place))
    return places


def _outcome(
    config: TrainConfig,
    prepared: Prepared,
    manifest: Manifest,
    drawn: np.ndarray,
    draw: int,
    store: OutcomeStore,
) -> Outcome:
    digest = hashlib.sha256(np.packbits(drawn).tobytes()).hexdigest()
    key = run_key(store, f"curve {digest}", config, prepared, manifest)
    settings = {"draw": draw}
    known = store.get(key, settings)
    if known is None:
        warnings: list[str] = []
        fitted = fit_head(
            config,
            prepared,
            manifest=manifest,
            only=VALIDATION,
            drawn=drawn,
            on_warning=warnings.append,
        )
        known = Outcome(
            settings,
            steps=fitted.training.steps,
            diverged=fitted.training.diverged,
            warnings=tuple(warnings),
        )
        if not known.diverged:
            judged = judged_photos(manifest, VALIDATION, fitted.probabilities(VALIDATION))
            known = dataclasses.replace(known, **judged)
        store.put(key, known)
    return known


def _forecast(points: list[Point]) -> tuple[Forecast | None, str]:
    measured = [point for point in points if point.validation.photos]
    if not measured:
        return None, "every number of photos had draws that diverged"
    tables = [[outcome.right for outcome in point.outcomes] for point in measured]
    groups = measured[-1].outcomes[0].groups
    return forecast_gain([point.photos for point in measured], tables, groups)


def _fit(points: list[Point], forecast: Forecast | None) -> Fit | None:
    # It is drawn through the last points, so none of them may be missing.
    if forecast is None or not all(point.validation.photos for point in points):
        return None
    last = forecast.fitted[-1]
    ends = (min(max(last + gain, 0.0), 1.0) for gain in (forecast.low, forecast.high))
    return Fit(forecast.fitted, points[-1].photos + forecast.more, last + forecast.gain, *ends)


def _answer(points: list[Point]) -> str:
    measured = [point for point in points if point.validation.photos]
    if not measured:
        return "Every number of photos had draws that diverged: nothing can be concluded."
    if measured[-1].validation.photos < FEWEST_JUDGED:
        judged = measured[-1].validation.photos
        return f"{count(judged, 'photo')} can't tell how many are needed."
    last = measured[-1]
    near = next(point for point in measured if point.validation.mean >= last.validation.mean - 0.02)
    many = "Yes, it takes many" if near is last else "No"
    rest = (
        f"fewer than {count(last.photos, 'photo')} per class cost more than 2 points"
        if near is last
        else f"{count(near.photos, 'photo')} per class {plural_of(near.photos, 'comes', 'come')}"
        f" within 2 points of {last.photos}"
        f" ({near.validation.text(near.validation.mean)} against"
        f" {last.validation.text(last.validation.mean)})"
    )
    return f"Does it take many photos? {many}: {rest}, on {count(last.validation.photos, 'photo')}."


def _csv(points: list[Point]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    measure = column_of(measure_of(point.validation for point in points))
    writer.writerow(
        ["photos_a_class", "photos", measure, "low", "high", "judged", "folding", "draws"]
    )
    for point in points:
        found = point.validation
        measured = (found.mean, found.low, found.high) if found.photos else ("", "", "")
        writer.writerow(
            [
                *(point.photos, point.total, *measured, found.photos, found.folding),
                len(point.outcomes),
            ]
        )
    return file.getvalue()
