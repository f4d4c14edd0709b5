"""A gatherer: a waiter that was passed too often, and what is reserved for it.

It walks through its needs, scarcest limit first, and takes what those before it left; at the first limit it cannot
cover it takes every free unit and stops. So units pile up for it where they are hardest to get, and nothing is kept
idle on limits it has not reached. A reservation is not a holding: no cycle of waiters can come of it.

A queued run comes first to what it needs as a whole, whatever is scarcest. A run holds its place while its ops wait,
so a place and an op's slots are not alike: were the slots of a root kept while the place is taken, the run that has
the place could wait for those very slots, and neither would ever go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.claim import Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Needs
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.band import NeedClass


class Gatherer:
    """A waiter for which free units are kept.

    Attributes:
        claim: The waiter.
        priority: Its run priority.
        number: When it was promoted.
        rank: Its place among gatherers: (-priority, number).
        needs: Its needs on limits of this process, scarcest first; before them those of a queued run as a whole.
        kept: What is reserved for it, limit by limit as far as its walk came.
        covered: True where all its needs are.
        announced: True once the caller was told.
        home: The class in which it is found when it fits.
    """

    __slots__ = ("announced", "claim", "covered", "home", "kept", "needs", "number", "priority", "rank")

    def __init__(self, claim: Claim, number: int, home: NeedClass) -> None:
        self.claim = claim
        self.priority = claim.party.priority
        self.number = number
        self.rank = (-self.priority, number)
        self.needs: Needs = ()
        self.kept: dict[Limit, int] = {}
        self.covered = False
        self.announced = False
        self.home = home
        self.sort()

    def sort(self) -> None:
        """Puts the needs in the order of the walk."""
        claim = self.claim
        needs = sorted(claim.asked.local, key=_scarcity)
        if claim.ghost is not None:
            needs.sort(key=lambda need: not claim.demand.amount(need[0]))
        self.needs = tuple(needs)

    @property
    def reserves(self) -> bool:
        """False while it could not use what is kept: it can never fit now, may borrow, or waits for another side."""
        claim = self.claim
        cell, role = claim.cell, claim.role
        if cell is None or cell.nested or cell.demand.hopeless:
            return False
        return role is None or (role.earmark is None and not role.resting)

    def walk(self) -> dict[Limit, int]:
        """Returns what it reserves now, and notes whether that is all it needs."""
        kept: dict[Limit, int] = {}
        self.covered = False
        if not self.reserves:
            return kept
        for limit, amount in self.needs:
            units = max(0, limit.room)
            for other, reserved in Crowd.of(limit).kept.items():
                if other.rank < self.rank:
                    units -= reserved
            kept[limit] = min(amount, max(0, units))
            if units < amount:
                return kept
        self.covered = True
        return kept

    def __repr__(self) -> str:
        return f"<gatherer {self.number} {self.claim!r}>"


def _scarcity(need: tuple[Limit, int]) -> tuple[float, int]:
    limit, amount = need
    return (-(amount / limit.capacity) if limit.capacity else 0.0, limit.seq)
