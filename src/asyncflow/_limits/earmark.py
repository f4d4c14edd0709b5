"""Remote pools: the local part is set aside first, the other side is asked then.

A claim that asks for an external limit starts by the other side's grant only. While it waits for that, its local part
is *earmarked*: taken out of what everybody else may have, but held by nobody. Claiming elsewhere without an earmark
and holding the grant until there is room here livelocks (26 starts against 8,942).

An earmark is safe for a while; after that it goes as soon as somebody here could use it, and the next one of the same
waiter is safe for twice as long. Earmarks always fit together into what is free: where a limit shrinks below that, the
newest go. At most capacity + 2 units of an external limit are asked for at once, and always those of the first.
"""

from __future__ import annotations

from asyncflow._limits.books import Books
from asyncflow._limits.claim import Claim
from asyncflow._limits.demand import Demand
from asyncflow._limits.limit import Limit
from asyncflow._limits.role import Role


class Earmark:
    """The local part of a waiter's demand, set aside until the other side answers.

    Attributes:
        demand: What it covers.
        until: Safe before this time.
    """

    __slots__ = ("demand", "until")

    def __init__(self, demand: Demand, until: int) -> None:
        self.demand = demand
        self.until = until


class Earmarks:
    """All earmarks of an `Admission`.

    Args:
        books: Told which limits changed.
        first: Nanoseconds that a waiter's first earmark is safe.
        longest: Nanoseconds that one is safe at most.

    Attributes:
        claims: The waiters that have one, in order of making.
        grants: Claims for which the other side's grant came since the last round.
    """

    __slots__ = ("_books", "_first", "_longest", "claims", "grants")

    def __init__(self, books: Books, *, first: int, longest: int) -> None:
        self._books = books
        self._first = first
        self._longest = longest
        self.claims: dict[Claim, None] = {}
        self.grants: list[Claim] = []

    def make(self, claim: Claim, now: int) -> None:
        """Sets the local part of a waiter's demand aside."""
        role = Role.of(claim)
        role.span = role.span or self._first
        role.earmark = Earmark(claim.asked, now + role.span)
        self.claims[claim] = None
        self._set_aside(claim.asked, 1)

    def remove(self, claim: Claim) -> None:
        """The waiter started, left, or has another demand."""
        role = Role.of(claim)
        if role.earmark is not None:
            self._set_aside(role.earmark.demand, -1)
            role.earmark = None
            del self.claims[claim]

    def drop(self, claim: Claim) -> None:
        """The waiter loses its earmark; the next one is safe for longer."""
        self.remove(claim)
        role = Role.of(claim)
        role.span = min(2 * role.span, self._longest)

    def restore(self, claim: Claim, earmark: Earmark, order: list[Claim]) -> None:
        """Undoes `remove`, in the old place."""
        Role.of(claim).earmark = earmark
        self.claims = dict.fromkeys(order)
        self._set_aside(earmark.demand, 1)

    def unfit(self) -> list[Claim]:
        """Returns those whose earmarks cannot be kept: hopeless, or more than is free with the older ones."""
        taken: dict[Limit, int] = {}
        gone: list[Claim] = []
        for claim in self.claims:
            demand = claim.asked
            if demand.hopeless or any(limit.free - taken.get(limit, 0) < amount for limit, amount in demand.local):
                gone.append(claim)
                continue
            for limit, amount in demand.local:
                taken[limit] = taken.get(limit, 0) + amount
        return gone

    def granted(self, claim: Claim) -> Claim | None:
        """Returns who starts by a grant for `claim`: itself, or the oldest alike of no lower priority."""
        chosen = claim if claim.ghost is None else claim.ghost.run
        if chosen in self.claims:
            return chosen
        alike = [
            one
            for one in self.claims
            if one.demand is claim.demand
            and (one.ghost is None or one.ghost.root is None)
            and one.party.priority >= claim.party.priority
        ]
        return min(alike, key=_age, default=None)

    def mature(self, now: int) -> list[Claim]:
        """Returns those whose earmarks are no longer safe, newest first."""
        return [
            claim
            for claim in reversed(self.claims)
            if claim.role is not None and claim.role.earmark is not None and now >= claim.role.earmark.until
        ]

    def _set_aside(self, demand: Demand, sign: int) -> None:
        for limit, amount in demand.needs:
            limit.earmarked += sign * amount
            limit.settle()
            (self._books.touched if sign > 0 else self._books.risen).append(limit)


def _age(claim: Claim) -> int:
    return claim.seq
