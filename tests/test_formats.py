"""One format has one name: in the three tables, in the three folders, and in what users type."""

import ast
import re
from pathlib import Path

import pytest

from xferlearn import exports, inspection, predictors
from xferlearn.config import ExportConfig
from xferlearn.config.base import settings_of
from xferlearn.config.models import EXPORT_FORMATS
from xferlearn.exports.formats import FORMATS as EXPORTS
from xferlearn.inspection.formats import FORMATS as INSPECTED
from xferlearn.predictors.opening import RUNTIMES

PACKAGE = Path(inspection.__file__).parent.parent
# Folders of the three tables, with the packages whose `__init__` has their public names.
ROOMS = {"inspection": inspection, "predictors": predictors, "exports": exports}


def module_of(function) -> str:
    """The module that a table's row names, also through the partial and lambda of exports."""
    function = getattr(function, "func", function)
    inner = [cell.cell_contents for cell in function.__closure__ or ()]
    inner = [one for one in inner if callable(one)]
    return module_of(inner[0]) if inner else function.__module__.rpartition(".")[2]


# What several readers share.
SHARED = (
    "__init__", "flat", "graphdef", "hdf5", "kernels", "keras_config", "keras_layers", "keras_two",
    "tflite_metadata", "wire",
)  # fmt: skip


def family(name: str) -> str:
    """The format that a variant belongs to: "keras" of "keras_h5", "tflite" of "tflite_int8"."""
    return re.sub(r"_(h5|weights|float16|int8)$", "", name)


def test_a_format_has_one_module_name_in_all_folders():
    read = {family(name): module_of(one.read) for name, one in INSPECTED.items()}
    assert set(read.values()) == {
        path.stem
        for path in (PACKAGE / "inspection/readers").glob("*.py")
        if path.stem not in SHARED
    }
    for name, module in read.items():
        assert module in (name, f"{name}_files")
    for name, one in INSPECTED.items():
        assert module_of(one.recognises) == read[family(name)]
    for name, opener in RUNTIMES.items():
        assert module_of(opener) == read[family(name)]
    for name, one in EXPORTS.items():
        if one.engines is None:
            module = "tflite_files" if family(name) == "tflite" else module_of(one.write)
            assert module == read[family(name)]
            assert (PACKAGE / "exports" / f"{module}.py").is_file()


def test_every_format_that_holds_a_model_can_be_run():
    runnable = {name for name, one in INSPECTED.items() if one.holds == "model"}
    assert runnable == {"model_folder", *RUNTIMES}


def test_export_formats_of_flag_and_table_are_the_same():
    assert tuple(EXPORTS) == EXPORT_FORMATS
    # What is written can be read and run, but for engines, which only TensorRT reads.
    assert {family(name) for name, one in EXPORTS.items() if one.engines is None} <= set(RUNTIMES)
    help_text = settings_of(ExportConfig)["min_agreement"][1].help
    for name, one in EXPORTS.items():
        stated = re.search(rf"(0\.\d+)\s+for {name}\b", help_text)
        assert one.min_agreement == (float(stated[1]) if stated else 0.99)


def outside_imports(room: str) -> list[str]:
    """Imports of a folder's modules, in place of its public names, elsewhere in the package."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / room):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                if node.module.startswith(f"xferlearn.{room}."):
                    found.append(f"{path.relative_to(PACKAGE)}: {node.module}")
                elif node.module == f"xferlearn.{room}":
                    found += [
                        f"{path.relative_to(PACKAGE)}: {alias.name}"
                        for alias in node.names
                        if alias.name not in ROOMS[room].__all__
                    ]
    return found


@pytest.mark.parametrize("room", ["inspection", "exports"])
def test_other_folders_import_public_names_only(room):
    assert not outside_imports(room)
    for name in ROOMS[room].__all__:
        assert getattr(ROOMS[room], name) is not None
