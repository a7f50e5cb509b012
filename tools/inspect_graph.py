#!/usr/bin/env python3
"""Reports which input layer, size and value range a model file needs; see `xferlearn inspect`.

Usage: python tools/inspect_graph.py FILE_OR_FOLDER [--format=json] [--logs_dir=DIR]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from xferlearn.commands import inspect_model
from xferlearn.config import InspectConfig
from xferlearn.errors import XferlearnError


def main() -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="model file or folder, or TensorBoard folder")
    parser.add_argument("--format", default="text", choices=("text", "json"))
    parser.add_argument("--logs_dir", help="write the graph for TensorBoard below this folder")
    arguments = parser.parse_args()
    try:
        return inspect_model.run(InspectConfig(**vars(arguments)))
    except XferlearnError as error:
        print(f"inspect_graph: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
