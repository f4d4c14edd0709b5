"""Who waits and who holds, and what each stimulus changes. Rounds are driven from outside, one decision at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asyncflow._limits.audit.books import Books
from asyncflow._limits.audit.counting import count_start, promote_ripe
from asyncflow._limits.audit.earmarking import drop_earmark
from asyncflow._limits.audit.fitting import Way, gatherers, reservations
from asyncflow._limits.audit.reduction import can_never_fit, missing_loans
from asyncflow._limits.audit.waiter import Claim, Demand, Edge, Group, Limit, Loan, Party, State, Waiter
from asyncflow.errors import AdmissionError


class Hall:
    """The state of one admission, by the slow rules."""

    def __init__(self, *, max_overtakes: int, fair: bool, earmark_ns: int, earmark_cap_ns: int) -> None:
        self.max_overtakes = max_overtakes
        self.fair = fair
        self.earmark_ns = earmark_ns
        self.earmark_cap_ns = earmark_cap_ns
        self.limits: list[Limit] = []
        self.books = Books()
        self.waiting: list[Waiter] = []  # integrated
        self.arrivals: list[Waiter] = []
        self.unparking: list[Claim] = []
        self.ended: list[tuple[Group, Limit, int, int]] = []  # since the last round: own units and when granted
        self.passed_first: dict[tuple[Limit, int], int] = {}  # counter A of R6
        self.ripe: list[Waiter] = []  # passed often enough by counter B in this round
        self.short: dict[Waiter, tuple[Limit, ...]] = {}  # as of the end of the last round
        self.now = 0
        self.round = 0
        self._numbers: dict[str, int] = {}

    def number(self, kind: str) -> int:
        """Returns the next number of a kind: `claim` counts claims and starts."""
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return self._numbers[kind]

    # ---------------------------------------------------------------------------------------------------- reading
    def waiters(self) -> list[Waiter]:
        """Returns everybody who waits, integrated or not."""
        return [*self.waiting, *self.arrivals]

    def waiter(self, claim: Claim) -> Waiter:
        """Returns the waiter that `claim` is part of."""
        return next(waiter for waiter in self.waiters() if claim in waiter.parts)

    def usable(self, limit: Limit) -> int:
        """Returns what is neither held nor earmarked."""
        return max(0, limit.free - self.earmarked(limit))

    def earmarks(self) -> list[Waiter]:
        """Returns who is earmarked, oldest earmark first."""
        marked = [(waiter.earmark.number, waiter) for waiter in self.waiting if waiter.earmark is not None]
        return [waiter for _, waiter in sorted(marked, key=lambda pair: pair[0])]

    def earmarked(self, limit: Limit) -> int:
        """Returns the units of a limit that are set aside; of an external one, those asked for."""
        return sum(amount for waiter in self.earmarks() for one, amount in waiter.needs if one is limit)

    # ---------------------------------------------------------------------------------------------------- stimuli
    def drop(self, limit: Limit) -> None:
        """Forgets a limit that nobody uses."""
        asked = any(waiter.asks(limit) for waiter in self.waiters())
        if asked or any(limit in claim.holds for claim in self.books.own):
            raise AdmissionError(f"{limit.name!r} is held or asked for")
        self.limits.remove(limit)

    def enqueue(self, pairs: Sequence[list[Claim]]) -> None:
        """Lets one waiter arrive, or the ghosts of one run."""
        if any(claim.state is not State.NEW for pair in pairs for claim in pair):
            raise AdmissionError("a claim is enqueued once")
        waiters = [Waiter(pair) for pair in pairs]
        for waiter in waiters:
            waiter.ghosts = waiters if len(waiters) > 1 else None
            for claim in waiter.parts:
                claim.state = State.WAITING
                claim.seq = self.number("claim")
            self.arrivals.append(waiter)

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back, wherever it stands."""
        if claim.state is State.GRANTED:
            self.release(claim)
        elif claim.state is State.WAITING:
            waiter = self.waiter(claim)
            self.leave(waiter, State.WITHDRAWN)
            if waiter.ghosts is not None:
                waiter.ghosts.remove(waiter)

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        """Ends a grant, or its part on some limits."""
        if claim.state is not State.GRANTED or claim not in self.books.own:
            raise AdmissionError(f"{claim!r} holds nothing")
        if limits is not None:
            chosen = list(limits)
            if len(set(chosen)) < len(chosen) or any(limit not in claim.holds for limit in chosen):
                raise AdmissionError(f"{claim!r} does not hold all of {chosen}")
            for limit in sorted(chosen, key=lambda one: one.seq):
                self._let_go(claim, limit)
        else:
            for limit in claim.holds:
                self._note_end(claim, limit, self.books.owned(claim, limit))
            self.books.close(claim)
            claim.holds = {}
            claim.state = State.ENDED
            self.unparking = [one for one in self.unparking if one is not claim]
        self.recount()

    def rematch(self, claim: Claim, demand: Demand) -> Waiter | None:
        """Gives a claim another demand; returns the waiter that lost its earmark by it, if one did."""
        if claim.state is State.GRANTED:
            self._rematch_grant(claim, demand)
            return None
        if claim.state is not State.WAITING:
            raise AdmissionError(f"{claim!r} neither waits nor holds")
        waiter = self.waiter(claim)
        claim.demand = demand
        if not waiter.seen:
            return None
        lost = None if waiter.earmark is None else waiter
        waiter.seen, waiter.earmark = False, None
        waiter.start_over()
        self.waiting.remove(waiter)
        self.arrivals.append(waiter)
        self.forget_counters()
        return lost

    def reprioritise(self, party: Party, priority: int) -> None:
        """Changes the priority of a party; its waiters are counted from the start."""
        if priority != party.priority:
            party.priority = priority
            for waiter in self.waiters():
                if waiter.main.party is party:
                    waiter.start_over()
            self.forget_counters()

    def refuse_remote(self, claim: Claim) -> None:
        """The other side refused a ticket."""
        if claim.state is State.WAITING and self.waiter(claim).earmark is not None:
            drop_earmark(self, self.waiter(claim))

    def lend(self, lender: Claim, borrower: Claim | Party) -> None:
        """Adds a lending edge; the lender is parked from now on."""
        if lender.state is not State.GRANTED:
            raise AdmissionError(f"{lender!r} holds nothing it could lend")
        self.unparking = [one for one in self.unparking if one is not lender]
        if not any(edge.lender is lender and edge.borrower is borrower for edge in self.books.edges):
            self.books.edges.append(Edge(lender, borrower))

    def unlend(self, lender: Claim, borrower: Claim | Party) -> None:
        """Takes a lending edge away; loans that were made stay."""
        self.books.edges = [
            edge for edge in self.books.edges if edge.lender is not lender or edge.borrower is not borrower
        ]

    def unpark(self, claim: Claim) -> None:
        """Takes all edges of a lender away; it goes on when its units are back or can be borrowed."""
        if claim.state is not State.GRANTED:
            raise AdmissionError(f"{claim!r} is not running")
        self.books.edges = [edge for edge in self.books.edges if edge.lender is not claim]
        if claim not in self.unparking:
            self.unparking.append(claim)

    # ------------------------------------------------------------------------------------------------- the round
    def begin_round(self, now: int) -> list[Waiter]:
        """Charges time, adds service, integrates arrivals; returns who is deadlocked from the start."""
        if now < self.now:
            raise AdmissionError(f"time went back from {self.now} to {now}")
        for waiter, short in self.short.items():
            for claim in waiter.parts:
                claim.ledger[short] = claim.ledger.get(short, 0) + now - self.now
        self.now = now
        self.round += 1
        for group, limit, units, since in self.ended:
            group.service[limit] = group.service.get(limit, 0) + units * (now - since)
        self.ended = []
        return self._integrate()

    def _integrate(self) -> list[Waiter]:
        victims: list[Waiter] = []
        while self.arrivals:
            waiter = self.arrivals.pop(0)
            self._begin_to_wait(waiter)
            waiter.seen = True
            for claim in waiter.parts:
                if claim.enqueued_at is None:
                    claim.enqueued_at = self.now
            self.waiting.append(waiter)
            if can_never_fit(self.books, waiter):
                self.deadlock(waiter)
                victims.append(waiter)
        return victims

    def _begin_to_wait(self, waiter: Waiter) -> None:
        group = waiter.group
        if not any(other.group is group for other in self.waiting):
            group.turn = max(group.turn, waiter.main.seq)
        for limit, _ in waiter.needs:
            there = {other.group for other in self.waiting if other.asks(limit)}
            if limit.named and group not in there and there:
                floor = int(min(other.service.get(limit, 0) / other.weight for other in there))
                group.service[limit] = max(group.service.get(limit, 0), int(floor * group.weight))

    def go_on(self) -> list[Claim]:
        """Un-parks whoever has its units back or can borrow them; returns them in the order they asked."""
        on: list[Claim] = []
        for claim in self.unparking:
            missing = missing_loans(self.books, claim)
            if missing is not None:
                for limit, amount in missing:
                    self.books.loans += self.books.borrow(claim, limit, amount, self.books.sources(claim)) or []
                on.append(claim)
        self.unparking = [claim for claim in self.unparking if claim not in on]
        return on

    def start(self, waiter: Waiter, way: Way) -> None:
        """Grants all parts of a waiter in one step; other ghosts of its run vanish."""
        if not self.books.nested(waiter.main):
            count_start(self, waiter)
        waiter.earmark = None
        self.leave(waiter, State.GRANTED)
        for ghost in waiter.ghosts or []:
            if ghost is not waiter:
                self.leave(ghost, State.WITHDRAWN)
        waiter.group.turn = self.number("claim")
        own, loans = dict(way.own), list(way.loans)
        for claim in waiter.parts:
            self._open(claim, own, loans)
        self.recount()

    def _open(self, claim: Claim, own: dict[Limit, int], loans: list[Loan]) -> None:
        """Gives `claim` its part of what a waiter takes: of each limit own units first, then the nearest loans."""
        claim.granted_at = self.now
        claim.holds = dict(claim.demand.needs)
        self.books.own[claim] = {}
        for limit, amount in claim.demand.needs:
            mine = min(amount, own[limit])
            self.books.own[claim][limit] = mine
            own[limit] -= mine
            left = amount - mine
            for loan in loans:
                part = min(left, loan.amount) if loan.limit is limit else 0
                if part:
                    self.books.loans.append(Loan(loan.lender, claim, limit, part))
                    loan.amount -= part
                    left -= part

    def deadlock(self, waiter: Waiter) -> None:
        """Takes a victim out, with all ghosts of its run."""
        for ghost in waiter.ghosts or [waiter]:
            self.leave(ghost, State.DEADLOCKED)

    def end_round(self) -> list[Waiter]:
        """Notes what is reserved and who is short of what; returns the gatherers to announce."""
        promote_ripe(self)
        table = reservations(self)
        for limit in self.limits:
            limit.reserved = self.earmarked(limit) + sum(units.get(limit, 0) for _, units in table)
        self.short = {waiter: short_limits(waiter) for waiter in self.waiting}
        news = [waiter for waiter in gatherers(self) if not waiter.announced]
        for waiter in news:
            waiter.announced = True
        return news

    # ------------------------------------------------------------------------------------------------------- ends
    def leave(self, waiter: Waiter, state: State) -> None:
        """Ends the waiting of `waiter`, if it waits."""
        if waiter in self.waiters():
            for claim in waiter.parts:
                claim.state = state
            self.waiting = [one for one in self.waiting if one is not waiter]
            self.arrivals = [one for one in self.arrivals if one is not waiter]
            self.short.pop(waiter, None)
            self.forget_counters()

    def forget_counters(self) -> None:
        """Drops each counter A whose last waiter left."""
        present = {(limit, waiter.priority) for waiter in self.waiting for limit, _ in waiter.needs}
        self.passed_first = {key: count for key, count in self.passed_first.items() if key in present}

    def recount(self) -> None:
        """Writes what the grants own into the limits."""
        for limit in self.limits:
            limit.held = self.books.held(limit)

    def _note_end(self, claim: Claim, limit: Limit, units: int) -> None:
        if limit.named and units and claim.granted_at is not None:
            self.ended.append((claim.party.group, limit, units, claim.granted_at))

    def _let_go(self, claim: Claim, limit: Limit) -> None:
        self._note_end(claim, limit, self.books.owned(claim, limit))
        self.books.give_back(claim, limit)
        del claim.holds[limit]

    def _rematch_grant(self, claim: Claim, demand: Demand) -> None:
        before, after = dict(claim.demand.needs), dict(demand.needs)
        claim.demand = demand
        for limit in sorted({*before, *after}, key=lambda one: one.seq):
            old, new = before.get(limit, 0), after.get(limit, 0)
            if old == new or (old and limit not in claim.holds):
                continue  # unchanged, or given back early
            if old and not new:
                self._let_go(claim, limit)
                continue
            if any(loan.limit is limit and claim in {loan.lender, loan.borrower} for loan in self.books.loans):
                self._let_go(claim, limit)
            elif new < old:
                self._note_end(claim, limit, old - new)
            self.books.own[claim][limit] = claim.holds[limit] = new
        self.recount()


def short_limits(waiter: Waiter) -> tuple[Limit, ...]:
    """Returns the limits that keep a waiter waiting now; none means that it is the order."""
    short = tuple(limit for limit, amount in waiter.local if limit.free - limit.reserved < amount)
    return short or tuple(limit for limit, _ in waiter.remote)
