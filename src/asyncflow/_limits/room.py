"""A waiting room: cells of one lane parked at a fine limit that is short for them.

Scanning the heads of ten thousand keys costs milliseconds a start, so a cell whose first waiter is blocked by a fine
limit leaves its lane and comes here. When the limit has room again, one *representative* wakes: the cell whose first
waiter is first in order, so that the lane knows the best that this room has. It stands for the others until its own
first waiter changes or it is parked elsewhere; then the next wakes, as long as there is room.

One room holds cells of one lane that need equally many units of the limit: those of other groups stand elsewhere in
the order, and a cell that needs more must not hide one that needs less.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Entry
from asyncflow._limits.crowd import Crowd

if TYPE_CHECKING:
    from asyncflow._limits.band import Lane


class Room:
    """The cells of a lane that are parked at a limit.

    Attributes:
        crowd: That of the limit.
        lane: The lane.
        need: The units that each of them needs.
        representative: The awake cell that stands for them.
    """

    __slots__ = ("_heap", "crowd", "lane", "need", "representative")

    def __init__(self, crowd: Crowd, lane: Lane, need: int) -> None:
        self.crowd = crowd
        self.lane = lane
        self.need = need
        self.representative: Cell | None = None
        self._heap: list[Entry] = []

    def park(self, cell: Cell, entry: Entry) -> None:
        """Takes in a cell that left its lane. A representative behind it stands for itself only from now on."""
        cell.room = self
        cell.queued = entry
        heappush(self._heap, entry)
        stands = self.representative
        if stands is not None:
            head = stands.head()
            if head is None or entry < head:
                stands.represents = None
                self.representative = None

    def hear(self, cell: Cell, entry: Entry) -> None:
        """A parked cell has a better first waiter: it wakes where it beats the representative and there is room."""
        self.park(cell, entry)
        self.open()

    def has_room(self) -> bool:
        """Returns whether the limit has room for one of them."""
        return self.crowd.available(self.lane.band.view) >= self.need

    def open(self) -> None:
        """Somebody must stand for those here while the limit has room."""
        if self.representative is None and self.has_room():
            self._wake_first()

    def retire(self, cell: Cell) -> None:
        """The representative no longer stands for the others: the next wakes where there is room."""
        cell.represents = None
        self.representative = None
        if self.has_room():
            self._wake_first()
        elif not self._heap:
            self._close()

    def _wake_first(self) -> None:
        entry = self._take_first()
        if entry is None:
            self.representative = None
            self._close()
            return
        cell = self.representative = entry[5]
        cell.room = None
        cell.represents = self
        self.lane.push(cell, entry)

    def _close(self) -> None:
        self.crowd.rooms.pop((self.lane, self.need), None)

    def _take_first(self) -> Entry | None:
        heap = self._heap
        while heap:
            entry = heap[0]
            cell = entry[5]
            if cell.room is not self or cell.queued is not entry:
                heappop(heap)
                continue
            head = cell.head()
            if head is entry:
                return heappop(heap)
            if head is None:
                heappop(heap)
                cell.room = None
                cell.queued = None
            else:
                cell.queued = head
                heapreplace(heap, head)
        return None
