"""`stream(…)` while wiring: who may read, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncflow import TracingError, each, graph, op, stream
from asyncflow.testing import run_virtual


@op
async def quick(stop: int) -> AsyncIterator[int]:
    for number in range(stop):
        yield number


@op
async def double(number: int) -> int:
    return 2 * number


@op
async def total(items: AsyncIterator[int]) -> int:
    return sum([item async for item in items])


def wrong_thread() -> object:
    @op
    def plain(items: AsyncIterator[int]) -> int:
        return 0

    @graph
    def flow() -> int:
        return plain(stream(quick(3)))

    return flow


def wrong_output() -> object:
    @graph
    def flow() -> object:
        return stream(quick(3))

    return flow


def wrong_twice() -> object:
    @graph
    def flow() -> tuple[int, int]:
        given = stream(quick(3))
        return total(given), total(given)

    return flow


def wrong_each() -> object:
    @graph
    def flow() -> object:
        return each(double, stream(quick(3)))  # type: ignore[arg-type]  # the mistake on trial

    return flow


def wrong_stream() -> object:
    @graph
    def flow() -> object:
        return total(stream(stream(quick(3))))  # type: ignore[arg-type]  # the mistake on trial

    return flow


def wrong_value() -> object:
    @graph
    def flow() -> object:
        return total(stream(3))  # type: ignore[arg-type]  # the mistake on trial

    return flow


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (wrong_thread, "is given to plain, a plain `def`: write an `async def` to read it"),
        (wrong_output, "is returned by the graph, which returns values: return the list"),
        (wrong_twice, "is given to both total and total#2: call `stream(…)` once for each of them"),
        (wrong_each, "was given a stream, which one op reads: give it the list"),
        (wrong_stream, "was given a stream; give the list itself, once for each op"),
        (wrong_value, "was given a value of type int"),
    ],
    ids=["thread", "output", "twice", "each", "stream", "value"],
)
def test_misread_streams_are_refused(make: object, problem: str) -> None:
    """Given a stream where no op can read it: refused at wiring, with what to write."""
    assert callable(make)
    with pytest.raises(TracingError) as caught:
        run_virtual(make().run)
    assert problem in str(caught.value)


def test_stream_outside_a_graph() -> None:
    """Given `stream` in plain code: refused."""
    with pytest.raises(TracingError, match=r"stream\(…\) was called outside a graph"):
        stream([1, 2])
