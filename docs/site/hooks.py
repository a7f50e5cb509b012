"""What MkDocs calls while it builds the site."""

import inspect
from pathlib import Path
from typing import Any

import generated
import notebooks

import xferlearn


def on_startup(**_: Any) -> None:
    """Lets mkdocstrings see the parameters that functions have from the settings.

    It would describe the function inside the decorator, whose parameters are others.
    """
    for name in xferlearn.__all__:
        public = getattr(xferlearn, name)
        if inspect.isfunction(public):
            vars(public).pop("__wrapped__", None)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fills in the generated parts of a page, and the notebook that belongs to it."""
    markdown = generated.expand(markdown)
    notebook = Path(page.file.abs_src_path).with_suffix(".ipynb")
    if notebook.is_file():
        markdown += notebooks.run(notebook)
    return markdown
