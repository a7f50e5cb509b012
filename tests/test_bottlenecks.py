"""The store of bottlenecks: what was committed survives everything, and damage is never served."""

import dataclasses
import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xferlearn.bottlenecks import writing
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore, LostRowsError
from xferlearn.errors import UserError, XferlearnError

WIDTH = 16
PATHS = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
SPACE = FeatureSpace(
    backbone="efficientnet_lite0",
    weights_sha256="ab" * 32,
    image_size=224,
    resize="shorter side to 8/7, centre crop, bilinear with antialias",
    preprocessing="(x - 127) / 128",
    pooling="average",
    precision="float32",
    width=WIDTH,
)


def key(number: int) -> bytes:
    return hashlib.sha256(b"photo %d" % number).digest()


def vector(number: int) -> np.ndarray:
    """Returns a row that float16 holds as it is."""
    return stored(number).astype(np.float32)


def stored(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=WIDTH).astype(np.float16)


def write(root: Path, numbers: range) -> BottleneckStore:
    store = BottleneckStore(root, SPACE)
    with store.writer() as writer:
        for number in numbers:
            writer.add(key(number), vector(number))
    return store


def only_shard(store: BottleneckStore) -> Path:
    (shard,) = store.folder.glob("*.arrow")
    return shard


def check(store: BottleneckStore, numbers: range) -> None:
    found = store.read([key(number) for number in numbers])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [vector(number) for number in numbers])


def test_what_was_written_is_read_in_the_order_asked_for(tmp_path: Path) -> None:
    write(tmp_path, range(50))
    store = BottleneckStore(tmp_path, SPACE)
    assert len(store) == 50
    assert key(7) in store
    assert key(50) not in store
    check(store, range(49, -1, -3))
    np.testing.assert_array_equal(store.read([key(3), key(3)]), [vector(3), vector(3)])
    assert store.read([]).shape == (0, WIDTH)
    with pytest.raises(KeyError):
        store.read([key(50)])


def test_the_writer_itself_sees_its_rows_when_it_is_done(tmp_path: Path) -> None:
    check(write(tmp_path, range(5)), range(5))


def test_rows_of_many_shards_and_writers_are_one_store(tmp_path: Path) -> None:
    stores = [write(tmp_path, range(10)), write(tmp_path, range(5, 20))]
    assert len(list(stores[0].folder.glob("*.arrow"))) == 2
    assert key(15) not in stores[0]
    stores[0].refresh()
    for store in (*stores, BottleneckStore(tmp_path, SPACE)):
        assert len(store) == 20
        check(store, range(20))


def test_spaces_do_not_mix(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    other = BottleneckStore(tmp_path, dataclasses.replace(SPACE, image_size=256))
    assert key(0) not in other
    assert len(list(tmp_path.iterdir())) == 2


def test_the_folder_name_of_a_space_is_pinned() -> None:
    # A golden: whoever changes it makes every user's cache useless.
    assert SPACE.folder == "efficientnet_lite0-224-e8d697596afe45ee"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatureSpace)])
def test_every_field_of_a_space_makes_another_folder(field: str) -> None:
    value = getattr(SPACE, field)
    other = value + 1 if isinstance(value, int) else f"{value}x"
    assert dataclasses.replace(SPACE, **{field: other}).folder != SPACE.folder


def test_the_folder_tells_its_space_to_a_reader(tmp_path: Path) -> None:
    folder = BottleneckStore(tmp_path, SPACE).folder
    assert json.loads((folder / "space.json").read_text()) == dataclasses.asdict(SPACE)


def test_shards_are_committed_when_they_are_full_or_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 4)
    store = BottleneckStore(tmp_path, SPACE)
    with store.writer() as writer:
        for number in range(6):
            writer.add(key(number), vector(number))
        assert len(BottleneckStore(tmp_path, SPACE)) == 4
        monkeypatch.setattr(writing, "SECONDS_PER_SHARD", 0.0)
        writer.add(key(6), vector(6))
        assert len(BottleneckStore(tmp_path, SPACE)) == 7
    check(store, range(7))


