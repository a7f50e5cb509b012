"""An extension of mkdocstrings' reader of docstrings."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Shows `Example:` as code; the reader knows only the plural."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the heading in one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.M
            )
