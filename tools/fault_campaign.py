"""What survives kills, damaged files and hostile input: thousands of trials, counted.

    python tools/fault_campaign.py
    python tools/fault_campaign.py --only=photos,models --share=0.1 --seed=1

Five campaigns, each with a random seed of its own:

    kills      SIGKILL before every single file operation of every writer
    files      files that xferlearn wrote, with bits flipped, cut short, zeroed, removed
    photos     photos of every format, mutated, among intact ones
    models     model files of ten formats, mutated, given to `xferlearn inspect`
    replacing  a model folder that is replaced all the time while it is read

Every trial ends in one of three ways. *Survived*: the right content, or an error of one line that
names the file. *Lost*: what was there before is gone, or can't be made again; a traceback, a
crash, more than 60 s, more than 2 GiB. *Silent*: another answer than the right one, without a word.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image

CAMPAIGNS = ("kills", "files", "photos", "models", "replacing")
_ONLY = flags.DEFINE_list("only", list(CAMPAIGNS), "Which campaigns to run.")
_SHARE = flags.DEFINE_float("share", 1.0, "Share of the trials to make, 0 to 1.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the random numbers.")

SECONDS = 60
BYTES = 2 * 2**30
SURVIVED, LOST, SILENT = "survived", "lost", "silent"


class Tally:
    """Counts the trials of a campaign, and keeps the first examples of what went wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends: collections.Counter[str] = collections.Counter()
        self.examples: list[str] = []
        self.kinds: set[str] = set()

    def add(self, kind: str, end: str, what: object = "") -> None:
        """Counts one trial on a kind of file or writer."""
        self.kinds.add(kind)
        self.ends[end] += 1
        if end != SURVIVED and len(self.examples) < 10:
            self.examples.append(f"{end}: {kind}: {what}"[:200])

    def row(self, seconds: float) -> str:
        """Returns the campaign's line of the table."""
        counts = [self.ends[end] for end in (SURVIVED, LOST, SILENT)]
        cells = "".join(f"{count:>10,}" for count in (sum(counts), *counts))
        return f"{self.name:<10}{len(self.kinds):>6}{cells}{seconds:>9.0f} s"


HEAD = f"{'campaign':<10}{'kinds':>6}{'trials':>10}{'survived':>10}{'lost':>10}{'silent':>10}"


def trials(number: int) -> int:
    """Returns how many of a campaign's trials to make."""
    return max(1, round(number * _SHARE.value))


def need(sound: object, what: str) -> None:
    """Stops where the campaign itself does not work: its counts would tell nothing."""
    if not sound:
        raise RuntimeError(what)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raises TimeoutError where the block takes longer than a trial may."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Returns a file's bytes, damaged as disks, transfers and attackers do."""
    changed = bytearray(data)
    kind = draw.choice(
        ("flip", "flip", "flips", "cut", "zeros", "ones", "repeat", "insert", "drop")
    )
    at = draw.randrange(min(len(changed), 2**16) if draw.random() < 0.4 else len(changed))
    size = draw.choice((1, 4, 16, 512, 20_000))
    if kind == "flip":
        changed[at] ^= 1 << draw.randrange(8)
    elif kind == "flips":
        for _ in range(30):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    elif kind == "cut":
        del changed[at:]
    elif kind in ("zeros", "ones"):
        end = min(at + size, len(changed))
        changed[at:end] = (b"\0" if kind == "zeros" else b"\xff") * (end - at)
    elif kind == "repeat":
        changed[at:at] = changed[at : at + size]
    elif kind == "insert":
        changed[at:at] = draw.randbytes(min(size, 100))
    else:
        del changed[at : at + size]
    return bytes(changed)


# ---------------------------------------------------------------------------------------------
# A small model folder of two classes, and what reads it whole.


