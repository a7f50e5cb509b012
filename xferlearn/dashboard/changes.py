"""Two runs, photo by photo: what a report keeps for it, and what changed between two reports."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from xferlearn.metrics import AnyEvaluation
from xferlearn.photos.pairing import CHANGES, Answered, Compared, Paired, pair_photos
from xferlearn.photos.photo import TEST, VALIDATION, Photo
from xferlearn.summaries.record import RunRecord
from xferlearn.system.text import count, plural_of

MOST_JUDGED = 20_000
"""Photos of a report that can be compared photo by photo; of more it would be too large."""

MOST_CHANGED = 60
"""Photos of a kind that the page shows."""

# Of SHA-256: two of 20,000 photos have the same ones once in a million reports.
_BYTES = 6


def photo_key(photo: Photo) -> str:
    """Returns by which a photo is found in another report."""
    return base64.b64encode(photo.digest[:_BYTES]).decode()


def judged_photos(record: RunRecord) -> dict[str, Any]:
    """Returns what was predicted of each photo that measures a run, for its report.

    Returns:
        `keys`, those of all photos one after the other; `test`, how many of them are test photos,
        which come last; `truth` and `predicted`, indices of labels; `together`, the positions of
        the photos of each group that has several. Of more than `MOST_JUDGED` photos only
        `too_many`, their number, and `sets`, see `photo_sets`; of photos that may have several
        labels only `several_labels` and `sets`. About 15 bytes a photo, so that a report stays
        small.
    """
    manifest = record.manifest
    known = [split for split in (VALIDATION, TEST) if len(record.probabilities.get(split, ()))]
    rows = [row for split in known for row in manifest.judged(split)]
    if manifest.is_multi_label or len(rows) > MOST_JUDGED:
        sets = {
            split: _set_of([manifest.photos[row].digest[:_BYTES] for row in manifest.judged(split)])
            for split in known
        }
        why = {"several_labels": True} if manifest.is_multi_label else {"too_many": len(rows)}
        return {**why, "sets": sets}
    predicted = [best for split in known for best in record.probabilities[split].argmax(1).tolist()]
    photos = [manifest.photos[row] for row in rows]
    return {
        "keys": "".join(map(photo_key, photos)),
        "test": len(manifest.judged(TEST)) if TEST in known else 0,
        "truth": [photo.label for photo in photos],
        "predicted": predicted,
        "together": _together([manifest.groups[row] for row in rows] if manifest.groups else []),
    }


def photo_sets(report: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns for each split what is the same in two reports that are measured on the same photos.

    None where it is not known: of too many photos, and in reports of earlier versions.

    Raises:
        KeyError, TypeError, ValueError: when a report is not as `report.build_report` makes it.
    """
    judged = report.get("judged") or {}
    if "keys" not in judged:
        return judged.get("sets", {VALIDATION: None, TEST: None})
    keys = base64.b64decode(judged["keys"], validate=True)
    each = [keys[start : start + _BYTES] for start in range(0, len(keys), _BYTES)]
    first = len(each) - int(judged["test"])
    return {VALIDATION: _set_of(each[:first]), TEST: _set_of(each[first:])}


def _set_of(keys: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(keys))).hexdigest()[:16]


