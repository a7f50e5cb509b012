"""The job: model folder -> files in other formats, each proved before it gets its name."""

import contextlib
import dataclasses
import hashlib
import logging
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bundles import MODEL_FILE, Bundle, read_bundle
from xferlearn.config import ExportConfig, ModelConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.exports.formats import FORMATS, check_formats
from xferlearn.exports.photos import ProofPhotos, calibration, photo_place, proof_photos
from xferlearn.exports.proof import Proof, Reference, measure_reference, prove
from xferlearn.exports.report import ExportRow, table_rows, write_events, write_report
from xferlearn.exports.tensorrt_engines import NotBuilt, build_engines
from xferlearn.manifest import TEST, TRAIN
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.predictors.base import one_line
from xferlearn.predictors.bundle import bundle_resize
from xferlearn.predictors.keras_files import check_keras_file
from xferlearn.progress import progress_bar
from xferlearn.runtime import captured_stderr, start_tensorflow
from xferlearn.version import __version__

if TYPE_CHECKING:
    import keras

EXPORTS_DIR = "exports"
_STALE_SECONDS = 24 * 3600


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What an export gave.

    Attributes:
        rows: what became of each format.
        table: the same as text cells, the head first and then model.keras.
        summary: what the files were compared on, one sentence.
        warnings: a line each.
        report: path of report.json.
        run_dir: folder of the run in the logs; None where none was asked for.
    """

    rows: tuple[ExportRow, ...]
    table: list[list[str]]
    summary: str
    warnings: tuple[str, ...]
    report: Path
    run_dir: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether every format was written and agrees with the model."""
        return all(row.passed for row in self.rows)


def export(**settings: Any) -> ExportResult:
    """Writes a trained model in other formats; `xferlearn export` in Python.

    Every file is opened by its own runtime and compared with model.keras on the model's test
    photos. One that disagrees too often is kept under a name that says so, and `passed` of the
    result is False.

    Args:
        **settings: the fields of `config.ExportConfig`: model and format are needed.

    Raises:
        UserError: when a setting can't be right, a package is missing, or there are no photos.
        XferlearnError: when nothing can be written.

    Example:
        >>> export(model="out/flowers", format="onnx,tflite").passed
        True
    """
    return export_with(ExportConfig.of(settings))


def export_with(config: ExportConfig) -> ExportResult:
    """Exports as `config` says; see `export`."""
    check_formats(config.formats)
    bundle = read_bundle(config.model or "")
    check_keras_file(bundle.path / MODEL_FILE)
    start_tensorflow()
    photos = proof_photos(bundle, config.max_photos, config.image_dir)
    model, reference = _reference(bundle, photos)
    exports = _make_folder(bundle.path / EXPORTS_DIR)
    rows: list[ExportRow] = []
    with progress_bar("export", len(config.formats), "format") as bar:
        for name in config.formats:
            job = _Job(name, config, bundle, model, photos, reference, exports)
            rows += job.rows()
            bar.update()
    about = _about(bundle, photos)
    summary = (
        f"{len(photos.names)} {photos.split} photos, each file in its own runtime on"
        f" {about['processor']}, against model.keras in float32."
    )
    cells = table_rows(reference, (bundle.path / MODEL_FILE).stat().st_size, tuple(rows))
    report = write_report(exports, about, reference, tuple(rows))
    run_dir = None
    if config.logs_dir:
        run_dir = write_events(config.logs_dir, bundle.path.name, summary, cells, tuple(rows))
    warnings = _warnings(bundle, photos, config)
    return ExportResult(tuple(rows), cells, summary, warnings, report, run_dir)


def _reference(bundle: Bundle, photos: ProofPhotos) -> tuple["keras.Model", Reference]:
    started = time.perf_counter()
    model = bundle.load_model()
    if model.output_shape[-1] != len(bundle.labels):
        raise UserError(
            f"{bundle.path} is damaged: {len(bundle.labels)} labels, but its model gives"
            f" {model.output_shape[-1]} scores."
        )

    def run(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_on_batch(pixels.astype(np.float32)))

    run(photos.pixels[:1])
    loaded = time.perf_counter() - started
    return model, measure_reference(bundle.labels, bundle_resize(bundle), run, photos, loaded)


def _make_folder(exports: Path) -> Path:
    try:
        exports.mkdir(exist_ok=True)
        for old in exports.glob(".*.tmp"):
            # Left behind by an export that was killed; a younger one may still be at work.
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise XferlearnError(f"Can't write to {exports}: {error.strerror}.") from None
    return exports


