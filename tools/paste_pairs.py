"""Pastes photos of a folder of classes in pairs: photos that show one or two classes, and a table.

    python tools/paste_pairs.py --image_dir=../shared/data/flower_photos --output=/tmp/pairs
    xferlearn train /tmp/pairs --labels=/tmp/pairs/multi.csv

Each photo is used once, so no two pictures share a flower.
"""

import csv
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image, ImageOps

from xferlearn.photos import read_image_dir

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder per class.")
_OUTPUT = flags.DEFINE_string("output", None, "New folder for the pictures and multi.csv.")
_SIDE = flags.DEFINE_integer("side", 448, "Side of the pictures, which are square, px.")
_MOST = flags.DEFINE_integer("most", 10_000, "Pictures at most.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of what is pasted together.")


def paste_pairs(image_dir: str, output: Path, *, side: int, most: int, seed: int) -> int:
    """Writes the pictures and multi.csv; returns how many pictures there are."""
    source = read_image_dir(image_dir)
    order = np.random.default_rng(seed).permutation(len(source.files))
    pairs = [(order[i], order[i + 1]) for i in range(0, len(order) - 1, 2)][:most]
    output.mkdir(parents=True)
    with (output / "multi.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels"])
        for number, pair in enumerate(pairs):
            made = Image.new("RGB", (side, side))
            for place, row in enumerate(pair):
                with Image.open(source.files[row][0]) as photo:
                    fitted = ImageOps.fit(photo.convert("RGB"), (side, side // 2))
                made.paste(fitted, (0, place * side // 2))
            name = f"{number:05d}.jpg"
            made.save(output / name, quality=92)
            labels = sorted({source.labels[source.files[row][1]] for row in pair})
            writer.writerow([name, "|".join(labels)])
    return len(pairs)


def main(_: list[str]) -> None:
    """Pastes, and says how many pictures there are."""
    number = paste_pairs(
        _IMAGE_DIR.value,
        Path(_OUTPUT.value),
        side=_SIDE.value,
        most=_MOST.value,
        seed=_SEED.value,
    )
    print(f"{number:,} pictures and multi.csv in {_OUTPUT.value}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["image_dir", "output"])
    app.run(main)
