#!/bin/sh
# Installs the package for another Python in a folder that goes away, trains on a few photos and
# labels one of them:  sh tools/try_python.sh python3.13
set -eu
cd "$(dirname "$0")/.."
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check .
cd "$folder" # so that what was installed is imported, not the checkout
venv/bin/python - <<'END'
import pathlib

import numpy as np
from PIL import Image

random = np.random.default_rng(0)
for label, colour in {"red": (200, 40, 40), "green": (40, 180, 60)}.items():
    folder = pathlib.Path("photos", label)
    folder.mkdir(parents=True)
    for number in range(20):
        pixels = np.clip(colour + random.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
END
export XDG_CACHE_HOME="$folder/cache"
venv/bin/xferlearn train --image_dir=photos --model_dir=model --summaries=scalars >train.txt
venv/bin/xferlearn label --model=model photos/red/0.jpg | tee label.txt
sed -n 2p label.txt | grep -q red
echo "$("$python" --version): installed, trained on 40 photos, labelled"
