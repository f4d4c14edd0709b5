"""A line: those of one run priority who wait for one limit, for counting who is passed.

Two counts find those who would wait for ever. One belongs to the line: starts on the limit while the first in order
did not fit. The order here is the fixed one (run arrival, op order, age): shares change with every start, and whoever
was served last would be first by turns. The other belongs to the waiter: starts on the limit while it was the oldest.
The second alone gives the bound that is promised; the first finds a wide waiter of a new run long before that.

Only cells that are counted stand in a line: those whose waiters may not borrow and could ever fit now. Entries go
stale as in lanes; a cell that cannot fit is thrown out when it surfaces and comes back when it can (`Queue.judge`).
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace

from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Claim, Entry


class Line:
    """The cells of one run priority that wait for one limit.

    Attributes:
        priority: The run priority.
        cells: How many cells ask for the limit, those not counted included.
        passed: Starts on the limit while the first in order did not fit.
    """

    __slots__ = ("_ages", "_front", "cells", "passed", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.cells = 0
        self.passed = 0
        self._front: list[tuple[Entry, int, Cell]] = []
        self._ages: list[tuple[int, int, Cell]] = []

    def enter(self, cell: Cell, entry: Entry) -> None:
        """A cell has a new first waiter, or is counted again."""
        heappush(self._front, (entry, cell.number, cell))

    def age(self, cell: Cell, seq: int) -> None:
        """A cell has a new oldest waiter, or is counted again."""
        heappush(self._ages, (seq, cell.number, cell))

    def first(self) -> Claim | None:
        """Returns the first waiter in order that is counted."""
        front = self._front
        while front:
            entry, tie, cell = front[0]
            head = cell.head() if eligible(cell) else None
            if head is None:
                heappop(front)
            elif head is entry:
                return head[3]
            else:
                heapreplace(front, (head, tie, cell))
        return None

    def oldest(self) -> Claim | None:
        """Returns the oldest waiter that is counted."""
        ages = self._ages
        while ages:
            seq, tie, cell = ages[0]
            claim = cell.oldest() if eligible(cell) else None
            if claim is None:
                heappop(ages)
            elif claim.seq == seq:
                return claim
            else:
                heapreplace(ages, (claim.seq, tie, cell))
        return None


def eligible(cell: Cell) -> bool:
    """Returns whether the waiters in the heap of a cell are counted."""
    return cell.counted and not cell.nested and not cell.demand.hopeless
