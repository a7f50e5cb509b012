"""`xferlearn label`: labels photos, best label first, as text, JSON or CSV."""

import math
from collections.abc import Callable, Sequence

from xferlearn.commands import print_warnings
from xferlearn.config import LabelConfig
from xferlearn.errors import UserError
from xferlearn.labelling import Labelled, label_photos
from xferlearn.photos.files import read_files
from xferlearn.photos.limits import PhotoLimits
from xferlearn.predictors import open_predictor
from xferlearn.synsets.names import readable_label
from xferlearn.system.progress import progress_bar
from xferlearn.system.terminal import say, say_csv, say_json, tell
from xferlearn.system.text import count, readable


def run(config: LabelConfig) -> int:
    """Labels all photos; returns 1 where some could not be read, after labelling the others."""
    source = read_files(config.photos)
    predictor = open_predictor(config)
    print_warnings((*source.warnings, *predictor.warnings))
    write = _WRITERS[config.format](predictor.labels, config.top_k)
    unreadable = 0
    with progress_bar("labels", source.count, verbose=config.verbose) as bar:
        for photo in label_photos(source.entries, predictor, PhotoLimits.of(config)):
            bar.update()
            if photo.problem is None:
                write(photo)
                continue
            unreadable += 1
            if config.on_bad_image == "fail":
                raise UserError(f"{photo.name} can't be used: {photo.problem}.")
            write(photo)
            tell(f"{photo.name}: {photo.problem}")
    print_warnings(predictor.later_warnings())
    if unreadable:
        tell(f"{unreadable:,} of {count(source.count, 'photo')} could not be read.")
    return 1 if unreadable else 0


Writer = Callable[[Labelled], None]


def _text(labels: Sequence[str], top_k: int) -> Writer:
    def write(photo: Labelled) -> None:
        if photo.problem is None:
            say(readable(photo.name, None))
            top = [
                (readable(readable_label(label)), score)
                for label, score in photo.top(labels, top_k)
            ]
            width = max(len(label) for label, _ in top)
            for label, score in top:
                say(f"  {label:<{width}}  {score:.4f}")

    return write


def _json_lines(labels: Sequence[str], top_k: int) -> Writer:
    def write(photo: Labelled) -> None:
        # JSON has no NaN.
        top = [
            {"label": name, "score": score if math.isfinite(score) else None}
            for name, score in photo.top(labels, top_k)
        ]
        row = {"image": photo.name, "labels": top}
        if photo.problem is not None:
            row["error"] = photo.problem
        say_json(row)

    return write


def _csv(labels: Sequence[str], top_k: int) -> Writer:
    columns = min(top_k, len(labels))
    pairs = [f"{name}_{rank + 1}" for rank in range(columns) for name in ("label", "score")]
    say_csv(["image", *pairs, "error"])

    def write(photo: Labelled) -> None:
        top = [cell for name, score in photo.top(labels, top_k) for cell in (name, f"{score:.6f}")]
        say_csv([photo.name, *top, *[""] * (2 * columns - len(top)), photo.problem or ""])

    return write


# JSON is one object per line, so that a million photos can be written and read as a stream.
_WRITERS = {"text": _text, "json": _json_lines, "csv": _csv}
