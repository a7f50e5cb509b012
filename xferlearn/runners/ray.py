"""Blocks on the nodes of a Ray cluster: one worker per node, with all of its cores.

The workers are plain actors. Ray Data would want all blocks before the first one is done, and of
blocks that failed it does not say which they were.
"""

import collections
import contextlib
import dataclasses
import functools
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xferlearn.errors import UserError, XferlearnError
from xferlearn.runners.base import Job, Work
from xferlearn.system.progress import working
from xferlearn.system.runtime import core_count
from xferlearn.system.text import count, one_line
from xferlearn.system.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

# An engine starts in the time of a thousand photos, and the pipeline of each block in that of 30.
_FEWEST_ROWS, _MOST_ROWS = 512, 2048
_BLOCKS_PER_NODE = 4
# How often a block is tried before its rows are tried one by one, and such a row before it is given
# up: a process may also end because its machine has no memory left, or was taken away.
_TRIES, _TRIES_ALONE = 3, 2
_CONNECT_SECONDS = 10.0
# Nodes come and go; and a cluster that is busy with other jobs must not be waited for in silence.
_LOOK_SECONDS, _PATIENCE_SECONDS = 5.0, 300.0
# Ray's smallest, nearly: blocks and results are names and digests.
_STORE_BYTES = 128 * 2**20


