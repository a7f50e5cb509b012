"""A Ray cluster of several nodes, and the real engine on it; slow, so `-m slow` runs it."""

import hashlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from test_runners import RAY_WARNINGS, in_blocks, lost

from xferlearn import audit, train
from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError
from xferlearn.photos.corrections import Correction, Corrections, write_corrections
from xferlearn.runners import POSITION, Job, open_runner
from xferlearn.runners.ray import _own_token

pytestmark = [pytest.mark.slow, RAY_WARNINGS]


def slow_squares():
    def work(block: pa.Table) -> pa.Table:
        time.sleep(0.3)
        found = [number**2 for number in block["number"].to_pylist()]
        return pa.table({POSITION: block[POSITION], "square": found})

    return work


@pytest.fixture
def ray_environment(monkeypatch):
    # As Ray that `open_runner` starts has it: no other machine reaches the nodes.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name, value in _own_token().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


def test_a_node_that_is_killed_costs_nothing(ray_environment):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1)
        doomed = cluster.add_node(num_cpus=1)
        numbers = list(range(160))
        address = RunnerConfig(runner="ray", ray_address=cluster.address)
        with open_runner(address) as runner:
            results = runner.run(Job(slow_squares, {}, lost), in_blocks(numbers))
            tables = [next(results) for _ in range(4)]
            killing = threading.Thread(target=cluster.remove_node, args=(doomed, False))
            killing.start()
            tables += results
            killing.join()
    finally:
        cluster.shutdown()
    found = pa.concat_tables(tables).sort_by(POSITION)
    assert found["square"].to_pylist() == [number**2 for number in numbers]


def test_a_cluster_that_is_not_there_is_told_soon(ray_environment):
    config = RunnerConfig(runner="ray", ray_address="127.0.0.1:9")
    said = r"no Ray cluster at `ray_address` 127\.0\.0\.1:9"
    with pytest.raises(UserError, match=said), open_runner(config):
        pass


def test_training_and_audit_on_ray_are_those_of_this_process(
    shared_data, tmp_path, monkeypatch, ray_environment
):
    # A file that ends each worker that reads it.
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        "read = pathlib.Path.read_bytes\n"
        "def read_bytes(self):\n"
        "    return os._exit(1) if self.name == 'poison.jpg' else read(self)\n"
        "pathlib.Path.read_bytes = read_bytes\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), *sys.path]))
    photos = tmp_path / "photos"
    for name in ("daisy", "roses", "tulips"):
        (photos / name).mkdir(parents=True)
        for path in sorted((shared_data / "flower_photos" / name).iterdir())[:20]:
            shutil.copy(path, photos / name)
    common = {"image_dir": photos, "summaries": "none", "verbose": 0}
    here = train(**common, model_dir=tmp_path / "here", bottleneck_dir=tmp_path / "b1")
    shutil.copy(path, photos / "daisy" / "poison.jpg")
    there = train(
        **common, model_dir=tmp_path / "there", bottleneck_dir=tmp_path / "b2", runner="ray"
    )
    assert [(bad.name, bad.reason) for bad in there.manifest.bad] == [
        ("daisy/poison.jpg", "the process that read it ended, 2 times")
    ]
    assert there.extraction.computed == here.extraction.computed == 60
    for name in ("photos.csv", "predictions.parquet", "labels.txt"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    (photos / "daisy" / "poison.jpg").unlink()
    inside = {**common, "image_dir": None, "dataset": "elpv", "model_dir": tmp_path / "none"}
    with pytest.raises(UserError, match="`runner='ray'` is for photos in files"):
        train(**inside, runner="ray")
    audited = [
        audit(image_dir=photos, verbose=0, bottleneck_dir=tmp_path / "b2", runner=runner)
        for runner in ("local", "ray")
    ]
    assert audited[0].findings == audited[1].findings
    assert audited[0].digests == audited[1].digests


def test_photos_of_all_kinds_come_out_on_ray_as_in_this_process(
    shared_data, tmp_path, ray_environment
):
    photos, odd = tmp_path / "photos", os.fsdecode(b"caf\xe9 leaf-0.jpg")
    for name in ("daisy", "roses"):
        (photos / name).mkdir(parents=True)
        found = sorted((shared_data / "flower_photos" / name).iterdir())[:18]
        for number, path in enumerate(found):
            shutil.copy(path, photos / name / f"leaf-{number // 2} {number}.jpg")
        for bits in (10, 12):  # two depths: the larger one is that of both
            gray = np.asarray(Image.open(found[bits]).convert("L"), np.uint16) << (bits - 8)
            Image.fromarray(gray).save(photos / name / f"leaf-{bits} gray.png")
    (photos / "daisy" / "leaf-0 0.jpg").rename(photos / "daisy" / odd)
    rows = [
        Correction(hashlib.sha256((photos / name).read_bytes()).digest(), name, action, label)
        for name, action, label in (
            ("daisy/leaf-1 2.jpg", "exclude", ""),
            ("roses/leaf-12 gray.png", "relabel", "daisy"),
        )
    ]
    write_corrections(tmp_path / "fixed.csv", Corrections({row.digest: row for row in rows}))
    common = {
        "image_dir": photos, "group_by": r"leaf-\d+", "corrections": tmp_path / "fixed.csv",
        "backbone": ["efficientnet_lite0", "efficientnet_lite1"], "on_bad_image": "fail",
        "summaries": "none", "verbose": 0,
    }  # fmt: skip
    both = [
        train(
            **common, model_dir=tmp_path / runner, bottleneck_dir=tmp_path / f"b-{runner}",
            runner=runner,
        )
        for runner in ("local", "ray")
    ]  # fmt: skip
    assert [one.extraction.bit_depth for one in both] == [12, 12]
    assert both[0].extraction.computed == both[1].extraction.computed
    assert both[0].manifest.corrected == both[1].manifest.corrected
    for name in ("photos.csv", "predictions.parquet", "labels.txt"):
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()
    (photos / "roses" / "broken.jpg").write_bytes(b"no photo")
    for runner in ("local", "ray"):
        with pytest.raises(UserError, match=r"roses/broken\.jpg"):
            train(
                **common, model_dir=tmp_path / "none", bottleneck_dir=tmp_path / f"b-{runner}",
                runner=runner,
            )  # fmt: skip
