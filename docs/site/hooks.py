"""What MkDocs calls while it builds the site."""

from pathlib import Path
from typing import Any

import generated
import notebooks

import xferlearn


def on_startup(**_: Any) -> None:
    """Imports the public names, so that mkdocstrings finds what is imported on first use."""
    for name in xferlearn.__all__:
        setattr(xferlearn, name, getattr(xferlearn, name))


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fills in the generated parts of a page, and the notebook that belongs to it."""
    markdown = generated.expand(markdown)
    notebook = Path(page.file.abs_src_path).with_suffix(".ipynb")
    if notebook.is_file():
        markdown += notebooks.run(notebook)
    return markdown
