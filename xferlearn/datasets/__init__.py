"""TensorFlow Datasets as a source of photos; `elpv` is a builder of our own."""

from xferlearn.datasets.source import DatasetSource, open_dataset, open_source

__all__ = ["DatasetSource", "open_dataset", "open_source"]
