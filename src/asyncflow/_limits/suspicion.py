"""Suspicion: whether a deadlock may have come about since the last reduction. Cheap, and wrong on one side only.

A reduction looks at everybody who waits inside an op, so it must not run in every round. Mostly none is needed. Take
the holders with a blocked descendant as *stuck*, and let everybody else finish. A nested waiter that then fits, since
for each limit it asks for what the stuck ones leave is enough, or what its own sources have is, is *safe*; if all are
safe, all go, and there is no deadlock.

So for each limit the units owned by stuck holders are kept (`Limit.stuck`), and for each nested cell the units it
needs of limits that its own sources do not cover (`Suspicion.relies`). Nothing but an arrival inside an op, a change
of what somebody holds, or a change of a limit can make a safe waiter unsafe; each is compared with what relies on it.

Lending edges break the argument (who lends need not be an ancestor of who borrows), so from the first edge on every
round with nested waiters is suspicious.
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import GRANTED, Claim, chain
from asyncflow._limits.holding import Holding
from asyncflow._limits.limit import Limit


class Suspicion:
    """What is known of nested waiters without a reduction.

    Attributes:
        due: True where a reduction is needed.
        relies: For each limit the nested cells that need free units of it, and how many.
    """

    __slots__ = ("due", "relies")

    def __init__(self) -> None:
        self.due = False
        self.relies: dict[Limit, dict[Cell, int]] = {}

    def enter(self, cell: Cell) -> None:
        """The waiters of a cell may borrow from now on: those around them are stuck."""
        for claim in chain(cell.parent):
            holding = Holding.of(claim)
            holding.blocked += 1
            if holding.blocked == 1:
                self._stick(claim, holding, 1)
        self.look(cell)

    def leave(self, cell: Cell) -> None:
        """The waiters of a cell are gone, or have nobody to borrow from any more."""
        for claim in chain(cell.parent):
            holding = Holding.of(claim)
            holding.blocked -= 1
            if not holding.blocked:
                self._stick(claim, holding, -1)
        self._rely(cell, {})

    def look(self, cell: Cell) -> None:
        """What a nested cell may borrow changed."""
        if cell.demand.external:
            return
        left = {limit: amount for limit, amount in cell.demand.needs if amount > _covered(cell, limit)}
        self._rely(cell, left)
        for limit, amount in left.items():
            if limit.capacity is not None and limit.capacity - limit.stuck < amount:
                self.due = True

    def _rely(self, cell: Cell, left: dict[Limit, int]) -> None:
        for limit in cell.relies:
            if limit not in left:
                cells = self.relies[limit]
                del cells[cell]
                if not cells:
                    del self.relies[limit]
        for limit, amount in left.items():
            self.relies.setdefault(limit, {})[cell] = amount
        cell.relies = tuple(left)

    def _stick(self, claim: Claim, holding: Holding, sign: int) -> None:
        """A holder got its first blocked descendant, or lost its last."""
        if claim.state is not GRANTED:
            return
        for limit, units in holding.own.items():
            limit.stuck += sign * units
        if sign > 0:
            self.compare(holding.own)
            for loan in holding.borrowed:  # what it borrowed no longer comes back by itself
                self.compare_cells(loan.lender)

    def compare_cells(self, lender: Claim) -> None:
        """What a claim lent does not come back by itself any more: whoever counted on it looks again."""
        for cell in Holding.of(lender).cells:
            if cell.nested:
                self.look(cell)

    def compare(self, limits: Iterable[Limit]) -> None:
        """Stuck holders own more of these limits, or they changed."""
        for limit in limits:
            cells = self.relies.get(limit)
            if cells and limit.capacity is not None and max(cells.values()) > limit.capacity - limit.stuck:
                self.due = True


def _covered(cell: Cell, limit: Limit) -> int:
    """Returns how many units of a limit the sources of a cell have once those who are not stuck gave theirs back."""
    if not limit.reentrant:
        return 0
    units = 0
    for source in cell.sources:
        holding = source.holding
        if source.state is not GRANTED:
            continue
        if holding is None:
            units += source.demand.amount(limit)
            continue
        units += holding.own.get(limit, 0) + holding.borrowed_of(limit)
        for loan in holding.lent:
            if loan.limit is limit and loan.borrower.holding is not None and loan.borrower.holding.blocked:
                units -= loan.amount
    return units
