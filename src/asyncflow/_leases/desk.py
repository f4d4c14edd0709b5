"""The desk: the tickets of one process, what is still to be said of them, and what replies mean for them.

It talks to nobody and waits for nothing. In each session a ticket is called by another name, since a session that was
lost may still be known to the backend for a while, with its tickets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from asyncflow._leases.listener import Listener
from asyncflow._leases.outbox import Outbox
from asyncflow.errors import PoolBackendError
from asyncflow.pools import Batch, Claim, Grant, Release, Reply, Reprioritise


@dataclass(slots=True)
class _Asked:
    """A waiting ticket: its claim as it is now, when it was first asked for, and since when it waits here."""

    claim: Claim
    began: float
    since: float


class Desk:
    """The tickets of one process.

    Args:
        listener: Who is told what becomes of them.
        clock: Seconds.
        ring: Called when there is something to say.
    """

    def __init__(self, listener: Listener, clock: Callable[[], float], ring: Callable[[], None]) -> None:
        self._listener = listener
        self._clock = clock
        self._ring = ring
        self._out = Outbox()
        self._asked: dict[str, _Asked] = {}
        self._held: dict[str, None] = {}
        self._session = ""

    def __repr__(self) -> str:
        return f"<desk held={len(self._held)} waiting={len(self._asked)}>"

    @property
    def waiting(self) -> bool:
        """True while a ticket waits."""
        return bool(self._asked)

    @property
    def busy(self) -> bool:
        """True while a ticket waits or holds."""
        return bool(self._asked or self._held)

    @property
    def has_news(self) -> bool:
        """True while something is to be said."""
        return bool(self._out)

    def holds(self, ticket: str) -> bool:
        """Tells whether a ticket is held."""
        return ticket in self._held

    # ── what others want ──────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, claim: Claim) -> None:
        """Lets a ticket wait."""
        now = self._clock()
        self._asked[claim.ticket] = _Asked(claim, now - claim.age, now)
        self._say(claim)
        self._ring()

    def set_ready(self, ticket: str, *, ready: bool) -> None:
        """Says whether a waiting ticket could use a grant now."""
        asked = self._asked.get(ticket)
        if asked is not None:
            asked.claim = replace(asked.claim, ready=ready)
            self._out.ready[self._wire(ticket)] = ready
            self._ring()

    def move(self, ticket: str, *, run_priority: int, priority: int) -> None:
        """Gives a waiting ticket other priorities."""
        asked = self._asked.get(ticket)
        if asked is not None:
            asked.claim = replace(asked.claim, run_priority=run_priority, priority=priority)
            wire = self._wire(ticket)
            self._out.moves[wire] = Reprioritise(wire, run_priority, priority)
            self._ring()

    def cancel(self, ticket: str) -> None:
        """Nobody wants a waiting ticket any more."""
        if self._asked.pop(ticket, None) is not None:
            wire = self._wire(ticket)
            self._out.forget(wire)
            self._out.cancels[wire] = None  # also where it was not sent: a batch may be under way
            self._ring()

    def release(self, ticket: str, pool: str | None = None) -> None:
        """Gives a held ticket back, or what it has of one pool."""
        if ticket in self._held:
            if pool is None:
                del self._held[ticket]
            self._out.releases[Release(self._wire(ticket), pool)] = None
            self._ring()

    # ── the conversation ──────────────────────────────────────────────────────────────────────────────────────────

    def batch(self) -> Batch:
        """Returns what is to be said next."""
        return self._out.batch()

    def heard(self, batch: Batch) -> None:
        """The backend answered to a batch."""
        self._out.heard(batch)

    def answered(self, reply: Reply) -> None:
        """Tells the listener what a reply of a session that lives means."""
        for grant in reply.grants:
            self._granted(grant)
        for wire in reply.gone:
            ticket = self._ours(wire)
            if ticket in self._held or ticket in self._asked:
                self._held.pop(ticket, None)
                self._asked.pop(ticket, None)
                self._out.forget(wire)
                self._out.releases[Release(wire)] = None
                self._listener.gone(ticket)
        for refusal in reply.refused:
            ticket = self._ours(refusal.ticket)
            if self._asked.pop(ticket, None) is not None:
                self._out.forget(refusal.ticket)
                self._listener.refused(replace(refusal, ticket=ticket))
        if reply.usage:
            self._listener.used(reply.usage)

    def _granted(self, grant: Grant) -> None:
        ticket = self._ours(grant.ticket)
        self._out.seen[grant.ticket] = None
        if ticket in self._asked:
            del self._asked[ticket]
            self._out.forget(grant.ticket)
            self._held[ticket] = None
            self._listener.granted(replace(grant, ticket=ticket))
        elif ticket not in self._held and Release(grant.ticket) not in self._out.releases:
            self._out.cancels[grant.ticket] = None  # it was taken back while it was being granted

    # ── the ends of sessions ──────────────────────────────────────────────────────────────────────────────────────

    def lose(self, why: str) -> None:
        """The session is over: tells what was held."""
        held = list(self._held)
        self._held.clear()
        self._out.clear()
        if held:
            self._listener.lost(held, why)

    def begin(self, session: str) -> None:
        """Another session is open: asks in it for all that waits, with its age."""
        self._session = session
        self._out.clear()
        now = self._clock()
        for asked in self._asked.values():
            asked.claim = replace(asked.claim, age=max(0.0, now - asked.began))
            self._say(asked.claim)

    def give_up(self, since: float, patience: float, error: PoolBackendError) -> None:
        """Tells those who have waited too long for a backend that is away since then."""
        now = self._clock()
        for ticket, asked in tuple(self._asked.items()):
            if now - max(asked.since, since) >= patience:
                self.cancel(ticket)
                self._listener.failed(ticket, error)

    def _say(self, claim: Claim) -> None:
        wire = self._wire(claim.ticket)
        self._out.claims[wire] = replace(claim, ticket=wire)

    def _wire(self, ticket: str) -> str:
        """Returns what a ticket is called in this session, and nowhere else."""
        return f"{self._session}.{ticket}"

    def _ours(self, wire: str) -> str:
        """Returns which ticket that is; an empty text for one of another session."""
        session, _, ticket = wire.partition(".")
        return ticket if session == self._session else ""
