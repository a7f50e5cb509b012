"""Fine-tuning: after the head, the backbone's later layers are trained on the photos too."""

from xferlearn.training.finetuning.layers import select_layers
from xferlearn.training.finetuning.several import fine_tune
from xferlearn.training.finetuning.tuning import FineTuned

__all__ = ["FineTuned", "fine_tune", "select_layers"]
