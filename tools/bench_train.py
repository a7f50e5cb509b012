"""How accurate and how fast `xferlearn train` is, with its default settings.

    python tools/bench_train.py --image_dir=flower_photos
    python tools/bench_train.py --dataset=elpv
    python tools/bench_train.py --image_dir=flower_photos --backbone=mobilenet --seeds=0,1,2,3,4
    python tools/bench_train.py --image_dir=flower_photos --keras_epochs=5

Trains once per split seed, and prints each accuracy, cross-validated and in the test, and their
means. The runs cross-validate nearly the same photos, so that interval is over the photos of one
run; that of the test is over the pooled photos (some are in several tests, so it is a little too
narrow). The first run starts with an empty cache in a process of its own, and so does the second,
with a full one.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

from xferlearn.config import DEFAULT_BACKBONE
from xferlearn.metrics import wilson_interval
from xferlearn.system.runtime import core_count

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_DATASET = flags.DEFINE_string("dataset", None, "TensorFlow Datasets name, instead.")
_BACKBONE = flags.DEFINE_string("backbone", DEFAULT_BACKBONE, "The network.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Split seeds.")
_FLAGS = flags.DEFINE_multi_string("flag", [], "More flags for `xferlearn train`.")
_KERAS_EPOCHS = flags.DEFINE_integer(
    "keras_epochs", 0, "Also train as Keras' tutorial does, the network run in every epoch."
)


def train(folder: Path, name: str, split_seed: str) -> tuple[dict, float]:
    """Runs `xferlearn train` in a process of its own; returns metadata and wall seconds."""
    source = (
        f"--image_dir={_IMAGE_DIR.value}" if _IMAGE_DIR.value else f"--dataset={_DATASET.value}"
    )
    words = [
        *(sys.executable, "-m", "xferlearn", "train", source, f"--backbone={_BACKBONE.value}"),
        *(f"--model_dir={folder / name}", f"--logs_dir={folder / 'logs'}"),
        *(f"--bottleneck_dir={folder / 'bottlenecks'}", f"--split_seed={split_seed}"),
        *_FLAGS.value,
    ]
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    return json.loads((folder / name / "metadata.json").read_text()), seconds


def seconds_to_import() -> float:
    """Returns how long a plain `import tensorflow, keras` takes, a process included."""
    started = time.perf_counter()
    command = [sys.executable, "-c", "import tensorflow, keras"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def keras_tutorial(epochs: int) -> float:
    """Returns the seconds that the frozen network inside `fit` takes, after the imports."""
    import keras

    from xferlearn.backbones import load_backbone
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
        runs = [train(folder, seed, seed) for seed in _SEEDS.value]
    first, cold = runs[0]
    print(f"{_BACKBONE.value}, {core_count()} cores, engine {engine_of(first)}")
    for split in ("validation", "test"):
        measured = [metadata["metrics"][split] for metadata, _ in runs]
        sizes = [one["n"] for one in measured]
        if not min(sizes):
            continue
        folds = "folds" in measured[0]
        print_accuracies(
            "cross-validated" if folds else split, measured, max(sizes) if folds else sum(sizes)
        )
    print(f"import tensorflow, keras: {seconds_to_import():.1f} s")
    print(f"train, nothing cached: {cold:.1f} s {first['timings']['seconds']}")
    if len(runs) > 1:
        second, warm = runs[1]
        print(f"train, all cached: {warm:.1f} s {second['timings']['seconds']}")
    if _KERAS_EPOCHS.value and _IMAGE_DIR.value:
        seconds = keras_tutorial(_KERAS_EPOCHS.value)
        print(f"Keras tutorial, {_KERAS_EPOCHS.value} epochs after imports: {seconds:.1f} s")


if __name__ == "__main__":
    app.run(main)
