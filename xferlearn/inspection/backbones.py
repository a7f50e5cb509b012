"""Inspects a pretrained backbone, which needs neither its weights nor a file."""

import dataclasses
import json

from xferlearn.backbones import load_rows, resolve_backbone
from xferlearn.backbones.names import part_name
from xferlearn.inspection.formats import ModelFile
from xferlearn.inspection.inspection import build_report
from xferlearn.inspection.metadata import WeightsLicence
from xferlearn.inspection.readers.keras_config import read_keras_config
from xferlearn.inspection.report import BackboneReport, GraphReport
from xferlearn.inspection.signatures import SIGNATURES


def inspect_backbone(name: str) -> GraphReport:
    """Reports what a backbone takes and gives, as `load_backbone` builds it; downloads nothing.

    Args:
        name: anything that `resolve_backbone` understands; it may contain the image size.

    Returns:
        The report, whose `file_size` is that of the weights in float32, and whose `parameters`
        are those without the classifier.

    Raises:
        UserError: the name is unknown, or the size is out of range.

    Example:
        >>> inspect_backbone("inception_v3").image_input.resolution
        '299 x 299'
    """
    return open_backbone(name)[1]


def open_backbone(name: str) -> tuple[ModelFile, GraphReport]:
    """As `inspect_backbone`; returns the graph itself too."""
    import keras

    spec, size = resolve_backbone(name)
    (model,) = load_rows([(spec, size)], None)
    parameters = spec.parameters or model.count_params()
    graph = dataclasses.replace(
        read_keras_config(json.loads(model.to_json())),
        producer=f"Keras {keras.__version__}",
        parameters=parameters,
    )
    held = ModelFile("backbone", 4 * parameters, graph)
    titles = (one.title for one in SIGNATURES if one.name == spec.name)
    title = next(titles, spec.family)
    called = spec.origin or part_name(spec.name, size)
    report = dataclasses.replace(
        build_report(called, held),
        backbone=BackboneReport(spec.name, title, spec.image_size),
        licences=(WeightsLicence(spec.name, spec.licence.name, spec.licence.source),),
    )
    return held, report
