"""Any TensorFlow Datasets image classification dataset as a source of photos."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.errors import UserError, XferlearnError, did_you_mean
from xferlearn.photos.folders.names import class_label, match_labels
from xferlearn.photos.photo import TEST, TRAIN, VALIDATION, BadPhoto
from xferlearn.photos.sources import Entry, named
from xferlearn.photos.split_names import part_to_measure
from xferlearn.system.progress import shows_bars
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_OFFICIAL = {"test": TEST, "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION}
_FILE_NAME_KEYS = ("file_name", "image/filename", "filename", "image_name")


@dataclasses.dataclass(frozen=True)
class DatasetSource:
    """A source of the photos of a prepared builder, still encoded.

    A split that its authors named test or validation stays what it is, so that results can be
    compared with published ones; everything else is split like a folder of photos.

    Attributes:
        builder: prepared with `download_and_prepare`.
        image_key: feature that holds the photo.
        label_key: feature that holds the class.
        names: the photos that are wanted; None for all.
        most_bytes: the photos end after passing this many bytes; None for no end.
        warnings: what a person should know of the choice among its photos and classes.
        left_out: none: datasets are prepared by their authors.
        part: the part of the authors' split that these are; "" where they are all, or there is no
            split.
        known: class names that its labels are found among, where a model is measured; None for its
            own.
        index: by the dataset's label that of `known`, None for photos that are left out.
    """

    builder: "tfds.core.DatasetBuilder"
    image_key: str
    label_key: str
    names: Set[str] | None = None
    most_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    left_out: tuple[BadPhoto, ...] = ()
    part: str = ""
    known: tuple[str, ...] | None = None
    index: Mapping[int, int | None] = dataclasses.field(default_factory=dict, repr=False)
    is_multi_label = False
    holds_bytes = True
    any_order = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the dataset, or of the model that is measured."""
        if self.known is not None:
            return self.known
        return tuple(self.builder.info.features[self.label_key].names)

    @property
    def count(self) -> int:
        """Number of examples."""
        splits = self.builder.info.splits
        return sum(splits[name].num_examples for name in self._splits())

    def _splits(self) -> list[str]:
        names = list(self.builder.info.splits)
        return [name for name in names if self.part in ("", _OFFICIAL.get(name, TRAIN))]

    def only(self, names: Set[str], most_bytes: int | None = None) -> "DatasetSource":
        """Returns a source of the photos with these names."""
        return dataclasses.replace(self, names=names, most_bytes=most_bytes)

    def entries(self, order: np.ndarray | None = None) -> Iterator[Entry]:
        """Yields the labelled photos; examples without a label are left out.

        Args:
            order: None, because there is none but that of the dataset.
        """
        entries = self._all_entries()
        return entries if self.names is None else named(entries, self.names, self.most_bytes)

    def _all_entries(self) -> Iterator[Entry]:
        import tensorflow_datasets as tfds

        taken: set[int] = set()
        for split in self._splits():
            examples = self.builder.as_dataset(
                split=split,
                shuffle_files=False,
                decoders={self.image_key: tfds.decode.SkipDecoding()},
            )
            for number, example in enumerate(tfds.as_numpy(examples)):
                found = int(example[self.label_key])
                label = self.index.get(found, found)
                if label is None or label < 0:
                    continue
                data: bytes = example[self.image_key]
                name = f"{split}/{_file_name(example) or number}"
                # Photos are picked by name, and several examples may have the same file name.
                if hash(name) in taken:
                    name = f"{split}/{number}/{_file_name(example)}"
                taken.add(hash(name))
                yield Entry(
                    name=name,
                    label=label,
                    read=lambda data=data: data,  # type: ignore[misc]
                    size=len(data),
                    fixed_split=_OFFICIAL.get(split),
                )


