"""A limit: how many units of something may be in use at once. Our capacity limiter.

`None` is unlimited, `0` is paused, and nothing is clamped: a limit that shrank below what is held shows the
difference as `debt` and grants nothing until enough came back.

`held` is the sum of what grants own. It is kept beside the limit, written only where a grant is made or undone
(`Admission`), and recomputed from the grants by `Admission.check()`.
"""

from __future__ import annotations

from typing import Final

UNLIMITED: Final = 2**62
"""Stands for the free units of a limit without a capacity."""


class Limit:
    """One limit of an `Admission`; made by `Admission.limit()`.

    Attributes:
        name: Shown to people.
        capacity: None unlimited; 0 starts nothing.
        named: True for configured limits (pools, run places, tags of runs, threads): shares are taken over them.
            False for fine ones, made on the fly: a run's cap, its op tags, keys, unique values.
        reentrant: False: its units are never lent to children.
        external: True: another side grants its units.
        paused: True: nothing starts on it until it is resumed.
        held: Units that grants own.
        reserved: Units kept for gatherers and earmarks after the last round.
        seq: Order of creation, the canonical order of limits.
        ceiling: What may be held now: the capacity less the earmarked units; 0 while paused or external.
    """

    __slots__ = ("capacity", "ceiling", "earmarked", "external", "held", "name", "named", "paused", "reentrant", "reserved", "seq")

    def __init__(
        self, name: str, capacity: int | None, *, seq: int, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.seq = seq
        self.named = named
        self.reentrant = reentrant
        self.external = external
        self.paused = False
        self.held = 0
        self.reserved = 0
        self.earmarked = 0
        self.ceiling = 0
        self.raise_ceiling()

    def raise_ceiling(self) -> None:
        """Brings `ceiling` in line with capacity, pause and earmarks."""
        if self.paused or self.external:
            self.ceiling = 0
        else:
            self.ceiling = (UNLIMITED if self.capacity is None else self.capacity) - self.earmarked

    @property
    def free(self) -> int:
        """Units that are not held; 0 while paused or in debt, `UNLIMITED` without a capacity."""
        if self.paused:
            return 0
        return UNLIMITED if self.capacity is None else max(0, self.capacity - self.held)

    @property
    def debt(self) -> int:
        """Units held above the capacity: it shrank, or a rule was added to what already ran."""
        return 0 if self.capacity is None else max(0, self.held - self.capacity)

    @property
    def total_tokens(self) -> float:
        """The capacity, as anyio's CapacityLimiter names it; infinite without one."""
        return float("inf") if self.capacity is None else self.capacity

    @property
    def borrowed_tokens(self) -> int:
        """Units in use, as anyio's CapacityLimiter names them."""
        return self.held

    @property
    def available_tokens(self) -> float:
        """Units free, as anyio's CapacityLimiter names them; infinite without a capacity."""
        return float("inf") if self.capacity is None and not self.paused else self.free

    def __repr__(self) -> str:
        state = " paused" if self.paused else ""
        return f"<limit {self.name} {self.held}/{'∞' if self.capacity is None else self.capacity}{state}>"
