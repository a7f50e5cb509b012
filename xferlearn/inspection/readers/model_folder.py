"""Model folders as `train` writes them: model.keras, described by metadata.json."""

from dataclasses import replace
from pathlib import Path

from xferlearn.inspection.layers import Graph
from xferlearn.inspection.metadata import read_metadata
from xferlearn.inspection.readers.keras_files import read_keras
from xferlearn.inspection.source import ModelSource
from xferlearn.model_folder import find_model_folder_around

_MODEL, _METADATA = "model.keras", "metadata.json"


def is_model_folder(source: ModelSource) -> bool:
    """Recognises a folder by its two files."""
    return all((source.path / name).is_file() for name in (_MODEL, _METADATA))


def read_model_folder(source: ModelSource) -> Graph:
    """Reads the model of a folder, and what its metadata state.

    Raises:
        MalformedError: one of the two files is damaged.
    """
    graph = read_keras(ModelSource(source.path / _MODEL))
    return replace(graph, metadata=read_metadata(source.path / _METADATA))


def check_around(path: Path) -> None:
    """Checks the model folder that a model is, or lies in, as `label` does before it runs one.

    Raises:
        UserError: a file of it is damaged, was edited, or belongs to another model.
    """
    folder = find_model_folder_around(path)
    if folder is not None and is_model_folder(ModelSource(path)):
        folder.check_model()
