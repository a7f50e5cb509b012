"""Backbone names as people write them -> rows of the table and image sizes."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from xferlearn.backbones.table import BACKBONES, BackboneSpec
from xferlearn.config.in_memory import ModelInMemory, ModelsInMemory, combined
from xferlearn.errors import UserError, did_you_mean

# The lab's form: mobilenet_0.50_224, which may end in "_quantized".
_LAB_FORM = re.compile(r"(?P<base>.+?)(_(?P<alpha>\d\.\d+))?(_(?P<size>\d{2,4}))?(_quantized)?")
# The most px per side, as for the setting `image_size`; more would exhaust the memory.
_MOST_PIXELS = 2048
_ALIASES: Mapping[str, str] = {"mobilenetv1": "mobilenet", "resnet50v1": "resnet50"}
# Between the names of backbones that are combined.
COMBINES = "+"
# Before the name of a preset of KerasHub.
HUB = "hub:"
# How the names of Keras models end.
KERAS_FILES = (".keras", ".h5", ".hdf5")
# From a name to a row made on demand, and an image size.
Resolve = Callable[[str, int | None], tuple[BackboneSpec, int]]


def resolve_backbones(
    name: str | Sequence[str], image_size: int | None = None, own: Resolve | None = None
) -> tuple[tuple[BackboneSpec, int], ...]:
    """Returns the backbones that a name stands for, and their image sizes.

    Args:
        name: one backbone; or several that are combined, as a sequence, or as text with `+` or a
            comma between them.
        image_size: side of the square input of each of them, px; None as in `resolve_backbone`.
        own: as for `resolve_backbone`.

    Returns:
        What `resolve_backbone` returns for each of them, in their order.

    Raises:
        UserError: as `resolve_backbone`; when a name is missing, or one is there twice.

    Example:
        >>> parts = resolve_backbones("mobilenet_0.50_192+efficientnet_lite0")
        >>> [(spec.name, size) for spec, size in parts]
        [('mobilenet_0.50', 192), ('efficientnet_lite0', 224)]
    """
    name = name if isinstance(name, str) else combined(name, COMBINES)
    names = name.replace(",", COMBINES).split(COMBINES)
    if isinstance(name, ModelInMemory | ModelsInMemory):
        names = [*name.parts] if isinstance(name, ModelsInMemory) else [name]
    if len(names) > 1 and not all(one.strip() for one in names):
        raise UserError(
            f"Expected names of backbones with {COMBINES} between them. Received: {name!r}."
        )
    parts = tuple(resolve_backbone(one, image_size, own) for one in names)
    for place, (spec, size) in enumerate(parts):
        before = [(one.name, px) for one, px in parts[:place]]
        if spec.origin and spec.name in [one for one, _ in before]:
            raise UserError(
                f"Two backbones of {name!r} would be called {spec.name}. Rename the folder or file"
                " of one of them."
            )
        if (spec.name, size) in before:
            raise UserError(
                f"{part_name(spec.name, size)} is there twice in {name!r}; a second one adds"
                " nothing."
            )
    return parts


def combined_name(parts: Sequence[tuple[str, int]]) -> str:
    """Returns what backbones are called together; alone, one has its own name.

    Args:
        parts: rows of BACKBONES by name, each with the size of its input, px.

    Example:
        >>> combined_name([("mobilenet_0.50", 192), ("efficientnet_lite0", 224)])
        'mobilenet_0.50_192+efficientnet_lite0'
    """
    if len(parts) == 1:
        return parts[0][0]
    return COMBINES.join(part_name(*part) for part in parts)


def part_name(name: str, image_size: int) -> str:
    """Returns a backbone's name in a combination: with its size where it is not its own."""
    spec = BACKBONES.get(name)
    # One that is not in the table is there at one size alone.
    return name if spec is None or image_size == spec.image_size else f"{name}_{image_size}"


def is_own(name: str) -> bool:
    """Returns whether a name is the path of a Keras model, and not that of a known backbone."""
    return not name.startswith(HUB) and name.strip().lower().endswith(KERAS_FILES)


