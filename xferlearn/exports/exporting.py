"""Exports a model folder to files in other formats, each proved before it gets its name."""

import contextlib
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.config import ExportConfig
from xferlearn.config.signatures import from_settings
from xferlearn.errors import XferlearnError
from xferlearn.exports.format_job import FormatJob
from xferlearn.exports.formats import FORMATS, check_formats
from xferlearn.exports.photos import CALIBRATION_PHOTOS, ProofPhotos, export_photos, photo_place
from xferlearn.exports.proof import Reference, measure_reference
from xferlearn.exports.report import ExportRow, table_rows, write_events, write_report
from xferlearn.exports.result import ExportResult
from xferlearn.model_folder import (
    EXPORTS_DIR,
    LABELS_FILE,
    MODEL_FILE,
    UNFINISHED_EXPORT,
    ModelFolder,
    mirrored_exports,
    read_model_folder,
)
from xferlearn.predictors import Answers, check_keras_file
from xferlearn.summaries import deliver_run, run_folder
from xferlearn.system.files import file_digest, remove_stale, write_atomically
from xferlearn.system.folders import check_outside, check_writable
from xferlearn.system.progress import progress_bar, working
from xferlearn.system.runtime import core_count, start_tensorflow
from xferlearn.system.text import count, one_line, plural_of
from xferlearn.system.version import __version__

if TYPE_CHECKING:
    import keras


@from_settings(ExportConfig)
def export(config: ExportConfig) -> ExportResult:
    """Writes a trained model in other formats; `xferlearn export` in Python.

    Every file is opened by its own runtime and compared with model.keras on the model's test
    photos. One that disagrees too often is kept under a name that says so, and `passed` of the
    result is False.

    `model` and `format` are required.

    Returns:
        What became of each format, and how its answers compare with the model's.

    Raises:
        UserError: a setting can't be used, a package is missing, or there are no photos.
        XferlearnError: nothing can be written.

    Example:
        >>> export(model="out/flowers", format=["onnx", "tflite"]).passed
        True
    """
    return export_with(config)


def export_with(config: ExportConfig) -> ExportResult:
    """Exports as `config` says; see `export`."""
    check_formats(config.formats)
    if config.image_dir and config.logs_dir:
        check_outside(config.image_dir, "logs_dir", config.logs_dir)
    if config.logs_dir:
        check_writable("logs_dir", config.logs_dir)
    model_folder = read_model_folder(config.model or "")
    with mirrored_exports(model_folder.path):
        return _export(config, model_folder)


def _export(config: ExportConfig, model_folder: ModelFolder) -> ExportResult:
    check_writable("model", model_folder.path / EXPORTS_DIR)
    check_keras_file(model_folder.path / MODEL_FILE)
    with working("loading TensorFlow", config.verbose):
        start_tensorflow()
    photos, calibration = export_photos(
        model_folder,
        config.max_photos,
        config.image_dir,
        calibrate=CALIBRATION_PHOTOS
        if any(FORMATS[one].calibrated for one in config.formats)
        else 0,
    )
    model, reference = _reference(model_folder, photos)
    exports = _make_folder(model_folder.path / EXPORTS_DIR)
    rows: list[ExportRow] = []
    with progress_bar("export", len(config.formats), "format", verbose=config.verbose) as bar:
        for name in config.formats:
            bar.now(name)
            job = FormatJob(
                name, config, model_folder, model, photos, calibration, reference, exports
            )
            rows += job.rows()
            bar.update()
    if any(row.passed for row in rows):
        _write_labels(exports, model_folder)
    about = _about(model_folder, photos, reference)
    comparison = _comparison(photos, about["processor"], reference)
    cells = table_rows(reference, (model_folder.path / MODEL_FILE).stat().st_size, tuple(rows))
    damage: list[str] = []
    report = write_report(exports, about, reference, tuple(rows), damage)
    warnings = (*damage, *_missing_warnings(model_folder, photos, config))
    run_dir = None
    if config.logs_dir:
        name = model_folder.path.name
        with run_folder(config.logs_dir, f"export_{name}") as run_dir:
            warnings += write_events(run_dir, name, comparison, cells, tuple(rows))
            warnings += tuple(deliver_run(run_dir))
    return ExportResult(
        tuple(rows), cells, comparison, warnings, report, run_dir, about.get("thresholds", {})
    )


