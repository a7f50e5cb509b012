"""Settings -> the source of photos that they ask for."""

from xferlearn.config import DataConfig, TrainConfig
from xferlearn.photos.datasets import open_dataset
from xferlearn.photos.files import read_image_dir
from xferlearn.photos.sources import PhotoSource
from xferlearn.system.folders import check_outside
from xferlearn.system.runtime import start_tensorflow


def open_source(config: TrainConfig) -> PhotoSource:
    """Returns the photos that a config asks for: a folder, or a prepared dataset.

    Args:
        config: `image_dir` or `dataset`, and the folders that must not lie among the photos.

    Raises:
        UserError: when there are no such photos, or results would be written among them.
        XferlearnError: when a dataset can't be downloaded or prepared.
    """
    if config.image_dir is not None:
        if config.summaries != "none":
            check_outside(config.image_dir, "logs_dir", config.logs_dir)
        if config.bottleneck_dir is not None:
            check_outside(config.image_dir, "bottleneck_dir", config.bottleneck_dir)
        return open_labelled(config)
    start_tensorflow()
    return open_dataset(config.dataset or "", config.data_dir, verbose=config.verbose)


def open_labelled(
    config: DataConfig, labels: tuple[str, ...] | None = None, other_classes: str = "error"
) -> PhotoSource:
    """Returns the photos and their labels in files, as a config says where they are.

    Args:
        config: `image_dir`, `layout`.
        labels: the classes of a model, in its order; None to take those that are found.
        other_classes: what to do with classes that are not among these, as `read_image_dir`.

    Raises:
        UserError: when there are no such photos.
    """
    return read_image_dir(
        config.image_dir or "", labels, layout=config.layout, other_classes=other_classes
    )
