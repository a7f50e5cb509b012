"""`xferlearn curve`: how accuracy grows with the number of photos per class."""

import csv
import hashlib
import io

from xferlearn import summaries
from xferlearn.config import CurveConfig, TrainConfig
from xferlearn.config.signatures import from_settings
from xferlearn.errors import XferlearnError
from xferlearn.experiments.curve_result import Curve, Point
from xferlearn.experiments.forecasting import FEWEST_TESTS, Forecast, forecast_gain
from xferlearn.experiments.outcomes import Outcome, OutcomeStore, judged_photos, share
from xferlearn.experiments.plotting import Fit, draw_shares, save, save_plot
from xferlearn.experiments.running import (
    all_warnings,
    need_photos,
    open_photos,
    open_space,
    output_dir,
    run_key,
)
from xferlearn.photos.manifest import TEST, TRAIN, Manifest
from xferlearn.summaries.events import EventWriter
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device
from xferlearn.system.text import count, plural_of
from xferlearn.training.fit import Prepared, check_backbone
from xferlearn.training.fitting import fit_head


@from_settings(CurveConfig)
def curve(config: CurveConfig) -> Curve:
    """Trains on more and more photos, always tested on the same ones; `xferlearn curve` in Python.

    One of `image_dir`, `labels` and `dataset` is required.

    Returns:
        The test accuracy by number of photos, and a forecast for more of them.

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
    need_photos(settings, TEST, "A learning curve")
    check_backbone(settings)
    source = open_photos(settings, output_dir(config))
    choose_device(settings.device)
    space = open_space(settings, source)
    if space.prepared is None:
        raise space.problem or XferlearnError("The backbone is not available.")
    manifest = space.prepared.split(settings)
    need_photos(settings, TEST, "A learning curve", len(manifest.indices(TEST)))
    store = OutcomeStore(output_dir(config) / "runs")
    points = []
    sizes = _sizes(manifest)
    # All photos of every class can be drawn in one way only.
    draws = (len(sizes) - 1) * config.draws + 1
    with (
        progress_bar("curve", draws, "draw", verbose=config.verbose) as bar,
        summaries.run_folder(settings.logs_dir, f"curve_{settings.backbone}") as run_dir,
        EventWriter(run_dir) as events,
    ):
        for size in sizes:
            outcomes, total = [], 0
            for draw in range(config.draws if size < sizes[-1] else 1):
                drawn = draw_photos(manifest, size, draw)
                total = len(drawn.indices(TRAIN))
                outcomes.append(_outcome(settings, space.prepared, drawn, draw, store))
                bar.update()
            found = share(outcomes)
            points.append(Point(size, total, found, tuple(outcomes)))
            if found.photos:
                for name, value in (("", found.mean), ("_low", found.low), ("_high", found.high)):
                    tag = f"curve/test_accuracy{name}"
                    events.scalar(tag, value, size, "the step is the number of photos per class")
    forecast, why_not = _forecast(points)
    folder = output_dir(config)
    save(folder / "curve.csv", _csv(points).encode())
    rows = [(str(point.photos), point.test) for point in points]
    save_plot(
        folder / "curve.png",
        draw_shares(
            "test accuracy by photos per class", rows, joined=True, fit=_fit(points, forecast)
        ),
    )
    return Curve(
        points=tuple(points),
        forecast=forecast,
        why_not=why_not,
        answer=_answer(points),
        tests=len(manifest.indices(TEST)),
        steps=config.how_many_training_steps,
        # The last point has all photos, and with them all that is to be said of the others.
        warnings=all_warnings([(space, list(points[-1].outcomes))], settings, store),
        table=folder / "curve.csv",
        plot=folder / "curve.png",
        run_dir=run_dir,
    )


def _sizes(manifest: Manifest) -> list[int]:
    counts = [row[TRAIN] for row in manifest.counts().values()]
    largest = max(counts)
    usual = (1, 3, *(digit * 10**power for power in range(7) for digit in (5, 10, 20)))
    return [*(size for size in usual if size < largest), largest]


def draw_photos(manifest: Manifest, size: int, draw: int) -> Manifest:
    """Returns a manifest with at most `size` training photos per class, and no validation photos.

    Draws of one number are nested: 10 photos per class include those of 5. Somebody with five
    photos per class has none to spare for validation, so there are none at any size; training
    runs all its steps.
    """
    ordered = sorted(
        manifest.indices(TRAIN),
        key=lambda i: hashlib.sha256(manifest.photos[i].digest + draw.to_bytes(4, "big")).digest(),
    )
    taken: dict[int, list[int]] = {}
    for index in ordered:
        of_class = taken.setdefault(manifest.photos[index].label, [])
        if len(of_class) < size:
            of_class.append(index)
    kept = sorted([*(i for some in taken.values() for i in some), *manifest.indices(TEST)])
    return manifest.only(kept)


def _outcome(
    config: TrainConfig, prepared: Prepared, manifest: Manifest, draw: int, store: OutcomeStore
) -> Outcome:
    key = run_key(store, "curve", config, prepared, manifest)
    settings = {"draw": draw}
    known = store.get(key, settings)
    if known is None:
        warnings: list[str] = []
        fitted = fit_head(config, prepared, manifest=manifest, on_warning=warnings.append)
        right = fitted.probabilities(TEST).argmax(axis=1) == fitted.truth(TEST)
        diverged = fitted.training.diverged
        known = Outcome(
            settings,
            right=() if diverged else tuple(bool(one) for one in right),
            **({} if diverged else judged_photos(manifest, TEST)),
            steps=fitted.training.steps,
            diverged=diverged,
            warnings=tuple(warnings),
        )
        store.put(key, known)
    return known


def _forecast(points: list[Point]) -> tuple[Forecast | None, str]:
    measured = [point for point in points if point.test.photos]
    if not measured:
        return None, "every number of photos had draws that diverged"
    tables = [[outcome.right for outcome in point.outcomes] for point in measured]
    return forecast_gain([point.photos for point in measured], tables)


def _fit(points: list[Point], forecast: Forecast | None) -> Fit | None:
    # It is drawn through the last points, so none of them may be missing.
    if forecast is None or not all(point.test.photos for point in points):
        return None
    last = forecast.fitted[-1]
    ends = (min(max(last + gain, 0.0), 1.0) for gain in (forecast.low, forecast.high))
    return Fit(forecast.fitted, f"{forecast.more} more", last + forecast.gain, *ends)


def _answer(points: list[Point]) -> str:
    measured = [point for point in points if point.test.photos]
    if not measured:
        return "Every number of photos had draws that diverged: nothing can be concluded."
    if measured[-1].test.photos < FEWEST_TESTS:
        tests = measured[-1].test.photos
        return f"{count(tests, 'test photo')} can't tell how many photos are needed."
    last = measured[-1]
    near = next(point for point in measured if point.test.mean >= last.test.mean - 0.02)
    many = "Yes, it takes many" if near is last else "No"
    rest = (
        f"fewer than all {count(last.photos, 'photo')} per class cost more than 2 points"
        if near is last
        else f"{count(near.photos, 'photo')} per class {plural_of(near.photos, 'comes', 'come')}"
        f" within 2 points of all {last.photos}"
        f" ({near.test.mean:.1%} against {last.test.mean:.1%})"
    )
    return f"Does it take many photos? {many}: {rest}, on {count(last.test.photos, 'test photo')}."


def _csv(points: list[Point]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["photos_a_class", "photos", "test_accuracy", "low", "high", "tests", "draws"])
    for point in points:
        found = point.test
        measured = (found.mean, found.low, found.high) if found.photos else ("", "", "")
        writer.writerow([point.photos, point.total, *measured, found.photos, len(point.outcomes)])
    return file.getvalue()
