"""Readable names for ImageNet's synset ids, such as n11939491 for daisy.

The names are WordNet 3.0's, which ImageNet's ids point into; its licence is in
WORDNET_LICENSE.txt beside this module.
"""

import functools
import gzip
import importlib.resources
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from xferlearn.errors import XferlearnError
from xferlearn.system.text import one_line

_ID = re.compile(r"n(\d{8})")
_LABELS = "datasets/imagenet2012/labels.txt"


def synset_name(synset: str) -> str | None:
    """Returns the first word that WordNet 3.0 has for a noun synset.

    Args:
        synset: an id as ImageNet writes it: "n" and eight digits.

    Returns:
        The name, with spaces in place of underscores; None where WordNet has no such noun.

    Example:
        >>> synset_name("n11939491")
        'daisy'
    """
    match = _ID.fullmatch(synset)
    return _names().get(int(match[1])) if match else None


def readable_label(label: str) -> str:
    """Returns a synset id followed by its name, and any other label unchanged.

    Example:
        >>> readable_label("n11939491"), readable_label("roses")
        ('n11939491 daisy', 'roses')
    """
    name = synset_name(label)
    return f"{label} {name}" if name else label


@functools.cache
def imagenet_synsets() -> tuple[str, ...]:
    """Returns the 1000 synset ids of ILSVRC2012 in the order of the classifiers' outputs.

    They are read from the package tensorflow_datasets, which is not imported.

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
            f"Expected ImageNet's list of classes in {path} ({one_line(error)}); run: "
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

    The names are WordNet's, which are those of Keras' imagenet_class_index.json without its
    underscores. Two of them, crane and maillot, name two classes each; ids are unique.

    Raises:
        XferlearnError: the package tensorflow_datasets has no list of the classes.
    """
    return tuple((synset, synset_name(synset) or synset) for synset in imagenet_synsets())


@functools.cache
def _names() -> Mapping[int, str]:
    """Reads the table that tools/build_synset_names.py wrote: offset to name."""
    packed = importlib.resources.files("xferlearn.backbones.synsets").joinpath(
        "synset_names.txt.gz"
    )
    names = {}
    offset = 0
    for line in gzip.decompress(packed.read_bytes()).decode().splitlines():
        difference, _, lemma = line.partition(" ")
        offset += int(difference)
        names[offset] = lemma.replace("_", " ")
    return names
