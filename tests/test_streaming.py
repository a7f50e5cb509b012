"""Heads whose bottlenecks stay in their stores: the same as of those in memory."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clusters import CLASSES, WIDTH, clusters
from conftest import MakePhotoDir
from test_store_faults import NETWORK, check_same, check_told, harm_once_open, weights

import xferlearn
from xferlearn.bottlenecks import writing
from xferlearn.bottlenecks.space import FeatureSpace
from xferlearn.bottlenecks.store import BottleneckStore
from xferlearn.decisions import fit_familiarity
from xferlearn.errors import XferlearnError
from xferlearn.training import batches, material, stored_rows
from xferlearn.training.cross_fitting import HeadStack, fit_heads
from xferlearn.training.head import measure_scale, predict_head
from xferlearn.training.plan import HeadPlan
from xferlearn.training.stored_rows import StoredRows, read_rows

NUMBER = 300
PLAN = HeadPlan(
    hidden_units=8, dropout=0.0, weight_decay=0.0, steps=60, batch_size=30, learning_rate=0.02
)
FOLDS = np.arange(NUMBER) // 3 % 4 - 1  # of every class in each; -1 is the test
LEARNED = np.stack([*((FOLDS >= 0) & (fold != FOLDS) for fold in range(3)), FOLDS >= 0], axis=1)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoredRows, np.ndarray]]:
    """Rows of two networks in many shards, by class, and the same as an array."""
    root = tmp_path_factory.mktemp("stores")
    x, y = clusters(NUMBER, spread=1.0)
    x = x.astype(np.float16).astype(np.float32)  # which stores keep exactly
    keys = [hashlib.sha256(b"%d" % number).digest() for number in range(NUMBER)]
    widths = (WIDTH - 4, 4)
    stores = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "ROWS_PER_SHARD", 16)
        # Few rows are mixed at a time, and few batches read.
        patch.setattr(stored_rows, "_MOST_POOL", 100)
        patch.setattr(batches, "_MOST_BATCHES", 2)
        for number, part in enumerate(np.split(x, [widths[0]], axis=1)):
            space = FeatureSpace(f"net{number}", "", 32, "", "", "", "float32", part.shape[1])
            stores.append(BottleneckStore(root, space))
            # The second store has another order than the first.
            order = np.argsort(y, kind="stable") if number else np.argsort(-y, kind="stable")
            with stores[-1].writer() as writer:
                for row in order:
                    writer.add(keys[row], part[row])
        together = np.frombuffer(b"".join(keys), np.uint8).reshape(NUMBER, 32)
        yield StoredRows(stores, together), x


def test_rows_are_gathered_taken_and_gone_through(both: tuple[StoredRows, np.ndarray]) -> None:
    stored, x = both
    assert (stored.shape, len(stored), stored.dtype) == (x.shape, len(x), np.float32)
    rows = np.random.default_rng(1).permutation(NUMBER)[:90]
    np.testing.assert_array_equal(stored[7], x[7])
    np.testing.assert_array_equal(stored[[5, 2]], x[[5, 2]])
    np.testing.assert_array_equal(stored[:40], x[:40])
    np.testing.assert_array_equal(stored.take(rows)[:], x.take(rows, axis=0))
    assert stored[rows[:0]].shape == (0, WIDTH)
    for asked, expected in ((None, x), (rows, x[rows])):
        found = np.full_like(expected, np.nan)
        sizes = []
        for places, block in stored.blocks(asked, rng=np.random.default_rng(2)):
            found[places] = block
            sizes.append(len(block))
        np.testing.assert_array_equal(found, expected)
        assert len(sizes) > 10
        assert max(sizes) <= 16
    with pytest.raises(ValueError, match="whole rows are stored"):
        stored.take([0], axis=1)


def test_each_pass_has_every_row_once_in_an_order_of_its_own(
    both: tuple[StoredRows, np.ndarray],
) -> None:
    stored, x = both
    pieces = stored.mixed(70, seed=4)
    seen = [next(pieces) for _ in range(30)]  # seven passes
    for places, rows in seen:
        np.testing.assert_array_equal(rows, x[places])
    order = np.concatenate([places for places, _ in seen]).reshape(7, NUMBER)
    assert (np.sort(order, axis=1) == np.arange(NUMBER)).all()
    assert len(np.unique(order, axis=0)) == 7
    again = stored.mixed(70, seed=4)
    np.testing.assert_array_equal(next(again)[0], seen[0][0])
    # Of several shards, and so of several classes.
    assert len(np.unique(seen[0][0] % CLASSES)) > 1


def test_an_array_where_a_training_fits_into_memory(both: tuple[StoredRows, np.ndarray]) -> None:
    stored, x = both

    def none() -> None:
        raise AssertionError("nothing is damaged")

    found = read_rows(stored._stores, stored._keys, 2**30, none)
    np.testing.assert_array_equal(found[:], x)
    assert isinstance(found, np.ndarray)
    # As many rows as there is room for are in memory already.
    beside = 2**30 // x[0].nbytes
    assert isinstance(read_rows(stored._stores, stored._keys, 2**30, none, beside), StoredRows)


@pytest.mark.parametrize(
    ("hidden", "several"), [(0, False), (8, False), (0, True)], ids=["linear", "hidden", "sets"]
)
def test_heads_are_as_good_as_those_in_memory(
    both: tuple[StoredRows, np.ndarray], hidden: int, several: bool
) -> None:
    stored, x = both
    y = clusters(NUMBER, spread=1.0)[1]
    plan = dataclasses.replace(PLAN, hidden_units=hidden, multi_label=several)
    truth = np.stack([y == 0, y != 1, y == 2], axis=1) if several else y
    known = np.flatnonzero(FOLDS >= 0)
    stacks: list[HeadStack] = []
    for rows in (x, stored):
        scale = measure_scale(rows, (WIDTH - 4, 4), known)
        targets = truth.astype(np.float32) if several else truth
        stack, training = fit_heads(rows, targets, LEARNED, CLASSES, plan, scale, known=FOLDS >= 0)
        assert (training.steps, training.diverged, training.streamed) == (60, False, rows is stored)
        stacks.append(stack)
    of_array, of_stored = stacks
    np.testing.assert_allclose(of_stored.scale.mean, of_array.scale.mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(of_stored.scale.deviation, of_array.scale.deviation, rtol=1e-6)
    # The batches differ; the heads hardly do.
    found = of_stored.out_of_fold(stored, FOLDS)
    expected = of_array.out_of_fold(x, FOLDS)
    assert np.abs(found - expected).mean() < 0.03
    wrong = (found > 0.5) != truth[known] if several else found.argmax(axis=1) != truth[known]
    assert wrong.mean() < 0.05
    np.testing.assert_allclose(of_stored.out_of_fold(x, FOLDS), found, atol=1e-6)
    if not several:
        head = of_stored.head(3)
        said = predict_head(head, stored, known)
        np.testing.assert_allclose(said, predict_head(head, x[known]), atol=1e-6)


def test_familiarity_is_the_same(both: tuple[StoredRows, np.ndarray]) -> None:
    stored, x = both
    y = clusters(NUMBER)[1]
    scores = np.random.default_rng(0).dirichlet(np.ones(CLASSES), NUMBER)
    calibration = np.flatnonzero(FOLDS >= 0)
    of_array, of_stored = (
        fit_familiarity(
            rows, y, calibration, scores[calibration], folds=FOLDS.tolist(), most_weights=5000
        )
        for rows in (x, stored)
    )
    np.testing.assert_allclose(of_stored.own, of_array.own, atol=1e-5)
    np.testing.assert_allclose(
        of_stored.apply(stored, scores), of_array.apply(x, scores), atol=1e-5
    )


def test_a_row_that_is_removed_meanwhile_ends_the_training_with_its_reason(tmp_path: Path) -> None:
    x, y = clusters(40)
    store = BottleneckStore(tmp_path, FeatureSpace("n", "", 32, "", "", "", "float32", WIDTH))
    keys = [hashlib.sha256(b"%d" % number).digest() for number in range(40)]
    with store.writer() as writer:
        for key, row in zip(keys, x, strict=True):
            writer.add(key, row)
    rows = StoredRows([store], np.frombuffer(b"".join(keys), np.uint8).reshape(40, 32))
    scale = measure_scale(rows)
    for shard in store.folder.glob("*.arrow"):
        shard.unlink()
    plan = dataclasses.replace(PLAN, batch_size=20)
    with pytest.raises(XferlearnError, match="removed or damaged while this was running"):
        fit_heads(rows, y, np.ones((40, 1), bool), CLASSES, plan, scale)


def test_train_streams_what_memory_is_too_small_for_and_the_same_after_damage(
    make_photo_dir: MakePhotoDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photo_dir({"red": 20, "green": 20, "blue": 20})
    monkeypatch.setattr(stored_rows, "PEAK", 1e9)
    monkeypatch.setattr(writing, "ROWS_PER_SHARD", 16)
    monkeypatch.setattr(material, "_FEWEST_STEPS", 40)
    train = functools.partial(
        xferlearn.train,
        image_dir=str(photos),
        logs_dir=str(tmp_path / "logs"),
        bottleneck_dir=str(tmp_path / "bottlenecks"),
        how_many_training_steps=60,
        max_memory="1GiB",
        **NETWORK,
    )
    result = train(model_dir=str(tmp_path / "model"), audit=True)
    assert result.training.streamed
    assert "bottlenecks streamed from disk" in " ".join(repr(result).split())
    assert result.validation.accuracy > 0.8
    assert result.warnings == ()
    assert result.audit is not None
    assert result.familiarity is not None
    assert result.chosen.points is not None
    metadata = json.loads((tmp_path / "model" / "metadata.json").read_text())
    assert metadata["training"]["streamed"] is True
    (run,) = (tmp_path / "logs").iterdir()
    assert (run / "projector" / "bottlenecks.bin").stat().st_size
    harmed = harm_once_open("zero", monkeypatch)
    again = train(model_dir=str(tmp_path / "again"), summaries="none")
    assert again.training.streamed
    check_told(harmed, again.warnings)
    check_same(weights(tmp_path / "again"), weights(tmp_path / "model"))
