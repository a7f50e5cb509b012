#!/bin/sh
# From a fresh clone to a trained model on real photos: 2,624 solar cells from a pip package.
# Their licence is CC BY-NC-SA 4.0: not for commercial use.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3.11}
command -v "$PYTHON" >/dev/null 2>&1 || PYTHON=python3

echo "This shows xferlearn at work, in two or three minutes: it looks at 2,624 photos of solar"
echo "cells, learns from them which cells are defective, and labels three photos. Everything goes"
echo "to .venv, out and logs here; delete these, and nothing is left of it."
echo
echo "== Installing it in .venv"
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,openvino]'
PATH="$PWD/.venv/bin:$PATH"
cells=$(python -c 'from importlib.util import find_spec; print(find_spec("elpv_dataset").submodule_search_locations[0])')/data/images

echo
echo "== Training on 2,624 photos of solar cells, functional or defective"
xferlearn train --dataset=elpv --model_dir=out/elpv --overwrite
echo
echo "== Labelling three of them"
xferlearn label --model=out/elpv "$cells/cell0001.png" "$cells/cell0004.png" "$cells/cell0011.png"
echo
echo "== Now have a look"
echo "  . .venv/bin/activate"
echo "  xferlearn board --open              the results: accuracy, wrong photos, everything else"
echo "  xferlearn train YOUR_PHOTOS         your own photos, one folder per class"
echo "  docs/tutorials/solar-cells.md       what these numbers mean"