def test_rows_are_committed_when_the_block_fails(tmp_path: Path) -> None:
    def interrupted() -> None:
        with BottleneckStore(tmp_path, SPACE).writer() as writer:
            writer.add(key(0), vector(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    check(BottleneckStore(tmp_path, SPACE), range(1))


def test_an_empty_writer_writes_no_shard(tmp_path: Path) -> None:
    store = write(tmp_path, range(0))
    assert [path.name for path in store.folder.iterdir()] == ["space.json"]


WRITER = """
import sys, time
sys.path[:0] = {paths!r}
from test_bottlenecks import *
writing.ROWS_PER_SHARD = 5
store = BottleneckStore({root!r}, SPACE)
with store.writer() as writer:
    for number in range({first}, {last}):
        writer.add(key(number), vector(number))
        time.sleep({pause})
    print("written", flush=True)
    time.sleep({rest})
"""


def start_writer(
    root: Path, first: int, last: int, pause: float = 0, rest: float = 0
) -> subprocess.Popen:
    script = WRITER.format(
        paths=PATHS,
        root=str(root),
        first=first,
        last=last,
        pause=pause,
        rest=rest,
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


def test_a_kill_loses_only_the_rows_of_the_unfinished_shard(tmp_path: Path) -> None:
    with start_writer(tmp_path, 0, 12, rest=60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    store = BottleneckStore(tmp_path, SPACE)
    assert store.warnings == []
    assert len(store) == 10
    check(store, range(10))
    check(write(tmp_path, range(10, 12)), range(12))


def test_two_processes_write_and_another_reads_at_the_same_time(tmp_path: Path) -> None:
    processes = [start_writer(tmp_path, first, first + 40, pause=0.005) for first in (0, 20)]
    keys = [key(number) for number in range(60)]
    opened = BottleneckStore(tmp_path, SPACE)
    while any(process.poll() is None for process in processes):
        opened.refresh()
        for store in (opened, BottleneckStore(tmp_path, SPACE)):
            known, rows = store.read_known(keys)
            np.testing.assert_array_equal(
                rows, np.reshape([vector(number) for number in known], (-1, WIDTH))
            )
            assert store.warnings == []
        time.sleep(0.02)
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    opened.refresh()
    check(opened, range(60))
    store = BottleneckStore(tmp_path, SPACE)
    assert store.warnings == []
    assert len(store) == 60
    check(store, range(60))
    assert not list(store.folder.glob(".*"))


@pytest.mark.parametrize("length", [0, 1, 8, 100, 0.5, 0.999])
def test_a_truncated_shard_is_reported_and_computed_again(tmp_path: Path, length: float) -> None:
    store = write(tmp_path, range(20))
    write(tmp_path, range(20, 25))
    shard = max(store.folder.glob("*.arrow"), key=lambda path: path.stat().st_size)
    data = shard.read_bytes()
    shard.write_bytes(data[: length if isinstance(length, int) else int(len(data) * length)])

    again = BottleneckStore(tmp_path, SPACE)
    assert len(again) == 5
    (problem,) = again.warnings
    assert str(shard) in problem
    assert "damaged" in problem
    assert "\n" not in problem
    check(write(tmp_path, range(20)), range(25))
    assert BottleneckStore(tmp_path, SPACE).warnings == []


def test_one_flipped_bit_in_a_vector_is_found(tmp_path: Path) -> None:
    store = write(tmp_path, range(20))
    shard = only_shard(store)
    data = bytearray(shard.read_bytes())
    data[data.index(stored(7).tobytes()) + 5] ^= 1
    shard.write_bytes(data)
    again = BottleneckStore(tmp_path, SPACE)
    with pytest.raises(LostRowsError, match="damaged while"):
        again.read([key(3)])
    assert key(7) not in again
    assert shard.exists(), "a reader moves nothing"
    (problem,) = again.warnings
    assert str(shard) in problem
    assert problem.endswith(
        "is damaged (its bytes are not those that were written); its photos are computed again."
    )
    with again.writer() as writer:
        for number in range(20):
            writer.add(key(number), vector(number))
    check(again, range(20))
    assert shard.with_suffix(".damaged").read_bytes() == data
    assert shard.read_bytes() != data, "the same rows make the same shard"
    check(BottleneckStore(tmp_path, SPACE), range(20))


@pytest.mark.parametrize("harm", ["change", "remove"])
@pytest.mark.parametrize("writes", ["before it is found", "after"])
def test_a_shard_that_is_written_anew_is_found_by_stores_that_missed_it(
    tmp_path: Path, harm: str, writes: str
) -> None:
    numbers = range(20)
    store = write(tmp_path, numbers)
    shard = only_shard(store)
    reader = BottleneckStore(tmp_path, SPACE)

    def find() -> None:
        for one in (store, reader):
            assert len(one.read_known([key(number) for number in numbers])[0]) == 0

    data = shard.read_bytes()
    if harm == "remove":
        shard.unlink()
    else:
        shard.write_bytes(data.replace(stored(7).tobytes(), stored(8).tobytes()))
    if writes == "after":
        find()
    with store.writer() as writer:
        if writes != "after":
            find()
        reader.refresh()
        assert not reader.has([key(number) for number in numbers]).any()
        for number in numbers:
            writer.add(key(number), vector(number))
    assert shard.read_bytes() == data, "the same rows make the same shard"
    reader.refresh()
    for one in (store, reader, BottleneckStore(tmp_path, SPACE)):
        check(one, numbers)
        assert one.has_sound(key(7))
        assert len(one.warnings) <= 1


def test_damage_anywhere_neither_ends_the_process_nor_gives_wrong_vectors(tmp_path: Path) -> None:
    store = write(tmp_path, range(8))
    shard, index = only_shard(store), store.folder / "index"
    data = shard.read_bytes()
    generator = random.Random(0)
    # Arrow's own reader ends the process on some of these, such as a flipped bit in a length.
    flips = [(position, 7) for position in range(0, len(data), 29)]
    flips += [(generator.randrange(len(data)), generator.randrange(8)) for _ in range(60)]
    for number, (position, bit) in enumerate(flips):
        broken = bytearray(data)
        if number % 5:
            broken[position] ^= 1 << bit
        elif number % 10:
            broken[position : position + 50] = bytes(len(broken[position : position + 50]))
        else:
            del broken[position:]
        if broken == data:
            continue
        shard.write_bytes(broken)
        index.unlink(missing_ok=True)
        again = BottleneckStore(tmp_path, SPACE)
        held = again.read_known([key(number) for number in range(8)])[0]
        assert len(held) == 0, (position, bit)
        assert again.warnings == [again.warnings[0]], (position, bit)
        assert "is damaged" in again.warnings[0]


def test_damage_of_the_index_is_harmless(tmp_path: Path) -> None:
    store = write(tmp_path, range(200))
    write(tmp_path, range(200, 300))
    index = store.folder / "index"
    data = index.read_bytes()
    generator = random.Random(0)
    for number in range(60):
        broken = bytearray(data)
        if not number:  # of another version
            broken[:8] = b"xferidx0"
        elif number % 3:
            broken[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        elif number % 2:
            del broken[generator.randrange(len(data)) :]
        else:  # rows of other photos
            at = len(data) - 4 * generator.randrange(1, 600)
            broken[at : at + 4] = generator.randbytes(4)
        index.write_bytes(broken)
        again = BottleneckStore(tmp_path, SPACE)
        held, found = again.read_known([key(number) for number in range(300)])
        assert again.warnings == []
        assert len(held) > 100, "a wrong key is found no more, but most others are"
        np.testing.assert_array_equal(found, [vector(number) for number in held])


def test_rubbish_and_foreign_files_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    store = write(tmp_path, range(3))
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / f"{'0' * 64}.arrow").write_bytes(b"ARROW1\0\0" + bytes(500) + b"ARROW1")
    other = BottleneckStore(tmp_path, dataclasses.replace(SPACE, width=4))
    with other.writer() as writer:
        writer.add(key(0), np.zeros(4, np.float32))
    foreign = only_shard(other)
    foreign.rename(store.folder / foreign.name)
    again = BottleneckStore(tmp_path, SPACE)
    assert len(again.warnings) == 2
    assert any("columns are not those" in problem for problem in again.warnings)
    check(again, range(3))
    assert (store.folder / "notes.txt").exists()


def test_a_shard_that_may_not_be_read_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = only_shard(write(tmp_path, range(3)))
    real_open = Path.open

    def refusing(path: Path, *arguments: object, **settings: object) -> object:
        # Permission bits don't hold for root, which tests may run as.
        if path == shard:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *arguments, **settings)

    shard.with_name("index").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        store = BottleneckStore(tmp_path, SPACE)
    assert len(store) == 0
    assert "Permission denied" in store.warnings[0]
    assert shard.exists()
    check(BottleneckStore(tmp_path, SPACE), range(3))


@pytest.mark.parametrize("harm", ["remove", "truncate", "change"])
def test_harm_to_a_shard_after_opening_is_an_error_that_says_what_to_do(
    tmp_path: Path, harm: str
) -> None:
    store = write(tmp_path, range(20))
    shard = only_shard(store)
    data = shard.read_bytes()
    if harm == "remove":
        shard.unlink()
    elif harm == "truncate":
        shard.write_bytes(data[:-200])
    else:
        shard.write_bytes(data.replace(stored(7).tobytes(), stored(8).tobytes()))
    with pytest.raises(XferlearnError, match=r"removed or damaged while.*Run again"):
        store.read([key(number) for number in range(20)])


def test_old_leftovers_of_killed_writers_are_removed_but_not_those_at_work(tmp_path: Path) -> None:
    folder = write(tmp_path, range(1)).folder
    old, young = folder / f".{'0' * 32}.tmp", folder / f".{'1' * 32}.tmp"
    for path in (old, young):
        path.write_bytes(b"half a shard")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    assert len(BottleneckStore(tmp_path, SPACE)) == 1
    assert old.exists(), "a reader removes nothing"
    write(tmp_path, range(2))
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Can't write bottlenecks to .*file.*`bottleneck_dir`"):
        BottleneckStore(tmp_path / "file", SPACE)


def test_a_folder_that_can_not_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r": Permission denied\. Choose another folder"):
        BottleneckStore(tmp_path / "new", SPACE)


def test_a_full_disk_is_one_line_and_keeps_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 4)
    BottleneckStore(tmp_path, SPACE)
    written = iter(range(2))

    def fsync(descriptor: int) -> None:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)  # one of the shard, one of its folder
    with pytest.raises(XferlearnError, match=r"write 4 bott.*No space left.*make room") as caught:
        write(tmp_path, range(20))
    assert not isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    again = BottleneckStore(tmp_path, SPACE)
    assert again.warnings == []
    assert len(again) == 4
    check(again, range(4))
    assert not list(again.folder.glob(".*")), "the half-written file was left behind"


