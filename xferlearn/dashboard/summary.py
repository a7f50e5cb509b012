"""Writes what tab "Transfer" shows into a run's event file."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xferlearn.auditing import AuditResult
from xferlearn.dashboard import PHOTOS_TAG, PLUGIN_NAME, REPORT_TAG
from xferlearn.dashboard.evidence import nearest_photos
from xferlearn.dashboard.originals import files_of
from xferlearn.dashboard.report import Shown, audited_photos, build_report
from xferlearn.dashboard.thumbnails import choose_photos, read_thumbnails
from xferlearn.photos.limits import PhotoLimits
from xferlearn.summaries.events import EventWriter
from xferlearn.summaries.record import RunRecord
from xferlearn.system.results import Failure
from xferlearn.system.text import one_line

# Thumbnails of training photos beside those of the photos that are shown: each costs a reading.
MOST_NEARBY = 60


def write_transfer_summary(
    run_dir: str | Path,
    record: RunRecord,
    audit: AuditResult | None = None,
    *,
    photos: bool = True,
) -> tuple[str, ...]:
    """Writes a finished run for tab "Transfer", into an event file of its own in the run's folder.

    Args:
        run_dir: folder of the run.
        record: the run.
        audit: what an audit has found in the photos; None where none was asked for.
        photos: whether thumbnails are written too, 5 to 10 kB each.

    Returns:
        What could not be written, one line each: a full disk must not cost a finished training.
    """
    import tensorflow as tf

    try:
        report, jpegs = (
            _with_photos(record, audit) if photos else (build_report(record, audit=audit), [])
        )
        write_report(run_dir, report, jpegs)
    except (OSError, tf.errors.OpError) as error:
        return (
            Failure(f"The data of tab Transfer in {run_dir} is not complete: {one_line(error)}."),
        )
    return ()


def _with_photos(
    record: RunRecord, audit: AuditResult | None
) -> tuple[dict[str, Any], list[bytes]]:
    """Returns the report with its photos, and the thumbnails: theirs, then some others.

    Those are of photos nearby, and of those that an audit has found.
    """
    choices = choose_photos(record)
    shown = [Shown(*pair) for pair in zip(choices, nearest_photos(record, choices), strict=True)]
    wanted = {one.choice.photo.digest: one.choice.photo for one in shown}
    near = {
        one.photo.digest: one.photo
        for photo in shown
        for one in photo.nearest
        if one.photo.digest not in wanted
    }
    others = dict(itertools.islice(near.items(), MOST_NEARBY))
    if audit is not None:
        others |= {
            one.digest: audit.places[one.digest]
            for one in audited_photos(audit)
            if one.digest not in wanted
        }
    wanted |= others
    found = read_thumbnails(record.source, wanted.values(), PhotoLimits.of(record.config))
    shown = [one for one in shown if one.choice.photo.digest in found]
    # Photos of two labels are there twice.
    order = [one.choice.photo.digest for one in shown]
    order += [digest for digest in others if digest in found]
    numbers = {digest: number for number, digest in reversed([*enumerate(order)])}
    photos = [wanted[digest] for digest in order]
    report = build_report(record, shown, numbers, audit, files_of(record.config, photos))
    return report, [found[digest] for digest in order]


def write_report(run_dir: str | Path, report: Mapping[str, Any], jpegs: Sequence[bytes]) -> None:
    """Writes a report and its thumbnails.

    Both are blob sequences with a single step: TensorBoard drops steps of long series, but never
    blobs of one step, and serves blobs of any size, where tensors have a limit.

    Args:
        run_dir: folder of the run.
        report: as `report.build_report` returns it.
        jpegs: one per entry of the report's `photos`, then those that it names by `picture`.

    Raises:
        OSError, tf.errors.OpError: when the file can't be written.
    """
    # The default ensure_ascii escapes what file names may hold that is not valid UTF-8.
    series = {REPORT_TAG: [json.dumps(report).encode()], PHOTOS_TAG: list(jpegs)}
    with EventWriter(run_dir) as events:
        for tag, blobs in series.items():
            if blobs:
                events.summary(_blob_sequence(tag, blobs))


def _blob_sequence(tag: str, blobs: Sequence[bytes]) -> Any:
    from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=blobs)
    tensor.tensor_shape.CopyFrom(
        tensor_shape_pb2.TensorShapeProto(
            dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(blobs))]
        )
    )
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME),
        # Without a data class TensorBoard drops the tag.
        data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
    )
    summary = summary_pb2.Summary()
    summary.value.add(tag=tag, tensor=tensor, metadata=metadata)
    return summary