def _reference(model_folder: ModelFolder, photos: ProofPhotos) -> tuple["keras.Model", Reference]:
    started = time.perf_counter()
    model = model_folder.load_model()

    def run(pixels: np.ndarray) -> Answers:
        return Answers.of_model(model.predict_on_batch(pixels.astype(np.float32)))

    run(photos.pixels[:1])
    loaded = time.perf_counter() - started
    return model, measure_reference(model_folder, run, photos, loaded)


def _comparison(photos: ProofPhotos, processor: str, reference: Reference) -> str:
    """Returns what the files were compared on, in sentences."""
    said = [
        f"{count(len(photos.names), f'{photos.split} photo')}, each file in its own runtime on"
        f" {processor}, against model.keras in float32."
    ]
    if reference.is_multi_label:
        said.append(
            "Agreement is the share of photos that get the same labels at the model's thresholds."
            + ("" if photos.learned else " Accuracy is that of photos whose labels are all right.")
        )
    if photos.learned:
        said.append("It has learned from these photos, so no accuracy is measured on them.")
    if reference.familiarity is not None:
        photos_rejected, pictures_rejected = (
            f"{int((one < reference.reject).sum())} of {count(len(one), word)}"
            for one, word in (
                (reference.familiarity.photos, "photo"),
                (reference.familiarity.pictures, "foreign picture"),
            )
        )
        said.append(
            f"Below a familiarity of {reference.reject:g} it rejects {photos_rejected} and"
            f" {pictures_rejected}; the column says for which share the file does the same, the"
            " smaller of both."
        )
    return " ".join(said)


def _make_folder(exports: Path) -> Path:
    try:
        exports.mkdir(exist_ok=True)
    except OSError as error:
        raise XferlearnError(f"Can't write to {exports}: {one_line(error)}.") from None
    remove_stale(exports)
    remove_stale(exports.parent, UNFINISHED_EXPORT)
    return exports


def _write_labels(exports: Path, model_folder: ModelFolder) -> None:
    """Writes labels.txt beside the files, for tools that don't read it from them."""
    try:
        text = (model_folder.path / LABELS_FILE).read_bytes()
        write_atomically(exports / LABELS_FILE, text)
    except OSError as error:
        raise XferlearnError(f"Can't write {exports / LABELS_FILE}: {one_line(error)}.") from None


def _about(model_folder: ModelFolder, photos: ProofPhotos, reference: Reference) -> dict[str, Any]:
    several = {
        "multi_label": True,
        "activation": model_folder.metadata["output"].get("activation"),
        "thresholds": dict(reference.decision.thresholds),
    }
    return {
        "model_sha256": file_digest(model_folder.path / MODEL_FILE),
        "photos": len(photos.names),
        "split": photos.split,
        "learned": photos.learned,
        **(several if reference.is_multi_label else {}),
        "missing": list(photos.missing),
        "processor": _processor(),
        "cores": core_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "xferlearn": __version__,
    }


def _processor() -> str:
    """Returns the processor's name as Linux states it, else as Python does."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _missing_warnings(
    model_folder: ModelFolder, photos: ProofPhotos, config: ExportConfig
) -> tuple[str, ...]:
    if not photos.missing:
        return ()
    gone, names = len(photos.missing), ", ".join(photos.missing[:3])
    place = photo_place(model_folder, config.image_dir)
    more = ", ..." if gone > 3 else ""
    return (
        f"{gone:,} of {count(gone + len(photos.names), 'photo')}"
        f" {plural_of(gone, 'was', 'were')} not found in {place} or can't be read any more:"
        f" {names}{more}. If they were moved, give `image_dir`.",
    )
