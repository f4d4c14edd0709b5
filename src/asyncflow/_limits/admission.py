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

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

from asyncflow._limits.claim import GRANTED, NEW, WAITING, WITHDRAWN, Claim
from asyncflow._limits.command import Command
from asyncflow._limits.demand import Demand
from asyncflow._limits.enactment import enact, refuse_unfit
from asyncflow._limits.explanation import Explanation, explain
from asyncflow._limits.ghost import Ghost, GhostFamily
from asyncflow._limits.holding import Holding
from asyncflow._limits.invariants import audit
from asyncflow._limits.leaving import dismiss
from asyncflow._limits.limit import Limit
from asyncflow._limits.preview import Preview, foresee
from asyncflow._limits.proposal import Changes, NewLimit
from asyncflow._limits.round import Round
from asyncflow._limits.shortage import shortages
from asyncflow._limits.snapshot import OwnerView, Snapshot, take_snapshot
from asyncflow._limits.tuning import Tuning
from asyncflow._limits.twin import Twin
from asyncflow.errors import AdmissionError

_ORDER: Final = attrgetter("order")


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
        state = self._state
        seq = state.seq
        for claim in claims:
            claim.state = WAITING
            seq += 1
            claim.seq = seq
        state.seq = seq
        state.arrivals.extend(claims)
        if state.log is not None:
            for claim in claims:
                state.log.enqueued(claim)

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
        if len(ghosts) > 1:  # who vanishes with the first that starts is for a round to say
            state.due = True
        if state.log is not None:
            state.log.ghosts_enqueued(ghosts)

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back, whatever its state: a waiter leaves, a grant that has not begun ends."""
        state = self._state
        if claim.state is GRANTED:
            if claim not in state.books.granted:
                raise ReleaseError(f"{claim!r} is not held here; a grant is taken back where it was made")
            state.books.end(claim)
            state.due = True
        elif claim.state is WAITING:
            ghost = claim.ghost
            dismiss(state, claim if ghost is None else ghost.run, WITHDRAWN)
            if ghost is not None:
                ghost.family.ghosts.remove(ghost)
                if ghost.family.ghosts:  # those left may have been safe only because this one would start
                    state.suspicion.due = True
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
        state = self._state
        books = state.books
        if claim not in books.granted:
            raise ReleaseError(f"{claim!r} is not held here; a grant is given back once, where it was made")
        if limits is None:
            state.due = state.due or claim.holding is not None
            books.end(claim)
            if books.risen:
                state.due = True
            if state.log is not None:
                state.log.released(claim, None)
            return
        chosen = sorted(limits, key=lambda limit: limit.seq)
        asked = Holding.of(claim).asked
        if len(set(chosen)) < len(chosen) or any(limit not in asked for limit in chosen):
            names = ", ".join([limit.name for limit in chosen])
            raise ReleaseError(f"{claim!r} does not hold all of {names}; each limit is given back once")
        for limit in chosen:
            books.let_go(claim, limit)
        state.due = True
        if state.log is not None:
            state.log.released(claim, chosen)

    # ── rounds ────────────────────────────────────────────────────────────────────────────────────────────────────

    def admit(self, now: int) -> list[Claim]:
        """Decides a round: returns the claims that start, in order. `commands` has what else is to be done.

        Raises:
            AdmissionError: where time goes back.
        """
        state = self._state
        arrivals = state.arrivals
        if len(arrivals) != 1 or state.due or now < state.now or state.log is not None:
            return self._decide(now)
        claim = arrivals[0]
        demand = claim.demand if claim.ghost is None else claim.ghost.demand
        for limit, amount in demand.needs:
            if limit.ceiling - limit.held < amount or limit.crowd is not None:
                return self._round.run(now)
        # Nobody waits for its limits and all have room: it is granted without touching any queue.
        books = state.books
        state.now = now
        if books.ended:
            books.serve(now)
        state.seq += 1
        claim.party.group.turn = state.seq
        arrivals.clear()
        if claim.ghost is not None:
            return self._grant_at_once(claim, now)
        claim.enqueued_at = now
        books.grant(claim, now)
        return [claim]

    def _grant_at_once(self, claim: Claim, now: int) -> list[Claim]:
        """Grants an arrival that fits, both halves of a ghost."""
        claims = [claim] if claim.ghost is None else claim.ghost.claims
        for one in claims:
            one.enqueued_at = now
            self._state.books.grant(one, now)
        return claims

    def _decide(self, now: int) -> list[Claim]:
        """Decides a round that is not the simplest case."""
        state = self._state
        if now < state.now:
            raise AdmissionError(f"time went back from {state.now} to {now}; give each round a later reading")
        if state.log is not None:
            state.log.round_began(now)
            starts = self._round.run(now)
            state.log.round_ended()
            return starts
        if state.due:
            return self._round.run(now)
        claims = self._all_that_fit(state.arrivals)
        if claims is None:
            return self._round.run(now)
        state.now = now
        state.books.serve(now)
        state.arrivals.clear()
        ghosts = False
        grant = state.books.grant
        for claim in claims:
            state.seq += 1
            claim.party.group.turn = state.seq
            if claim.ghost is None:
                claim.enqueued_at = now
                grant(claim, now)
            else:
                ghosts = True
                self._grant_at_once(claim, now)
        if not ghosts:
            return claims
        return [one for claim in claims for one in ([claim] if claim.ghost is None else claim.ghost.claims)]

    def _all_that_fit(self, arrivals: list[Claim]) -> list[Claim] | None:
        """Returns arrivals in order where all start: those of one group, whose limits have room and no waiters.

        Nobody is passed then, so nothing need be counted, and inside a group the order is a plain sort.
        """
        if not arrivals:
            return []
        seats = self._state.seats
        party = arrivals[0].party
        one_run = True
        counts: dict[Demand, int] = {}
        for claim in arrivals:
            if claim.party is not party:
                one_run = False
                if seats.group_of(claim) is not seats.group_of(arrivals[0]):
                    return None
            asked = claim.demand if claim.ghost is None else claim.ghost.demand
            counts[asked] = counts.get(asked, 0) + 1
        taken: dict[Limit, int] = {}
        for demand, count in counts.items():
            for limit, amount in demand.needs:
                units = taken[limit] = taken.get(limit, 0) + amount * count
                if limit.ceiling - limit.held < units or limit.crowd is not None:
                    return None
        return sorted(arrivals, key=_ORDER if one_run else seats.rank_of)  # arrivals lie in order of their age

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

    def snapshot(self, shown: OwnerView | None = None) -> Snapshot:
        """Returns every limit with its holders and waiters, as frozen data.

        Args:
            shown: Says how owners appear in it; called when somebody looks.
        """
        return take_snapshot(self._state, shown)

    def explain(self, claim: Claim) -> Explanation:
        """Tells why a claim does not run: every limit that is short, and what would start it."""
        return explain(self._state, [claim], self._rehearse)

    def explain_ghosts(self, claims: Sequence[Claim]) -> Explanation:
        """Tells why a run does not start that waits with several ghosts: what is short for, or would start, any."""
        return explain(self._state, claims, self._rehearse)

    def short_limits(self, claim: Claim) -> tuple[Limit, ...]:
        """Returns the limits that are short for a waiter; far cheaper than `explain`."""
        return tuple([one.limit for one in shortages(claim)]) if claim.state is WAITING else ()

    def watch(self, claim: Claim) -> None:
        """Lets `roused` name a waiter once for each further limit that becomes short for it."""
        self._state.ledger.watch(claim)

    def roused(self) -> list[Claim]:
        """Returns the watched for whom another limit became short since this was last asked, if they still wait."""
        ledger = self._state.ledger
        roused, ledger.roused = ledger.roused, []
        return [claim for claim in dict.fromkeys(roused) if claim.state is WAITING]

    def apply(self, changes: Changes) -> dict[NewLimit, Limit]:
        """Makes changes in their order, all or none; the next round decides what follows from them.

        Returns:
            The limits that were made.

        Raises:
            AdmissionError: where one of them cannot be made; nothing is changed.
        """
        refuse_unfit(self._state, changes)
        return enact(self, changes)

    def preview(self, changes: Changes) -> Preview:
        """Tells what the next round would decide after `apply(changes)`; nothing is changed.

        Raises:
            AdmissionError: where one of them cannot be made.
        """
        return foresee(self._state, changes, self._of)

    def _rehearse(self, changes: Changes, only: Collection[Claim] | None) -> list[Claim]:
        """Returns who starts in a round after changes, decided by a twin; see `Twin` for `only`."""
        twin = Twin(self._state, only)
        other = Admission._of(twin)
        enact(other, changes, twin)
        return list(twin.originals(other.admit(self._state.now)))

    def copy(self) -> Admission:
        """Returns a twin that decides as this one would, for previews. It has no log; owners are the same objects."""
        twin = Twin(self._state)
        copied = Admission._of(twin)
        for key, group in tuple(self._groups.items()):
            copied._groups[key] = twin.group(group)
        return copied

    @classmethod
    def _of(cls, twin: Twin) -> Admission:
        """Returns the admission that decides for a twin."""
        state = twin.copied
        made = cls(max_overtakes=state.max_overtakes, fair=state.fair, describe=state.describe)
        made._state = state
        made._round = Round(state)
        for demand in twin.demands():
            made._demands[demand.key] = demand
        return made

    def check(self) -> None:
        """Recomputes what is kept beside the grants and waiters; for tests and doubts.

        Raises:
            AdmissionError: with what differs.
        """
        audit(self._state)

    def __repr__(self) -> str:
        state = self._state
        waiting = sum([cell.size for cell in state.queue.cells]) + len(state.arrivals)
        return f"<admission limits={len(state.limits)} granted={len(state.books.granted)} waiting={waiting}>"


def _enqueued_before(claim: Claim) -> AdmissionError:
    return AdmissionError(f"{claim!r} was enqueued before; make a new claim")