def small_model_folder(folder: Path, first: str) -> None:
    """Writes a model folder whose classes, photos and weights all tell which one it is."""
    import keras

    from xferlearn.model_folder import write_model_folder
    from xferlearn.photos.manifest import Manifest, Photo

    keras.utils.set_random_seed(len(first))
    image = keras.Input((8, 8, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(image)
    model = keras.Model(image, keras.layers.Dense(2, "softmax", name="predictions")(pooled))
    model.layers[-1].set_weights([np.full((3, 2), len(first), np.float32), np.zeros(2, np.float32)])
    photos = tuple(
        Photo(hashlib.sha256(f"{first}{i}".encode()).digest(), i % 2, f"{first}/{i}.jpg")
        for i in range(20)
    )
    manifest = Manifest((first, "z"), photos, ("train",) * 20)
    metadata = {"input": {"height": 8, "width": 8}, "who": first}
    write_model_folder(folder, model, manifest, metadata, overwrite=True)


def read_whole(folder: Path) -> tuple[Any, ...]:
    """Reads everything of a model folder, as one."""
    from xferlearn.model_folder import ModelFolder, read_as_one

    def read(one: ModelFolder) -> tuple[Any, ...]:
        weights = one.load_model().get_weights()
        return one.labels, one.metadata["who"], one.photos(), [w.tobytes() for w in weights]

    return read_as_one(folder, read)


# ---------------------------------------------------------------------------------------------
# kills


@dataclasses.dataclass(frozen=True)
class Writer:
    """Something that xferlearn writes.

    Attributes:
        name: what it is.
        write: writes version 1 or 2 of it into a folder; the second replaces the first.
        read: returns which version is there, 0 for none.
        replaces: whether version 1 is there before version 2 is written.
    """

    name: str
    write: Callable[[Path, int], None]
    read: Callable[[Path], int]
    replaces: bool = True


class _FileModel:
    """Stands in for a Keras model: its file is written in parts, so that kills fall between."""

    def __init__(self, version: int) -> None:
        self.version = version

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(3):
                file.write(bytes([self.version]) * 10_000)
                file.flush()
                os.listdir(path.parent)


_KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(40)]
# Every other two rows are stored in float16, which holds them as they are; the others in float32.
_VECTORS = (np.arange(40 * 64, dtype=np.float32) % 2048).reshape(40, 64)
_VECTORS[np.arange(40) // 2 % 2 == 1] *= 1e5


def small_space() -> Any:
    """Returns the feature space of the store that is written and damaged."""
    from xferlearn.bottlenecks.space import FeatureSpace

    return FeatureSpace("net", "a" * 64, 224, "crop", "p", "average", "float32", 64)


def writers() -> list[Writer]:
    """Returns everything that is written, as forked children can write it: without TensorFlow."""
    from xferlearn.bottlenecks.engines.parity import Parity, read_parity, write_parity
    from xferlearn.bottlenecks.engines.planning import EnginePlan
    from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
    from xferlearn.experiments.outcomes import Outcome, OutcomeStore
    from xferlearn.experiments.plotting import save
    from xferlearn.exports import format_job
    from xferlearn.model_folder import read_model_folder, write_model_folder
    from xferlearn.photos.manifest import Manifest, Photo
    from xferlearn.photos.pixels.depth_records import DepthRecords
    from xferlearn.photos.twins.prints import PRINT_BYTES
    from xferlearn.summaries import run_folder
    from xferlearn.system import files
    from xferlearn.system.row_files import write_csv
    from xferlearn.training.finetuning.state import State

    def write_model(folder: Path, version: int) -> None:
        photos = tuple(Photo(bytes([i] * 32), i % 2, f"{version}/{i}.jpg") for i in range(6))
        manifest = Manifest(("a", "b"), photos, ("train",) * 6)
        metadata = {"input": {"height": 8}, "who": version}
        model: Any = _FileModel(version)
        write_model_folder(folder / "m", model, manifest, metadata, overwrite=True)

    def write_model_by_renames(folder: Path, version: int) -> None:
        swap, files._renameat2 = files._renameat2, lambda: None
        write_model(folder, version)
        files._renameat2 = swap

    def read_model(folder: Path) -> int:
        if not any(folder.iterdir()):
            return 0
        with contextlib.suppress(Exception):
            one = read_model_folder(folder / "m")
            (version,) = {*(one.path / "model.keras").read_bytes()}
            if {version, one.metadata["who"]} == {int(p.name[0]) for p in one.photos()}:
                return version
        return 0 if not (folder / "m").exists() else -1

    space = small_space()

    def write_shards(folder: Path, version: int) -> None:
        store = BottleneckStore(folder, space)
        with store.writer() as writer:
            for row in range(20 * (version - 1), 20 * version):
                writer.add(_KEYS[row], _VECTORS[row])
                if row % 2:
                    writer.flush()

    def read_shards(folder: Path) -> int:
        store = BottleneckStore(folder, space)
        known = [row for row in range(40) if _KEYS[row] in store]
        right = np.array_equal(store.read([_KEYS[row] for row in known]), _VECTORS[known])
        # What was committed before the kill counts: version 2 is written on top of version 1.
        whole = len(known) % 2 == 0
        return len(known) // 20 if right and whole and not store.warnings else -1

    def write_prints(folder: Path, version: int) -> None:
        store = PrintStore(folder, 32)
        with store.writer() as writer:
            for row in range(5 * version):
                writer.add(_KEYS[row], np.full(PRINT_BYTES, row, np.uint8))

    def read_prints(folder: Path) -> int:
        store = PrintStore(folder, 32)
        known = [row for row in range(40) if _KEYS[row] in store]
        right = all(
            {*one} == {row}
            for row, one in zip(known, store.read([_KEYS[row] for row in known]), strict=True)
        )
        return len(known) // 5 if right and not store.warnings else -1

    def write_depths(folder: Path, version: int) -> None:
        files.remove_stale(folder / "bit_depths")
        records = DepthRecords(folder)
        for row in range(5 * version):
            records.add(_KEYS[row], 12)
        records.save()

    def read_depths(folder: Path) -> int:
        records = DepthRecords(folder)
        found = [records.get(key) for key in _KEYS]
        return found.count(12) // 5 if {*found} <= {12, None} else -1

    def write_labels(folder: Path, version: int) -> None:
        files.remove_stale(folder)
        rows = [(f"{row}.jpg", version) for row in range(2000)]
        files.write_atomically(
            folder / "labels.csv", lambda file: write_csv(file, ("image", "label"), rows)
        )

    def read_labels(folder: Path) -> int:
        path = folder / "labels.csv"
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        versions = {line[-1] for line in lines}
        return int(versions.pop()) if len(versions) == 1 and len(lines) == 2000 else -len(lines)

    def outcome(version: int) -> Outcome:
        return Outcome({}, right=(version == 1,), photos=("a",), loss=float(version))

    def read_outcome(folder: Path) -> int:
        found = OutcomeStore(folder).get("key", {})
        return 0 if found is None else int(found.loss or 0)

    def write_comparison(folder: Path, version: int) -> None:
        files.remove_stale(folder)  # as opening the store does, in whose folder it is
        write_parity(folder, Parity("openvino", "float32", version, 0.0, 0.001))

    def read_comparison(folder: Path) -> int:
        damage: list[str] = []
        found = read_parity(folder, EnginePlan("openvino", "float32"), damage)
        return 0 if found is None else found.photos

    def state(folder: Path, version: int) -> tuple[State, Any]:
        kept = [np.full(3000, version, np.float32)]
        optimizer = type("Optimizer", (), {"variables": []})()
        model = type("Model", (), {"optimizer": optimizer, "found": kept})()
        model.get_weights = lambda: kept
        model.set_weights = lambda values: setattr(model, "found", values)
        keeper = type("Keeper", (), {"best": 0.5, "best_look": 1, "looks": version})()
        keeper.weights = kept
        return State(folder / ".m.fine-tuning", "key", model, keeper, print), model

    def read_state(folder: Path) -> int:
        one, model = state(folder, 0)
        looks = one.restore()
        return looks if not looks or {*model.found[0]} == {looks} else -1

    def write_state(folder: Path, version: int) -> None:
        files.remove_stale(folder, ".m.fine-tuning")  # as restoring does, which comes before
        state(folder, version)[0].save()

    def write_export(folder: Path, version: int) -> None:
        files.remove_stale(folder)
        with files.temporary_folder(folder / "export.onnx") as hidden:
            (hidden / "saved_model").mkdir()
            for name in ("saved_model.pb", "weights"):
                (hidden / "saved_model" / name).write_text(str(version))
            format_job._place(hidden / "saved_model", folder / "saved_model", passed=True)

    def read_export(folder: Path) -> int:
        files.recover_folder(folder / "saved_model")  # as opening a model does
        found = {path.read_text() for path in folder.glob("saved_model/*")}
        return int(found.pop()) if len(found) == 1 else -len(found)

    def write_report(folder: Path, version: int) -> None:
        files.remove_stale(folder)  # as `export` does
        files.write_record(folder / "report.json", {"version": version}, indent=2)

    def read_report(folder: Path) -> int:
        path = folder / "report.json"
        return files.read_record(path)["version"] if path.exists() else 0

    def write_table(folder: Path, version: int) -> None:
        save(folder / "sweep.csv", str(version).encode() * 1000)

    def read_table(folder: Path) -> int:
        path = folder / "sweep.csv"
        return int(path.read_text()[0]) if path.exists() else 0

    def write_run(folder: Path, version: int) -> None:
        with run_folder(folder, f"run{version}") as run_dir:
            (run_dir / "events").write_text(str(version))

    def read_run(folder: Path) -> int:
        runs = [path for path in folder.iterdir() if not list(path.glob(".unfinished"))]
        return max(
            (int(r.name.rpartition("run")[2][0]) for r in runs if any(r.iterdir())), default=0
        )

    return [
        Writer("model folder, first", write_model, read_model, replaces=False),
        Writer("model folder, swapped", write_model, read_model),
        Writer("model folder, renamed", write_model_by_renames, read_model),
        Writer("shards", write_shards, read_shards),
        Writer("prints", write_prints, read_prints),
        Writer("bit depths", write_depths, read_depths),
        Writer("table of labels", write_labels, read_labels),
        Writer("outcome", lambda f, v: OutcomeStore(f).put("key", outcome(v)), read_outcome),
        Writer("comparison of engines", write_comparison, read_comparison),
        Writer("state of fine-tuning", write_state, read_state),
        Writer("folder of an export", write_export, read_export),
        Writer("report of an export", write_report, read_report),
        Writer("table of an experiment", write_table, read_table),
        Writer("folder of a run", write_run, read_run),
    ]


_OPERATIONS = {
    "open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "os.utime",
    "os.truncate", "os.listdir", "os.scandir", "ctypes.dlsym",
}  # fmt: skip


def killed_at(act: Callable[[], None], operation: int) -> bool:
    """Runs something in a child, killed before its n-th file operation; False if it ended."""
    child = os.fork()
    if not child:
        count = 0

        def hook(event: str, _: tuple[Any, ...]) -> None:
            nonlocal count
            if event not in _OPERATIONS:
                return
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            act()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a writer failed")
    return os.WIFSIGNALED(status)


def kills(tally: Tally, folder: Path) -> None:
    """Kills every writer before each of its file operations."""
    step = max(1, round(1 / _SHARE.value))
    for writer in writers():
        before = 1 if writer.replaces else 0
        version = before + 1
        operation = 1
        while True:
            place = folder / "kill"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if before:
                writer.write(place, before)
            killed = killed_at(functools.partial(writer.write, place, version), operation)
            if not killed:
                break
            found = writer.read(place)
            end = SURVIVED if found in (before, version) else SILENT if found < 0 else LOST
            # What was cut off can be made again, and a day later nothing is left of it.
            yesterday = time.time() - 2 * 24 * 3600
            for path in place.rglob(".*"):
                os.utime(path, (yesterday, yesterday))
            writer.write(place, version)
            left = [path.name for path in place.rglob(".*") if path.name.endswith(("tmp", "old"))]
            left += [path.name for path in place.rglob(".unfinished")]
            if end == SURVIVED and (writer.read(place) != version or left):
                end = LOST
            tally.add(writer.name, end, f"operation {operation}: found {found}, left {left}")
            operation += step


# ---------------------------------------------------------------------------------------------
# files


@dataclasses.dataclass(frozen=True)
class OwnFile:
    """A file that xferlearn wrote.

    Attributes:
        path: the file.
        read: reads it as the commands do; equal results mean equal content. None for what is
            treated as missing, which is made again.
    """

    path: Path
    read: Callable[[], Any]


def own_files(folder: Path) -> dict[str, OwnFile]:
    """Writes one file of every kind."""
    from xferlearn.bottlenecks.store import BottleneckStore

    everything = {writer.name: writer for writer in writers()}
    found: dict[str, OwnFile] = {}
    small_model_folder(folder / "m", "a")
    for name in ("model.keras", "labels.txt", "metadata.json", "photos.csv"):
        found[name] = OwnFile(folder / "m" / name, lambda: read_whole(folder / "m"))
    for name, kind in (
        ("outcome", "key.json"),
        ("comparison of engines", "parity-openvino.json"),
        ("state of fine-tuning", ".m.fine-tuning"),
        ("report of an export", "report.json"),
    ):
        place = folder / name.replace(" ", "_")
        place.mkdir()
        everything[name].write(place, 1)

        def read(writer: Writer = everything[name], place: Path = place) -> Any:
            try:
                return writer.read(place) or None
            except ValueError as error:  # as the report's writer takes it
                return None if str(error) else 0

        found[name] = OwnFile(place / kind, read)
    place = folder / "shards"
    everything["shards"].write(place, 1)

    def read_shards() -> Any:
        # Of a copy, because opening a store may write its index anew.
        copy = Path(shutil.copytree(place, f"{place}.copy"))
        try:
            store = BottleneckStore(copy, small_space())
            known, found = store.read_known(_KEYS[:20])
            if not np.array_equal(found, _VECTORS[:20][known]):
                return "other vectors"
            return None if len(known) < 20 else len(known)
        finally:
            shutil.rmtree(copy)

    shards = sorted(place.glob("*/*.arrow"), key=lambda path: path.stat().st_size)
    shard, longer = shards[0], shards[-1]
    found["shard in float16"] = OwnFile(shard, read_shards)
    found["shard in float32"] = OwnFile(longer, read_shards)
    found["index"] = OwnFile(shard.with_name("index"), read_shards)
    found["space.json"] = OwnFile(shard.with_name("space.json"), read_shards)
    return found


def files(tally: Tally, folder: Path) -> None:
    """Damages files that xferlearn wrote, and reads them."""
    from xferlearn.errors import XferlearnError

    draw = random.Random(_SEED.value)
    kinds = own_files(folder)
    right = {name: one.read() for name, one in kinds.items()}
    need(None not in right.values(), f"intact files can't be read: {right}")
    good = {name: one.path.read_bytes() for name, one in kinds.items()}
    for number in range(trials(5000)):
        name = list(kinds)[number % len(kinds)]
        one = kinds[name]
        if draw.random() < 0.02:
            one.path.unlink()
        else:
            one.path.write_bytes(mutate(good[name], draw))
        try:
            with time_limit(), contextlib.redirect_stdout(io.StringIO()):
                found = one.read()
            end = SURVIVED if found in (right[name], None) else SILENT
            what: object = found
        except XferlearnError as error:
            end, what = (SURVIVED if "\n" not in str(error) else LOST), error
        except Exception as error:
            end, what = LOST, repr(error)
        tally.add(name, end, what)
        one.path.write_bytes(good[name])


# ---------------------------------------------------------------------------------------------
# photos


def seed_photos() -> list[tuple[str, bytes]]:
    """Returns intact photos of every format that Pillow writes, as ending and bytes."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (12, 16, 3), np.uint8)
    photo = Image.fromarray(noise).resize((160, 120))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 200)
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("jpg", photo, {}),
        ("jpg", photo, {"progressive": True}),
        ("jpg", photo.convert("CMYK"), {}),
        ("jpg", photo.convert("L"), {}),
        ("png", photo, {}),
        ("png", photo.convert("RGBA"), {}),
        ("png", photo.convert("P"), {}),
        ("png", deep, {}),
        ("gif", photo, {"save_all": True, "append_images": [photo] * 3}),
        ("bmp", photo, {}),
        ("webp", photo, {}),
        ("webp", photo, {"lossless": True}),
        ("tiff", photo, {}),
        ("tiff", deep, {}),
        ("avif", photo, {}),
    ]
    Image.init()
    found = []
    for ending, image, settings in kinds:
        if f".{ending}" in Image.registered_extensions():
            buffer = io.BytesIO()
            image.save(buffer, "JPEG" if ending == "jpg" else ending.upper(), **settings)
            found.append((ending, buffer.getvalue()))
    return found


def decode_worker(paths: Any, results: Any) -> None:
    """Decodes batches of photos as all commands do; runs in a process of its own."""
    from xferlearn.photos.folders.files import FileSource
    from xferlearn.photos.limits import PhotoLimits
    from xferlearn.photos.pixels.decoding import decoded_batches
    from xferlearn.photos.reading import load_photos
    from xferlearn.system.runtime import start_tensorflow

    start_tensorflow()
    limits = PhotoLimits()
    while (batch := paths.get()) is not None:
        entries = FileSource((), tuple((path, -1) for path in batch)).entries()
        told: dict[str, str | None] = {}
        for decoded in decoded_batches(load_photos(entries, 64, limits), 64, limits):
            for row, item in enumerate(decoded.photos):
                digest = hashlib.sha256(decoded.pixels[row].tobytes()).hexdigest()
                told[item.entry.name] = item.problem or f"pixels {digest}"
            told |= {item.entry.name: item.problem for item in decoded.failed}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        results.put((told, peak))


class Worker:
    """A process that may die or hang."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.paths, self.results = context.Queue(), context.Queue()
        self.process = context.Process(
            target=decode_worker, args=(self.paths, self.results), daemon=True
        )
        self.process.start()

    def ask(self, batch: list[str], seconds: float) -> tuple[dict[str, str | None], int] | None:
        """Returns what became of each photo and the peak memory; None if it died or hung."""
        self.paths.put(batch)
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.is_alive():
            with contextlib.suppress(Exception):
                return self.results.get(timeout=1)
        return None

    def end(self) -> None:
        """Ends the process, however it is."""
        self.paths.put(None)
        self.process.join(10)
        self.process.kill()


def photos(tally: Tally, folder: Path) -> None:
    """Decodes mutated photos among intact ones, whose pixels must stay what they are."""
    draw = random.Random(_SEED.value)
    seeds = seed_photos()
    intact = []
    for number, (ending, data) in enumerate(seeds):
        intact.append(str(folder / f"intact{number}.{ending}"))
        Path(intact[-1]).write_bytes(data)
    worker = Worker()
    answer = worker.ask(intact, 300)
    right = answer[0] if answer else {}
    need(answer and all(str(one).startswith("pixels") for one in right.values()), str(right))
    number = trials(3000)
    for start in range(0, number, 100):
        batch = {}
        for index in range(start, min(start + 100, number)):
            ending, data = seeds[index % len(seeds)]
            path = folder / f"{index}.{ending}"
            path.write_bytes(mutate(data, draw))
            batch[str(path)] = ending
        answer = worker.ask([*batch, *intact], SECONDS * 2)
        if answer is None:  # find the one that did it
            worker.end()
            for path, ending in batch.items():
                worker = Worker()
                alone = worker.ask([path], SECONDS)
                tally.add(ending, SURVIVED if alone else LOST, f"{path}: died or hung")
                worker.end()
            worker = Worker()
            continue
        told, peak = answer
        for path, ending in batch.items():
            end = SURVIVED if told.get(path) and peak < BYTES else LOST
            tally.add(ending, end, f"{told.get(path)}, {peak / 2**20:.0f} MiB")
        if any(told.get(path) != right[path] for path in intact):
            tally.add("intact", SILENT, "other pixels beside damaged photos")
        for path in batch:
            Path(path).unlink()
    worker.end()


# ---------------------------------------------------------------------------------------------
# models


def make_models(folder: Path) -> None:
    """Writes a small model in every format that xferlearn writes; a command of its own."""
    import keras

    import xferlearn

    draw = np.random.default_rng(0)
    for label, colour in (("a", (200, 30, 30)), ("b", (30, 200, 30))):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 50, (40, 40, 3)) + np.array(colour)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / "photos" / label / f"{number}.jpg")
    tiny: dict[str, Any] = {"backbone": "mobilenet_0.25", "weights": "none", "image_size": 32}
    xferlearn.train(
        image_dir=folder / "photos", model_dir=folder / "m", logs_dir=folder / "logs",
        bottleneck_dir=folder / "cache", how_many_training_steps=5, engine="tensorflow",
        precision="float32", verbose=0, **tiny,
    )  # fmt: skip
    xferlearn.export(
        model=folder / "m", verbose=0, min_agreement=0,
        format=["saved_model", "tflite", "onnx", "openvino", "frozen_graph"],
    )  # fmt: skip
    model = keras.saving.load_model(folder / "m/model.keras", compile=False)
    model.save(folder / "model.h5")
    model.save_weights(folder / "m.weights.h5")
    with zipfile.ZipFile(folder / "converted.zip", "w") as archive:
        archive.write(folder / "m/exports/model.tflite", "model_unquant.tflite")
        archive.writestr("labels.txt", "0 a\n1 b\n")