def _together(groups: Sequence[int]) -> list[list[int]]:
    places: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return [some for some in places.values() if len(some) > 1]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what changed from one run to another, for JSON.

    Args:
        before: report of the one, with `run`, its name.
        after: report of the other.

    Returns:
        `problem`, why they can't be compared, in words; or `parts`, the accuracies and their change
        by how the photos were measured; `classes`, likewise; `changed`, by kind the number of
        photos and the first of them; and `notes`, in words.

    Raises:
        KeyError, TypeError, AttributeError, IndexError, ValueError: when a report is not as
            `report.build_report` makes it.
    """
    for report in (before, after):
        if problem := _problem(report):
            return {"problem": problem}
    paired = pair_photos(_answered(before, after), _answered(after, before))
    if not paired.rows:
        return {"problem": "These runs were measured on different photos."}
    total = paired.compared()
    parts = {way: paired.compared(way) for way in paired.measured}
    if len(parts) > 1:
        parts["all"] = total
    return {
        "parts": [{"name": name, **_part(part)} for name, part in parts.items()],
        "classes": [
            [one.label, two.photos, one.recall, two.recall]
            for one, two in zip(total.before.classes, total.after.classes, strict=True)
            if two.photos
        ],
        "changed": _changed(paired, before, after),
        "notes": [*_notes(paired)],
    }


def _problem(report: Mapping[str, Any]) -> str:
    judged = report.get("judged")
    if judged is None:
        return f"{report['run']} was written by an earlier version, and can't be compared so."
    if "several_labels" in judged:
        return f"{report['run']} is of photos with several labels, which are not compared so."
    if "too_many" in judged:
        photos = count(int(judged["too_many"]), "photo")
        return (
            f"{report['run']} has {photos}, too many for this page. `xferlearn diff` compares the"
            " two models."
        )
    return ""


def _answered(report: Mapping[str, Any], other: Mapping[str, Any]) -> Answered:
    judged, labels = report["judged"], [str(label) for label in report["labels"]]
    keys = base64.b64decode(judged["keys"], validate=True)
    number, test = len(judged["truth"]), int(judged["test"])
    if not len(keys) == _BYTES * number == _BYTES * len(judged["predicted"]):
        raise ValueError("keys and photos differ")
    groups = [*range(number)]
    for places in judged["together"]:
        for place in places:
            groups[place] = places[0]
    folded = all(one["evaluations"][VALIDATION].get("folding") for one in (report, other))
    others = "cross-validated" if folded else VALIDATION
    return Answered(
        labels,
        [keys[start : start + _BYTES] for start in range(0, len(keys), _BYTES)],
        [labels[place] for place in judged["truth"]],
        [labels[place] for place in judged["predicted"]],
        [TEST if place >= number - test else others for place in range(number)],
        groups,
    )


def _part(part: Compared) -> dict[str, Any]:
    def measured(evaluation: AnyEvaluation) -> dict[str, Any]:
        return {"accuracy": evaluation.value, "interval_95": list(evaluation.interval)}

    return {
        **part.change.as_dict(),
        "before": measured(part.before),
        "after": measured(part.after),
    }


def _changed(
    paired: Paired, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    # Of photos that were wrong in one of the two, that one often has a picture.
    places = [_places(before), _places(after)]
    reports = (before, after)
    found: dict[str, dict[str, Any]] = {kind: {"n": 0, "photos": []} for kind in CHANGES}
    for kind, one, two in paired.changed():
        found[kind]["n"] += 1
        if len(found[kind]["photos"]) == MOST_CHANGED:
            continue
        key = base64.b64encode(paired.after.digests[two]).decode()
        known = [
            (report, place[key]) for report, place in zip(reports, places, strict=True)
            if key in place
        ]  # fmt: skip
        report, index = known[-1] if known else (after, -1)
        found[kind]["photos"].append(
            {
                "truth": paired.after.truth[two],
                "before": paired.before.answers[one],
                "after": paired.after.answers[two],
                "name": report["photos"][index]["name"] if known else None,
                "run": report["run"] if known else None,
                "index": index if known else None,
            }
        )
    for kind in CHANGES:  # those with a picture first
        found[kind]["photos"].sort(key=lambda photo: photo["name"] is None)
    return found


def _places(report: Mapping[str, Any]) -> dict[str, int]:
    photos: Sequence[Mapping[str, Any]] = report["photos"]
    return {str(photo["key"]): index for index, photo in enumerate(photos) if "key" in photo}


def _notes(paired: Paired) -> list[str]:
    lines = []
    if paired.only_before or paired.only_after:
        lines.append(
            f"{count(paired.only_before, 'photo')} only before, {paired.only_after:,} only after."
        )
    if paired.apart:
        verb = plural_of(paired.apart, "is a test photo", "are test photos")
        lines.append(f"{paired.apart:,} {verb} of one run alone, and not compared.")
    if paired.relabelled:
        has = plural_of(paired.relabelled, "has", "have")
        lines.append(
            f"{count(paired.relabelled, 'photo')} {has} another label since; both runs are judged"
            " by the newer one."
        )
    for one, two, when in (
        (paired.before, paired.after, "before"),
        (paired.after, paired.before, "after"),
    ):
        if alone := [label for label in one.labels if label not in two.labels]:
            lines.append(f"{count(len(alone), 'class')} only {when}: {', '.join(alone[:6])}.")
    return lines
