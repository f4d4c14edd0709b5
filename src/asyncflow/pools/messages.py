"""What goes to a pool backend and what comes back: plain data, frozen, with nothing of a driver in it.

Times are seconds. Amounts and limits are whole numbers up to `MOST`; names are up to 1,024 characters of text that
UTF-8 can write, without NUL. What does not fit raises `BadRequest` where the message is made: no backend sees it.
"""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass, field
from typing import Final

from asyncflow.errors import BadRequest
from asyncflow.pools.bounds import MOST, check_limit, check_name, check_text

MAX_NEEDS: Final = 64
"""How many pools one claim may name."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do.

    Attributes:
        cross_process: Processes of one machine meet in it.
        cross_machine: Processes of several machines meet in it.
        push_wakeups: `watch` tells of grants as they are made; otherwise only in its slow rhythm.
        durable: Leases survive a restart of the server.
        fencing: Fences grow across restarts and flushes.
        server_clock: Time is one clock's for all processes.
        max_needs: How many pools one claim may name.
    """

    cross_process: bool
    cross_machine: bool
    push_wakeups: bool
    durable: bool
    fencing: bool = True
    server_clock: bool = True
    max_needs: int = MAX_NEEDS


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a pool gives: in all, and to each key. None is unlimited, 0 gives nothing."""

    limit: int | None
    per_key: int | None = None

    def __post_init__(self) -> None:
        """Refuses what is no limit."""
        check_limit(self.limit, "limit")
        check_limit(self.per_key, "per_key")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What a session's own code says of a pool. Gives way to what somebody set explicitly."""

    pool: str
    quota: Quota

    def __post_init__(self) -> None:
        """Refuses a name that is none."""
        check_name(self.pool, "a pool")


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """One process as a backend knows it: what it takes hangs on this, and goes with it.

    Attributes:
        id: Fresh and random for every start of a process, and after a fork.
        namespace: Only sessions of one namespace meet.
        ttl: Seconds for which it lives without a renewal.
        host: Where it runs, for people to read.
        process: The number of the process, for people to read.
        label: What it calls itself, for people to read.
        default_limit: What a pool gives that nobody has defined; None is unlimited.
        visitor: True where nothing is laid down, the default limit neither: for those who look and operate.
    """

    id: str
    namespace: str
    ttl: float = 15.0
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    label: str = ""
    default_limit: int | None = None
    visitor: bool = False

    def __post_init__(self) -> None:
        """Refuses what a backend could not keep."""
        check_name(self.id, "a session")
        check_name(self.namespace, "a namespace")
        check_text(self.host, "the host")
        check_text(self.label, "the label")
        check_limit(self.default_limit, "default_limit")
        if not (math.isfinite(self.ttl) and 0 < self.ttl <= 86_400):
            raise BadRequest(f"the ttl of a session is {self.ttl!r} seconds; it must be above 0 and at most a day")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A definition of this session replaced a different one of another session that lives."""

    pool: str
    before: Quota
    now: Quota


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """The answer to `open`.

    Attributes:
        server_time: The backend's clock, in seconds.
        fresh: False where the session was open already.
        conflicts: Definitions of others that gave way to this session's.
    """

    server_time: float
    fresh: bool
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """Units of one pool, and of one key in it where a key is named."""

    pool: str
    amount: int = 1
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuses what no pool could give."""
        check_name(self.pool, "a pool")
        if self.key is not None:
            check_name(self.key, "a key", empty=True)
        if type(self.amount) is not int or not 1 <= self.amount <= MOST:
            raise BadRequest(
                f"{self.amount!r} units of pool {self.pool!r:.80}: must be a whole number from 1 to {MOST}"
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """One ticket: all of its needs or none of them.

    Attributes:
        ticket: Chosen by the client, fresh and random. Claiming it twice is claiming it once.
        needs: One per pool and key; kept in order of pool and key.
        run_priority: Higher comes first. Gathering keeps to it.
        priority: Higher comes first among equal run priorities.
        age: Seconds since it was first claimed; more than 0 when it is claimed again after a session was lost.
        ready: False while its process could not use a grant: it is skipped, and its age grows.
        nested: What asks holds something of this backend already. It does not wait behind units that are kept for
            others, since these might wait for it.
        run: Whose it is, for people to read.
        op: Whose it is, for people to read.
    """

    ticket: str
    needs: tuple[Need, ...]
    run_priority: int = 0
    priority: int = 0
    age: float = 0.0
    ready: bool = True
    nested: bool = False
    run: str = ""
    op: str = ""

    def __post_init__(self) -> None:
        """Refuses what cannot be compared or kept, and puts the needs in order."""
        check_name(self.ticket, "a ticket")
        check_text(self.run, "the run")
        check_text(self.op, "the op")
        for name, number in (("run_priority", self.run_priority), ("priority", self.priority)):
            if type(number) is not int or not -MOST <= number <= MOST:
                raise BadRequest(f"{name} {number!r} of a claim: must be a whole number from -{MOST} to {MOST}")
        if not (math.isfinite(self.age) and 0 <= self.age <= 10**9):
            raise BadRequest(f"age {self.age!r} of a claim: must be seconds, from 0 to 10**9")
        if not 1 <= len(self.needs) <= MAX_NEEDS:
            raise BadRequest(f"a claim names {len(self.needs)} needs; from 1 to {MAX_NEEDS} are possible")
        places = {(need.pool, need.key) for need in self.needs}
        if len(places) < len(self.needs):
            raise BadRequest("a claim names a pool (and key) twice; add its amounts up")
        object.__setattr__(self, "needs", tuple(sorted(self.needs, key=_place)))


@dataclass(frozen=True, slots=True)
class Release:
    """Gives back a ticket, or (`pool=`) what it holds of one pool."""

    ticket: str
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Reprioritise:
    """A waiting ticket gets other priorities; its age stays, what was kept for it does not."""

    ticket: str
    run_priority: int
    priority: int


@dataclass(frozen=True, slots=True)
class Define:
    """Somebody sets a pool explicitly (`pool=None`: the default limit of the namespace). Beats definitions."""

    pool: str | None
    quota: Quota

    def __post_init__(self) -> None:
        """Refuses a name that is none."""
        if self.pool is not None:
            check_name(self.pool, "a pool")


@dataclass(frozen=True, slots=True)
class Batch:
    """All that a session asks in one exchange; done in the order of these fields.

    Attributes:
        renew: Seconds for which the session lives from now on; None leaves its end as it is.
        releases: Tickets, or parts of tickets, that are given back. A waiting one is withdrawn.
        cancels: Tickets that nobody wants any more, waiting or just granted.
        seen: Granted tickets of which the grant arrived: it is not told again.
        ready: Whether waiting tickets may be granted now.
        reprioritise: Waiting tickets that move.
        define: Explicit limits to set.
        unset: Pools (None: the default limit) whose explicit limit ends; definitions count again.
        pause: Pools that give nothing until they are resumed.
        resume: Pools that give again.
        revoke: Tickets of anybody that an operator takes away; their owners are told.
        claims: Tickets that begin to wait.
    """

    renew: float | None = None
    releases: tuple[Release, ...] = ()
    cancels: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    ready: tuple[tuple[str, bool], ...] = ()
    reprioritise: tuple[Reprioritise, ...] = ()
    define: tuple[Define, ...] = ()
    unset: tuple[str | None, ...] = ()
    pause: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a renewal that would be none."""
        if self.renew is not None and not (math.isfinite(self.renew) and 0 < self.renew <= 86_400):
            raise BadRequest(f"renew={self.renew!r}: must be seconds above 0, at most a day")


@dataclass(frozen=True, slots=True)
class Grant:
    """A ticket that has all it asked for, and the fence of each of its pools: a number that grows with every grant."""

    ticket: str
    fences: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A claim that can never be granted as its pool is now: more units than the limit, which is above 0."""

    ticket: str
    pool: str
    key: str | None
    amount: int
    limit: int


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a pool is; `limit` None is unlimited."""

    pool: str
    used: int
    limit: int | None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an exchange.

    Attributes:
        alive: False where the session is lost: nothing of the batch was done, and what hung on it is gone.
        server_time: The backend's clock, in seconds.
        grants: Every granted ticket of the session that was not `seen` yet.
        gone: Tickets that were named and are not there (any more), and own tickets that an operator took away.
            The latter are told until they are released.
        refused: Claims that were not taken.
        usage: The pools of the tickets that the batch changed, claimed or had refused, and those it set or paused.
        next_expiry: Seconds until the first other session ends if it is not renewed; None where there is no other.
    """

    alive: bool
    server_time: float
    grants: tuple[Grant, ...] = ()
    gone: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    usage: tuple[Usage, ...] = ()
    next_expiry: float | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as anybody may see it.

    Attributes:
        source: Where its quota comes from: `set` (explicitly), `defined` (by a session's code) or `default`.
        waiting: Tickets that wait for it and others.
    """

    pool: str
    quota: Quota
    source: str
    used: int
    waiting: int
    paused: bool
    fence: int


@dataclass(frozen=True, slots=True)
class TicketView:
    """A ticket as anybody may see it.

    Attributes:
        state: `waiting` or `held`.
        since: The backend's time at which it began to wait, or was granted.
        expires: The backend's time at which its session ends if it is not renewed.
        gathering: Free units are kept for it.
    """

    ticket: str
    session: str
    state: str
    needs: tuple[Need, ...]
    run_priority: int
    priority: int
    ready: bool
    gathering: bool
    since: float
    expires: float
    host: str
    process: int
    label: str
    run: str
    op: str
    fences: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A page of a namespace: all pools on the first page, and tickets in the order in which they were claimed.

    Attributes:
        next: Give it as `after` to see the next page; None on the last.
    """

    server_time: float
    pools: tuple[PoolView, ...] = ()
    tickets: tuple[TicketView, ...] = ()
    next: int | None = None


def _place(need: Need) -> tuple[bytes, int, bytes]:
    """Orders needs as every backend can: by the bytes of the pool, then the pool as a whole, then keys by bytes."""
    return (need.pool.encode(), 0 if need.key is None else 1, (need.key or "").encode())
