"""What many photos cost: time of each stage.

python tools/bench_scale.py --image_dir=PHOTOS
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from absl import app, flags

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Real photos by class, 1,000 or more.")
# How often the processes of a command are looked at.
_LOOK_SECONDS = 0.2
_ROUNDS = 2


def measure_label(image_dir: str) -> None:
    """Prints CPU time per photo of `label`: into one file, into parts, and into parts on Ray.

    Caches are empty, so that every photo goes through the network. What labelling one photo takes
    is left out as the start; of several rounds the best counts.

    Args:
        image_dir: the photos.
    """
    paths = sorted(Path(image_dir).glob("*/*.jpg"))
    ways = {"one file": ["a.parquet"], "parts": ["parts"], "parts on Ray": ["parts", "ray"]}
    found: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        model = f"--model={folder}/model"
        _cpu_seconds(
            "train", f"--image_dir={image_dir}", f"--model_dir={folder}/model", "--summaries=none"
        )
        for number in range(_ROUNDS):
            for way, (output, *runner) in ways.items():
                used = []
                for photos in (paths[0], image_dir):
                    place = Path(folder, f"{way}-{number}-{len(used)}")
                    place.mkdir()
                    flags_ = [
                        model,
                        f"--output={place / output}",
                        f"--bottleneck_dir={place / 'b'}",
                    ]
                    flags_ += [f"--runner={one}" for one in runner]
                    used.append(_cpu_seconds("label", str(photos), *flags_))
                found[way].append(1000 * (used[1] - used[0]) / (len(paths) - 1))
    told = ", ".join(f"{way} {min(each):.2f}" for way, each in found.items())
    print(f"label: {len(paths):,} photos, CPU ms per photo, best of {_ROUNDS}: {told}")


def _cpu_seconds(*words: str) -> float:
    """Returns the CPU time of a command and of all processes that it starts; Linux only."""
    mark = f"BENCH_SCALE={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "xferlearn", *words, "--verbose=0"]
    used: dict[tuple[str, str], int] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, name: value}
    ) as process:
        while process.poll() is None:
            for folder in Path("/proc").iterdir():
                try:
                    if mark.encode() in (folder / "environ").read_bytes():
                        fields = (folder / "stat").read_text().rpartition(")")[2].split()
                        used[folder.name, fields[19]] = int(fields[11]) + int(fields[12])
                except (OSError, IndexError):
                    continue
            time.sleep(_LOOK_SECONDS)
    if process.returncode not in (0, 1):
        raise SystemExit(f"xferlearn {' '.join(words)} failed")
    return sum(used.values()) / os.sysconf("SC_CLK_TCK")


def main(_: list[str]) -> None:
    """Prints a line per stage."""
    if _IMAGE_DIR.value:
        measure_label(_IMAGE_DIR.value)


if __name__ == "__main__":
    app.run(main)
