"""Fine-tuning: after the head, the backbone's later layers learn from the photos themselves."""

from xferlearn.finetuning.layers import select_layers
from xferlearn.finetuning.tuning import FineTuned, fine_tune

__all__ = ["FineTuned", "fine_tune", "select_layers"]
