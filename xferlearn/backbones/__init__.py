"""Frozen backbones: which network, which weights, which preprocessing, which size.

Names and the table load at once; what needs Keras loads when it is first asked for.
"""

from typing import TYPE_CHECKING

from xferlearn.backbones.listing import ListedBackbone, list_backbones
from xferlearn.backbones.names import combined_name, resolve_backbone, resolve_backbones
from xferlearn.backbones.table import (
    BACKBONES,
    PREPROCESSING,
    BackboneSpec,
    Licence,
    Preprocessing,
    preprocessing_of,
    spec_of,
)
from xferlearn.system.lazy import lazy_names

if TYPE_CHECKING:
    from xferlearn.backbones.digest import weights_digest
    from xferlearn.backbones.loading import (
        combine_backbones,
        load_imagenet_classifier,
        load_rows,
    )

__all__ = [
    "BACKBONES",
    "PREPROCESSING",
    "BackboneSpec",
    "Licence",
    "ListedBackbone",
    "Preprocessing",
    "combine_backbones",
    "combined_name",
    "list_backbones",
    "load_imagenet_classifier",
    "load_rows",
    "preprocessing_of",
    "resolve_backbone",
    "resolve_backbones",
    "spec_of",
    "weights_digest",
]

_LAZY = {
    "combine_backbones": "xferlearn.backbones.loading",
    "load_imagenet_classifier": "xferlearn.backbones.loading",
    "load_rows": "xferlearn.backbones.loading",
    "weights_digest": "xferlearn.backbones.digest",
}


__getattr__ = lazy_names(__name__, _LAZY)
