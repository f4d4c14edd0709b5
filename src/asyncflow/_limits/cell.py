"""A cell: the waiters that are alike, so that if the first of them does not fit, none does.

They have one group, one demand, one run priority, and the same sources to borrow from. Their order among themselves
is fixed (run arrival, op order, age). Most arrive in it, so they stand in a list that is read from the front; a heap
takes those who come out of turn. A cell counts all its waiters; those with a role that sets them apart (gatherers,
earmarked ones) do not stand in its queue.

A cell's place, once it has one, is one of three: its *lane*, awake; a *waiting room* of a fine limit that is short for
it; nowhere, while nobody stands in its queue. Entries in the heaps of lanes, rooms and lines go stale and are put right
when they surface: a cell's first waiter only moves back by itself, and what moves forward is pushed.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from asyncflow._limits.claim import Claim, Entry
from asyncflow._limits.demand import Demand, Needs
from asyncflow._limits.group import Group
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.band import Lane
    from asyncflow._limits.level import Level
    from asyncflow._limits.room import Room

_COMPACT: Final = 256


class Cell:
    """Waiters that are alike.

    Args:
        number: Order of creation; ends ties in heaps.
        group: Their group.
        demand: What each asks for; of ghosts, together with its root.
        level: Those of all groups with this demand and run priority.
        parent: The claim around them.
        lone: The waiter itself, where lending edges lead to it: it has sources that others have not.
        counted: False where none of them is counted for gathering: a ghost of their run gathers already.

    Attributes:
        nested: True where they may borrow from somebody who holds something.
        sources: Whom they may borrow from.
        size: How many waiters belong to it, those apart included.
        lane: Its place in the order.
        fine: The fine limits that must have room for it, with the units needed.
        room: Where it is parked; None while it is awake.
        represents: The waiting room it was woken from, as long as it stands for those still there.
        queued: Its first entry as its lane or room knows it.
        relies: The limits of which its waiters need free units, where they may borrow; see `Suspicion`.
    """

    __slots__ = (
        "_aged",
        "_ages",
        "_late",
        "_line",
        "_served",
        "counted",
        "demand",
        "fine",
        "group",
        "lane",
        "level",
        "lone",
        "nested",
        "number",
        "parent",
        "queued",
        "relies",
        "represents",
        "room",
        "size",
        "sources",
    )

    def __init__(
        self,
        number: int,
        group: Group,
        demand: Demand,
        level: Level,
        *,
        parent: Claim | None = None,
        lone: Claim | None = None,
        counted: bool = True,
    ) -> None:
        self.number = number
        self.group = group
        self.demand = demand
        self.level = level
        self.parent = parent
        self.lone = lone
        self.counted = counted
        self.nested = False
        self.sources: Sequence[Claim] = ()
        self.size = 0
        self._line: list[Entry] = []  # in order, read from `_served` on
        self._served = 0
        self._late: list[Entry] = []  # a heap
        self.lane: Lane | None = None
        self.fine: Needs = ()
        self.room: Room | None = None
        self.represents: Room | None = None
        self.queued: Entry | None = None
        self.relies: tuple[Limit, ...] = ()
        self._ages: list[Claim] = []
        self._aged = 0

    def stand(self, claim: Claim, entry: Entry) -> None:
        """Puts a waiter into the queue."""
        claim.entry = entry
        line = self._line
        if not line or line[-1] < entry:
            line.append(entry)
        else:
            heappush(self._late, entry)
        self.age(claim)

    def head(self) -> Entry | None:
        """Returns the entry of the first waiter in order."""
        line, late, served = self._line, self._late, self._served
        first: Entry | None = None
        while served < len(line):
            entry = line[served]
            if entry[4].entry is entry:
                first = entry
                break
            served += 1
            if served > _COMPACT and 2 * served > len(line):
                del line[:served]
                served = 0
        self._served = served
        while late:
            entry = late[0]
            if entry[4].entry is entry:
                return entry if first is None or entry < first else first
            heappop(late)
        return first

    def age(self, claim: Claim) -> None:
        """Takes a waiter in the queue among those of whom the oldest is counted."""
        ages = self._ages
        if not ages or ages[-1].seq < claim.seq:
            ages.append(claim)
        else:
            insort(ages, claim, lo=self._aged, key=_age)

    def oldest(self) -> Claim | None:
        """Returns the oldest waiter in the queue that is not ripe."""
        ages, aged = self._ages, self._aged
        while aged < len(ages):
            claim = ages[aged]
            if claim.cell is self and claim.entry is not None and (claim.role is None or not claim.role.ripe):
                self._aged = aged
                return claim
            aged += 1
            if aged > _COMPACT and 2 * aged > len(ages):
                del ages[:aged]
                aged = 0
        self._aged = aged
        return None

    def entries(self) -> list[Entry]:
        """Returns the places of the waiters in the queue, in no order."""
        places = [*self._line, *self._late] if self._late else self._line
        return [entry for entry in places if entry[4].entry is entry]

    def standing(self) -> list[Claim]:
        """Returns the waiters in the queue, in no order."""
        return [entry[4] for entry in self.entries()]

    def __repr__(self) -> str:
        place = "parked" if self.room is not None else "awake"
        return f"<cell of {self.size} {self.demand!r} {place}>"


def _age(claim: Claim) -> int:
    return claim.seq


def eligible(cell: Cell) -> bool:
    """Returns whether the waiters in the queue of a cell are counted for gathering."""
    return cell.counted and not cell.nested and not cell.demand.hopeless
