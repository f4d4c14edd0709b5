"""Runs with streams that are resumed: what was whole is kept, what somebody still needs comes from the source again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncflow import OpStatus, RunStatus, each, graph, op, stream
from asyncflow.testing import run_virtual

LOG: list[str] = []
BROKEN: set[str] = set()


@pytest.fixture(autouse=True)
def empty_log() -> None:
    """Every test begins with an empty log."""
    LOG.clear()
    BROKEN.clear()


@op
async def source() -> AsyncIterator[int]:
    LOG.append("source")
    for number in range(4):
        yield number
    if "source" in BROKEN:
        raise OSError("source")


@op
async def work(number: int) -> int:
    LOG.append(f"work {number}")
    if f"work {number}" in BROKEN:
        raise ValueError(number)
    return number


@op
async def total(numbers: list[int]) -> int:
    LOG.append("total")
    return sum(numbers)


@op
async def read(numbers: AsyncIterator[int]) -> int:
    LOG.append("read")
    found = 0
    async for number in numbers:
        found += number
    if "read" in BROKEN:
        raise ValueError("read")
    return found


@op
async def last(number: int) -> int:
    LOG.append("last")
    if "last" in BROKEN:
        raise ValueError("last")
    return number


@graph
def collected() -> int:
    return last(total(each(work, source())))


@graph
def streamed() -> int:
    return last(read(stream(each(work, source()))))


@graph
def whole() -> int:
    given = source()
    return last(total(given)) + total(each(work, given))


@graph
def listed() -> int:
    return read(stream(each(work, [1, 2, 3])))


def resumed(flow: object, broken: str) -> list[str]:
    """Runs a graph that fails, then resumes it repaired; returns what ran the second time."""
    BROKEN.add(broken)
    past = run_virtual(flow.try_run)  # type: ignore[attr-defined]  # any of the graphs
    assert past.status is RunStatus.FAILED
    assert str(past.errors[0]) == broken.removeprefix("work ")
    BROKEN.clear()
    LOG.clear()
    result = run_virtual(flow.options(resume_from=past).try_run)  # type: ignore[attr-defined]  # likewise
    assert result.status is RunStatus.SUCCEEDED
    assert result.output == (12 if flow is whole else 6)
    again = LOG.copy()
    LOG.clear()
    assert run_virtual(flow.options(resume_from=result).run) == result.output  # type: ignore[attr-defined]  # likewise
    assert LOG == []
    return again


ALL = ["source", "work 0", "work 1", "work 2", "work 3"]


@pytest.mark.parametrize(
    ("flow", "broken", "again"),
    [
        (collected, "last", ["last"]),
        (collected, "work 2", [*ALL, "total", "last"]),
        (collected, "source", [*ALL, "total", "last"]),
        (streamed, "last", ["last"]),
        (streamed, "read", [*ALL, "read", "last"]),
        (streamed, "work 2", [*ALL, "read", "last"]),
        (streamed, "source", [*ALL, "read", "last"]),
        (whole, "work 2", ["work 0", "work 1", "work 2", "work 3", "total"]),
        (whole, "last", ["last"]),
        (listed, "read", ["read"]),
        (listed, "work 2", ["work 2", "read"]),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "again" if isinstance(value, list) else value,
)
def test_what_of_a_stream_runs_again(flow: object, broken: str, again: list[str]) -> None:
    """Given a run that failed at one place: its stream runs again only where its results are still needed."""
    assert sorted(resumed(flow, broken)) == sorted(again)


def test_a_reused_stream_is_told_as_such() -> None:
    """Given a stream that came to its end: its source and its reader are REUSED."""
    BROKEN.add("last")
    past = run_virtual(streamed.try_run)
    BROKEN.clear()
    result = run_virtual(streamed.options(resume_from=past).try_run)
    assert {key: record.status for key, record in result.ops.items()} == {
        "source": OpStatus.REUSED,
        "read": OpStatus.REUSED,
        "last": OpStatus.SUCCEEDED,
    }
