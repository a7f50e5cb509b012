"""Every setting of every command: name, default, range and meaning, in one place.

The command line makes its flags from these classes, the Python API its keyword arguments, the
metadata and the run card their entries. A default that was chosen by measurement says so in its
help; the command that measured it is `tools/bench_train.py`.
"""

from xferlearn.config.answers import AnswerConfig
from xferlearn.config.audit import AuditConfig, ReviewConfig
from xferlearn.config.base import Config
from xferlearn.config.board import BoardConfig
from xferlearn.config.data import WHERE_LABELS_ARE, DataConfig, SplitDataConfig
from xferlearn.config.decisions import DECISION, DecideConfig, DecisionConfig
from xferlearn.config.evaluation import (
    DiffCommandConfig,
    DiffConfig,
    EvaluateCommandConfig,
    EvaluateConfig,
)
from xferlearn.config.experiments import SEEDS, CompareConfig, CurveConfig, SweepConfig
from xferlearn.config.images import (
    DEFAULT_BACKBONE,
    ImageConfig,
    PhotoConfig,
    default_bottleneck_dir,
    local_bottleneck_dir,
)
from xferlearn.config.looking import (
    BackbonesConfig,
    CompletionConfig,
    InspectConfig,
    VersionConfig,
)
from xferlearn.config.models import (
    ExportConfig,
    LabelConfig,
    ModelConfig,
)
from xferlearn.config.presets import AUGMENTATIONS, REJECT
from xferlearn.config.training import TrainConfig

__all__ = [
    "AUGMENTATIONS",
    "DECISION",
    "DEFAULT_BACKBONE",
    "REJECT",
    "SEEDS",
    "WHERE_LABELS_ARE",
    "AnswerConfig",
    "AuditConfig",
    "BackbonesConfig",
    "BoardConfig",
    "CompareConfig",
    "CompletionConfig",
    "Config",
    "CurveConfig",
    "DataConfig",
    "DecideConfig",
    "DecisionConfig",
    "DiffCommandConfig",
    "DiffConfig",
    "EvaluateCommandConfig",
    "EvaluateConfig",
    "ExportConfig",
    "ImageConfig",
    "InspectConfig",
    "LabelConfig",
    "ModelConfig",
    "PhotoConfig",
    "ReviewConfig",
    "SplitDataConfig",
    "SweepConfig",
    "TrainConfig",
    "VersionConfig",
    "default_bottleneck_dir",
    "local_bottleneck_dir",
]
