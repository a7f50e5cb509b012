"""Settings -> a review with its page."""

import collections
import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xferlearn.config import ReviewConfig, TrainConfig
from xferlearn.config.base import settings_of
from xferlearn.config.data import WHERE_LABELS_ARE
from xferlearn.config.heads import OwnNetworkConfig
from xferlearn.config.in_memory import TableInMemory
from xferlearn.config.signatures import from_settings
from xferlearn.config.wording import flag_value
from xferlearn.errors import UserError
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.opening import open_source
from xferlearn.photos.photo import Photo
from xferlearn.review.answers import Answers
from xferlearn.review.evidence import Evidence
from xferlearn.review.finding import Finder
from xferlearn.review.pictures import Pictures
from xferlearn.review.server import ReviewApp, Serving, listen
from xferlearn.review.session import Session
from xferlearn.system.files import real_path
from xferlearn.system.progress import working
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import count
from xferlearn.training.auditing import find_by_looks
from xferlearn.training.fit import Prepared, prepare
from xferlearn.training.material import LinearHeads, Material, material_of
from xferlearn.training.networks import check_backbone, load_networks

_PHOTOS = ("image_dir", "labels", "dataset")
_DATA = (*_PHOTOS, *WHERE_LABELS_ARE, "data_dir", "twins")
_NETWORK = ("backbone", "image_size", "weights", "bit_depth", *settings_of(OwnNetworkConfig))


class Review:
    """A review whose page is being served by threads of this process.

    Attributes:
        url: the address of its page, for a browser on this machine.
        session: what was asked and answered.
        facts: what a person should know of the photos, one line each.
        command: the command that trains with the corrections, ready for the shell; for a table in
            memory, which only Python has, the call.

    Example:
        >>> with open_review(image_dir="photos") as review:
        ...     print(review.url)
        ...     input("Enter ends the review")
    """

    def __init__(
        self, session: Session, serving: Serving, facts: Sequence[str], command: str
    ) -> None:
        self.url = serving.url
        self.session, self.facts, self.command = session, tuple(facts), command
        self._serving = serving

    def __repr__(self) -> str:
        return f"Review({self.url})"

    def close(self) -> None:
        """Ends the review; all answers are in the file of corrections."""
        self._serving.close()
        self.session.close()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@from_settings(ReviewConfig)
def open_review(config: ReviewConfig) -> Review:
    """Opens a review of photos, and serves its page; `xferlearn review` in Python.

    One of `image_dir`, `labels`, `dataset` and `model_dir` is required.

    Returns:
        The review, with the address of its page. Close it in the end.

    Raises:
        UserError: a setting or the photos can't be used, or the file of corrections is open in
            another review.
        XferlearnError: something outside failed: a download, a full disk.

    Example:
        >>> review = open_review(image_dir="flower_photos")
        >>> review.url
        'http://127.0.0.1:6116/l0xQ.../'
        >>> review.close()
    """
    return open_review_with(config)


def open_review_with(config: ReviewConfig) -> Review:
    """Opens a review as `config` says; see `open_review`."""
    config, remarks = _with_model(config)
    train = config.train_config(corrections=None)
    check_backbone(train)
    with contextlib.ExitStack() as opened:
        answers = opened.enter_context(Answers(config.corrections))
        listener = opened.enter_context(listen(config.port))
        source = open_source(train)
        with working("loading TensorFlow", config.verbose):
            start_tensorflow()
        choose_device(config.device)
        prepared = prepare(train, source, load_networks(train))
        material = material_of(prepared, train)
        heads = LinearHeads(material.bottlenecks, material.folds, prepared.widths, config.seed)
        by_looks, told = find_by_looks(material, train)
        session = Session(
            material,
            answers,
            heads,
            Finder(material, heads, by_looks, prepared.looks.alike),
            title=_title(config),
            copies=_copies(prepared, material),
        )
        files = prepared.source
        if isinstance(files, CorrectedSource):  # it passes over photos without a class
            files = files.source
        limits = PhotoLimits.of(train)
        pictures = Pictures(files, _all_photos(prepared, material).values(), limits)
        twins = _twins(prepared, material)
        evidence = Evidence(session, prepared, files, pictures, twins, limits)
        serving = Serving(ReviewApp(session, pictures, evidence), listener)
        listener.close()
        opened.pop_all()
    facts = _facts(material, session, [*told, *remarks])
    return Review(session, serving, facts, _command(config, train))


