import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xferlearn.backbones.synsets import names as synsets
from xferlearn.backbones.synsets.names import imagenet_labels, imagenet_synsets, synset_name
from xferlearn.errors import XferlearnError

REPOSITORY = Path(__file__).resolve().parent.parent
TOOL = REPOSITORY / "tools" / "build_synset_names.py"
DATA_NOUN = """\
  1 This software and database is being provided to you
00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 | that which is perceived
11939491 20 n 01 daisy 0 009 @ 11579418 n 0000 | any of numerous composite plants
12543639 20 n 0a rocking_horse 0 hobby 0 000 | a toy
"""


@pytest.mark.parametrize(
    ("synset", "name"),
    [
        ("n00001740", "entity"),
        ("n11939491", "daisy"),
        ("n02099601", "golden retriever"),
        ("n15300051", "9/11"),  # the last noun
        ("n11939490", None),
        ("n1193949", None),
        ("n119394910", None),
        ("v00001740", None),
        ("daisy", None),
        ("", None),
    ],
)
def test_synset_name(synset: str, name: str | None) -> None:
    assert synset_name(synset) == name


def test_imagenet_synsets_are_a_thousand_ascending_ids() -> None:
    ids = imagenet_synsets()

    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    assert ids[0] == "n01440764"
    assert ids[985] == "n11939491"


def test_every_imagenet_class_has_a_readable_name() -> None:
    labels = imagenet_labels()

    assert [synset for synset, _ in labels] == list(imagenet_synsets())
    assert labels[985] == ("n11939491", "daisy")
    assert not [pair for pair in labels if pair[0] == pair[1] or "_" in pair[1] or not pair[1]]


def test_labels_are_those_of_keras(shared_data: Path) -> None:
    index = json.loads((shared_data / "keras/models/imagenet_class_index.json").read_text())
    theirs = [(index[str(i)][0], index[str(i)][1].replace("_", " ")) for i in range(1000)]

    assert list(imagenet_labels()) == theirs


def test_labels_need_no_heavy_import() -> None:
    code = (
        "import sys; from xferlearn.backbones.synsets import imagenet_labels; imagenet_labels();"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'keras') if m in sys.modules])"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("text", [None, "n01440764\nn01443537\n", "tench\n" * 1000])
def test_missing_or_foreign_list_is_an_error(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tensorflow_datasets"
    (package / "datasets/imagenet2012").mkdir(parents=True)
    (package / "__init__.py").touch()
    if text is not None:
        (package / "datasets/imagenet2012/labels.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
    imagenet_synsets.cache_clear()

    with pytest.raises(XferlearnError, match=r"labels\.txt.*tensorflow-datasets") as raised:
        imagenet_synsets()

    imagenet_synsets.cache_clear()
    assert "\n" not in str(raised.value)


def test_package_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    imagenet_synsets.cache_clear()

    with pytest.raises(XferlearnError, match="pip install tensorflow-datasets"):
        imagenet_synsets()

    imagenet_synsets.cache_clear()


def build(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), str(source), "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tool_writes_what_the_module_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.noun").write_text(DATA_NOUN)
    packed = tmp_path / "synset_names.txt.gz"

    first = build(tmp_path / "data.noun", packed)
    before = packed.read_bytes()
    build(tmp_path / "data.noun", packed)

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("3 synsets, ")
    assert packed.read_bytes() == before
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    synsets._names.cache_clear()
    names = [synset_name(f"n{offset}") for offset in ("00001740", "11939491", "12543639")]
    synsets._names.cache_clear()
    assert names == ["entity", "daisy", "rocking horse"]


def test_tool_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "data.verb").write_text("00001740 29 v 04 breathe 0\n")

    run = build(tmp_path / "data.verb", tmp_path / "out.gz")

    assert run.returncode != 0
    assert "data.verb:1: expected a noun synset" in run.stderr
    assert not (tmp_path / "out.gz").exists()


def test_licence_stands_beside_the_names() -> None:
    folder = REPOSITORY / "xferlearn" / "backbones" / "synsets"

    assert "WordNet 3.0 Copyright 2006" in (folder / "WORDNET_LICENSE.txt").read_text()
    assert (folder / "synset_names.txt.gz").stat().st_size < 600_000
