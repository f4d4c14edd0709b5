"""Deadlocks, found by reduction: let everybody finish who can, until nobody can.

A cycle of holders and waiters alone is a false alarm, since a unit may come from elsewhere. So: finish every holder
that does not await a blocked child; let nested waiters go that then fit, by borrowing too; repeat (Holt 1972, for
units that are counted). From what remains the youngest waiter is taken out, and everything starts over. The reduction
is complete for waits through the core that an op cannot abandon. A waiter that is short because of a pause, a
capacity below its need or another side counts as one that will start.

Only waiters inside ops matter, and un-parkers: everybody else starts some day. Holders without a blocked descendant
all finish in the first step, so they are never looked at: what is free of a limit then is what the others leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asyncflow._limits.books import Books
from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import GRANTED, Claim, chain
from asyncflow._limits.group import Party
from asyncflow._limits.holding import place
from asyncflow._limits.lending import Edge
from asyncflow._limits.limit import Limit


class Blocked:
    """Waiters that go together: all of a cell, or one ghost.

    Attributes:
        claims: The waiters.
        cell: Their cell.
        parent: The claim around them.
        lone: The waiter itself, where edges lead to it.
    """

    __slots__ = ("cell", "claims", "lone", "parent")

    def __init__(self, cell: Cell, claims: list[Claim]) -> None:
        self.cell = cell
        self.claims = claims
        self.parent, self.lone = cell.parent, cell.lone

    @property
    def parts(self) -> list[Claim]:
        """All claims that wait here, both halves of a ghost."""
        ghost = self.claims[0].ghost
        return self.claims if ghost is None else ghost.claims


class Loaned:
    """A loan between two holders, to be written in freely."""

    __slots__ = ("amount", "borrower", "lender", "limit")

    def __init__(self, lender: Claim, borrower: Claim, limit: Limit, amount: int) -> None:
        self.lender = lender
        self.borrower = borrower
        self.limit = limit
        self.amount = amount


class Reduction:
    """One reduction; `blocked` and `unparking` are those that can never go on.

    Args:
        books: Who holds what; not changed.
        nested: The cells whose waiters may borrow.
        apart: Waiters that stand outside their cells' heaps.
    """

    __slots__ = ("_edges", "_held", "_loans", "_own", "blocked", "unparking")

    def __init__(self, books: Books, nested: Iterable[Cell], apart: Iterable[Claim]) -> None:
        self._edges: list[Edge] = list(books.lending.edges)
        self.unparking = list(books.lending.unparking)
        self.blocked = _blocked(nested, apart)
        self._own = self._holders()
        lent = [loan for claim in self._own if claim.holding is not None for loan in claim.holding.lent]
        self._loans = [
            Loaned(loan.lender, loan.borrower, loan.limit, loan.amount)
            for loan in sorted(lent, key=place)
            if loan.borrower in self._own
        ]
        self._held: dict[Limit, int] = {}
        for own in self._own.values():
            for limit, units in own.items():
                self._held[limit] = self._held.get(limit, 0) + units
        while self._finish() or self._start() or self._unpark():
            pass

    def youngest(self) -> Claim | None:
        """Returns the youngest of those that can never go on."""
        left = [claim for one in self.blocked for claim in one.claims]
        return max([*left, *self.unparking], key=lambda claim: claim.seq, default=None)

    # ── who takes part ────────────────────────────────────────────────────────────────────────────────────────────

    def _holders(self) -> dict[Claim, dict[Limit, int]]:
        """Returns what the holders own that do not simply finish, and whoever lends to them."""
        found: dict[Claim, dict[Limit, int]] = {}
        todo = [
            *[one.parent for one in self.blocked],
            *[edge.lender for edge in self._edges],
            *self.unparking,
        ]
        while todo:
            for claim in chain(todo.pop()):
                if claim.state is not GRANTED or claim in found:
                    continue
                holding = claim.holding
                if holding is None:
                    found[claim] = dict(claim.demand.needs)
                else:
                    found[claim] = dict(holding.own)
                    todo.extend([loan.lender for loan in holding.borrowed])
        return found

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _finish(self) -> bool:
        """Ends the holders that await nobody; returns whether there were any."""
        awaited = {one.parent for one in self.blocked} | {claim.parent for claim in self._own}
        awaited.update(self.unparking)
        if self._edges:
            awaited.update([edge.lender for edge in self._edges if self._awaits(edge)])
        done = [claim for claim in self._own if claim not in awaited]
        for claim in done:
            self._close(claim)
        return bool(done)

    def _awaits(self, edge: Edge) -> bool:
        """Returns whether a parked lender waits for somebody because of an edge."""
        lender, borrower = edge.lender, edge.borrower
        live = [*self._own, *[claim for one in self.blocked for claim in one.parts]]
        meant = [one for one in live if one is borrower or (isinstance(borrower, Party) and one.party is borrower)]
        return any(
            one is not lender and one not in chain(lender.parent) and lender not in chain(one.parent) for one in meant
        )

    def _start(self) -> bool:
        """Lets waiters go that would fit; returns whether there were any."""
        gone = [one for one in self.blocked if self._would_start(one)]
        if not gone:
            return False
        families = {claim.ghost.family for one in gone for claim in one.claims if claim.ghost is not None}
        left = [one for one in self.blocked if one not in gone]
        self.blocked = [
            one for one in left if one.claims[0].ghost is None or one.claims[0].ghost.family not in families
        ]
        return True

    def _would_start(self, one: Blocked) -> bool:
        demand = one.cell.demand
        if demand.hopeless or demand.external:
            return True
        sources = self._sources(one.parent, one.lone)
        if not any(self._holds_something(source) for source in sources):
            return True
        return all(self._covered(limit, amount, sources) for limit, amount in demand.needs)

    def _unpark(self) -> bool:
        """Lets un-parkers go on whose units are back or can be borrowed; returns whether there were any."""
        on = [claim for claim in self.unparking if self._goes_on(claim)]
        self.unparking = [claim for claim in self.unparking if claim not in on]
        return bool(on)

    def _goes_on(self, claim: Claim) -> bool:
        if claim.holding is None:
            return True
        sources = self._sources(claim.parent, claim)
        for limit, amount in claim.holding.asked.items():
            has = self._own[claim].get(limit, 0)
            for loan in self._loans:
                if loan.limit is limit and loan.borrower is claim:
                    has += loan.amount
                elif loan.limit is limit and loan.lender is claim and claim not in chain(loan.borrower.parent):
                    has -= loan.amount
            if has < amount and sum([self._lendable(source, limit) for source in sources]) < amount - has:
                return False
        return True

    # ── scratch books ─────────────────────────────────────────────────────────────────────────────────────────────

    def _sources(self, parent: Claim | None, lone: Claim | None) -> list[Claim]:
        above = chain(parent)
        found = [claim for claim in above if claim in self._own]
        for edge in self._edges:
            borrower, lender = edge.borrower, edge.lender
            if lender is lone or lender in found or lender not in self._own:
                continue
            if borrower in above or (lone is not None and (borrower is lone or borrower is lone.party)):
                found.append(lender)
        return found

    def _holds_something(self, claim: Claim) -> bool:
        return any(self._own[claim].values()) or any(loan.borrower is claim for loan in self._loans)

    def _lendable(self, claim: Claim, limit: Limit) -> int:
        if not limit.reentrant:
            return 0
        units = self._own[claim].get(limit, 0)
        for loan in self._loans:
            if loan.limit is limit:
                if loan.borrower is claim:
                    units += loan.amount
                if loan.lender is claim:
                    units -= loan.amount
        return units

    def _covered(self, limit: Limit, amount: int, sources: list[Claim]) -> bool:
        if limit.capacity is None:
            return True
        free = max(0, limit.capacity - self._held.get(limit, 0))
        return free >= amount or free + sum([self._lendable(source, limit) for source in sources]) >= amount

    def _close(self, claim: Claim) -> None:
        """Ends a holder, as `Books.end` would."""
        own = self._own.pop(claim)
        for limit, units in own.items():
            self._held[limit] -= units
        after: list[Loaned] = []
        borrowed = [loan for loan in self._loans if loan.borrower is claim]
        for loan in self._loans:
            if loan.lender is not claim:
                if loan.borrower is not claim:
                    after.append(loan)
                continue
            limit = loan.limit
            passed_on = min(own.get(limit, 0), loan.amount)
            if passed_on:
                own[limit] -= passed_on
                theirs = self._own[loan.borrower]
                theirs[limit] = theirs.get(limit, 0) + passed_on
                self._held[limit] = self._held.get(limit, 0) + passed_on
            left = loan.amount - passed_on
            for source in borrowed:
                if source.limit is not limit:
                    continue
                units = min(left, source.amount)
                if units and source.lender is not loan.borrower:
                    after.append(Loaned(source.lender, loan.borrower, limit, units))
                source.amount -= units
                left -= units
        self._loans = after
        self._edges = [edge for edge in self._edges if claim is not edge.lender and claim is not edge.borrower]


def never_fits(claim: Claim) -> bool:
    """Returns whether a nested waiter asks a limit that never lends for more than its ancestors leave there."""
    above = chain(claim.parent)
    return any(
        not limit.reentrant
        and limit.capacity is not None
        and 0 < limit.capacity < amount + sum([one.own_of(limit) for one in above])
        for limit, amount in claim.asked.needs
    )


def _blocked(nested: Iterable[Cell], apart: Iterable[Claim]) -> list[Blocked]:
    """Returns those who wait inside others: cell by cell, ghosts one by one."""
    beside: dict[Cell, list[Claim]] = {}
    for claim in apart:
        if claim.cell is not None and claim.cell.nested:
            beside.setdefault(claim.cell, []).append(claim)
    found: list[Blocked] = []
    for cell in nested:
        claims = [*cell.standing(), *beside.get(cell, ())]
        if claims and claims[0].ghost is not None:
            found.extend([Blocked(cell, [claim]) for claim in claims])
        elif claims:
            found.append(Blocked(cell, claims))
    return found


def chain_of_waits(claim: Claim, describe: Callable[[Any], str]) -> tuple[str, ...]:
    """Returns who holds and who waits, from the outermost ancestor to the claim itself, for people."""
    told: list[str] = []
    for above in reversed(chain(claim.parent)):
        units = {limit: above.own_of(limit) + above.borrowed_of(limit) for limit, _ in above.demand.needs}
        holds = ", ".join([f"{limit.name}({held})" for limit, held in units.items() if held])
        told.append(f"{describe(above.owner)} holds {holds or 'nothing'}")
    asks = ", ".join([f"{limit.name}({amount})" for limit, amount in claim.asked.needs])
    told.append(f"{describe(claim.owner)} waits for {asks}")
    return tuple(told)
