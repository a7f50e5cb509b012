"""`xferlearn compare`: backbones by accuracy, speed and size, on the user's own photos."""

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence

from xferlearn.backbones.names import COMBINES
from xferlearn.backbones.table import weights_licence
from xferlearn.config import CompareConfig, TrainConfig
from xferlearn.config.in_memory import combined
from xferlearn.config.signatures import from_settings
from xferlearn.errors import UserError, XferlearnError
from xferlearn.experiments.compare_result import ComparedBackbone, Comparison, Gain
from xferlearn.experiments.outcomes import (
    Outcome,
    OutcomeStore,
    column_of,
    difference,
    measure_of,
    share,
)
from xferlearn.experiments.plotting import save, save_ranking
from xferlearn.experiments.rates import Rates, measure_rates
from xferlearn.experiments.recording import record
from xferlearn.experiments.running import (
    Space,
    all_warnings,
    open_photos,
    output_dir,
    run_all,
)
from xferlearn.photos.limits import PhotoLimits
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device
from xferlearn.training import head as heads
from xferlearn.training.fit import Part
from xferlearn.training.networks import check_backbone, rows_of
from xferlearn.training.plan import plan_head


@from_settings(CompareConfig)
def compare(config: CompareConfig) -> Comparison:
    """Compares backbones on photos; `xferlearn compare` in Python.

    One of `image_dir`, `labels` and `dataset` is required.

    Returns:
        The backbones, the most accurate one first.

    Raises:
        UserError: a setting or the photos can't be used.

    Example:
        >>> names = ["mobilenet", "efficientnet_lite0"]
        >>> compare(image_dir="photos", backbone=names).backbones[0].name
    """
    return compare_with(config)


def compare_with(config: CompareConfig) -> Comparison:
    """Compares as `config` says; see `compare`."""
    names = _names(config)
    seeds = config.values("split_seed")
    configs = [
        (
            {"backbone": name, "split_seed": seed},
            config.train_config(backbone=name, split_seed=seed),
        )
        for name, seed in itertools.product(names, seeds)
    ]
    for _, one in configs:
        try:
            check_backbone(one)
        except UserError:
            raise
        except XferlearnError:  # a failed download, which its row tells
            continue
    source = open_photos(configs[0][1], output_dir(config))
    choose_device(config.device)
    store = OutcomeStore(output_dir(config) / "runs")
    found: dict[str, tuple[Space, list[Outcome]]] = {}
    with progress_bar("compare", len(configs), "run", verbose=config.verbose) as bar:
        for space, outcome in run_all(configs, source, store, "A comparison"):
            found.setdefault(outcome.settings["backbone"], (space, []))[1].append(outcome)
            bar.update()
    rates: dict[Part, Rates | None] = {}
    rows = [_row(name, *found[name], configs[0][1], rates) for name in names]
    rows = _with_gains(rows, {name: outcomes for name, (_, outcomes) in found.items()})
    rows = [dataclasses.replace(row, pareto=_on_front(row, rows)) for row in rows]
    rows.sort(key=lambda row: -row.validation.mean if row.validation.photos else 1.0)
    folder = output_dir(config)
    save(folder / "compare.csv", _csv(rows).encode())
    points = [
        (f"{row.name}, {row.rates.network:.0f} photos/s", row.validation)
        for row in rows
        if row.rates is not None
    ]
    title = f"{rows[0].validation.name} by backbone"
    save_ranking(folder / "compare.png", title, points)
    result = Comparison(
        backbones=tuple(rows),
        splits=len(seeds),
        warnings=all_warnings(found.values(), configs[0][1], store),
        table=folder / "compare.csv",
        plot=folder / "compare.png",
    )
    return record(result, config, "compare")


