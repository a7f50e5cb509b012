"""Whether every family of KerasHub goes all the way: trained on, exported, proved, labelled with.

    python tools/bench_hub.py --image_dir=flower_photos

Of each family a tiny network with random weights is made and saved as a preset. A head is trained
on it with 60 photos, and the model exported to ONNX, TFLite, SavedModel and OpenVINO; each file
must agree with the model on every photo.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import benching
from absl import flags

import xferlearn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

FORMATS = ("onnx", "tflite", "saved_model", "openvino")
PHOTOS = 60

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_FAMILIES = flags.DEFINE_list("families", [], "Those that are tried; all if none is named.")


def some_photos(image_dir: Path, folder: Path) -> Path:
    """Copies the first photos of each class, 60 in all, to a new folder."""
    classes = sorted(one for one in image_dir.iterdir() if one.is_dir())
    for one in classes:
        (folder / one.name).mkdir(parents=True)
        for photo in sorted(one.iterdir())[: PHOTOS // len(classes)]:
            shutil.copy(photo, folder / one.name)
    return folder


def tried(name: str, photos: Path, root: Path) -> bool:
    """Trains on one preset and prints how its exports agree; returns whether all do."""
    from hub_presets import save_preset

    started = time.perf_counter()
    result = xferlearn.train(
        image_dir=str(photos),
        model_dir=str(root / "models" / name),
        bottleneck_dir=str(root / "bottlenecks"),
        backbone=f"hub:{save_preset(root, name)}",
        how_many_training_steps=50,
        summaries="none",
        export=FORMATS,
        verbose=0,
    )
    exported = result.exported
    agree = exported is not None and exported.passed
    said = (
        ", ".join(" ".join(row[0:1] + row[5:7]) for row in exported.table[2:]) if exported else ""
    )
    print(
        f"{name:18} {result.extraction.computed} photos  {said}  {'ok' if agree else 'NOT OK'}"
        f"  {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return agree


def main(_argv: list[str]) -> bool:
    """Tries the families; returns whether all exports agree."""
    from hub_presets import PRESETS

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photos = some_photos(Path(_IMAGE_DIR.value), root / "photos")
        found = [tried(name, photos, root) for name in _FAMILIES.value or PRESETS]
        return all(found)


if __name__ == "__main__":
    flags.mark_flag_as_required("image_dir")
    benching.run(main)
