"""The slow obvious model of admission: every rule a scan over a list, so that it can be read beside ADMISSION.md.

The fast core is held to this model, decision by decision. Nothing here is cached between two stimuli except what the
rules themselves remember: turns, service, promotions, counters, earmarks and the ledger.

Readings, where the rules leave a choice (R1–R18 are also in the interface page of the core):

R1  Stimuli act at once, but an arrival is *integrated* by the next round, in the order of arrival. Who is withdrawn
    before never waited at all. A rematched waiter arrives again, with its old age.
R2  A round: time charged; service of what ended since; arrivals; earmarks and external grants; un-parkers; picks
    until none fits; mature earmarks that somebody wants, and picks again; deadlocks; ledger and commands.
R3  One counter numbers claims and starts. A group begins to wait when its first waiter is integrated.
R4  A ghost is one waiter: needs of run and root added, all else that of its run-level claim.
R5  *Nested* is judged now: some source (ancestor, or lender by an edge) is granted and holds something. A class is a
    vector of named needs, whoever asks; inside one class the two orders together are one total order.
R6  A start of a waiter that is not nested is counted before it takes its units, on each local limit it asks for, for
    each priority at or above its own that waits there, highest first. *Eligible* are waiters of exactly that priority
    that could ever fit now and do not gather. Counter A, one per limit and priority: the first of them by run
    arrival, order and age (not by share: what was served last would change it all the time) does not fit. Counter B,
    kept with the waiter so that a pause does not restart it: the oldest of them was passed.
R7  Reservations are computed from nothing wherever they are asked for. Gatherers are not preferred among those who
    fit; they just fit.
R8  A gatherer is announced at the end of the round, if it still waits.
R9  A unit that was borrowed may be lent on. Earmarks count as taken for everybody.
R10 A lender's end: what it lent is handed on to whom it had borrowed from, the rest becomes the borrower's own.
R11 Service is own units at the end, times the whole age of the grant.
R12 A nested arrival that asks a limit that never lends for more than its ancestors leave there is deadlocked at once.
R13 The reduction (model_deadlock.py) looks at claims inside claims and at un-parkers; everybody else starts some day.
R14 Un-parking removes the edges at once and goes on in a round, when what was lent (not to its own children) is back
    or can be borrowed.
R15 Withdrawing a ghost withdraws that ghost only. The winner's run-level claim takes first.
R16 External limits take no part in fits and reservations. A waiter with external needs whose local part fits in its
    turn is earmarked and asked for; the remote grant makes it a start. One whose earmark a round dropped sits that
    round out: no candidate, not eligible, reserves nothing.
R17 The ledger charges by demand: limits with free − reserved < need, else the external ones, else the order.
R18 Groups are never forgotten here; whoever drives this keeps them alive in the fast core too.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncflow.errors import AdmissionError, ConfigurationError
from tests._limits.model_books import Books
from tests._limits.model_deadlock import Reduction, can_never_fit, hopeless, missing_loans
from tests._limits.model_records import (
    Claim,
    Command,
    Demand,
    Earmark,
    Edge,
    Group,
    Limit,
    Loan,
    Party,
    State,
    Waiter,
    added,
)

Table = list[tuple[Waiter, dict[Limit, int]]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a waiter fits now: units of its own, loans, and whether that only earmarks it."""

    own: dict[Limit, int]
    loans: list[Loan]
    earmark: bool = False


