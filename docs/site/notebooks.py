"""Runs a notebook and returns it as Markdown, so that the site shows what it really prints."""

import functools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat

_SECONDS_PER_CELL = 600
_TITLE = re.compile(r"\A# .*\n*")


@functools.cache
def run(path: Path) -> str:
    """Returns a notebook's cells and outputs as Markdown, without its title.

    It runs in an empty folder and with an empty cache, so its output is that of a first run.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails, which ends the build.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        work.mkdir()
        client = nbclient.NotebookClient(
            notebook,
            timeout=_SECONDS_PER_CELL,
            resources={"metadata": {"path": str(work)}},
        )
        kernel = client.create_kernel_manager()
        # Over TCP anybody on the machine could listen.
        kernel.transport, kernel.ip = "ipc", str(Path(folder, "kernel"))
        client.execute(env={**os.environ, "XDG_CACHE_HOME": folder})
    parts = [part for cell in notebook.cells for part in _cell(cell)]
    return "\n\n".join(parts) + "\n"


def _cell(cell: Any) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield _TITLE.sub("", cell.source)
        return
    yield _fence("python", cell.source)
    for output in cell.outputs:
        yield from _output(output)


def _output(output: Any) -> Iterator[str]:
    if output.output_type == "stream":
        # A progress bar writes over itself.
        lines = [line.rpartition("\r")[2] for line in output.text.rstrip().split("\n")]
        if text := "\n".join(lines).strip():
            yield _fence("{ .text .output }", text)
        return
    data = output.data
    if "text/html" in data:
        yield f'<div class="output">\n{data["text/html"]}\n</div>'
    elif "image/png" in data:
        encoded = data["image/png"].replace("\n", "")
        yield f'<p class="output"><img alt="" src="data:image/png;base64,{encoded}"></p>'
    elif "application/vnd.jupyter.widget-view+json" not in data:  # a bar that needs a kernel
        yield _fence("{ .text .output }", data["text/plain"])


def _fence(kind: str, text: str) -> str:
    return f"````{kind}\n{text}\n````"
