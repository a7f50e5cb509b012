"""What of a bottleneck is stored, how it is found, and stores in buckets."""

import errno
import hashlib
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_bottlenecks import SPACE, WIDTH, check, key, only_shard, vector, write

from xferlearn.bottlenecks import catalogue, writing
from xferlearn.bottlenecks.store import BottleneckStore, LostRowsError
from xferlearn.errors import UserError
from xferlearn.system import places


def rows_of(scale: float = 1.0, number: int = 40) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(number, WIDTH)) * scale).astype(np.float32)


def keys_of(rows: np.ndarray) -> list[bytes]:
    return [key(number) for number in range(len(rows))]


def add(store: BottleneckStore, rows: np.ndarray) -> None:
    with store.writer() as writer:
        for name, row in zip(keys_of(rows), rows, strict=True):
            writer.add(name, row)


def kinds(store: BottleneckStore) -> list[str]:
    found = []
    for path in store.folder.glob("*.arrow"):
        with pa.memory_map(str(path)) as file:
            found.append(str(pa.ipc.open_file(file).schema.field("vector").type.value_type))
    return sorted(found)


@pytest.mark.parametrize(
    ("odd", "kept"),
    [(1e5, "float"), (np.nan, "float"), (np.inf, "float"), (6e4, "halffloat"), (0, "halffloat")],
)
def test_each_row_decides_whether_float16_is_enough(tmp_path: Path, odd: float, kept: str) -> None:
    rows = rows_of()
    rows[7, 3] = odd
    store = BottleneckStore(tmp_path, SPACE)
    add(store, rows)
    found = store.read(keys_of(rows))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, store.rounded(rows))
    np.testing.assert_array_equal(store.rounded(found), found)
    # Alone or among others, a row is rounded alike.
    np.testing.assert_array_equal([store.rounded(row[None])[0] for row in rows], found)
    if kept == "float":
        np.testing.assert_array_equal(found[7], rows[7])
        assert kinds(store) == ["float", "halffloat"]
    found, rows = (np.delete(one, 7, 0) for one in (found, rows))
    off = np.linalg.norm(found - rows, axis=1)
    assert (off > 0).all()
    assert (off <= 2**-11 * np.linalg.norm(rows, axis=1)).all()


def test_rows_that_are_small_throughout_stay_as_they_are(tmp_path: Path) -> None:
    store, rows = BottleneckStore(tmp_path, SPACE), rows_of(1e-7)
    add(store, rows)
    np.testing.assert_array_equal(store.read(keys_of(rows)), rows)
    assert kinds(store) == ["float"]


@pytest.mark.parametrize("names_space", [True, False])
def test_shards_of_earlier_versions_in_float32_are_read_as_they_are(
    tmp_path: Path, names_space: bool
) -> None:
    store, rows = BottleneckStore(tmp_path, SPACE), rows_of()
    crc = [
        zlib.crc32(row.tobytes(), zlib.crc32(name))
        for name, row in zip(keys_of(rows), rows, strict=True)
    ]
    table = pa.table(
        {
            "key": pa.array(keys_of(rows), pa.binary(32)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), WIDTH),
            "crc32": pa.array(crc, pa.uint32()),
        }
    )
    if names_space:
        table = table.replace_schema_metadata({"space": SPACE.digest})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    data = sink.getvalue().to_pybytes()
    (store.folder / f"{hashlib.sha256(data).hexdigest()}.arrow").write_bytes(data)
    with store.writer() as writer:  # others beside them
        writer.add(key(99), vector(99))
    again = BottleneckStore(tmp_path, SPACE)
    np.testing.assert_array_equal(again.read(keys_of(rows)), rows)
    np.testing.assert_array_equal(again.read([key(5)])[0], rows[5])
    np.testing.assert_array_equal(again.read([key(99), key(5)]), [vector(99), rows[5]])
    assert kinds(again) == ["float", "halffloat"]
    assert again.warnings == []