def _csv(rows: list[ComparedBackbone]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    measure = column_of(measure_of(row.validation for row in rows))
    writer.writerow(
        [
            *("backbone", "image_size", measure, "low", "high", "photos", "folding"),
            *("network_photos_per_second", "decode_photos_per_second", "parameters", "megabytes"),
            *("pareto", "problem", "gain_over", "gain", "gain_low", "gain_high", "licence"),
        ]
    )
    for row in rows:
        found, rates = row.validation, row.rates
        measured = (found.mean, found.low, found.high) if found.photos else ("", "", "")
        speed = (round(rates.network, 1), round(rates.decode, 1)) if rates else ("", "")
        gain = dataclasses.astuple(row.gain) if row.gain else ("", "", "", "")
        size = (row.parameters, round(row.megabytes, 1)) if rates else ("", "")
        writer.writerow(
            [
                *(row.name, row.image_size or "", *measured, found.photos, found.folding),
                *(*speed, *size, row.pareto, row.problem or "", *gain, row.licence),
            ]
        )
    return file.getvalue()


def _names(config: CompareConfig) -> tuple[str, ...]:
    """Returns the backbones to compare: those given, and with `combine` all pairs of them."""
    names = config.values("backbone")
    if not config.combine:
        return names
    single = [name for name in names if len(rows_of(config.train_config(backbone=name))) == 1]
    if len(single) < 2:
        raise UserError(
            f"`combine` needs at least two backbones to make pairs of. Received: {len(single)}."
        )
    pairs = (combined(pair, COMBINES) for pair in itertools.combinations(single, 2))
    return tuple(dict.fromkeys([*names, *pairs]))


def _row(
    name: str,
    space: Space,
    outcomes: list[Outcome],
    config: TrainConfig,
    rates: dict[Part, Rates | None],
) -> ComparedBackbone:
    prepared = space.prepared
    if prepared is None:
        return ComparedBackbone(name, 0, share([]), None, 0, problem=str(space.problem))
    manifest, photos = prepared.split(config), len(prepared.extraction.photos)
    plan = plan_head(config, photos, few=manifest.few, multi_label=manifest.is_multi_label)
    classes = len(manifest.labels)
    head = heads.build_head(sum(prepared.widths), classes, hidden_units=plan.hidden_units)
    return ComparedBackbone(
        name=name,
        image_size=prepared.image_size,
        validation=share(outcomes),
        rates=measure_rates(prepared, PhotoLimits.of(config), rates),
        parameters=prepared.parameters + head.count_params(),
        diverged=sum(outcome.diverged for outcome in outcomes),
        parts=tuple((space.backbone, space.image_size) for space in prepared.spaces),
        licence=" + ".join(
            dict.fromkeys(
                weights_licence(part.frozen.spec, config.weights).name for part in prepared.parts
            )
        ),
    )


def _with_gains(
    rows: list[ComparedBackbone], outcomes: Mapping[str, Sequence[Outcome]]
) -> list[ComparedBackbone]:
    """Compares combinations with the best of their backbones, where those are there too."""
    measured = [row for row in rows if row.validation.photos]
    alone = {row.parts[0]: row for row in measured if len(row.parts) == 1}
    best = {
        row.name: max((alone[part] for part in row.parts), key=lambda one: one.validation.mean)
        for row in measured
        if len(row.parts) > 1 and alone.keys() >= set(row.parts)
    }

    def gain(row: ComparedBackbone) -> Gain | None:
        if row.name not in best:
            return None
        over = best[row.name].name
        found = difference(outcomes[row.name], outcomes[over], len(best))
        return Gain(over, *found) if found else None

    return [dataclasses.replace(row, gain=gain(row)) for row in rows]


def _on_front(row: ComparedBackbone, rows: list[ComparedBackbone]) -> bool:
    def merits(one: ComparedBackbone) -> tuple[float, ...]:
        return one.validation.mean, one.rates.network if one.rates else 0.0, -one.megabytes

    if row.problem is not None or not row.validation.photos:
        return False
    mine = merits(row)
    return not any(
        other.validation.photos
        and merits(other) != mine
        and all(theirs >= own for theirs, own in zip(merits(other), mine, strict=True))
        for other in rows
    )
