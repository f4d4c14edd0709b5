"""Rounds: contenders take turns, so that a machine whose speed drifts slows them alike.

A figure is a median over rounds, and a ratio the median of the ratios inside each round, which a drift between rounds
cannot move. Every second round goes backwards, so nobody always runs after the same one.

The clock is that of the process's CPU: every contender computes on one thread and waits for nobody, and on a shared
machine wall time tells how busy others are. A framework that waits would look good by it, so `wall` is there too.

The garbage collector collects before each measurement and is off while it runs (`gc_on` leaves it on): a collection
costs whoever happens to be running, not who made the garbage. What collections cost a large run, `million` tells.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Contender: TypeAlias = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Clock:
    """How a measurement is taken.

    Args:
        gc_on: True leaves the garbage collector on.
        wall: True reads wall time instead of the process's CPU time.
    """

    gc_on: bool = False
    wall: bool = False

    def now(self) -> float:
        """Returns a reading in seconds."""
        return time.perf_counter() if self.wall else time.process_time()

    def seconds(self, work: Callable[[], object]) -> float:
        """Returns the seconds that `work` takes."""
        with self._collected():
            began = self.now()
            work()
            return self.now() - began

    async def seconds_of(self, run: Contender) -> float:
        """Returns the seconds that `run` takes on the running loop."""
        with self._collected():
            began = self.now()
            await run()
            return self.now() - began

    @contextmanager
    def _collected(self) -> Generator[None]:
        gc.collect()
        if not self.gc_on:
            gc.disable()
        try:
            yield
        finally:
            gc.enable()


class Rounds:
    """Times of contenders, by name, one for each round.

    Args:
        times: Seconds.
    """

    def __init__(self, times: Mapping[str, list[float]]) -> None:
        self.times = times

    def seconds(self, name: str) -> float:
        """Returns the median seconds of a contender."""
        return statistics.median(self.times[name])

    def ratio(self, name: str, floor: str) -> float:
        """Returns the median of the ratios to another contender, each inside one round."""
        return statistics.median([a / b for a, b in zip(self.times[name], self.times[floor], strict=True)])


def in_turns(contenders: Mapping[str, Contender], *, rounds: int, clock: Clock, expected: Any = None) -> Rounds:  # noqa: ANN401 — what every contender must give
    """Runs all contenders in turns on one loop, each once beforehand.

    Raises:
        ValueError: where one does not give what is expected: it did not do the work that it is measured for.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}

    async def main() -> None:
        for name, run in contenders.items():
            given = await run()
            if expected is not None and given != expected:
                raise ValueError(f"{name} gave {given!r:.200}, not {expected!r:.200}")
        for turn in range(rounds):
            for name in list(contenders)[:: -1 if turn % 2 else 1]:
                times[name].append(await clock.seconds_of(contenders[name]))

    asyncio.run(main())
    return Rounds(times)