def model_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Returns by format what is inspected, and the file of it that is damaged."""
    exports = folder / "m/exports"
    (events, *_) = sorted(folder.glob("logs/*/events*"))
    saved = next(path for path in exports.rglob("saved_model.pb"))
    xml = next(exports.rglob("*.xml"))
    frozen = next(exports.rglob("frozen_graph*/*.pb"))
    files = {
        "keras": folder / "m/model.keras",
        "keras_h5": folder / "model.h5",
        "weights": folder / "m.weights.h5",
        "tflite": exports / "model.tflite",
        "onnx": exports / "model.onnx",
        "openvino": xml,
        "frozen_graph": frozen,
        "tensorboard": events,
        "zip": folder / "converted.zip",
    }
    found = {name: (path, path) for name, path in files.items()}
    found["saved_model"] = (saved.parent, saved)
    found["model_folder"] = (folder / "m", folder / "m/metadata.json")
    return found


def inspected(path: Path, output: Path) -> tuple[str, str]:
    """Inspects a model in a child with limits; returns how it ended and what it said."""
    child = os.fork()
    if not child:
        descriptor = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        signal.alarm(SECONDS)
        from xferlearn import cli

        code = 70
        with contextlib.suppress(BaseException):
            try:
                code = cli.main(["inspect", str(path)])
            except BaseException as error:
                print(f"Traceback {error!r}")
                raise
        sys.stdout.flush()
        os._exit(code)
    _, status, usage = os.wait4(child, 0)
    said = output.read_text(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    calm = code in (0, 2) and "Traceback" not in said and "\x1b" not in said
    if calm and (code == 0 or said.count("\n") == 1) and usage.ru_maxrss * 1024 < BYTES:
        return SURVIVED, said
    return LOST, f"exit code {code}, {usage.ru_maxrss / 1024:.0f} MiB: {said[-120:]!r}"


def models(tally: Tally, folder: Path) -> None:
    """Inspects mutated model files."""
    words = [sys.executable, __file__, f"--make_models={folder}"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    import xferlearn.commands.inspect_model  # noqa: F401 - children need not import it

    draw = random.Random(_SEED.value)
    kinds = model_files(folder)
    good = {name: damaged.read_bytes() for name, (_, damaged) in kinds.items()}
    for name, (path, _) in kinds.items():
        end, said = inspected(path, folder / "said")
        need(end == SURVIVED, f"the intact {name} can't be inspected: {said}")
    for number in range(trials(3000)):
        name = list(kinds)[number % len(kinds)]
        path, damaged = kinds[name]
        damaged.write_bytes(mutate(good[name], draw))
        tally.add(name, *inspected(path, folder / "said"))
        damaged.write_bytes(good[name])


_MAKE_MODELS = flags.DEFINE_string("make_models", None, "Only write the models, into a folder.")


# ---------------------------------------------------------------------------------------------
# replacing


def replacing(tally: Tally, folder: Path) -> None:
    """Reads a model folder that another process replaces all the time."""
    from xferlearn.system.files import replace_folder

    known = {}
    for name in ("a", "bb"):
        small_model_folder(folder / name, name)
        known[name] = read_whole(folder / name)
    place = folder / "m"
    shutil.copytree(folder / "a", place)
    stop = folder / "stop"
    child = os.fork()
    if not child:
        pauses = random.Random(_SEED.value)
        with contextlib.suppress(BaseException):
            number = 0
            while not stop.exists():
                number += 1
                new = folder / f".m.{number:08x}.tmp"
                shutil.copytree(folder / ("a", "bb")[number % 2], new)
                replace_folder(place, new)
                time.sleep(pauses.random() * 0.5)
        os._exit(0)
    for _ in range(trials(1000)):
        try:
            with time_limit():
                found = read_whole(place)
            end = SURVIVED if found == known[found[1]] else SILENT
            tally.add("model folder", end, found[:2])
        except Exception as error:
            tally.add("model folder", LOST, repr(error))
    stop.touch()
    os.waitpid(child, 0)


def main(words: list[str]) -> None:
    """Runs the campaigns and prints the table."""
    if len(words) > 1:
        raise app.UsageError(f"takes no word {words[1]!r}")
    if _MAKE_MODELS.value:
        make_models(Path(_MAKE_MODELS.value))
        return
    for name in _ONLY.value:
        if name not in CAMPAIGNS:
            raise app.UsageError(f"--only takes {', '.join(CAMPAIGNS)}, not {name!r}")
    failed = False
    print(f"{HEAD}{'time':>11}", flush=True)
    examples: list[str] = []
    for name in _ONLY.value:
        started = time.perf_counter()
        tally = Tally(name)
        with tempfile.TemporaryDirectory() as folder:
            globals()[name](tally, Path(folder))
        print(tally.row(time.perf_counter() - started), flush=True)
        examples += tally.examples
        failed = failed or bool(tally.ends[LOST] or tally.ends[SILENT])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process {peak:.2f} GiB")
    print("\n".join(examples), end="\n" if examples else "")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    app.run(main)
