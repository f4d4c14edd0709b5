"""Decisions per second of the admission core alone: release, enqueue and one round for each start."""

from __future__ import annotations

import time
from collections.abc import Iterator

from asyncflow._limits import Admission, Claim, Demand, Party


def per_start(core: Admission, queue: list[tuple[Party, Demand]], starts: int) -> float:
    """Returns microseconds per start: everything in `queue` waits or runs; what ends is replaced by its like."""
    claims = [Claim(party, demand, i) for i, (party, demand) in enumerate(queue)]
    core.enqueue_many(claims)
    running = core.admit(0)
    order = len(claims)
    began = time.perf_counter()
    for turn in range(starts):
        ended = running[turn]
        core.release(ended)
        core.enqueue(Claim(ended.party, ended.demand, order + turn))
        running.extend(core.admit(turn + 1))
    return (time.perf_counter() - began) / starts * 1e6


def situations(scale: int) -> Iterator[tuple[str, float]]:
    """Yields the five situations; `scale` is how many are blocked in the large ones."""
    starts = max(200, scale // 20)
    for blocked in (0, scale // 100, scale):
        core = Admission()
        party = core.party(core.group("run"))
        free, full = core.limit("free", 10), core.limit("full", 0)
        mine, theirs = core.demand([(free, 1)]), core.demand([(full, 1)])
        queue = [(party, mine)] * 10 + [(party, theirs)] * blocked
        yield f"{blocked:,} blocked on another pool", per_start(core, queue, starts)
    for blocked in (0, scale // 100, scale):
        core = Admission()
        party = core.party(core.group("run"))
        demand = core.demand([(core.limit("pool", 10), 1)])
        yield f"{blocked:,} blocked on the same limit", per_start(core, [(party, demand)] * (10 + blocked), starts)
    keys = scale // 10
    for runs in (1, scale // 1000, keys):
        core = Admission()
        parties = [core.party(core.group(i)) for i in range(runs)]
        total = core.limit("total", 100)
        demands = [core.demand([(total, 1), (core.limit(f"key{i}", 1, named=False), 1)]) for i in range(keys)]
        queue = [(parties[i % runs], demands[i * 7 % keys]) for i in range(scale)]
        yield f"{keys:,} keys under a total, {scale:,} blocked, {runs:,} runs", per_start(core, queue, starts)
    core = Admission()
    total = core.limit("total", 100)
    fair: list[tuple[Party, Demand]] = []
    for i in range(keys):
        party = core.party(core.group(i))
        cap, tag = core.limit(f"cap{i}", 4, named=False), core.limit(f"tag{i}", 2, named=False)
        fair.extend([(party, core.demand([(total, 1), (cap, 1), (tag, 1)]))] * (scale // keys))
    yield f"{keys:,} fair runs, own cap and tag, {scale:,} blocked", per_start(core, fair, starts)
    core = Admission()
    party = core.party(core.group("run"))
    a, b = core.limit("a", 10), core.limit("b", 10)
    both, only_a, only_b = core.demand([(a, 1), (b, 1)]), core.demand([(a, 1)]), core.demand([(b, 1)])
    streams = [(party, only_a)] * 20 + [(party, only_b)] * 20
    queue = [*streams, *[(party, both)] * (scale // 10)]
    yield f"{scale // 10:,} wait for a+b amid a and b", per_start(core, queue, starts)
