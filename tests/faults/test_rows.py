"""Faults that have no room of their own, by their row in the fault table."""

import asyncio
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    OpStarted,
    RunStatus,
    StalledError,
    TagLimit,
    each,
    graph,
    op,
)
from asyncflow._limits import Admission
from asyncflow.testing import run_virtual


@op
async def nap(x: int, seconds: float = 1.0) -> int:
    await anyio.sleep(seconds)
    return x


@op(pool="p")
async def pooled(x: int) -> int:
    await anyio.sleep(1)
    return x


def run_on(loop_factory, coroutine):
    """Runs a coroutine on a loop of the given kind, and closes it."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(coroutine)


NOT_LIMITS = [-1, True, False, 1.5, math.nan, math.inf, "3", 2**63, b"1", [1]]


@pytest.mark.parametrize("value", NOT_LIMITS, ids=repr)
def test_row_5_limits_that_are_no_numbers_are_refused_by_field(value: object) -> None:
    """Row 5: −1, bool, float, NaN, inf, str, 2⁶³ are ConfigurationErrors that name the field; 0 and None are fine."""
    places = {
        "max_concurrent": lambda v: nap_graph.options(max_concurrent=v),
        "TagLimit.limit of 'k'": lambda v: TagLimit("k", limit=v),
        "concurrency.pools.limits['db']": lambda v: Deployment("d", concurrency={"pools": {"limits": {"db": v}}}),
        "concurrency.pools.limits.db.limit": lambda v: Deployment(
            "d", concurrency={"pools": {"limits": {"db": {"limit": v}}}}
        ),
        "concurrency.pools.limits.db.per_key": lambda v: Deployment(
            "d", concurrency={"pools": {"limits": {"db": {"per_key": v}}}}
        ),
        "concurrency.pools.default_limit": lambda v: Deployment("d", concurrency={"pools": {"default_limit": v}}),
        "threads": lambda v: Deployment("d", threads=v),
    }
    for field, make in places.items():
        with pytest.raises(ConfigurationError, match=re.escape(field)):
            make(value)
        make(0)
        make(None)


@graph
def nap_graph() -> int:
    return nap(1)


@pytest.mark.parametrize(
    "name", ["", "x" * 201, "a\x00b", "a\nb", "\x1b[31m", "@mine", ":key", "db:", 7, None, "\ud800"], ids=repr
)
def test_row_8_names_that_are_no_names_are_refused(name: object) -> None:
    """Row 8: empty, long, NUL, newline, ANSI, reserved and non-string pool names are refused, and so are such tags."""
    if name is not None:
        with pytest.raises(ConfigurationError):
            op(pool=name)(pooled.fn)
    with pytest.raises(ConfigurationError):
        op(pool={name: 1})(pooled.fn)
    if name not in ("@mine", ":key", "db:"):
        with pytest.raises(ConfigurationError):
            op(tags={name: "v"})(pooled.fn)
    if name != "" and name not in ("@mine", ":key", "db:"):
        with pytest.raises(ConfigurationError):
            op(tags={"k": name})(pooled.fn)


@pytest.mark.parametrize("slots", [0, -1, True, 1.0, "1", None], ids=repr)
def test_row_8_slots_that_are_no_numbers_are_refused(slots: object) -> None:
    """A weight must be an int of at least 1."""
    with pytest.raises(ConfigurationError, match="'db'"):
        op(pool={"db": slots})(pooled.fn)


def test_row_38_a_thousand_runs_at_once_share_only_pools() -> None:
    """Row 38: the same graph a thousand times at once: independent values, the pool's limit holds over all."""
    running = most = 0

    @op(pool="p")
    async def count(x: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.1)
        running -= 1
        return x

    @graph
    def one(x: int) -> int:
        return count(x)

    async def main() -> list[int]:
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 7}}})
        values = [0] * 1000

        async def run(i: int) -> None:
            values[i] = await one.on(deployment).run(i)

        async with anyio.create_task_group() as group:
            for i in range(1000):
                group.start_soon(run, i)
        return values

    assert (run_virtual(main), most) == (list(range(1000)), 7)


def test_row_39_a_run_awaited_twice_gives_the_same_twice() -> None:
    """Row 39: one run, two awaits, one execution; re-entering the graph from its own op is a child of the same run."""
    calls: list[int] = []

    @op
    async def count(depth: int) -> int:
        calls.append(depth)
        return depth if depth == 0 else await again.run(depth - 1)

    @graph
    def again(depth: int) -> int:
        return count(depth)

    async def main() -> tuple[int, int, list[str]]:
        async with Deployment("d") as deployment:
            run = again.on(deployment).start(2)
            first, second = await run, await run
            return first, second, list((await run.result()).ops)

    assert run_virtual(main) == (0, 0, ["count", "count/again/count", "count/again/count/again/count"])
    assert calls == [2, 1, 0]


