"""`xferlearn sweep`: every combination of settings, compared on photos their heads never saw."""

import csv
import dataclasses
import io
import itertools
import math
import random
import shlex
from collections.abc import Sequence
from typing import Any

from xferlearn.config import SEEDS, SweepConfig, TrainConfig
from xferlearn.config.signatures import from_settings
from xferlearn.config.wording import flag_value
from xferlearn.experiments.outcomes import (
    Outcome,
    OutcomeStore,
    Share,
    column_of,
    difference,
    measure_of,
    share,
)
from xferlearn.experiments.plotting import save, save_ranking
from xferlearn.experiments.rates import measure_rates
from xferlearn.experiments.recording import record
from xferlearn.experiments.running import (
    Space,
    all_warnings,
    judge_on_test,
    open_photos,
    output_dir,
    run_all,
)
from xferlearn.experiments.sweep_result import Candidate, SpaceTimes, Sweep
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import TEST
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device, on_device
from xferlearn.training.networks import check_backbone

_MOST_PLOTTED = 12


@from_settings(SweepConfig)
def sweep(config: SweepConfig) -> Sweep:
    """Trains all combinations of settings and compares them; `xferlearn sweep` in Python.

    One of `image_dir`, `labels` and `dataset` is required. A setting that may vary takes a
    sequence, or text with commas.

    Returns:
        The combinations, the best one first by accuracy, or where photos may have several labels
        by mean average precision; and that of the best one on the test photos.

    Raises:
        UserError: a setting or the photos can't be used.

    Example:
        >>> sweep(image_dir="photos", learning_rate=[0.005, 0.01, 1.0], seed=[0, 1]).candidates[0]
    """
    return sweep_with(config)


def sweep_with(config: SweepConfig) -> Sweep:
    """Sweeps as `config` says; see `sweep`."""
    varied = [name for name in config.lists() if len(config.values(name)) > 1]
    grid = _grid(config)
    configs = [(_short(settings, varied), config.train_config(**settings)) for settings in grid]
    for _, one in configs:
        check_backbone(one)
    source = open_photos(configs[0][1], output_dir(config))
    devices = config.values("device")
    if len(devices) == 1:
        choose_device(devices[0])
    store = OutcomeStore(output_dir(config) / "runs")
    spaces: dict[int, tuple[Space, list[Outcome]]] = {}
    outcomes: list[Outcome] = []
    with progress_bar("sweep", len(configs), "run", verbose=config.verbose) as bar:
        for space, outcome in run_all(configs, source, store, "A sweep"):
            spaces.setdefault(id(space), (space, []))[1].append(outcome)
            outcomes.append(outcome)
            bar.update()
    candidates = _ranked(outcomes)
    best = candidates[0] if candidates and candidates[0].validation.photos else None
    test, command = None, ""
    if best is not None:
        # The test photos are looked at here, once, after the choice.
        chosen = [
            one
            for (_, one), outcome in zip(configs, outcomes, strict=True)
            if outcome in best.outcomes
        ]
        space = next(space for space, done in spaces.values() if best.outcomes[0] in done)
        test = _test(best, chosen, space, store)
        command = _command(chosen[0], best.settings, varied)
    folder = output_dir(config)
    save(folder / "sweep.csv", _csv(candidates).encode())
    shown = sorted(candidates[:_MOST_PLOTTED], key=_by_value)
    rows = [(candidate.name, candidate.validation) for candidate in shown]
    save_ranking(folder / "sweep.png", candidates[0].validation.name, rows)
    result = Sweep(
        candidates=candidates,
        test=test,
        spaces=tuple(_times(space, done, configs[0][1]) for space, done in spaces.values()),
        command=command,
        warnings=all_warnings(spaces.values(), configs[0][1], store),
        table=folder / "sweep.csv",
        plot=folder / "sweep.png",
        logs_dir=str(config.logs_dir),
    )
    return record(result, config, "sweep")