FULL = """
import resource, sys
sys.path[:0] = {paths!r}
from test_bottlenecks import *
store = BottleneckStore({root!r}, SPACE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    with store.writer() as writer:
        for number in range(200):
            writer.add(key(number), vector(number))
except XferlearnError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_write_that_the_system_cuts_off_leaves_no_shard(tmp_path: Path) -> None:
    script = FULL.format(paths=PATHS, root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "Can't write 200 bottlenecks" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert [path.name for path in (tmp_path / SPACE.folder).iterdir()] == ["space.json"]


def test_a_shard_can_be_read_by_anyone_with_arrow(tmp_path: Path) -> None:
    shard = only_shard(write(tmp_path, range(3)))
    with pa.memory_map(str(shard)) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.schema.names == ["key", "vector", "crc32"]
    assert table["key"].to_pylist() == sorted(key(number) for number in range(3))
    assert table.schema.field("vector").type == pa.list_(pa.float16(), WIDTH)
    assert shard.stem == hashlib.sha256(shard.read_bytes()).hexdigest()


def test_the_first_shard_comes_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(writing.time, "monotonic", lambda: now)
    store = BottleneckStore(tmp_path, SPACE)
    sizes = []
    with store.writer() as writer:
        for number in range(40):
            now = float(number)
            writer.add(key(number), vector(number))
            sizes.append(len(list(store.folder.glob("*.arrow"))))
    assert (sizes.index(1), sizes.index(2), sizes.index(3)) == (5, 20, 35)


def test_shards_of_another_space_are_not_taken(tmp_path: Path) -> None:
    ours, other = write(tmp_path, range(5)), dataclasses.replace(SPACE, backbone="mobilenet")
    place = BottleneckStore(tmp_path, other).folder
    shard = only_shard(ours)
    (place / shard.name).write_bytes(shard.read_bytes())
    store = BottleneckStore(tmp_path, other)
    assert len(store) == 0
    assert store.warnings == [
        f"Shard {place / shard.name} is not used: it may be of another feature space."
    ]
    assert (place / shard.name).exists(), "nothing of others is moved"


def unmarked(store: BottleneckStore) -> None:
    """Rewrites a store's shard as earlier versions wrote it, without the space's digest."""
    shard = only_shard(store)
    with pa.memory_map(str(shard)) as file:
        table = pa.ipc.open_file(file).read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema.remove_metadata()) as out:
        out.write_table(table.replace_schema_metadata(None))
    shard.unlink()
    data = sink.getvalue().to_pybytes()
    (store.folder / f"{hashlib.sha256(data).hexdigest()}.arrow").write_bytes(data)


def test_shards_of_earlier_versions_are_taken_where_the_space_is_certain(tmp_path: Path) -> None:
    store = write(tmp_path, range(5))
    unmarked(store)
    check(BottleneckStore(tmp_path, SPACE), range(5))
    told = store.folder / "space.json"
    told.write_text(told.read_text().replace("224", "225"))
    again = BottleneckStore(tmp_path, SPACE)
    assert len(again) == 0
    assert "space.json was damaged, or is of another feature space" in again.warnings[0]
    assert "is not used" in again.warnings[1]
    assert json.loads(told.read_text()) == dataclasses.asdict(SPACE)


def test_rows_of_other_photos_are_not_served(tmp_path: Path) -> None:
    index = write(tmp_path, range(5)).folder / "index"
    data = bytearray(index.read_bytes())
    data[-20:] = np.arange(5, dtype="<u4")[::-1].tobytes()
    index.write_bytes(data)
    store = BottleneckStore(tmp_path, SPACE)
    check(store, range(5))
    assert store.warnings == [], "the index is made again"
    check(BottleneckStore(tmp_path, SPACE), range(5))


def test_damaged_shards_expire(tmp_path: Path) -> None:
    store = write(tmp_path, range(5))
    old, new = (store.folder / f"{name}.damaged" for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    a_month_ago = time.time() - 30 * 24 * 3600
    os.utime(old, (a_month_ago, a_month_ago))
    write(tmp_path, range(6))
    assert not old.exists()
    assert new.exists()
