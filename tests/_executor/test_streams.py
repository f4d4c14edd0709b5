"""Sources: async generator ops whose items are taken while they still give some."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator

import anyio
import pytest

from asyncflow import OpStatus, Outcome, Retry, RunFailed, RunStatus, Skip, TagLimit, each, graph, op
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
    LOG.append(f"double {number}")
    await anyio.sleep(0.25)
    return 2 * number


@op
async def show(number: int) -> str:
    LOG.append(f"show {number}")
    return str(number)


@op
async def odd_fails(number: int) -> int:
    await anyio.sleep(0.25)
    if number % 2:
        raise ValueError(f"odd: {number}")
    return number


@op
async def odd_skips(number: int) -> int:
    if number % 2:
        raise Skip("odd")
    return number


def test_items_are_taken_while_the_source_still_gives_some() -> None:
    """Given a source of one item a second: item 0 has gone through both maps before item 1 exists."""

    @graph
    def flow(stop: int) -> list[str]:
        return each(show, each(double, numbers(stop)))

    assert run_virtual(flow.run, 3) == ["0", "2", "4"]
    assert [
        *("made 0", "double 0", "show 0"),
        *("made 1", "double 1", "show 2"),
        *("made 2", "double 2", "closed", "show 4"),
    ] == LOG


def test_the_first_consumer_starts_before_the_second_item_exists() -> None:
    """Given a source that never waits: each item starts its consumer before the next is made."""

    @graph
    def flow(stop: int) -> list[str]:
        return each(show, quick(stop))

    assert run_virtual(flow.run, 3) == ["0", "1", "2"]
    assert LOG == ["made 0", "show 0", "made 1", "show 1", "made 2", "show 2"]


@pytest.mark.parametrize("window", [1, 2, 7])
def test_the_source_is_at_most_a_window_ahead(window: int) -> None:
    """Given consumers slower than the source: never more than `window` items are under way."""
    under_way: list[int] = []
    most: list[int] = []

    @op
    async def source() -> AsyncIterator[int]:
        for number in range(20):
            under_way.append(number)
            most.append(len(under_way))
            yield number

    @op
    async def slow(number: int) -> int:
        await anyio.sleep(1 + number % 3)
        under_way.remove(number)
        return number

    @graph
    def flow() -> list[int]:
        return each(slow.options(window=window), source())

    assert run_virtual(flow.run) == list(range(20))
    assert max(most) == window


def test_the_window_is_64_by_default() -> None:
    """Given a source of 200 items and a consumer that waits: 64 are made, no more."""
    made: list[int] = []

    @op
    async def source() -> AsyncIterator[int]:
        for number in range(200):
            made.append(number)
            yield number

    @op
    async def look(number: int) -> int:
        await anyio.sleep(1)
        return len(made)

    @graph
    def flow() -> list[int]:
        return each(look, source())

    assert run_virtual(flow.run)[0] == 64


def test_an_endless_source_ends_with_the_op_that_reads_it() -> None:
    """See also the tests of readers. Given a failing item without `settled`: the source is closed, nothing hangs."""

    @op
    async def endless() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await anyio.sleep(1)
        finally:
            LOG.append("closed")

    @graph(on_error="fail_fast")
    def flow() -> list[int]:
        return each(odd_fails, endless())

    with pytest.raises(RunFailed):
        run_virtual(flow.run)
    assert LOG == ["closed"]


def test_results_are_in_source_order_whatever_ends_first() -> None:
    """Given items that take the longer the earlier they come: the list is in the order of the source."""

    @op
    async def late(number: int) -> int:
        await anyio.sleep(10 - number)
        return number

    @graph
    def flow() -> list[int]:
        return each(late, quick(10))

    assert run_virtual(flow.run) == list(range(10))


def test_skipped_items_are_left_out() -> None:
    """Given a map that skips odd items: the list has the even ones."""

    @graph
    def flow() -> list[str]:
        return each(show, each(odd_skips, quick(6)))

    assert run_virtual(flow.run) == ["0", "2", "4"]


def test_a_failed_item_abandons_the_collector() -> None:
    """Given odd items that fail: all others run, the collector is ABANDONED, the cause is the first that failed."""

    @op
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @graph
    def flow() -> int:
        return total(each(odd_fails, quick(6)))

    result = run_virtual(flow.try_run)
    assert [str(error) for error in result.errors] == ["odd: 1", "odd: 3", "odd: 5"]
    assert result.ops["total"].status is OpStatus.ABANDONED
    assert result.ops["total"].cause == "odd_fails[1]"
    assert result.ops["odd_fails[4]"].status is OpStatus.SUCCEEDED


def test_settled_items_give_outcomes() -> None:
    """Given `settled`: the list has an outcome for every item, and the run succeeds."""

    @op
    async def tell(outcomes: list[Outcome[int]]) -> list[OpStatus]:
        return [outcome.status for outcome in outcomes]

    @graph
    def flow() -> list[OpStatus]:
        return tell(each(odd_fails.settled, quick(4)))

    result = run_virtual(flow.try_run)
    assert result.output == [OpStatus.SUCCEEDED, OpStatus.FAILED, OpStatus.SUCCEEDED, OpStatus.FAILED]
    assert result.ops["odd_fails[1]"].status is OpStatus.FAILED


def test_a_source_read_as_a_list() -> None:
    """Given an op that takes the whole list: it gets all items when the source has ended."""

    @op
    async def total(numbers: list[int]) -> int:
        LOG.append("total")
        return sum(numbers)

    @graph
    def flow() -> tuple[int, list[int]]:
        given = numbers(4)
        return total(given), each(double, given)

    assert run_virtual(flow.run) == (6, [0, 2, 4, 6])
    assert LOG.index("double 0") < LOG.index("made 1")
    assert LOG.index("total") > LOG.index("closed")


def test_a_source_with_no_items() -> None:
    """Given a source that gives nothing: the map gives an empty list."""

    @graph
    def flow() -> list[str]:
        return each(show, each(double, numbers(0)))

    assert run_virtual(flow.run) == []


def test_two_maps_over_one_source() -> None:
    """Given two branches: both take every item; the source waits for the slower one."""

    @graph
    def flow() -> tuple[list[int], list[str]]:
        given = quick(5)
        return each(double, given), each(show, given)

    assert run_virtual(flow.run) == ([0, 2, 4, 6, 8], ["0", "1", "2", "3", "4"])


def test_a_map_that_also_needs_the_whole_list_waits_for_it() -> None:
    """Given `each(f, items, total(items))`: it runs once the list is whole."""

    @op
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @op
    async def share(number: int, whole: int) -> float:
        return number / whole

    @graph
    def flow() -> list[float]:
        given = numbers(5)
        return each(share, given, total(given))

    assert run_virtual(flow.run) == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_maps_nest_over_a_source_of_sources() -> None:
    """Given a graph mapped over a source, in which another source is mapped: keys name both items."""

    @graph
    def inner(number: int) -> list[int]:
        return each(double, quick(number))

    @graph
    def flow() -> list[list[int]]:
        return each(inner, quick(4))

    result = run_virtual(flow.try_run)
    assert result.output == [[], [0], [0, 2], [0, 2, 4]]
    assert result.ops["inner[3]/double[2]"].status is OpStatus.SUCCEEDED


def test_map_key_names_the_items_of_a_source() -> None:
    """Given names: keys have them; a name that comes twice fails the map and closes the source."""

    @op
    async def words(*, twice: bool) -> AsyncIterator[str]:
        for word in ["a", "b", "a" if twice else "c"]:
            yield word

    @op
    async def upper(word: str) -> str:
        return word.upper()

    @graph
    def flow(twice: bool) -> list[str]:
        return each(upper.options(map_key=lambda word: word), words(twice=twice))

    result = run_virtual(flow.try_run, False)
    assert result.output == ["A", "B", "C"]
    assert {"upper[a]", "upper[b]", "upper[c]"} <= set(result.ops)
    result = run_virtual(flow.try_run, True)
    assert result.status is RunStatus.FAILED
    assert "gave 'a' for item 2: item 0 has that key already" in str(result.errors[0])


def test_a_source_that_fails_after_some_items() -> None:
    """Given a source that fails midway: what was made is finished, and whoever needs the list is ABANDONED."""

    @op
    async def broken() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise OSError("gone")

    @op
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @graph
    def flow() -> int:
        return total(each(double, broken()))

    result = run_virtual(flow.try_run)
    assert [str(error) for error in result.errors] == ["gone"]
    assert result.ops["double[1]"].status is OpStatus.SUCCEEDED
    assert result.ops["total"].status is OpStatus.ABANDONED
    assert result.ops["total"].cause == "broken"


def test_limits_of_the_graph_hold_for_items() -> None:
    """Given caps and tag limits: the items of a stream are counted like all other ops."""
    running: list[int] = []
    most: list[int] = []

    @op
    async def busy(number: int) -> int:
        running.append(number)
        most.append(len(running))
        await anyio.sleep(1)
        running.remove(number)
        return number

    @graph(tag_concurrency_limits=[TagLimit("kind", limit=3)])
    def tagged() -> list[int]:
        return each(busy.options(tags={"kind": "a"}), quick(20))

    assert run_virtual(tagged.run) == list(range(20))
    assert max(most) == 3
    most.clear()
    capped = tagged.options(max_concurrent=2)
    assert run_virtual(capped.run) == list(range(20))
    assert max(most) <= 2


def test_results_that_nobody_collects_are_freed() -> None:
    """Given a stream whose results go nowhere: no value outlives its item by more than the window."""
    seen: weakref.WeakSet[Page] = weakref.WeakSet()
    most: list[int] = []

    @op
    async def pages() -> AsyncIterator[Page]:
        for _ in range(500):
            page = Page()
            seen.add(page)
            most.append(len(seen))
            yield page

    @op
    async def read(page: Page) -> None:
        del page
        await anyio.sleep(1)

    @graph
    def flow() -> None:
        each(read.options(window=5), pages())

    gc.collect()
    run_virtual(flow.run)
    assert max(most) <= 7


class Page:
    """A value that can be watched."""


def test_beyond_ten_thousand_items_only_what_did_not_succeed_has_a_record() -> None:
    """Given 10,020 items of which two fail: records of the first 10,000 and of those two; all are counted."""

    @op
    async def many() -> AsyncIterator[int]:
        for number in range(10_020):
            yield number

    @op
    async def check(number: int) -> None:
        if number in {7, 10_010}:
            raise ValueError(number)

    @graph
    def flow() -> None:
        each(check, many())

    result = run_virtual(flow.try_run)
    assert len(result.ops) == 1 + 10_000 + 1
    assert result.ops["check[10010]"].status is OpStatus.FAILED
    assert "check[10011]" not in result.ops
    assert result.counts == {"check[]": {OpStatus.SUCCEEDED: 10_018, OpStatus.FAILED: 2}}
    assert len(result.timeline) == len(result.ops)


def test_a_run_that_is_tried_again_runs_its_stream_again() -> None:
    """Given `retry=` of the run and a map that fails once: the second attempt goes through the stream anew."""
    fails = {3}

    @op
    async def work(number: int) -> int:
        if number in fails:
            fails.discard(number)
            raise ValueError(number)
        return number

    @op
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @graph(retry=Retry(max_retries=1))
    def flow() -> int:
        return total(each(work, quick(5)))

    result = run_virtual(flow.try_run)
    assert result.output == 10
    assert result.attempts == 2
    assert [f"made {number}" for number in range(5)] * 2 == LOG
