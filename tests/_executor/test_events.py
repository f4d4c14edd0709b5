"""Observers and streams of events: complete, in order, and unable to harm a run (RELIABILITY 5, rows 61 to 66)."""

import asyncio
import logging
from collections.abc import Generator
from typing import Any

import anyio
import pytest
import structlog

from asyncflow import (
    ConfigurationError,
    Deployment,
    Event,
    EventsDropped,
    OpStarted,
    Run,
    RunEnded,
    RunQueued,
    RunStarted,
    RunStatus,
    graph,
    op,
)
from asyncflow.testing import run_virtual


@op
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@graph
def napping(seconds: float = 1.0) -> float:
    return nap(seconds)


@pytest.fixture(autouse=True)
def structlog_as_it_comes() -> Generator[None]:
    """Nothing is configured before a test, and nothing stays so after it."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_run_tells_its_life() -> None:
    """Queued, blocked, started, its op, ended: in order, with the loop's clock."""
    told: list[Event] = []

    async def main() -> None:
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 1}}) as prod:
            prod.subscribe(told.append)
            first = napping.start(1.0)
            await anyio.sleep(0.5)
            run = napping.start(1.0)
            assert await run == 1.0
            await first
            mine = [event for event in told if getattr(event, "run_id", "") == run.id]
            assert names(mine) == ["RunQueued", "RunBlocked", "RunStarted", "OpStarted", "OpEnded", "RunEnded"]
            assert [event.at for event in mine] == [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]

    run_virtual(main)


