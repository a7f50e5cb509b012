"""`xferlearn compare`: prints which backbone is accurate, fast and small."""

import sys
from typing import Any

from xferlearn.experiments import compare_with


def run(config: Any) -> int:
    """Compares and prints the summary; returns 1 where no backbone could be measured."""
    result = compare_with(config)
    for line in result.remarks():
        print(line, file=sys.stderr)
    print(result.summary())
    return 0 if any(row.validation.photos for row in result.backbones) else 1