class RayRunner:
    """Runs a job on all nodes of the cluster that this process is connected to."""

    name = "ray"

    def __init__(self, most: int | None = None) -> None:
        """Makes a runner.

        Args:
            most: how many nodes work at a time; None for all.
        """
        self._most = most

    def block_rows(self, total: int) -> int:
        """Returns how many rows a block should have; see `Runner.block_rows`."""
        nodes = max(1, len(_nodes()))
        if self._most is not None:
            nodes = min(nodes, self._most)
        return min(max(-(-total // (_BLOCKS_PER_NODE * nodes)), _FEWEST_ROWS), _MOST_ROWS)

    def run(self, job: Job, blocks: "Iterable[pa.Table]") -> "Generator[pa.Table, None, None]":
        """Yields the results as they come; see `Runner.run`.

        Raises:
            UserError, XferlearnError: what the work raised, with the name of the node; no node can
                work.
        """
        crew = _Crew(job, self._most)
        try:
            yield from crew.results(blocks)
        finally:
            crew.dismiss()


@contextlib.contextmanager
def connected(address: str | None, verbose: int = 0) -> Iterator[None]:
    """Connects this process to a Ray cluster while the block runs.

    A process that is connected already stays as it is. Without any address, Ray is started on this
    machine for the block, where only this user's processes reach it.

    Args:
        address: of the cluster, or "auto"; None for RAY_ADDRESS, or a start of its own.
        verbose: 0 does not show that this goes on.

    Raises:
        UserError: when Ray is not installed, or the cluster can't be reached.
        XferlearnError: when Ray can't be started.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    # They have to be set before Ray is imported.
    told = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address is None:
        # So Ray listens on 127.0.0.1 alone, here as it does on macOS and Windows.
        told |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
        told |= _own_token()
    with _environment(told):
        try:
            import ray
        except ImportError:
            raise UserError(
                "`runner='ray'` needs a package of its own: pip install 'xferlearn[ray]'."
            ) from None
        if ray.is_initialized():
            yield
            return
        try:
            on = "starting Ray" if address is None else f"connecting to Ray at {address}"
            with working(on, verbose):
                _connect(address)
            yield
        finally:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    settings: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": False,
    }
    if address is None:
        ray.init(
            "local",
            num_cpus=core_count(),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            **settings,
        )
        if ray.util.get_node_ip_address() != "127.0.0.1":
            raise XferlearnError(
                "Ray would listen on the network, because it was imported before. Start Python with"
                " RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0, or connect to a cluster with `ray_address`."
            )
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        ray.init(address, **settings)
    # Ray ends the process where a cluster does not answer.
    except (OSError, SystemExit, RuntimeError, ValueError) as error:
        raise UserError(
            f"Found no Ray cluster at `ray_address` {address}: {one_line(error)}. Start it, or"
            " leave out `ray_address` and RAY_ADDRESS to work on this machine alone."
        ) from None


@functools.cache
def _own_token() -> Mapping[str, str]:
    """Returns the token of the clusters that this process starts; nothing where the user has one.

    It is decided once, because Ray remembers the first one of a process.
    """
    known = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {*os.environ}
    if known or (Path.home() / ".ray" / "auth_token").exists():
        return {}
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextlib.contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclasses.dataclass(eq=False)
class _Block:
    rows: "pa.Table"
    tries: int = 0


@dataclasses.dataclass(eq=False)
class _Hand:
    """A worker on a node.

    Attributes:
        node: the node's id.
        name: the node's name.
        actor: the worker.
        ready: whether it has begun, and can do blocks.
        block: what it does.
    """

    node: str
    name: str
    actor: Any
    ready: bool = False
    block: _Block | None = None


class _Crew:
    """The workers of one job, and the blocks that are still to be done."""

    def __init__(self, job: Job, most: int | None) -> None:
        self._job = job
        self._most = most
        self._waiting: collections.deque[_Block] = collections.deque()
        self._busy: dict[Any, _Hand] = {}
        self._idle: list[_Hand] = []
        self._looked = float("-inf")
        self._nodes: dict[str, Mapping[str, Any]] = {}
        self._false_starts: collections.Counter[str] = collections.Counter()

    def results(self, blocks: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
        """Yields the results of blocks; see `Runner.run`."""
        import ray

        source = iter(blocks)
        began, any_ready = time.monotonic(), False
        while True:
            starting = sum(not hand.ready for hand in self._busy.values())
            while len(self._waiting) <= len(self._idle) + starting:
                rows = next(source, None)
                if rows is None:
                    break
                self._waiting.append(_Block(rows))
            self._assign()
            if not self._waiting and not any(hand.block for hand in self._busy.values()):
                return
            self._hire(len(self._waiting) - starting)
            if not any_ready and time.monotonic() - began > _PATIENCE_SECONDS:
                raise XferlearnError(
                    f"No node of the Ray cluster could work within {_PATIENCE_SECONDS:g} s."
                    " Expected one with all of its cores free. End other jobs, or add nodes."
                )
            if not self._busy:
                time.sleep(0.2)
                continue
            done, _ = ray.wait(list(self._busy), timeout=_LOOK_SECONDS)
            for reference in done:
                hand = self._busy.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, ray.exceptions.RaySystemError):
                        raise XferlearnError(
                            f"Node {hand.name} does not have what this machine has:"
                            f" {one_line(str(error.cause).splitlines()[0])}. Install xferlearn"
                            f" {__version__} there."
                        ) from None
                    raise error.as_instanceof_cause() from None
                except ray.exceptions.RayError as error:
                    yield from self._lost(hand, error)
                    continue
                if isinstance(answer, XferlearnError):
                    raise type(answer)(f"Node {hand.name}: {answer}")
                any_ready = hand.ready = True
                hand.block = None
                self._idle.append(hand)
                if answer is not None:
                    yield answer

    def dismiss(self) -> None:
        """Ends all workers."""
        import ray

        for hand in (*self._busy.values(), *self._idle):
            _end(ray, hand)
        self._busy, self._idle = {}, []

    def _assign(self) -> None:
        while self._idle and self._waiting:
            hand = self._idle.pop()
            hand.block = self._waiting.popleft()
            self._busy[hand.actor.do.remote(hand.block.rows)] = hand

    def _hire(self, most: int) -> None:
        """Starts up to so many workers, on nodes that have none."""
        import ray

        if most <= 0:
            return
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._nodes, self._looked = _nodes(), time.monotonic()
        taken = {hand.node for hand in (*self._busy.values(), *self._idle)}
        free = [node for node in self._nodes if node not in taken]
        if self._most is not None:
            most = min(most, self._most - len(taken))
        for node in free[: max(most, 0)]:
            has = self._nodes[node]["Resources"]
            actor = (
                ray.remote(_Worker)
                .options(
                    num_cpus=has["CPU"],
                    num_gpus=has.get("GPU", 0),
                    scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                        node, soft=False
                    ),
                )
                .remote()
            )
            hand = _Hand(node, self._nodes[node]["NodeManagerHostname"], actor)
            start = actor.start.remote(self._job.make, self._job.arguments, __version__)
            self._busy[start] = hand

    def _lost(self, hand: _Hand, error: Exception) -> "Iterator[pa.Table]":
        """Puts the block of a worker that ended back; yields the result of a row that ended it."""
        import ray

        _end(ray, hand)
        self._looked = float("-inf")
        if hand.node not in _nodes():
            if hand.block is not None:
                self._waiting.appendleft(hand.block)
            return
        block = hand.block
        if block is None:
            self._false_starts[hand.node] += 1
            if self._false_starts[hand.node] == _TRIES:
                raise XferlearnError(
                    f"Node {hand.name}: {count(_TRIES, 'worker')} ended while starting, the last"
                    f" with: {one_line(error)}. See that it has xferlearn {__version__} and free"
                    " memory."
                )
            return
        block.tries += 1
        single = block.rows.num_rows == 1
        if block.tries < (_TRIES_ALONE if single else _TRIES):
            self._waiting.appendleft(block)
        elif single:
            reason = f"the process that read it ended, {block.tries} times"
            yield self._job.failed(block.rows, reason)
        else:
            rows = range(block.rows.num_rows)
            self._waiting.extendleft(_Block(block.rows.slice(row, 1)) for row in reversed(rows))


class _Worker:
    """Does blocks in a process of its own, on any node."""

    def __init__(self) -> None:
        self._work: Work | None = None

    def start(
        self, make: Callable[..., Work], arguments: Mapping[str, Any], version: str
    ) -> XferlearnError | None:
        """Begins; returns what keeps the node from working."""
        if version != __version__:
            return UserError(
                f"it has xferlearn {__version__}, and this machine {version}. Install the same"
                " everywhere."
            )
        try:
            self._work = make(**arguments)
        except XferlearnError as error:
            return error
        return None

    def do(self, block: "pa.Table") -> "pa.Table | XferlearnError":
        """Returns the result of a block, or the error that its work ended with."""
        if self._work is None:
            raise RuntimeError("a block came before the start")
        try:
            return self._work(block)
        except XferlearnError as error:
            return error


def _end(ray: Any, hand: _Hand) -> None:
    with contextlib.suppress(Exception):  # it may have ended, and its node with it
        ray.kill(hand.actor)


def _nodes() -> dict[str, Mapping[str, Any]]:
    """Returns the nodes that can work by their ids; a head without cores is none."""
    import ray

    return {
        node["NodeID"]: node
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    }
