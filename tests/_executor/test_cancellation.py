"""Cancellation from outside and inside: everything comes back, on every path."""

import asyncio

import anyio
import pytest

from asyncflow import ConfigurationError, Deployment, RunCanceled, graph, op
from asyncflow.testing import run_virtual


def held(deployment: Deployment) -> int:
    return sum(limit.held for limit in deployment.snapshot().limits)


def waiting(deployment: Deployment) -> int:
    return sum(len(limit.waiters) for limit in deployment.snapshot().limits)


@op(pool="p")
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@graph(max_concurrent=3)
def naps() -> list[float]:
    return [nap(10.0) for _ in range(8)]


def make() -> Deployment:
    return Deployment("d", concurrency={"pools": {"limits": {"p": 2}}})


def test_cancelling_the_caller_cancels_the_run() -> None:
    """Native cancel, anyio scope, asyncio.timeout and wait_for: all back, CancelledError or TimeoutError leaves."""

    async def by_task() -> str:
        deployment = make()
        task = asyncio.create_task(naps.on(deployment).run())
        await anyio.sleep(1)
        assert held(deployment) > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return f"{held(deployment)} {waiting(deployment)} {anyio.current_time()}"

    async def by_scope() -> str:
        deployment = make()
        with anyio.move_on_after(1):
            await naps.on(deployment).run()
        return f"{held(deployment)} {waiting(deployment)} {anyio.current_time()}"

    async def by_timeout() -> str:
        deployment = make()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await naps.on(deployment).run()
        return f"{held(deployment)} {waiting(deployment)} {anyio.current_time()}"

    async def by_wait_for() -> str:
        deployment = make()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(naps.on(deployment).try_run(), 1)
        return f"{held(deployment)} {waiting(deployment)} {anyio.current_time()}"

    assert [run_virtual(fn) for fn in (by_task, by_scope, by_timeout, by_wait_for)] == ["0 0 1.0"] * 4


def test_shielded_clean_up_finishes_before_the_cancelled_caller_goes_on() -> None:
    """The op's own clean-up is waited for, even where the caller is cancelled twice."""
    log: list[str] = []

    @op
    async def careful() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
            log.append(f"cleaned at {anyio.current_time()}")

    @graph
    def one() -> None:
        careful()

    async def main() -> None:
        task = asyncio.create_task(one.run())
        await anyio.sleep(1)
        task.cancel()
        await anyio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        log.append(f"left at {anyio.current_time()}")

    run_virtual(main)
    assert log == ["cleaned at 4.0", "left at 4.0"]


def test_run_cancel_and_closing() -> None:
    """`run.cancel` returns after every slot is back; `await run` raises RunCanceled; `result()` gives CANCELED."""

    async def main() -> list[str]:
        deployment = make()
        seen: list[str] = []
        async with deployment:
            run = naps.on(deployment).start()
            await anyio.sleep(1)
            await run.cancel("not needed")
            seen.append(f"{held(deployment)} {run.status.value}")
            with pytest.raises(RunCanceled, match="not needed"):
                await run
            result = await run.result()
            seen.append(f"{result.status.value} {result.reason} {result.output}")
            other = naps.start()
            await anyio.sleep(1)
        seen.append(f"{other.status.value} {held(deployment)}")
        async with deployment:
            drained = naps.start()
            await deployment.close(drain=True)
            seen.append(drained.status.value)
        return seen

    assert run_virtual(main) == ["0 CANCELED", "CANCELED not needed None", "CANCELED 0", "SUCCEEDED"]


def test_cancelling_one_wait_on_a_run_ends_only_that_wait() -> None:
    """Two tasks await a run; one is cancelled; the other gets the value, twice."""

    async def main() -> tuple[object, object, bool]:
        async with make() as deployment:
            run = naps.on(deployment).start()

            async def get() -> list[float]:
                return await run

            first, second = asyncio.create_task(get()), asyncio.create_task(get())
            await anyio.sleep(1)
            first.cancel()
            value = await second
            return value, await run, first.cancelled()

    value, again, cancelled = run_virtual(main)
    assert (value, again, cancelled) == ([10.0] * 8, value, True)


def test_start_needs_an_open_deployment() -> None:
    """`start` on a deployment that is not open says what to write."""

    async def main() -> None:
        naps.on(make()).start()

    with pytest.raises(ConfigurationError, match="async with"):
        run_virtual(main)


def test_an_op_that_swallows_its_cancellation_keeps_its_slot_until_it_ends() -> None:
    """Row 23: after cancel_grace a StuckOp event names it; the slot stays counted; the run stays CANCELING."""
    events = []

    @op(pool="p")
    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(20)

    @graph
    def one() -> None:
        stubborn()

    async def main() -> tuple[str, int, str]:
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}}, cancel_grace=5.0)
        deployment.subscribe(events.append)
        async with deployment:
            run = one.start()
            await anyio.sleep(1)
            async with anyio.create_task_group() as group:
                group.start_soon(run.cancel, "test")
                await anyio.sleep(6)
                middle = (run.status.value, held(deployment))
            return (*middle, run.status.value)

    assert run_virtual(main) == ("CANCELING", 1, "CANCELED")
    assert [event.key for event in events if type(event).__name__ == "StuckOp"] == ["stubborn"]


def test_a_thread_is_waited_for() -> None:
    """Row 26: a plain function cannot be stopped; its slot is held until its thread has ended."""
    import threading

    release, running = threading.Event(), threading.Event()
    ended: list[bool] = []

    @op(pool="p")
    def blocking() -> None:
        running.set()
        release.wait(10)
        ended.append(True)

    @graph
    def one() -> None:
        blocking()

    async def main() -> None:
        deployment = make()
        task = asyncio.create_task(one.on(deployment).run())
        await anyio.to_thread.run_sync(running.wait)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (held(deployment) > 0, ended) == (True, [])
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (held(deployment), ended) == (0, [True])

    anyio.run(main)
