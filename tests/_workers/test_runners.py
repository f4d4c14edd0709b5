"""Runners of the user's own: `@op(runs_in=runner)`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    OpCall,
    OpRunner,
    OpStatus,
    Retry,
    RunStatus,
    each,
    graph,
    op,
)
from asyncflow.testing import run_virtual


class Recording:
    """Calls functions in place, after a second, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[OpCall] = []
        self.ended: list[str] = []

    async def run(self, call: OpCall, /) -> Any:
        self.calls.append(call)
        try:
            await anyio.sleep(1)
            return call.fn(*call.args, **call.kwargs)
        finally:
            self.ended.append(call.key)


def test_a_runner_calls_the_function() -> None:
    """Given a runner: it gets the plain function with its arguments, and who asks; limits hold as for all ops."""
    runner = Recording()
    assert isinstance(runner, OpRunner)

    @op(runs_in=runner, pool="cluster")
    def add(x: int, *, y: int = 1) -> int:
        return x + y

    @graph
    def flow() -> list[int]:
        return each(add, [1, 2, 3], y=10)

    async def main() -> float:
        async with Deployment("d", concurrency={"pools": {"limits": {"cluster": 2}}}) as prod:
            assert await flow.on(prod).run() == [11, 12, 13]
        return anyio.current_time()

    assert run_virtual(main) == 2
    assert [(call.graph, call.key, call.attempt, call.args, call.kwargs) for call in runner.calls] == [
        ("flow", f"add[{n}]", 1, (n + 1,), {"y": 10}) for n in range(3)
    ]
    assert all(call.fn is add.fn for call in runner.calls)


def test_what_a_runner_raises_is_the_op_s_failure() -> None:
    """Given a function that raises: retried as usual, each attempt a call of its own."""
    runner = Recording()

    @op(runs_in=runner, retry=Retry(max_retries=1))
    def fails() -> None:
        raise OSError("no")

    result = run_virtual(fails.try_run)
    assert [str(error) for error in result.errors] == ["no"]
    assert [call.attempt for call in runner.calls] == [1, 2]


def test_a_runner_is_cancelled_with_its_op() -> None:
    """Given a run that is cancelled, and an op whose time is over: the runner sees it, and its end is waited for."""
    runner = Recording()

    @op(runs_in=runner, timeout=0.5)
    def slow() -> None: ...

    assert run_virtual(slow.try_run).ops["slow"].status is OpStatus.FAILED
    assert runner.ended == ["slow"]

    async def main() -> RunStatus:
        async with Deployment("d") as prod:
            run = slow.options(timeout=None).on(prod).start()
            await anyio.sleep(0.25)
            await run.cancel("enough")
            return (await run.result()).status

    assert run_virtual(main) is RunStatus.CANCELED
    assert runner.ended == ["slow", "slow"]


def test_a_runner_of_any_executor() -> None:
    """Given `concurrent.futures`: five lines make a runner of it."""

    class Pooled:
        def __init__(self, executor: ThreadPoolExecutor) -> None:
            self.executor = executor

        async def run(self, call: OpCall, /) -> Any:
            future = self.executor.submit(call.fn, *call.args, **call.kwargs)
            return await asyncio.wrap_future(future)

    with ThreadPoolExecutor(2) as executor:

        @op(runs_in=Pooled(executor))
        def square(x: int) -> int:
            return x * x

        assert asyncio.run(square.run(4)) == 16


def test_no_runner() -> None:
    """Given a class, or an object without `run`: refused with what it must have."""
    for wrong in (Recording, object()):
        with pytest.raises(ConfigurationError, match=r"or an object with `async def run\(self, call\)`"):
            op(runs_in=wrong)(abs_of)  # type: ignore[call-overload]  # the mistake on trial


def abs_of(x: int) -> int:
    return abs(x)
