"""The admission core: who may start now, and why not.

One state machine, pure and synchronous: no await, no clock, no randomness, no I/O. Stimuli change the state at once
and nothing starts by them; `admit(now)` is a round, applies what came, and returns who starts, in order. Same stimuli,
same decisions: ties end in sequence numbers, and nothing depends on hashes, ids or clocks.

Everything that has to be limited is a waiter of it, with a vector of (limit, amount): ops, runs, `slots()` blocks and
children alike. A grant is taken whole or not at all, and a waiter holds nothing; nested semaphores, the tempting
wrong design, deadlock in a quarter of all instances, block the heads of queues, and cannot explain themselves.

The common case is that nobody waits. It must cost a few comparisons, and it does: a claim that comes alone, whose
limits nobody waits for and all have room, is granted without touching any queue. All else is a `Round`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asyncflow._limits.claim import ENDED, GRANTED, NEW, WAITING, WITHDRAWN, Claim
from asyncflow._limits.command import Command
from asyncflow._limits.demand import Demand
from asyncflow._limits.explanation import Change, Explanation, explain, shortages
from asyncflow._limits.ghost import Ghost, GhostFamily
from asyncflow._limits.holding import Holding
from asyncflow._limits.invariants import audit
from asyncflow._limits.leaving import dismiss
from asyncflow._limits.limit import Limit
from asyncflow._limits.log import DecisionLog
from asyncflow._limits.round import Round
from asyncflow._limits.snapshot import Snapshot, take_snapshot
from asyncflow._limits.state import State
from asyncflow._limits.tuning import Tuning
from asyncflow._limits.twin import Twin
from asyncflow.errors import AdmissionError


class ReleaseError(AdmissionError):
    """Something was given back that is not held (any more), or not by this claim; nothing was changed."""


class Admission(Tuning):
    """All limits of one process, those who hold them, and those who wait.

    Args:
        max_overtakes: How often a waiter may be passed before free units are kept for it.
        fair: False puts all waiters in one order (run priority, order, age) without groups.
        earmark_ns: How long the first earmark of a waiter is safe while another side is asked.
        earmark_cap_ns: How long an earmark is safe at most.
        log: Where every stimulus and decision is recorded.
        describe: How owners are called in explanations and chains.
    """

    __slots__ = ()

    # ── claims ────────────────────────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, claim: Claim) -> None:
        """Lets a claim wait from now on; the next round may start it.

        Raises:
            AdmissionError: where it was enqueued before.
        """
        state = self._state
        if claim.state is not NEW:
            raise _enqueued_before(claim)
        claim.state = WAITING
        state.seq += 1
        claim.seq = state.seq
        state.arrivals.append(claim)
        if state.log is not None:
            state.log.enqueued(claim)

    def enqueue_many(self, claims: Iterable[Claim]) -> None:
        """Enqueues claims in their order, all or none."""
        claims = tuple(claims)
        for claim in claims:
            if claim.state is not NEW:
                raise _enqueued_before(claim)
        for claim in claims:
            self.enqueue(claim)

    def enqueue_ghosts(self, ghosts: Sequence[tuple[Claim, Claim | None]]) -> None:
        """Enqueues the ways in which a run may start; the first that fits is granted, the others vanish.

        Args:
            ghosts: Pairs of the run's own claim and that of a root, which are granted in one step.

        Raises:
            AdmissionError: where one was enqueued before.
        """
        state = self._state
        for pair in ghosts:
            for claim in pair:
                if claim is not None and claim.state is not NEW:
                    raise _enqueued_before(claim)
        family = GhostFamily()
        for run, root in ghosts:
            needs = run.demand.needs if root is None else (*run.demand.needs, *root.demand.needs)
            ghost = Ghost(run, root, self.demand(needs), family)
            for claim in ghost.claims:
                claim.state = WAITING
                claim.seq = self._next()
            state.arrivals.append(run)
        state.due = True
        if state.log is not None:
            state.log.ghosts_enqueued(ghosts)

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back, whatever its state: a waiter leaves, a grant that has not begun ends."""
        state = self._state
        if claim.state is GRANTED:
            self._end(claim)
        elif claim.state is WAITING:
            ghost = claim.ghost
            dismiss(state, claim if ghost is None else ghost.run, WITHDRAWN)
            if ghost is not None:
                ghost.family.ghosts.remove(ghost)
            state.due = True
        else:
            return
        if state.log is not None:
            state.log.withdrawn(claim)

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        """Gives back a whole grant, or what it has of some limits.

        Raises:
            ReleaseError: where that is not held; nothing is changed.
        """
        if limits is None:
            self._end(claim)
            if self._state.log is not None:
                self._state.log.released(claim, None)
            return
        state = self._state
        self._check_held(claim)
        chosen = sorted(limits, key=lambda limit: limit.seq)
        asked = Holding.of(claim).asked
        if len(set(chosen)) < len(chosen) or any(limit not in asked for limit in chosen):
            names = ", ".join([limit.name for limit in chosen])
            raise ReleaseError(f"{claim!r} does not hold all of {names}; each limit is given back once")
        for limit in chosen:
            state.books.let_go(claim, limit)
        state.due = True
        if state.log is not None:
            state.log.released(claim, chosen)

    def _end(self, claim: Claim) -> None:
        """Ends a whole grant."""
        state = self._state
        books = state.books
        self._check_held(claim)
        if claim.holding is not None:
            books.end(claim)
            state.due = True
            return
        claim.state = ENDED
        del books.granted[claim]
        books.ended.append(claim)
        books.move(claim.party.group, claim.demand.needs, -1)
        if books.risen:
            state.due = True

    def _check_held(self, claim: Claim) -> None:
        if claim.state is not GRANTED or claim not in self._state.books.granted:
            raise ReleaseError(f"{claim!r} is not held here; a grant is given back once, where it was made")

    # ── rounds ────────────────────────────────────────────────────────────────────────────────────────────────────

    def admit(self, now: int) -> list[Claim]:
        """Decides a round: returns the claims that start, in order. `commands` has what else is to be done.

        Raises:
            AdmissionError: where time goes back.
        """
        state = self._state
        if now < state.now:
            raise AdmissionError(f"time went back from {state.now} to {now}; give each round a later reading")
        if state.log is not None:
            return self._logged_round(state.log, now)
        if not state.due:
            arrivals = state.arrivals
            if not arrivals:
                state.now = now
                if state.books.ended:
                    state.books.serve(now)
                return []
            if len(arrivals) == 1:
                if self._grant_at_once(arrivals[0], now):
                    return [arrivals.pop()]
            elif self._have_room(arrivals):
                return self._grant_together(now)
        return self._round.run(now)

    def _have_room(self, arrivals: list[Claim]) -> bool:
        """Says whether arrivals of one group may all start: nobody waits for their limits, and all fit together."""
        group = arrivals[0].party.group
        fair = self._state.fair
        counts: dict[Demand, int] = {}
        for claim in arrivals:
            if claim.state is not WAITING or claim.ghost is not None or (fair and claim.party.group is not group):
                return False
            counts[claim.demand] = counts.get(claim.demand, 0) + 1
        taken: dict[Limit, int] = {}
        for demand, count in counts.items():
            for limit, amount in demand.needs:
                units = taken[limit] = taken.get(limit, 0) + amount * count
                if limit.room < units or limit.crowd is not None or limit.external:
                    return False
        return True

    def _grant_together(self, now: int) -> list[Claim]:
        """Grants all arrivals in their order; nobody is passed by it, so nothing need be counted."""
        state = self._state
        books = state.books
        claims, state.arrivals = state.arrivals, []
        claims.sort(key=inside if state.fair else flat)
        state.now = now
        if books.ended:
            books.serve(now)
        for claim in claims:
            state.seq += 1
            claim.party.group.turn = state.seq
            claim.enqueued_at = now
            books.grant(claim, now)
        return claims

    def _grant_at_once(self, claim: Claim, now: int) -> bool:
        """Grants a claim that came alone, if nobody waits for its limits and all have room."""
        demand = claim.demand
        for limit, amount in demand.needs:
            if limit.room < amount or limit.crowd is not None or limit.external:
                return False
        if claim.state is not WAITING or claim.ghost is not None:
            return False
        state = self._state
        books = state.books
        state.now = now
        if books.ended:
            books.serve(now)
        state.seq += 1
        claim.party.group.turn = state.seq
        claim.enqueued_at = now
        books.grant(claim, now)
        return True

    def _logged_round(self, log: DecisionLog, now: int) -> list[Claim]:
        log.round_began(now)
        starts = self._round.run(now)
        log.round_ended()
        return starts

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def commands(self) -> list[Command]:
        """What the rounds ask for beside starts; the caller empties it."""
        return self._state.commands

    @commands.setter
    def commands(self, commands: list[Command]) -> None:
        self._state.commands = commands

    def fits_ever(self, demand: Demand) -> list[tuple[Limit, int]]:
        """Returns the needs that can never be met under the capacities in force; 0 and a pause only block."""
        return [(limit, amount) for limit, amount in demand.needs if limit.capacity and limit.capacity < amount]

    def waiting_claims(self) -> list[Claim]:
        """Returns all claims that wait."""
        arrivals = [claim for claim in self._state.arrivals if claim.state is WAITING]
        found: list[Claim] = []
        for claim in [*self._state.queue.waiters(), *arrivals]:
            found.extend([claim] if claim.ghost is None else claim.ghost.claims)
        return found

    def gatherers(self) -> list[Claim]:
        """Returns the waiters for which units are kept, in their order."""
        return [gatherer.claim for gatherer in self._state.gathering.gatherers]

    def reservation(self, claim: Claim) -> dict[Limit, int]:
        """Returns what is kept for one waiter."""
        if claim.role is None or claim.role.gatherer is None:
            return {}
        return dict(claim.role.gatherer.kept)

    def snapshot(self) -> Snapshot:
        """Returns every limit with its holders and waiters, as frozen data."""
        return take_snapshot(self._state)

    def explain(self, claim: Claim) -> Explanation:
        """Tells why a claim does not run: every limit that is short, and what would start it."""
        return explain(self._state, claim, self._starts_by)

    def short_limits(self, claim: Claim) -> tuple[Limit, ...]:
        """Returns the limits that are short for a waiter; far cheaper than `explain`."""
        return tuple([one.limit for one in shortages(claim)]) if claim.state is WAITING else ()

    def _starts_by(self, claim: Claim, change: Change) -> bool:
        """Returns whether a waiter starts in a round after a change, tried on a copy."""
        twin = Twin(self._state)
        other = Admission._of(twin.copied)
        for limit in change.resumed:
            other.resume(twin.limit(limit))
        for limit, capacity in change.resized:
            other.resize(twin.limit(limit), capacity)
        for ended in change.ended:
            other.release(twin.claim(ended))
        return twin.claim(claim) in other.admit(self._state.now)

    def copy(self) -> Admission:
        """Returns a twin that decides as this one would, for previews. It has no log; owners are the same objects."""
        twin = Twin(self._state)
        copied = Admission._of(twin.copied)
        for key, group in tuple(self._groups.items()):
            copied._groups[key] = twin.group(group)
        for key, demand in tuple(self._demands.items()):
            if all(limit in self._state.limits for limit, _ in demand.needs):
                copied._demands[key] = twin.demand(demand)
        return copied

    @classmethod
    def _of(cls, state: State) -> Admission:
        """Returns an admission on an existing state."""
        made = cls(max_overtakes=state.max_overtakes, fair=state.fair, describe=state.describe)
        made._state = state
        made._round = Round(state)
        return made

    def check(self) -> None:
        """Recomputes what is kept beside the grants and waiters; for tests and doubts.

        Raises:
            AdmissionError: with what differs.
        """
        audit(self._state)

    def __repr__(self) -> str:
        state = self._state
        waiting = sum([cell.size for cell in state.queue.cells.values()]) + len(state.arrivals)
        return f"<admission limits={len(state.limits)} granted={len(state.books.granted)} waiting={waiting}>"


def _enqueued_before(claim: Claim) -> AdmissionError:
    return AdmissionError(f"{claim!r} was enqueued before; make a new claim")


def inside(claim: Claim) -> tuple[Any, ...]:
    """Returns a claim's place inside its group."""
    party = claim.party
    return (-party.priority, party.arrival, claim.order, claim.seq)


def flat(claim: Claim) -> tuple[Any, ...]:
    """Returns a claim's place where groups do not count."""
    return (-claim.party.priority, claim.order, claim.seq)
