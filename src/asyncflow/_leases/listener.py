"""How an agent keeps in touch with a backend, and who is told what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from asyncflow.errors import PoolBackendError
from asyncflow.pools import Conflict, Grant, PoolView, Refusal, Usage


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often and how long, in seconds.

    Attributes:
        ttl: For which a session lives without a renewal.
        poll_interval: Between two looks where no hint comes.
        unavailable_after: For which a claim waits while the backend is away.
    """

    ttl: float = 15.0
    poll_interval: float = 2.0
    unavailable_after: float = 30.0


@dataclass(frozen=True, slots=True)
class Away:
    """The backend does not answer. `since` is the loop's time at which that began."""

    backend: str
    since: float
    attempts: int
    error: PoolBackendError


class Listener(Protocol):
    """Who is told what came of it; called on the loop, outside of any call of it to the agent."""

    def granted(self, grant: Grant) -> None:
        """A ticket has all it asked for."""

    def gone(self, ticket: str) -> None:
        """A ticket was taken away by an operator."""

    def refused(self, refusal: Refusal) -> None:
        """A claim can never be granted."""

    def failed(self, ticket: str, error: PoolBackendError) -> None:
        """A claim waited too long for a backend that is away."""

    def lost(self, tickets: Sequence[str], why: str) -> None:
        """The session is lost: these were held."""

    def used(self, usage: Sequence[Usage]) -> None:
        """How full pools are, and what they give."""

    def viewed(self, pools: Sequence[PoolView]) -> None:
        """All pools as they are now."""

    def away(self, away: Away) -> None:
        """The backend does not answer; said once each time."""

    def back(self, seconds: float) -> None:
        """The backend answers again."""

    def jeopardy(self, seconds: float) -> None:
        """The session was not renewed for half of its TTL."""

    def conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """Definitions of this process replaced those of another one that lives."""

    def lagged(self, seconds: float) -> None:
        """The event loop did not run for a third of the TTL and longer."""
