"""The books: who owns and who borrows what. The only place where units change hands.

Invariants, recomputed by `Admission.check()`:

- `limit.held` is the sum of what grants own of it, and `stake.held` the same for one group. Both are written in
  `grant`, `end` and `move` only, and never alone.
- What a grant owns and borrows of a limit is what it asked for, as long as it did not give it back.
- A claim never lends more than it has.

When a lender ends or gives a limit back while it lends, nobody who uses a unit loses it: what it lent becomes the
borrowers' own as far as it owned it, and the rest is handed on to those it had itself borrowed from. So `held` never
grows by an end.

The books tell others what they must look at again: `risen` and `touched` limits that somebody waits for, and `changed`
claims from which somebody waits to borrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asyncflow._limits.claim import ENDED, GRANTED, Claim
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Group, Purse
from asyncflow._limits.holding import Holding, Loan, lendable, place
from asyncflow._limits.limit import Limit
from asyncflow._limits.suspicion import Suspicion

if TYPE_CHECKING:
    from asyncflow._limits.lending import Lending


class Books:
    """All grants of an `Admission`.

    Attributes:
        granted: The live grants, in order of start.
        ended: For grants that ended since the last round and owned exactly their demand: what their group had, and
            since when. Their service is still to be added.
        notes: The same for single limits: group, limit, units, and since when.
        risen: Limits with waiters on which units came back.
        touched: Limits with waiters on which anything changed.
        changed: Claims whose lendable units changed and from which waiters may borrow.
    """

    __slots__ = ("_loans", "changed", "ended", "granted", "lending", "notes", "risen", "suspicion", "touched")

    def __init__(self, lending: Lending, suspicion: Suspicion) -> None:
        self.lending = lending
        self.suspicion = suspicion
        self.granted: dict[Claim, None] = {}
        self.ended: list[tuple[Purse, int]] = []
        self.notes: list[tuple[Group, Limit, int, int]] = []
        self.risen: list[Limit] = []
        self.touched: list[Limit] = []
        self.changed: dict[Claim, None] = {}
        self._loans = 0

    # ── units change hands ────────────────────────────────────────────────────────────────────────────────────────

    def grant(self, claim: Claim, now: int) -> None:
        """Grants a claim everything it asks for, as its own."""
        claim.state = GRANTED
        claim.granted_at = now
        self.granted[claim] = None
        group, demand = claim.party.group, claim.demand
        for limit, amount in demand.needs:
            limit.held += amount
            if limit.crowd is not None:
                self._crowded(limit, self.touched)
        purse = group.purses.get(demand)
        for stake, amount in group.purse(demand) if purse is None else purse:
            stake.held += amount
        if claim.holding is not None:
            self._reopen(claim, dict(demand.needs))

    def end(self, claim: Claim) -> None:
        """Ends a whole grant."""
        if claim.holding is not None:
            self._end_holding(claim, claim.holding)
            return
        claim.state = ENDED
        del self.granted[claim]
        group, demand = claim.party.group, claim.demand
        for limit, amount in demand.needs:
            limit.held -= amount
            if limit.crowd is not None:
                self._crowded(limit, self.risen)
        purse = group.purses.get(demand)
        if purse is None:
            purse = group.purse(demand)
        for stake, amount in purse:
            stake.held -= amount
        self.ended.append((purse, claim.granted_at))
        if group.lanes:
            for lane in group.lanes:
                lane.lower()

    def move(self, group: Group, limit: Limit, units: int) -> None:
        """A grant of `group` owns more units of a limit from now on, or fewer."""
        limit.held += units
        if limit.named:
            group.stake(limit).held += units
            group.untouched = False
        if limit.crowd is not None:
            self._crowded(limit, self.touched if units > 0 else self.risen)
        if units < 0:
            for lane in group.lanes:
                lane.lower()

    @staticmethod
    def _crowded(limit: Limit, changed: list[Limit]) -> None:
        """Units of a limit that somebody waits for were taken or came back."""
        if limit.external:
            limit.settle()
        changed.append(limit)

    def grant_borrowing(self, claim: Claim, now: int, sources: Sequence[Claim], free: dict[Limit, int]) -> None:
        """Grants a claim: of each limit the free units first, the rest from `sources` in their order.

        Args:
            claim: The claim.
            now: The reading of the round.
            sources: Whom it may borrow from.
            free: What it may own of each limit; what it takes is taken away from this.
        """
        own: dict[Limit, int] = {}
        loans: list[Loan] = []
        for limit, amount in claim.demand.needs:
            own[limit] = min(amount, free[limit])
            free[limit] -= own[limit]
            loans.extend(self.plan_loans(claim, limit, amount - own[limit], sources) or ())
        claim.state = GRANTED
        claim.granted_at = now
        self.granted[claim] = None
        self._reopen(claim, own)
        for limit, units in own.items():
            if units:
                self.move(claim.party.group, limit, units)
        for loan in loans:
            self._lend(loan)

    def _reopen(self, claim: Claim, own: dict[Limit, int]) -> None:
        """Writes what a claim that was just granted owns."""
        holding = Holding.of(claim)
        holding.asked = dict(claim.demand.needs)
        holding.own = own
        if holding.blocked:
            for limit, units in own.items():
                limit.stuck += units
            self.suspicion.compare(own)
        self._tell(claim)

    def plan_loans(self, borrower: Claim, limit: Limit, amount: int, sources: Sequence[Claim]) -> list[Loan] | None:
        """Returns the loans that cover `amount`, not yet made; None where the sources do not cover it."""
        loans: list[Loan] = []
        if amount <= 0:
            return loans
        for source in sources:
            part = min(amount, lendable(source, limit))
            if part > 0:
                self._loans += 1
                loans.append(Loan(source, borrower, limit, part, (self._loans,)))
                amount -= part
        return None if amount else loans

    def borrow(self, borrower: Claim, limit: Limit, amount: int) -> None:
        """Lets `borrower` have more of `limit`, from its sources."""
        for loan in self.plan_loans(borrower, limit, amount, self.lending.sources(borrower.parent, borrower)) or ():
            self._lend(loan)

    def _lend(self, loan: Loan) -> None:
        Holding.of(loan.lender).lent.append(loan)
        Holding.of(loan.borrower).borrowed.append(loan)
        self._tell(loan.lender)
        self._tell(loan.borrower)

    # ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _end_holding(self, claim: Claim, holding: Holding) -> None:
        """Ends a whole grant that borrowed, lent or gave something back, and its lending edges."""
        for limit in sorted({*holding.own, *[loan.limit for loan in [*holding.borrowed, *holding.lent]]}, key=_by_seq):
            self._note(claim, limit, holding.own.get(limit, 0))
            self._give_back(claim, holding, limit)
        holding.asked = {}
        claim.state = ENDED
        del self.granted[claim]
        self.lending.forget(claim)
        self._tell(claim)

    def let_go(self, claim: Claim, limit: Limit) -> None:
        """Ends a grant's part on one limit."""
        holding = Holding.of(claim)
        self._note(claim, limit, holding.own.get(limit, 0))
        self._give_back(claim, holding, limit)
        del holding.asked[limit]

    def rematch(self, claim: Claim, demand: Demand) -> None:
        """Gives a grant another demand: it owns what is new, above the capacity if need be, and loses what is gone."""
        holding = Holding.of(claim)
        before, after = dict(claim.demand.needs), dict(demand.needs)
        claim.demand = demand
        for limit in sorted({*before, *after}, key=_by_seq):
            old, new = before.get(limit, 0), after.get(limit, 0)
            if old == new or (old and limit not in holding.asked):
                continue  # unchanged, or given back early
            if old and not new:
                self.let_go(claim, limit)
                continue
            if any(loan.limit is limit for loan in [*holding.lent, *holding.borrowed]):
                self.let_go(claim, limit)
            elif new < old:
                self._note(claim, limit, old - new)
            self._own(claim, limit, new - holding.own.get(limit, 0))
            holding.asked[limit] = new
        self._tell(claim)

    def _give_back(self, claim: Claim, holding: Holding, limit: Limit) -> None:
        """Ends what a claim has of one limit; see the top of the file."""
        own = holding.own.get(limit, 0)
        self._own(claim, limit, -own)
        del holding.own[limit]
        borrowed = [loan for loan in holding.borrowed if loan.limit is limit]
        lent = [loan for loan in holding.lent if loan.limit is limit]
        for loan in borrowed:
            self._strike(loan)
        for loan in lent:
            self._strike(loan)
            passed_on = min(own, loan.amount)
            if passed_on:
                own -= passed_on
                self._own(loan.borrower, limit, passed_on)
            left = loan.amount - passed_on
            for part, source in enumerate(borrowed):
                units = min(left, source.amount)
                if units and source.lender is not loan.borrower:  # what the borrower had lent it is simply back
                    self._insert(Loan(source.lender, loan.borrower, limit, units, (*loan.order, part)))
                source.amount -= units
                left -= units
        self._tell(claim)

    def _strike(self, loan: Loan) -> None:
        Holding.of(loan.lender).lent.remove(loan)
        Holding.of(loan.borrower).borrowed.remove(loan)
        self._tell(loan.lender)
        self._tell(loan.borrower)

    def _insert(self, loan: Loan) -> None:
        """Makes a loan in the place of an older one."""
        self._lend(loan)
        Holding.of(loan.lender).lent.sort(key=place)
        Holding.of(loan.borrower).borrowed.sort(key=place)

    def _own(self, claim: Claim, limit: Limit, units: int) -> None:
        """Changes what a grant with a `Holding` owns of one limit."""
        holding = Holding.of(claim)
        holding.own[limit] = holding.own.get(limit, 0) + units
        if units:
            self.move(claim.party.group, limit, units)
            if holding.blocked:
                limit.stuck += units
                self.suspicion.compare([limit])

    def _note(self, claim: Claim, limit: Limit, units: int) -> None:
        if limit.named and units:
            self.notes.append((claim.party.group, limit, units, claim.granted_at))

    def _tell(self, claim: Claim) -> None:
        """Somebody who may borrow from this claim has to look again."""
        if claim.holding is not None and claim.holding.cells:
            self.changed[claim] = None

    def resume_loans(self, other: Books) -> None:
        """Goes on numbering loans where another book is."""
        self._loans = other._loans

    def forget(self, limit: Limit) -> None:
        """A limit is no more: what was served on it is not added any more."""
        self.notes = [note for note in self.notes if note[1] is not limit]

    # ── service ───────────────────────────────────────────────────────────────────────────────────────────────────

    def serve(self, now: int) -> None:
        """Adds the service of what ended since the last round."""
        for purse, since in self.ended:
            elapsed = now - since
            if elapsed:
                for stake, amount in purse:
                    stake.service += amount * elapsed
        self.ended.clear()
        if not self.notes:
            return
        for group, limit, units, since in self.notes:
            group.stake(limit).service += units * (now - since)
        self.notes.clear()


def _by_seq(limit: Limit) -> int:
    return limit.seq
