"""Writes TensorBoard's event files.

Not `tf.summary`: its writers work in the background and lose events on a full disk without an
error. These raise.
"""

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb


class EventWriter:
    """Writes one TensorBoard run; its file is made with the first event.

    Every method raises OSError or tf.errors.OpError when the file can't be written.

    Example:
        >>> with EventWriter("logs/run1/train") as events:
        ...     events.scalar("loss", 0.3, step=20)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file: Any = None

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def scalar(self, tag: str, value: float, step: int = 0, description: str = "") -> None:
        """Writes one point of a chart."""
        self.summary(scalar_pb(plain(tag), value, description or None), step)

    def text(self, tag: str, markdown: str) -> None:
        """Writes a page of Markdown."""
        self.summary(text_pb(tag, plain(markdown)))

    def histogram(self, tag: str, values: np.ndarray, step: int = 0, description: str = "") -> None:
        """Writes the distribution of values of any shape."""
        finite = values[np.isfinite(values)]  # TensorBoard fails on others
        self.summary(histogram_pb(plain(tag), finite, description=description or None), step)

    def images(
        self, tag: str, files: Sequence[bytes], size: tuple[int, int], description: str = ""
    ) -> None:
        """Writes images of one size.

        Args:
            tag: heading of the images; up to the first `/` their section.
            files: JPEG or PNG files.
            size: their width and height in px.
            description: Markdown that the page shows on request.
        """
        values = [*(str(side).encode() for side in size), *files]
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
        tensor.tensor_shape.CopyFrom(
            tensor_shape_pb2.TensorShapeProto(
                dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(values))]
            )
        )
        summary = summary_pb2.Summary()
        metadata = create_summary_metadata(display_name=None, description=plain(description))
        summary.value.add(tag=plain(tag), metadata=metadata, tensor=tensor)
        self.summary(summary)

    def graph(self, definition: Any) -> None:
        """Writes the run's graph, a GraphDef."""
        self._write(event_pb2.Event(graph_def=definition.SerializeToString()))

    def summary(self, summary: Any, step: int = 0) -> None:
        """Writes a Summary message of TensorBoard or of TensorFlow."""
        # They are the same on the wire, but different Python classes.
        copy = summary_pb2.Summary.FromString(summary.SerializeToString())
        self._write(event_pb2.Event(step=step, summary=copy))

    def flush(self) -> None:
        """Lets readers see what was written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, event: event_pb2.Event) -> None:
        import tensorflow as tf

        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # An event file is a TFRecord file whose name has "tfevents" in it. TensorBoard reads
            # the files of a run in the order of their names, and never returns to an earlier one.
            seconds, rest = divmod(time.time_ns(), 10**9)
            name = f"events.out.tfevents.{seconds}.{rest:09}.{uuid.uuid4().hex[:12]}"
            self._file = tf.io.TFRecordWriter(str(self.folder / name))
            first = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._file.write(first.SerializeToString())
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())


class RunWriters:
    """The writers of a run: one for the run itself, and one per split.

    Attributes:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self._writers: dict[str, EventWriter] = {}

    def __getitem__(self, split: str) -> EventWriter:
        """Returns the writer of a split, "" for the run's own."""
        return self._writers.setdefault(split, EventWriter(self.run_dir / split))

    def __enter__(self) -> "RunWriters":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all files."""
        for writer in self._writers.values():
            writer.close()


def plain(text: str) -> str:
    """Returns text that protobuf takes: file names may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
