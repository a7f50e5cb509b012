"""The manual: its links, its command lines and its Python fit the package; what follows is full."""

import ast
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import xferlearn
from xferlearn.backbones.table import BACKBONES
from xferlearn.cli import COMMANDS, main, parse_settings
from xferlearn.config.base import settings_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "site"))

import generated  # noqa: E402 - it lies beside the pages

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXTS = {page: generated.expand(page.read_text(encoding="utf-8")) for page in PAGES}
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


class Block(NamedTuple):
    """A block of code: what is behind its fence, and the code."""

    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    return [Block(kind.strip(), code) for _, kind, code in FENCE.findall(TEXTS[page])]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`]*`", "", FENCE.sub("", TEXTS[page]))


def links(page: Path) -> list[str]:
    """What a page links to and shows, for dark pages too."""
    return re.findall(r"(?:\]\(|srcset=\")([^()\"\s]+)", prose(page))


def anchors(page: Path) -> set[str]:
    """What `page.md#...` may name: headings as the site calls them, and Python objects."""
    text = FENCE.sub("", TEXTS[page])
    found = set(re.findall(r"^::: (\S+)", text, re.MULTILINE))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        if named := re.search(r"\{#(\S+)\}", heading):
            found.add(named[1])
        else:
            words = re.sub(r"\]\([^)]*\)|[^\w\s-]", "", heading.lower())
            found.add(re.sub(r"[\s-]+", "-", words).strip("-"))
    return found


def command_lines(page: Path) -> Iterator[str]:
    """The commands `xferlearn ...` of a page's blocks, those that a command prints included."""
    for block in blocks(page):
        lines = block.code.replace("\\\n", " ").splitlines()
        for line in lines:
            if found := re.match(r"\s*(?:\$ )?(xferlearn(?: .*)?)$", line):
                yield found[1]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_front_page() -> None:
    seen, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        paths = (link.partition("#")[0] for link in links(page))
        left += [(page.parent / path).resolve() for path in paths if path.endswith(".md")]
    assert set(PAGES) - seen == {ROOT / "README.md"}


@every_page
def test_command_lines_can_be_parsed(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        ends = [index for index, word in enumerate(words) if word in (">", "|")]
        words = words[: min(ends, default=None)]
        if not words or {"--help", "--help_all", "--version"} & {*words}:
            assert main(words) == 0, line
        else:
            parse_settings(words[0], words[1:])


def test_there_are_command_lines_of_every_command() -> None:
    lines = [line for page in PAGES for line in command_lines(page)]
    assert {line.split()[1] for line in lines if " " in line} >= set(COMMANDS)


@every_page
def test_python_fits_the_package(page: Path) -> None:
    for block in blocks(page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.code)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "xferlearn"
            ):
                assert node.attr in xferlearn.__all__, block.code
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            command = COMMANDS.get(node.func.attr)
            if command is not None and ast.unparse(node.func).startswith("xferlearn."):
                unknown = {word.arg for word in node.keywords} - settings_of(
                    command.settings
                ).keys()
                assert not unknown, block.code


def test_every_setting_is_on_the_settings_page() -> None:
    text = TEXTS[DOCS / "reference" / "settings.md"]
    parts = dict(
        re.findall(r"^### `\w+` \{#(\w+)\}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    )
    for command, row in COMMANDS.items():
        for name, (field, rules) in settings_of(row.settings).items():
            assert rules.help in parts[name]
            assert f"`{command}`" in parts[name]
            if field.default not in (None, ()):
                assert f"Default: `{field.default}`" in parts[name]


def test_every_command_has_its_help_on_the_commands_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = TEXTS[DOCS / "reference" / "commands.md"]
    for name in COMMANDS:
        main([name, "--help_all"])
        assert capsys.readouterr().out in text


def test_every_backbone_is_on_the_backbones_page() -> None:
    text = TEXTS[DOCS / "reference" / "backbones.md"]
    for name, spec in BACKBONES.items():
        assert f"| `{name}` | {spec.image_size} px |" in text


def test_every_public_name_is_on_the_api_page() -> None:
    shown = anchors(DOCS / "reference" / "python-api.md")
    assert {f"xferlearn.{name}" for name in xferlearn.__all__ if name != "__version__"} <= shown


def test_every_key_of_the_metadata_is_on_its_page(colour_model: Path) -> None:
    text = TEXTS[DOCS / "reference" / "model-folder.md"]
    metadata = json.loads((colour_model / "metadata.json").read_text(encoding="utf-8"))
    keys = set(metadata)
    for part in ("input", "output", "backbone", "bottleneck", "engine", "head", "split", "timings"):
        keys |= set(metadata[part])
    keys |= set(metadata["metrics"]["test"])
    assert not {key for key in keys if f"`{key}`" not in text}
    for file in colour_model.iterdir():
        assert f"`{file.name}`" in text


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert sizes
    assert not {name: size for name, size in sizes.items() if size > 300_000}


def test_generated_parts_that_are_not_known_are_refused() -> None:
    with pytest.raises(KeyError):
        generated.expand("<!-- generated: nonsense -->\n")


def test_the_notebook_is_kept_without_outputs() -> None:
    for path in DOCS.rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
