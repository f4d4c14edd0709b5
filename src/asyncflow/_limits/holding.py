"""What a grant has beside the simple case: units of its own, units it borrowed, units it lent.

A unit is owned by one grant. It may be lent, and what was borrowed may be lent on, but to one borrower at a time: what
others may still borrow of a claim is all it has less what it lent. A grant that owns exactly its demand needs none of
this and has no `Holding`; one is opened when it first borrows, lends, gives something back early, or when a claim
inside it waits, which has to be told when that changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.claim import GRANTED, Claim
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.cell import Cell


class Loan:
    """`amount` units of `limit` that `lender` lets `borrower` use.

    `order` sorts loans by when they were made. A loan that takes the place of another keeps its place.
    """

    __slots__ = ("amount", "borrower", "lender", "limit", "order")

    def __init__(self, lender: Claim, borrower: Claim, limit: Limit, amount: int, order: tuple[int, ...]) -> None:
        self.lender = lender
        self.borrower = borrower
        self.limit = limit
        self.amount = amount
        self.order = order

    def __repr__(self) -> str:
        return f"<loan of {self.amount} {self.limit.name} from {self.lender.seq} to {self.borrower.seq}>"


class Holding:
    """The details of one grant.

    Attributes:
        asked: What the grant still covers of its demand.
        own: The units it owns.
        lent: What it lent, in order of making.
        borrowed: What it borrowed, in order of making.
        cells: The cells of waiters that may borrow from it.
        blocked: How many nested cells wait inside it.
    """

    __slots__ = ("asked", "blocked", "borrowed", "cells", "lent", "own")

    def __init__(self, claim: Claim) -> None:
        covered = dict(claim.demand.needs) if claim.state is GRANTED else {}
        self.asked = covered
        self.own = dict(covered)
        self.lent: list[Loan] = []
        self.borrowed: list[Loan] = []
        self.cells: dict[Cell, None] = {}
        self.blocked = 0

    @classmethod
    def of(cls, claim: Claim) -> Holding:
        """Returns the holding of a claim, opened where it has none."""
        if claim.holding is None:
            claim.holding = cls(claim)
        return claim.holding

    def borrowed_of(self, limit: Limit) -> int:
        """Returns how many units of `limit` it borrowed."""
        return sum([loan.amount for loan in self.borrowed if loan.limit is limit])

    def lent_of(self, limit: Limit) -> int:
        """Returns how many units of `limit` it lent."""
        return sum([loan.amount for loan in self.lent if loan.limit is limit])


def lendable(claim: Claim, limit: Limit) -> int:
    """Returns how many units of `limit` others may still borrow of `claim`."""
    if claim.state is not GRANTED or not limit.reentrant:
        return 0
    holding = claim.holding
    if holding is None:
        return claim.demand.amount(limit)
    units = holding.own.get(limit, 0)
    for loan in holding.borrowed:
        if loan.limit is limit:
            units += loan.amount
    for loan in holding.lent:
        if loan.limit is limit:
            units -= loan.amount
    return units


def holds_something(claim: Claim) -> bool:
    """Returns whether a claim is granted and has a unit of anything, its own or borrowed."""
    if claim.state is not GRANTED:
        return False
    holding = claim.holding
    if holding is None:
        return bool(claim.demand.needs)
    return bool(holding.borrowed) or any(holding.own.values())


def place(loan: Loan) -> tuple[int, ...]:
    """Sorts loans by when they were made."""
    return loan.order