def test_rows_are_found_by_arrays_of_keys(tmp_path: Path) -> None:
    store = write(tmp_path, range(20))
    wanted = np.frombuffer(b"".join(key(number) for number in (3, 99, 0)), np.uint8).reshape(3, 32)
    assert store.has(wanted).tolist() == [True, False, True]
    np.testing.assert_array_equal(store.read(wanted[[0, 2]]), [vector(3), vector(0)])
    assert b"short" not in store


def test_keys_that_begin_alike_or_end_in_zeros_are_told_apart(tmp_path: Path) -> None:
    keys = [bytes([1] * 8) + bytes([number] * 8) + bytes(16) for number in range(5)]
    store = BottleneckStore(tmp_path, SPACE)
    with store.writer() as writer:
        for number, name in enumerate(keys):
            writer.add(name, vector(number))
    assert len(store) == 5
    np.testing.assert_array_equal(store.read(keys), [vector(number) for number in range(5)])
    assert all(name in store for name in keys)
    assert bytes([1] * 8) + bytes([9] * 8) + bytes(16) not in store
    assert bytes(32) not in store


def test_blocks_give_every_row_once_shard_by_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 5)
    store = write(tmp_path, range(30))
    wanted = [key(number) for number in (*range(29, -1, -1), 4)]
    orders = []
    for rng in (None, np.random.default_rng(1), np.random.default_rng(2), np.random.default_rng(1)):
        blocks = list(store.blocks(wanted, rng=rng))
        assert len(blocks) == 6
        places = np.concatenate([place for place, _ in blocks])
        assert sorted(places) == list(range(31))
        np.testing.assert_array_equal(
            np.concatenate([rows for _, rows in blocks]), store.read([wanted[i] for i in places])
        )
        orders.append(places.tolist())
    assert orders[1] == orders[3] != orders[2]


def test_blocks_give_what_is_sound_before_they_say_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 5)
    store = write(tmp_path, range(15))
    shard = min(store.folder.glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    found: list[int] = []

    def read_all() -> None:
        for places, rows in store.blocks([key(number) for number in range(15)]):
            np.testing.assert_array_equal(rows, [vector(place) for place in places])
            found.extend(places.tolist())

    with pytest.raises(LostRowsError, match=shard.name):
        read_all()
    assert len(found) == 10
    assert store.has([key(number) for number in range(15)]).sum() == 10
    places = store.read_known([key(number) for number in range(15)])[0]
    assert places.tolist() == sorted(found)


def test_a_row_that_is_in_two_shards_survives_one_of_them(tmp_path: Path) -> None:
    store = write(tmp_path, range(10))
    shard = only_shard(store)
    write(tmp_path, range(5, 15))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    again = BottleneckStore(tmp_path, SPACE)
    check(again, range(5, 15))
    assert len(again) in (10, 15), "found damaged where it was read"


def test_the_index_follows_shards_that_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 5)
    store = write(tmp_path, range(20))
    mine = BottleneckStore(tmp_path, SPACE)
    index = store.folder / "index"
    before = index.read_bytes()
    write(tmp_path, range(20, 40))
    assert index.read_bytes() != before
    assert key(30) not in mine
    check(mine, range(20))  # from the file that was replaced
    for shard in sorted(store.folder.glob("*.arrow"))[:3]:
        shard.unlink()
    left = BottleneckStore(tmp_path, SPACE)
    assert len(left) == 25
    assert left.warnings == []
    known, rows = left.read_known([key(number) for number in range(40)])
    np.testing.assert_array_equal(rows, [vector(number) for number in known])
    index.unlink()
    assert len(BottleneckStore(tmp_path, SPACE)) == 25
    assert index.exists()


