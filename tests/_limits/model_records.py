"""The nouns of the slow model: plain records with no cleverness, compared by identity."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

UNLIMITED = 2**62


class State(Enum):
    NEW = "new"
    WAITING = "waiting"
    GRANTED = "granted"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    DEADLOCKED = "deadlocked"


@dataclass(eq=False, slots=True)
class Limit:
    name: str
    capacity: int | None
    seq: int
    named: bool = True
    reentrant: bool = True
    external: bool = False
    paused: bool = False
    held: int = 0  # Σ own of the grants; the model recomputes it from them after every change
    reserved: int = 0  # as of the end of the last round

    @property
    def free(self) -> int:
        if self.paused:
            return 0
        return UNLIMITED if self.capacity is None else max(0, self.capacity - self.held)

    @property
    def debt(self) -> int:
        return 0 if self.capacity is None else max(0, self.held - self.capacity)

    def __repr__(self) -> str:
        return f"{self.name}({self.held}/{self.capacity}{' paused' if self.paused else ''})"


Needs = tuple[tuple[Limit, int], ...]


@dataclass(eq=False, slots=True)
class Demand:
    needs: Needs


@dataclass(eq=False, slots=True)
class Group:
    key: Hashable
    weight: float
    seq: int
    turn: int = 0
    service: dict[Limit, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Party:
    group: Group
    priority: int
    arrival: int


@dataclass(eq=False, slots=True)
class Claim:
    party: Party
    demand: Demand
    order: Any
    owner: object = None
    parent: Claim | None = None
    state: State = State.NEW
    seq: int = 0
    enqueued_at: int | None = None
    granted_at: int | None = None
    holds: dict[Limit, int] = field(default_factory=dict)  # what the grant covers: own + borrowed, by amount asked
    own: dict[Limit, int] = field(default_factory=dict)
    ledger: dict[tuple[Limit, ...], int] = field(default_factory=dict)

    def waits(self) -> dict[str, int]:
        """The time waited by limit name: what each short set cost, shared equally, the remainder to the first."""
        out: dict[str, int] = {}
        for short, elapsed in self.ledger.items():
            if not short:
                out["order"] = out.get("order", 0) + elapsed
                continue
            each, left = divmod(elapsed, len(short))
            for place, limit in enumerate(short):
                amount = each + (1 if place < left else 0)
                if amount:
                    out[limit.name] = out.get(limit.name, 0) + amount
        return {name: amount for name, amount in out.items() if amount}

    def ancestors(self) -> list[Claim]:
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
    """One claim that waits, or the two claims of a ghost that wait as one."""

    parts: list[Claim]
    ghosts: list[Waiter] | None = None  # of the same run, this one included
    seen: bool = False  # integrated by a round
    promoted: int | None = None  # the number under which it became a gatherer
    announced: bool = False
    passed: dict[Limit, int] = field(default_factory=dict)  # starts counted while it was the oldest there
    earmark: Earmark | None = None
    span: int = 0  # of its next earmark; 0: the first
    dropped_in: int = -1  # the round in which its earmark was dropped

    @property
    def main(self) -> Claim:
        return self.parts[0]

    @property
    def priority(self) -> int:
        return self.main.party.priority

    @property
    def group(self) -> Group:
        return self.main.party.group

    @property
    def needs(self) -> Needs:
        return added(*(claim.demand.needs for claim in self.parts))

    def asks(self, limit: Limit) -> bool:
        return any(one is limit for one, _ in self.needs)

    def __repr__(self) -> str:
        return f"<waiter {self.main.seq} {[claim.owner for claim in self.parts]}>"


@dataclass(frozen=True, slots=True)
class Command:
    """What a round asks of its caller beside grants: `kind` is the name of the core's class for it."""

    kind: str
    claim: Claim
    chain: tuple[str, ...] = ()


def added(*vectors: Needs) -> Needs:
    """The sum of demand vectors, each limit once, in the order of the limits."""
    total: dict[Limit, int] = {}
    for needs in vectors:
        for limit, amount in needs:
            total[limit] = total.get(limit, 0) + amount
    return tuple(sorted(((limit, amount) for limit, amount in total.items() if amount), key=lambda need: need[0].seq))
