"""Teach a pretrained network your own image classes, and see all of it in TensorBoard.

Train and measure:
    train             photos -> a trained model in a model folder
    evaluate          how good a model is on photos with known classes
    diff              what one model gained and lost against another, photo by photo
    decide            its thresholds or costs, chosen on what `train` predicted
    export            the model in other formats, each proved to agree with it

Mend the data:
    audit             photos and labels that are likely wrong, and what fits better
    open_review       a page that asks about suspicious photos, and learns from the answers

Use a model:
    load_classifier   a model of any format, ready to label photos
    Classifier        what `load_classifier` returns: `label`, `predict`, `explain`
    inspect_model     what a model file takes and returns, without running it

Experiment:
    sweep             combinations of settings, compared on the same photos
    curve             accuracy by number of photos
    compare           backbones by accuracy, speed and size

Build your own Keras models:
    load_backbone     a frozen pretrained network: pixels -> bottlenecks
    build_head        a head: bottlenecks -> probabilities
    build_classifier  backbone and head as one model

Errors:
    UserError         a setting, path or photo can't be used
    XferlearnError    base of it, and what failed outside the caller's control

`__version__` is the version. Every function has its own help, e.g. `help(xferlearn.train)`.

Public are the names above, and those that the folders' `__init__` list, e.g.
`xferlearn.training.TrainResult`. All other modules are internal and may change at any time.

Example:
    >>> import xferlearn
    >>> result = xferlearn.train(image_dir="flower_photos", model_dir="out/flowers")
    >>> print(result.test.summary())
    >>> classifier = xferlearn.load_classifier("out/flowers")
    >>> classifier.label("rose.jpg")
"""

from typing import TYPE_CHECKING

from xferlearn.errors import UserError, XferlearnError
from xferlearn.system.lazy import lazy_names
from xferlearn.system.version import __version__

if TYPE_CHECKING:
    from xferlearn.evaluation import decide, diff, evaluate
    from xferlearn.experiments import compare, curve, sweep
    from xferlearn.exports import export
    from xferlearn.inspection import inspect_model
    from xferlearn.labelling import Classifier, load_classifier
    from xferlearn.review import open_review
    from xferlearn.training import audit, build_classifier, build_head, load_backbone, train

# Imported on first use, so that `xferlearn --help` and `import xferlearn` stay quick.
_HOMES = {
    "Classifier": "xferlearn.labelling",
    "audit": "xferlearn.training",
    "build_classifier": "xferlearn.training",
    "build_head": "xferlearn.training",
    "compare": "xferlearn.experiments",
    "curve": "xferlearn.experiments",
    "decide": "xferlearn.evaluation",
    "diff": "xferlearn.evaluation",
    "evaluate": "xferlearn.evaluation",
    "export": "xferlearn.exports",
    "inspect_model": "xferlearn.inspection",
    "load_backbone": "xferlearn.training",
    "load_classifier": "xferlearn.labelling",
    "open_review": "xferlearn.review",
    "sweep": "xferlearn.experiments",
    "train": "xferlearn.training",
}

__all__ = [
    "Classifier",
    "UserError",
    "XferlearnError",
    "__version__",
    "audit",
    "build_classifier",
    "build_head",
    "compare",
    "curve",
    "decide",
    "diff",
    "evaluate",
    "export",
    "inspect_model",
    "load_backbone",
    "load_classifier",
    "open_review",
    "sweep",
    "train",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
