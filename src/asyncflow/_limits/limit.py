"""A limit: how many units of something may be in use at once. Our capacity limiter.

`None` is unlimited, `0` is paused, and nothing is clamped: a limit that shrank below what is held shows the
difference as `debt` and grants nothing until enough came back.

`held` is the sum of what grants own. It is written in one function (`Books.move`) and recomputed from the grants by
`Admission.check()`. `room` is what the comparisons of a round need: the units somebody may take now, reservations
aside. It is linear in `held`, also where the limit is unlimited or paused, so that a grant and its end move it by the
same amount whatever happens in between.

An external limit takes no part in fits. Its `room` says how many units may still be asked of the other side: as much
as it has for the first who asks, two more than it has for all together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncflow.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncflow._limits.crowd import Crowd

UNLIMITED: Final = 2**62
"""Stands for the free units of a limit without a capacity."""

_PAUSED: Final = 2**63
_ASKED_BEYOND: Final = 2


class Limit:
    """One limit of an `Admission`; made by `Admission.limit()`.

    Attributes:
        name: Shown to people; not unique.
        capacity: None unlimited; 0 starts nothing.
        named: True for configured limits (pools, run places, tags of runs, threads): shares are taken over them.
            False for fine ones, made on the fly: a run's cap, its op tags, keys, unique values.
        reentrant: False: its units are never lent to children.
        external: True: another side grants its units.
        paused: True: nothing starts on it until it is resumed.
        held: Units that grants own.
        earmarked: Units set aside for those who wait for another side's answer.
        reserved: Units kept for gatherers and earmarks, as of the end of the last round.
        seq: Order of creation, the canonical order of limits.
        room: Units that may be taken now, reservations aside; negative in debt.
        crowd: Those who wait for it; None while nobody does.
    """

    __slots__ = (
        "capacity",
        "crowd",
        "earmarked",
        "external",
        "held",
        "name",
        "named",
        "paused",
        "reentrant",
        "reserved",
        "room",
        "seq",
    )

    def __init__(
        self,
        name: str,
        capacity: int | None,
        *,
        seq: int,
        named: bool = True,
        reentrant: bool = True,
        external: bool = False,
    ) -> None:
        self.name = name
        self.capacity = check_capacity(name, capacity)
        self.seq = seq
        self.named = named
        self.reentrant = reentrant
        self.external = external
        self.paused = False
        self.held = 0
        self.earmarked = 0
        self.reserved = 0
        self.crowd: Crowd | None = None
        self.room = 0
        self.settle()

    def settle(self) -> None:
        """Computes `room` from everything else."""
        room = UNLIMITED if self.capacity is None else self.capacity
        if not self.external:
            room -= self.held + self.earmarked
        elif self.capacity is not None:
            room = min(room, room + _ASKED_BEYOND - self.earmarked)
        self.room = room - _PAUSED if self.paused else room

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


def check_capacity(name: str, capacity: int | None) -> int | None:
    """Returns a capacity that a limit can have.

    Raises:
        ConfigurationError: where it is negative.
    """
    if capacity is not None and capacity < 0:
        raise ConfigurationError(f"the capacity of {name!r} is {capacity}; None is unlimited, 0 is paused")
    return capacity
