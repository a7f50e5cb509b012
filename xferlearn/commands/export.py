"""`xferlearn export`: writes a model in other formats and shows that they answer the same."""

import sys

from xferlearn.config import ExportConfig
from xferlearn.exports import export_with


def run(config: ExportConfig) -> int:
    """Exports and prints the summary; returns 1 where a format failed or was not made."""
    result = export_with(config)
    print(result.summary())
    for line in result.remarks():
        print(line, file=sys.stderr)
    return 0 if result.passed else 1
