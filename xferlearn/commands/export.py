"""`xferlearn export`: writes a model in other formats and shows that they answer the same."""

from xferlearn.commands import print_result
from xferlearn.config import ExportConfig
from xferlearn.exports import export_with


def run(config: ExportConfig) -> int:
    """Exports and prints the summary; returns 1 where a format failed or was not made."""
    result = export_with(config)
    print_result(result)
    return 0 if result.passed and result.complete else 1
