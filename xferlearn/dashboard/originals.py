"""The photos behind the thumbnails: where they are, and each as a large picture.

Only photos that a report names can be asked for, by their number; and only a file with the bytes
that the run has learned from is ever answered with, whatever path a report names.
"""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.config import DataConfig
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.formats import BadImage
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.photos.pixels.upright import as_jpeg, upright_photo

SIDE = 1600
"""Most px of the longer side of a large picture."""

_DIGEST_BYTES = 32
_QUALITY = 85


class NoOriginal(Exception):
    """A photo has no large picture; the message says why, for a person."""


def files_of(config: DataConfig, photos: Sequence[Photo]) -> dict[str, Any] | None:
    """Returns where photos are, for a report; None where they are not files of this machine.

    Args:
        config: the run's settings.
        photos: one per thumbnail, in their order.

    Returns:
        For JSON: `root`, the folder that the names begin in, "" for names as they are; `names`; and
        `digests`, all SHA-256 one after the other, base64.
    """
    table = config.labels if isinstance(config.labels, str | Path) else None
    folders = [config.image_dir, None if table is None else Path(table).parent, ""]
    roots = [os.path.abspath(one) if one else "" for one in folders if one is not None]
    for root in roots:
        if photos and os.path.isfile(os.path.join(root, photos[0].name)):
            return {
                "root": root,
                "names": [photo.name for photo in photos],
                "digests": base64.b64encode(b"".join(photo.digest for photo in photos)).decode(),
            }
    return None


def read_original(files: Mapping[str, Any], index: int, memory: PixelMemory) -> bytes:
    """Returns a photo as a JPEG file, whole and upright, `SIDE` px at most.

    Args:
        files: as `files_of` returns it.
        index: number of the thumbnail.
        memory: what decoding may take.

    Raises:
        NoOriginal: the file is gone, is another one by now, or can't be shown.
        KeyError, TypeError, ValueError, IndexError: when `files` is not as `files_of` makes it.
    """
    limits = PhotoLimits()
    start = index * _DIGEST_BYTES
    digest = base64.b64decode(files["digests"], validate=True)[start : start + _DIGEST_BYTES]
    path = Path(str(files["root"]), str(files["names"][index]))
    try:
        # Reading what is no plain file may never end.
        if not path.is_file() or path.stat().st_size > limits.max_image_bytes:
            raise NoOriginal("It is not where it was any more.")
        data = path.read_bytes()
    except (OSError, ValueError):
        raise NoOriginal("It can't be read.") from None
    if len(digest) != _DIGEST_BYTES or hashlib.sha256(data).digest() != digest:
        raise NoOriginal("It was changed.")
    try:
        image, _ = upright_photo(data, SIDE, limits.max_image_pixels, memory)
    except BadImage as error:
        raise NoOriginal(f"It can't be shown: {error}.") from None
    return as_jpeg(image, _QUALITY)
