"""A namespace's rows in plain dicts, each kept in step with the tickets by two functions alone."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence

from asyncflow.pools.rows import HELD, REVOKED, WAITING, Count, Default, Line, PoolRow, SessionRow, TicketRow

_Place = tuple[str, str | None]


class _Queue:
    """The ready tickets of a line that do not gather, in order and by age, both by run priority first."""

    def __init__(self) -> None:
        self.ordered: list[tuple[int, int, int, int, str]] = []
        self.aged: list[tuple[int, int, int, str]] = []

    def add(self, row: TicketRow) -> None:
        """Puts a ticket in its place."""
        bisect.insort(self.ordered, (*row.order, row.ticket))
        bisect.insort(self.aged, (-row.run_priority, *row.age, row.ticket))

    def remove(self, row: TicketRow) -> None:
        """Takes a ticket out."""
        del self.ordered[bisect.bisect_left(self.ordered, (*row.order, row.ticket))]
        del self.aged[bisect.bisect_left(self.aged, (-row.run_priority, *row.age, row.ticket))]


class MemoryRows:
    """A namespace in dicts, each kept in step with the tickets by `put_ticket` and `drop_ticket` alone."""

    def __init__(self) -> None:
        self._number = 0
        self._default = Default()
        self._pools: dict[str, PoolRow] = {}
        self._sessions: dict[str, SessionRow] = {}
        self._tickets: dict[str, TicketRow] = {}
        self._numbers: list[tuple[int, str]] = []
        self._of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._untold: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._holders: defaultdict[_Place, dict[str, int]] = defaultdict(dict)
        self._waiters: defaultdict[str, set[str]] = defaultdict(set)
        self._queues: dict[Line, _Queue] = {}
        self._lines: defaultdict[str, dict[Line, None]] = defaultdict(dict)
        self._gatherers: dict[str, TicketRow] = {}
        self._counts: defaultdict[str, dict[int, Count]] = defaultdict(dict)

    def number(self) -> int:
        """Returns the next number."""
        self._number += 1
        return self._number

    def default(self) -> Default:
        """Returns the default limit."""
        return self._default

    def put_default(self, default: Default) -> None:
        """Keeps the default limit."""
        self._default = default

    def pool(self, pool: str) -> PoolRow | None:
        """Returns a pool."""
        return self._pools.get(pool)

    def put_pool(self, row: PoolRow) -> None:
        """Keeps a pool."""
        self._pools[row.pool] = row

    def pools(self) -> Sequence[PoolRow]:
        """Returns all pools, by the bytes of their names."""
        return sorted(self._pools.values(), key=lambda row: row.pool.encode())

    def session(self, session: str) -> SessionRow | None:
        """Returns a session."""
        return self._sessions.get(session)

    def put_session(self, row: SessionRow) -> None:
        """Keeps a session."""
        self._sessions[row.session] = row

    def drop_session(self, session: str) -> None:
        """Forgets a session."""
        del self._sessions[session]
        self._of.pop(session, None)
        self._untold.pop(session, None)

    def sessions_before(self, moment: int) -> Sequence[SessionRow]:
        """Returns the sessions that expire at or before a moment."""
        return sorted(
            (row for row in self._sessions.values() if row.expires <= moment),
            key=lambda row: (row.expires, row.session.encode()),
        )

    def next_expiry(self, but: str) -> int | None:
        """Returns when the first session expires that is not `but`."""
        return min((row.expires for row in self._sessions.values() if row.session != but), default=None)

    def ticket(self, ticket: str) -> TicketRow | None:
        """Returns a ticket."""
        return self._tickets.get(ticket)

    def put_ticket(self, row: TicketRow) -> None:
        """Keeps a ticket in every index."""
        before = self._tickets.get(row.ticket)
        if before is not None:
            self._unlist(before)
        else:
            bisect.insort(self._numbers, (row.number, row.ticket))
        self._tickets[row.ticket] = row
        self._of[row.session][row.ticket] = None
        if row.state == HELD:
            for need in row.needs:
                _add(self._holders[need.pool, None], row.ticket, need.amount)
                if need.key is not None:
                    _add(self._holders[need.pool, need.key], row.ticket, need.amount)
        elif row.state == WAITING:
            for need in row.needs:
                self._waiters[need.pool].add(row.ticket)
            self._enlist(row)
        if row.state == REVOKED or (row.state == HELD and not row.seen):
            self._untold[row.session][row.ticket] = None

    def drop_ticket(self, row: TicketRow) -> None:
        """Forgets a ticket everywhere."""
        self._unlist(self._tickets.pop(row.ticket))
        del self._numbers[bisect.bisect_left(self._numbers, (row.number, row.ticket))]
        tickets = self._of[row.session]
        tickets.pop(row.ticket, None)
        if not tickets:
            del self._of[row.session]

    def _enlist(self, row: TicketRow) -> None:
        if row.promoted is not None:
            self._gatherers[row.ticket] = row
        elif row.ready:
            queue = self._queues.get(row.line)
            if queue is None:
                queue = self._queues[row.line] = _Queue()
                for need in row.needs:
                    self._lines[need.pool][row.line] = None
            queue.add(row)

    def _unlist(self, row: TicketRow) -> None:
        self._untold[row.session].pop(row.ticket, None)
        if row.state == HELD:
            for need in row.needs:
                for place in ((need.pool, None), (need.pool, need.key)):
                    holders = self._holders[place]
                    holders.pop(row.ticket, None)
                    if not holders:
                        del self._holders[place]
        elif row.state == WAITING:
            for need in row.needs:
                self._waiters[need.pool].discard(row.ticket)
            if row.promoted is not None:
                del self._gatherers[row.ticket]
            elif row.ready:
                queue = self._queues[row.line]
                queue.remove(row)
                if not queue.ordered:
                    del self._queues[row.line]
                    for need in row.needs:
                        self._lines[need.pool].pop(row.line, None)

    def tickets_of(self, session: str) -> Sequence[TicketRow]:
        """Returns a session's tickets, in the order of their numbers."""
        return self._rows(self._of.get(session, {}))

    def untold(self, session: str) -> Sequence[TicketRow]:
        """Returns a session's tickets that hold unseen, or were taken away."""
        return self._rows(self._untold.get(session, {}))

    def page(self, after: int, limit: int) -> Sequence[TicketRow]:
        """Returns tickets with a number above `after`, in their order."""
        begin = bisect.bisect_left(self._numbers, (after + 1, ""))
        return [self._tickets[ticket] for _, ticket in self._numbers[begin : begin + limit]]

    def held(self, pool: str, key: str | None) -> int:
        """Returns the sum over the tickets that hold."""
        return sum(self._holders.get((pool, key), {}).values())

    def waits(self, pool: str) -> int:
        """Returns how many tickets wait for a pool."""
        return len(self._waiters.get(pool, ()))

    def lines(self, pools: Iterable[str] | None) -> Sequence[Line]:
        """Returns the lines that name one of the pools."""
        if pools is None:
            return list(self._queues)
        return list(dict.fromkeys(line for pool in pools for line in self._lines.get(pool, ())))

    def head(self, line: Line) -> TicketRow | None:
        """Returns the first of a line."""
        queue = self._queues.get(line)
        return None if queue is None else self._tickets[queue.ordered[0][-1]]

    def first(self, line: Line, run_priority: int) -> TicketRow | None:
        """Returns the first of one run priority."""
        queue = self._queues.get(line)
        if queue is None:
            return None
        place = bisect.bisect_left(queue.ordered, (-run_priority,))
        if place == len(queue.ordered) or queue.ordered[place][0] != -run_priority:
            return None
        return self._tickets[queue.ordered[place][-1]]

    def oldest(self, line: Line, run_priority: int) -> TicketRow | None:
        """Returns the oldest of one run priority."""
        queue = self._queues.get(line)
        if queue is None:
            return None
        place = bisect.bisect_left(queue.aged, (-run_priority,))
        if place == len(queue.aged) or queue.aged[place][0] != -run_priority:
            return None
        return self._tickets[queue.aged[place][-1]]

    def run_priorities(self, line: Line) -> Sequence[int]:
        """Returns the run priorities of a line."""
        queue = self._queues.get(line)
        found: list[int] = []
        place = 0
        while queue is not None and place < len(queue.ordered):
            found.append(-queue.ordered[place][0])
            place = bisect.bisect_left(queue.ordered, (queue.ordered[place][0] + 1,))
        return found

    def gatherers(self) -> Sequence[TicketRow]:
        """Returns who gathers."""
        return sorted(self._gatherers.values(), key=lambda row: (-row.run_priority, row.promoted or 0))

    def counts(self, pool: str) -> dict[int, Count]:
        """Returns a pool's counts by run priority."""
        return dict(self._counts.get(pool, {}))

    def put_count(self, pool: str, run_priority: int, count: Count | None) -> None:
        """Keeps counts, or drops them."""
        if count is not None:
            self._counts[pool][run_priority] = count
        else:
            self._counts[pool].pop(run_priority, None)

    def _rows(self, tickets: Iterable[str]) -> list[TicketRow]:
        return sorted((self._tickets[ticket] for ticket in tickets), key=lambda row: row.number)


def _add(holders: dict[str, int], ticket: str, amount: int) -> None:
    holders[ticket] = holders.get(ticket, 0) + amount
