"""Rows in memory that remember what changed, and how a row is written as text.

A backend that keeps rows in a file needs no query for each question of the rules: it keeps a copy of them in memory,
brings it up to date with what others changed since, lets the rules work on it, and writes what they changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from asyncflow.pools.memory_rows import MemoryRows
from asyncflow.pools.messages import Quota
from asyncflow.pools.rows import Count, Default, Line, PoolRow, SessionRow, TicketRow
from asyncflow.pools.wire import needs_data, needs_of

POOL, SESSION, TICKET, COUNT, META = "pool", "session", "ticket", "count", "meta"

Key: TypeAlias = tuple[str, str]
"""The kind of a row, and which one."""

DEFAULT: Final[Key] = (META, "default")
NUMBER: Final[Key] = (META, "number")


class JournaledRows(MemoryRows):
    """A namespace's rows, with the keys of those that were changed since the last `take_changes`."""

    def __init__(self) -> None:
        super().__init__()
        self._dirty: dict[Key, None] = {}

    def number(self) -> int:
        """Returns the next number."""
        self._dirty[NUMBER] = None
        return super().number()

    def put_default(self, default: Default) -> None:
        """Keeps the default limit."""
        if default != self.default():
            self._dirty[DEFAULT] = None
            super().put_default(default)

    def put_pool(self, row: PoolRow) -> None:
        """Keeps a pool."""
        self._dirty[POOL, row.pool] = None
        super().put_pool(row)

    def put_session(self, row: SessionRow) -> None:
        """Keeps a session."""
        self._dirty[SESSION, row.session] = None
        super().put_session(row)

    def drop_session(self, session: str) -> None:
        """Forgets a session."""
        self._dirty[SESSION, session] = None
        super().drop_session(session)

    def put_ticket(self, row: TicketRow) -> None:
        """Keeps a ticket."""
        self._dirty[TICKET, row.ticket] = None
        super().put_ticket(row)

    def drop_ticket(self, row: TicketRow) -> None:
        """Forgets a ticket."""
        self._dirty[TICKET, row.ticket] = None
        super().drop_ticket(row)

    def put_count(self, pool: str, run_priority: int, count: Count | None) -> None:
        """Keeps counts."""
        self._dirty[COUNT, json.dumps([pool, run_priority], ensure_ascii=False)] = None
        super().put_count(pool, run_priority, count)

    def take_changes(self) -> list[tuple[str, str, str | None]]:
        """Returns kind, key and text of what changed, None for what is gone; and begins a new list."""
        dirty, self._dirty = self._dirty, {}
        return [(*key, self._text(key)) for key in dirty]

    def _text(self, key: Key) -> str | None:
        kind, name = key
        data: object
        if kind == TICKET:
            ticket = self.ticket(name)
            data = None if ticket is None else _ticket_data(ticket)
        elif kind == POOL:
            pool = self.pool(name)
            data = None if pool is None else asdict(pool)
        elif kind == SESSION:
            session = self.session(name)
            data = None if session is None else asdict(session)
        elif kind == COUNT:
            of, run_priority = json.loads(name)
            count = self.counts(of).get(run_priority)
            data = None if count is None else asdict(count)
        else:
            data = asdict(self.default()) if key == DEFAULT else self._number
        return None if data is None else json.dumps(data, ensure_ascii=False, separators=(",", ":"))

    def learn(self, kind: str, name: str, text: str | None) -> None:
        """Takes over a row as somebody else wrote it.

        Raises:
            ValueError, TypeError, KeyError: The text is not of a row.
        """
        data: Any = None if text is None else json.loads(text)
        if kind == TICKET:
            ticket = self.ticket(name)
            if data is not None:
                super().put_ticket(_ticket_of(data))
            elif ticket is not None:
                super().drop_ticket(ticket)
        elif kind == POOL:
            super().put_pool(_pool_of(data))
        elif kind == SESSION:
            if data is not None:
                super().put_session(SessionRow(**data))
            elif self.session(name) is not None:
                super().drop_session(name)
        elif kind == COUNT:
            pool, run_priority = json.loads(name)
            super().put_count(pool, run_priority, None if data is None else Count(**data))
        elif (kind, name) == DEFAULT:
            super().put_default(Default(**data))
        elif (kind, name) == NUMBER:
            self._number = int(data)
        else:
            raise ValueError(f"rows of kind {kind!r:.40} are unknown")


def _pool_of(data: dict[str, Any]) -> PoolRow:
    explicit, defined = (None if data[name] is None else Quota(**data[name]) for name in ("explicit", "defined"))
    return PoolRow(data["pool"], data["fence"], data["paused"], explicit, defined, data["defined_by"])


def _ticket_data(row: TicketRow) -> list[object]:
    return [
        row.ticket,
        row.session,
        row.number,
        needs_data(row.needs),
        row.line.nested,
        row.run_priority,
        row.priority,
        row.since,
        row.ready,
        row.run,
        row.op,
        row.state,
        row.seen,
        row.promoted,
        row.fences,
    ]


def _ticket_of(data: list[Any]) -> TicketRow:
    ticket, session, number, needs, nested, run_priority, priority, since, ready, run, op, *held = data
    state, seen, promoted, fences = held
    given = tuple((pool, int(fence)) for pool, fence in fences)
    line = Line(needs_of(needs), nested)
    about = (ticket, session, number, line, run_priority, priority, since, ready, run, op)
    return TicketRow(*about, state, seen, promoted, given)
