#!/bin/sh
# Installs the package with what the tests need into .venv, then runs every check there is.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3.11}
command -v "$PYTHON" >/dev/null 2>&1 || PYTHON=python3
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# Two workers; a file stays with one of them, so that what its tests share is made once, and files
# begin in the order that tests/conftest.py gives them. One thread each for sums: more would take
# longer waiting for one another than they save.
export OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1
.venv/bin/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder "$@"
