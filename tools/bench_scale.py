"""What many photos cost: memory and time of each stage.

    python tools/bench_scale.py --photos=1000000
    python tools/bench_scale.py --stages=label,ray --image_dir=flower_photos

One line per stage, each measured in a process of its own. `manifest`, `store` and `head` work on
made-up photos and bottlenecks, which are written below `--folder` and removed; `label` and `ray` on
real photos. Exit code 1 where a stage takes more than its target: 150 MiB from the listing to the
manifest, 2 s to open a store again, 2.5 GiB for the heads.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import benching
import numpy as np
import pyarrow as pa
from absl import flags

from xferlearn.bottlenecks.blocks import BlockWork, extracting, lost_photo
from xferlearn.bottlenecks.compute import extract
from xferlearn.bottlenecks.settling import Candidates, sample_pixels
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.config import TrainConfig
from xferlearn.config.presets import HIDDEN_UNITS, WEIGHT_DECAY
from xferlearn.errors import UserError
from xferlearn.photos import read_image_dir
from xferlearn.photos.blocks import blocks_of
from xferlearn.photos.columns import PhotosBuilder
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.opening import open_source
from xferlearn.photos.photo import Photo
from xferlearn.photos.splitting import build_manifest
from xferlearn.runners import Job, open_runner

FLAGS = flags.FLAGS
flags.DEFINE_list("stages", ["manifest", "store", "head"], "manifest, store, head, label, ray.")
flags.DEFINE_integer("photos", 1_000_000, "Number of made-up photos.", lower_bound=1000)
flags.DEFINE_integer("width", 1280, "Values per bottleneck.", lower_bound=1)
flags.DEFINE_integer("classes", 100, "Number of classes.", lower_bound=2)
flags.DEFINE_bool("in_memory", False, "Whether the heads are also trained from memory.")
flags.DEFINE_string("folder", None, "Where made-up data go; the temporary folder where not given.")
flags.DEFINE_string("image_dir", None, "Folder of classes with real photos, for label and ray.")
flags.DEFINE_string("precision", "auto", "Of the network, for ray: auto, float32 or bfloat16.")
flags.DEFINE_integer("rounds", 3, "How often label and ray are measured, by turns.", lower_bound=1)

_MOST_MIB, _MOST_SECONDS, _MOST_GIB = 150.0, 2.0, 2.5
_FOLDS = 5
# How often the processes of a command are looked at.
_LOOK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is made up."""

    photos: int
    width: int
    classes: int


def main(_: list[str]) -> bool:
    """Measures the stages that are asked for; returns whether all keep their targets."""
    size = Size(FLAGS.photos, FLAGS.width, FLAGS.classes)
    good = True
    real = {"label": (measure_label, FLAGS.image_dir, FLAGS.rounds),
            "ray": (measure_ray, FLAGS.image_dir, FLAGS.precision, FLAGS.rounds)}  # fmt: skip
    for stage in FLAGS.stages:
        if stage not in ("manifest", "store", "head", *real):
            raise UserError(f"There is no stage {stage!r}. See --help.")
        if stage in real and FLAGS.image_dir is None:
            raise UserError(f"Stage {stage!r} needs --image_dir.")
    with tempfile.TemporaryDirectory(prefix="bench_scale_", dir=FLAGS.folder) as folder:
        if "manifest" in FLAGS.stages:
            good &= _apart(measure_manifest, size, Path(folder, "photos")) <= _MOST_MIB
        store = Path(folder, "store")
        if {"store", "head"} & {*FLAGS.stages}:
            _apart(write_store, size, store)
        if "store" in FLAGS.stages:
            good &= _apart(measure_store, size, store) <= _MOST_SECONDS
        if "head" in FLAGS.stages:
            good &= _apart(measure_head, size, store, True) <= _MOST_GIB
            if FLAGS.in_memory:
                _apart(measure_head, size, store, False)
    for stage, (measure, *arguments) in real.items():
        if stage in FLAGS.stages:
            measure(*arguments)
    return good


