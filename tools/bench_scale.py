"""What many photos cost: memory and time of each stage.

python tools/bench_scale.py --image_dir=flower_photos --precision=float32
"""

import dataclasses
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from absl import app, flags

from xferlearn.bottlenecks.blocks import BlockWork, extracting, lost_photo, photo_blocks
from xferlearn.bottlenecks.compute import extract
from xferlearn.bottlenecks.settling import Candidates, sample_pixels
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.cli import main as command
from xferlearn.config import TrainConfig
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.opening import open_source
from xferlearn.runners import Job, open_runner
from xferlearn.system.runtime import start_tensorflow
from xferlearn.training.networks import load_networks

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with one sub-folder a class.")
_PRECISION = flags.DEFINE_string("precision", "auto", "auto, float32 or bfloat16.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often each is measured, by turns.")


def timed(work: BlockWork) -> Callable[[pa.Table], pa.Table]:
    """Returns the work of a worker, which says how much CPU time each block took."""
    do = extracting(work)

    def timed_block(block: pa.Table) -> pa.Table:
        started = time.process_time()
        result = do(block)
        return result.replace_schema_metadata({"cpu": json.dumps(time.process_time() - started)})

    return timed_block


def measure_ray(image_dir: str, precision: str = "auto", rounds: int = 5, rows: int = 250) -> None:
    """Prints the CPU time of extraction per photo, here and by one worker of a Ray cluster.

    Args:
        image_dir: folder of classes.
        precision: as in the settings.
        rounds: how often each is measured, by turns, with an empty store.
        rows: photos per block; the first block, in which the engine starts, is left out in both.
    """
    start_tensorflow()
    here, there = [], []
    with tempfile.TemporaryDirectory() as root:
        config = TrainConfig(
            image_dir=image_dir, model_dir="model", runner="ray", workers=1, precision=precision,
            bottleneck_dir=root, summaries="none", verbose=0,
        )  # fmt: skip
        source, limits = open_source(config), PhotoLimits.of(config)
        network = load_networks(config)[0]
        features = Candidates.of(config, network.model, network.space).settle(
            functools.partial(sample_pixels, source.entries(), limits=limits)
        )
        entries = list(source.entries())
        np.random.default_rng(0).shuffle(entries)
        work = BlockWork.of(features, network, limits, None, config.device)
        engine = features.engine()
        with open_runner(config) as runner:
            for number in range(rounds):
                fresh = dataclasses.replace(work, root=str(Path(root, f"there{number}")))
                job = Job(timed, {"work": fresh}, lost_photo)
                found = list(runner.run(job, photo_blocks(entries, rows)))[1:]
                cpu = sum(float(table.schema.metadata[b"cpu"]) for table in found)
                there.append(cpu / sum(table.num_rows for table in found))
                store = BottleneckStore(Path(root, f"here{number}"), work.space)
                for some in (entries[:rows], entries[rows:]):
                    started = time.process_time()
                    extract(some, store, lambda: engine, limits, verbose=0)
                    cpu = time.process_time() - started
                here.append(cpu / len(some))
    ratio = np.median(np.array(there) / np.array(here))
    print(
        f"ray: {len(entries):,} photos in blocks of {rows}, {features.plan.precision}, CPU per"
        f" photo {1000 * np.median(there):.2f} ms by a worker, {1000 * np.median(here):.2f} ms"
        f" here, ratio {ratio:.2f} (median of {rounds} rounds)"
    )


def measure_label(image_dir: str, rounds: int = 5) -> None:
    """Prints the CPU time of `label` per photo, into one file and into parts, with empty caches.

    Args:
        image_dir: folder of classes.
        rounds: how often each is measured, by turns; the first also starts the engine.
    """
    photos = sum(1 for _ in Path(image_dir).glob("*/*.jpg"))
    used: dict[str, list[float]] = {"one.parquet": [], "parts/": []}
    with tempfile.TemporaryDirectory() as root:
        model, quiet = f"{root}/model", "--verbose=0"
        command(
            ["train", f"--image_dir={image_dir}", f"--model_dir={model}", "--summaries=none", quiet]
        )
        for number in range(rounds + 1):
            for output, found in used.items():
                place = Path(root, f"{number}{output}")
                place.mkdir()
                where = (f"--output={place}/{output}", f"--bottleneck_dir={place}/cache")
                started = time.process_time()
                command(["label", image_dir, f"--model={model}", quiet, *where])
                found.append((time.process_time() - started) / photos)
    one, parts = (1000 * np.median(found[1:]) for found in used.values())
    print(
        f"label: {photos:,} photos, CPU per photo {one:.2f} ms into one file, {parts:.2f} ms into"
        f" parts, ratio {parts / one:.2f} (median of {rounds} rounds)"
    )


def main(_: list[str]) -> None:
    """Measures what is asked for."""
    if _IMAGE_DIR.value is None:
        sys.exit("Expected --image_dir=FOLDER.")
    measure_label(_IMAGE_DIR.value, _ROUNDS.value)
    measure_ray(_IMAGE_DIR.value, _PRECISION.value, _ROUNDS.value)


if __name__ == "__main__":
    app.run(main)
