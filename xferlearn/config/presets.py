"""What some settings stand for, and defaults that depend on the photos."""

import types
from collections.abc import Mapping
from typing import Any

# What `--augment` stands for, in the settings that it stands for.
AUGMENTATIONS: Mapping[str, Mapping[str, float]] = types.MappingProxyType(
    {
        "none": {},
        "flip": {"flip_left_right": True},
        "full": {
            "flip_left_right": True, "random_crop": 15, "random_scale": 30, "random_brightness": 20
        },
    }
)  # fmt: skip

# Each at more pixels than it was designed for sees more: +0.4 points over their own sizes.
_SEVERAL = "efficientnet_lite0+efficientnet_lite1_280+efficientnet_lite2_300"

# What `--quality` stands for where these settings are left open.
RECIPES: Mapping[str, Mapping[str, Any]] = types.MappingProxyType(
    {
        "fast": {},
        "balanced": {"backbone": _SEVERAL},
        "best": {"backbone": _SEVERAL, "unfreeze": "auto"},
    }
)

# The share of test photos where its user says nothing of it and photos are not too few.
TESTING_PERCENTAGE = 10.0
# A photo of a smaller familiarity is unknown, where its user says nothing of it.
REJECT = 0.01
# The head where its user says nothing of it; see `training.plan` for when which of them holds.
HIDDEN_UNITS = 128
HIDDEN_UNITS_OF_FEW = 64
WEIGHT_DECAY = 0.003
LINEAR_WEIGHT_DECAY = 0.03
