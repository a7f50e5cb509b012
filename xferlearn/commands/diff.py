"""`xferlearn diff`: prints what one model gained and lost against another."""

from xferlearn.commands import print_remarks, print_result
from xferlearn.config import DiffCommandConfig
from xferlearn.evaluation import diff_with
from xferlearn.system.terminal import say_json


def run(config: DiffCommandConfig) -> int:
    """Compares, and prints the result as text or JSON; returns 1 where a file is missing."""
    result = diff_with(config)
    if config.format == "json":
        print_remarks(result)
        say_json(result.as_dict(), indent=2)
    else:
        print_result(result)
    return 0 if result.complete else 1
