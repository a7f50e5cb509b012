"""How accurate and how fast `xferlearn train` is, with its default settings.

    python tools/bench_train.py --image_dir=flower_photos
    python tools/bench_train.py --dataset=elpv
    python tools/bench_train.py --image_dir=flower_photos --backbone=mobilenet --seeds=0,1,2,3,4
    python tools/bench_train.py --image_dir=flower_photos --keras_epochs=5

Trains once per split seed, and prints each accuracy, cross-validated and in the test, and their
means. The runs cross-validate nearly the same photos, so that interval is over the photos of one
run; that of the test is over the pooled photos (some are in several tests, so it is a little too
narrow).

Then it takes the time of fresh processes, in turn with `import tensorflow, keras`, and prints
medians and their ratios to that import: the first training ever; one of new photos, by a network
that was used before; two of photos that are cached, with the default head and with a linear one;
and labelling one photo that was never seen.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from xferlearn.config import DEFAULT_BACKBONE
from xferlearn.metrics import wilson_interval
from xferlearn.system.runtime import core_count

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Split seeds.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds of timing; 0 for none.", lower_bound=0)
_FLAGS = flags.DEFINE_multi_string("flag", [], "More flags for `xferlearn train`.")
_KERAS_EPOCHS = flags.DEFINE_integer(
    "keras_epochs", 0, "Also train as Keras' tutorial does, the network run in every epoch."
)


def seconds_of(*words: str) -> float:
    """Returns the wall seconds of a process of Python."""
    started = time.perf_counter()
    process = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}\n{process.stderr}")
    return seconds


def train(model_dir: Path, bottleneck_dir: Path, *words: str) -> float:
    """Runs `xferlearn train` in a process of its own; returns its wall seconds."""
    source = (
        f"--image_dir={_IMAGE_DIR.value}" if _IMAGE_DIR.value else f"--dataset={_DATASET.value}"
    )
    folder = model_dir.parent
    return seconds_of(
        *("-m", "xferlearn", "train", source, f"--backbone={_BACKBONE.value}", "--overwrite"),
        *(f"--model_dir={model_dir}", f"--bottleneck_dir={bottleneck_dir}"),
        *(f"--logs_dir={folder / 'logs'}", *_FLAGS.value, *words),
    )


def metadata_of(model_dir: Path) -> dict:
    """Returns what a model folder says of itself."""
    return json.loads((model_dir / "metadata.json").read_text())


def one_round(folder: Path) -> dict[str, float]:
    """Returns the wall seconds of one process of each kind, one after the other."""
    first, cache, model = folder / "first", folder / "cache", folder / "model"
    found = {
        "import tensorflow, keras": seconds_of("-c", "import tensorflow, keras"),
        "train, first ever": train(model, first),
    }
    shutil.copytree(first / "networks", cache / "networks")
    found["train, new photos"] = train(model, cache)
    found["train, all cached"] = train(model, cache)
    found["train, all cached, linear head"] = train(folder / "linear", cache, "--hidden_units=0")
    if _IMAGE_DIR.value:
        # The same picture in a file that no cache knows.
        photo = min(Path(_IMAGE_DIR.value).glob("*/*.jpg"))
        (folder / "new.jpg").write_bytes(photo.read_bytes() + bytes(1))
        words = (f"--model={model}", f"--bottleneck_dir={cache}", str(folder / "new.jpg"))
        found["label, one new photo"] = seconds_of("-m", "xferlearn", "label", *words)
    return found


def print_times(rounds: Sequence[dict[str, float]]) -> None:
    """Prints medians over rounds, and their ratios to the import."""
    medians = {kind: statistics.median(one[kind] for one in rounds) for kind in rounds[0]}
    base = medians["import tensorflow, keras"]
    print(f"medians of {len(rounds)} processes of each kind, taken in turn:")
    for kind, seconds in medians.items():
        ratios = sorted(one[kind] / one["import tensorflow, keras"] for one in rounds)
        of_rounds = f"in rounds {ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"  {kind:<31}{seconds:6.2f} s{seconds / base:6.2f} x the import ({of_rounds})")


def keras_tutorial(epochs: int) -> float:
    """Returns the seconds that the frozen network inside `fit` takes, after the imports."""
    import keras

    from xferlearn import load_backbone
    from xferlearn.training.head import build_classifier, build_head

    backbone = load_backbone(_BACKBONE.value)
    size = backbone.input_shape[1]
    started = time.perf_counter()
    train_set, validation_set = keras.utils.image_dataset_from_directory(
        _IMAGE_DIR.value, image_size=(size, size), validation_split=0.2, subset="both", seed=0,
        verbose=False,
    )  # fmt: skip
    head = build_head(backbone.output_shape[-1], len(train_set.class_names))
    model = build_classifier(backbone, head)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_set, validation_data=validation_set, epochs=epochs, verbose=0)
    return time.perf_counter() - started


def engine_of(metadata: dict) -> str:
    """Returns the engine and precision of a run; of several backbones, of each."""
    parts = metadata["engine"].get("parts", [metadata["engine"]])
    return ", ".join(f"{part['name']} {part['precision']}" for part in parts)


def print_accuracies(name: str, measured: list[dict], photos: int) -> None:
    """Prints the accuracies of all runs, and their mean with an interval over `photos`."""
    each = [one["accuracy"] for one in measured]
    mean = sum(each) / len(each)
    low, high = wilson_interval(mean * photos, photos)
    print(
        f"{name}, split seeds {','.join(_SEEDS.value)}: {', '.join(f'{one:.3f}' for one in each)}"
    )
    print(f"  mean {mean:.4f} (N={photos}, 95% interval {low:.4f} to {high:.4f})")


def main(argv: list[str]) -> None:
    """Runs the benchmark."""
    del argv
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in _SEEDS.value:
            train(folder / seed, folder / "bottlenecks", f"--split_seed={seed}")
        runs = [metadata_of(folder / seed) for seed in _SEEDS.value]
        rounds = [one_round(folder / f"round{number}") for number in range(_ROUNDS.value)]
    print(f"{_BACKBONE.value}, {core_count()} cores")
    if runs:
        print(f"engine {engine_of(runs[0])}")
    for split in ("validation", "test"):
        measured = [metadata["metrics"][split] for metadata in runs]
        sizes = [one["n"] for one in measured]
        if not sizes or not min(sizes):
            continue
        folds = "folds" in measured[0]
        print_accuracies(
            "cross-validated" if folds else split, measured, max(sizes) if folds else sum(sizes)
        )
    if rounds:
        print_times(rounds)
    if _KERAS_EPOCHS.value and _IMAGE_DIR.value:
        seconds = keras_tutorial(_KERAS_EPOCHS.value)
        print(f"Keras tutorial, {_KERAS_EPOCHS.value} epochs after imports: {seconds:.1f} s")


if __name__ == "__main__":
    app.run(main)
