"""What a call to a backend does to its rows, inside one transaction that the backend has begun.

Every function takes the rows of a namespace and `now`, the backend's clock in microseconds, and is otherwise pure. The
rules are told in `protocol.py`; `grants.py` has the pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from asyncflow.pools.grants import GrantPass
from asyncflow.pools.messages import (
    Batch,
    Claim,
    Conflict,
    Grant,
    PoolSpec,
    PoolView,
    Refusal,
    Release,
    Reply,
    SessionGrant,
    SessionSpec,
    Snapshot,
    TicketView,
    Usage,
)
from asyncflow.pools.rows import HELD, REVOKED, WAITING, Line, PoolRow, Rows, SessionRow, TicketRow
from asyncflow.pools.wire import micros, seconds

FENCE_PER_SECOND: Final = 2**20
"""A new pool's fence begins at the clock's seconds times this: so fences grow also where all rows were lost."""


@dataclass(frozen=True, slots=True)
class Woken:
    """An answer, and the other sessions that have something to learn."""

    reply: Reply
    wake: tuple[str, ...] = ()


def open_session(
    rows: Rows, spec: SessionSpec, pools: Sequence[PoolSpec], now: int, *, wake: str = ""
) -> tuple[SessionGrant, tuple[str, ...]]:
    """Opens or renews a session; returns its grant, and the sessions that its definitions gave something to."""
    reaped = reap(rows, now)
    known = rows.session(spec.id)
    session = SessionRow(spec.id, micros(spec.ttl), now + micros(spec.ttl), spec.host, spec.process, spec.label, wake)
    rows.put_session(session)
    if known is not None:
        return SessionGrant(seconds(now), fresh=False), _wake_up(rows, now, reaped, but=spec.id)
    if spec.visitor:
        return SessionGrant(seconds(now), fresh=True), _wake_up(rows, now, reaped, but=spec.id)
    conflicts: list[Conflict] = []
    rows.put_default(replace(rows.default(), defined=spec.default_limit))
    changed = {row.pool for row in rows.pools() if row.source == "default"} | reaped
    for one in pools:
        row = _pool(rows, one.pool, now)
        if row.defined is not None and row.defined != one.quota and rows.session(row.defined_by) is not None:
            conflicts.append(Conflict(one.pool, row.defined, one.quota))
        rows.put_pool(replace(row, defined=one.quota, defined_by=spec.id))
        changed.add(one.pool)
    woken = _wake_up(rows, now, changed, but=spec.id)
    return SessionGrant(seconds(now), fresh=True, conflicts=tuple(conflicts)), woken


def exchange(rows: Rows, session_id: str, batch: Batch, now: int) -> Woken:
    """Does a batch."""
    session = rows.session(session_id)
    if session is None or session.expires <= now:
        return Woken(Reply(alive=False, server_time=seconds(now)), _wake_up(rows, now, reap(rows, now), but=session_id))
    if batch.renew is not None:
        ttl = micros(batch.renew)
        rows.put_session(replace(session, ttl=ttl, expires=now + ttl))
    step = _Step(rows, session_id, now)
    step.give_back(batch)
    step.move(batch)
    step.govern(batch)
    for claim in batch.claims:
        step.claim(claim)
    step.changed |= reap(rows, now)
    granted = step.let_on()
    expiry = rows.next_expiry(session_id)
    untold = rows.untold(session_id)
    gone = [*step.gone, *(row.ticket for row in untold if row.state == REVOKED)]
    reply = Reply(
        alive=True,
        server_time=seconds(now),
        grants=tuple(Grant(row.ticket, row.fences) for row in untold if row.state == HELD),
        gone=tuple(dict.fromkeys(gone)),
        refused=tuple(step.refused),
        usage=tuple(_usage(rows, pool) for pool in sorted(step.named, key=str.encode)),
        next_expiry=None if expiry is None else seconds(max(0, expiry - now)),
    )
    wake = dict.fromkeys([*(row.session for row in granted), *step.wake])
    return Woken(reply, tuple(one for one in wake if one != session_id))


def close_session(rows: Rows, session_id: str, now: int) -> tuple[str, ...]:
    """Ends a session and gives back all it held; returns who is to be woken."""
    changed = reap(rows, now)
    if rows.session(session_id) is not None:
        changed |= _end(rows, session_id)
    return _wake_up(rows, now, changed, but=session_id)


def reap(rows: Rows, now: int) -> set[str]:
    """Removes the sessions that have expired with all their tickets; returns the pools that this concerns."""
    changed: set[str] = set()
    for session in rows.sessions_before(now):
        changed |= _end(rows, session.session)
    return changed


def snapshot(rows: Rows, now: int, *, limit: int, after: int | None) -> Snapshot:
    """Returns a page of what is there."""
    default = rows.default().limit
    pools = () if after is not None else tuple(_view(rows, row, default) for row in rows.pools())
    page = rows.page(0 if after is None else after, limit)
    sessions = {row.session: rows.session(row.session) for row in page}
    tickets = tuple(
        _ticket_view(row, owner)
        for row in page
        if row.state != REVOKED and (owner := sessions[row.session]) is not None and owner.expires > now
    )
    return Snapshot(seconds(now), pools, tickets, page[-1].number if len(page) == limit else None)


class _Step:
    """One batch on its way through the rows."""

    def __init__(self, rows: Rows, session: str, now: int) -> None:
        self.rows = rows
        self.session = session
        self.now = now
        self.changed: set[str] = set()
        self.named: set[str] = set()
        self.gone: list[str] = []
        self.refused: list[Refusal] = []
        self.wake: list[str] = []
        self._grants: GrantPass | None = None

    def give_back(self, batch: Batch) -> None:
        """Releases and cancels, and notes which grants have arrived."""
        for release in batch.releases:
            row = self._own(release.ticket)
            if row is not None:
                self._release(row, release)
        for ticket in batch.cancels:
            row = self._own(ticket)
            if row is not None:
                self._drop(row)
        for ticket in batch.seen:
            row = self._own(ticket)
            if row is not None and row.state == HELD and not row.seen:
                self.rows.put_ticket(replace(row, seen=True))

    def move(self, batch: Batch) -> None:
        """Changes whether waiting tickets may be granted, and where they stand."""
        for ticket, ready in batch.ready:
            row = self._waiting(ticket)
            if row is not None and row.ready is not ready:
                self._change(replace(row, ready=ready))
        for move in batch.reprioritise:
            row = self._waiting(move.ticket)
            if row is not None:
                self._change(replace(row, run_priority=move.run_priority, priority=move.priority, promoted=None))

    def govern(self, batch: Batch) -> None:
        """Does what an operator asks."""
        rows = self.rows
        for one in batch.define:
            if one.pool is None:
                rows.put_default(replace(rows.default(), explicit=one.quota.limit, is_set=True))
                self._default_changed()
            else:
                self._put(replace(_pool(rows, one.pool, self.now), explicit=one.quota))
        for pool in batch.unset:
            if pool is None:
                rows.put_default(replace(rows.default(), explicit=None, is_set=False))
                self._default_changed()
            elif (row := rows.pool(pool)) is not None:
                self._put(replace(row, explicit=None))
        for pool in batch.pause:
            self._put(replace(_pool(rows, pool, self.now), paused=True))
        for pool in batch.resume:
            self._put(replace(_pool(rows, pool, self.now), paused=False))
        for ticket in batch.revoke:
            self._revoke(ticket)

    def claim(self, claim: Claim) -> None:
        """Lets a ticket begin to wait."""
        rows = self.rows
        if rows.ticket(claim.ticket) is not None:
            return
        for need in claim.needs:
            _pool(rows, need.pool, self.now)
            self.named.add(need.pool)
        line = Line(claim.needs, claim.nested)
        for (pool, key), amount, limit in self.grants.asked(line):
            if amount > limit > 0:
                self.refused.append(Refusal(claim.ticket, pool, key, amount, limit))
                return
        row = TicketRow(
            claim.ticket,
            self.session,
            rows.number(),
            line,
            claim.run_priority,
            claim.priority,
            self.now - micros(claim.age),
            claim.ready,
            claim.run,
            claim.op,
        )
        rows.put_ticket(row)
        self._touch(row)

    def _revoke(self, ticket: str) -> None:
        row = self.rows.ticket(ticket)
        if row is None:
            self.gone.append(ticket)
        elif row.state != REVOKED:
            self._change(replace(row, state=REVOKED))
            self.wake.append(row.session)

    def let_on(self) -> list[TicketRow]:
        """Grants what can be granted; returns the tickets."""
        if not self.changed:
            return []
        self.grants.changed |= self.changed
        return self.grants.run()

    @property
    def grants(self) -> GrantPass:
        """The pass of this batch, which reads quotas once they have been set."""
        if self._grants is None:
            self._grants = GrantPass(self.rows, self.now, ())
        return self._grants

    def _release(self, row: TicketRow, release: Release) -> None:
        kept = tuple(need for need in row.needs if need.pool != release.pool)
        if release.pool is None or row.state != HELD or not kept:
            self._drop(row)
        elif len(kept) < len(row.needs):
            self._touch(row)
            fences = tuple(fence for fence in row.fences if fence[0] != release.pool)
            self.rows.put_ticket(replace(row, line=Line(kept, row.line.nested), fences=fences))

    def _drop(self, row: TicketRow) -> None:
        self._touch(row)
        self.rows.drop_ticket(row)

    def _change(self, row: TicketRow) -> None:
        self._touch(row)
        self.rows.put_ticket(row)

    def _touch(self, row: TicketRow) -> None:
        for need in row.needs:
            self.changed.add(need.pool)
            self.named.add(need.pool)

    def _put(self, row: PoolRow) -> None:
        self.rows.put_pool(row)
        self.changed.add(row.pool)
        self.named.add(row.pool)

    def _default_changed(self) -> None:
        self.changed.update(row.pool for row in self.rows.pools() if row.source == "default")

    def _own(self, ticket: str) -> TicketRow | None:
        """Returns a ticket of this session; others, and those that are not there, are told as gone."""
        row = self.rows.ticket(ticket)
        if row is None or row.session != self.session:
            self.gone.append(ticket)
            return None
        return row

    def _waiting(self, ticket: str) -> TicketRow | None:
        row = self.rows.ticket(ticket)
        return row if row is not None and row.session == self.session and row.state == WAITING else None


def _pool(rows: Rows, pool: str, now: int) -> PoolRow:
    """Returns a pool's row, made where it is missing."""
    row = rows.pool(pool)
    if row is None:
        row = PoolRow(pool, fence=now // 1_000_000 * FENCE_PER_SECOND)
        rows.put_pool(row)
    return row


def _end(rows: Rows, session: str) -> set[str]:
    """Removes a session with all its tickets; returns the pools that this concerns."""
    changed: set[str] = set()
    for row in rows.tickets_of(session):
        changed.update(need.pool for need in row.needs)
        rows.drop_ticket(row)
    rows.drop_session(session)
    return changed


def _wake_up(rows: Rows, now: int, changed: set[str], *, but: str) -> tuple[str, ...]:
    """Lets those on who can, and returns whose they are."""
    granted = GrantPass(rows, now, changed).run() if changed else []
    return tuple(one for one in dict.fromkeys(row.session for row in granted) if one != but)


def _usage(rows: Rows, pool: str) -> Usage:
    row = rows.pool(pool)
    limit = None if row is None else row.quota(rows.default().limit).limit
    return Usage(pool, rows.held(pool, None), limit, paused=row is not None and row.paused)


def _view(rows: Rows, row: PoolRow, default: int | None) -> PoolView:
    held, waits = rows.held(row.pool, None), rows.waits(row.pool)
    return PoolView(row.pool, row.quota(default), row.source, held, waits, row.paused, row.fence)


def _ticket_view(row: TicketRow, owner: SessionRow) -> TicketView:
    return TicketView(
        row.ticket,
        row.session,
        row.state,
        row.needs,
        row.run_priority,
        row.priority,
        row.ready,
        row.promoted is not None,
        seconds(row.since),
        seconds(owner.expires),
        owner.host,
        owner.process,
        owner.label,
        row.run,
        row.op,
        row.fences,
    )