def _grid(config: SweepConfig) -> list[dict[str, Any]]:
    lists = {name: config.values(name) for name in config.lists()}
    seeds = list(itertools.product(*(lists.pop(name) for name in SEEDS)))[: config.max_runs]
    grid = list(itertools.product(*lists.values()))
    if config.max_runs is not None and len(grid) * len(seeds) > config.max_runs:
        # All seeds of some combinations, because those that are compared need the same ones.
        kept = random.Random(0).sample(range(len(grid)), config.max_runs // len(seeds))
        grid = [grid[index] for index in sorted(kept)]
    return [
        dict(zip((*lists, *SEEDS), (*values, *drawn), strict=True))
        for values in grid
        for drawn in seeds
    ]


def _short(settings: dict[str, Any], varied: Sequence[str]) -> dict[str, Any]:
    return {name: settings[name] for name in varied}


def _by_value(candidate: Candidate) -> list[tuple[bool, float, str]]:
    """Returns by what candidates are sorted along an axis: their settings, numbers as numbers."""
    return [
        (False, value, "") if isinstance(value, (int, float)) else (True, 0.0, str(value))
        for value in candidate.settings.values()
    ]


def _ranked(outcomes: Sequence[Outcome]) -> tuple[Candidate, ...]:
    groups: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        kept = tuple((k, v) for k, v in outcome.settings.items() if k not in SEEDS)
        groups.setdefault(kept, []).append(outcome)
    candidates = [
        Candidate(dict(settings), tuple(group), share(group)) for settings, group in groups.items()
    ]

    def order(candidate: Candidate) -> tuple[float, float]:
        mean = candidate.validation.mean
        losses = [one.loss for one in candidate.outcomes if one.loss is not None]
        return (math.inf if math.isnan(mean) else -mean, sum(losses) / max(len(losses), 1))

    candidates.sort(key=order)
    if not candidates or not candidates[0].validation.photos:
        return tuple(candidates)
    best = candidates[0]
    ranked = sum(candidate.validation.photos > 0 for candidate in candidates)
    pairs = math.comb(ranked, 2)  # the best of many is ahead by luck
    return (
        best,
        *(
            dataclasses.replace(one, behind=difference(best.outcomes, one.outcomes, pairs))
            if one.validation.photos
            else one
            for one in candidates[1:]
        ),
    )


def _test(
    best: Candidate, configs: Sequence[TrainConfig], space: Space, store: OutcomeStore
) -> Share | None:
    prepared = space.prepared
    if prepared is None:
        return None
    outcomes = []
    for config, outcome in zip(configs, best.outcomes, strict=True):
        manifest = prepared.split(config, configs[0].split_seed)
        if not manifest.indices(TEST):
            return None
        outcomes.append(judge_on_test(config, prepared, manifest, outcome.settings, store))
    return share(outcomes)


def _times(space: Space, outcomes: Sequence[Outcome], config: TrainConfig) -> SpaceTimes:
    prepared = space.prepared
    with on_device(space.settings["device"]):
        rates = measure_rates(prepared, PhotoLimits.of(config)) if prepared else None
    return SpaceTimes(
        settings=dict(space.settings),
        photos=len(prepared.extraction.photos) if prepared else 0,
        extraction=space.seconds,
        computed=prepared.extraction.computed if prepared else 0,
        training=sum(outcome.seconds for outcome in outcomes),
        runs=len(outcomes),
        rates=rates,
    )


def _command(config: TrainConfig, settings: dict[str, Any], varied: Sequence[str]) -> str:
    # The first of several split seeds is the one whose test photos no run has seen.
    left_out = ["model_dir", "summaries", "verbose", "run_name"]
    left_out += ["seed"] if "seed" in varied else []
    flags = {n: v for n, v in config.changed().items() if n not in left_out} | settings
    words = [f"--{name}={flag_value(value)}" for name, value in flags.items() if value is not None]
    return shlex.join(["xferlearn", "train", *words, "--model_dir=out/best"])


def _csv(candidates: Sequence[Candidate]) -> str:
    names = list(dict.fromkeys(name for one in candidates for name in one.settings))
    file = io.StringIO()
    writer = csv.writer(file)
    measure = column_of(measure_of(one.validation for one in candidates))
    columns = [measure, "low", "high", "photos", "folding", "runs", "diverged", "seconds"]
    writer.writerow([*names, *columns, "problem"])
    for one in candidates:
        found = one.validation
        measured = (found.mean, found.low, found.high) if found.photos else ("", "", "")
        writer.writerow(
            [
                *(one.settings.get(name) for name in names),
                *measured,
                *(found.photos, found.folding),
                *(len(one.outcomes), one.diverged, round(one.seconds, 3)),
                one.problem or "",
            ]
        )
    return file.getvalue()
