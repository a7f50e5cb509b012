"""The runners do blocks of rows, here and on Ray, with workers that are lost on the way."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from xferlearn.config.runners import RunnerConfig
from xferlearn.errors import UserError, XferlearnError
from xferlearn.runners import POSITION, PROBLEM, Job, Runner, open_runner

RAY_WARNINGS = pytest.mark.filterwarnings(
    # Ray leaves the files and pipes of the processes that it has started to Python.
    "ignore:(unclosed file|subprocess \\d+ is still running):ResourceWarning",
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning",
)
POISON, ERROR, BUG = -1, -2, -3


def squares(places: str, kill_once: bool = False):
    """Returns work that squares numbers; a few numbers do something else."""
    folder = Path(places)
    (folder / f"{os.getpid()}.started").touch()

    def work(block: pa.Table) -> pa.Table:
        marker = folder / "killed"
        if kill_once:
            with contextlib.suppress(FileExistsError):
                marker.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        numbers = block["number"].to_pylist()
        if POISON in numbers:
            os._exit(1)
        if ERROR in numbers:
            raise UserError("Expected a number. Received: an error.")
        if BUG in numbers:
            raise ZeroDivisionError("a bug")
        found = [number**2 for number in numbers]
        return pa.table(
            {
                POSITION: block[POSITION],
                "square": pa.array(found, pa.int64()),
                PROBLEM: pa.nulls(len(found), pa.string()),
            }
        )

    return work


def unable(places: str):
    raise UserError("no bfloat16")


def dying(places: str):
    os._exit(1)


def lost(block: pa.Table, reason: str) -> pa.Table:
    return pa.table(
        {POSITION: block[POSITION], "square": pa.nulls(1, pa.int64()), PROBLEM: [reason]}
    )


def in_blocks(numbers: list[int], rows: int = 4) -> Iterator[pa.Table]:
    for start in range(0, len(numbers), rows):
        some = numbers[start : start + rows]
        yield pa.table({POSITION: range(start, start + len(some)), "number": some})


def done(runner: Runner, job: Job, numbers: list[int]) -> list[tuple[int | None, str | None]]:
    table = pa.concat_tables(runner.run(job, in_blocks(numbers))).sort_by(POSITION)
    assert table[POSITION].to_pylist() == list(range(len(numbers)))
    return list(zip(table["square"].to_pylist(), table[PROBLEM].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def ray_runner() -> Iterator[Runner]:
    with pytest.MonkeyPatch.context() as patch:
        # So that workers can import this file.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        with open_runner(RunnerConfig(runner="ray")) as runner:
            yield runner


@pytest.fixture(params=["local", "ray"])
def runner(request) -> Iterator[Runner]:
    if request.param == "ray":
        yield request.getfixturevalue("ray_runner")
        return
    with open_runner(RunnerConfig()) as one:
        yield one


pytestmark = RAY_WARNINGS


def test_each_row_of_all_blocks_is_done_once(runner, tmp_path):
    job = Job(squares, {"places": str(tmp_path)}, lost)
    numbers = list(range(30))
    assert done(runner, job, numbers) == [(number**2, None) for number in numbers]
    assert [*runner.run(job, [])] == []


def test_blocks_are_read_as_workers_become_free(runner, tmp_path):
    job = Job(squares, {"places": str(tmp_path)}, lost)
    read = []

    def blocks():
        for block in in_blocks(list(range(4000))):
            read.append(block)
            yield block

    results = runner.run(job, blocks())
    next(results)
    assert len(read) < 10
    results.close()


def test_errors_of_the_work_are_those_of_the_caller(runner, tmp_path):
    job = Job(squares, {"places": str(tmp_path)}, lost)
    with pytest.raises(UserError, match=r"Expected a number\. Received: an error\."):
        done(runner, job, [1, 2, ERROR])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        done(runner, job, [1, 2, BUG])
    with pytest.raises(UserError, match="no bfloat16"):
        done(runner, Job(unable, {"places": str(tmp_path)}, lost), [1])


def test_a_worker_that_is_killed_costs_nothing(ray_runner, tmp_path):
    job = Job(squares, {"places": str(tmp_path), "kill_once": True}, lost)
    numbers = list(range(20))
    assert done(ray_runner, job, numbers) == [(number**2, None) for number in numbers]
    assert len([*tmp_path.glob("*.started")]) == 2


def test_a_row_that_ends_its_process_is_the_only_one_without_a_result(ray_runner, tmp_path):
    job = Job(squares, {"places": str(tmp_path)}, lost)
    numbers = [1, 2, POISON, 4, 5, 6]
    found = done(ray_runner, job, numbers)
    assert found[2] == (None, "the process that read it ended, 2 times")
    assert [square for square, problem in found if problem is None] == [1, 4, 16, 25, 36]


def test_a_node_that_cannot_start_is_named(ray_runner, tmp_path):
    with pytest.raises(XferlearnError, match=r"Node \S+: 3 workers ended while starting"):
        done(ray_runner, Job(dying, {"places": str(tmp_path)}, lost), [1])


def test_blocks_are_large_and_there_are_several(ray_runner):
    assert [ray_runner.block_rows(total) for total in (10, 4000, 10**6)] == [512, 1000, 2048]


def test_what_is_said_of_a_cluster_needs_one():
    for given in ({"workers": 2}, {"ray_address": "auto"}):
        with pytest.raises(UserError, match=f"`{next(iter(given))}` needs `runner='ray'`"):
            RunnerConfig(**given)


def test_ray_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"pip install 'xferlearn\[ray\]'"),
        open_runner(RunnerConfig(runner="ray")),
    ):
        pass