def test_row_40_a_paused_pool_blocks_and_is_explained() -> None:
    """Row 40: a limit of 0 is BLOCKED, never an error: `explain` names it, and the loop has no timer and no turn."""

    @graph
    def one() -> int:
        return pooled(1)

    class Counting(asyncio.SelectorEventLoop):
        turns = 0

        def _run_once(self) -> None:
            Counting.turns += 1
            super()._run_once()  # type: ignore[misc]  # asyncio's own loop body

    async def main() -> tuple[str, tuple[str, ...], int, int]:
        loop = asyncio.get_running_loop()
        async with Deployment("d", concurrency={"pools": {"limits": {"p": 0}}}) as deployment:
            run = one.on(deployment).start()
            for _ in range(5):
                await asyncio.sleep(0)
            explanation = run.explain("pooled")
            before, timers = Counting.turns, len(loop._scheduled)
            await asyncio.sleep(0.02)
            turns = Counting.turns - before
            await run.cancel()
            return run.status.value, tuple(b.limit for b in explanation.blockers), timers, turns

    status, limits, timers, turns = run_on(Counting, main())
    assert (status, limits, timers) == ("CANCELED", ("p",), 0)
    assert turns <= 3  # our own sleep


def test_a_release_hands_over_in_the_next_turn() -> None:
    """From the end of the holder's body to the first step of the next waiter: one turn of the loop, no timer."""

    class Counting(asyncio.SelectorEventLoop):
        turns = 0

        def _run_once(self) -> None:
            Counting.turns += 1
            super()._run_once()  # type: ignore[misc]  # asyncio's own loop body

    at: dict[str, int] = {}

    async def main() -> None:
        go = asyncio.Event()

        @op(pool="p")
        async def holder() -> None:
            await go.wait()
            at["end"] = Counting.turns

        @op(pool="p")
        async def waiter() -> None:
            at["start"] = Counting.turns
            at["timers"] = len(asyncio.get_running_loop()._scheduled)

        @graph
        def two() -> None:
            holder.options(priority=1)()
            waiter()

        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
        task = asyncio.create_task(two.on(deployment).run())
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        await task

    run_on(Counting, main())
    assert (at["start"] - at["end"], at["timers"]) == (1, 0)


@pytest.mark.parametrize("debug", [False, True])
def test_row_57_debug_mode_gives_the_same_order(debug: bool) -> None:
    """Row 57: asyncio's debug mode changes nothing."""
    assert run_virtual(order_of_starts, debug=debug) == run_virtual(order_of_starts)


async def order_of_starts() -> list[str]:
    @graph(max_concurrent=3)
    def mixed() -> list[int]:
        return each(nap, each(nap, [nap(i) for i in range(5)]))

    return [record.key for record in (await mixed.try_run()).timeline]


UVLOOP = """
import uvloop
from asyncflow import graph, op

@op
def threaded(x: int) -> int:
    return x + 1

@op
async def plain(x: int) -> int:
    return x

@graph(max_concurrent=2)
def mixed(n: int) -> list[int]:
    return [threaded(plain(i)) for i in range(n)]

assert uvloop.run(mixed.run(20)) == list(range(1, 21))
"""


def test_row_57_uvloop() -> None:
    """Row 57: a smoke test on uvloop in real time, in a process of its own (uvloop keeps a pipe open for good)."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", UVLOOP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_row_58_another_event_loop_is_refused_clearly() -> None:
    """Row 58: without a running asyncio loop (under trio, or none at all) the error says so."""
    coroutine = nap_graph.run()
    with pytest.raises(ConfigurationError, match="asyncio event loop"):
        coroutine.send(None)


def test_row_59_a_clock_that_stands_still() -> None:
    """Row 59: a loop whose time never moves: no busy loop, no division by zero."""

    class Frozen(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 0.0

    @op
    async def plain(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @graph(max_concurrent=2)
    def mixed() -> list[int]:
        return [plain(plain(i)) for i in range(100)]

    result = run_on(Frozen, mixed.try_run())
    assert (result.output, result.seconds) == (list(range(100)), 0.0)


@pytest.mark.parametrize("method", ["admit", "release", "enqueue", "enqueue_many"])
def test_row_60_an_error_inside_the_core_fails_runs_whole(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Row 60: a MemoryError in a round ends every run with an error that names it, and the deployment works again."""
    original = getattr(Admission, method)
    calls = SimpleNamespace(count=0)

    def failing(self: Admission, *args: object, **kwargs: object) -> object:
        calls.count += 1
        if calls.count == (1 if method == "enqueue_many" else 3):
            raise MemoryError("no more")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Admission, method, failing)

    @graph(max_concurrent=2)
    def mixed() -> list[int]:
        return [nap(nap(i)) for i in range(4)]

    async def main() -> tuple[str, RunStatus]:
        deployment = Deployment("d")
        with pytest.raises(StalledError) as caught:
            await mixed.on(deployment).run()
        return type(caught.value.__cause__).__name__, (await mixed.on(deployment).try_run()).status

    assert run_virtual(main) == ("MemoryError", RunStatus.SUCCEEDED)


def test_an_observer_cannot_break_or_change_a_run() -> None:
    """An observer that raises is isolated and, after ten errors in a row, no longer told."""
    told: list[object] = []
    seen: list[str] = []

    def broken(event: object) -> None:
        told.append(event)
        raise RuntimeError("observer")

    def works(event: object) -> None:
        if isinstance(event, OpStarted):
            seen.append(event.key)

    @graph(max_concurrent=1)
    def mixed() -> list[int]:
        return [nap(i) for i in range(20)]

    async def main() -> RunStatus:
        deployment = Deployment("d")
        deployment.subscribe(broken)
        deployment.subscribe(works)
        return (await mixed.on(deployment).try_run()).status

    assert (run_virtual(main), len(told), len(seen)) == (RunStatus.SUCCEEDED, 10, 20)