def test_a_stream_has_all_events_of_a_run_and_ends_with_it() -> None:
    """`async for event in run.events()`; one of a run that has ended is empty."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 1}}):
            other = napping.start(1.0)
            run = napping.start(1.0)
            stream = run.events()
            seen = [event async for event in stream]
            assert {getattr(event, "run_id", run.id) for event in seen} == {run.id}
            assert names(seen)[-1] == "RunEnded"
            assert [event async for event in run.events()] == []
            await other

    run_virtual(main)


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    """Row 62: a bounded buffer; the run is not slowed."""

    async def main() -> None:
        async with Deployment("prod") as prod, prod.events(buffer=3) as stream:
            for _ in range(4):
                await napping.run(0.0)
            first = await anext(stream)
            assert isinstance(first, EventsDropped)
            assert first.count == 4 * 4 - 3
            assert names([await anext(stream) for _ in range(3)]) == ["OpStarted", "OpEnded", "RunEnded"]
            with anyio.move_on_after(1) as scope:
                await anext(stream)
            assert scope.cancelled_caught
            await napping.run(0.0)
            await stream.aclose()
            assert names([event async for event in stream]) == ["EventsDropped", "OpStarted", "OpEnded", "RunEnded"]

    run_virtual(main)


class Impolite(BaseException):
    """Not an Exception."""


@pytest.mark.parametrize("kind", [ValueError, Impolite, asyncio.CancelledError])
def test_an_observer_that_raises_is_isolated_and_removed(kind: type[BaseException], caplog: Any) -> None:
    """Row 61: whatever it raises, runs go on, others are told; after ten errors it is told no more; said twice."""
    calls: list[Event] = []
    told: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise kind("no")

    async def main() -> None:
        prod = Deployment("prod")
        prod.subscribe(broken)
        prod.subscribe(told.append)
        for _ in range(5):
            assert await napping.on(prod).run(0.0) == 0.0

    with caplog.at_level(logging.WARNING, logger="asyncflow"):
        run_virtual(main)
    assert (len(calls), len(told)) == (10, 20)
    assert [("observer_failed" in r.message, "observer_removed" in r.message) for r in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_an_observer_may_subscribe_and_unsubscribe_in_its_call() -> None:
    """Row 63: a new one hears the next event, a removed one none any more."""
    heard: list[str] = []

    async def main() -> None:
        prod = Deployment("prod")

        def late(event: Event) -> None:
            heard.append(f"late {type(event).__name__}")

        def once(event: Event) -> None:
            heard.append(f"once {type(event).__name__}")
            prod.unsubscribe(once)
            prod.subscribe(late)

        prod.subscribe(once)
        await napping.on(prod).run(0.0)

    run_virtual(main)
    assert heard == ["once RunStarted", "late OpStarted", "late OpEnded", "late RunEnded"]


def test_an_observer_may_start_cancel_and_tune() -> None:
    """Row 64: what it causes waits for the next round; nothing is corrupted."""
    started: list[Run[float]] = []

    async def main() -> None:
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 2}}) as prod:
            tasks: list[asyncio.Task[None]] = []

            def meddler(event: Event) -> None:
                if isinstance(event, RunEnded) and len(started) < 5:
                    started.append(napping.start(1.0))
                if isinstance(event, RunQueued):
                    tasks.append(asyncio.ensure_future(prod.tune(max_concurrent_runs=1)))
                if isinstance(event, OpStarted) and len(started) == 3:
                    prod.snapshot()
                    prod.explain(event.run_id)

            prod.subscribe(meddler)
            runs = [napping.start(1.0) for _ in range(4)]
            await asyncio.gather(*runs)
            while any(not run.status.final for run in started):
                await asyncio.gather(*started)
            await asyncio.gather(*tasks)
            assert [run.status for run in started] == [RunStatus.SUCCEEDED] * 5
            assert prod.snapshot().limit("@max_concurrent_runs").held == 0

    run_virtual(main)


def test_what_cannot_be_called_is_no_observer() -> None:
    """Told at once, not at the first event."""
    with pytest.raises(ConfigurationError, match="NoneType cannot be"):
        Deployment("prod").subscribe(None)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="buffer"):
        Deployment("prod").events(buffer=0)


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_written_unasked(capfd: Any) -> None:
    """Neither structlog nor logging is configured: nothing is printed, and no event is built."""
    prod = Deployment("prod")
    run_virtual(lambda: napping.on(prod).run(0.0))
    assert capfd.readouterr() == ("", "")


def test_runs_at_info_and_ops_at_debug(caplog: Any) -> None:
    """The stdlib logger `asyncflow`, at the levels it is set to."""
    prod = Deployment("prod")
    with caplog.at_level(logging.INFO, logger="asyncflow"):
        run_virtual(lambda: napping.on(prod).run(0.0))
    assert [record.message.split("'")[1] for record in caplog.records] == ["RunStarted", "RunEnded"]
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="asyncflow"):
        run_virtual(lambda: napping.on(prod).run(0.0))
    written = [record.message.split("'")[1] for record in caplog.records]
    assert written == ["RunStarted", "OpStarted", "OpEnded", "RunEnded"]


def test_structlog_as_it_is_configured() -> None:
    """Where the application configured structlog, events are structlog events with their fields."""
    with structlog.testing.capture_logs() as written:
        structlog.configure(**structlog.get_config())
        run_virtual(lambda: napping.on(Deployment("prod")).run(0.0))
    assert [(line["event"], line["log_level"]) for line in written] == [
        ("RunStarted", "info"),
        ("OpStarted", "debug"),
        ("OpEnded", "debug"),
        ("RunEnded", "info"),
    ]
    assert written[0]["graph"] == "napping"


def test_a_log_that_cannot_be_written_to_harms_nothing() -> None:
    """Row 65: a processor that raises, as a closed pipe does; after ten errors the log is left alone."""
    tries: list[str] = []

    def broken(_logger: object, _method: str, event: Any) -> Any:
        tries.append(event["event"])
        raise BrokenPipeError

    async def main() -> None:
        prod = Deployment("prod")
        for _ in range(10):
            assert await napping.on(prod).run(0.0) == 0.0

    structlog.configure(processors=[broken])
    run_virtual(main)
    assert len(tries) == 10


def test_a_hundred_thousand_events_do_not_grow_anything() -> None:
    """Row 66: a reader that never reads keeps its buffer, not more."""

    async def main() -> None:
        prod = Deployment("prod")
        stream = prod.events(buffer=100)

        @graph
        def many() -> list[float]:
            return [nap(0.0) for _ in range(5_000)]

        for _ in range(3):
            await many.on(prod).run()
        await stream.aclose()
        read = [event async for event in stream]
        assert len(read) == 101
        assert isinstance(read[0], EventsDropped)
        assert isinstance(read[-1], RunEnded)
        assert not any(isinstance(event, RunStarted) for event in read)

    run_virtual(main)