def open_dataset(
    name: str, data_dir: str | Path | None = None, *, verbose: int = 1
) -> DatasetSource:
    """Prepares a TensorFlow Datasets dataset, and downloads it if that is needed.

    Args:
        name: a name of TensorFlow Datasets, e.g. "tf_flowers" or "cifar10", or "elpv".
        data_dir: where TensorFlow Datasets keeps its data; None for its default.
        verbose: 0 shows no progress.

    Raises:
        UserError: on an unknown name, a dataset that is not one photo and one class per example,
            or a data_dir that is not a folder.
        XferlearnError: when it can't be downloaded or prepared.

    Example:
        >>> open_dataset("elpv").labels
        ('functional', 'defective')
    """
    import tensorflow_datasets as tfds

    if data_dir is not None and Path(data_dir).exists() and not Path(data_dir).is_dir():
        raise UserError(f"Expected `data_dir` to be a folder. Found a file at {data_dir}.")
    if name.split(":")[0] == "elpv":
        from xferlearn.photos import elpv

        elpv.photo_dir()
    if not shows_bars(verbose):
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        near = did_you_mean(name, [*tfds.list_builders(with_community_datasets=False), "elpv"])
        raise UserError(
            f"There is no dataset {name!r}.{near} `dataset` takes a name of TensorFlow Datasets,"
            " or elpv."
        ) from None
    # E.g. an unknown version, configuration or option, or a missing package of its loader.
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise UserError(f"Dataset {name!r} can't be opened: {one_line(error, 300)}") from None
    keys = _keys(builder.info)
    if keys is None:
        raise UserError(
            f"Dataset {name!r} is not for image classification: expected one Image and one"
            f" ClassLabel, found {one_line(builder.info.features, 300)}."
        )
    try:
        # It prints download sizes, which are mostly unknown; its progress bars go to stderr.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # downloads, checksums, manual steps: dozens of types
        raise XferlearnError(
            f"Dataset {name!r} can't be prepared in {builder.data_dir}:"
            f" {one_line(error, 300, with_file=True)}"
        ) from error
    return DatasetSource(builder, *keys)


def measured_dataset(
    source: DatasetSource, labels: tuple[str, ...], other_classes: str, split: str | None
) -> DatasetSource:
    """Returns the photos of a dataset that a model is measured on, under its classes.

    Args:
        source: the dataset.
        labels: the model's classes, in its order.
        other_classes: what to do with others, as `read_image_dir`.
        split: the part of the authors' split, likewise.

    Raises:
        UserError: on a class that the model does not have, unless these are skipped or counted.
    """
    place = source.builder.info.full_name
    given = {_OFFICIAL.get(name, TRAIN) for name in source.builder.info.splits}
    part, told = part_to_measure(place, given if given != {TRAIN} else (), split)
    source = dataclasses.replace(source, part=part)
    found = dict.fromkeys(source.labels, 0)
    if {*map(class_label, found)} - {*map(class_label, labels)} and other_classes != "error":
        for entry in source.entries():  # to say how many photos that is
            found[source.labels[entry.label]] += 1
    index, known, said = match_labels(found, labels, other_classes, place, what="label")
    warnings = (*([told] if told else []), *said)
    numbers = {number: index[name] for number, name in enumerate(found)}
    return dataclasses.replace(source, known=known, index=numbers, warnings=warnings)


def _keys(info: Any) -> tuple[str, str] | None:
    import tensorflow_datasets as tfds

    if not isinstance(info.features, tfds.features.FeaturesDict):
        return None
    if info.supervised_keys and len(info.supervised_keys) == 2:
        pairs = [info.supervised_keys]
    else:
        images = [key for key, f in info.features.items() if isinstance(f, tfds.features.Image)]
        labels = [
            key for key, f in info.features.items() if isinstance(f, tfds.features.ClassLabel)
        ]
        pairs = [(images[0], labels[0])] if len(images) == len(labels) == 1 else []
    for image, label in pairs:
        if (
            isinstance(image, str)
            and isinstance(label, str)
            and isinstance(info.features[image], tfds.features.Image)
            and isinstance(info.features[label], tfds.features.ClassLabel)
        ):
            return image, label
    return None


def _file_name(example: dict[str, Any]) -> str:
    for key in _FILE_NAME_KEYS:
        if isinstance(example.get(key), bytes):
            return example[key].decode("utf-8", "replace")
    return ""
