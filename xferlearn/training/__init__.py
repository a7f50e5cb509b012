"""Training: the head on cached bottlenecks, fine-tuning, and the job that writes a model folder."""

from xferlearn.training.auditing import audit
from xferlearn.training.head import build_classifier, build_head
from xferlearn.training.job import train
from xferlearn.training.networks import load_backbone
from xferlearn.training.result import TrainResult

__all__ = ["TrainResult", "audit", "build_classifier", "build_head", "load_backbone", "train"]
