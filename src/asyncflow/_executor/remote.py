"""Where the core and a pool backend meet: claims on one side, tickets on the other.

The core sets the local part of a demand aside and commands to ask for the rest (`AskRemote`); the backend's grant makes
it a start. The core may start another waiter that asks for the same by that grant, so after each round tickets are
matched with those who started. What was granted is given back when the last claim that has it ends: usually the one
that started, sometimes one that it had lent units to.

What becomes of an op whose lease is lost is in `giving_up.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from asyncflow._executor.block import Block
from asyncflow._executor.giving_up import fail_waiting, lease_lost
from asyncflow._executor.ticket import Ticket, needs_of, place_of, pools_of
from asyncflow._leases import Agent, Away
from asyncflow._limits import Claim as CoreClaim
from asyncflow._limits import Limit
from asyncflow.errors import DemandError, LeaseLost, PoolBackendError
from asyncflow.events import (
    LeaseDebt,
    LeaseInJeopardy,
    LeaseLapsed,
    LoopLagged,
    PoolBackendAway,
    PoolBackendBack,
    PoolConflict,
)
from asyncflow.pools import Claim, Conflict, Grant, PoolView, Refusal, Usage

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine


class Remote:
    """One engine at one backend.

    Args:
        engine: Whose core asks.

    Attributes:
        agent: Does the talking; set before anything is asked.
        joined: True from the opening of the session to its end.
    """

    agent: Agent

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.joined = False
        self._tickets: dict[str, Ticket] = {}
        self._asked: dict[CoreClaim, Ticket] = {}
        self._granted: dict[CoreClaim, Ticket] = {}
        self._of: dict[CoreClaim, list[Ticket]] = {}
        self._pools: dict[str, Limit] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<remote waiting={len(self._asked)} held={len(self._of)}>"

    async def leave(self) -> None:
        """Gives everything back there, and is joined no more."""
        if self.joined:
            self.joined = False
            await self.agent.close()

    # ── what the core commands ────────────────────────────────────────────────────────────────────────────────────

    def ask(self, claim: CoreClaim) -> None:
        """The local part of a waiter is set aside: asks for the rest, or says that a grant is welcome again."""
        ticket = self._asked.get(claim)
        if ticket is not None:
            self.agent.desk.set_ready(ticket.id, ready=True)
            return
        for limit, _ in claim.asked.remote:
            name, key = place_of(limit)
            if key is None:
                self._pools[name] = limit
        ticket = Ticket(str(next(self._numbers)), claim, self.engine.loop.time())
        self._tickets[ticket.id] = self._asked[claim] = ticket
        run, op = _who(claim)
        self.agent.desk.ask(
            Claim(
                ticket.id,
                needs_of(claim.asked),
                run_priority=claim.party.priority,
                priority=-claim.order[0] if claim.order and isinstance(claim.order[0], int) else 0,
                nested=any(above in self._of for above in _around(claim)),
                run=run[:1000],
                op=op[:1000],
            )
        )

    def drop(self, claim: CoreClaim) -> None:
        """Somebody here uses what was set aside for a waiter: it could not use a grant now."""
        ticket = self._asked.get(claim)
        if ticket is not None:
            self.agent.desk.set_ready(ticket.id, ready=False)

    def give_back(self, claim: CoreClaim) -> None:
        """A grant came that nobody can use any more."""
        ticket = self._granted.pop(claim, None)
        if ticket is not None:
            self._return(ticket)

    def rounded(self, starts: Iterable[CoreClaim]) -> None:
        """A round started claims: those that a backend granted have their tickets from now on."""
        for claim in starts:
            if claim.ghost is not None and claim.ghost.run is not claim:
                continue
            ticket = self._granted.pop(claim, None)
            if ticket is None:
                ticket = self._swapped(claim)
            if ticket is not None:
                self._begin(ticket, claim)
        for claim in [claim for claim in self._asked if not claim.waiting]:  # other ghosts of a run that started
            self._forget(claim)

    def _swapped(self, claim: CoreClaim) -> Ticket | None:
        """Returns the ticket by which a claim started that had asked with another; that one goes to who has none."""
        own = self._asked.get(claim)
        if own is None:
            return None
        for other, ticket in self._granted.items():
            if other.asked is claim.asked:
                del self._granted[other]
                del self._asked[claim]
                if other.waiting:
                    own.claim = other
                    self._asked[other] = own
                else:
                    self._cancel(own)
                return ticket
        return None

    def _begin(self, ticket: Ticket, claim: CoreClaim) -> None:
        """A claim, and of a ghost its root's, has what a ticket gave."""
        ticket.claim = claim
        for one in [claim] if claim.ghost is None else claim.ghost.claims:
            for pool in pools_of([limit for limit, _ in one.demand.remote]):
                ticket.parts.setdefault(pool, {})[one] = None
                self._hold(one, ticket)
        if ticket.lost is not None:
            self._lapse(ticket, ticket.why)

    def _hold(self, claim: CoreClaim, ticket: Ticket) -> None:
        held = self._of.setdefault(claim, [])
        if ticket not in held:
            held.append(ticket)

    # ── what the core gives back ──────────────────────────────────────────────────────────────────────────────────

    def ends(self, claim: CoreClaim, limits: Iterable[Limit] | None) -> None:
        """A grant is about to end, or its part on some limits: what it lent stays with who has it."""
        tickets = self._of.get(claim)
        if tickets is None or not claim.granted:
            return
        asked = claim.demand.needs if claim.holding is None else tuple(claim.holding.asked.items())
        given = [limit for limit, _ in asked] if limits is None else list(limits)
        for pool in pools_of(given):
            heirs = _heirs(claim, pool)
            for ticket in tuple(tickets):
                holders = ticket.parts.get(pool)
                if holders is None or claim not in holders:
                    continue
                del holders[claim]
                for heir in heirs:
                    holders[heir] = None
                    self._hold(heir, ticket)
                if not holders:
                    self._give(ticket, pool)
        left = [ticket for ticket in tickets if any(claim in holders for holders in ticket.parts.values())]
        if limits is None or not left:
            self._of.pop(claim, None)
        else:
            self._of[claim] = left

    def leaves(self, claim: CoreClaim) -> None:
        """A waiter, or a grant that has not begun, is about to be taken back."""
        if claim in self._of:
            self.ends(claim, None)
        self._forget(claim if claim.ghost is None else claim.ghost.run)

    def _give(self, ticket: Ticket, pool: str) -> None:
        del ticket.parts[pool]
        if ticket.lost is not None:
            now = self.engine.loop.time()
            self.engine.observers.warn(LeaseDebt(self.engine.clock(), pool, now - ticket.lost))
        if ticket.parts:
            self.agent.desk.release(ticket.id, pool)
        else:
            self._return(ticket)

    def _return(self, ticket: Ticket) -> None:
        self._tickets.pop(ticket.id, None)
        self.agent.desk.release(ticket.id)

    def _forget(self, claim: CoreClaim) -> None:
        ticket = self._asked.pop(claim, None)
        if ticket is not None:
            self._cancel(ticket)

    def _cancel(self, ticket: Ticket) -> None:
        self._tickets.pop(ticket.id, None)
        self.agent.desk.cancel(ticket.id)

    # ── what the backend tells ────────────────────────────────────────────────────────────────────────────────────

    def granted(self, grant: Grant) -> None:
        """A ticket has all it asked for: the next round starts its claim, or another alike."""
        ticket = self._tickets.get(grant.ticket)
        if ticket is None:
            self.agent.desk.release(grant.ticket)
            return
        ticket.granted = True
        ticket.fences = dict(grant.fences)
        self._asked.pop(ticket.claim, None)
        self._granted[ticket.claim] = ticket
        self.engine.core.external_grant(ticket.claim)
        self._stir()

    def gone(self, ticket: str) -> None:
        """An operator took a ticket away."""
        self._end_lease(ticket, "an operator took it away")

    def refused(self, refusal: Refusal) -> None:
        """A claim asks for more than its pool ever gives."""
        ticket = self._tickets.pop(refusal.ticket, None)
        if ticket is not None:
            self._asked.pop(ticket.claim, None)
            run, op = _who(ticket.claim)
            name = refusal.pool if refusal.key is None else f"{refusal.pool}:{refusal.key}"
            error = DemandError(
                f"{run}/{op} asks for {refusal.amount} of {name!r}, whose limit at {self.agent.backend.name} is"
                f" {refusal.limit}: it could never start; ask for less, or raise the limit"
            )
            fail_waiting(self.engine, ticket.claim, error)

    def failed(self, ticket: str, error: PoolBackendError) -> None:
        """A claim waited too long for a backend that is away."""
        known = self._tickets.pop(ticket, None)
        if known is not None:
            self._asked.pop(known.claim, None)
            fail_waiting(self.engine, known.claim, error)

    def lost(self, tickets: Sequence[str], why: str) -> None:
        """The session is lost, and with it these leases."""
        for ticket in tickets:
            self._end_lease(ticket, why)

    def _end_lease(self, name: str, why: str) -> None:
        ticket = self._tickets.pop(name, None)
        if ticket is None:
            return
        engine = self.engine
        ticket.lost = engine.loop.time()
        if self._asked.pop(ticket.claim, None) is not None:
            fail_waiting(engine, ticket.claim, LeaseLost(f"the place in line was lost: {why}"))
            return
        self._lapse(ticket, why)

    def _lapse(self, ticket: Ticket, why: str) -> None:
        """Tells those who have what a ticket gave; one that nobody has begun by yet is told when somebody does."""
        engine = self.engine
        ticket.why = why
        for pool, holders in tuple(ticket.parts.items()):
            for claim in tuple(holders):
                run, op = _who(claim)
                engine.observers.warn(LeaseLapsed(engine.clock(), pool, run, op, ticket.fences.get(pool, 0), why))
                lease_lost(engine, claim, pool, ticket.fences.get(pool, 0), why)

    def used(self, usage: Sequence[Usage]) -> None:
        """What pools give now."""
        for one in usage:
            limit = self._pools.get(one.pool)
            if limit is not None:
                self._mirror(limit, one.limit)

    def viewed(self, pools: Sequence[PoolView]) -> None:
        """All pools as they are now."""
        quotas = {view.pool: view.quota for view in pools}
        for limit in self.engine.core.external_limits():
            name, key = place_of(limit)
            if name in quotas:
                self._mirror(limit, quotas[name].limit if key is None else quotas[name].per_key)

    def _mirror(self, limit: Limit, capacity: int | None) -> None:
        """Gives a limit of the core the number that the backend goes by: how much may be asked for at once.

        What gives nothing for now, or less than somebody waits for, is not shown here: the first of those who wait has
        to stand in line there, to be granted in the moment in which that changes.
        """
        if capacity in {0, limit.capacity}:
            return
        asked = [claim.asked.amount(limit) for claim in self._asked]
        room = None if capacity is None else max([capacity, *asked])
        if limit.capacity != room:
            self.engine.core.resize(limit, room)
            self._stir()

    def away(self, away: Away) -> None:
        """The backend does not answer."""
        self.engine.observers.warn(PoolBackendAway(self.engine.clock(), away.backend, str(away.error)))

    def back(self, seconds: float) -> None:
        """The backend answers again."""
        self.engine.observers.warn(PoolBackendBack(self.engine.clock(), self.agent.backend.name, seconds))

    def jeopardy(self, seconds: float) -> None:
        """The session was not renewed for half of its TTL."""
        self.engine.observers.warn(LeaseInJeopardy(self.engine.clock(), self.agent.backend.name, seconds))

    def conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """Definitions of this process replaced those of another one."""
        for one in conflicts:
            limits = (one.before.limit, one.now.limit, one.before.per_key, one.now.per_key)
            self.engine.observers.warn(PoolConflict(self.engine.clock(), one.pool, *limits))

    def lagged(self, seconds: float) -> None:
        """The event loop stood still."""
        self.engine.observers.warn(LoopLagged(self.engine.clock(), seconds))

    def _stir(self) -> None:
        self.engine.stale = True
        self.engine.wake()

    # ── for those who look ────────────────────────────────────────────────────────────────────────────────────────

    def tickets_of(self, claim: CoreClaim) -> Sequence[Ticket]:
        """Returns the tickets by which a claim holds."""
        return self._of.get(claim, ())


def _who(claim: CoreClaim) -> tuple[str, str]:
    """Returns the run and the op of a claim, for people to read."""
    owner = claim.owner
    if isinstance(owner, Block):
        return "", owner.label
    frame, i = owner
    return frame.run.id, "" if i < 0 else frame.key(i)


def _around(claim: CoreClaim) -> Iterable[CoreClaim]:
    above = claim.parent
    while above is not None:
        yield above
        above = above.parent


def _heirs(claim: CoreClaim, pool: str) -> list[CoreClaim]:
    """Returns those who still have units of a pool that a claim lent them."""
    if claim.holding is None:
        return []
    return [loan.borrower for loan in claim.holding.lent if loan.limit.external and place_of(loan.limit)[0] == pool]
