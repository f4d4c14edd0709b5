"""Who starts next: the best of each class, then a running minimum over the classes.

Two of one group compare by run priority and their order inside it, two of different groups by run priority and the
standings of their groups, each over the limits it asks for itself. A gatherer is not preferred; it just fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asyncflow._limits.claim import Claim, Entry
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.group import Group, Stake
from asyncflow._limits.holding import lendable
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.band import NeedClass
    from asyncflow._limits.cell import Cell
    from asyncflow._limits.seats import Seats


class Choice:
    """A waiter that fits.

    Attributes:
        claim: The waiter.
        priority: Its run priority.
        entry: Its place inside the group.
        group: Its group.
        stakes: What the group has of the limits that the waiter asks for.
        borrows: True where it may take units from others.
        asks: True where another side has to grant a part first.
    """

    __slots__ = ("asks", "borrows", "claim", "entry", "group", "priority", "stakes")

    def __init__(self, entry: Entry, group: Group, stakes: Sequence[Stake], borrows: bool, asks: bool) -> None:
        self.entry = entry
        self.claim = entry[4]
        self.priority = self.claim.party.priority
        self.group = group
        self.stakes = stakes
        self.borrows = borrows
        self.asks = asks

    def before(self, other: Choice) -> bool:
        """Returns whether this one starts first."""
        if self.priority != other.priority:
            return self.priority > other.priority
        if self.group is other.group:
            return self.entry < other.entry
        return self.group.standing(self.stakes) < other.group.standing(other.stakes)


def choose(seats: Seats) -> Choice | None:
    """Returns the next to start; None where nobody fits."""
    board = seats.board
    best: Choice | None = None
    place = 0
    while place < len(board):
        needs = board[place]
        found = _best_of(seats, needs)
        if found is not None:
            if best is None or found.before(best):
                best = found
        elif needs.idle:
            needs.listed = False
            del board[place]
            continue
        place += 1
    return best


def _best_of(seats: Seats, needs: NeedClass) -> Choice | None:
    """Returns the best of a class that fits; bands without any go to sleep."""
    best: Choice | None = None
    awake = needs.awake
    for band in tuple(awake):
        found = band.best()
        if found is None:
            band.awake = False
            awake.remove(band)
        elif best is None or found.before(best):
            best = found
    if needs.covered or needs.alone:
        for one in (*needs.covered, *needs.alone):
            single = _look_alone(seats, needs, one)
            if single is not None and (best is None or single.before(best)):
                best = single
    return best


def _look_alone(seats: Seats, needs: NeedClass, one: Cell | Gatherer) -> Choice | None:
    """Returns a gatherer, or the first waiter of a cell that may borrow and asks elsewhere too, if it fits."""
    if isinstance(one, Gatherer):
        cell = one.claim.cell
        entry = None if cell is None else seats.entry_of(one.claim, cell)
    else:
        cell, entry = one, one.head()
    if cell is None or entry is None:
        return None
    demand = cell.demand
    borrows = cell.nested and all(_covered(cell, limit, amount) for limit, amount in demand.needs)
    if not borrows:
        if cell.nested and not demand.external:
            return None
        if any(limit.room < amount for limit, amount in (demand.needs if cell.nested else demand.remote)):
            return None
    group = seats.group_of(entry[4])
    stakes = [group.stake(limit) for limit in needs.limits]
    return Choice(entry, group, stakes, borrows, demand.external and not borrows)


def _covered(cell: Cell, limit: Limit, amount: int) -> bool:
    """Returns whether free units and what may be borrowed are enough."""
    free = 0 if limit.external else max(0, limit.room)
    return free >= amount or free + sum([lendable(source, limit) for source in cell.sources]) >= amount


def fits_now(claim: Claim) -> bool:
    """Returns whether a waiter that may not borrow could start now, reservations respected."""
    priority = claim.party.priority
    for limit, amount in claim.asked.needs:
        crowd = limit.crowd
        if limit.ceiling - limit.held < amount or (
            crowd is not None and crowd.kept and crowd.available(priority) < amount
        ):
            return False
    return True