def _apart(measure: Callable[..., float], *arguments: object) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def measure_manifest(size: Size, folder: Path) -> float:
    """Lists empty files in folders of classes, makes rows of them, and splits these.

    Returns:
        Peak of the memory above the start, MiB.
    """
    for label in range(size.classes):
        below = folder / f"class {label:03}"
        below.mkdir(parents=True)
        for row in range(
            label * size.photos // size.classes, (label + 1) * size.photos // size.classes
        ):
            (below / f"photo_{row:09}.jpg").touch()
    pa.array([])  # Arrow starts, which also imports pandas where that is installed
    start, times, peaks = peak_mib(), [time.perf_counter()], []

    def passed() -> None:
        times.append(time.perf_counter())
        peaks.append(peak_mib() - start)

    source = read_image_dir(folder)
    passed()
    builder = PhotosBuilder()
    for row, entry in enumerate(source.entries()):
        digest = hashlib.sha256(b"%d" % row).digest()
        builder.add(Photo(digest, entry.label, entry.name), row)
    photos = builder.finish()
    passed()
    manifest = build_manifest(source.labels, photos)
    passed()
    told = ", ".join(
        f"{stage} {1e6 * seconds / size.photos:.1f} us ({peak:.0f} MiB)"
        for stage, seconds, peak in zip(
            ("listed", "gathered", "split"), np.diff(times), peaks, strict=True
        )
    )
    print(f"manifest: {size.photos:,} photos; per photo (most memory above the start): {told};"
          f" {manifest}", flush=True)  # fmt: skip
    return peaks[-1]


def _space(width: int) -> FeatureSpace:
    return FeatureSpace("made up", "0" * 64, 224, "none", "none", "none", "float32", width)


def _keys(number: int) -> np.ndarray:
    keys = np.empty((number, 32), np.uint8)
    for start in range(0, number, 4096):
        some = range(start, min(start + 4096, number))
        digests = b"".join(hashlib.sha256(b"%d" % row).digest() for row in some)
        keys[some.start : some.stop] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    return keys


def _classes_of(size: Size) -> np.ndarray:
    return (np.arange(size.photos) * 7919 % size.classes).astype(np.int32)


def write_store(size: Size, folder: Path) -> float:
    """Writes bottlenecks around one centre per class; returns the seconds it took."""
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (size.classes, size.width)).astype(np.float32)
    keys, y = _keys(size.photos), _classes_of(size)
    with BottleneckStore(folder, _space(size.width)).writer() as writer:
        for start in range(0, size.photos, 4096):
            some = slice(start, start + 4096)
            rows = centres[y[some]]
            rows = rows + rng.normal(0, 2, rows.shape).astype(np.float32)
            for key, row in zip(keys[some], rows, strict=True):
                writer.add(key.tobytes(), row)
    return time.perf_counter() - started


def measure_store(size: Size, folder: Path) -> float:
    """Opens a store for the first time and again, looks up all keys, and reads all rows.

    Returns:
        Seconds to open it again.
    """
    keys = _keys(size.photos)
    for path in BottleneckStore(folder, _space(size.width)).folder.glob("index*"):
        path.unlink()
    times, sizes = [time.perf_counter()], [anonymous_mib()]
    for _ in range(2):
        store = BottleneckStore(folder, _space(size.width))
        times.append(time.perf_counter())
        sizes.append(anonymous_mib())
    there = store.has(keys).sum()
    times.append(time.perf_counter())
    read = sum(len(rows) for _, rows in store.blocks(keys))
    times.append(time.perf_counter())
    if not there == read == size.photos:
        raise SystemExit(f"{there} keys and {read} rows of {size.photos} are in the store.")
    first, again, asked, streamed = np.diff(times)
    print(
        f"store: {size.photos:,} rows of {size.width}, opened first in {first:.2f} s, again in"
        f" {again:.3f} s ({sizes[2] - sizes[1]:+.0f} MiB), all keys looked up in {asked:.2f} s, all"
        f" rows read in {streamed:.1f} s",
        flush=True,
    )
    return float(again)


