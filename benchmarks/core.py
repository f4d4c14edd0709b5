"""Core: decisions per second of the admission core alone. One start is one release, one new claim and one round.

Whatever ends is replaced by its like, so as many wait at the end as at the beginning. Starts are counted, not assumed:
a round may start nobody (units are kept for a gatherer) or several. Making the claim is part of the cost.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

from asyncflow._limits import Admission, Claim, Demand, Party
from benchmarks.rounds import Clock
from benchmarks.scale import Scale
from benchmarks.table import Table

Waiters: TypeAlias = list[tuple[Party, Demand]]
TICK = 1_000
"""Nanoseconds between two rounds, so that waiting is charged in each."""


class Situation:
    """A core in which something runs and something waits.

    Args:
        core: The core.
        waiters: Who asks, in order; those who fit run.
    """

    def __init__(self, core: Admission, waiters: Waiters) -> None:
        self.core = core
        self.order = len(waiters)
        self.now = 0
        self.started = 0
        core.enqueue_many([Claim(party, demand, i) for i, (party, demand) in enumerate(waiters)])
        self.running = deque(core.admit(0))

    def turn(self, times: int) -> None:
        """One ends and one like it comes, that many times."""
        core, running = self.core, self.running
        order, now, started = self.order, self.now, self.started
        for _ in range(times):
            if not running:
                raise ValueError("nobody runs any more; the situation does not last")
            ended = running.popleft()
            core.release(ended)
            order += 1
            now += TICK
            core.enqueue(Claim(ended.party, ended.demand, order))
            starts = core.admit(now)
            started += len(starts)
            running.extend(starts)
        self.order, self.now, self.started = order, now, started

    def per_start(self, times: int, clock: Clock) -> float:
        """Returns the microseconds per start."""
        before = self.started
        seconds = clock.seconds(lambda: self.turn(times))
        return seconds / max(1, self.started - before) * 1e6


def _blocked_elsewhere(blocked: int) -> Situation:
    core = Admission()
    party = core.party(core.group("run"))
    mine, theirs = core.demand([(core.limit("free", 10), 1)]), core.demand([(core.limit("full", 0), 1)])
    return Situation(core, [(party, mine)] * 10 + [(party, theirs)] * blocked)


def _blocked_here(blocked: int) -> Situation:
    core = Admission()
    party = core.party(core.group("run"))
    demand = core.demand([(core.limit("pool", 10), 1)])
    return Situation(core, [(party, demand)] * (10 + blocked))


def _keys(blocked: int, runs: int) -> Situation:
    core = Admission()
    keys = blocked // 10
    parties = [core.party(core.group(i)) for i in range(runs)]
    total = core.limit("total", 100)
    demands = [core.demand([(total, 1), (core.limit(f"key{i}", 1, named=False), 1)]) for i in range(keys)]
    return Situation(core, [(parties[i % runs], demands[i * 7 % keys]) for i in range(blocked)])


def _fair_runs(blocked: int) -> Situation:
    core = Admission()
    runs = blocked // 10
    total = core.limit("total", 100)
    waiters: Waiters = []
    for i in range(runs):
        party = core.party(core.group(i))
        cap, tag = core.limit(f"cap{i}", 4, named=False), core.limit(f"tag{i}", 2, named=False)
        waiters.extend([(party, core.demand([(total, 1), (cap, 1), (tag, 1)]))] * 10)
    return Situation(core, waiters)


def _both_amid_each(waiting: int) -> Situation:
    core = Admission()
    party = core.party(core.group("run"))
    a, b = core.limit("a", 10), core.limit("b", 10)
    both, only_a, only_b = core.demand([(a, 1), (b, 1)]), core.demand([(a, 1)]), core.demand([(b, 1)])
    streams: Waiters = [(party, only_a), (party, only_b)] * 20
    return Situation(core, [*streams, *[(party, both)] * waiting])


def _situations(blocked: int) -> Iterator[dict[str, Situation]]:
    """Yields those that are compared with each other together, so that they take turns."""
    some = max(1, blocked // 100)
    yield {f"{n:,} blocked on another pool": _blocked_elsewhere(n) for n in (0, some, blocked)}
    yield {f"{n:,} blocked on the same limit": _blocked_here(n) for n in (0, some, blocked)}
    keys = blocked // 10
    yield {
        f"{keys:,} keys under a total, {blocked:,} blocked, {runs:,} runs": _keys(blocked, runs)
        for runs in (1, max(2, keys // 100), keys)
    }
    yield {f"{keys:,} fair runs, own cap and tag, {blocked:,} blocked": _fair_runs(blocked)}
    yield {f"{keys:,} wait for a+b amid streams of a and of b": _both_amid_each(keys)}


def measure_core(scale: Scale) -> Iterator[Table]:
    """The five situations of the admission rules."""
    table = Table("admission core alone: release, claim and round", (("µs/start", 2), ("starts/s", 0)))
    for group in _situations(scale.blocked):
        times: dict[str, list[float]] = {name: [] for name in group}
        for situation in group.values():
            situation.turn(scale.starts)
        for _ in range(scale.rounds):
            for name, situation in group.items():
                times[name].append(situation.per_start(scale.starts, scale.clock))
        for name in group:
            median = statistics.median(times[name])
            table.add(name, median, 1e6 / median)
    yield table
