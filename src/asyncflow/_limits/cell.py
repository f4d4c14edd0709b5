"""A cell: the waiters that are alike, so that if the first of them does not fit, none does.

They have one group, one demand, one run priority, and the same sources to borrow from. Their order among themselves
is fixed (run arrival, op order, age), so a heap holds them. A cell counts all its waiters; those with a role that sets
them apart (gatherers, earmarked ones) do not stand in its heap.

A cell's place, once it has one, is one of three: its *lane*, awake; a *waiting room* of a fine limit that is short for
it; nowhere, while nobody stands in its heap. Entries in the heaps of lanes and rooms go stale and are put right when
they surface: a cell's first waiter only moves back by itself, and what moves forward is pushed.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.claim import WAITING, Claim, Entry
from asyncflow._limits.demand import Demand, Needs
from asyncflow._limits.group import Group

if TYPE_CHECKING:
    from asyncflow._limits.band import Lane
    from asyncflow._limits.line import Line
    from asyncflow._limits.room import Room

CellKey: TypeAlias = "tuple[Group, Demand, int, Claim | None, Claim | None, bool]"
"""(group, demand, run priority, parent, the claim itself where edges lead to it, counted)."""


class Cell:
    """Waiters that are alike.

    Attributes:
        key: What makes them alike.
        number: Order of creation; ends ties in heaps.
        group: Their group.
        demand: What each asks for; of ghosts, together with its root.
        priority: Their run priority.
        counted: False where none of them is counted for gathering: a ghost of their run gathers already.
        nested: True where they may borrow from somebody who holds something.
        sources: Whom they may borrow from.
        size: How many waiters belong to it, those apart included.
        lane: Its place in the order.
        fine: The fine limits that must have room for it, with the units needed.
        room: Where it is parked; None while it is awake.
        represents: The waiting room it was woken from, as long as it stands for those still there.
        queued: Its first entry as its lane or room knows it.
        lines: Where its waiters are counted, one line for each limit they ask for.
    """

    __slots__ = (
        "ages",
        "counted",
        "demand",
        "fine",
        "group",
        "heap",
        "key",
        "lane",
        "lines",
        "nested",
        "number",
        "priority",
        "queued",
        "represents",
        "room",
        "size",
        "sources",
    )

    def __init__(self, key: CellKey, number: int) -> None:
        self.key = key
        self.number = number
        self.group, self.demand, self.priority, _, _, self.counted = key
        self.nested = False
        self.sources: list[Claim] = []
        self.size = 0
        self.heap: list[Entry] = []
        self.ages: list[tuple[int, Claim]] = []
        self.lane: Lane | None = None
        self.fine: Needs = ()
        self.room: Room | None = None
        self.represents: Room | None = None
        self.queued: Entry | None = None
        self.lines: list[Line] = []

    def stand(self, claim: Claim, entry: Entry) -> bool:
        """Puts a waiter into the heap; returns whether it is now the first."""
        claim.entry = entry
        heappush(self.heap, entry)
        heappush(self.ages, (claim.seq, claim))
        return self.head() is entry

    def head(self) -> Entry | None:
        """Returns the entry of the first waiter in order."""
        heap = self.heap
        while heap:
            entry = heap[0]
            if entry[3].entry is entry:
                return entry
            heappop(heap)
        return None

    def oldest(self) -> Claim | None:
        """Returns the oldest waiter in the heap."""
        ages = self.ages
        while ages:
            claim = ages[0][1]
            if claim.cell is self and claim.entry is not None and claim.state is WAITING:
                return claim
            heappop(ages)
        return None

    def standing(self) -> list[Claim]:
        """Returns the waiters in the heap, in no order."""
        return [entry[3] for entry in self.heap if entry[3].entry is entry]

    def __repr__(self) -> str:
        place = "parked" if self.room is not None else "awake"
        return f"<cell of {self.size} {self.demand!r} {place}>"
