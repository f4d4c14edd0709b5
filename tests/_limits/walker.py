"""The walker: seeded random histories driven through model and core in lockstep, with the invariants after each step.

Seed `n` is always the same history. A history that fails is cut down before it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from asyncflow._limits.log import DecisionLog
from tests._limits.histories import Historian
from tests._limits.invariants import Watch
from tests._limits.pair import Kit, Pair, Setup, Step

LOGGED = 5
"""Every fifth history keeps a decision log, which the checker replays."""


@dataclass(slots=True)
class Tally:
    """What was walked."""

    histories: int = 0
    steps: int = 0
    starts: int = 0
    gathered: int = 0
    borrowed: int = 0
    deadlocks: int = 0
    records: int = 0  # of decision logs, replayed by the checker
    flavours: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Adds what another walk did."""
        for name in ("histories", "steps", "starts", "gathered", "borrowed", "deadlocks", "records"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for flavour, count in other.flavours.items():
            self.flavours[flavour] = self.flavours.get(flavour, 0) + count

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.steps} steps, {self.starts} starts"
            f" ({self.borrowed} by borrowing), {self.gathered} gathered, {self.deadlocks} deadlocks,"
            f" {self.records} log records replayed"
        )


class HistoryError(AssertionError):
    """A history on which model and core differ, or an invariant broke; its text is the smallest such history."""


def walk(seed: int, kit: Kit, *, length: int = 24, watch: Callable[[Pair], Watch] = Watch) -> Tally:
    """Walks one history.

    Raises:
        HistoryError: with the seed and a history cut down to what is needed.
    """
    historian = Historian(seed, length=length)
    pair = made(historian.setup, kit, logged=seed % LOGGED == 0)
    watching = watch(pair)
    tally = Tally(histories=1, flavours={historian.flavour: 1})
    history: list[Step] = []
    try:
        while tally.steps < historian.length:
            for step in historian.steps(pair):
                history.append(step)
                watching.apply(step)
                tally.steps += 1
        watching.finish()
    except Exception as error:
        raise HistoryError(report(seed, historian, history, error, kit, watch)) from error
    tally.starts = pair.starts
    tally.gathered, tally.borrowed, tally.deadlocks = watching.gathered, watching.borrowed, watching.deadlocks
    tally.records = 0 if pair.log is None else len(pair.log.records)
    return tally


def made(setup: Setup, kit: Kit, *, logged: bool) -> Pair:
    """A pair; its core keeps a decision log if it can and shall."""
    return Pair(setup, kit, log=DecisionLog() if logged and kit.logs else None)


def replay(setup: Setup, steps: list[Step], kit: Kit, watch: Callable[[Pair], Watch] = Watch) -> Exception | None:
    """Walks given steps; returns what went wrong, if anything."""
    watching = watch(made(setup, kit, logged=True))
    try:
        for step in steps:
            watching.apply(step)
        watching.finish()
    except Exception as error:  # whatever it is, it is the finding
        return error
    return None


def minimised(setup: Setup, steps: list[Step], kit: Kit, watch: Callable[[Pair], Watch] = Watch) -> list[Step]:
    """Cuts out steps, large pieces first, as long as something still goes wrong."""
    size = len(steps)
    while size >= 1:
        start = 0
        while start < len(steps):
            shorter = steps[:start] + steps[start + size :]
            if replay(setup, shorter, kit, watch) is not None:
                steps = shorter
            else:
                start += size
        size //= 2
    return steps


def report(
    seed: int, historian: Historian, steps: list[Step], error: Exception, kit: Kit, watch: Callable[[Pair], Watch]
) -> str:
    """The seed, the smallest history that still fails, and how it fails."""
    smallest = minimised(historian.setup, steps, kit, watch)
    final = replay(historian.setup, smallest, kit, watch) or error
    lines = "\n".join(f"    {step}," for step in smallest)
    return (
        f"\nseed {seed} ({historian.flavour}), {kit.name} against the model\nsetup = {historian.setup}\n"
        f"steps = [\n{lines}\n]\n{type(final).__name__}: {final}"
    )
