"""What is still to be said to a backend. It stays here until the backend has answered, since it may be said twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from asyncflow.pools import Batch, Claim, Release, Reprioritise

MOST: int = 500
"""How many claims and releases travel in one batch at most."""


@dataclass(slots=True)
class Outbox:
    """Things to say, each once, in the order in which they came."""

    claims: dict[str, Claim] = field(default_factory=dict[str, Claim])
    ready: dict[str, bool] = field(default_factory=dict[str, bool])
    moves: dict[str, Reprioritise] = field(default_factory=dict[str, Reprioritise])
    releases: dict[Release, None] = field(default_factory=dict[Release, None])
    cancels: dict[str, None] = field(default_factory=dict[str, None])
    seen: dict[str, None] = field(default_factory=dict[str, None])

    def __bool__(self) -> bool:
        return bool(self.claims or self.ready or self.moves or self.releases or self.cancels or self.seen)

    def batch(self) -> Batch:
        """Returns what is to be said next. Claims that are not ready any more go as such."""
        claims: list[Claim] = []
        for ticket, claim in list(self.claims.items())[:MOST]:
            claims.append(replace(claim, ready=self.ready[ticket]) if ticket in self.ready else claim)
        return Batch(
            releases=tuple(self.releases)[:MOST],
            cancels=tuple(self.cancels)[:MOST],
            seen=tuple(self.seen)[:MOST],
            ready=tuple(self.ready.items())[:MOST],
            reprioritise=tuple(self.moves.values())[:MOST],
            claims=tuple(claims),
        )

    def heard(self, batch: Batch) -> None:
        """The backend answered to a batch; what changed meanwhile is still to be said."""
        for release in batch.releases:
            self.releases.pop(release, None)
        for ticket in batch.cancels:
            self.cancels.pop(ticket, None)
        for ticket in batch.seen:
            self.seen.pop(ticket, None)
        for ticket, ready in batch.ready:
            if self.ready.get(ticket) is ready:
                del self.ready[ticket]
        for move in batch.reprioritise:
            if self.moves.get(move.ticket) is move:
                del self.moves[move.ticket]
        for claim in batch.claims:
            self.claims.pop(claim.ticket, None)

    def forget(self, ticket: str) -> None:
        """Nothing more is to be said of a waiting ticket."""
        self.ready.pop(ticket, None)
        self.moves.pop(ticket, None)
        self.claims.pop(ticket, None)

    def clear(self) -> None:
        """The session is gone, and with it everything that could be said in it."""
        for part in (self.claims, self.ready, self.moves, self.releases, self.cancels, self.seen):
            part.clear()
