"""The run card: settings and results of a run, as a page of Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xferlearn.backbones.table import preprocessing_of
from xferlearn.config.wording import flag_value
from xferlearn.photos.photo import SPLITS, TEST, TRAIN
from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.made_with import made_with
from xferlearn.summaries.measured import (
    main_evaluation,
    main_name,
    measured_facts,
    validation_name,
)
from xferlearn.summaries.record import RunRecord
from xferlearn.system.text import count, plural_of

MOST_CLASSES = 200
MOST_BAD_PHOTOS = 500


def write_card(events: EventWriter, record: RunRecord) -> None:
    """Writes the pages `run_card` and, where photos were left out, `bad_photos`."""
    events.text("run_card", run_card(record))
    if record.manifest.bad:
        events.text("bad_photos", _bad_photos(record))


def run_card(record: RunRecord) -> str:
    """Returns the run card of a training, Markdown."""
    said = record.metadata
    parts = [
        f"# {escape(said['backbone']['name'])}: {_headline(record)}",
        "## Input layer? Resolution? Value range?",
        table(("question", "answer"), _answers(record)),
        "## Results",
        table(("what", "value"), _results(record)),
        "## Classes and photos",
        *_classes(record),
        "## Settings that differ from the default",
        _settings(record),
        "## Versions",
        table(("package", "version"), said["versions"].items()),
        "## Made with",
        _made_with(record),
    ]
    return "\n\n".join(parts) + "\n"


def _made_with(record: RunRecord) -> str:
    said = record.metadata
    made = made_with(record.config, said["command"], said["working_dir"])
    lines = "\n".join(f"    {line}" for line in made.text.split("\n"))
    return "\n\n".join([lines, *map(escape, made.needs)])


def _headline(record: RunRecord) -> str:
    validation, test = record.evaluations["validation"], record.evaluations["test"]
    return f"{main_name(validation, test)} {main_evaluation(validation, test).summary()}"


def _measured(record: RunRecord) -> dict[str, str]:
    validation, test = record.evaluations["validation"], record.evaluations["test"]
    rows = measured_facts(validation, test, record.metadata)
    if validation.folding:
        rows[validation_name(validation)] += f"; {validation.folding}, each by a head without it"
    if test.total:
        rows["test"] += "; nothing was chosen on these photos, which the measured head never saw"
    return rows | {name.strip(): text for name, text in record.promises.items() if name[0] != " "}


def _answers(record: RunRecord) -> list[tuple[str, str]]:
    said = record.metadata
    image, backbone = said["input"], said["backbone"]
    low, high = image["value_range"]
    # Of several backbones each has its own.
    parts = [(f" of {escape(part['name'])}", part) for part in backbone.get("parts", ())]
    parts = parts or [("", backbone)]
    return [
        ("input layer", f"`{image['name']}`"),
        ("resolution", f"{image['width']} x {image['height']} px, RGB"),
        ("value range", f"{low} to {high}, {image['dtype']}: raw pixels"),
        *(
            (f"normalisation{of}", f"inside the model: {_formula(part['preprocessing'])}")
            for of, part in parts
        ),
        ("resize", image["resize"]),
        *(
            (f"size{of}", f"{part['image_size']} x {part['image_size']} px")
            for of, part in parts
            if part.get("image_size") not in (None, image["width"])
        ),
        ("backbone", f"{escape(backbone['name'])}, {_trained(said.get('fine_tuning'))}"),
        *(
            (
                f"weights{of}",
                f"{escape(str(part['weights']))}, SHA-256 `{part['weights_sha256'][:16]}`",
            )
            for of, part in parts
        ),
        *((f"licence of the weights{of}", escape(_licence(part))) for of, part in parts),
        (
            "bottleneck layer",
            f"`{said['bottleneck']['layer']}`, {count(said['bottleneck']['width'], 'value')}",
        ),
        (
            "output layer",
            f"`{said['output']['name']}`, {said['output']['activation']} over"
            f" {count(len(record.manifest.labels), 'label')}",
        ),
    ]


def _licence(part: Mapping[str, Any]) -> str:
    source = part.get("licence_source")
    return f"{part['licence']}, {source}" if source else part["licence"]


def _trained(tuning: Mapping[str, Any] | None) -> str:
    if not tuning:
        return "frozen"
    validation = tuning["validation"]
    before, after = (validation[key]["cross_entropy"] for key in ("frozen", "fine_tuned"))
    layers = ", ".join(f"`{name}`" for name in tuning["layers"])
    compared = f"validation cross-entropy {before:.3f} frozen, {after:.3f} fine-tuned"
    if not tuning["kept"]:
        return f"frozen, because fine-tuning was no better: {compared}"
    return f"fine-tuned ({compared}). Trained layers of {escape(tuning['network'])}: {layers}"


def _formula(name: str) -> str:
    rules = preprocessing_of(name)
    if rules is None or name == "inside":
        return "by the network's own first layers"
    ends = [
        (offset, 255 * scale + offset)
        for scale, offset in zip(rules.scale, rules.offset, strict=True)
    ]
    if len(set(ends)) == 1:
        low, high = ends[0]
        mean, deviation = -rules.offset[0] / rules.scale[0], 1 / rules.scale[0]
        return f"(x - {mean:.4g}) / {deviation:.4g}, which gives {low:.3g} to {high:.3g}"
    channels = ", ".join(
        f"{channel} {low:.4g} to {high:.4g}"
        for channel, (low, high) in zip("RGB", ends, strict=True)
    )
    return f"{channels}{', as BGR' if rules.bgr else ''}"


def _results(record: RunRecord) -> list[tuple[str, str]]:
    stages = ", ".join(f"{name} {value:.1f} s" for name, value in record.seconds.items())
    trainings = {
        "training": record.metadata["training"],
        "fine-tuning": record.metadata.get("fine_tuning"),
    }
    return [
        *((name, escape(value)) for name, value in _measured(record).items()),
        *(
            (name, count(training["steps_run"], "step"))
            for name, training in trainings.items()
            if training
        ),
        ("photos per second", f"{record.photos_per_second:.0f}, from file to bottleneck"),
        ("time", f"{sum(record.seconds.values()):.1f} s: {stages}"),
    ]


def _classes(record: RunRecord) -> list[str]:
    manifest = record.manifest
    counts = manifest.counts()
    validation, test = record.evaluations["validation"], record.evaluations["test"]
    main = main_evaluation(validation, test)
    scores = {row.label: row for row in main.classes}
    splits = {split: split for split in SPLITS}
    if validation.folds is not None:
        splits = {TRAIN: validation_name(validation), TEST: TEST}
    measured = main_name(validation, test)
    rows = [
        (
            escape(label),
            *(str(counts[label][split]) for split in splits),
            _percent(scores[label].precision),
            _percent(scores[label].recall),
        )
        for label in manifest.labels[:MOST_CLASSES]
    ]
    more = len(manifest.labels) - len(rows)
    totals = [str(len(manifest.indices(split))) for split in splits]
    parts = [
        table(
            ("class", *splits.values(), f"precision, {measured}", f"recall, {measured}"),
            [*rows, ("all", *totals, "", "")],
        )
    ]
    if more > 0:
        parts.append(f"{count(more, 'more class')} {plural_of(more, 'is', 'are')} not listed here.")
    if manifest.bad:
        parts.append(f"Photos left out: {len(manifest.bad)}; see `bad_photos`.")
    parts += [f"{note}." for note in manifest.notes]
    parts += [f"Warning: {escape(warning)}" for warning in manifest.warnings]
    return parts


def _settings(record: RunRecord) -> str:
    changed = record.config.changed()
    return table(
        ("setting", "value"),
        [(f"`{name}`", escape(flag_value(value))) for name, value in changed.items()],
    )


def _bad_photos(record: RunRecord) -> str:
    manifest = record.manifest
    rows = [
        (
            escape(bad.name),
            escape(manifest.labels[bad.label]) if bad.label >= 0 else "",
            escape(bad.reason),
        )
        for bad in manifest.bad[:MOST_BAD_PHOTOS]
    ]
    more = len(manifest.bad) - len(rows)
    page = f"Photos left out: {len(manifest.bad)}.\n\n" + table(("photo", "class", "reason"), rows)
    return f"{page}\n\nand {more} more" if more else page


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table; cells are Markdown themselves, see `escape`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Returns text as Markdown that shows it unchanged, also inside a table."""
    shown = " ".join(text.split())
    for sign in "\\`*_{}[]()#+-!|":
        shown = shown.replace(sign, "&#124;" if sign == "|" else "\\" + sign)
    return shown.replace("<", "&lt;").replace(">", "&gt;")
