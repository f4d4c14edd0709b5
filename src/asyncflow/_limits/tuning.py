"""What may change while claims wait and run: capacities, demands, priorities, other sides' answers, lending edges."""

from __future__ import annotations

from typing import Any

from asyncflow._limits import change
from asyncflow._limits.claim import GRANTED, NEW, WAITING, Claim, ReturnedClaim
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Party
from asyncflow._limits.holding import Holding
from asyncflow._limits.leaving import stand_again
from asyncflow._limits.limit import Limit, check_capacity
from asyncflow._limits.registry import Registry
from asyncflow.errors import AdmissionError


class Tuning(Registry):
    """The stimuli that change what is there already."""

    __slots__ = ()

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> int:
        """The latest reading of the clock."""
        return self._state.now

    def tick(self, now: int) -> None:
        """Time passes between rounds: who is taken back now has waited until now. Earlier readings are ignored."""
        if now > self._state.now:
            self._state.now = now

    # ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────

    def resize(self, limit: Limit, capacity: int | None) -> None:
        """Gives a limit another capacity: upward at once, downward as grants end."""
        limit.capacity = check_capacity(limit.name, capacity)
        change.limit_changed(self._state, limit, resized=True)
        if self._state.log is not None:
            self._state.log.resized(limit)

    def pause(self, limit: Limit) -> None:
        """Starts nothing on a limit until it is resumed; what runs goes on."""
        limit.paused = True
        change.limit_changed(self._state, limit)
        if self._state.log is not None:
            self._state.log.paused(limit)

    def resume(self, limit: Limit) -> None:
        """Lets a paused limit go on."""
        limit.paused = False
        change.limit_changed(self._state, limit)
        if self._state.log is not None:
            self._state.log.resumed(limit)

    # ── claims ────────────────────────────────────────────────────────────────────────────────────────────────────

    def grant_nothing(self, claim: Claim) -> None:
        """Grants a new claim that asks for nothing, between two rounds: a place for what it may have to hold later.

        Raises:
            AdmissionError: where it asks for something, or was enqueued before.
        """
        state = self._state
        if claim.state is not NEW or claim.demand.needs:
            raise AdmissionError(f"{claim!r} is not new, or asks for something; enqueue it")
        claim.seq = self._next()
        claim.enqueued_at = state.now
        if state.log is not None:
            state.log.enqueued(claim)
            state.log.round_began(state.now)
            state.log.started(claim)
            state.log.round_ended()
        state.books.grant(claim, state.now)

    def enqueue_again(self, claim: ReturnedClaim) -> None:
        """Lets somebody wait again in the place in order that it had.

        Raises:
            AdmissionError: where it was enqueued before.
        """
        state = self._state
        if claim.state is not NEW:
            raise AdmissionError(f"{claim!r} was enqueued before; make a new claim")
        claim.state = WAITING
        claim.seq = self._next()
        state.arrivals.append(claim)
        state.due = True  # arrivals do not lie in order of their age any more
        if state.log is not None:
            state.log.enqueued(claim)

    def rematch(self, claim: Claim, demand: Demand) -> None:
        """Gives a claim another demand: a waiter keeps its age, a grant gains and loses what differs.

        Raises:
            AdmissionError: where it neither waits nor holds.
        """
        state, ghost = self._state, claim.ghost
        if claim.state is GRANTED and claim in state.books.granted:
            state.books.rematch(claim, demand)
            state.due = True
        elif claim.state is WAITING:
            others = [] if ghost is None else [one.demand for one in ghost.claims if one is not claim]
            together = self.demand([need for one in [demand, *others] for need in one.needs])
            change.rematch_waiter(state, claim, demand, together)
        else:
            raise AdmissionError(f"{claim!r} neither waits nor holds; only such a claim can have another demand")
        if state.log is not None:
            state.log.rematched(claim)

    def reprioritise(
        self,
        what: Party | Claim,
        *,
        priority: int | None = None,
        order: Any = None,  # noqa: ANN401 — whatever the caller sorts by
    ) -> None:
        """Gives a party another run priority, or a claim another place inside its run."""
        state = self._state
        if isinstance(what, Claim):
            change.reorder(state, what, order)
            if state.log is not None:
                state.log.claim_reordered(what)
        elif priority is not None and priority != what.priority:
            change.reprioritise(state, what, priority)
            if state.log is not None:
                state.log.party_reprioritised(what)

    # ── other sides ───────────────────────────────────────────────────────────────────────────────────────────────

    def external_grant(self, claim: Claim) -> None:
        """The other side granted what was asked for: at the next round the claim starts, or another that may use it."""
        self._state.earmarks.grants.append(claim)
        self._state.due = True
        if self._state.log is not None:
            self._state.log.remote_granted(claim)

    def external_refused(self, claim: Claim) -> None:
        """The other side refused: the claim loses its earmark and may be asked for again."""
        state = self._state
        waiter = claim if claim.ghost is None else claim.ghost.run
        if claim.state is WAITING and waiter.role is not None and waiter.role.earmark is not None:
            state.earmarks.drop(waiter)
            stand_again(state, waiter)
            state.due = True
        if state.log is not None:
            state.log.remote_refused(claim)

    # ── streams ───────────────────────────────────────────────────────────────────────────────────────────────────

    def lend(self, lender: Claim, borrower: Claim | Party) -> None:
        """Parks a grant: until `unpark`, or `unlend`, `borrower` may borrow all it holds.

        Raises:
            AdmissionError: where `lender` holds nothing.
        """
        state = self._state
        if lender.state is not GRANTED or lender not in state.books.granted:
            raise AdmissionError(f"{lender!r} holds nothing it could lend; only a running claim can be parked")
        Holding.of(lender)
        if isinstance(borrower, Claim):
            Holding.of(borrower)
        state.lending.add(lender, borrower)
        state.due = True
        if state.log is not None:
            state.log.lent(lender, borrower)

    def unlend(self, lender: Claim, borrower: Claim | Party) -> None:
        """Takes one lending edge away; what was lent stays lent until its borrower ends."""
        self._state.lending.remove(lender, borrower)
        self._state.due = True
        if self._state.log is not None:
            self._state.log.unlent(lender, borrower)

    def unpark(self, claim: Claim) -> None:
        """Asks for a parked grant to go on: it does (`Unparked`) once its units are back or can be borrowed.

        Raises:
            AdmissionError: where it is not running.
        """
        state = self._state
        if claim.state is not GRANTED or claim not in state.books.granted:
            raise AdmissionError(f"{claim!r} is not running; only a parked claim can go on")
        Holding.of(claim)
        state.lending.unpark(claim)
        state.due = True
        if state.log is not None:
            state.log.unpark_asked(claim)
