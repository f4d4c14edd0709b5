"""The slow obvious model of a pool backend: lists and full scans, written from the text of `asyncflow.pools.protocol`.

It shares nothing with the rules in `src` but the messages. Nothing is kept beside the tickets: who holds what, who
comes next and who could go on is worked out anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncflow.pools import Batch, Claim, Define, Need, PoolSpec, Quota, Release, SessionSpec

GATHERS_AFTER = 64


@dataclass(eq=False)
class Ticket:
    """A claim."""

    id: str
    session: str
    number: int
    needs: list[Need]
    run_priority: int
    priority: int
    since: float
    ready: bool
    nested: bool
    state: str = "waiting"
    seen: bool = False
    gathers: int = 0
    fences: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(eq=False)
class Count:
    """Grants past those of one run priority."""

    first: int = 0
    oldest: int = 0
    oldest_id: str = ""


@dataclass(eq=False)
class Pool:
    """A pool; its fence counts from 0 here."""

    name: str
    fence: int = 0
    paused: bool = False
    explicit: Quota | None = None
    defined: Quota | None = None
    defined_by: str = ""
    counts: dict[int, Count] = field(default_factory=dict[int, Count])


@dataclass
class Answer:
    """What a reply says, times aside."""

    alive: bool
    grants: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    gone: set[str] = field(default_factory=set[str])
    refused: dict[str, tuple[str, str | None, int, int]] = field(
        default_factory=dict[str, tuple[str, "str | None", int, int]]
    )


class Model:
    """One namespace."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.sessions: dict[str, SessionSpec] = {}
        self.tickets: list[Ticket] = []
        self.default_explicit: tuple[int | None] | None = None
        self.default_defined: int | None = None
        self.number = 0
        self.gathered = 0
        self.now = 0.0

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, spec: SessionSpec, pools: Sequence[PoolSpec]) -> list[tuple[str, Quota, Quota]]:
        """Opens a session; returns the conflicts."""
        if spec.id in self.sessions:
            self.grant()
            return []
        self.sessions[spec.id] = spec
        self.default_defined = spec.default_limit
        conflicts: list[tuple[str, Quota, Quota]] = []
        for one in pools:
            pool = self.pool(one.pool)
            if pool.defined is not None and pool.defined != one.quota and pool.defined_by in self.sessions:
                conflicts.append((one.pool, pool.defined, one.quota))
            pool.defined, pool.defined_by = one.quota, spec.id
        self.grant()
        return conflicts

    def close(self, session: str) -> None:
        """Ends a session."""
        self.tickets = [ticket for ticket in self.tickets if ticket.session != session]
        self.sessions.pop(session, None)
        self.grant()

    def exchange(self, session: str, batch: Batch) -> Answer:
        """Does a batch."""
        if session not in self.sessions:
            return Answer(alive=False)
        answer = Answer(alive=True)
        self.give_back(session, batch, answer)
        self.move(session, batch)
        self.govern(batch, answer)
        for claim in batch.claims:
            self.claim(session, claim, answer)
        self.grant()
        for ticket in self.tickets:
            if ticket.session == session and ticket.state == "held" and not ticket.seen:
                answer.grants[ticket.id] = dict(ticket.fences)
            if ticket.session == session and ticket.state == "revoked":
                answer.gone.add(ticket.id)
        return answer

    # ── parts of a batch ──────────────────────────────────────────────────────────────────────────────────────────

    def give_back(self, session: str, batch: Batch, answer: Answer) -> None:
        """Releases, cancels, and what was seen."""
        for release in batch.releases:
            self.release(session, release, answer)
        for name in batch.cancels:
            ticket = self.own(session, name, answer)
            if ticket is not None:
                self.tickets.remove(ticket)
        for name in batch.seen:
            ticket = self.own(session, name, answer)
            if ticket is not None and ticket.state == "held":
                ticket.seen = True

    def move(self, session: str, batch: Batch) -> None:
        """Changes waiting tickets."""
        for name, ready in batch.ready:
            ticket = self.find(name)
            if ticket is not None and ticket.session == session and ticket.state == "waiting":
                ticket.ready = ready
        for move in batch.reprioritise:
            ticket = self.find(move.ticket)
            if ticket is not None and ticket.session == session and ticket.state == "waiting":
                ticket.run_priority, ticket.priority, ticket.gathers = move.run_priority, move.priority, 0

    def release(self, session: str, release: Release, answer: Answer) -> None:
        """Gives back a ticket, or its part of a pool."""
        ticket = self.own(session, release.ticket, answer)
        if ticket is None:
            return
        left = [need for need in ticket.needs if need.pool != release.pool]
        if release.pool is None or ticket.state != "held" or not left:
            self.tickets.remove(ticket)
        else:
            ticket.needs = left
            ticket.fences.pop(release.pool, None)

    def govern(self, batch: Batch, answer: Answer) -> None:
        """Does what an operator asks."""
        for define in batch.define:
            self.define(define)
        for name in batch.unset:
            if name is None:
                self.default_explicit = None
            elif name in self.pools:
                self.pools[name].explicit = None
        for name in batch.pause:
            self.pool(name).paused = True
        for name in batch.resume:
            self.pool(name).paused = False
        for name in batch.revoke:
            ticket = self.find(name)
            if ticket is None:
                answer.gone.add(name)
            else:
                ticket.state = "revoked"

    def define(self, define: Define) -> None:
        """Sets a quota explicitly."""
        if define.pool is None:
            self.default_explicit = (define.quota.limit,)
        else:
            self.pool(define.pool).explicit = define.quota

    def claim(self, session: str, claim: Claim, answer: Answer) -> None:
        """Lets a ticket begin to wait."""
        if self.find(claim.ticket) is not None:
            return
        for need in claim.needs:
            self.pool(need.pool)
        for (name, key), amount in self.asked(claim.needs).items():
            limit = self.limit(name, key)
            if limit is not None and amount > limit > 0:
                answer.refused[claim.ticket] = (name, key, amount, limit)
                return
        self.number += 1
        self.tickets.append(
            Ticket(
                claim.ticket,
                session,
                self.number,
                list(claim.needs),
                claim.run_priority,
                claim.priority,
                self.now - claim.age,
                claim.ready,
                claim.nested,
            )
        )

    # ── the pass ──────────────────────────────────────────────────────────────────────────────────────────────────

    def grant(self) -> None:
        """Lets on who can."""
        again = True
        while again:
            gathering = any(ticket.gathers for ticket in self.waiting())
            granted, promoted = self.scan()
            again = promoted or (granted and gathering)

    def scan(self) -> tuple[bool, bool]:
        """Goes through all who wait, in order; returns whether somebody was granted, and whether somebody gathers."""
        reserved: dict[tuple[str, str | None], int] = {}
        granted = False
        for ticket in sorted(self.waiting(), key=self.turn):
            if not ticket.ready or not self.possible(ticket):
                continue
            kept = {} if ticket.nested else reserved
            if all(self.free(place) - kept.get(place, 0) >= amount for place, amount in self.limited(ticket)):
                self.give(ticket)
                granted = True
                if not ticket.nested and self.count(ticket):
                    return True, True
            elif ticket.gathers:
                self.reserve(ticket, reserved)
        return granted, False

    def turn(self, ticket: Ticket) -> tuple[float, ...]:
        """Where a ticket stands."""
        if ticket.gathers:
            return (-ticket.run_priority, 0, ticket.gathers)
        return (-ticket.run_priority, 1, *self.order(ticket))

    def order(self, ticket: Ticket) -> tuple[float, ...]:
        """Where it stands among those of its run priority that do not gather."""
        return (-ticket.priority, ticket.since, ticket.number)

    def give(self, ticket: Ticket) -> None:
        """Grants everything a ticket asks for."""
        ticket.state, ticket.seen = "held", False
        for name in {need.pool for need in ticket.needs}:
            self.pools[name].fence += 1
            ticket.fences[name] = self.pools[name].fence

    def reserve(self, ticket: Ticket, reserved: dict[tuple[str, str | None], int]) -> None:
        """Keeps free units for a gatherer."""
        wanted = self.limited(ticket)
        wanted.sort(key=lambda one: -one[1] / (self.limit(*one[0]) or 1))
        for place, amount in wanted:
            there = max(0, self.free(place) - reserved.get(place, 0))
            reserved[place] = reserved.get(place, 0) + min(amount, there)
            if there < amount:
                break

    def count(self, granted: Ticket) -> bool:
        """Counts a grant against those whom it passed; returns whether somebody gathers from now on."""
        promoted = False
        for name in dict.fromkeys(need.pool for need in granted.needs):
            counts = self.pools[name].counts
            here = {ticket.run_priority for ticket in self.passed(name)}
            for run_priority in sorted(here | set(counts)):
                if run_priority < granted.run_priority:
                    continue
                count = counts.setdefault(run_priority, Count())
                waiting = [one for one in self.passed(name) if one.run_priority == run_priority]
                if not waiting:
                    del counts[run_priority]
                    continue
                first = min(waiting, key=self.order)
                before = run_priority > granted.run_priority or self.order(first) < self.order(granted)
                if before and not granted.gathers:
                    count.first += 1
                    if count.first >= GATHERS_AFTER:
                        count.first = 0
                        promoted = self.promote(first)
                waiting = [one for one in self.passed(name) if one.run_priority == run_priority]
                if not waiting:
                    del counts[run_priority]
                    continue
                oldest = min(waiting, key=lambda one: (one.since, one.number))
                count.oldest = count.oldest + 1 if count.oldest_id == oldest.id else 1
                count.oldest_id = oldest.id
                if count.oldest >= GATHERS_AFTER:
                    count.oldest = 0
                    promoted = self.promote(oldest)
        return promoted

    def promote(self, ticket: Ticket) -> bool:
        """A ticket gathers."""
        self.gathered += 1
        self.number += 1
        ticket.gathers = self.number
        return True

    def passed(self, pool: str) -> list[Ticket]:
        """Those who can be passed at a pool."""
        return [
            ticket
            for ticket in self.waiting()
            if ticket.ready
            and not ticket.nested
            and not ticket.gathers
            and any(need.pool == pool for need in ticket.needs)
            and self.possible(ticket)
        ]

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def waiting(self) -> list[Ticket]:
        """Those who wait."""
        return [ticket for ticket in self.tickets if ticket.state == "waiting"]

    def holders(self) -> list[tuple[str, str]]:
        """Which session holds which ticket."""
        return [(ticket.session, ticket.id) for ticket in self.tickets if ticket.state == "held"]

    def find(self, name: str) -> Ticket | None:
        """A ticket."""
        return next((ticket for ticket in self.tickets if ticket.id == name), None)

    def own(self, session: str, name: str, answer: Answer) -> Ticket | None:
        """A ticket of a session; others are gone."""
        ticket = self.find(name)
        if ticket is None or ticket.session != session:
            answer.gone.add(name)
            return None
        return ticket

    def pool(self, name: str) -> Pool:
        """A pool, made at its first naming."""
        return self.pools.setdefault(name, Pool(name))

    def default(self) -> int | None:
        """The default limit."""
        return self.default_defined if self.default_explicit is None else self.default_explicit[0]

    def quota(self, name: str) -> Quota:
        """What a pool gives."""
        pool = self.pools[name]
        return pool.explicit or pool.defined or Quota(self.default())

    def source(self, name: str) -> str:
        """Where that comes from."""
        pool = self.pools[name]
        return "set" if pool.explicit else "defined" if pool.defined else "default"

    def limit(self, name: str, key: str | None) -> int | None:
        """What a pool gives, or one key of it."""
        quota = self.quota(name)
        return quota.limit if key is None else quota.per_key

    def asked(self, needs: Sequence[Need]) -> dict[tuple[str, str | None], int]:
        """What needs come to, for pools and their keys."""
        total: dict[tuple[str, str | None], int] = {}
        for need in needs:
            total[need.pool, None] = total.get((need.pool, None), 0) + need.amount
            if need.key is not None:
                total[need.pool, need.key] = total.get((need.pool, need.key), 0) + need.amount
        return total

    def limited(self, ticket: Ticket) -> list[tuple[tuple[str, str | None], int]]:
        """What a ticket asks of places that have a limit."""
        return [(place, amount) for place, amount in self.asked(ticket.needs).items() if self.limit(*place) is not None]

    def possible(self, ticket: Ticket) -> bool:
        """Whether it could be granted if everything were free."""
        if any(self.pools[need.pool].paused for need in ticket.needs):
            return False
        return all((self.limit(*place) or 0) >= amount for place, amount in self.limited(ticket))

    def used(self, place: tuple[str, str | None]) -> int:
        """What is held of a place."""
        return sum(self.asked(ticket.needs).get(place, 0) for ticket in self.tickets if ticket.state == "held")

    def free(self, place: tuple[str, str | None]) -> int:
        """What is left of it."""
        return (self.limit(*place) or 0) - self.used(place)
