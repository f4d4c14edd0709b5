"""Who starts next: the best of each class, then a running minimum over the classes.

Two of one group compare by run priority and their order inside it, two of different groups by run priority and the
standings of their groups, each over the limits it asks for itself. A gatherer is not preferred; it just fits.
"""

from __future__ import annotations

from asyncflow._limits.band import NeedClass
from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Claim, Entry
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.group import Group, Standing
from asyncflow._limits.holding import lendable
from asyncflow._limits.limit import Limit
from asyncflow._limits.queue import Queue


class Choice:
    """A waiter that fits.

    Attributes:
        claim: The waiter.
        priority: Its run priority.
        standing: Of its group.
        entry: Its place inside the group.
        group: Its group.
        borrows: True where it takes units from others.
        asks: True where another side has to grant a part first.
    """

    __slots__ = ("asks", "borrows", "claim", "entry", "group", "priority", "standing")

    def __init__(
        self, claim: Claim, entry: Entry, standing: Standing, *, group: Group, borrows: bool, asks: bool
    ) -> None:
        self.claim = claim
        self.priority = claim.party.priority
        self.standing = standing
        self.entry = entry
        self.group = group
        self.borrows = borrows
        self.asks = asks

    def before(self, other: Choice) -> bool:
        """Returns whether this one starts first."""
        if self.priority != other.priority:
            return self.priority > other.priority
        if self.group is other.group:
            return self.entry < other.entry
        return self.standing < other.standing


def choose(queue: Queue) -> Choice | None:
    """Returns the next to start; None where nobody fits."""
    board = queue.board
    best: Choice | None = None
    place = 0
    while place < len(board):
        needs = board[place]
        found = _best_of(queue, needs)
        if found is None and needs.idle:
            needs.listed = False
            del board[place]
            continue
        if found is not None and (best is None or found.before(best)):
            best = found
        place += 1
    return best


def _best_of(queue: Queue, needs: NeedClass) -> Choice | None:
    """Returns the best of a class that fits; bands without any go to sleep."""
    best: Choice | None = None
    place = 0
    while place < len(needs.awake):
        band = needs.awake[place]
        top = band.best()
        if top is None:
            band.awake = False
            del needs.awake[place]
            continue
        place += 1
        standing, lane, entry, cell = top
        found = Choice(entry[3], entry, standing, group=lane.group, borrows=cell.nested, asks=cell.demand.external)
        if best is None or found.before(best):
            best = found
    for one in (*needs.covered, *needs.alone):
        single = _look_alone(queue, needs, one)
        if single is not None and (best is None or single.before(best)):
            best = single
    return best


def _look_alone(queue: Queue, needs: NeedClass, one: Cell | Gatherer) -> Choice | None:
    """Returns a gatherer, or the first waiter of a cell that may borrow and asks elsewhere too, if it fits."""
    if isinstance(one, Gatherer):
        claim = one.claim
        entry = queue.entry_of(claim)
    else:
        head = one.head()
        if head is None:
            return None
        entry = head
        claim = entry[3]
    cell = claim.cell
    if cell is None:
        return None
    demand = claim.asked
    borrows = cell.nested and all(_covered(cell, limit, amount) for limit, amount in demand.needs)
    if not borrows:
        if cell.nested and not demand.external:
            return None
        if any(limit.room < amount for limit, amount in (demand.needs if cell.nested else demand.remote)):
            return None
    group = queue.lane_group(claim)
    return Choice(
        claim,
        entry,
        group.standing(needs.limits),
        group=group,
        borrows=borrows,
        asks=demand.external and not borrows,
    )


def _covered(cell: Cell, limit: Limit, amount: int) -> bool:
    """Returns whether free units and what may be borrowed are enough."""
    free = 0 if limit.external else max(0, limit.room)
    return free >= amount or free + sum([lendable(source, limit) for source in cell.sources]) >= amount
