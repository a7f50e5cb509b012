"""The shape of the package: imports go one way, heavy libraries late; ruff checks the rest."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xferlearn
from xferlearn.cli import COMMANDS
from xferlearn.system.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "xferlearn"
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
# What is imported where it is used, because it takes long or need not be installed.
HEAVY = {
    *("ai_edge_litert", "h5py", "keras", "onnx", "onnxruntime", "openvino", "scipy"),
    *("tensorflow", "tensorflow_datasets", "tensorrt", "tf2onnx", "torch"),
}
# Themselves imported late, and about nothing but that library.
MAY_BE_HEAVY = {"photos/elpv.py", "dashboard/plugin.py"}
MOST_LINES = 400


def room(name: str) -> str:
    """The top-level module or folder that a file or dotted name belongs to."""
    return re.split(r"[./]", name)[0]


def own_imports(tree: ast.Module) -> set[str]:
    """The package's modules that a module imports, as names below `xferlearn`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "xferlearn":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xferlearn."):
            found.add((node.module or "").removeprefix("xferlearn."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("xferlearn.")
                for alias in node.names
                if alias.name.startswith("xferlearn.")
            }
    return found


def package_map() -> dict[str, set[str]]:
    """What each part may import, in the order of the page's two tables, from the ground up."""
    ground, way = PAGE.read_text(encoding="utf-8").split("### The way of the data")
    allowed: dict[str, set[str]] = {}
    for text, more in ((ground, False), (way, True)):
        common = set(allowed) if more else set()
        for line in text.splitlines():
            if row := re.match(r"\| `(\w+)(?:/|\.py)` \|.*\| ([^|]*)\|$", line):
                allowed[row[1]] = common | set(re.findall(r"`(\w+)`", row[2]))
    return allowed


def loaded_at_once(tree: ast.Module) -> set[str]:
    """The libraries that a module imports when it is imported itself."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {room(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(room(node.module or ""))
    return found


def test_imports_are_those_of_the_package_map() -> None:
    allowed = package_map()
    rooms = {room(path) for path in TREES} - {"__init__"}
    assert rooms == set(allowed), f"{PAGE} and the folder differ"
    above: set[str] = set()
    for name, names in allowed.items():
        assert names <= above, f"`{name}` may import what is not above it in {PAGE}"
        above.add(name)
    against = [
        f"{path} imports {imported}"
        for path, tree in TREES.items()
        # __init__ has the public names, imported on first use.
        if path != "__init__.py"
        for imported in sorted(own_imports(tree))
        if room(imported) not in {room(path), *allowed[room(path)]}
    ]
    assert not against


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    early = {
        path: heavy
        for path, tree in TREES.items()
        if path not in MAY_BE_HEAVY and (heavy := loaded_at_once(tree) & HEAVY)
    }
    assert not early


def test_one_module_alone_prints() -> None:
    # Names from strangers are made harmless there, so no other place can forget it.
    printing = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and re.fullmatch(r"print|sys\.(stdout|stderr)\.write", ast.unparse(node.func))
    }
    # Keras' own progress, and the answer of a process to its parent.
    others = {"backbones/weights.py", "inspection/readers/hdf5.py"}
    assert printing == {"system/terminal.py", *others}


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, xferlearn; print(sorted({m.split('.')[0] for m in sys.modules} & "
        f"{HEAVY | {'numpy', 'PIL', 'pyarrow', 'absl'}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_top_of_the_package_is_small_enough_to_be_read() -> None:
    entries = [
        path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")
    ]
    assert len(entries) <= 25, sorted(entries)


def test_modules_hold_one_idea() -> None:
    long = {
        path: count
        for path in TREES
        if (count := len((PACKAGE / path).read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long
    # Names that say nothing, or shadow a library.
    vague = {"utils", "helpers", "misc", "common", "inspect", "tensorboard"}
    assert not [path for path in TREES if Path(path).stem in vague]


def test_every_command_has_its_module() -> None:
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__", "table"}
    assert {command.module.rsplit(".", 1)[1] for command in COMMANDS.values()} == files
    # The table names them; they are imported when they run.
    cli = [tree for path, tree in TREES.items() if path.startswith("cli/")]
    imported = set().union(*map(own_imports, cli))
    assert {name for name in imported if name.startswith("commands")} == {"commands.table"}


def test_all_public_names_can_be_imported() -> None:
    for name in xferlearn.__all__:
        assert getattr(xferlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xferlearn.nonsense


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_the_public_names_of_a_room_can_be_imported(room: str) -> None:
    module = importlib.import_module(f"xferlearn.{room}")
    names = getattr(module, "__all__", [])
    assert [name for name in names if getattr(module, name, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense


def test_the_version_is_one_and_the_changelog_knows_it() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{__version__}]" in changelog or "[Unreleased]" in changelog
