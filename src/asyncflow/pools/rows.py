"""What a backend keeps, as rows, and what the rules ask of the place that keeps them.

The rules (`exchange.py`, `grants.py`) are written once in Python over `Rows`: a memory and a SQLite backend keep the
same rows in their own way, and decide alike. Times are whole microseconds of the backend's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from asyncflow.pools.messages import Need, Quota

WAITING, HELD, REVOKED = "waiting", "held", "revoked"


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool. `defined_by` is the session whose code defined it last."""

    pool: str
    fence: int
    paused: bool = False
    explicit: Quota | None = None
    defined: Quota | None = None
    defined_by: str = ""

    def quota(self, default: int | None) -> Quota:
        """Returns the quota in force."""
        return self.explicit or self.defined or Quota(default)

    @property
    def source(self) -> str:
        """Where its quota comes from."""
        return "set" if self.explicit else "defined" if self.defined else "default"


@dataclass(frozen=True, slots=True)
class Default:
    """The default limit of a namespace: the explicit one, where `is_set`, else the one a session's code defined."""

    explicit: int | None = None
    is_set: bool = False
    defined: int | None = None

    @property
    def limit(self) -> int | None:
        """The one in force."""
        return self.explicit if self.is_set else self.defined


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A process."""

    session: str
    ttl: int
    expires: int
    host: str
    process: int
    label: str
    wake: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Waiting tickets that ask for the same: one of them fits if the first does."""

    needs: tuple[Need, ...]
    nested: bool

    def names(self, pool: str) -> bool:
        """Tells whether it asks for a pool."""
        return any(need.pool == pool for need in self.needs)


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A claim as it stands. `promoted` numbers those that gather, in the order in which they began."""

    ticket: str
    session: str
    number: int
    line: Line
    run_priority: int
    priority: int
    since: int
    ready: bool
    run: str
    op: str
    state: str = WAITING
    seen: bool = False
    promoted: int | None = None
    fences: tuple[tuple[str, int], ...] = ()

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Where it stands among those that do not gather."""
        return (-self.run_priority, -self.priority, self.since, self.number)

    @property
    def age(self) -> tuple[int, int]:
        """Where it stands by age."""
        return (self.since, self.number)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it asks for or holds."""
        return self.line.needs

    def granted(self, fences: tuple[tuple[str, int], ...], now: int) -> TicketRow:
        """Returns it as one that holds."""
        return replace(self, state=HELD, seen=False, promoted=None, fences=fences, since=now)


@dataclass(frozen=True, slots=True)
class Count:
    """Grants past the tickets of one run priority at a pool."""

    first: int = 0
    oldest: int = 0
    oldest_ticket: str = ""


class Rows(Protocol):
    """A namespace's rows inside one transaction."""

    def number(self) -> int:
        """Returns the next number; numbers only grow."""
        ...

    def default(self) -> Default:
        """Returns the default limit."""
        ...

    def put_default(self, default: Default) -> None:
        """Keeps the default limit."""
        ...

    def pool(self, pool: str) -> PoolRow | None:
        """Returns a pool."""
        ...

    def put_pool(self, row: PoolRow) -> None:
        """Keeps a pool."""
        ...

    def pools(self) -> Sequence[PoolRow]:
        """Returns all pools, by the bytes of their names."""
        ...

    def session(self, session: str) -> SessionRow | None:
        """Returns a session."""
        ...

    def put_session(self, row: SessionRow) -> None:
        """Keeps a session."""
        ...

    def drop_session(self, session: str) -> None:
        """Forgets a session; its tickets are gone already."""
        ...

    def sessions_before(self, moment: int) -> Sequence[SessionRow]:
        """Returns the sessions that expire at or before a moment."""
        ...

    def next_expiry(self, but: str) -> int | None:
        """Returns when the first session expires that is not `but`."""
        ...

    def ticket(self, ticket: str) -> TicketRow | None:
        """Returns a ticket."""
        ...

    def put_ticket(self, row: TicketRow) -> None:
        """Keeps a ticket."""
        ...

    def drop_ticket(self, row: TicketRow) -> None:
        """Forgets a ticket."""
        ...

    def tickets_of(self, session: str) -> Sequence[TicketRow]:
        """Returns a session's tickets, in the order of their numbers."""
        ...

    def untold(self, session: str) -> Sequence[TicketRow]:
        """Returns a session's tickets that hold unseen, or were taken away, in the order of their numbers."""
        ...

    def page(self, after: int, limit: int) -> Sequence[TicketRow]:
        """Returns tickets with a number above `after`, in their order."""
        ...

    def held(self, pool: str, key: str | None) -> int:
        """Returns the sum over the tickets that hold of a pool, or of one key of it."""
        ...

    def waits(self, pool: str) -> int:
        """Returns how many tickets wait for a pool."""
        ...

    def lines(self, pools: Iterable[str] | None) -> Sequence[Line]:
        """Returns the lines with a ticket that waits, is ready and does not gather, and that name one of the pools."""
        ...

    def head(self, line: Line) -> TicketRow | None:
        """Returns the first of a line's ready tickets that do not gather."""
        ...

    def first(self, line: Line, run_priority: int) -> TicketRow | None:
        """Returns the first of those of one run priority."""
        ...

    def oldest(self, line: Line, run_priority: int) -> TicketRow | None:
        """Returns the oldest of those of one run priority."""
        ...

    def run_priorities(self, line: Line) -> Sequence[int]:
        """Returns the run priorities of those."""
        ...

    def gatherers(self) -> Sequence[TicketRow]:
        """Returns the waiting tickets that gather: higher run priority first, then by the moment they began to."""
        ...

    def counts(self, pool: str) -> dict[int, Count]:
        """Returns a pool's counts by run priority."""
        ...

    def put_count(self, pool: str, run_priority: int, count: Count | None) -> None:
        """Keeps counts, or drops them."""
        ...
