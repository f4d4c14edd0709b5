"""The nouns of the slow rules: plain records without cleverness, compared by identity."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

UNLIMITED: Final = 2**62


class State(Enum):
    """Where a claim stands."""

    NEW = "new"
    WAITING = "waiting"
    GRANTED = "granted"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    DEADLOCKED = "deadlocked"


@dataclass(eq=False, slots=True)
class Limit:
    """A limit. `held` and `reserved` are written by the hall, from sums over the books."""

    name: str
    capacity: int | None
    seq: int
    named: bool = True
    reentrant: bool = True
    external: bool = False
    paused: bool = False
    held: int = 0
    reserved: int = 0  # as of the end of the last round

    @property
    def free(self) -> int:
        """What is not held; nothing while paused."""
        if self.paused:
            return 0
        return UNLIMITED if self.capacity is None else max(0, self.capacity - self.held)

    @property
    def debt(self) -> int:
        """What is held above the capacity."""
        return 0 if self.capacity is None else max(0, self.held - self.capacity)

    def __repr__(self) -> str:
        return f"{self.name}({self.held}/{self.capacity}{' paused' if self.paused else ''})"


Needs: TypeAlias = tuple[tuple[Limit, int], ...]


@dataclass(eq=False, slots=True)
class Demand:
    """A vector: each limit once, in the order of the limits."""

    needs: Needs


@dataclass(eq=False, slots=True)
class Group:
    """Who shares fairly with other groups."""

    key: Hashable
    weight: float
    seq: int
    turn: int = 0
    service: dict[Limit, int] = field(default_factory=dict[Limit, int])


@dataclass(eq=False, slots=True)
class Party:
    """A run or a block."""

    group: Group
    priority: int
    arrival: int


@dataclass(eq=False, slots=True)
class Claim:
    """What was asked for and, once granted, what it covers.

    `holds` is what the grant covers, by amount asked, own and borrowed together; `ledger` is the time waited by the
    set of limits that were short.
    """

    party: Party
    demand: Demand
    order: Any  # — whatever the caller sorts by
    owner: object = None
    parent: Claim | None = None
    state: State = State.NEW
    seq: int = 0
    enqueued_at: int | None = None
    granted_at: int | None = None
    holds: dict[Limit, int] = field(default_factory=dict[Limit, int])
    back_since: int | None = None
    ledger: dict[tuple[Limit, ...], int] = field(default_factory=dict[tuple[Limit, ...], int])

    def waits(self) -> dict[str, int]:
        """Returns the time waited by limit name: each short set's time shared equally, the remainder to the first."""
        out: dict[str, int] = {}
        for short, elapsed in self.ledger.items():
            names = [limit.name for limit in short] or ["order"]
            each, left = divmod(elapsed, len(names))
            for place, name in enumerate(names):
                out[name] = out.get(name, 0) + each + (1 if place < left else 0)
        return {name: amount for name, amount in out.items() if amount}

    @property
    def age(self) -> int:
        """Decides between equals in order: its number, or that of the claim whose place it took."""
        return self.seq if self.back_since is None else self.back_since

    def ancestors(self) -> list[Claim]:
        """Returns the claims inside which this one runs, nearest first."""
        out: list[Claim] = []
        claim = self.parent
        while claim is not None:
            out.append(claim)
            claim = claim.parent
        return out

    def __repr__(self) -> str:
        return f"<claim {self.seq} {self.owner!r} {self.state.value}>"


@dataclass(eq=False, slots=True)
class Loan:
    """`amount` units of `limit` that `lender` lets `borrower` use."""

    lender: Claim
    borrower: Claim
    limit: Limit
    amount: int


@dataclass(eq=False, slots=True)
class Edge:
    """While it exists, `lender` is parked and `borrower` may borrow all it holds."""

    lender: Claim
    borrower: Claim | Party


@dataclass(eq=False, slots=True)
class Earmark:
    """The local part of an external waiter's demand, set aside until the remote side answers."""

    number: int
    until: int


@dataclass(eq=False, slots=True)
class Waiter:
    """One claim that waits, or the two claims of a ghost that wait as one.

    `ghosts` are those of the same run, this one included; `seen` says that a round integrated it; `promoted` is the
    number under which it became a gatherer; `passed` counts the starts on a limit while it was the oldest there.
    """

    parts: list[Claim]
    ghosts: list[Waiter] | None = None
    seen: bool = False
    promoted: int | None = None
    announced: bool = False
    passed: dict[Limit, int] = field(default_factory=dict[Limit, int])
    earmark: Earmark | None = None
    span: int = 0  # of its earmark; 0 before the first
    dropped_in: int = -1  # the round in which its earmark was dropped

    @property
    def main(self) -> Claim:
        """The claim that tells party, order, age and parent."""
        return self.parts[0]

    @property
    def priority(self) -> int:
        """The run priority."""
        return self.main.party.priority

    @property
    def group(self) -> Group:
        """The group it shares for."""
        return self.main.party.group

    @property
    def needs(self) -> Needs:
        """All it asks for, as one vector."""
        if len(self.parts) == 1:
            return self.main.demand.needs
        return added(*(claim.demand.needs for claim in self.parts))

    @property
    def local(self) -> Needs:
        """What it asks of limits that are decided here."""
        return tuple((limit, amount) for limit, amount in self.needs if not limit.external)

    @property
    def remote(self) -> Needs:
        """What it asks of external limits."""
        return tuple((limit, amount) for limit, amount in self.needs if limit.external)

    @property
    def hopeless(self) -> bool:
        """Whether it cannot fit at all now, whoever ends: a limit is paused, or smaller than its need."""
        return any(
            limit.paused or (limit.capacity is not None and limit.capacity < amount) for limit, amount in self.needs
        )

    @property
    def inside(self) -> tuple[Any, ...]:
        """Its place inside its group, smaller first."""
        claim = self.main
        return -claim.party.priority, claim.party.arrival, claim.order, claim.age

    def asks(self, limit: Limit) -> bool:
        """Says whether it asks for `limit`."""
        return any(one is limit for one, _ in self.needs)

    def gathers_with(self) -> bool:
        """Says whether it, or another ghost of its run, gathers."""
        return self.promoted is not None or any(ghost.promoted is not None for ghost in self.ghosts or [])

    def start_over(self) -> None:
        """Forgets that it was passed: its demand or its priority changed."""
        self.promoted, self.announced, self.passed = None, False, {}

    def __repr__(self) -> str:
        return f"<waiter {self.main.seq} {[claim.owner for claim in self.parts]}>"


def added(*vectors: Needs) -> Needs:
    """Returns the sum of demand vectors, each limit once, in the order of the limits."""
    total: dict[Limit, int] = {}
    for needs in vectors:
        for limit, amount in needs:
            total[limit] = total.get(limit, 0) + amount
    return tuple(sorted(((limit, amount) for limit, amount in total.items() if amount), key=lambda need: need[0].seq))
