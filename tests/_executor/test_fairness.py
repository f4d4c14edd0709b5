"""Fair shares in figures: what runs and tenants get of pools that all of them want, in virtual time."""

from collections import defaultdict
from random import Random
from typing import Any

import anyio
import pytest

from asyncflow import Deployment, Run, graph, op
from asyncflow._limits import Admission, Claim
from asyncflow.testing import run_virtual

BEGUN: dict[str, list[float]] = defaultdict(list)
"""When ops of a kind began."""

SERVED: dict[str, float] = defaultdict(float)
"""Slot-seconds that ops of a kind were served."""

START, UNTIL = 25.0, 125.0
"""Slot-seconds are counted between these times. A run that was queued has its service raised once more when, after the
start of its first root, its other ops begin to wait: so who was there first may be one op ahead at the beginning."""

SPAN = UNTIL - START


@pytest.fixture(autouse=True)
def fresh() -> None:
    BEGUN.clear()
    SERVED.clear()


@op(pool="db")
async def query(kind: str, seconds: float) -> None:
    """Holds a slot for a while."""
    begun = anyio.current_time()
    BEGUN[kind].append(begun)
    try:
        await anyio.sleep(seconds)
    finally:
        SERVED[kind] += max(0.0, min(anyio.current_time(), UNTIL) - max(begun, START))


@op(pool="gpu")
async def train(seconds: float) -> None:
    """Holds the scarce GPU."""
    await anyio.sleep(seconds)


@graph
def queries(kind: str, count: int, seconds: float) -> list[None]:
    return [query(kind, seconds) for _ in range(count)]


@graph
def training_beside_queries(count: int) -> tuple[None, list[None]]:
    return train(200.0), [query("gpu holder", 1.0) for _ in range(count)]


async def cancelled(*runs: Run[Any]) -> None:
    """Ends runs that would go on for long."""
    for run in runs:
        await run.cancel()


def shares_of_100_seconds(slots: int, work: dict[str, tuple[float, float, int]]) -> dict[str, float]:
    """What groups had of a pool in 100 s: for each its weight, the seconds of its ops, and how many it has."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": slots}}}):
            runs = [
                queries.options(fair_key=kind, weight=weight).start(kind, count, seconds)
                for kind, (weight, seconds, count) in work.items()
            ]
            await anyio.sleep(UNTIL + 1)
            await cancelled(*runs)

    run_virtual(main)
    total = sum(SERVED.values())
    assert total == pytest.approx(SPAN * slots, rel=0.01), "the pool was full all the time"
    return {kind: served / total for kind, served in SERVED.items()}


def test_small_runs_beside_a_run_of_five_thousand() -> None:
    """Given a run of 5,000 ops on 10 slots, when 200 small runs come, then the p99 of their waits is 1.5 s at most."""
    waits: list[float] = []
    random = Random(4)

    async def small(at: float) -> None:
        await anyio.sleep(at)
        begun = anyio.current_time()
        result = await queries.start("small", 1, random.uniform(0.7, 1.3)).result()
        waits.append(sum(result.waits.values()))
        assert waits[-1] <= anyio.current_time() - begun

    async def main() -> None:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": 10}}}):
            big = queries.start("big", 5_000, 1.0)
            await anyio.sleep(0.3)
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(small, random.uniform(0, 60))
            await cancelled(big)

    run_virtual(main)
    assert len(waits) == 200
    assert sorted(waits)[197] <= 1.5


def test_weights_share_fourteen_slots_as_two_four_eight() -> None:
    """Given three groups of weights 1, 2, 4 that want more than there is, then they hold 2:4:8 of 14 slots."""
    shares = shares_of_100_seconds(14, {"one": (1, 1, 600), "two": (2, 1, 900), "four": (4, 1, 1500)})
    for kind, slots in (("one", 2), ("two", 4), ("four", 8)):
        assert shares[kind] * 14 == pytest.approx(slots, rel=0.05)


def test_weights_share_one_slot_in_time() -> None:
    """Given the same groups on a pool of one, then they have 1/7, 2/7, 4/7 of its time."""
    shares = shares_of_100_seconds(1, {"one": (1, 0.1, 600), "two": (2, 0.1, 900), "four": (4, 0.1, 1200)})
    for kind, weight in (("one", 1), ("two", 2), ("four", 4)):
        assert shares[kind] == pytest.approx(weight / 7, rel=0.05)


@pytest.mark.parametrize("slots", [1, 4])
def test_long_ops_and_short_ops_get_equal_time(slots: int) -> None:
    """Given ten-second ops beside one-second ops of equal weight, then both get the same slot-time, within one op."""
    shares = shares_of_100_seconds(slots, {"long": (1, 10, 60), "short": (1, 1, 600)})
    assert abs(shares["long"] - shares["short"]) * SPAN * slots <= 10.0


def test_who_holds_a_scarce_gpu_is_not_shut_out_of_the_db() -> None:
    """Given a group that holds the only GPU, when it asks for the db like two others, then it gets a third of it."""

    async def main() -> None:
        limits = {"db": 3, "gpu": 1}
        async with Deployment("prod", concurrency={"pools": {"limits": limits}}):
            runs = [training_beside_queries.start(400)]
            runs += [queries.start(kind, 400, 1.0) for kind in ("second", "third")]
            await anyio.sleep(UNTIL + 1)
            await cancelled(*runs)

    run_virtual(main)
    for kind in ("gpu holder", "second", "third"):
        assert SERVED[kind] == pytest.approx(SPAN, rel=0.05)


def test_a_high_priority_run_gets_the_next_free_slot() -> None:
    """Given 10,000 ops that pass a pool among themselves, then a high-priority run's root has the next slot."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": 4}}}):
            low = queries.start("low", 10_000, 1.0)
            await anyio.sleep(5.5)
            high = queries.options(priority=1).start("high", 1, 1.0)
            await high
            await cancelled(low)

    run_virtual(main)
    assert BEGUN["high"] == [6.0]


def test_two_queued_runs_are_never_let_out_on_one_slot() -> None:
    """Given queued runs whose roots need one slot each, when one slot frees, then one run starts, and its root."""
    core = Admission()
    place, db = core.limit("runs", 10), core.limit("db", 1)
    pairs: list[tuple[Claim, Claim]] = []
    for i in range(5):
        party = core.party(core.group(i))
        run, root = (Claim(party, core.demand([(limit, 1)]), 0, f"{limit.name} {i}") for limit in (place, db))
        core.enqueue_ghosts([(run, root)])
        pairs.append((run, root))
    for now, (run, root) in enumerate(pairs):
        assert core.admit(now) == [run, root]
        assert core.admit(now) == []
        assert (place.held, db.held) == (now + 1, 1)
        core.release(root)
