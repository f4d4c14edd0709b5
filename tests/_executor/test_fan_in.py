"""The table of what an op does when what it waits for did not succeed: by argument, in a list, and by `.after`.

One failed or abandoned, one skipped, one there, in every combination and every order of their ends; the same for ops,
late graphs and live ones. DAGSTER.md 1H: a step skips where any source is missing, one with a list only where all are;
a skip is decided before a failure; nothing is decided before all have ended.
"""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import pytest

from asyncflow import OpStatus, Outcome, RunStatus, each, graph, op, when
from asyncflow.testing import run_virtual

KINDS = ("there", "skipped", "failed", "abandoned")


@op
async def there(seconds: float) -> int:
    await anyio.sleep(seconds)
    return 1


@op
async def failed(seconds: float) -> int:
    await anyio.sleep(seconds)
    raise ValueError("failed")


@op
async def no(seconds: float) -> bool:
    await anyio.sleep(seconds)
    return False


@op
async def same(x: int) -> int:
    return x


def source(kind: str, seconds: float) -> int:
    """The promise of a result that ends as `kind` after some seconds."""
    if kind == "there":
        return there(seconds)
    if kind == "failed":
        return failed(seconds)
    if kind == "abandoned":
        return same(failed(seconds))
    return _only_then(seconds)


def _only_then(seconds: float) -> int:
    """A result of the branch that is not taken: SKIPPED when its condition is there."""
    found: list[int] = []

    def then() -> int:
        found.append(there(0.0))
        return found[0]

    when(no(seconds), then, lambda: 0)
    return found[0]


def reader(which: str) -> Any:
    """What takes two values, and what takes a list of them: ops, late graphs or live ones, keyed `reader`."""

    async def pair(x: int, y: int) -> int:
        return x + y

    async def many(xs: list[int]) -> int:
        return sum(xs)

    def wired(x: int, y: int) -> int:
        return same(x + y)

    def wired_many(xs: list[int]) -> int:
        return same(sum(xs))

    takers = {
        "op": lambda: (op(pair), op(many)),
        "live": lambda: (graph(pair), graph(many)),
        "late": lambda: (graph(late=True)(wired), graph(late=True)(wired_many)),
    }
    return [taker.options(name="reader") for taker in takers[which]()]


def record_of(result: Any, which: str) -> Any:
    """The record of the reader: a late graph that was wired is not listed, its op is."""
    return result.ops["reader/same" if which == "late" and "reader" not in result.ops else "reader"]


def expected(kinds: tuple[str, ...], *, how: str) -> OpStatus:
    """What the table says."""
    if how == "argument" and "skipped" in kinds:
        return OpStatus.SKIPPED
    if how == "list" and set(kinds) == {"skipped"}:
        return OpStatus.SKIPPED
    if {"failed", "abandoned"} & set(kinds):
        return OpStatus.ABANDONED
    return OpStatus.SUCCEEDED


@pytest.mark.parametrize("which", ["op", "late", "live"])
@pytest.mark.parametrize("how", ["argument", "list", "after"])
def test_the_table(which: str, how: str) -> None:
    """Every pair of ends, in both orders of time: the decision depends on the ends only."""
    pair, many = reader(which)

    @graph
    def asked(kinds: tuple[str, str], seconds: tuple[float, float]) -> Outcome[int]:
        first, second = [source(kind, at) for kind, at in zip(kinds, seconds, strict=True)]
        if how == "argument":
            return pair.settled(first, second)
        if how == "list":
            return many.settled([first, second])
        return pair.after(first, second).settled(5, 6)

    for kinds in itertools.product(KINDS, repeat=2):
        for seconds in ((1.0, 2.0), (2.0, 1.0), (1.0, 1.0)):
            result = run_virtual(asked.try_run, kinds, seconds)
            wanted = expected(kinds, how=how)
            assert result.status is (RunStatus.FAILED if {"failed", "abandoned"} & set(kinds) else RunStatus.SUCCEEDED)
            record = record_of(result, which)
            assert (kinds, seconds, record.status) == (kinds, seconds, wanted)
            if wanted is OpStatus.ABANDONED:
                assert record.cause is not None
                assert result.ops[record.cause].status is OpStatus.FAILED


@pytest.mark.parametrize("which", ["op", "late", "live"])
def test_what_is_there_is_passed_on(which: str) -> None:
    """A list with skipped parts gets those present; order alone passes nothing; the outcome tells the rest."""
    pair, many = reader(which)

    @graph
    def asked() -> list[object]:
        gone = source("skipped", 0.5)
        return [
            many([source("there", 1.0), gone, 7]),
            pair.after(gone)(5, 6),
            many.settled([gone]),
            pair.settled(1, gone),
        ]

    result = run_virtual(asked.try_run)
    assert result.status is RunStatus.SUCCEEDED
    total, after, none, missing = result.output
    assert (total, after, none.status, missing.status) == (8, 11, OpStatus.SKIPPED, OpStatus.SKIPPED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["op", "late", "live"])
def test_after_mapped_results(which: str, kind: str) -> None:
    """`.after` a list waits for all items, also of a dynamic `each` and of late and live graphs."""
    pair, _ = reader(which)

    @graph(late=True)
    def item(n: int) -> int:
        return source(kind if n == 1 else "there", float(n))

    @op
    async def listed() -> list[int]:
        return [0, 1, 2]

    @graph
    def asked() -> Outcome[int]:
        return pair.after(each(item, listed())).settled(5, 6)

    result = run_virtual(asked.try_run)
    failed_one = kind in ("failed", "abandoned")
    assert result.status is (RunStatus.FAILED if failed_one else RunStatus.SUCCEEDED)
    record = record_of(result, which)
    if failed_one:
        assert (record.status, record.cause) == (OpStatus.ABANDONED, "item[1]/failed")
    else:
        assert record.started_at == result.started_at + 2.0


def test_after_a_skipped_collector_and_a_skipped_call() -> None:
    """A map over a skipped list is SKIPPED, its follower by data too, and a follower by order runs."""

    @op
    async def numbers() -> list[int]:
        return [1]

    @graph(late=True)
    def late(n: int) -> int:
        return same(n)

    @graph
    async def live(n: int) -> int:
        return n

    @graph
    def asked() -> list[object]:
        gone: list[list[int]] = []
        when(no(0.0), lambda: gone.append(numbers()), lambda: None)
        mapped = each(late, gone[0])
        behind = live(source("skipped", 0.0))
        return [there.after(mapped, behind)(0.0), same.settled(behind), each(live.settled, mapped)]

    result = run_virtual(asked.try_run)
    assert (result.status, result.ops["there#2"].status, result.ops["live"].status) == (
        RunStatus.SUCCEEDED,
        OpStatus.SUCCEEDED,
        OpStatus.SKIPPED,
    )
