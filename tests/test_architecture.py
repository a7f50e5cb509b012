"""The shape of the package: imports go one way, and the rules that keep it readable."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "xferlearn"

# A module or sub-package imports only from ranks before its own.
RANKS: tuple[tuple[str, ...], ...] = (
    ("errors", "version"),
    ("folders", "manifest", "progress", "replacing", "runtime", "settings", "synsets"),
    ("tables", "views"),
    ("config", "splitting"),
    ("backbones", "callbacks", "images"),
    ("bottlenecks", "bundles", "engines", "graphs", "heads", "metrics", "sources"),
    ("datasets", "reading"),
    ("decoding",),
    ("extraction", "summaries"),
    ("features",),
    ("dashboard", "fitting", "predictors"),
    ("finetuning", "labelling"),
    ("evaluation", "exports", "run_metadata"),
    ("training",),
    ("sweeps",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}


MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def names(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def rank_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The package's own modules that a module imports, as names below `xferlearn`."""
    own = "xferlearn"
    found = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{names(path)} imports relatively"
            if node.module == own:
                found |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith(f"{own}."):
                found.add(node.module.removeprefix(f"{own}."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix(f"{own}.")
                for alias in node.names
                if alias.name.split(".")[0] == own
            }
    return found


def test_every_module_has_a_rank() -> None:
    unknown = {rank_name(path) for path in MODULES} - set(RANK) - {"__init__"}
    assert not unknown, "add them to RANKS where they belong"


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_imports_go_one_way(path: Path) -> None:
    here = rank_name(path)
    if here == "__init__":  # the package's own names, imported on first use
        return
    for imported in imports(path):
        there = imported.split(".")[0]
        if there != here:
            assert RANK[there] < RANK[here], f"{names(path)} imports {imported}"


def test_nothing_but_the_entry_points_knows_the_command_line() -> None:
    for path in MODULES:
        if names(path) not in ("__main__.py", "cli.py"):
            assert "cli" not in {name.split(".")[0] for name in imports(path)}, names(path)
    # The table of commands names their modules; they are imported when they run.
    assert not any(name.startswith("commands") for name in imports(PACKAGE / "cli.py"))


def test_every_command_has_its_module() -> None:
    from xferlearn.cli import COMMANDS

    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    assert {command.module.rsplit(".", 1)[1] for command in COMMANDS.values()} == files


HEAVY = {
    "ai_edge_litert",
    "h5py",
    "keras",
    "onnx",
    "onnxruntime",
    "openvino",
    "scipy",
    "tensorflow",
    "tensorflow_datasets",
    "tensorrt",
    "tf2onnx",
    "torch",
}
# Imported only by what itself is imported late, and about nothing but that library.
MAY_BE_HEAVY = {"datasets/elpv.py", "dashboard/plugin.py"}


def top_level_imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    if names(path) not in MAY_BE_HEAVY:
        assert not top_level_imports(TREES[path]) & HEAVY


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, xferlearn; print(sorted({m.split('.')[0] for m in sys.modules} & "
        f"{HEAVY | {'numpy', 'PIL', 'pyarrow', 'absl'}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_all_public_names_can_be_imported() -> None:
    import xferlearn

    for name in xferlearn.__all__:
        assert getattr(xferlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xferlearn.nonsense


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_no_assert_and_no_global_state(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: assert vanishes under -O"
        assert not isinstance(node, ast.Global), f"line {node.lineno}: global state"


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_every_signature_is_annotated(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None]
            assert set(bare) <= {"self", "cls"}, f"{node.name}: {bare}"
            assert node.returns is not None, f"{node.name} does not say what it returns"


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, "does it hold more than one idea? Split it"


def test_names_shadow_nothing_and_say_something() -> None:
    for path in MODULES:
        assert path.stem not in {"utils", "helpers", "misc", "common", "inspect", "tensorboard"}


@pytest.mark.parametrize("path", MODULES, ids=names)
def test_comments_are_sparse(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    comments = [line for line in lines if re.match(r"\s*#", line)]
    assert len(comments) <= max(3, 0.12 * len(lines))
    assert not [line for line in comments if re.search(r"[-=#*]{6,}", line)], "a banner"


def test_the_version_is_one_and_the_changelog_knows_it() -> None:
    from xferlearn.version import __version__

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{__version__}]" in changelog or "[Unreleased]" in changelog
