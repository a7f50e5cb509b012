"""One format of an export: written, proved, and moved to the name that its result gives it."""

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xferlearn.config import ExportConfig, ModelConfig
from xferlearn.errors import XferlearnError
from xferlearn.exports.formats import FORMATS, Calibration, EngineBuilders
from xferlearn.exports.onnx_files import ONNX_FILE
from xferlearn.exports.outputs import with_outputs
from xferlearn.exports.photos import ProofPhotos
from xferlearn.exports.proof import Proof, Reference, prove
from xferlearn.exports.report import ExportRow
from xferlearn.exports.tensorrt_files import EngineFile, NotBuilt
from xferlearn.model_folder import MODEL_FILE, UNFINISHED_EXPORT, ModelFolder
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.system.files import replace_folder, temporary_folder
from xferlearn.system.runtime import captured_stderr
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class FormatJob:
    """One format: written under a hidden name, proved there, then moved to its place.

    Attributes:
        name: key of `FORMATS`.
        config: with `min_agreement`.
        model_folder: the model folder.
        model: its model.
        photos: to compare on.
        calibration: yields the photos that int8 is calibrated with.
        reference: the answers of model.keras to `photos`.
        exports: folder to write to.
    """

    name: str
    config: ExportConfig
    model_folder: ModelFolder
    model: "keras.Model"
    photos: ProofPhotos
    calibration: Calibration
    reference: Reference
    exports: Path

    def rows(self) -> list[ExportRow]:
        """Does the job and returns its results; what fails is a row with its reason."""
        # Not in exports/, where the model folder's metadata would count instead of the file's own.
        place = self.model_folder.path / f"{UNFINISHED_EXPORT}.{self.name}"
        with _quiet():
            try:
                builders = FORMATS[self.name].engines
                with temporary_folder(place) as hidden:
                    if builders is None:
                        return [self._file(hidden)]
                    return self._engines(hidden, builders)
            except Exception as error:  # converters and runtimes raise many types, of many lines
                return [ExportRow(self.name, problem=_reason(error, self.model_folder.path))]

    @property
    def minimum(self) -> float:
        """The agreement that is asked for, 0 to 1."""
        one, asked = FORMATS[self.name], self.config.min_agreement
        if asked is not None:
            return asked
        return one.min_set_agreement if self.reference.is_multi_label else one.min_agreement

    @property
    def _most_difference(self) -> float:
        return FORMATS[self.name].familiarity or 0.0

    def _file(self, hidden: Path) -> ExportRow:
        one = FORMATS[self.name]
        written = hidden / one.target
        file = written / one.opened
        proof, left_out = self._written(written)
        if one.check is not None:
            one.check(file, self.photos, self.reference)
        size = _size(written)
        self._check_place()
        place = _place(written, self.exports / one.target, proof.passed)
        row = ExportRow(self.name, place / one.opened, size, proof, left_out=left_out)
        return row if proof.passed else dataclasses.replace(row, problem=_disagreement(row))

    def _written(self, written: Path) -> tuple[Proof, str]:
        """Writes a file and proves it; also returns why it has no familiarity, if it could."""
        one, alone = FORMATS[self.name], dataclasses.replace(self.reference, familiarity=None)

        def made(model: "keras.Model", reference: Reference) -> Proof:
            one.write(model, self.model_folder, written, self.calibration)
            return self._prove(written / one.opened, reference)

        if one.familiarity is None or self.reference.familiarity is None:
            return made(self.model, alone), ""
        if not one.calibrated:
            return made(self.model, self.reference), ""
        try:
            proof = made(self.model, self.reference)
            if proof.familiarity is None:
                return proof, ""
            changed = proof.familiarity.disagreement(self.minimum)
            if not changed:
                return proof, ""
            reason = f"int8 would change it: {changed}"
        except XferlearnError as error:
            reason = str(error)
        # Of some models its numbers need finer steps; a file without it is of more use than none.
        return made(with_outputs(self.model, 1), alone), f"left out, as {reason}"

    def _prove(self, file: Path, reference: Reference) -> Proof:
        def load() -> Predictor:
            return open_predictor(ModelConfig(model=str(file)))

        return prove(
            load, self.photos, reference, self.minimum, most_difference=self._most_difference
        )

    def _engines(self, hidden: Path, builders: EngineBuilders) -> list[ExportRow]:
        one = FORMATS[self.name]
        folder = hidden / one.target
        folder.mkdir()
        file = folder / ONNX_FILE
        one.write(self.model, self.model_folder, file, self.calibration)
        proof = self._prove(file, self.reference)
        if not proof.passed:
            reasons = "; ".join(proof.disagreements)
            raise XferlearnError(f"the ONNX file that engines are built from: {reasons}")
        target = self.exports / one.target
        try:
            builds = builders(file, self.model_folder)
            rows = [self._engine(name, build, target) for name, build in builds.items()]
        except NotBuilt as reason:
            rows = [ExportRow(self.name, target / file.name, problem=reason.advice(target))]
        self._check_place()
        _place(folder, target, passed=True)
        return rows

    def _check_place(self) -> None:
        """Checks that the file does not go into the folder of another model."""
        if self.model_folder.is_replaced():
            raise XferlearnError(
                f"{self.model_folder.path} was replaced while this was running. Run again."
            )

    def _engine(self, path: Path, build: Callable[[], EngineFile], target: Path) -> ExportRow:
        """Builds and proves one engine; when it fails, the ONNX file and other engines stay."""
        name = f"{self.name}_{path.stem.rpartition('_')[2]}"
        try:
            engine = build()
            proof = prove(
                engine.load,
                self.photos,
                self.reference,
                self.minimum,
                engine.measure,
                most_difference=self._most_difference,
            )
            size = path.stat().st_size
        except Exception as error:
            path.unlink(missing_ok=True)
            return ExportRow(name, problem=_reason(error, self.model_folder.path))
        if proof.passed:
            return ExportRow(name, target / path.name, size, proof)
        path.rename(_failed(path))
        row = ExportRow(name, target / _failed(path).name, size, proof)
        return dataclasses.replace(row, problem=_disagreement(row))


def _reason(error: Exception, model_folder: Path) -> str:
    """Returns why a format failed, one line; converters have unclear words for a full disk."""
    if isinstance(error, XferlearnError):
        return str(error)
    free = shutil.disk_usage(model_folder).free
    reason = one_line(error, with_file=True)
    if free >= (model_folder / MODEL_FILE).stat().st_size:
        return reason
    return f"{reason} (only {free / 1e6:.0f} MB are free on the disk of {model_folder})"


def _disagreement(row: ExportRow) -> str:
    reasons = row.proof.disagreements if row.proof else ()
    return "; ".join([*reasons, f"the file is kept as {row.path}"])


def _failed(path: Path) -> Path:
    """Returns the name of a file that failed its proof."""
    return path.with_name(f"{path.stem}.failed-proof{path.suffix}")


def _place(written: Path, target: Path, passed: bool) -> Path:
    """Moves what was proved to its name, or to the name for failures; returns where it is.

    Nothing is left under the other name, so that no earlier export is taken for this one.
    """
    place, other = (target, _failed(target)) if passed else (_failed(target), target)
    if written.is_dir():
        replace_folder(place, written)
    else:
        written.replace(place)
    if other.exists():
        # It goes with the hidden folder.
        other.rename(written.with_name("outdated"))
    return place


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps progress and deprecation messages of converters off the terminal."""
    import tensorflow as tf

    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with captured_stderr():
            yield
    finally:
        logger.setLevel(before)
