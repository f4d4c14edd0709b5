"""Streams under faults: cancellation before every step, rows 14 and 49 of the list of faults."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from asyncflow import Deployment, Graph, OpStatus, RunStatus, each, graph, op, stream
from asyncflow.testing import run_virtual
from tests.faults.test_cancel_everywhere import leftovers, nap, quick

OPEN: list[str] = []


@op(pool="p")
async def source(count: int) -> AsyncIterator[int]:
    """Cleans up with awaits of its own, wherever it stands."""
    OPEN.append("source")
    try:
        for number in range(count):
            await anyio.sleep(0.25)
            yield number
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.25)
        OPEN.remove("source")


@op
async def plain_source(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@op(pool="p")
async def passing(items: AsyncIterator[int]) -> AsyncIterator[int]:
    OPEN.append("passing")
    try:
        async for item in items:
            yield item
            yield -item
    finally:
        OPEN.remove("passing")


@op
async def broken(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
    raise OSError("broken")


@op(pool="p")
async def total(items: AsyncIterator[int]) -> int:
    found = 0
    async for item in items:
        found += item
        await anyio.sleep(0.125)
    return found


@op
async def two_of(items: AsyncIterator[int]) -> list[int]:
    return [await anext(items), await anext(items)]


@graph
def piped() -> int:
    return total(stream(each(quick, each(nap, source(3)))))


@graph(max_concurrent=1)
def tight() -> int:
    return total(stream(each(nap, source(3))))


@graph(max_concurrent=2)
def chained() -> list[int]:
    return [total(stream(passing(stream(each(quick, plain_source(3)))))), total(stream(plain_source(2)))]


@graph
def stopped() -> list[int]:
    return two_of(stream(each(nap.options(window=3), source(100))))


@graph
def failing() -> list[object]:
    return [total.settled(stream(broken(2))), each(nap.settled, broken(2))]


@graph
def inner(number: int) -> list[int]:
    return each(quick, source(number))


@graph(max_concurrent=2)
def nested() -> list[list[int]]:
    return each(inner, plain_source(3))


KINDS: list[Graph[[], Any]] = [piped, tight, chained, stopped, failing, nested]
NAMES = [kind.definition.name for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_cancellation_before_any_step_leaves_nothing_behind(kind: Graph[[], Any]) -> None:
    """For every n: cancel the caller before step n. Slots, waiters, tasks and generators are all gone."""
    step = 0
    while True:
        step += 1
        reached, _ = run_virtual(leftovers, (step,), kind)
        assert OPEN == []
        if not reached:
            break
    assert step > 3


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_second_cancellation_during_clean_up_leaves_nothing_behind(kind: Graph[[], Any]) -> None:
    """For pairs n < m: cancel before step n and again before step m. Sources are closed all the same."""
    _, count = run_virtual(leftovers, (10**9,), kind)
    for first in range(1, count, 3):
        for second in range(first + 1, min(first + 8, count + 8)):
            run_virtual(leftovers, (first, second), kind)
            assert OPEN == []


@pytest.mark.parametrize("how", ["reader", "timeout", "cancel"])
def test_row_14_a_source_left_midway_is_closed_by_its_run(how: str) -> None:
    """Given a source nobody wants any more: its `finally` ran before the run ended, and no finalizer had to do it."""
    finalized: list[object] = []

    @graph
    def left() -> list[int]:
        return two_of(stream(source(100)))

    @graph
    def whole() -> int:
        return total(stream(source(100)))

    async def main() -> None:
        sys.set_asyncgen_hooks(finalizer=finalized.append)
        if how == "reader":
            result = await left.try_run()
            assert result.status is RunStatus.SUCCEEDED
            assert result.ops["source"].status is OpStatus.SUCCEEDED
        elif how == "timeout":
            result = await whole.options(timeout=1).try_run()
            assert result.status is RunStatus.FAILED
        else:
            async with Deployment("d") as prod:
                run = whole.on(prod).start()
                await anyio.sleep(1)
                await run.cancel("enough")
                assert OPEN == []
        assert OPEN == []
        gc.collect()
        assert finalized == []

    run_virtual(main)


def test_row_14_closing_a_source_is_bounded() -> None:
    """Given a source whose clean-up hangs: after the grace of the deployment the run ends all the same."""

    @op
    async def stubborn() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await anyio.sleep(10_000)

    @graph
    def flow() -> list[int]:
        return two_of(stream(stubborn()))

    async def main() -> float:
        async with Deployment("d", cancel_grace=3) as prod:
            result = await flow.on(prod).try_run()
            assert result.output == [1, 1]
            return anyio.current_time()

    assert run_virtual(main) == 3


def test_row_49_an_endless_source_is_never_ahead_by_more_than_its_window() -> None:
    """Given a source without an end and a reader that stops after 5,000: it is never more than a window ahead."""
    made: list[int] = []
    alive: list[int] = []

    @op
    async def endless() -> AsyncIterator[int]:
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    @op
    async def many(items: AsyncIterator[int]) -> int:
        read = 0
        async for _ in items:
            read += 1
            alive.append(len(made) - read)
            if read == 5_000:
                break
        return read

    @graph
    def flow() -> int:
        return many(stream(each(quick.options(window=16), endless())))

    assert run_virtual(flow.run) == 5_000
    assert max(alive) <= 16
    assert len(made) <= 5_016