def test_few_new_shards_are_read_beside_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 2)
    index = write(tmp_path, range(80)).folder / "index"
    before = index.read_bytes()
    monkeypatch.setattr(catalogue, "_SHARDS_AT_A_TIME", 1)
    write(tmp_path, range(80, 82))
    assert index.read_bytes() == before, "it takes longer to write than one shard's keys to read"
    check(BottleneckStore(tmp_path, SPACE), range(82))
    write(tmp_path, range(82, 90))
    assert index.read_bytes() != before
    check(BottleneckStore(tmp_path, SPACE), range(90))


def test_a_copied_folder_is_read_in_the_same_order_with_its_index_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 2)
    for first in range(0, 40, 4):
        write(tmp_path / "mine", range(first, first + 4))
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    orders = []
    for root in ("mine", "copy", "copy"):
        store = BottleneckStore(tmp_path / root, SPACE)
        assert store.warnings == []
        check(store, range(40))
        for rng in (None, np.random.default_rng(3)):
            places = [place for place, _ in store.blocks(list(map(key, range(40))), rng=rng)]
            orders.append(np.concatenate(places).tolist())
        (store.folder / "index").unlink()
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
    assert orders[:2] == orders[2:4] == orders[4:]


def test_an_index_that_no_disk_has_room_for_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xferlearn.bottlenecks.index.write_atomically", full)
    check(write(tmp_path, range(10)), range(10))
    store = BottleneckStore(tmp_path, SPACE)
    check(store, range(10))
    assert (store.warnings, (store.folder / "index").exists()) == ([], False)


def test_where_no_index_can_be_written_it_is_in_memory(tmp_path: Path) -> None:
    folder = BottleneckStore(tmp_path, SPACE).folder
    (folder / "index").mkdir()  # what root, which tests may run as, can't replace either
    (folder / "index" / "mine").touch()
    check(write(tmp_path, range(10)), range(10))
    store = BottleneckStore(tmp_path, SPACE)
    check(store, range(10))
    assert store.warnings == []


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the address of a bucket, which is a folder of this machine."""
    from pyarrow import fs

    (tmp_path / "bucket").mkdir()
    system = fs.SubTreeFileSystem(str(tmp_path / "bucket"), fs.LocalFileSystem())
    monkeypatch.setattr(places, "file_system", lambda *stated: system)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return "s3://bucket/bottlenecks"


def test_a_bucket_has_the_shards_and_this_machine_the_index(bucket: str, tmp_path: Path) -> None:
    store = BottleneckStore(bucket, SPACE)
    add(store, rows_of())
    there = tmp_path / "bucket" / "bucket" / "bottlenecks" / SPACE.folder
    assert {path.suffix for path in there.iterdir()} == {".json", ".arrow"}
    assert store.folder == tmp_path / "cache" / "xferlearn" / "bottlenecks" / SPACE.folder
    assert [path.name[:6] for path in store.folder.iterdir()] == ["index-"]
    again = BottleneckStore(bucket, SPACE)
    np.testing.assert_array_equal(again.read(keys_of(rows_of())), store.rounded(rows_of()))
    np.testing.assert_array_equal(again.read([key(3)]), store.rounded(rows_of())[3:4])
    assert not Path("s3:").exists()


def test_damage_in_a_bucket_is_removed_by_a_writer_alone(bucket: str, tmp_path: Path) -> None:
    add(BottleneckStore(bucket, SPACE), rows_of())
    (shard,) = tmp_path.glob("bucket/**/*.arrow")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    store = BottleneckStore(bucket, SPACE)
    assert len(store.read_known(keys_of(rows_of()))[0]) == 0
    assert f"{bucket}/{SPACE.folder}/{shard.name} is damaged" in store.warnings[0]
    assert shard.read_bytes() == data
    with store.writer():
        pass
    assert not shard.exists()
    add(store, rows_of())
    assert store.has(keys_of(rows_of())).all()
    assert BottleneckStore(bucket, SPACE).warnings == []


def test_an_address_that_no_store_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`bottleneck_dir` to be a path or one of s3://"):
        BottleneckStore("ftp://somewhere/bottlenecks", SPACE)
    assert not os.path.exists("ftp:")
