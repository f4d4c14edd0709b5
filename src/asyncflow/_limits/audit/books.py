"""Who owns and who lends what: sums over lists, and the one rule for the end of a lender."""

from __future__ import annotations

from asyncflow._limits.audit.waiter import Claim, Edge, Limit, Loan


class Books:
    """The grants' own units, the loans between them, and the lending edges of parked claims."""

    def __init__(self) -> None:
        self.own: dict[Claim, dict[Limit, int]] = {}  # one entry per live grant, in order of start
        self.loans: list[Loan] = []  # in order of making
        self.edges: list[Edge] = []  # in order of making

    def copy(self) -> Books:
        """The same books, to be written in freely."""
        other = Books()
        other.own = {claim: dict(own) for claim, own in self.own.items()}
        other.loans = [Loan(loan.lender, loan.borrower, loan.limit, loan.amount) for loan in self.loans]
        other.edges = list(self.edges)
        return other

    # -------------------------------------------------------------------------------------------------- reading
    def held(self, limit: Limit) -> int:
        return sum(own.get(limit, 0) for own in self.own.values())

    def owned(self, claim: Claim, limit: Limit) -> int:
        return self.own[claim].get(limit, 0) if claim in self.own else 0

    def borrowed(self, claim: Claim, limit: Limit) -> int:
        return sum(loan.amount for loan in self.loans if loan.borrower is claim and loan.limit is limit)

    def lent(self, claim: Claim, limit: Limit) -> int:
        return sum(loan.amount for loan in self.loans if loan.lender is claim and loan.limit is limit)

    def lendable(self, claim: Claim, limit: Limit) -> int:
        """What others may still borrow of `claim`: all it has, own or borrowed, less what it lent already."""
        if claim not in self.own or not limit.reentrant:
            return 0
        return self.owned(claim, limit) + self.borrowed(claim, limit) - self.lent(claim, limit)

    def holds_something(self, claim: Claim) -> bool:
        return claim in self.own and (
            any(self.own[claim].values()) or any(loan.borrower is claim for loan in self.loans)
        )

    def parked(self, claim: Claim) -> bool:
        return any(edge.lender is claim for edge in self.edges)

    def sources(self, claim: Claim) -> list[Claim]:
        """Whom `claim` may borrow from: its ancestors, nearest first, then parked lenders, oldest edge first."""
        ancestors = claim.ancestors()
        out = list(ancestors)
        for edge in self.edges:
            reaches = edge.borrower is claim or edge.borrower is claim.party or edge.borrower in ancestors
            if reaches and edge.lender is not claim and edge.lender not in out:
                out.append(edge.lender)
        return [source for source in out if source in self.own]

    def nested(self, claim: Claim) -> bool:
        return any(self.holds_something(source) for source in self.sources(claim))

    # -------------------------------------------------------------------------------------------------- writing
    def borrow(self, borrower: Claim, limit: Limit, amount: int, sources: list[Claim]) -> list[Loan] | None:
        """The loans that cover `amount` from `sources` in their order, not yet made; None if they do not cover it."""
        loans: list[Loan] = []
        for source in sources:
            part = min(amount, self.lendable(source, limit))
            if part > 0:
                loans.append(Loan(source, borrower, limit, part))
                amount -= part
        return loans if amount == 0 else None

    def give_back(self, claim: Claim, limit: Limit) -> None:
        """Ends what `claim` has of `limit`.

        What it lent becomes the borrowers' own as far as it owned it, loan by loan in the order of making; the rest
        is handed on to those it had itself borrowed from, in the order of borrowing. So nobody who uses a unit, or
        lent it back and will want it again, loses it, and `held` never grows.
        """
        own = self.own[claim].pop(limit, 0)
        borrowed = [loan for loan in self.loans if loan.borrower is claim and loan.limit is limit]
        after: list[Loan] = []
        for loan in self.loans:
            if loan.limit is not limit or loan.lender is not claim:
                if loan not in borrowed:
                    after.append(loan)
                continue
            passed_on = min(own, loan.amount)
            if passed_on:
                own -= passed_on
                self.own[loan.borrower][limit] = self.own[loan.borrower].get(limit, 0) + passed_on
            left = loan.amount - passed_on
            for source in borrowed:
                part = min(left, source.amount)
                if part and source.lender is not loan.borrower:  # what the borrower had lent it is simply back
                    after.append(Loan(source.lender, loan.borrower, limit, part))
                source.amount -= part
                left -= part
        self.loans = after

    def close(self, claim: Claim) -> None:
        """Ends the whole grant of `claim`, and its lending edges."""
        limits = {*self.own[claim], *(loan.limit for loan in self.loans if claim in {loan.lender, loan.borrower})}
        for limit in sorted(limits, key=lambda one: one.seq):
            self.give_back(claim, limit)
        del self.own[claim]
        self.edges = [edge for edge in self.edges if claim is not edge.lender and claim is not edge.borrower]
