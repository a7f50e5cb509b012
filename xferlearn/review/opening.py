"""Settings -> a review with its page."""

import collections
import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.config import ReviewConfig, TrainConfig
from xferlearn.config.base import TableInMemory, settings_of
from xferlearn.config.data import WHERE_LABELS_ARE
from xferlearn.config.signatures import from_settings
from xferlearn.config.training import OwnNetworkConfig
from xferlearn.config.wording import flag_value
from xferlearn.errors import UserError
from xferlearn.model_folder import read_model_folder
from xferlearn.photos.corrected import CorrectedSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.opening import open_source
from xferlearn.review.answers import Answers
from xferlearn.review.evidence import Evidence
from xferlearn.review.finding import Finder
from xferlearn.review.pictures import Pictures
from xferlearn.review.server import ReviewApp, Serving, listen
from xferlearn.review.session import Session
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
        command: the command that trains with the corrections, ready for the shell.

    Example:
        >>> with open_review(image_dir="photos") as review:
        ...     webbrowser.open(review.url)
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
    config = _with_model(config)
    train = config.train_config(corrections=None)
    check_backbone(train)
    with contextlib.ExitStack() as opened:
        answers = opened.enter_context(Answers(config.corrections))
        listener = opened.enter_context(listen(config.port))
        source = open_source(train)
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
    return Review(session, serving, _facts(material, session, told), _command(config, train))


def _with_model(config: ReviewConfig) -> ReviewConfig:
    """Returns the settings, with those of a trained model where it is asked about."""
    if config.model_dir is None:
        return config
    folder = read_model_folder(config.model_dir)
    recorded = folder.metadata.get("training")
    if not isinstance(recorded, Mapping):
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
    given: dict[str, Any] = {name: getattr(config, name) for name in config.given}
    return ReviewConfig(**{**found, **given})


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
    """Returns the copies of each photo that were left out, by the photo's digest."""
    alike = prepared.looks.alike.pixels
    used = {photo.digest for photo in material.photos}
    left_out = collections.defaultdict(list)
    for photo in _all_photos(prepared, material).values():
        if photo.digest not in used:
            left_out[photo.label, alike.get(photo.digest)].append(photo)
    return {
        photo.digest: left_out[key]
        for photo in material.photos
        if (key := (photo.label, alike.get(photo.digest))) in left_out
    }


def _twins(prepared: Prepared, material: Material) -> dict[bytes, list[tuple[Photo, str]]]:
    alike = prepared.looks.alike.twins
    groups = collections.defaultdict(list)
    for photo in _all_photos(prepared, material).values():
        label = material.labels[photo.label] if photo.label >= 0 else ""
        groups[alike.get(photo.digest, photo.digest)].append((photo, label))
    return {
        photo.digest: [one for one in same if one[0] is not photo]
        for same in groups.values()
        if len(same) > 1
        for photo, _ in same
    }


def _facts(material: Material, session: Session, told: Sequence[str]) -> list[str]:
    state = session.state()
    labelled = sum(photo.label >= 0 for photo in material.photos)
    photos = f"{count(labelled, 'photo')} of {count(len(material.labels), 'class')}"
    if len(material.photos) > labelled:
        photos += f", {len(material.photos) - labelled:,} without a class"
    kinds = collections.Counter(item["kind"] for item in state["items"] if item["answer"] is None)
    to_ask = ", ".join(f"{kind} ({number:,})" for kind, number in kinds.items())
    lines = [photos, *material.prepared.warnings, *told, *material.manifest.warnings]
    accuracy = state["accuracy"]
    if accuracy is not None:
        lines.append(f"linear head on {material.prepared.name}: {accuracy['text']}")
    lines.append(f"{count(sum(kinds.values()), 'photo')} to look at{': ' if kinds else ''}{to_ask}")
    if state["answered"]:
        lines.append(f"{count(state['answered'], 'answer')} in {state['corrections']}")
    return lines


def _command(config: ReviewConfig, train: TrainConfig) -> str:
    left_out = ("summaries", "verbose")
    flags = {name: value for name, value in train.changed().items() if name not in left_out}
    flags |= {"corrections": config.corrections, "model_dir": "out/corrected"}
    words = [f"--{name}={flag_value(value)}" for name, value in flags.items() if value is not None]
    return shlex.join(["xferlearn", "train", *words])
