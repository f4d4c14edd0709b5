"""A claim: a waiter and, once admitted, its grant. One object for its whole life.

    NEW → WAITING → GRANTED → ENDED
             ├────────┴──→ WITHDRAWN   (before its start: nothing was used)
             └──→ DEADLOCKED

A waiter holds nothing; a grant holds all that was asked for.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Party
from asyncflow._limits.limit import Limit


class ClaimState(Enum):
    """Where a claim stands."""

    NEW = "new"
    WAITING = "waiting"
    GRANTED = "granted"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    DEADLOCKED = "deadlocked"


NEW: Final = ClaimState.NEW
WAITING: Final = ClaimState.WAITING
GRANTED: Final = ClaimState.GRANTED
ENDED: Final = ClaimState.ENDED
WITHDRAWN: Final = ClaimState.WITHDRAWN
DEADLOCKED: Final = ClaimState.DEADLOCKED


class Claim:
    """Asks for a demand on behalf of a party.

    Args:
        party: The run or block it belongs to.
        demand: What it asks for.
        order: Its place inside its run, smaller first; compared with those of the same run only.
        owner: Opaque; handed back, never looked into.
        parent: The claim inside whose op it runs, if any: it may borrow what that one and its ancestors hold.
    """

    __slots__ = (
        "demand",
        "enqueued_at",
        "granted_at",
        "loose",
        "order",
        "owner",
        "parent",
        "party",
        "seq",
        "state",
        "waited",
    )

    def __init__(
        self, party: Party, demand: Demand, order: Any, owner: Any = None, parent: Claim | None = None  # noqa: ANN401 — orders and owners are the caller's
    ) -> None:
        self.party = party
        self.demand = demand
        self.order = order
        self.owner = owner
        self.parent = parent
        self.state = NEW
        self.seq = 0
        self.enqueued_at = 0
        self.granted_at = 0
        self.loose: dict[Limit, list[int]] | None = None
        self.waited: dict[str, int] | None = None

    @property
    def waiting(self) -> bool:
        """True until it is granted or taken back."""
        return self.state is WAITING

    def waits(self) -> dict[str, int]:
        """Returns for each limit's name the nanoseconds waited because of it; `"order"`: fitting, but not its turn.

        The sum is exactly `granted_at - enqueued_at`.
        """
        return dict(self.waited or {})

    def __repr__(self) -> str:
        return f"<claim {self.seq} {self.state.value} {self.demand!r}>"
