"""The grant pass: who may hold now, in what order, and who has been passed over too often.

`protocol.py` has the rules. What makes them cheap: tickets that ask for the same stand in one line, and where its first
does not fit none does, so a pass looks at the heads of lines. Where nobody gathers, only lines that name a pool where
something changed can have become able to go on. The pass itself merges the heads in order; what gatherers reserve adds
up on the way, since each of them comes before everybody who has to respect it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

from asyncflow.errors import BackendCorrupt
from asyncflow.pools.messages import Need, Quota
from asyncflow.pools.protocol import MAX_OVERTAKES
from asyncflow.pools.rows import Count, Line, PoolRow, Rows, TicketRow

Place = tuple[str, str | None]
"""A pool, or one key of it."""


class GrantPass:
    """One pass after another until nobody fits, over the rows of one transaction.

    Args:
        rows: What is kept.
        now: The backend's clock, in microseconds.
        changed: Pools where something was given back, resized or resumed, or where a ticket began to wait.
    """

    def __init__(self, rows: Rows, now: int, changed: Iterable[str]) -> None:
        self.rows = rows
        self.now = now
        self.changed = set(changed)
        self.granted: list[TicketRow] = []
        self._default = rows.default().limit
        self._pools: dict[str, PoolRow] = {}
        self._held: dict[Place, int] = {}

    def run(self) -> list[TicketRow]:
        """Grants all that can be granted; returns the tickets, as they are now, in the order of their grants."""
        while True:
            before = len(self.granted)
            gathering = bool(self.rows.gatherers())
            promoted = self._scan(everything=gathering)
            again = promoted or (gathering and len(self.granted) > before)
            if not again:
                return self.granted

    def _scan(self, *, everything: bool) -> bool:
        """Goes once through who waits, in order; True where it stopped because somebody began to gather."""
        rows = self.rows
        reserved: dict[Place, int] = {}
        heads: list[tuple[tuple[int, int, int, int, int], TicketRow]] = []
        for line in rows.lines(None if everything else self.changed):
            head = rows.head(line)
            if head is not None:
                heapq.heappush(heads, (_turn(head), head))
        for gatherer in rows.gatherers():
            heapq.heappush(heads, (_turn(gatherer), gatherer))
        while heads:
            _, ticket = heapq.heappop(heads)
            if not ticket.ready or not self.possible(ticket.line):
                continue
            if not self._fits(ticket, reserved):
                if ticket.promoted is not None:
                    self._reserve(ticket, reserved)
                continue
            self._grant(ticket)
            if not ticket.line.nested and self._count(ticket):
                return True
            if ticket.promoted is None:
                head = rows.head(ticket.line)
                if head is not None:
                    heapq.heappush(heads, (_turn(head), head))
        return False

    def pool(self, pool: str) -> PoolRow:
        """Returns a pool's row, which is there since something named it."""
        row = self._pools.get(pool)
        if row is None:
            row = self.rows.pool(pool)
            if row is None:
                raise BackendCorrupt(f"a ticket names pool {pool!r:.80}, of which there is no row")
            self._pools[pool] = row
        return row

    def quota(self, pool: str) -> Quota:
        """Returns a pool's quota."""
        return self.pool(pool).quota(self._default)

    def places(self, need: Need) -> list[tuple[Place, int | None]]:
        """Returns where a need is counted, and what each of these gives."""
        quota = self.quota(need.pool)
        if need.key is None:
            return [((need.pool, None), quota.limit)]
        return [((need.pool, None), quota.limit), ((need.pool, need.key), quota.per_key)]

    def asked(self, line: Line) -> list[tuple[Place, int, int]]:
        """Returns the limited places of a line with the amount asked of each and its limit, in the order of needs."""
        amounts: dict[Place, int] = {}
        limits: dict[Place, int] = {}
        for need in line.needs:
            for place, limit in self.places(need):
                if limit is not None:
                    amounts[place] = amounts.get(place, 0) + need.amount
                    limits[place] = limit
        return [(place, amount, limits[place]) for place, amount in amounts.items()]

    def possible(self, line: Line) -> bool:
        """Tells whether a line's tickets could be granted if everything were free."""
        if any(self.pool(need.pool).paused for need in line.needs):
            return False
        return all(amount <= limit for _, amount, limit in self.asked(line))

    def held(self, place: Place) -> int:
        """Returns what is held at a place."""
        held = self._held.get(place)
        if held is None:
            held = self._held[place] = self.rows.held(*place)
        return held

    def _fits(self, ticket: TicketRow, reserved: dict[Place, int]) -> bool:
        kept = {} if ticket.line.nested else reserved
        return all(
            limit - self.held(place) - kept.get(place, 0) >= amount for place, amount, limit in self.asked(ticket.line)
        )

    def _reserve(self, ticket: TicketRow, reserved: dict[Place, int]) -> None:
        """Keeps free units for a gatherer, scarcest place first, up to the first that has not enough."""
        asked = self.asked(ticket.line)
        asked.sort(key=lambda one: -(one[1] / one[2]))
        for place, amount, limit in asked:
            free = max(0, limit - self.held(place) - reserved.get(place, 0))
            reserved[place] = reserved.get(place, 0) + min(free, amount)
            if free < amount:
                return

    def _grant(self, ticket: TicketRow) -> None:
        fences: list[tuple[str, int]] = []
        for name in dict.fromkeys(need.pool for need in ticket.needs):
            pool = self.pool(name)
            pool = self._pools[name] = replace(pool, fence=pool.fence + 1)
            self.rows.put_pool(pool)
            fences.append((name, pool.fence))
        for need in ticket.needs:
            for place, _ in self.places(need):
                self._held[place] = self.held(place) + need.amount
        row = ticket.granted(tuple(fences), self.now)
        self.rows.put_ticket(row)
        self.granted.append(row)

    def _count(self, granted: TicketRow) -> bool:
        """Counts a grant against those it passed; True where one of them gathers from now on."""
        promoted = False
        for pool in dict.fromkeys(need.pool for need in granted.needs):
            lines = [line for line in self.rows.lines([pool]) if not line.nested and self.possible(line)]
            present = {number for line in lines for number in self.rows.run_priorities(line)}
            counts = self.rows.counts(pool)
            for run_priority in sorted(present | set(counts)):
                if run_priority >= granted.run_priority:
                    count = counts.get(run_priority, Count())
                    after, raised = self._counted(granted, lines, run_priority, count)
                    promoted = promoted or raised
                    if after != count:
                        self.rows.put_count(pool, run_priority, after)
        return promoted

    def _counted(
        self, granted: TicketRow, lines: list[Line], run_priority: int, count: Count
    ) -> tuple[Count | None, bool]:
        """Returns the counts after a grant (None: nobody is left to be counted for), and whether one gathers."""
        promoted = False
        firsts = [row for line in lines if (row := self.rows.first(line, run_priority)) is not None]
        if not firsts:
            return None, False
        first = min(firsts, key=lambda row: row.order)
        if granted.promoted is None and first.order < granted.order:
            count = replace(count, first=count.first + 1)
            if count.first >= MAX_OVERTAKES:
                count = replace(count, first=0)
                self._promote(first)
                promoted = True
        by_age = [row for line in lines if (row := self.rows.oldest(line, run_priority)) is not None]
        if not by_age:
            return None, promoted
        oldest = min(by_age, key=lambda row: row.age)
        passed = count.oldest + 1 if count.oldest_ticket == oldest.ticket else 1
        count = replace(count, oldest=passed, oldest_ticket=oldest.ticket)
        if passed >= MAX_OVERTAKES:
            count = replace(count, oldest=0)
            self._promote(oldest)
            promoted = True
        return count, promoted

    def _promote(self, ticket: TicketRow) -> None:
        self.rows.put_ticket(replace(ticket, promoted=self.rows.number()))


def _turn(ticket: TicketRow) -> tuple[int, int, int, int, int]:
    """Where a ticket stands in a pass: gatherers before the others of their run priority."""
    if ticket.promoted is not None:
        return (-ticket.run_priority, 0, ticket.promoted, 0, 0)
    return (-ticket.run_priority, 1, -ticket.priority, ticket.since, ticket.number)
