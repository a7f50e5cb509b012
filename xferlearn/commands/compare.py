"""`xferlearn compare`: prints which backbone is accurate, fast and small."""

from xferlearn.commands import print_result
from xferlearn.config import CompareConfig
from xferlearn.experiments import compare_with


def run(config: CompareConfig) -> int:
    """Compares and prints the summary; returns 1 where no backbone could be measured."""
    result = compare_with(config)
    print_result(result)
    return 0 if result.complete and any(row.validation.photos for row in result.backbones) else 1
