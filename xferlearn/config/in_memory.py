"""Settings that Python gives as objects, where the command line has the path of a file."""

from collections.abc import Sequence
from typing import Any

# What pandas, Polars, DuckDB and Arrow call a table of their own.
_TABLE_PROTOCOLS = ("__arrow_c_stream__", "__dataframe__")


class TableInMemory(str):
    """A table that was given as an object instead of the path of a file.

    Its text says what it is; records, such as metadata.json, take it like any other value.

    Attributes:
        table: the object, e.g. a pandas DataFrame or a pyarrow Table.
    """

    table: Any

    def __new__(cls, table: Any) -> "TableInMemory":  # noqa: D102
        text = f"<{type(table).__name__} with {len(table):,} rows>"
        made = super().__new__(cls, text)
        made.table = table
        return made


class ModelInMemory(str):
    """A Keras model that was given as an object instead of the path of a file.

    Its text says what it is; records, such as metadata.json, take it like any other value.

    Attributes:
        model: the object.
    """

    model: Any

    def __new__(cls, model: Any) -> "ModelInMemory":  # noqa: D102
        made = super().__new__(cls, f"<{type(model).__name__} {model.name}>")
        made.model = model
        return made


class ModelsInMemory(str):
    """Backbones that are combined, some of which are Keras models in memory.

    Its text says what they are; records take it like any other value.

    Attributes:
        parts: each of them: a name, a path, or a `ModelInMemory`.
    """

    parts: tuple[str, ...]

    def __new__(cls, parts: Sequence[str], between: str) -> "ModelsInMemory":  # noqa: D102
        made = super().__new__(cls, between.join(parts))
        made.parts = tuple(
            one for part in parts for one in (part.parts if isinstance(part, cls) else (part,))
        )
        return made


def combined(parts: Sequence[str], between: str) -> str:
    """Returns backbones as one value, with a text between their names.

    Args:
        parts: names, paths, or models in memory, which are kept.
        between: the text.
    """
    if any(isinstance(part, ModelInMemory | ModelsInMemory) for part in parts):
        return ModelsInMemory(parts, between)
    return between.join(parts)


def is_table(value: Any) -> bool:
    """Returns whether a value is a table, such as a pandas DataFrame."""
    return any(hasattr(value, protocol) for protocol in _TABLE_PROTOCOLS)


def is_model(value: Any) -> bool:
    """Returns whether a value is a Keras model; Keras need not be imported for it."""
    return all(hasattr(value, name) for name in ("get_layer", "get_config", "weights"))