class ModelAdmission:
    """The interface of `asyncflow._limits.Admission`, by naive scans."""

    def __init__(
        self,
        *,
        max_overtakes: int = 64,
        fair: bool = True,
        earmark_ns: int = 100_000_000,
        earmark_cap_ns: int = 15_000_000_000,
    ) -> None:
        self.max_overtakes = max_overtakes
        self.fair = fair
        self.earmark_ns = earmark_ns
        self.earmark_cap_ns = earmark_cap_ns
        self.limits: list[Limit] = []
        self.groups: dict[Hashable, Group] = {}
        self.books = Books()
        self.waiting: list[Waiter] = []  # integrated
        self.arrivals: list[Waiter] = []
        self.unparking: list[Claim] = []
        self.remote_grants: list[Claim] = []
        self.ended: list[tuple[Group, Limit, int, int]] = []  # group, limit, own units, granted at
        self.passed_first: dict[tuple[Limit, int], int] = {}  # counter A
        self.short: dict[Waiter, tuple[Limit, ...]] = {}  # as of the end of the last round
        self.commands: list[Command] = []
        self.now = 0
        self.round = 0
        self.starts = 0
        self._numbers = {"limit": 0, "group": 0, "party": 0, "claim": 0, "promotion": 0, "earmark": 0}

    # ------------------------------------------------------------------------------------------------- making
    def _number(self, kind: str) -> int:
        self._numbers[kind] += 1
        return self._numbers[kind]

    def limit(
        self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> Limit:
        refuse_negative(name, capacity)
        limit = Limit(name, capacity, self._number("limit"), named, reentrant, external)
        self.limits.append(limit)
        return limit

    def drop(self, limit: Limit) -> None:
        asked = any(waiter.asks(limit) for waiter in self._waiters())
        if asked or any(limit in claim.holds for claim in self.books.own):
            raise AdmissionError(f"{limit.name!r} is held or asked for")
        self.limits.remove(limit)

    def demand(self, needs: Iterable[tuple[Limit, int]]) -> Demand:
        return Demand(added(tuple(needs)))

    def group(self, key: Hashable, weight: float = 1.0) -> Group:
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(key, weight, self._number("group"))
        group.weight = weight
        return group

    def party(self, group: Group, *, priority: int = 0) -> Party:
        return Party(group, priority, self._number("party"))

    # ------------------------------------------------------------------------------------------------ stimuli
    def enqueue(self, claim: Claim) -> None:
        self.enqueue_ghosts_of([[claim]])

    def enqueue_many(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self.enqueue(claim)

    def enqueue_ghosts(self, ghosts: Sequence[tuple[Claim, Claim | None]]) -> None:
        self.enqueue_ghosts_of([[run] if root is None else [run, root] for run, root in ghosts])

    def enqueue_ghosts_of(self, pairs: list[list[Claim]]) -> None:
        if any(claim.state is not State.NEW for pair in pairs for claim in pair):
            raise AdmissionError("a claim is enqueued once")
        waiters = [Waiter(pair) for pair in pairs]
        for waiter in waiters:
            waiter.ghosts = waiters if len(waiters) > 1 else None
            for claim in waiter.parts:
                claim.state = State.WAITING
                claim.seq = self._number("claim")
            self.arrivals.append(waiter)

    def withdraw(self, claim: Claim) -> None:
        if claim.state is State.GRANTED:
            self.release(claim)
        elif claim.state is State.WAITING:
            waiter = self._waiter(claim)
            self._leave(waiter, State.WITHDRAWN)
            if waiter.ghosts is not None:
                waiter.ghosts.remove(waiter)

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        if claim.state is not State.GRANTED or claim not in self.books.own:
            raise AdmissionError(f"{claim!r} holds nothing")
        if limits is None:
            for limit in claim.holds:
                self._note_end(claim, limit, self.books.owned(claim, limit))
            self.books.close(claim)
            claim.holds = {}
            claim.state = State.ENDED
            self.unparking = [one for one in self.unparking if one is not claim]
        else:
            chosen = list(limits)
            if len(set(chosen)) < len(chosen) or any(limit not in claim.holds for limit in chosen):
                raise AdmissionError(f"{claim!r} does not hold all of {chosen}")
            for limit in sorted(chosen, key=lambda one: one.seq):
                self._let_go(claim, limit)
        self._recount()

    def resize(self, limit: Limit, capacity: int | None) -> None:
        refuse_negative(limit.name, capacity)
        limit.capacity = capacity

    def pause(self, limit: Limit) -> None:
        limit.paused = True

    def resume(self, limit: Limit) -> None:
        limit.paused = False

    def rematch(self, claim: Claim, demand: Demand) -> None:
        if claim.state is State.WAITING:
            waiter = self._waiter(claim)
            claim.demand = demand
            if waiter.seen:
                if waiter.earmark is not None:
                    self.commands.append(Command("DropTicket", claim))
                waiter.seen, waiter.promoted, waiter.announced, waiter.earmark = False, None, False, None
                waiter.passed = {}
                self.waiting.remove(waiter)
                self.arrivals.append(waiter)
                self._forget_counters()
        elif claim.state is State.GRANTED:
            self._rematch_grant(claim, demand)
        else:
            raise AdmissionError(f"{claim!r} neither waits nor holds")

    def reprioritise(self, what: Party | Claim, *, priority: int | None = None, order: Any = None) -> None:
        if isinstance(what, Claim):
            what.order = order
        elif priority is not None and priority != what.priority:
            what.priority = priority
            for waiter in self._waiters():
                if waiter.main.party is what:
                    waiter.promoted, waiter.announced, waiter.passed = None, False, {}
            self._forget_counters()

    def external_grant(self, claim: Claim) -> None:
        self.remote_grants.append(claim)

    def external_refused(self, claim: Claim) -> None:
        if claim.state is State.WAITING and self._waiter(claim).earmark is not None:
            self._drop_earmark(self._waiter(claim), tell=False)

    def lend(self, lender: Claim, borrower: Claim | Party) -> None:
        if lender.state is not State.GRANTED:
            raise AdmissionError(f"{lender!r} holds nothing it could lend")
        self.unparking = [one for one in self.unparking if one is not lender]
        if not any(edge.lender is lender and edge.borrower is borrower for edge in self.books.edges):
            self.books.edges.append(Edge(lender, borrower))

    def unlend(self, lender: Claim, borrower: Claim | Party) -> None:
        self.books.edges = [
            edge for edge in self.books.edges if edge.lender is not lender or edge.borrower is not borrower
        ]

    def unpark(self, claim: Claim) -> None:
        if claim.state is not State.GRANTED:
            raise AdmissionError(f"{claim!r} is not running")
        self.books.edges = [edge for edge in self.books.edges if edge.lender is not claim]
        if claim not in self.unparking:
            self.unparking.append(claim)

    # -------------------------------------------------------------------------------------------------- round
    def admit(self, now: int) -> list[Claim]:
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
        grants: list[Claim] = []
        self._integrate()
        self._drop_unfit_earmarks()
        self._start_remote(grants)
        self._unpark()
        while True:
            while (chosen := self._pick()) is not None:
                self._take(*chosen, grants)
            wanted = self._wanted_earmark()
            if wanted is None:
                break
            self._take(*wanted, grants)
        self._resolve_deadlocks()
        self._end_round()
        return grants

    def _integrate(self) -> None:
        arrivals, self.arrivals = self.arrivals, []
        for waiter in arrivals:
            if waiter.main.state is not State.WAITING:
                continue  # a ghost whose sibling was deadlocked just now
            self._begin_to_wait(waiter)
            waiter.seen = True
            for claim in waiter.parts:
                if claim.enqueued_at is None:
                    claim.enqueued_at = self.now
            self.waiting.append(waiter)
            if can_never_fit(self.books, waiter):
                self._deadlocked(waiter)

    def _begin_to_wait(self, waiter: Waiter) -> None:
        group = waiter.group
        if not any(other.group is group for other in self.waiting):
            group.turn = max(group.turn, waiter.main.seq)
        for limit, _ in waiter.needs:
            there = {other.group for other in self.waiting if other.asks(limit)}
            if limit.named and group not in there and there:
                floor = int(min(other.service.get(limit, 0) / other.weight for other in there))
                group.service[limit] = max(group.service.get(limit, 0), int(floor * group.weight))

    def _unpark(self) -> None:
        for claim in list(self.unparking):
            missing = missing_loans(self.books, claim)
            if missing is not None:
                for limit, amount in missing:
                    self.books.loans += self.books.borrow(claim, limit, amount, self.books.sources(claim)) or []
                self.unparking.remove(claim)
                self.commands.append(Command("Unparked", claim))

    def _resolve_deadlocks(self) -> None:
        while True:
            left = Reduction(self.books, self.waiting, self.unparking)
            if not left.waiters and not left.unparking:
                return
            youngest = max([*(waiter.main for waiter in left.waiters), *left.unparking], key=lambda claim: claim.seq)
            if youngest in self.unparking:
                self.unparking.remove(youngest)
                self.commands.append(Command("Deadlocked", youngest))
            else:
                self._deadlocked(self._waiter(youngest))

    def _deadlocked(self, waiter: Waiter) -> None:
        self.commands.append(Command("Deadlocked", waiter.main))
        for ghost in waiter.ghosts or [waiter]:
            self._leave(ghost, State.DEADLOCKED)

    def _end_round(self) -> None:
        table = self._reservations()
        for limit in self.limits:
            limit.reserved = self._earmarked(limit) + sum(units.get(limit, 0) for _, units in table)
        self.short = {waiter: self._short(waiter) for waiter in self.waiting}
        for waiter in self._gatherers():
            if not waiter.announced:
                waiter.announced = True
                self.commands.append(Command("Gathering", waiter.main))

    def _short(self, waiter: Waiter) -> tuple[Limit, ...]:
        local = [(limit, amount) for limit, amount in waiter.needs if not limit.external]
        short = tuple(limit for limit, amount in local if limit.free - limit.reserved < amount)
        return short or tuple(limit for limit, _ in waiter.needs if limit.external)

    # ------------------------------------------------------------------------------------------------ fitting
    def _fit(self, waiter: Waiter, table: Table) -> Way | None:
        """How `waiter` could start (or be earmarked) now; None if it cannot."""
        if waiter.earmark is not None or waiter.dropped_in == self.round:
            return None
        nested = self.books.nested(waiter.main)
        if nested:
            way = self._fit_by_borrowing(waiter)
            if way is not None:
                return way
        external = any(limit.external for limit, _ in waiter.needs)
        if nested and not external:
            return None
        for limit, amount in waiter.needs:
            if limit.external:
                fits = self._may_ask(limit, amount)
            else:
                fits = self._usable(limit) - (0 if nested else self._respected(waiter, limit, table)) >= amount
            if not fits:
                return None
        return Way(own=dict(waiter.needs), loans=[], earmark=external)

    def _fit_by_borrowing(self, waiter: Waiter) -> Way | None:
        own: dict[Limit, int] = {}
        loans: list[Loan] = []
        sources = self.books.sources(waiter.main)
        for limit, amount in waiter.needs:
            own[limit] = 0 if limit.external else min(amount, self._usable(limit))
            borrowed = self.books.borrow(waiter.main, limit, amount - own[limit], sources)
            if borrowed is None:
                return None
            loans += borrowed
        return Way(own=own, loans=loans)

    def _usable(self, limit: Limit) -> int:
        return max(0, limit.free - self._earmarked(limit))

    def _respected(self, waiter: Waiter, limit: Limit, table: Table) -> int:
        """The units of `limit` reserved by gatherers whom `waiter` must respect."""
        total = 0
        for gatherer, units in table:
            if gatherer is waiter:
                break  # it ignores itself and those after it
            if waiter.promoted is not None or gatherer.priority >= waiter.priority:
                total += units.get(limit, 0)
        return total

    def _gatherers(self) -> list[Waiter]:
        gathering = [waiter for waiter in self.waiting if waiter.promoted is not None]
        return sorted(gathering, key=lambda waiter: (-waiter.priority, waiter.promoted))

    def _reservations(self) -> Table:
        """What each gatherer reserves: needs scarcest first, up to and with the first it cannot cover."""
        table: Table = []
        for waiter in self._gatherers():
            units: dict[Limit, int] = {}
            remote = waiter.earmark is not None or waiter.dropped_in == self.round
            if not (remote or hopeless(waiter) or self.books.nested(waiter.main)):
                for limit, amount in scarcest_first(waiter):
                    available = self._usable(limit) - sum(other.get(limit, 0) for _, other in table)
                    units[limit] = min(amount, max(0, available))
                    if units[limit] < amount:
                        break
            table.append((waiter, units))
        return table

    # -------------------------------------------------------------------------------------------------- order
    def _pick(self) -> tuple[Waiter, Way] | None:
        """The next to start: the best of each class, then a running minimum over the classes in their order."""
        table = self._reservations()
        ways = {waiter: way for waiter in self.waiting if (way := self._fit(waiter, table)) is not None}
        if not ways:
            return None
        if not self.fair:
            best = min(ways, key=lambda one: (-one.priority, one.main.order, one.main.seq))
            return best, ways[best]
        classes: dict[tuple[Any, ...], list[Waiter]] = {}
        for waiter in ways:
            vector = tuple((limit.seq, amount) for limit, amount in waiter.needs if limit.named)
            classes.setdefault(vector, []).append(waiter)
        bests = [min(classes[key], key=lambda one: (self._across(one), inside(one))) for key in sorted(classes)]
        best = bests[0]
        for other in bests[1:]:
            if other.group is best.group:
                earlier = inside(other) < inside(best)
            else:
                earlier = self._across(other) < self._across(best)
            if earlier:
                best = other
        return best, ways[best]

    def _across(self, waiter: Waiter) -> tuple[Any, ...]:
        group = waiter.group
        counted = [
            limit for limit, _ in waiter.needs if limit.named and limit.capacity is not None and limit.capacity > 0
        ]
        share = max((self._held_by(group, limit) / limit.capacity / group.weight for limit in counted), default=0.0)
        service = max((group.service.get(limit, 0) / limit.capacity / group.weight for limit in counted), default=0.0)
        return -waiter.priority, share, service, group.turn, group.seq

    def _held_by(self, group: Group, limit: Limit) -> int:
        return sum(own.get(limit, 0) for claim, own in self.books.own.items() if claim.party.group is group)

    # ------------------------------------------------------------------------------------------------- starts
    def _take(self, waiter: Waiter, way: Way, grants: list[Claim]) -> None:
        if way.earmark:
            span = waiter.span or self.earmark_ns
            waiter.span = span
            waiter.earmark = Earmark(self._number("earmark"), self.now + span)
            self.commands.append(Command("AskRemote", waiter.main))
        else:
            self._start(waiter, way, grants)

    def _start(self, waiter: Waiter, way: Way, grants: list[Claim]) -> None:
        if not self.books.nested(waiter.main):
            self._count_start(waiter)
        waiter.earmark = None
        self._leave(waiter, State.GRANTED)
        for ghost in waiter.ghosts or []:
            if ghost is not waiter:
                self._leave(ghost, State.WITHDRAWN)
        waiter.group.turn = self._number("claim")
        own, loans = dict(way.own), list(way.loans)
        for claim in waiter.parts:
            self._open(claim, own, loans)
            grants.append(claim)
        self.starts += 1
        self._recount()

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
                if loan.limit is limit and left and loan.amount:
                    part = min(left, loan.amount)
                    self.books.loans.append(Loan(loan.lender, claim, limit, part))
                    loan.amount -= part
                    left -= part

    def _count_start(self, waiter: Waiter) -> None:
        """Counts a start against those it passes; see R6."""
        for limit, _ in waiter.needs:
            if limit.external:
                continue
            priorities = {other.priority for other in self.waiting if other.asks(limit)}
            for priority in sorted(priorities, reverse=True):
                if priority >= waiter.priority:
                    self._count_for_first(waiter, limit, priority)
                    self._count_for_oldest(waiter, limit, priority)

    def _eligible(self, limit: Limit, priority: int) -> list[Waiter]:
        return [
            waiter
            for waiter in self.waiting
            if waiter.priority == priority
            and waiter.asks(limit)
            and waiter.promoted is None
            and waiter.earmark is None
            and waiter.dropped_in != self.round
            and not hopeless(waiter)
            and not self.books.nested(waiter.main)
            and not any(ghost.promoted is not None for ghost in waiter.ghosts or [])
        ]

    def _count_for_first(self, starter: Waiter, limit: Limit, priority: int) -> None:
        eligible = self._eligible(limit, priority)
        if not eligible:
            return
        first = min(eligible, key=inside if self.fair else lambda one: (one.main.order, one.main.seq))
        if first is starter or self._fit(first, self._reservations()) is not None:
            return
        count = self.passed_first.get((limit, priority), 0) + 1
        if count >= self.max_overtakes:
            first.promoted = self._number("promotion")
            count = 0
        self.passed_first[limit, priority] = count

    def _count_for_oldest(self, starter: Waiter, limit: Limit, priority: int) -> None:
        eligible = self._eligible(limit, priority)
        if not eligible:
            return
        oldest = min(eligible, key=lambda one: one.main.seq)
        if oldest is starter:
            return
        oldest.passed[limit] = oldest.passed.get(limit, 0) + 1
        if oldest.passed[limit] >= self.max_overtakes:
            oldest.promoted = self._number("promotion")

    # ------------------------------------------------------------------------------------------------- remote
    def _earmarks(self) -> list[Waiter]:
        marked = [waiter for waiter in self.waiting if waiter.earmark is not None]
        return sorted(marked, key=lambda waiter: waiter.earmark.number if waiter.earmark else 0)

    def _earmarked(self, limit: Limit) -> int:
        return sum(amount for waiter in self._earmarks() for one, amount in waiter.needs if one is limit)

    def _may_ask(self, limit: Limit, amount: int) -> bool:
        """Whether a remote pool may be asked for more: limit + 2 units waiting, and always for the first."""
        asked = self._earmarked(limit)
        if limit.paused:
            return False
        return limit.capacity is None or (
            amount <= limit.capacity and (not asked or asked + amount <= limit.capacity + 2)
        )

    def _drop_earmark(self, waiter: Waiter, *, tell: bool = True) -> None:
        waiter.earmark = None
        waiter.span = min(2 * waiter.span, self.earmark_cap_ns)
        if tell:
            waiter.dropped_in = self.round
            self.commands.append(Command("DropTicket", waiter.main))

    def _drop_unfit_earmarks(self) -> None:
        """Keeps the earmarks that jointly fit, oldest first."""
        taken: dict[Limit, int] = {}
        for waiter in self._earmarks():
            local = [(limit, amount) for limit, amount in waiter.needs if not limit.external]
            if hopeless(waiter) or any(limit.free - taken.get(limit, 0) < amount for limit, amount in local):
                self._drop_earmark(waiter)
            else:
                for limit, amount in local:
                    taken[limit] = taken.get(limit, 0) + amount

    def _start_remote(self, grants: list[Claim]) -> None:
        claims, self.remote_grants = self.remote_grants, []
        for claim in claims:
            earmarked = sorted(self._earmarks(), key=lambda waiter: waiter.main.seq)
            fitting = [waiter for waiter in earmarked if claim in waiter.parts] or [
                waiter
                for waiter in earmarked
                if waiter.main.demand is claim.demand
                and len(waiter.parts) == 1
                and waiter.priority >= claim.party.priority
            ]
            if fitting:
                self._start(fitting[0], Way(own=dict(fitting[0].needs), loans=[]), grants)
            else:
                self.commands.append(Command("ReturnRemote", claim))

    def _wanted_earmark(self) -> tuple[Waiter, Way] | None:
        """Drops the newest mature earmark without which somebody else fits, and says who."""
        for waiter in reversed(self._earmarks()):
            earmark = waiter.earmark
            if earmark is not None and self.now >= earmark.until:
                waiter.earmark, before, waiter.dropped_in = None, waiter.dropped_in, self.round
                chosen = self._pick()
                if chosen is not None:
                    self._drop_earmark(waiter)
                    return chosen
                waiter.earmark, waiter.dropped_in = earmark, before
        return None

    # ---------------------------------------------------------------------------------------------------- ends
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
        self._recount()

    def _leave(self, waiter: Waiter, state: State) -> None:
        if waiter in self._waiters():
            for claim in waiter.parts:
                claim.state = state
            self.waiting = [one for one in self.waiting if one is not waiter]
            self.arrivals = [one for one in self.arrivals if one is not waiter]
            self.short.pop(waiter, None)
            self._forget_counters()

    def _forget_counters(self) -> None:
        present = {(limit, waiter.priority) for waiter in self.waiting for limit, _ in waiter.needs}
        self.passed_first = {key: count for key, count in self.passed_first.items() if key in present}

    def _recount(self) -> None:
        for limit in self.limits:
            limit.held = self.books.held(limit)

    def _waiters(self) -> list[Waiter]:
        return [*self.waiting, *self.arrivals]

    def _waiter(self, claim: Claim) -> Waiter:
        return next(waiter for waiter in self._waiters() if claim in waiter.parts)

    # ------------------------------------------------------------------------------------------------- reading
    def fits_ever(self, demand: Demand) -> list[tuple[Limit, int]]:
        return [
            (limit, amount)
            for limit, amount in demand.needs
            if limit.capacity is not None and 0 < limit.capacity < amount
        ]

    def check(self) -> None:
        """Nothing is kept twice here, so nothing can drift."""

    def copy(self) -> ModelAdmission:
        return copy.deepcopy(self)


def inside(waiter: Waiter) -> tuple[Any, ...]:
    """The order inside a group."""
    claim = waiter.main
    return -claim.party.priority, claim.party.arrival, claim.order, claim.seq


def scarcest_first(waiter: Waiter) -> list[tuple[Limit, int]]:
    """The local needs of a gatherer in the order in which it reserves them."""
    local = [(limit, amount) for limit, amount in waiter.needs if not limit.external]
    return sorted(local, key=lambda need: (-(need[1] / need[0].capacity) if need[0].capacity else 0.0, need[0].seq))


def refuse_negative(name: str, capacity: int | None) -> None:
    """Raises for a capacity that no limit can have."""
    if capacity is not None and capacity < 0:
        raise ConfigurationError(f"the capacity of {name!r} is {capacity}; a limit is None, 0 (paused) or more")
