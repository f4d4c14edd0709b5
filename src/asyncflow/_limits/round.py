"""A round: everything that came since the last one, then starts until nobody fits. Atomic.

    time is charged, service added → arrivals join → earmarks that do not fit go, remote grants start →
    un-parkers go on → starts, one after another → mature earmarks that somebody wants go, more starts →
    deadlocks → the ledger notes what is short now

Every start changes what fits, so after each one only what it moved is looked at again: limits whose units came or
went call the gatherers that read them, reservations that shrank and units that came back wake who slept on them, and
claims whose lendable units changed call those who may borrow from them.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncflow._limits.choice import Choice, choose, fits_now
from asyncflow._limits.claim import DEADLOCKED, WAITING, WITHDRAWN, Claim, chain
from asyncflow._limits.command import AskRemote, Deadlocked, DropTicket, Gathering, ReturnRemote, Unparked
from asyncflow._limits.counting import count_start, promote_ripe
from asyncflow._limits.deadlock import Reduction, chain_of_waits, never_fits
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.group import Group, Party
from asyncflow._limits.handover import hand_over
from asyncflow._limits.holding import holds_something
from asyncflow._limits.leaving import close_bill, dismiss, stand_again, take_out
from asyncflow._limits.lending import away
from asyncflow._limits.limit import Limit
from asyncflow._limits.role import Role
from asyncflow._limits.state import State


class Round:
    """Decides rounds on the state of an `Admission`."""

    __slots__ = ("_promoted", "_starts", "_state", "_touched")

    def __init__(self, state: State) -> None:
        self._state = state
        self._starts: list[Claim] = []
        self._promoted: list[Gatherer] = []
        self._touched: list[Limit] = []

    def run(self, now: int) -> list[Claim]:
        """Decides one round; returns who starts, in order."""
        state = self._state
        starts = self._starts = []
        state.now = now
        if state.open_bills:
            for bill in state.open_bills:
                bill.settle(now)
            state.open_bills.clear()
        state.books.serve(now)
        if state.resting:
            self._rested()
        if state.lending.stale or state.books.changed:
            self._reseat()
        if len(state.arrivals) != 1 or not self._start_at_once(state.arrivals[0]):
            self._integrate()
        if state.earmarks.claims or state.earmarks.grants:
            self._answer_remote()
        if state.lending.unparking:
            self._unpark()
        self._admit()
        while state.earmarks.claims and self._drop_wanted():
            self._admit()
        if state.suspicion.due or state.lending.used:
            self._resolve_deadlocks()
        self._close()
        return starts

    # ── before the starts ─────────────────────────────────────────────────────────────────────────────────────────

    def _integrate(self) -> None:
        state = self._state
        arrivals = tuple(state.arrivals)
        state.arrivals.clear()
        for claim in arrivals:
            if claim.state is WAITING:
                state.queue.integrate(claim, state.now)
                cell = claim.cell
                if cell is not None and cell.nested and never_fits(claim):
                    self._deadlocked(claim)

    def _rested(self) -> None:
        """Those who sat the last round out take part again."""
        state = self._state
        resting, state.resting = state.resting, []
        for claim in resting:
            if claim.role is not None:
                claim.role.resting = False
            if claim.state is WAITING:
                stand_again(state, claim)

    def _start_at_once(self, claim: Claim) -> bool:
        """Starts a claim that came alone, where nobody else could: it need not stand in the queue for that."""
        state = self._state
        demand = claim.demand
        if claim.state is not WAITING or claim.ghost is not None or demand.external or state.lending.edges:
            return False
        if claim.role is not None or state.earmarks.claims or state.earmarks.grants or state.lending.unparking:
            return False
        for limit, amount in demand.needs:
            if limit.ceiling - limit.held < amount:
                return False
        self._stir()
        if state.seats.board:
            return False
        nested = claim.parent is not None and any(holds_something(above) for above in chain(claim.parent))
        if not nested and not fits_now(claim):
            return False
        state.arrivals.clear()
        state.queue.begin(claim, demand)
        if claim.enqueued_at < 0:
            claim.enqueued_at = state.now
        if not nested:
            self._promoted += count_start(state, claim, state.seats.place_of(claim))
        self._grant(claim, claim.party.group)
        return True

    def _answer_remote(self) -> None:
        state = self._state
        for claim in state.earmarks.unfit():
            self._drop_earmark(claim)
        grants, state.earmarks.grants = state.earmarks.grants, []
        for claim in grants:
            self._stir()
            chosen = state.earmarks.granted(claim)
            if chosen is None:
                state.command(ReturnRemote(claim))
            else:
                self._start(chosen, borrows=False)

    def _unpark(self) -> None:
        state = self._state
        for claim in tuple(state.lending.unparking):
            missing = list(away(claim))
            sources = state.lending.sources(claim.parent, claim)
            if any(state.books.plan_loans(claim, limit, units, sources) is None for limit, units in missing):
                continue
            for limit, units in missing:
                state.books.borrow(claim, limit, units)
            state.lending.unparking.remove(claim)
            state.command(Unparked(claim))

    # ── starts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _admit(self) -> None:
        """Starts one after another until nobody fits."""
        self._stir()
        hand_over(self._state, self._starts)
        while True:
            self._stir()
            choice = choose(self._state.seats)
            if choice is None:
                return
            self._take(choice)

    def _take(self, choice: Choice) -> None:
        if not choice.asks:
            self._start(choice.claim, borrows=choice.borrows)
            return
        state, claim = self._state, choice.claim
        state.earmarks.make(claim, state.now)
        state.queue.set_apart(claim)
        if claim.role is not None and claim.role.gatherer is not None:
            state.gathering.compute([claim.role.gatherer])
        state.command(AskRemote(claim))

    def _start(self, claim: Claim, *, borrows: bool) -> None:
        """Grants a waiter; of a ghost both halves in one step, and its siblings vanish."""
        state, cell, ghost = self._state, claim.cell, claim.ghost
        if cell is None or not cell.nested:
            self._promoted += count_start(state, claim, claim.entry if cell is None or cell.counted else None)
        if ghost is not None or borrows:
            self._start_specially(claim, borrows=borrows)
            return
        close_bill(claim, state.now)
        if claim.role is None:
            state.queue.leave(claim)
        else:
            take_out(state, claim)
        self._grant(claim, claim.party.group)

    def _start_specially(self, claim: Claim, *, borrows: bool) -> None:
        """Grants a ghost, or a waiter that may borrow."""
        state, cell, ghost = self._state, claim.cell, claim.ghost
        free = {limit: 0 if limit.external else max(0, limit.room) for limit, _ in claim.asked.needs} if borrows else {}
        close_bill(claim, state.now)
        take_out(state, claim)
        if ghost is not None:
            for other in tuple(ghost.family.ghosts):
                if other is not ghost:
                    dismiss(state, other.run, WITHDRAWN)
        elif all(free[limit] >= amount for limit, amount in claim.demand.needs):
            self._grant(claim, claim.party.group)
            return
        turn: Group | None = claim.party.group
        if borrows and ghost is not None and ghost.root is not None:
            state.lending.used = True  # the root borrows from the run's ancestors, which may not be its own
        for one in [claim] if ghost is None else ghost.claims:
            one.bill, one.past = claim.bill, claim.past
            if borrows and cell is not None:
                self._grant(one, turn, sources=cell.sources, free=free)
            else:
                self._grant(one, turn)
            turn = None

    def _grant(
        self,
        claim: Claim,
        group: Group | None,
        *,
        sources: Sequence[Claim] = (),
        free: dict[Limit, int] | None = None,
    ) -> None:
        """Grants a claim, as its own or borrowed in part; `group` has its turn with it."""
        state = self._state
        if group is not None:
            state.seq += 1
            group.turn = state.seq
        if free is None:
            state.books.grant(claim, state.now)
        else:
            state.books.grant_borrowing(claim, state.now, sources, free)
        self._starts.append(claim)
        if state.log is not None:
            state.log.started(claim)

    def _stir(self) -> None:
        """Brings reservations and sleepers in line with what moved."""
        state = self._state
        books, gathering = state.books, state.gathering
        while books.touched or books.risen or books.changed or gathering.touched or state.lending.stale:
            if state.lending.stale or books.changed:
                self._reseat()
            risen, books.risen = books.risen, []
            touched, books.touched = books.touched, []
            self._touched += touched
            self._touched += risen
            if gathering.gatherers:
                gathering.follow([*touched, *risen])
            if gathering.touched:
                self._touched += gathering.touched
                risen += gathering.risen
                gathering.touched, gathering.risen = [], []
            if risen:
                state.queue.rise(risen)

    def _reseat(self) -> None:
        """Waiters who may borrow look again at whom from."""
        state = self._state
        while state.lending.stale or state.books.changed:
            stale, state.lending.stale = state.lending.stale, []
            for borrower in stale:
                self._rehome(borrower)
            changed, state.books.changed = state.books.changed, {}
            cells = dict.fromkeys([cell for claim in changed if claim.holding for cell in claim.holding.cells])
            for cell in cells:
                if state.seats.reseat(cell):
                    state.queue.count(cell)
            if state.gathering.gatherers:
                state.gathering.compute([one for one in state.gathering.gatherers if one.claim.cell in cells])

    def _rehome(self, borrower: Claim | Party) -> None:
        """A lending edge to `borrower` came or went: it, and whoever runs inside it, has other sources."""
        state = self._state
        if isinstance(borrower, Claim):
            if borrower.holding is not None:
                state.books.changed[borrower] = None
            reached = [borrower] if borrower.cell is not None else []
        else:
            reached = [claim for claim in state.queue.waiters() if claim.party is borrower]
        for claim in reached:
            state.queue.move(claim)
            if claim.cell is not None and state.seats.reseat(claim.cell):
                state.queue.count(claim.cell)
            if claim.role is not None and claim.role.gatherer is not None:
                state.gathering.compute([claim.role.gatherer])

    # ── after the starts ──────────────────────────────────────────────────────────────────────────────────────────

    def _drop_earmark(self, claim: Claim) -> None:
        state = self._state
        state.earmarks.drop(claim)
        role = Role.of(claim)
        role.resting = True
        state.resting.append(claim)
        if role.gatherer is not None:
            state.gathering.compute([role.gatherer])
        state.command(DropTicket(claim))

    def _drop_wanted(self) -> bool:
        """Drops the newest mature earmark without which somebody else fits, who starts; tells whether it did."""
        state = self._state
        for claim in state.earmarks.mature(state.now):
            role, order = Role.of(claim), list(state.earmarks.claims)
            earmark, gatherers = role.earmark, [] if role.gatherer is None else [role.gatherer]
            if earmark is None:
                continue
            state.earmarks.remove(claim)
            role.resting = True
            state.gathering.compute(gatherers)
            self._stir()
            choice = choose(state.seats)
            state.earmarks.restore(claim, earmark, order)
            role.resting = False
            state.gathering.compute(gatherers)
            if choice is not None:
                self._drop_earmark(claim)
                self._stir()
                self._take(choice)
                return True
            self._stir()
        return False

    def _resolve_deadlocks(self) -> None:
        state = self._state
        while True:
            self._stir()
            if not state.seats.nested and not state.lending.unparking:
                state.suspicion.due = False  # nobody waits inside an op
                return
            youngest = Reduction(state.books, state.seats.nested, state.queue.apart).youngest()
            if youngest is None:
                state.suspicion.due = False
                return
            if youngest in state.lending.unparking:
                state.lending.unparking.remove(youngest)
                state.command(Deadlocked(youngest, chain_of_waits(youngest, state.describe)))
            else:
                self._deadlocked(youngest)

    def _deadlocked(self, claim: Claim) -> None:
        """Takes a waiter out that can never start; of a run, all its ghosts."""
        state = self._state
        state.command(Deadlocked(claim, chain_of_waits(claim, state.describe)))
        for one in [claim] if claim.ghost is None else [ghost.run for ghost in claim.ghost.family.ghosts]:
            dismiss(state, one, DEADLOCKED)

    def _close(self) -> None:
        """Notes who gathers, and what is short and reserved from now on."""
        state = self._state
        if state.ripe:
            self._promoted += promote_ripe(state)
        self._stir()
        for demand in state.queue.fresh:
            if demand.levels and demand.account is None:
                state.ledger.open(demand, state.now)
                self._touched += [limit for limit, _ in demand.needs]
        state.queue.fresh.clear()
        touched, self._touched = self._touched, []
        for limit in dict.fromkeys(touched):
            crowd = limit.crowd
            limit.reserved = limit.earmarked
            if crowd is not None:
                if crowd.kept:
                    limit.reserved += sum(crowd.kept.values())
                state.ledger.follow(limit, crowd, state.now)
        for gatherer in self._promoted:
            if gatherer.claim.role is not None and gatherer.claim.role.gatherer is gatherer:
                state.command(Gathering(gatherer.claim))
        self._promoted = []
        state.due = bool(state.earmarks.claims or state.resting)
