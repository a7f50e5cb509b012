"""Which font shows a text, and the text as that font can show it."""

import functools
import math
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

# matplotlib brings a font with Latin, Greek, Cyrillic, Hebrew and Arabic letters. Other scripts
# need a font of the system, where it has one.
_OWN = "DejaVu Sans"
_SYSTEM_FAMILIES = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "MS Gothic",
    "Malgun Gothic",
    "Nirmala UI",
    "PingFang SC",
    "PingFang HK",
    "Hiragino Sans GB",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
)
_POINTS_PER_PX = 0.72  # figures have 100 px per inch


def chart_font(text: str, size: float) -> "tuple[str, FontProperties]":
    """Returns a text as matplotlib can show it, and the font.

    Letters that no font has lose their accents, or are written as their code points, e.g.
    `U+82B1`.

    Args:
        text: any Unicode.
        size: height in px.
    """
    from matplotlib.font_manager import FontProperties

    others = _needed(_printable(text))
    font = FontProperties(family=[_OWN, *others], size=size * _POINTS_PER_PX)
    return _in_letters(text, [_own_letters(), *(_system_fonts()[one][1] for one in others)]), font


def caption_font(text: str, size: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """Returns a font for a text in a photo's caption, and the text as that font can show it.

    Args:
        text: any Unicode.
        size: height in px.
    """
    others = _needed(_printable(text))
    if len(others) == 1 and not _missing(text, _system_fonts()[others[0]][1]):
        path, letters = _system_fonts()[others[0]]
    else:  # Pillow takes one font
        path, letters = _own_file(), _own_letters()
    return _opened(path, size), _in_letters(text, [letters])


def text_width(text: str, size: int) -> int:
    """Returns the width in px of a text in a font of a height."""
    font, shown = caption_font(text, size)
    return math.ceil(font.getlength(shown))


def cut(text: str, size: int, width: float) -> str:
    """Returns a text that is at most so many px wide; what is cut off is replaced by "..."."""
    font, shown = caption_font(text, size)
    if font.getlength(shown) <= width:
        return text
    text = _printable(text)
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _missing(text: str, letters: Iterable[int]) -> set[str]:
    return {sign for sign in _printable(text) if ord(sign) not in letters}


def _needed(text: str) -> list[str]:
    """Returns the families of the system that have letters which matplotlib's font has not."""
    found = []
    missing = _missing(text, _own_letters())
    for family, (_, letters) in _system_fonts().items() if missing else ():
        if any(ord(sign) in letters for sign in missing):
            found.append(family)
            missing = {sign for sign in missing if ord(sign) not in letters}
    return found


def _in_letters(text: str, fonts: list[frozenset[int]]) -> str:
    """Returns a text with nothing but letters of some fonts."""
    parts = []
    for sign in _printable(text):
        if any(ord(sign) in letters for letters in fonts):
            parts.append(sign)
            continue
        plain = unicodedata.normalize("NFKD", sign)
        plain = "".join(part for part in plain if not unicodedata.combining(part))
        known = all(any(ord(part) in letters for letters in fonts) for part in plain)
        parts.append(plain if known else f"U+{ord(sign):04X} ")
    return "".join(parts).strip()


@functools.cache
def _own_file() -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@functools.cache
def _own_letters() -> frozenset[int]:
    return _letters(_own_file())


@functools.cache
def _system_fonts() -> dict[str, tuple[str, frozenset[int]]]:
    """Returns file and letters of the families that are installed, in the order of preference."""
    from matplotlib.font_manager import fontManager

    files: dict[str, str] = {}
    for entry in fontManager.ttflist:
        if entry.name in _SYSTEM_FAMILIES and entry.style == "normal":
            files.setdefault(entry.name, entry.fname)
    return {
        name: (files[name], _letters(files[name])) for name in _SYSTEM_FAMILIES if name in files
    }


def _letters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


@functools.lru_cache(maxsize=64)
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
