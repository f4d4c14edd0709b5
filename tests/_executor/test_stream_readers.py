"""Ops that read the results of a stream as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from asyncflow import (
    Deployment,
    OpStatus,
    Retry,
    RunFailed,
    RunStatus,
    Skip,
    StreamError,
    each,
    graph,
    op,
    stream,
)
from asyncflow.testing import run_virtual

LOG: list[str] = []


@pytest.fixture(autouse=True)
def empty_log() -> None:
    """Every test begins with an empty log."""
    LOG.clear()


@op
async def numbers(stop: int) -> AsyncIterator[int]:
    """0 … stop - 1, one a second."""
    try:
        for number in range(stop):
            await anyio.sleep(1)
            LOG.append(f"made {number}")
            yield number
    finally:
        LOG.append("closed")


@op
async def quick(stop: int) -> AsyncIterator[int]:
    """0 … stop - 1, at once."""
    for number in range(stop):
        LOG.append(f"made {number}")
        yield number


@op
async def double(number: int) -> int:
    await anyio.sleep(0.25)
    return 2 * number


@op
async def total(items: AsyncIterator[int]) -> int:
    found = 0
    async for item in items:
        LOG.append(f"read {item}")
        found += item
    return found


@op
async def first(items: AsyncIterator[int], count: int) -> list[int]:
    found: list[int] = []
    async for item in items:
        found.append(item)
        if len(found) == count:
            break
    return found


@op
async def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError(f"odd: {number}")
    return number


@op
async def odd_skips(number: int) -> int:
    if number % 2:
        raise Skip("odd")
    return number


def test_results_are_read_as_they_come() -> None:
    """Given a reader behind a map behind a source: it reads result 0 before item 1 exists."""

    @graph
    def flow(stop: int) -> int:
        return total(stream(each(double, numbers(stop))))

    assert run_virtual(flow.run, 3) == 6
    assert LOG == ["made 0", "read 0", "made 1", "read 2", "made 2", "closed", "read 4"]


def test_a_reader_of_the_source_itself() -> None:
    """Given `stream(source())`: the items are read one by one."""

    @graph
    def flow(stop: int) -> int:
        return total(stream(numbers(stop)))

    assert run_virtual(flow.run, 3) == 3
    assert LOG[:4] == ["made 0", "read 0", "made 1", "read 1"]


def test_results_are_read_in_source_order() -> None:
    """Given maps that end out of order: the reader gets results in the order of the source."""

    @op
    async def late(number: int) -> int:
        await anyio.sleep(10 - number)
        return number

    @graph
    def flow() -> list[int]:
        return first(stream(each(late, quick(10))), 100)

    assert run_virtual(flow.run) == list(range(10))


@pytest.mark.parametrize("made", ["source", "map"])
def test_a_reader_that_stops_ends_an_endless_stream(made: str) -> None:
    """Given a reader that breaks after three: the source is closed, at most a window of items was made."""

    @op
    async def endless() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                LOG.append(f"made {number}")
                yield number
                number += 1
        finally:
            LOG.append("closed")

    @graph
    def over_source() -> list[int]:
        return first(stream(endless()), 3)

    @graph
    def over_map() -> list[int]:
        return first(stream(each(double, endless())), 3)

    flow, expected = (over_source, [0, 1, 2]) if made == "source" else (over_map, [0, 2, 4])
    result = run_virtual(flow.try_run)
    assert result.output == expected
    assert result.status is RunStatus.SUCCEEDED
    assert LOG[-1] == "closed"
    assert len(LOG) <= 64 + 3 + 1
    assert result.ops["endless"].status is OpStatus.SUCCEEDED


def test_a_slow_reader_holds_the_source_back() -> None:
    """Given a reader slower than the source: with the one in its hands, 64 are made and not done; or `window`."""
    made: list[int] = []
    most: list[int] = []

    @op
    async def source() -> AsyncIterator[int]:
        for number in range(300):
            made.append(number)
            yield number

    @op
    async def slow(items: AsyncIterator[int]) -> int:
        read = 0
        async for _ in items:
            read += 1
            most.append(len(made) - read)
            await anyio.sleep(1)
        return read

    @graph
    def flow() -> int:
        return slow(stream(source()))

    @graph
    def mapped() -> int:
        return slow(stream(each(double.options(window=8), source())))

    assert run_virtual(flow.run) == 300
    assert max(most) == 63
    made.clear()
    most.clear()
    assert run_virtual(mapped.run) == 300
    assert max(most) == 7


def test_skipped_items_are_not_read() -> None:
    """Given a map that skips odd items: the reader gets the even ones."""

    @graph
    def flow() -> int:
        return total(stream(each(odd_skips, quick(6))))

    assert run_virtual(flow.run) == 6


def test_a_failed_item_ends_the_stream_where_it_stood() -> None:
    """Given item 1 failed: the reader reads item 0, then gets StreamError; let through, it is ABANDONED."""

    @graph
    def flow() -> int:
        return total(stream(each(odd_fails, quick(6))))

    result = run_virtual(flow.try_run)
    assert [line for line in LOG if line.startswith("read")] == ["read 0"]
    assert str(result.errors[0]) == "odd: 1"
    assert result.ops["total"].status is OpStatus.ABANDONED
    assert result.ops["total"].cause == "odd_fails[1]"


def test_a_reader_may_take_the_failure_of_its_stream() -> None:
    """Given a reader that catches StreamError: it succeeds with what it had; the run failed still, by the item."""

    @op
    async def patient(items: AsyncIterator[int]) -> str:
        found: list[int] = []
        try:
            async for item in items:
                found += [item]
        except StreamError as error:
            return f"{found} until {error.key}: {error.__cause__}"
        return str(found)

    told: list[str] = []

    @op
    async def tell(text: str) -> None:
        told.append(text)

    @graph
    def flow() -> None:
        tell(patient(stream(each(odd_fails, quick(6)))))

    result = run_virtual(flow.try_run)
    assert result.status is RunStatus.FAILED
    assert result.ops["patient"].status is OpStatus.SUCCEEDED
    assert told == ["[0] until odd_fails[1]: odd: 1"]


def test_a_source_that_breaks_ends_the_stream_of_its_reader() -> None:
    """Given a source that fails after two items: these are read, then StreamError names the source."""

    @op
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    @graph
    def flow() -> int:
        return total(stream(broken()))

    result = run_virtual(flow.try_run)
    assert [line for line in LOG if line.startswith("read")] == ["read 1", "read 2"]
    assert [str(error) for error in result.errors] == ["gone"]
    assert result.ops["total"].status is OpStatus.ABANDONED
    assert result.ops["total"].cause == "broken"


def test_a_reader_that_fails_ends_the_stream() -> None:
    """Given a reader that raises at the third result: the source is closed, and the run fails with that error alone."""

    @op
    async def picky(items: AsyncIterator[int]) -> int:
        async for item in items:
            if item == 2:
                raise LookupError("two")
        return 0

    @graph
    def flow() -> int:
        return picky(stream(numbers(1000)))

    with pytest.raises(RunFailed) as caught:
        run_virtual(flow.run)
    assert [str(error) for error in caught.value.exceptions] == ["two"]
    assert LOG == ["made 0", "made 1", "made 2", "closed"]


def test_two_readers_of_one_source() -> None:
    """Given two ops with a stream each: both read all; the slower one sets the pace."""

    @graph
    def flow() -> tuple[int, list[int]]:
        given = quick(200)
        return total(stream(given)), first(stream(given), 1000)

    assert run_virtual(flow.run) == (sum(range(200)), list(range(200)))


def test_a_list_is_read_like_a_stream() -> None:
    """Given `stream` over an `each` whose items are all known: the results are read in order when all are there."""

    @graph
    def flow() -> int:
        return total(stream(each(double, [1, 2, 3])))

    assert run_virtual(flow.run) == 12
    assert LOG == ["read 2", "read 4", "read 6"]


def test_an_empty_stream() -> None:
    """Given a source without items: the reader starts, and reads nothing."""

    @graph
    def flow() -> int:
        return total(stream(each(double, numbers(0))))

    assert run_virtual(flow.run) == 0


def test_a_reader_that_is_a_source_itself() -> None:
    """Given an async generator op that reads a stream: batches pass on while items still come."""

    @op
    async def pairs(items: AsyncIterator[int]) -> AsyncIterator[tuple[int, int]]:
        before: int | None = None
        async for item in items:
            if before is None:
                before = item
            else:
                LOG.append(f"pair {before} {item}")
                yield before, item
                before = None

    @op
    async def add(pair: tuple[int, int]) -> int:
        LOG.append(f"add {pair}")
        return sum(pair)

    @graph
    def flow() -> list[int]:
        return each(add, pairs(stream(numbers(4))))

    assert run_virtual(flow.run) == [1, 5]
    assert LOG.index("add (0, 1)") < LOG.index("made 2")


def test_a_reader_is_tried_again_only_where_its_list_is_there() -> None:
    """Given a reader that fails in the middle: over a list it reads again; what it read of a stream is gone."""
    tries: list[int] = []

    @op(retry=Retry(max_retries=2))
    async def shaky(items: AsyncIterator[int]) -> int:
        tries.append(1)
        found = 0
        async for item in items:
            found += item
            if len(tries) < 2 and item == 4:
                raise OSError("again")
        return found

    @graph
    def over_list() -> int:
        return shaky(stream(each(double, [1, 2, 3])))

    @graph
    def over_source() -> int:
        return shaky(stream(each(double, quick(5))))

    assert run_virtual(over_list.run) == 12
    assert len(tries) == 2
    tries.clear()
    result = run_virtual(over_source.try_run)
    assert result.status is RunStatus.FAILED
    assert len(tries) == 1


def test_everything_with_one_place() -> None:
    """Given `max_concurrent=1`: source, maps and reader take turns, in order, and nothing deadlocks."""
    running: list[str] = []

    @op
    async def step(number: int) -> int:
        running.append("step")
        assert running == ["step"]
        await anyio.sleep(0.5)
        running.remove("step")
        return number

    @graph(max_concurrent=1)
    def flow(stop: int) -> int:
        return total(stream(each(step, each(step, numbers(stop)))))

    assert run_virtual(flow.run, 5) == 10
    reads = [line for line in LOG if line.startswith(("made", "read"))]
    assert reads == [f"{what} {n}" for n in range(5) for what in ("made", "read")]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_everything_in_one_pool(limit: int) -> None:
    """Given a pool that source, map and reader all need: the stream goes on with one slot, and gives it back."""

    @op(pool="p")
    async def source(stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            await anyio.sleep(1)
            yield number

    @op(pool="p")
    async def work(number: int) -> int:
        await anyio.sleep(1)
        return number

    @op(pool="p")
    async def reduce(items: AsyncIterator[int]) -> int:
        found = 0
        async for item in items:
            found += item
            await anyio.sleep(0.5)
        return found

    @graph
    def flow(stop: int) -> int:
        return reduce(stream(each(work, source(stop))))

    async def main() -> int:
        async with Deployment("d", concurrency={"pools": {"limits": {"p": limit}}}) as prod:
            found = await flow.on(prod).run(30)
            assert all(limit.held == 0 for limit in prod.snapshot().limits)
            return found

    assert run_virtual(main) == sum(range(30))


@pytest.mark.parametrize("fails", [False, True])
def test_a_source_that_waits_is_not_waited_for_when_nobody_reads(fails: bool) -> None:
    """Given a source that waits for its next item for a year: it is interrupted and closed when its reader ends."""

    @op
    async def rare() -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep(365 * 86_400)
            yield 1
        finally:
            LOG.append("closed")

    @op
    async def one(items: AsyncIterator[int]) -> int:
        found = await anext(items)
        await anyio.sleep(3)
        if fails:
            raise LookupError("enough")
        return found

    @graph
    def flow() -> list[int]:
        given = rare()
        return [one(stream(given)), one(stream(each(double, given)))]

    async def main() -> float:
        result = await flow.try_run()
        assert result.ops["rare"].status is OpStatus.SUCCEEDED
        assert [str(error) for error in result.errors] == ["enough"] * 2 * fails
        return anyio.current_time()

    assert run_virtual(main) == 3.25
    assert LOG == ["closed"]