@dataclasses.dataclass(frozen=True)
class _Job:
    """One format: written under a hidden name, proved there, then given its place."""

    name: str
    config: ExportConfig
    bundle: Bundle
    model: "keras.Model"
    photos: ProofPhotos
    reference: Reference
    exports: Path

    def rows(self) -> list[ExportRow]:
        hidden = self.exports / f".{self.name}.{uuid.uuid4().hex[:8]}.tmp"
        with _quiet():
            try:
                hidden.mkdir()
                return self._engines(hidden) if self.name == "tensorrt" else [self._file(hidden)]
            except XferlearnError as error:
                return [ExportRow(self.name, problem=str(error))]
            except Exception as error:  # converters and runtimes raise many types, of many lines
                return [ExportRow(self.name, problem=one_line(error))]
            finally:
                shutil.rmtree(hidden, ignore_errors=True)

    @property
    def minimum(self) -> float:
        asked = self.config.min_agreement
        return FORMATS[self.name].min_agreement if asked is None else asked

    def _file(self, hidden: Path) -> ExportRow:
        one = FORMATS[self.name]
        written = hidden / one.target
        one.write(self.model, self.bundle, written, calibration(self.bundle, self.config.image_dir))
        file = written / one.opened
        proof = self._prove(file)
        size = _size(written)
        place = _place(written, self.exports / one.target, proof.passed)
        row = ExportRow(self.name, place / one.opened, size, proof)
        return row if proof.passed else dataclasses.replace(row, problem=_disagreement(row))

    def _prove(self, file: Path) -> Proof:
        def load() -> Predictor:
            return open_predictor(ModelConfig(model=str(file)))

        return prove(load, self.photos, self.reference, self.minimum)

    def _engines(self, hidden: Path) -> list[ExportRow]:
        one = FORMATS[self.name]
        folder = hidden / one.target
        folder.mkdir()
        file = folder / FORMATS["onnx"].target
        one.write(self.model, self.bundle, file, calibration(self.bundle))
        proof = self._prove(file)
        if not proof.passed:
            raise XferlearnError(
                f"the ONNX file that engines are built from agrees on {proof.agreement:.2%} of the"
                f" photos, which is below {self.minimum:.2%}"
            )
        rows = []
        try:
            for engine in build_engines(file, self.bundle):
                proof = prove(
                    engine.load, self.photos, self.reference, self.minimum, engine.measure
                )
                size = engine.path.stat().st_size
                if not proof.passed:
                    engine.path.rename(_failed(engine.path))
                left = engine.path if proof.passed else _failed(engine.path)
                place = self.exports / one.target / left.name
                row = ExportRow(f"{self.name}_{engine.precision}", place, size, proof)
                problem = None if proof.passed else _disagreement(row)
                rows.append(dataclasses.replace(row, problem=problem))
        except NotBuilt as reason:
            target = self.exports / one.target
            rows = [ExportRow(self.name, target / file.name, problem=reason.told(target))]
        _place(folder, self.exports / one.target, passed=True)
        return rows


def _disagreement(row: ExportRow) -> str:
    proof = row.proof
    if proof is None:
        return ""
    return (
        f"agreement {proof.agreement:.2%} is below {proof.minimum:.2%}: {len(proof.changed)} of"
        f" {proof.photos} photos changed their first label; the file is kept as {row.path}"
    )


def _failed(path: Path) -> Path:
    """Returns the name of a file that failed its proof."""
    return path.with_name(f"{path.stem}.failed-proof{path.suffix}")


def _place(written: Path, target: Path, passed: bool) -> Path:
    """Moves what was proved to its name, or to the one for what failed; returns where it is.

    The other name is left empty, so that no earlier export is taken for this one.
    """
    place, other = (target, _failed(target)) if passed else (_failed(target), target)
    # Folders can't be replaced in one step; what is moved here goes with the hidden folder.
    if place.is_dir():
        place.rename(written.with_name("replaced"))
    written.replace(place)
    if other.exists():
        other.rename(written.with_name("outdated"))
    return place


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps converters' progress and deprecation notices off the terminal."""
    import tensorflow as tf

    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with captured_stderr():
            yield
    finally:
        logger.setLevel(before)


def _about(bundle: Bundle, photos: ProofPhotos) -> dict[str, Any]:
    return {
        "model_sha256": hashlib.sha256((bundle.path / MODEL_FILE).read_bytes()).hexdigest(),
        "photos": len(photos.names),
        "split": photos.split,
        "missing": list(photos.missing),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "xferlearn": __version__,
    }


def _processor() -> str:
    """Returns the processor's name, as Linux tells it, else what Python knows."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _warnings(bundle: Bundle, photos: ProofPhotos, config: ExportConfig) -> tuple[str, ...]:
    lines = []
    if photos.split != TEST:
        lines.append(
            f"the model has no test photos; {photos.split} photos were compared, on which its"
            f" accuracy is {'much ' if photos.split == TRAIN else ''}too high"
        )
    if photos.missing:
        count, names = len(photos.missing), ", ".join(photos.missing[:3])
        place = photo_place(bundle, config.image_dir)
        more = ", ..." if count > 3 else ""
        lines.append(
            f"{count} of {count + len(photos.names)} photos were not found in {place} or can't be"
            f" read any more: {names}{more}. If they were moved, give --image_dir"
        )
    return tuple(lines)
