"""ELPV: photos of functional and defective solar cells, from a pip package, without a download.

Source: C. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective Solar Cells in
Electroluminescence Imagery", EU PVSEC 2018; S. Deitsch et al., "Automatic classification of
defective photovoltaic module cells in electroluminescence images", Solar Energy 185, 2019.
Licence of the photos: Creative Commons BY-NC-SA 4.0 (no commercial use).
"""

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from xferlearn.errors import UserError

LABELS = ("functional", "defective")

_CITATION = """\
@article{Deitsch2019,
  title = {Automatic classification of defective photovoltaic module cells in
           electroluminescence images},
  journal = {Solar Energy}, volume = {185}, pages = {455--468}, year = {2019},
  doi = {10.1016/j.solener.2019.02.067},
}"""


class Elpv(tfds.core.GeneratorBasedBuilder):
    """2,624 gray photos (PNG, 300 x 300 px) of solar cells under current.

    A cell is "defective" if the experts' mean probability of a defect is above one half (they
    gave 0, 1/3, 2/3 or 1): 1,803 are functional and 821 defective. The photos come from the
    installed package `elpv-dataset`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - the base class wants a dict

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            license="CC BY-NC-SA 4.0",
            citation=_CITATION,
            supervised_keys=("image", "label"),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=LABELS),
                    "probability": tfds.features.Scalar(np.float32),
                    "type": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager  # nothing is downloaded
        return {"train": self._generate_examples(photo_dir())}

    def _generate_examples(self, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        with (folder / "labels.csv").open(newline="") as file:
            for path, probability, kind in csv.reader(
                (" ".join(line.split()) for line in file), delimiter=" "
            ):
                yield (
                    path,
                    {
                        "image": folder / path,
                        "label": LABELS[float(probability) > 0.5],
                        "probability": float(probability),
                        "type": kind,
                        "file_name": Path(path).name,
                    },
                )


def photo_dir() -> Path:
    """Returns the folder of the installed package that holds labels.csv and images/.

    Raises:
        UserError: when the package is not installed.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise UserError(
            'The photos of dataset `elpv` are a package of their own: pip install "xferlearn[demo]"'
            " (2,624 photos, 90 MB, CC BY-NC-SA 4.0)."
        )
    return Path(spec.origin).parent / "data"
