"""Who waits: groups share fairly, parties are the runs and `slots()` blocks inside them.

A group's *share* is the largest part it holds of any of the named limits that a waiter asks for, per weight. Its
*service* is what its grants owned there times how long, an integer, added when a grant ends; without it weights would
do nothing on a pool of one. Its *turn* is when it last started something or began to wait, so that arrival counts and
newcomers do not starve the old. Shares and services are divided anew for each comparison and never added up as floats,
so they cannot drift.

Both are taken over the limits *asked for*: over all limits, a holder of a GPU that also needs the database would stand
behind everybody who holds nothing, for ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.band import Lane
    from asyncflow._limits.cell import Cell
    from asyncflow._limits.demand import Demand

Standing: TypeAlias = tuple[float, float, int, int]
"""(share, service, turn, seq): the smallest starts first among groups of equal run priority."""

_MOST_PURSES: Final = 64


class Stake:
    """What a group has, and had, of one named limit.

    Attributes:
        limit: The limit.
        held: What its grants own now.
        service: What they owned times how long, in nanoseconds, added when a grant ends.
    """

    __slots__ = ("held", "limit", "service")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.held = 0
        self.service = 0


Purse: TypeAlias = tuple[tuple[Stake, int], ...]
"""The stakes that a grant of one demand moves, and by how much."""


class Group:
    """Everything of one `fair_key`; made by `Admission.group()`.

    Attributes:
        key: What it was made for.
        weight: A group of weight 2 may hold twice as much.
        seq: Order of creation, which ends ties.
        turn: The number of its last start, or of the claim with which it began to wait.
        waiting: How many of its claims wait.
        untouched: True while it never had anything, and was served nothing: it stands at share and service 0.
        stakes: What it has of each named limit.
        purses: The stakes of demands that it used lately.
        cells: Where its claims wait.
        lanes: Its places in the bands of the queue.
    """

    __slots__ = (
        "__weakref__",
        "cells",
        "key",
        "lanes",
        "purses",
        "seq",
        "stakes",
        "turn",
        "untouched",
        "waiting",
        "weight",
    )

    def __init__(self, key: Hashable, weight: float, seq: int) -> None:
        self.key = key
        self.weight = weight
        self.seq = seq
        self.turn = 0
        self.waiting = 0
        self.untouched = True
        self.stakes: dict[Limit, Stake] = {}
        self.purses: dict[Demand, Purse] = {}
        self.cells: dict[Cell, None] = {}
        self.lanes: dict[Lane, None] = {}

    def stake(self, limit: Limit) -> Stake:
        """Returns the stake in a limit."""
        stake = self.stakes.get(limit)
        if stake is None:
            stake = self.stakes[limit] = Stake(limit)
        return stake

    def purse(self, demand: Demand) -> Purse:
        """Returns the stakes that a grant of this demand moves; the last ones used are remembered."""
        self.untouched = False
        if len(self.purses) >= _MOST_PURSES:
            self.purses.clear()
        purse = self.purses[demand] = tuple([(self.stake(limit), amount) for limit, amount in demand.named])
        return purse

    def forget(self, limit: Limit) -> None:
        """A limit is no more."""
        self.stakes.pop(limit, None)
        self.purses.clear()

    def standing(self, stakes: Iterable[Stake]) -> Standing:
        """Returns where the group stands among others that ask for the same limits, those of `stakes`."""
        share = service = 0.0
        weight = self.weight
        for stake in stakes:
            capacity = stake.limit.capacity
            if capacity:
                now = stake.held / capacity / weight
                if now > share:
                    share = now
                past = stake.service / capacity / weight
                if past > service:
                    service = past
        return share, service, self.turn, self.seq

    def __repr__(self) -> str:
        return f"<group {self.key!r} weight={self.weight}>"


class Party:
    """One run or `slots()` block of a group; made by `Admission.party()`.

    Attributes:
        group: Whose shares it uses.
        priority: The run's priority; higher starts first, whatever the shares.
        arrival: Order of creation.
    """

    __slots__ = ("arrival", "group", "priority")

    def __init__(self, group: Group, priority: int, arrival: int) -> None:
        self.group = group
        self.priority = priority
        self.arrival = arrival

    def __repr__(self) -> str:
        return f"<party {self.arrival} of {self.group.key!r} priority={self.priority}>"
