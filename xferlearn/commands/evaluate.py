"""`xferlearn evaluate`: prints how good a model is on photos with known classes."""

import json
import sys

from xferlearn.config import EvaluateConfig
from xferlearn.evaluation import evaluate_with


def run(config: EvaluateConfig) -> int:
    """Evaluates, and prints the numbers as text or JSON; returns 1 where no photo was readable."""
    result = evaluate_with(config)
    for line in result.remarks():
        print(line, file=sys.stderr)
    if config.format == "json":
        print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(result.summary())
    if not result.evaluation.total:
        print(f"None of {len(result.bad)} photos could be read.", file=sys.stderr)
        return 1
    return 0
