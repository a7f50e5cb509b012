"""`xferlearn decide`: sets how a trained model's labels are decided."""

from xferlearn.commands import print_result
from xferlearn.config import DecideConfig
from xferlearn.evaluation import decide_with


def run(config: DecideConfig) -> int:
    """Sets the decision, and prints what it gives."""
    print_result(decide_with(config))
    return 0
