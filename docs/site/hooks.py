"""What MkDocs calls while it builds the site."""

import inspect
from pathlib import Path
from typing import Any

import generated
import notebooks

import xferlearn


def on_startup(**_: Any) -> None:
    """Brings the public names into the form in which mkdocstrings reads them."""
    for name in xferlearn.__all__:
        public = getattr(xferlearn, name)
        # It sees no names that are imported when they are first used.
        setattr(xferlearn, name, public)
        if inspect.isfunction(public):
            # It would describe the function inside a decorator, whose parameters are others.
            vars(public).pop("__wrapped__", None)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fills in the generated parts of a page, and the notebook that belongs to it."""
    markdown = generated.expand(markdown)
    notebook = Path(page.file.abs_src_path).with_suffix(".ipynb")
    if notebook.is_file():
        markdown += notebooks.run(notebook)
    return markdown
