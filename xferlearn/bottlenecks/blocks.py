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
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from xferlearn.bottlenecks.compute import Extraction, Gathered, extract
from xferlearn.bottlenecks.engines import Engine, EnginePlan, KeptNetwork, start_engine
from xferlearn.bottlenecks.engines.planning import plan_engines
from xferlearn.bottlenecks.networks import FrozenNetwork
from xferlearn.bottlenecks.settling import Features, never_compared
from xferlearn.bottlenecks.space import FeatureSpace, feature_space
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.errors import UserError
from xferlearn.photos.blocks import block_of, blocks_of, entries_in
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.pixels.depth import Depth
from xferlearn.photos.reading import Loaded
from xferlearn.photos.sources import Entry
from xferlearn.runners import POSITION, PROBLEM, Job, Runner, Work
from xferlearn.system.addresses import absolute_address, bucket_reason
from xferlearn.system.places import place_of
from xferlearn.system.progress import progress_bar
from xferlearn.system.runtime import choose_device, start_tensorflow
from xferlearn.system.text import one_line, readable

if TYPE_CHECKING:
    import keras

# What a result says of each photo, behind the columns of its block.
_FOUND = pa.schema(
    [
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
_PROBE = ".probe-"
# Longer than any run.
_LEFT_SECONDS = 7 * 86400.0
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
        root: folder of all feature spaces, absolute, or its address in a bucket.
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
            root=absolute_address(features.store.root),
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
    order: np.ndarray | None = None,
    verbose: int = 1,
) -> Extraction:
    """Makes sure that every readable photo has its bottleneck, as `extract`; elsewhere.

    Args:
        entries: the photos, each of which has an address.
        runner: where.
        work: what workers do.
        count: number of entries.
        order: place of each entry in the listing; None where they come in its order.
        verbose: 0 shows no progress.

    Raises:
        UserError: a worker can't do it, or doesn't see the photos or the folder of the bottlenecks.
        XferlearnError: something outside failed on a worker, such as a full disk.
    """
    started, starting = time.perf_counter(), 0.0
    notes = ReadingNotes()
    found = Gathered(order)
    computed = 0
    warnings: dict[str, None] = {}
    rest = iter(entries)
    first = list(itertools.islice(rest, _FIRST))
    with probed(work.root, first) as probe:
        job = Job(extracting, {"work": dataclasses.replace(work, probe=probe)}, lost_photo)
        blocks = blocks_of(itertools.chain(first, rest), runner.block_rows(count))
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
                    found.add(position, item)
                bar.update(table.num_rows)
    seconds = time.perf_counter() - started - starting
    return found.extraction(computed, seconds, notes, warnings)


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
    engine = functools.cache(functools.partial(_engine, work, store))

    def extract_block(block: pa.Table) -> pa.Table:
        # Others may have done a part: of a block that is done again, or of copies.
        store.refresh()
        before = len(store.warnings)
        entries = entries_in(block)
        notes = _Noted()
        found = extract(entries, store, engine, work.limits, prints=prints, notes=notes, verbose=0)
        problems = {(one.name, one.label): one.reason for one in found.bad}
        told = {
            "computed": found.computed,
            "seconds": found.seconds,
            "warnings": store.warnings[before:],
        }
        result = _result(
            block,
            digest=[item.digest for item in notes.items],
            used=[item.depth and item.depth.used for item in notes.items],
            reached=[item.depth and item.depth.reached for item in notes.items],
            paged=[item.paged for item in notes.items],
            remedy=[item.remedy for item in notes.items],
            problem=[problems.get((entry.name, entry.label)) for entry in entries],
        )
        return result.replace_schema_metadata({"told": json.dumps(told)})

    return extract_block


class _Noted(ReadingNotes):
    """Keeps what is known of each photo, without its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Loaded] = []

    def add(self, item: Loaded) -> None:
        super().add(item)
        self.items.append(dataclasses.replace(item, image=None))


def _engine(work: BlockWork, store: BottleneckStore) -> Engine:
    if not work.proven:
        return never_compared()
    kept = KeptNetwork.of(store.folder.parent, work.space.folder, {"space": work.space.digest})
    return start_engine(functools.partial(_network, work), work.plan, kept)


def _network(work: BlockWork) -> "keras.Model":
    network = work.load()
    if feature_space(network, work.space.precision) != work.space:
        raise UserError(
            f"its {work.space.backbone} has other weights than that of the machine that asks."
            " Install the same packages and weights everywhere."
        )
    return network


def lost_photo(block: pa.Table, reason: str) -> pa.Table:
    """Returns the result of a block of one photo that ended its worker."""
    return _result(block, digest=[b""], problem=[reason])


def _result(block: pa.Table, **found: list[Any]) -> pa.Table:
    nothing = [None] * block.num_rows
    columns = [pa.array(found.get(field.name, nothing), field.type) for field in _FOUND]
    return pa.table([*block.columns, *columns], schema=pa.schema([*block.schema, *_FOUND]))


def _items(table: pa.Table) -> Iterator[tuple[int, Loaded]]:
    """Yields position and what was found out about each photo of a result."""
    rows = table.select([POSITION, *_FOUND.names]).to_pylist()
    for entry, row in zip(entries_in(table), rows, strict=True):
        used, reached = row["used"], row["reached"]
        yield (
            row[POSITION],
            Loaded(
                entry,
                row["digest"],
                problem=row[PROBLEM],
                depth=None if used is None else Depth(used, reached),
                paged=bool(row["paged"]),
                remedy=row["remedy"] or "",
            ),
        )


@contextlib.contextmanager
def probed(root: str, first: Iterable[Entry]) -> Iterator[Probe]:
    """Returns what workers must see; the file among it is removed in the end.

    Args:
        root: folder of the bottlenecks.
        first: some of the photos.

    Raises:
        UserError: when the folder of the bottlenecks can't be written to.
    """
    probe = Probe(f"{_PROBE}{secrets.token_hex(8)}", secrets.token_bytes(32))
    # Others read by addresses, and those are absolute there.
    for entry in entries_in(block_of([one for one in first if one.address is not None], 0)):
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(entry.read()).digest()
            probe = dataclasses.replace(probe, photo=entry, digest=digest)
            break
    place = place_of(root, "`bottleneck_dir`")
    try:
        place.write(probe.name, probe.content)
        for file in place.files():
            if file.name.startswith(_PROBE) and file.changed < (time.time() - _LEFT_SECONDS) * 1e9:
                place.remove(file.name)  # of a run that was killed
        yield probe
    finally:
        with contextlib.suppress(OSError):
            place.remove(probe.name)


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
        problem = "it is another folder there"
        try:
            if place_of(root).read(probe.name) == probe.content:
                break
        except FileNotFoundError:
            pass
        except OSError as error:
            problem = bucket_reason(error)
        if time.monotonic() >= deadline:
            raise UserError(
                f"it does not see `bottleneck_dir` {root} of the machine that asks: {problem}."
                " Choose a folder that all machines share, or one in a bucket that each of them may"
                " use."
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
