"""Whom a claim may borrow from: its ancestors, and whoever parked and lends to it.

A child may use what its ancestors hold, nearest first: what an op holds covers the op and what it awaits inside. A
claim that is parked on a stream lends, while it is parked, to the claims or parties named by *edges*; they come and go
at run time. A waiter with a source that holds something is *nested*: it ignores reservations and is not counted,
since otherwise gathering would deadlock with nesting.

Un-parking is a wait of its own: the claim goes on once its units are back, or can be borrowed from another source.
"""

from __future__ import annotations

from collections.abc import Iterator

from asyncflow._limits.claim import GRANTED, Claim, chain
from asyncflow._limits.group import Party
from asyncflow._limits.limit import Limit


class Edge:
    """While it exists, `lender` is parked and `borrower` may borrow all it holds."""

    __slots__ = ("borrower", "lender")

    def __init__(self, lender: Claim, borrower: Claim | Party) -> None:
        self.lender = lender
        self.borrower = borrower


class Lending:
    """The edges, and the claims that wait to go on after parking.

    Attributes:
        edges: In order of making.
        unparking: In order of asking.
        used: True from the first edge or un-parker on.
        stale: To whom edges came or went since somebody looked.
    """

    __slots__ = ("edges", "stale", "unparking", "used")

    def __init__(self) -> None:
        self.edges: list[Edge] = []
        self.unparking: list[Claim] = []
        self.stale: list[Claim | Party] = []
        self.used = False

    def sources(self, parent: Claim | None, lone: Claim | None = None) -> list[Claim]:
        """Returns whom may be borrowed from: ancestors, nearest first, then lenders by edges, oldest first.

        Args:
            parent: The claim around the borrower.
            lone: The borrower itself, where edges may lead to it or its party.
        """
        above = chain(parent)
        found = [one for one in above if one.state is GRANTED]
        for edge in self.edges:
            borrower, lender = edge.borrower, edge.lender
            if lender is lone or lender in found:
                continue
            if borrower in above or (lone is not None and (borrower is lone or borrower is lone.party)):
                found.append(lender)
        return found

    def reaches(self, claim: Claim) -> bool:
        """Returns whether an edge leads to this very claim or its party: then it has sources of its own."""
        return any(edge.borrower is claim or edge.borrower is claim.party for edge in self.edges)

    def add(self, lender: Claim, borrower: Claim | Party) -> None:
        """Parks `lender` and lets `borrower` borrow from it."""
        self.used = True
        self.unparking = [one for one in self.unparking if one is not lender]
        if not any(edge.lender is lender and edge.borrower is borrower for edge in self.edges):
            self.edges.append(Edge(lender, borrower))
            self.stale.append(borrower)

    def remove(self, lender: Claim, borrower: Claim | Party) -> None:
        """Takes one edge away; loans made stay until their borrower ends."""
        self._keep([edge for edge in self.edges if edge.lender is not lender or edge.borrower is not borrower])

    def unpark(self, claim: Claim) -> None:
        """Takes all edges of a lender away; it waits until its units are back."""
        self.used = True
        self._keep([edge for edge in self.edges if edge.lender is not claim])
        if claim not in self.unparking:
            self.unparking.append(claim)

    def forget(self, claim: Claim) -> None:
        """A grant ended: it lends and borrows no more."""
        if self.edges:
            self._keep([edge for edge in self.edges if claim is not edge.lender and claim is not edge.borrower])
        if self.unparking:
            self.unparking = [one for one in self.unparking if one is not claim]

    def _keep(self, edges: list[Edge]) -> None:
        self.stale.extend([edge.borrower for edge in self.edges if edge not in edges])
        self.edges = edges


def away(claim: Claim) -> Iterator[tuple[Limit, int]]:
    """Yields what an un-parking claim lacks of each limit: what it lent to others than its own descendants."""
    holding = claim.holding
    if holding is None:
        return
    for limit, amount in holding.asked.items():
        has = holding.own.get(limit, 0) + holding.borrowed_of(limit)
        for loan in holding.lent:
            if loan.limit is limit and claim not in chain(loan.borrower.parent):
                has -= loan.amount
        if has < amount:
            yield limit, amount - has
