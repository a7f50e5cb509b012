"""What other programs, kills and disks do: work goes on, or one line says why not."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xferlearn import summaries
from xferlearn.bottlenecks.engines.parity import Parity, read_parity, write_parity
from xferlearn.bottlenecks.engines.planning import EnginePlan
from xferlearn.cli import main
from xferlearn.experiments.outcomes import Outcome, OutcomeStore
from xferlearn.summaries.events import EventWriter
from xferlearn.system.files import read_record, write_record
from xferlearn.training.finetuning.state import State

HERE = Path(__file__).parent


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_work_goes_on_without_standard_streams(
    colour_model: Path, tmp_path: Path, photo_bytes: Any, closed: tuple[int, ...]
) -> None:
    (tmp_path / "red.jpg").write_bytes(photo_bytes("red", 999))
    before = (colour_model / "model.keras").read_bytes()
    shell = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)
    command = [
        *(sys.executable, "-m", "xferlearn", "inspect", str(colour_model)),
        *("--format=json",),
    ]
    ran = subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", *command],
        capture_output=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert (colour_model / "model.keras").read_bytes() == before
    if 1 not in closed:
        assert json.loads(ran.stdout)["labels"] == ["blue", "green", "red"]


def test_a_full_memory_is_one_line(
    colour_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("xferlearn.commands.inspect_model.run", full)
    assert main(["inspect", str(colour_model)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("xferlearn: the memory is full")
    assert err.count("\n") == 1


def test_logs_that_cannot_be_written_are_a_failure(
    run_tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(self: EventWriter, event: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventWriter, "_write", full_disk)
    code, out, err = run_tiny("train", f"--model_dir={tmp_path / 'model'}")
    assert code == 1
    assert "No space left on device" in err
    assert "\nmodel " in out, "the model is there, and its summary"


def test_runs_that_were_killed_are_removed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import os, sys\n"
            "from xferlearn.summaries import run_folder\n"
            "with run_folder(sys.argv[1], 'killed') as run_dir:\n"
            "    (run_dir / 'events').touch()\n"
            "    os.kill(os.getpid(), 9)\n",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    kept = summaries.create_run(tmp_path, "of_my_own")
    with summaries.run_folder(tmp_path, "one") as one:
        assert not left.exists()
        with summaries.run_folder(tmp_path, "two") as two:
            assert one.exists(), "a run at work is left alone"
    assert sorted(path.name for path in one.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, one.name, two.name}


def test_runs_that_failed_are_removed_by_the_next(tmp_path: Path) -> None:
    def fail(name: str, *, keep: bool) -> Path:
        with (
            contextlib.suppress(RuntimeError),
            summaries.run_folder(tmp_path, name) as run_dir,
        ):
            if keep:
                summaries.keep_run(run_dir)
            raise RuntimeError
        assert run_dir.exists()
        return run_dir

    failed = fail("failed", keep=False)
    shown = fail("shown", keep=True)
    with summaries.run_folder(tmp_path, "next"):
        pass
    assert not failed.exists()
    assert shown.exists()


def test_disks_without_locks_keep_their_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for name in ("one", "two"):
        with summaries.run_folder(tmp_path, name):
            pass
    assert len(list(tmp_path.iterdir())) == 2
    assert not list(tmp_path.glob("*/.*"))


def damages(data: bytes) -> list[bytes]:
    """Returns a file damaged in ways that disks and kills have."""
    middle = len(data) // 2
    flipped = bytearray(data)
    flipped[middle] ^= 1
    zeros = data[: middle - 8] + bytes(16) + data[middle + 8 :]
    return [b"", data[:middle], bytes(flipped), zeros, b"null", b"[" * 10_000, b"\xff" + data]


def test_damaged_records_are_never_believed(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"right": "0110", "loss": 0.25, "photos": ["ab", "cd"]})
    assert read_record(path) == {"right": "0110", "loss": 0.25, "photos": ["ab", "cd"]}
    data = path.read_bytes()
    for number in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[number // 8] ^= 1 << number % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"."):
            read_record(path)
    for damaged in damages(data):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"."):
            read_record(path)


def test_damaged_outcomes_are_made_again_with_a_line(tmp_path: Path) -> None:
    outcome = Outcome({"seed": 1}, right=(True, False), photos=("a", "b"), loss=0.5)
    OutcomeStore(tmp_path).put("key", outcome)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for damaged in damages(data):
        path.write_bytes(damaged)
        store = OutcomeStore(tmp_path)
        assert store.get("key", {"seed": 1}) is None
        (line,) = store.warnings
        assert "is damaged (" in line
        assert line.endswith("its run is made again.")
    path.write_bytes(data)
    assert OutcomeStore(tmp_path).get("key", {"seed": 1}) == outcome


def test_damaged_comparisons_are_made_again_with_a_line(tmp_path: Path) -> None:
    plan = EnginePlan("openvino", "float32")
    write_parity(tmp_path, Parity("openvino", "float32", 16, 0.0005, 0.001))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for damaged in damages(data):
        path.write_bytes(damaged)
        said: list[str] = []
        assert read_parity(tmp_path, plan, said) is None
        assert "is damaged" in said[0]
    path.unlink()
    path.mkdir()  # as a file of somebody else's, it may be sound
    said = []
    assert read_parity(tmp_path, plan, said) is None
    assert said == [f"{path} can't be read (Is a directory); the engine is compared again."]
    path.rmdir()
    said = []
    assert read_parity(tmp_path, plan, said) is None
    assert said == []


@pytest.fixture
def tuned(tmp_path: Path) -> Any:
    """Makes a state of fine-tuning of a small network; returns it and its network."""
    import keras

    class Keeper:
        best, best_look, looks = 0.5, 2, 3

    def make(said: Any) -> tuple[State, Any]:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        keeper = Keeper()
        keeper.weights = model.get_weights()  # type: ignore[attr-defined]
        return State(tmp_path / ".state", "key", model, keeper, said), model

    return make


def test_a_damaged_state_starts_the_fine_tuning_over(tuned: Any, tmp_path: Path) -> None:
    state, model = tuned(pytest.fail)
    state.save()
    again, other = tuned(pytest.fail)
    assert again.restore() == 3
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    path = tmp_path / ".state"
    data = path.read_bytes()
    flips = [bytearray(data) for _ in range(200)]
    for number, flipped in enumerate(flips):
        flipped[number * len(data) // 200] ^= 1 << number % 8
    for damaged in (*damages(data), *map(bytes, flips)):
        path.write_bytes(damaged)
        said: list[str] = []
        state, fresh = tuned(said.append)
        before = [np.copy(one) for one in fresh.get_weights()]
        passes = state.restore()
        if passes:  # a bit that no reader looks at
            assert passes == 3
            np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])
            continue
        if said:
            assert said[0].endswith("the fine-tuning starts over.")
        for one, kept in zip(fresh.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, kept)


def test_diverged_runs_keep_their_charts(run_tiny: Any, tmp_path: Path) -> None:
    code, _, _ = run_tiny("train", "--learning_rate=1e38", f"--model_dir={tmp_path / 'model'}")
    assert code == 2
    (run,) = (tmp_path / "logs").iterdir()
    assert not (run / ".unfinished").exists()
    assert time.time() - run.stat().st_mtime < 600
