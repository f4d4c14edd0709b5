"""Who is deadlocked: let everybody finish who can, until nobody can (readings R12 and R13)."""

from __future__ import annotations

from asyncflow._limits.audit.books import Books
from asyncflow._limits.audit.waiter import Claim, Limit, Party, Waiter


def can_never_fit(books: Books, waiter: Waiter) -> bool:
    """Whether a nested waiter asks a limit that never lends for more than its own ancestors leave there."""
    ancestors = waiter.main.ancestors()
    return books.nested(waiter.main) and any(
        not limit.reentrant
        and limit.capacity is not None
        and limit.capacity > 0
        and limit.capacity - sum(books.owned(ancestor, limit) for ancestor in ancestors) < amount
        for limit, amount in waiter.needs
    )


class Reduction:
    """Lets everybody finish who can, until nobody can; `waiters` and `unparking` are then the deadlocked ones."""

    def __init__(self, books: Books, waiters: list[Waiter], unparking: list[Claim]) -> None:
        self.books = books.copy()
        self.waiters = [waiter for waiter in waiters if books.nested(waiter.main)]
        self.unparking = list(unparking)
        while self._finish_holders() or self._start_waiters() or self._unpark():
            pass

    def youngest(self) -> Claim | None:
        """Returns the youngest claim that is left, the next victim."""
        left = [*(waiter.main for waiter in self.waiters), *self.unparking]
        return max(left, key=lambda claim: claim.seq, default=None)

    def _finish_holders(self) -> bool:
        done = [holder for holder in self.books.own if self._can_finish(holder)]
        for holder in done:
            self.books.close(holder)
        return bool(done)

    def _can_finish(self, holder: Claim) -> bool:
        live = [*self.books.own, *(part for waiter in self.waiters for part in waiter.parts)]
        if holder in self.unparking or any(claim.parent is holder for claim in live):
            return False
        return not any(
            awaits(holder, claim, edge.borrower) for edge in self.books.edges if edge.lender is holder for claim in live
        )

    def _start_waiters(self) -> bool:
        gone: list[Waiter] = []
        for waiter in self.waiters:
            if self._would_start(waiter):
                gone.extend(waiter.ghosts or [waiter])
        self.waiters = [waiter for waiter in self.waiters if waiter not in gone]
        return bool(gone)

    def _would_start(self, waiter: Waiter) -> bool:
        if not self.books.nested(waiter.main) or waiter.hopeless or waiter.remote:
            return True
        return all(self._covered(waiter.main, limit, amount) for limit, amount in waiter.needs)

    def _covered(self, claim: Claim, limit: Limit, amount: int) -> bool:
        free = amount if limit.capacity is None else max(0, limit.capacity - self.books.held(limit))
        return free >= amount or (self.books.borrow(claim, limit, amount - free, self.books.sources(claim)) is not None)

    def _unpark(self) -> bool:
        on = [claim for claim in self.unparking if missing_loans(self.books, claim) is not None]
        self.unparking = [claim for claim in self.unparking if claim not in on]
        return bool(on)


def awaits(lender: Claim, other: Claim, borrower: Claim | Party) -> bool:
    """Whether a parked `lender` waits for `other` because of its edge to `borrower`."""
    if other is lender or other in lender.ancestors() or lender in other.ancestors():
        return False
    return other is borrower or other.party is borrower


def missing_loans(books: Books, claim: Claim) -> list[tuple[Limit, int]] | None:
    """What an un-parking claim must borrow to go on: nothing if its units are back; None if it cannot go on yet."""
    out: list[tuple[Limit, int]] = []
    for limit, need in claim.holds.items():
        away = sum(
            loan.amount
            for loan in books.loans
            if loan.lender is claim and loan.limit is limit and claim not in loan.borrower.ancestors()
        )
        missing = need - (books.owned(claim, limit) + books.borrowed(claim, limit) - away)
        if missing > 0:
            if books.borrow(claim, limit, missing, books.sources(claim)) is None:
                return None
            out.append((limit, missing))
    return out
