"""A copy of an `Admission` that decides as the original would, for previews and what-if.

What is decided follows from limits, groups, parties, grants and waiters; those are copied. Cells, lanes, rooms and
reservations follow from them and are built anew by letting the waiters join again, so a copy is also a test that they
follow. What a group had served, who was passed how often, and what a round still has to look at come along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from asyncflow._limits.claim import WAITING, Claim, ReturnedClaim
from asyncflow._limits.demand import Demand
from asyncflow._limits.earmark import Earmark
from asyncflow._limits.ghost import Ghost, GhostFamily
from asyncflow._limits.group import Group, Party, Stake
from asyncflow._limits.holding import Holding, Loan
from asyncflow._limits.ledger import Bill
from asyncflow._limits.lending import Edge
from asyncflow._limits.limit import Limit
from asyncflow._limits.role import Role
from asyncflow._limits.state import State


class Twin:
    """Copies a state, object by object.

    Args:
        state: The state to copy.
        only: Of those who wait, copies these only; of arrivals none. What such a twin decides is what the whole one
            would only as far as the others do not matter (see `remedy`). None copies all.

    Attributes:
        copied: The copy.
    """

    def __init__(self, state: State, only: Collection[Claim] | None = None) -> None:
        self._state = state
        self._only = only
        self.copied = State(
            max_overtakes=state.max_overtakes,
            fair=state.fair,
            earmark_ns=state.earmark_ns,
            earmark_cap_ns=state.earmark_cap_ns,
            log=None,
            describe=state.describe,
        )
        self.copied.now, self.copied.seq = state.now, state.seq
        self.copied.gathering.promotions = state.gathering.promotions
        self._limits = {limit: _copied(limit) for limit in state.limits}
        self.copied.limits = dict.fromkeys(self._limits.values())
        self._groups: dict[Group, Group] = {}
        self._stakes: dict[Stake, Stake] = {}
        self._parties: dict[Party, Party] = {}
        self._demands: dict[Demand, Demand] = {}
        self._claims: dict[Claim, Claim] = {}
        self._families: dict[GhostFamily, GhostFamily] = {}
        self._books()
        self._waiters()
        self._rest()

    # ── nouns ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def limit(self, limit: Limit) -> Limit:
        """Returns the copy of a limit."""
        return self._limits[limit]

    def group(self, group: Group) -> Group:
        """Returns the copy of a group."""
        copied = self._groups.get(group)
        if copied is None:
            copied = self._groups[group] = Group(group.key, group.weight, group.seq)
            copied.turn, copied.untouched = group.turn, group.untouched
            copied.stakes = {self._limits[limit]: self._stake(stake) for limit, stake in group.stakes.items()}
        return copied

    def _stake(self, stake: Stake) -> Stake:
        copied = self._stakes.get(stake)
        if copied is None:
            copied = self._stakes[stake] = Stake(self._limits[stake.limit])
            copied.held, copied.service = stake.held, stake.service
        return copied

    def party(self, party: Party) -> Party:
        """Returns the copy of a party."""
        copied = self._parties.get(party)
        if copied is None:
            copied = self._parties[party] = Party(self.group(party.group), party.priority, party.arrival)
        return copied

    def demand(self, demand: Demand) -> Demand:
        """Returns the copy of a demand."""
        copied = self._demands.get(demand)
        if copied is None:
            limits = self._limits
            known = limits.keys() >= {limit for limit, _ in demand.needs}  # not of a claim whose run has ended
            copied = Demand(tuple([(limits[limit], amount) for limit, amount in demand.needs]) if known else ())
            self._demands[demand] = copied
        return copied

    def claim(self, claim: Claim) -> Claim:
        """Returns the copy of a claim."""
        copied = self._claims.get(claim)
        if copied is None:
            parent = None if claim.parent is None else self.claim(claim.parent)
            demand = self.demand(claim.demand)
            copied = Claim(self.party(claim.party), demand, claim.order, claim.owner, parent)
            copied.seq = claim.age
            copied = ReturnedClaim(copied, demand) if claim.age != claim.seq else copied
            self._claims[claim] = copied
            copied.state, copied.seq = claim.state, claim.seq
            copied.enqueued_at, copied.granted_at = claim.enqueued_at, claim.granted_at
        return copied

    def originals(self, copies: Iterable[Claim]) -> tuple[Claim, ...]:
        """Returns the claims of which these are copies."""
        known = {copied: claim for claim, copied in self._claims.items()}
        return tuple([known[copied] for copied in copies])

    def demands(self) -> Iterable[Demand]:
        """Returns all copied demands."""
        return self._demands.values()

    # ── grants ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _books(self) -> None:
        books, copied = self._state.books, self.copied.books
        for claim in books.granted:
            copied.granted[self.claim(claim)] = None
        for claim in books.granted:
            if claim.holding is not None:
                self._holding(claim, claim.holding)
        copied.resume_loans(books)
        for purse, since in books.ended:
            known = [(self._stake(stake), amount) for stake, amount in purse if stake.limit in self._limits]
            copied.ended.append((tuple(known), since))
        for group, limit, units, since in books.notes:
            copied.notes.append((self.group(group), self._limits[limit], units, since))
        lending = self._state.lending
        for edge in lending.edges:
            borrower = edge.borrower
            target = self.claim(borrower) if isinstance(borrower, Claim) else self.party(borrower)
            if isinstance(target, Claim):
                Holding.of(target)
            self.copied.lending.edges.append(Edge(self.claim(edge.lender), target))
        self.copied.lending.used = lending.used
        self.copied.suspicion.due = True
        self.copied.lending.unparking = [self.claim(claim) for claim in lending.unparking]

    def _holding(self, claim: Claim, holding: Holding) -> None:
        copied = Holding.of(self.claim(claim))
        copied.asked = {self._limits[limit]: amount for limit, amount in holding.asked.items()}
        copied.own = {self._limits[limit]: units for limit, units in holding.own.items()}
        for loan in holding.lent:
            made = Loan(self.claim(claim), self.claim(loan.borrower), self._limits[loan.limit], loan.amount, loan.order)
            copied.lent.append(made)
            borrowed = Holding.of(made.borrower).borrowed
            borrowed.append(made)
            borrowed.sort(key=lambda one: one.order)

    # ── waiters ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _waiters(self) -> None:
        state, copied, only = self._state, self.copied, self._only
        waiting = sorted(state.queue.waiters() if only is None else only, key=lambda claim: claim.seq)
        arrivals = [claim for claim in state.arrivals if claim.state is WAITING] if only is None else []
        for claim in [*waiting, *arrivals]:
            self._ghosts(claim)
        copied.arrivals = [self.claim(claim) for claim in arrivals]
        for claim in [*waiting, *arrivals]:
            if claim.role is not None:
                self._role(claim, claim.role)
        for claim in waiting:
            one = self.claim(claim)
            copied.queue.join(one, one.asked)
            one.bill = Bill(None)
        for demand in copied.queue.fresh:
            copied.ledger.open(demand, state.now)
        copied.queue.fresh.clear()
        for gatherer in state.gathering.gatherers:
            one = self.claim(gatherer.claim)
            made = copied.gathering.add(one, copied.seats.class_of(one.asked), number=gatherer.number)
            Role.of(one).gatherer = made
            copied.queue.set_apart(one)
        for claim in state.earmarks.claims:
            one = self.claim(claim)
            if claim.role is not None and claim.role.earmark is not None:
                earmark = Earmark(one.asked, claim.role.earmark.until)
                copied.earmarks.restore(one, earmark, [*copied.earmarks.claims, one])
                copied.queue.set_apart(one)
        copied.gathering.compute(copied.gathering.gatherers)

    def _ghosts(self, claim: Claim) -> None:
        """Copies the ghost of a run-level claim."""
        if claim.ghost is None:
            return
        family = self._families.get(claim.ghost.family)
        if family is None:
            family = self._families[claim.ghost.family] = GhostFamily()
        root = None if claim.ghost.root is None else self.claim(claim.ghost.root)
        ghost = Ghost(self.claim(claim), root, self.demand(claim.ghost.demand), family)
        if claim.ghost.family.gatherer is claim.ghost:
            family.gatherer = ghost

    def _role(self, claim: Claim, role: Role) -> None:
        copied = Role.of(self.claim(claim))
        copied.passed = {self._limits[limit]: starts for limit, starts in role.passed.items()}
        copied.span = role.span
        if role.resting:
            copied.resting = True
            self.copied.resting.append(self.claim(claim))

    def _rest(self) -> None:
        """Copies the counts of lines and what is short, and lets the next round look at everything."""
        state, copied = self._state, self.copied
        copied.earmarks.grants = [self.claim(claim) for claim in state.earmarks.grants]
        for limit, one in self._limits.items():
            if limit.crowd is None or one.crowd is None:
                continue
            for priority, line in one.crowd.lines.items():
                line.passed = limit.crowd.lines[priority].passed
            for need, gate in one.crowd.gates.items():
                gate.short = limit.crowd.gates[need].short
        crowded = [limit for limit in copied.limits if limit.crowd is not None]
        copied.books.touched = list(crowded)
        copied.books.risen = list(crowded)
        copied.due = True


def _copied(limit: Limit) -> Limit:
    copied = Limit(
        limit.name,
        limit.capacity,
        seq=limit.seq,
        named=limit.named,
        reentrant=limit.reentrant,
        external=limit.external,
    )
    copied.paused, copied.held, copied.reserved = limit.paused, limit.held, limit.reserved
    copied.settle()
    return copied