def _with_model(config: ReviewConfig) -> tuple[ReviewConfig, list[str]]:
    """Returns the settings, with those of a trained model where it is asked about, and remarks."""
    if config.model_dir is None:
        return config, []
    recorded = read_model_folder(config.model_dir).training
    if not recorded:
        raise UserError(f"{config.model_dir} does not say which photos it has learned from.")
    names = _DATA if not config.given.intersection(_PHOTOS) else ()
    names = (*names, *(_NETWORK if "backbone" not in config.given else ()))
    known = settings_of(ReviewConfig)
    found = {
        name: recorded[name]
        for name in names
        if name in known and name not in config.given and recorded.get(name) is not None
    }
    if str(found.get("labels", "")).startswith("<"):
        raise UserError(
            f"{config.model_dir} has learned from a table in memory, which is gone: give `labels`."
        )
    if str(found.get("backbone", "")).startswith("<"):
        raise UserError(
            f"{config.model_dir} stands on a Keras model in memory, which is gone: give `backbone`."
        )
    if not os.path.isfile(found.get("corrections", "")):
        found.pop("corrections", None)  # answers would seem to be there still
    given: dict[str, Any] = {name: getattr(config, name) for name in config.given}
    merged = ReviewConfig(**{**found, **given})
    theirs, remarks = recorded.get("corrections"), []
    if theirs is not None and real_path(theirs) != real_path(merged.corrections):
        why = "" if os.path.isfile(theirs) else ", which are not there"
        remarks = [
            f"Not used: the corrections that {config.model_dir} has learned with, {theirs}{why}."
            f" The answers are in {merged.corrections}; choose another file with `corrections`."
        ]
    return merged, remarks


def _title(config: ReviewConfig) -> str:
    if config.dataset is not None:
        return config.dataset
    place = config.image_dir if config.image_dir is not None else config.labels
    return place if isinstance(place, TableInMemory) else Path(os.path.abspath(str(place))).name


def _all_photos(prepared: Prepared, material: Material) -> dict[tuple[bytes, int], Photo]:
    """Returns every readable photo once: copies too, which no head learns from."""
    photos = (*prepared.extraction.photos, *material.photos)
    return {(photo.digest, photo.label): photo for photo in photos}


def _copies(prepared: Prepared, material: Material) -> dict[bytes, list[Photo]]:
    """Returns the other photos with the same pixels and class, or none, by the photo's digest."""
    alike = prepared.looks.alike.pixels
    same = collections.defaultdict(list)
    for photo in _all_photos(prepared, material).values():
        if photo.digest in alike:
            same[photo.label, alike[photo.digest]].append(photo)
    copies: dict[bytes, dict[bytes, Photo]] = {}
    for photo in material.photos:
        for one in same.get((photo.label, alike.get(photo.digest, b"")), ()):
            if one.digest != photo.digest:
                copies.setdefault(photo.digest, {})[one.digest] = one
    return {digest: [*others.values()] for digest, others in copies.items()}


def _twins(prepared: Prepared, material: Material) -> dict[bytes, list[Photo]]:
    alike = prepared.looks.alike.twins
    groups = collections.defaultdict(list)
    for photo in _all_photos(prepared, material).values():
        groups[alike.get(photo.digest, photo.digest)].append(photo)
    return {
        photo.digest: [one for one in same if one is not photo]
        for same in groups.values()
        if len(same) > 1
        for photo in same
    }


def _facts(material: Material, session: Session, told: Sequence[str]) -> list[str]:
    state = session.state()
    labelled = sum(photo.label >= 0 for photo in material.photos)
    photos = f"{count(labelled, 'photo')} of {count(len(material.labels), 'class')}"
    if len(material.photos) > labelled:
        what = "not labelled yet" if session.is_multi_label else "without a class"
        photos += f", {len(material.photos) - labelled:,} {what}"
    kinds = collections.Counter(item["kind"] for item in state["items"] if item["answer"] is None)
    to_ask = ", ".join(f"{kind} ({number:,})" for kind, number in kinds.items())
    lines = [photos, *material.prepared.warnings, *told, *material.manifest.warnings]
    accuracy = state["accuracy"]
    if accuracy is not None:
        measure = f"{accuracy['measure']} " if session.is_multi_label else ""
        lines.append(f"linear head on {material.prepared.name}: {measure}{accuracy['text']}")
    elif state["fit"]["error"]:
        lines.append(f"no heads yet: {state['fit']['error']}")
    lines.append(f"{count(sum(kinds.values()), 'photo')} to look at{': ' if kinds else ''}{to_ask}")
    if state["answered"]:
        lines.append(f"{count(state['answered'], 'answer')} in {state['corrections']}")
    return lines


def _command(config: ReviewConfig, train: TrainConfig) -> str:
    left_out = ("summaries", "verbose", "run_name")
    flags = {name: value for name, value in train.changed().items() if name not in left_out}
    flags |= {"corrections": config.corrections, "model_dir": "out/corrected"}
    if isinstance(config.labels, TableInMemory):
        given = {name: value for name, value in flags.items() if name != "labels"}
        words = [f"{name}={_literal(value)}" for name, value in given.items() if value is not None]
        return f"xferlearn.train({', '.join(['labels=...', *words])})"
    words = [f"--{name}={flag_value(value)}" for name, value in flags.items() if value is not None]
    return shlex.join(["xferlearn", "train", *words])


def _literal(value: Any) -> str:
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
