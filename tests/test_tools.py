"""The benchmarks in tools/, which are run by hand, still run and print their figures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bottlenecks of `photo_dir`, which are computed once."""
    return tmp_path_factory.mktemp("bottlenecks")


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOLS / script), *words], capture_output=True, text=True
    )


def test_decoding_at_a_fraction_is_compared_with_decoding_in_full(photo_dir: Path) -> None:
    done = run(
        *("bench_extract.py", f"--image_dir={photo_dir}", "--limit=3", "--rounds=1"),
        "--megapixels=0.5",
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\d+) +\d+\.\d\d +(\d+) +(\d+) +\d+\.\d$", done.stdout, re.MULTILINE)
    assert [quality for quality, *_ in rows] == ["75", "90"]


def test_extraction_is_compared_with_keras(photo_dir: Path) -> None:
    done = run(
        *("bench_extract.py", f"--image_dir={photo_dir}", "--limit=6", "--rounds=1"),
        *("--backbone=mobilenet_0.25_128", "--weights=none"),
    )
    assert done.returncode == 0, done.stderr
    for row in ("Keras:", "xferlearn: tensorflow float32", "decode alone", "peak memory"):
        assert re.search(rf"^{row}.* [\d.]+", done.stdout, re.MULTILINE), done.stdout


def test_the_price_of_speed_is_told_in_points(photo_dir: Path) -> None:
    done = run(
        *("bench_precision.py", f"--image_dir={photo_dir}", "--limit=30", "--seeds=0,1"),
        *("--backbone=mobilenet_0.25_128", "--weights=none", "--enlarge=8"),
    )
    assert done.returncode == 0, done.stderr
    row = r"[01]\.\d{4}: [01]\.\d{3}, [01]\.\d{3}$"
    assert len(re.findall(row, done.stdout, re.MULTILINE)) == 2
    number = r"[+-]\d+\.\d\d"
    expected = rf"^difference {number} points over 2 splits \(95% interval {number} to {number}\)$"
    assert re.search(expected, done.stdout, re.MULTILINE)


@pytest.mark.parametrize("script", ["bench_extract.py", "bench_precision.py"])
def test_a_folder_that_is_not_there_gets_one_line(script: str, tmp_path: Path) -> None:
    done = run(script, f"--image_dir={tmp_path / 'none'}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "none") in done.stderr


def test_faults_are_survived_in_small() -> None:
    done = run("fault_campaign.py", "--only=kills,files,photos,replacing", "--share=0.02")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\w+) +(\d+) +([\d,]+) +([\d,]+) +0 +0 +\d+ s$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["kills", "files", "photos", "replacing"]
    assert all(trials == survived for _, _, trials, survived in rows)


def test_mutated_models_are_inspected_or_named() -> None:
    done = run("fault_campaign.py", "--only=models", "--share=0.004")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^models +11 +12 +12 +0 +0 ", done.stdout, re.MULTILINE), done.stdout


def test_what_training_says_of_itself_is_compared_with_the_other_half(
    photo_dir: Path, bottlenecks: Path
) -> None:
    done = run(
        *("bench_honesty.py", f"--image_dir={photo_dir}", "--halves=2"),
        *("--backbone=mobilenet_0.25_128", "--weights=none", f"--bottleneck_dir={bottlenecks}"),
    )
    assert done.returncode in (0, 1), done.stderr
    row = r"^ +\d   +\d+/\d+ +\d+\.\d%   +\d+/\d+ +\d+\.\d%   +[+-]\d+\.\d +\d+\.\d [ !] +\d+\.\d%$"
    assert len(re.findall(row, done.stdout, re.MULTILINE)) == 2, done.stdout
    verdicts = re.findall(
        r"^(yes|NO) +(within|mean difference|mean ECE)", done.stdout, re.MULTILINE
    )
    assert [name for _, name in verdicts] == ["within", "mean difference", "mean ECE"]
    assert done.returncode == int(any(held == "NO" for held, _ in verdicts))


def test_promises_are_counted_on_test_photos_and_on_the_other_half(
    photo_dir: Path, bottlenecks: Path
) -> None:
    words = (
        *("bench_promises.py", f"--image_dir={photo_dir}", f"--bottleneck_dir={bottlenecks}"),
        *("--backbone=mobilenet_0.25_128", "--weights=none"),
    )
    done = run(*words, "--splits=1", "--min_recall=red=0.8", "--cost=red:green=5")
    assert done.returncode in (0, 1), done.stderr
    row = r"^split 0  min_recall 0\.8 of red: [01]\.\d{3}, 95% [01]\.\d{3} to [01]\.\d{3} !?$"
    assert len(re.findall(row, done.stdout, re.MULTILINE)) == 1, done.stdout
    # Half of 90 photos proves little.
    done = run(*words, "--halves=1")
    assert done.returncode == 2, done.stdout
    assert re.search(r"^`coverage=0\.95` needs at least 59 photos", done.stderr, re.MULTILINE)


def test_measures_of_the_unknown_are_compared(photo_dir: Path, bottlenecks: Path) -> None:
    done = run(
        *("bench_unknown.py", f"--image_dir={photo_dir}", f"--foreign_dir={photo_dir}"),
        *("--backbone=mobilenet_0.25_128", "--weights=none", f"--bottleneck_dir={bottlenecks}"),
        *("--pictures=3", "--draws=1", "--halves=1"),
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^familiarity +(\d\.\d{3} .*)$", done.stdout, re.MULTILINE)
    assert len(rows) == 3
    for title in (
        "One class left out, N=90",
        "Foreign pictures: AUROC",
        "Own photos below 1%: 0 of",
    ):
        assert title in done.stdout


def test_flipped_labels_are_looked_for(photo_dir: Path, bottlenecks: Path) -> None:
    done = run(
        *("bench_audit.py", f"--image_dir={photo_dir}", f"--bottleneck_dir={bottlenecks}"),
        *("--backbone=mobilenet_0.25_128", "--weights=none", "--tables=find,choose"),
        *("--seeds=1", "--shares=0.1", "--moved="),
    )
    # Seed, flipped, share found, listed, expected.
    row = r"^10% at random +0 +9 +\d+\.\d% +\d+ +\d+ \(\d+ to \d+\)"
    assert len(re.findall(row, done.stdout, re.MULTILINE)) == 1, done.stdout
    assert done.returncode == 2, done.stderr
    assert "Expected at least 515 photos to choose from. Found: 90." in done.stderr


def test_many_photos_are_made_up_listed_split_and_found_again(tmp_path: Path) -> None:
    size = ["--photos=1000", "--width=4", "--classes=5", f"--folder={tmp_path}"]
    done = run("bench_scale.py", "--stages=manifest,store", *size)
    assert done.returncode == 0, done.stderr
    manifest, store = done.stdout.splitlines()
    assert manifest.startswith("manifest: 1,000 photos")
    assert "Manifest(5 classes" in manifest
    assert store.startswith("store: 1,000 rows of 4")
    assert not list(tmp_path.iterdir())
    for words, problem in ((["--stages=nonsense"], "no stage"), (["--stages=ray"], "--image_dir")):
        done = run("bench_scale.py", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert problem in done.stderr
