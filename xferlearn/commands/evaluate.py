"""`xferlearn evaluate`: prints how good a model is on photos with known classes."""

from xferlearn.commands import print_remarks
from xferlearn.config import EvaluateCommandConfig
from xferlearn.config.wording import as_flags
from xferlearn.evaluation import evaluate_with
from xferlearn.system.terminal import say, say_json, tell
from xferlearn.system.text import count


def run(config: EvaluateCommandConfig) -> int:
    """Evaluates, and prints the numbers as text or JSON; returns 1 where no photo was readable."""
    result = evaluate_with(config)
    print_remarks(result)
    if config.format == "json":
        say_json(result.as_dict(), indent=2)
    else:
        say(as_flags(result.summary()))
    if not result.evaluation.total:
        tell(f"None of {count(len(result.bad), 'photo')} could be read.")
        return 1
    return 0 if result.complete else 1
