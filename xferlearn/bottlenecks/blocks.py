"""Extraction on other machines: photos go there by name, bottlenecks into the store.

A block has what is known of some photos, and a result what was found out about each: never pixels,
never bottlenecks.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pickle
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from xferlearn.bottlenecks.compute import Extraction, extract
from xferlearn.bottlenecks.engines import Engine, EnginePlan, KeptNetwork, start_engine
from xferlearn.bottlenecks.engines.planning import plan_engines
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.bottlenecks.settling import Features, never_compared
from xferlearn.bottlenecks.space import FeatureSpace, feature_space
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.errors import UserError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.pixels.depth import Depth
from xferlearn.photos.reading import Loaded
from xferlearn.photos.sources import Entry
from xferlearn.runners import POSITION, PROBLEM, Job, Runner, Work
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line, readable

if TYPE_CHECKING:
    import keras

# An entry as it is: names need be no text that Arrow knows, and what reads it is a function of a
# module with a path.
_BLOCK = pa.schema([(POSITION, pa.int64()), ("entry", pa.binary())])
_RESULT = pa.schema(
    [
        *_BLOCK,
        ("digest", pa.binary()),
        ("used", pa.int8()),
        ("reached", pa.int8()),
        ("paged", pa.bool_()),
        ("remedy", pa.string()),
        (PROBLEM, pa.string()),
    ]
)
# A file that was just written takes a moment to be seen on other machines.
_PROBE_SECONDS = 10.0
# A photo among so many is looked for that can be read.
_FIRST = 64


@dataclasses.dataclass(frozen=True)
class Probe:
    """What this machine sees, for others to see whether they see the same.

    Attributes:
        name: of a file in the folder of the bottlenecks.
        content: its bytes.
        photo: one of the photos; None where none of the first can be read.
        digest: SHA-256 of its bytes.
    """

    name: str
    content: bytes
    photo: Entry | None = None
    digest: bytes = b""


@dataclasses.dataclass(frozen=True)
class BlockWork:
    """What a worker needs to know of an extraction; small, and the same for all of them.

    Attributes:
        root: folder of all feature spaces, absolute.
        space: the feature space of the bottlenecks.
        plan: the engine, as the driver has settled it.
        load: returns the network in float32.
        limits: caps on bytes and pixels.
        device: as in the settings.
        proven: whether the engine may compute.
        prints: side in px of the pixels that prints are made of; None where none are wanted.
        folder: what relative paths are relative to.
        probe: what a worker must see.
    """

    root: str
    space: FeatureSpace
    plan: EnginePlan
    load: Callable[[], "keras.Model"]
    limits: PhotoLimits
    device: str
    proven: bool
    prints: int | None
    folder: str
    probe: Probe | None = None

    @classmethod
    def of(
        cls,
        features: Features,
        network: FrozenNetwork,
        limits: PhotoLimits,
        prints: PrintStore | None,
        device: str,
    ) -> "BlockWork":
        """Returns the work for the engine and store that were settled here.

        Raises:
            ValueError: when the network is in this process alone.
        """
        if network.load is None:
            raise ValueError(f"{network.spec.name} is in this process alone")
        return cls(
            root=os.path.abspath(features.store.folder.parent),
            space=features.store.space,
            plan=features.plan,
            load=network.load,
            limits=limits,
            device=device,
            proven=features.proven,
            prints=None if prints is None else prints.image_size,
            folder=os.getcwd(),
        )


def extract_blocks(
    entries: Iterable[Entry],
    runner: Runner,
    work: BlockWork,
    *,
    count: int,
    verbose: int = 1,
) -> Extraction:
    """Makes sure that every readable photo has its bottleneck, as `extract`; elsewhere.

    Args:
        entries: the photos; what reads them can be pickled.
        runner: where.
        work: what workers do.
        count: number of entries.
        verbose: 0 shows no progress.

    Raises:
        UserError: a worker can't do it, or doesn't see the photos or the folder of the bottlenecks.
        XferlearnError: something outside failed on a worker, such as a full disk.
    """
    started, starting = time.perf_counter(), 0.0
    notes = ReadingNotes()
    done: list[tuple[int, Photo | BadPhoto]] = []
    computed = 0
    warnings: dict[str, None] = {}
    rest = iter(entries)
    first = list(itertools.islice(rest, _FIRST))
    with probed(Path(work.root), first) as probe:
        job = Job(extracting, {"work": dataclasses.replace(work, probe=probe)}, lost_photo)
        blocks = photo_blocks(itertools.chain(first, rest), runner.block_rows(count))
        with (
            progress_bar("bottlenecks", count, starts=True, verbose=verbose) as bar,
            contextlib.closing(runner.run(job, blocks)) as results,
        ):
            for table in results:
                told = json.loads((table.schema.metadata or {}).get(b"told", b"{}"))
                computed += told.get("computed", 0)
                warnings |= dict.fromkeys(told.get("warnings", ()))
                if not starting and told:
                    starting = max(0.0, time.perf_counter() - started - told["seconds"])
                for position, item in _items(table):
                    notes.add(item)
                    if item.problem is not None and work.limits.on_bad_image == "fail":
                        raise notes.refusal(item.entry.name, item.problem)
                    done.append((position, item.photo if item.problem is None else item.bad))
                bar.update(table.num_rows)
    done.sort(key=lambda pair: pair[0])
    photos = tuple(result for _, result in done if isinstance(result, Photo))
    return Extraction(
        photos=photos,
        bad=tuple(result for _, result in done if isinstance(result, BadPhoto)),
        computed=computed,
        cached=len(photos) - computed,
        seconds=time.perf_counter() - started - starting,
        bit_depth=notes.largest_depth,
        warnings=(*notes.lines(), *notes.training_depth(), *warnings),
        remedies=notes.remedies(),
    )


def extracting(work: BlockWork) -> Work:
    """Returns what a worker does with a block.

    Raises:
        UserError: this machine can't do it.
    """
    with contextlib.suppress(OSError):
        os.chdir(work.folder)
    if work.probe is not None:
        check_seen(work.probe, work.root)
    plan_engines(work.plan.name, work.plan.precision)
    start_tensorflow()
    choose_device(work.device)
    store = BottleneckStore(work.root, work.space)
    prints = None if work.prints is None else PrintStore(work.root, work.prints)
    engine = functools.cache(functools.partial(_engine, work))

    def extract_block(block: pa.Table) -> pa.Table:
        # Others may have done a part: of a block that is done again, or of copies.
        store.refresh()
        before = len(store.warnings)
        entries = [pickle.loads(entry) for entry in block["entry"].to_pylist()]
        notes = _Noted()
        found = extract(entries, store, engine, work.limits, prints=prints, notes=notes, verbose=0)
        problems = {(one.name, one.label): one.reason for one in found.bad}
        told = {
            "computed": found.computed,
            "seconds": found.seconds,
            "warnings": store.warnings[before:],
        }
        return pa.table(
            [
                block[POSITION],
                block["entry"],
                [item.digest for item in notes.items],
                [item.depth and item.depth.used for item in notes.items],
                [item.depth and item.depth.reached for item in notes.items],
                [item.paged for item in notes.items],
                [item.remedy for item in notes.items],
                [problems.get((entry.name, entry.label)) for entry in entries],
            ],
            schema=_RESULT.with_metadata({"told": json.dumps(told)}),
        )

    return extract_block


class _Noted(ReadingNotes):
    """Keeps what is known of each photo, without its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Loaded] = []

    def add(self, item: Loaded) -> None:
        super().add(item)
        self.items.append(dataclasses.replace(item, image=None))


