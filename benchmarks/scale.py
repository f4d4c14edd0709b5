"""Scale: how large everything is. FULL is what the budgets speak of; the others only show that everything runs."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.rounds import Clock

CPU_CLOCK = Clock()


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes and repetitions.

    Args:
        rounds: How often every contender is measured.
        chain: Ops of the chain.
        ops: Ops of the fan-out and of the layered graph.
        repeats: Diamonds of one measurement.
        at_once: Diamonds that run together.
        blocked: Waiters of the core's large situations; the small ones have a hundredth.
        starts: Starts of one measurement of the core.
        waiting: Ops that wait when memory is measured.
        crowds: Ops of the fan-outs that go through one narrow limit.
        plans: Ops of the two static plans that are compared.
        imports: How many processes import the package.
        clock: How measurements are taken.
    """

    rounds: int
    chain: int
    ops: int
    repeats: int
    at_once: int
    blocked: int
    starts: int
    waiting: int
    crowds: tuple[int, ...]
    plans: tuple[int, int]
    imports: int
    clock: Clock = CPU_CLOCK


FULL = Scale(
    rounds=9,
    chain=1_000,
    ops=10_000,
    repeats=300,
    at_once=10_000,
    blocked=100_000,
    starts=1_000,
    waiting=20_000,
    crowds=(1_000, 10_000, 100_000),
    plans=(10_000, 1_000_000),
    imports=9,
)
QUICK = Scale(
    rounds=3,
    chain=200,
    ops=1_000,
    repeats=50,
    at_once=500,
    blocked=10_000,
    starts=200,
    waiting=2_000,
    crowds=(100, 1_000, 5_000),
    plans=(1_000, 20_000),
    imports=2,
)
TINY = Scale(
    rounds=1,
    chain=5,
    ops=120,
    repeats=2,
    at_once=3,
    blocked=400,
    starts=20,
    waiting=50,
    crowds=(10, 20),
    plans=(120, 240),
    imports=1,
)
