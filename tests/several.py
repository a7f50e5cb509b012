"""Photos that show several things at once: halves of red, green and blue, and a table of them."""

import io
from pathlib import Path

from pictures import picture
from PIL import Image

CLASSES = ("blue", "green", "red")
_COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}
_SETS = (("red", "blue"), ("green",), ("red", "green"), ("blue",), ("blue", "green"), ("red",), ())


def make_halves(
    root: Path, number: int, wrong: dict[int, str] | None = None, *, first: int = 0
) -> Path:
    """Writes photos and `labels.csv`, which names the colours of each; returns the table.

    Args:
        root: the folder.
        number: how many photos.
        wrong: labels by the photo's number that stand in place of the right ones.
        first: the number of the first one; no two of different numbers are the same.
    """
    root.mkdir(parents=True, exist_ok=True)
    lines = ["image,labels"]
    for row in range(first, first + number):
        colours = _SETS[row % len(_SETS)]
        pixels = Image.new("RGB", (48, 48), (120, 120, 120))
        for half, colour in enumerate(colours):
            shade = tuple(min(part + row % 11, 255) for part in _COLOURS[colour])
            pixels.paste(Image.new("RGB", (48 // len(colours), 48), shade), (24 * half, 0))
        pixels = Image.blend(pixels, picture(row, pixels.size), 0.15)
        buffer = io.BytesIO()
        pixels.save(buffer, "PNG")
        (root / f"{row:03d}.png").write_bytes(buffer.getvalue())
        lines.append(f"{row:03d}.png,{(wrong or {}).get(row, '|'.join(colours))}")
    table = root / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