def _engine(work: BlockWork) -> Engine:
    if not work.proven:
        return never_compared()
    kept = KeptNetwork.of(Path(work.root), work.space.folder, {"space": work.space.digest})
    return start_engine(functools.partial(_network, work), work.plan, kept)


def _network(work: BlockWork) -> "keras.Model":
    network = work.load()
    if feature_space(network, work.space.precision) != work.space:
        raise UserError(
            f"its {work.space.backbone} has other weights than that of the machine that asks."
            " Install the same packages and weights everywhere."
        )
    return network


def photo_blocks(entries: Iterable[Entry], rows: int) -> Iterator[pa.Table]:
    """Yields photos as blocks of so many rows, in their order."""
    numbered = enumerate(entries)
    while some := list(itertools.islice(numbered, rows)):
        positions, packed = zip(
            *((position, pickle.dumps(entry)) for position, entry in some), strict=True
        )
        yield pa.table([positions, packed], schema=_BLOCK)


def lost_photo(block: pa.Table, reason: str) -> pa.Table:
    """Returns the result of a block of one photo that ended its worker."""
    nothing = {field.name: [None] for field in _RESULT} | {"digest": [b""], PROBLEM: [reason]}
    known = {name: block[name].to_pylist() for name in _BLOCK.names}
    return pa.table({**nothing, **known}, schema=_RESULT)


def _items(table: pa.Table) -> Iterator[tuple[int, Loaded]]:
    """Yields position and what was found out about each photo of a result."""
    for row in table.to_pylist():
        used, reached = row["used"], row["reached"]
        yield (
            row[POSITION],
            Loaded(
                pickle.loads(row["entry"]),
                row["digest"],
                problem=row[PROBLEM],
                depth=None if used is None else Depth(used, reached),
                paged=bool(row["paged"]),
                remedy=row["remedy"] or "",
            ),
        )


@contextlib.contextmanager
def probed(root: Path, first: Iterable[Entry]) -> Iterator[Probe]:
    """Returns what workers must see; the file among it is removed in the end.

    Args:
        root: folder of the bottlenecks.
        first: some of the photos.

    Raises:
        UserError: when the folder of the bottlenecks can't be written to.
    """
    probe = Probe(f".probe-{secrets.token_hex(8)}", secrets.token_bytes(32))
    for entry in first:
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(entry.read()).digest()
            probe = dataclasses.replace(probe, photo=entry, digest=digest)
            break
    path = root / probe.name
    try:
        path.write_bytes(probe.content)
        yield probe
    finally:
        path.unlink(missing_ok=True)


def check_seen(probe: Probe, root: str) -> None:
    """Checks that this machine sees what the one that asks sees.

    Args:
        probe: what `probed` returned there.
        root: folder of the bottlenecks.

    Raises:
        UserError: when it does not.
    """
    deadline = time.monotonic() + _PROBE_SECONDS
    while True:
        try:
            same = (Path(root) / probe.name).read_bytes() == probe.content
        except OSError:
            same = False
        if same:
            break
        if time.monotonic() > deadline:
            raise UserError(
                f"it does not see `bottleneck_dir` {root} of the machine that asks. Choose a folder"
                " that all machines share."
            )
        time.sleep(0.5)
    if probe.photo is None:
        return
    try:
        problem = ""
        if hashlib.sha256(probe.photo.read()).digest() != probe.digest:
            problem = "it is another file there"
    except OSError as error:
        problem = one_line(error)
    if problem:
        raise UserError(
            f"it can't read {readable(probe.photo.name)}: {problem}. The photos have to be at the"
            " same place on all machines."
        )