def measure_head(size: Size, folder: Path, streamed: bool) -> float:
    """Trains seven heads for one pass, and predicts every photo by that which has not seen it.

    Returns:
        Peak of the process' memory while the heads learn, GiB.
    """
    from xferlearn.system.runtime import start_tensorflow

    start_tensorflow()
    from xferlearn.training.cross_fitting import fit_heads
    from xferlearn.training.head import measure_scale
    from xferlearn.training.plan import HeadPlan
    from xferlearn.training.stored_rows import StoredRows

    number, y = size.photos, _classes_of(size)
    rows = StoredRows([BottleneckStore(folder, _space(size.width))], _keys(number))
    folds = (np.arange(number) // 7 % (_FOLDS + 1) - 1).astype(np.int8)
    known = folds >= 0  # the others are the test
    learned = np.repeat(known[:, None], _FOLDS + 2, axis=1)
    learned[:, -1] = True
    for fold in range(_FOLDS):
        learned[folds == fold, fold] = False
    steps = number // TrainConfig.train_batch_size
    plan = HeadPlan(HIDDEN_UNITS, TrainConfig.dropout, WEIGHT_DECAY, steps)
    wall, cpu = time.perf_counter(), time.process_time()
    x = rows if streamed else rows[:]
    scale = measure_scale(x, rows=np.flatnonzero(known))
    stack, training = fit_heads(x, y, learned, size.classes, plan, scale, known=known)
    fitted = time.process_time()
    # What is predicted is a table of a temporary file where it is large, which the machine may keep
    # in memory as long as there is room.
    peak = peak_mib() / 2**10
    found = stack.out_of_fold(x, folds)
    right = float((found.argmax(axis=1) == y[known]).mean())
    wall, ended = time.perf_counter() - wall, time.process_time()
    print(
        f"head, {'streamed' if training.streamed else 'in memory'}: {number:,} x {size.width},"
        f" {size.classes} classes, {learned.shape[1]} heads, one pass: CPU per photo"
        f" {(fitted - cpu) / number * 1e6:.1f} us to learn,"
        f" {(ended - fitted) / number * 1e6:.1f} us to predict, {wall:.0f} s in all, {right:.1%}"
        f" right, {peak:.2f} GiB at most while learning",
        flush=True,
    )
    return peak


def measure_label(image_dir: str, rounds: int) -> None:
    """Prints CPU time per photo of `label`: into one file, into parts, and into parts on Ray.

    Caches are empty, so that every photo goes through the network. What labelling one photo takes
    is left out as the start; of several rounds the best counts.
    """
    paths = sorted(Path(image_dir).glob("*/*.jpg"))
    ways = {"one file": ["a.parquet"], "parts": ["parts"], "parts on Ray": ["parts", "ray"]}
    found: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        model = f"--model={folder}/model"
        _cpu_seconds(
            "train", f"--image_dir={image_dir}", f"--model_dir={folder}/model", "--summaries=none"
        )
        for number in range(rounds):
            for way, (output, *runner) in ways.items():
                used = []
                for photos in (paths[0], image_dir):
                    place = Path(folder, f"{way}-{number}-{len(used)}")
                    place.mkdir()
                    words = [model, f"--output={place / output}", f"--bottleneck_dir={place / 'b'}"]
                    words += [f"--runner={one}" for one in runner]
                    used.append(_cpu_seconds("label", str(photos), *words))
                found[way].append(1000 * (used[1] - used[0]) / (len(paths) - 1))
    told = ", ".join(f"{way} {min(each):.2f}" for way, each in found.items())
    print(f"label: {len(paths):,} photos, CPU ms per photo, best of {rounds}: {told}", flush=True)


def _cpu_seconds(*words: str) -> float:
    """Returns the CPU time of a command and of all processes that it starts; Linux only."""
    mark = f"BENCH_SCALE={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "xferlearn", *words, "--verbose=0"]
    used: dict[tuple[str, str], int] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, name: value}
    ) as process:
        while process.poll() is None:
            for folder in Path("/proc").iterdir():
                with contextlib.suppress(OSError, IndexError):
                    if mark.encode() in (folder / "environ").read_bytes():
                        fields = (folder / "stat").read_text().rpartition(")")[2].split()
                        used[folder.name, fields[19]] = int(fields[11]) + int(fields[12])
            time.sleep(_LOOK_SECONDS)
    if process.returncode not in (0, 1):
        raise SystemExit(f"xferlearn {' '.join(words)} failed")
    return sum(used.values()) / os.sysconf("SC_CLK_TCK")


def timed(work: BlockWork) -> Callable[[pa.Table], pa.Table]:
    """Returns the work of a worker, which says how much CPU time each block took."""
    do = extracting(work)

    def timed_block(block: pa.Table) -> pa.Table:
        started = time.process_time()
        result = do(block)
        return result.replace_schema_metadata({"cpu": json.dumps(time.process_time() - started)})

    return timed_block


def measure_ray(image_dir: str, precision: str, rounds: int, rows: int = 500) -> None:
    """Prints the CPU time of extraction per photo, here and by one worker of a Ray cluster.

    Blocks have 500 photos; the first, in which the engine starts, is left out in both.
    """
    from xferlearn.system.runtime import start_tensorflow
    from xferlearn.training.networks import load_networks

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
                found = list(runner.run(job, blocks_of(entries, rows)))[1:]
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
        f" here, ratio {ratio:.2f} (median of {rounds} rounds)",
        flush=True,
    )


def peak_mib() -> float:
    """Returns the most memory that this process has taken so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def anonymous_mib() -> float:
    """Returns this process' memory that no file backs, MiB; not on Linux: its peak."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10
    except OSError:
        return peak_mib()


if __name__ == "__main__":
    sys.exit(benching.run(main))
