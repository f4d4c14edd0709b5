"""A line: those of one run priority who wait for one limit, for counting who is passed.

Two counts find those who would wait for ever. One belongs to the line: starts on the limit while the first in order
did not fit. The order here is the fixed one (run arrival, op order, age): shares change with every start, and whoever
was served last would be first by turns. The other belongs to the waiter: starts on the limit while it was the oldest.
The second alone gives the bound that is promised; the first finds a wide waiter of a new run long before that.

Only cells that are counted stand in a line: those whose waiters may not borrow and could ever fit now. Entries go
stale as in lanes; a cell that cannot fit is thrown out when it surfaces and comes back when it can (`Queue.judge`).
"""

from __future__ import annotations

from heapq import heappop, heapreplace
from typing import TypeAlias

from asyncflow._limits.cell import Cell, eligible
from asyncflow._limits.claim import Claim, Entry

Aged: TypeAlias = tuple[int, int, Cell]
"""A cell by its oldest waiter; the number ends ties."""


class Line:
    """The cells of one run priority that wait for one limit.

    Attributes:
        priority: The run priority.
        levels: How many demands of this priority ask for the limit.
        passed: Starts on the limit while the first in order did not fit.
        front: Its cells by their first waiters.
        ages: Its cells by their oldest waiters.
    """

    __slots__ = ("ages", "front", "levels", "passed", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.levels = 0
        self.passed = 0
        self.front: list[Entry] = []
        self.ages: list[Aged] = []

    def first(self) -> Entry | None:
        """Returns the first waiter in order that is counted, by its place."""
        front = self.front
        while front:
            entry = front[0]
            cell = entry[5]
            head = cell.head() if eligible(cell) else None
            if head is None:
                heappop(front)
            elif head is entry:
                return head
            else:
                heapreplace(front, head)
        return None

    def oldest(self) -> Claim | None:
        """Returns the oldest waiter that is counted."""
        ages = self.ages
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
