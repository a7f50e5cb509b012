"""Readable names for ImageNet's synset ids, such as n11939491 for daisy.

The names are WordNet 3.0's, which ImageNet's ids point into; its licence is in
data/WORDNET_LICENSE.txt.
"""

import functools
import gzip
import importlib.resources
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from xferlearn.errors import XferlearnError

_ID = re.compile(r"n(\d{8})")
_LABELS = "datasets/imagenet2012/labels.txt"
_CLASS_INDEX = "imagenet_class_index.json"


def synset_name(synset: str) -> str | None:
    """Returns the first word that WordNet 3.0 has for a noun synset.

    Args:
        synset: an id as ImageNet writes it: "n" and eight digits.

    Returns:
        The name with spaces for underscores, or None where WordNet has no such noun.

    Example:
        >>> synset_name("n11939491")
        'daisy'
    """
    match = _ID.fullmatch(synset)
    return _names().get(int(match[1])) if match else None


@functools.cache
def imagenet_synsets() -> tuple[str, ...]:
    """Returns the 1000 synset ids of ILSVRC2012 in the order of the classifiers' outputs.

    They are read from the package tensorflow_datasets without importing it.

    Raises:
        XferlearnError: the package has no such list.
    """
    found = importlib.util.find_spec("tensorflow_datasets")
    folders = list(found.submodule_search_locations or []) if found else []
    path = Path(folders[0] if folders else "tensorflow_datasets", _LABELS)
    try:
        synsets = tuple(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise XferlearnError(
            f"Expected ImageNet's list of classes in {path} ({error.strerror}); run: "
            "pip install tensorflow-datasets"
        ) from None
    if len(synsets) != 1000 or not all(map(_ID.fullmatch, synsets)):
        raise XferlearnError(
            f"Expected 1000 synset ids in {path}. Received: {len(synsets)} words; install "
            "tensorflow-datasets again."
        )
    return synsets


def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """Returns synset id and name of ImageNet's 1000 classes, in the order of the outputs.

    The names are those of Keras' imagenet_class_index.json where an application has already
    put that file into Keras' cache, with spaces for underscores; else WordNet's, which differ
    for some classes. Neither set is free of duplicates, the ids are.

    Raises:
        XferlearnError: the list of classes is missing, or Keras' file is damaged.
    """
    synsets = imagenet_synsets()
    path = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models" / _CLASS_INDEX
    if not path.is_file():
        return tuple((synset, synset_name(synset) or synset) for synset in synsets)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        pairs = tuple((str(index[str(i)][0]), str(index[str(i)][1])) for i in range(len(synsets)))
    except (OSError, ValueError, LookupError, TypeError):
        pairs = ()
    if tuple(synset for synset, _ in pairs) != synsets:
        raise XferlearnError(
            f"Expected ImageNet's 1000 classes in {path}. Received something else; delete it."
        )
    return tuple((synset, name.replace("_", " ")) for synset, name in pairs)


@functools.cache
def _names() -> Mapping[int, str]:
    """Reads the table that tools/build_synset_names.py wrote: offset to name."""
    packed = importlib.resources.files("xferlearn").joinpath("data/synset_names.txt.gz")
    names = {}
    offset = 0
    for line in gzip.decompress(packed.read_bytes()).decode().splitlines():
        difference, _, lemma = line.partition(" ")
        offset += int(difference)
        names[offset] = lemma.replace("_", " ")
    return names
