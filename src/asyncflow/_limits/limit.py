"""A limit: how many units of something may be in use at once. Our capacity limiter.

`None` is unlimited, `0` is paused, and nothing is clamped: a limit that shrank below what is held shows the
difference as `debt` and grants nothing until enough came back.

`held` is the sum of what grants own. It is written in one place (`Books`) and recomputed from the grants by
`Admission.check()`. Nobody may take units while that brings `held` above the `ceiling`, which brings together all
that bounds a limit for the moment, so that a fit is one subtraction and one comparison.

An external limit takes no part in fits. Its ceiling says how many units may still be asked of the other side: as many
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
        stuck: Units owned by grants in which somebody waits who may borrow; see `Suspicion`.
        ceiling: What may be held at most now, reservations aside.
        crowd: Those who wait for it; None while nobody does.
    """

    __slots__ = (
        "capacity",
        "ceiling",
        "crowd",
        "earmarked",
        "external",
        "held",
        "name",
        "named",
        "paused",
        "reentrant",
        "reserved",
        "seq",
        "stuck",
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
        self.stuck = 0
        self.ceiling = 0
        self.settle()

    def settle(self) -> None:
        """Computes `ceiling` from everything else."""
        ceiling = UNLIMITED if self.capacity is None else self.capacity
        if not self.external:
            ceiling -= self.earmarked
        elif self.crowd is None:
            ceiling = 0  # who asks alone has to go through a round too
        else:
            ceiling = min(ceiling, ceiling + _ASKED_BEYOND - self.earmarked) + self.held
        self.ceiling = ceiling - _PAUSED if self.paused else ceiling

    @property
    def room(self) -> int:
        """Units that may be taken now, reservations aside; negative in debt."""
        return self.ceiling - self.held

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
