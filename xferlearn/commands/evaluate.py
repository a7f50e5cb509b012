"""`xferlearn evaluate`: prints how good a model is on photos with known classes."""

import json
import sys

from xferlearn.commands import print_remarks
from xferlearn.config import EvaluateCommandConfig
from xferlearn.evaluation import evaluate_with


def run(config: EvaluateCommandConfig) -> int:
    """Evaluates, and prints the numbers as text or JSON; returns 1 where no photo was readable."""
    result = evaluate_with(config)
    print_remarks(result)
    if config.format == "json":
        print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(result.summary())
    if not result.evaluation.total:
        print(f"None of {len(result.bad)} photos could be read.", file=sys.stderr)
        return 1
    return 0 if result.complete else 1