def checked_size(spec: BackboneSpec, size: int) -> int:
    """Returns an image size that a backbone takes.

    Raises:
        UserError: it is below the backbone's minimum, or above 2048 px.
    """
    if not spec.min_size <= size <= _MOST_PIXELS:
        bound = f"least {spec.min_size}" if size < spec.min_size else f"most {_MOST_PIXELS}"
        raise UserError(f"{spec.name} takes images of at {bound} px. Received: {size} px.")
    return size


def resolve_backbone(
    name: str, image_size: int | None = None, own: Resolve | None = None
) -> tuple[BackboneSpec, int]:
    """Returns the backbone that a name stands for, and its image size.

    Case, hyphens and underscores don't matter, so Keras' class names work. The lab's form may
    contain the width multiplier and the size.

    Args:
        name: e.g. "mobilenet", "mobilenet_0.50_224", "InceptionV3", "efficientnet-b0"; or
            "hub:PRESET" for one of KerasHub.
        image_size: side of the square input, px; None for the size in the name, or else the
            backbone's own.
        own: makes the row of a Keras model from its path; None where such names are refused.

    Returns:
        The row of BACKBONES, or one made on demand, and the side of the input in px.

    Raises:
        UserError: the name is unknown or quantised; or the size contradicts the one in the name,
            is below the backbone's minimum or above 2048 px.

    Example:
        >>> spec, size = resolve_backbone("MobileNet_0.50_192")
        >>> spec.name, size
        ('mobilenet_0.50', 192)
    """
    if isinstance(name, ModelInMemory) and own is not None:
        return own(name, image_size)
    if COMBINES in name or "," in name:
        raise UserError(f"Expected one backbone. Received several: {name!r}.")
    if name.strip().startswith(HUB):
        from xferlearn.backbones.hub import hub_backbone

        return hub_backbone(name.strip(), image_size)
    if is_own(name):
        if own is None:
            raise UserError(
                f"{name!r} is the name of a Keras model. A name of the table or {HUB}PRESET is"
                " expected here; `xferlearn backbones` lists them."
            )
        return own(name.strip(), image_size)
    key = name.strip().lower().replace("-", "_")
    by_squashed = {_squash(known): spec for known, spec in BACKBONES.items()}
    spec = by_squashed.get(_alias(_squash(key)))
    named_size = None
    if spec is None:
        match = _LAB_FORM.fullmatch(key)
        base = by_squashed.get(_alias(_squash(match["base"]))) if match else None
        if match is None or base is None:
            hint = did_you_mean(key, BACKBONES)
            if Path(name).is_dir():
                hint = f" For that folder as a preset of KerasHub, say {HUB}{name}."
            elif Path(name).is_file():
                hint = f" Of files, Keras models alone can be one: {', '.join(KERAS_FILES)}."
            raise UserError(
                f"There is no backbone {name!r}.{hint}"
                f" `xferlearn backbones` lists all {len(BACKBONES)}."
            )
        spec = _variant(base, match["alpha"], name)
        named_size = int(match["size"]) if match["size"] else None
        if key.endswith("_quantized"):
            raise UserError(
                f"{name!r} is a quantised graph, which can't be trained from; use "
                f"{'_'.join([spec.name, *([match['size']] if match['size'] else [])])} "
                "and quantise on export."
            )
    if named_size and image_size and named_size != image_size:
        raise UserError(
            f"The backbone name {name!r} says {named_size} px, but the image size given is "
            f"{image_size} px; leave one of them out."
        )
    size = named_size or (spec.image_size if image_size is None else image_size)
    return spec, checked_size(spec, size)


def _variant(base: BackboneSpec, alpha: str | None, name: str) -> BackboneSpec:
    """Returns the row of the same family that has the name's width multiplier."""
    if alpha is None:
        return base
    family = {s.alpha: s for s in BACKBONES.values() if s.family == base.family}
    if float(alpha) not in family:
        raise UserError(
            f"{base.family} has no width multiplier {alpha}, only"
            f" {', '.join(f'{known:g}' for known in sorted(family))}. Received: {name!r}."
        )
    return family[float(alpha)]


def _squash(name: str) -> str:
    return name.replace("_", "")


def _alias(squashed: str) -> str:
    return _ALIASES.get(squashed, squashed)
