#!/bin/sh
# Builds the manual, docs/, as a site in build/site. Warnings are errors; the notebook is run.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3.11}
command -v "$PYTHON" >/dev/null 2>&1 || PYTHON=python3
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
# Its theme would announce other programs otherwise.
NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --config-file docs/site/mkdocs.yml "$@"
echo "The manual is in build/site/index.html; python3 -m http.server -d build/site shows it with its search."
