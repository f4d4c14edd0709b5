"""The walker: seeded random histories driven through model and core in lockstep, with the invariants after each step.

Seed `n` is always the same history. A history that fails is cut down before it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncflow._limits.log import DecisionLog
from tests._limits.histories import Historian
from tests._limits.invariants import Watch
from tests._limits.pair import Kit, Mode, Pair, Setup, Step


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


def mode_of(seed: int) -> Mode:
    """How a history is watched: some with a log, some without self-checks, since those might mend what they check."""
    return Mode(logged=seed % 5 == 0, checked=seed % 2 == 0, explained=seed % 3 == 0)


def walk(seed: int, kit: Kit, *, length: int = 24) -> Tally:
    """Walks one history.

    Raises:
        HistoryError: with the seed and a history cut down to what is needed.
    """
    historian = Historian(seed, length=length)
    mode = mode_of(seed)
    watch = watched(historian.setup, kit, mode)
    pair = watch.pair
    tally = Tally(histories=1, flavours={historian.flavour: 1})
    history: list[Step] = []
    try:
        while tally.steps < historian.length:
            for step in historian.steps(pair):
                history.append(step)
                watch.apply(step)
                tally.steps += 1
        watch.finish()
    except Exception as error:
        smallest = minimised(historian.setup, history, kit, mode)
        last = replay(historian.setup, smallest, kit, mode) or error
        raise HistoryError(report(seed, historian, smallest, last, kit)) from error
    tally.starts = pair.starts
    tally.gathered, tally.borrowed, tally.deadlocks = watch.gathered, watch.borrowed, watch.deadlocks
    tally.records = 0 if pair.log is None else len(pair.log.records)
    return tally


def watched(setup: Setup, kit: Kit, mode: Mode) -> Watch:
    """A pair under watch."""
    return Watch(Pair(setup, kit, log=DecisionLog() if mode.logged and kit.full else None), mode)


def replay(setup: Setup, steps: list[Step], kit: Kit, mode: Mode) -> Exception | None:
    """Walks given steps; returns what went wrong, if anything."""
    watch = watched(setup, kit, mode)
    try:
        for step in steps:
            watch.apply(step)
        watch.finish()
    except Exception as error:  # whatever it is, it is the finding
        return error
    return None


def minimised(setup: Setup, steps: list[Step], kit: Kit, mode: Mode) -> list[Step]:
    """Cuts out steps, large pieces first, as long as something still goes wrong."""
    size = len(steps)
    while size >= 1:
        start = 0
        while start < len(steps):
            shorter = steps[:start] + steps[start + size :]
            if replay(setup, shorter, kit, mode) is not None:
                steps = shorter
            else:
                start += size
        size //= 2
    return steps


def report(seed: int, historian: Historian, steps: list[Step], error: Exception, kit: Kit) -> str:
    """The seed, the smallest history that still fails, and how it fails."""
    lines = "\n".join(f"    {step}," for step in steps)
    return (
        f"\nseed {seed} ({historian.flavour}), {kit.name} against the model\nsetup = {historian.setup}\n"
        f"steps = [\n{lines}\n]\n{type(error).__name__}: {error}"
    )
