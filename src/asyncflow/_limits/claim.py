"""A claim: a waiter and, once admitted, its grant. One object for its whole life.

    NEW → WAITING ─→ GRANTED → ENDED      (also when it is withdrawn between its admission and its start)
             ├─────→ WITHDRAWN            (taken back, or another ghost of its run started)
             └─────→ DEADLOCKED           (no release, timer or reply could ever start it)

A waiter holds nothing; a grant holds all it asked for. Most grants own exactly their demand, and `holding` is None;
one that borrows, lends, or gave something back early has a `Holding` with the details.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Party
from asyncflow._limits.ledger import Bill, divided
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.cell import Cell
    from asyncflow._limits.ghost import Ghost
    from asyncflow._limits.holding import Holding
    from asyncflow._limits.role import Role


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

Place: TypeAlias = tuple[int, Any, int]
"""(arrival of the run, order, age): where a claim would stand; the beginning of an `Entry`."""

Entry: TypeAlias = "tuple[int, Any, int, int, Claim, Cell]"
"""(arrival of the run, order, age, a number for ties, claim, cell): sorts the waiters of one group.

Smaller starts first. One tuple stands for a waiter in all heaps; it is valid as long as the claim has it as `entry`.
"""


class Claim:
    """Asks for a demand on behalf of a party.

    Args:
        party: The run or block it belongs to.
        demand: What it asks for.
        order: Its place inside its run, smaller first; compared with those of the same run only.
        owner: Opaque; handed back, never looked into.
        parent: The claim inside whose op it runs, if any: it may borrow what that one and its ancestors hold.

    Attributes:
        state: Where it stands.
        seq: Its age: the number it was given when it was enqueued.
        enqueued_at: The reading of the round that first saw it.
        granted_at: The reading of the round that admitted it.
    """

    __slots__ = (
        "bill",
        "cell",
        "demand",
        "enqueued_at",
        "entry",
        "ghost",
        "granted_at",
        "holding",
        "order",
        "owner",
        "parent",
        "party",
        "past",
        "role",
        "seq",
        "state",
    )

    def __init__(
        self,
        party: Party,
        demand: Demand,
        order: Any,  # noqa: ANN401 — whatever the caller sorts by
        owner: Any = None,  # noqa: ANN401 — the caller's own, opaque here
        parent: Claim | None = None,
    ) -> None:
        self.party = party
        self.demand = demand
        self.order = order
        self.owner = owner
        self.parent = parent
        self.state = NEW
        self.seq = 0
        self.enqueued_at = -1
        self.granted_at = -1
        self.holding: Holding | None = None
        self.cell: Cell | None = None
        self.entry: Entry | None = None
        self.role: Role | None = None
        self.ghost: Ghost | None = None
        self.bill: Bill | None = None
        self.past: list[Bill] | None = None

    @property
    def age(self) -> int:
        """Decides between equals in order, smaller first: when it began to wait."""
        return self.seq

    @property
    def waiting(self) -> bool:
        """True until it is granted or taken back."""
        return self.state is WAITING

    @property
    def granted(self) -> bool:
        """True from its admission until it ends."""
        return self.state is GRANTED

    @property
    def asked(self) -> Demand:
        """What must fit for it to start: its demand, for a ghost together with its root's."""
        return self.demand if self.ghost is None else self.ghost.demand

    def own_of(self, limit: Limit) -> int:
        """Returns how many units of `limit` its grant owns."""
        if self.state is not GRANTED:
            return 0
        return self.demand.amount(limit) if self.holding is None else self.holding.own.get(limit, 0)

    def borrowed_of(self, limit: Limit) -> int:
        """Returns how many units of `limit` its grant borrows."""
        return 0 if self.holding is None or self.state is not GRANTED else self.holding.borrowed_of(limit)

    @property
    def own(self) -> dict[Limit, int]:
        """What its grant owns of each limit."""
        return {limit: own for limit, _ in self.demand.needs if (own := self.own_of(limit))}

    @property
    def borrowed(self) -> dict[Limit, int]:
        """What its grant borrows of each limit."""
        return {limit: units for limit, _ in self.demand.needs if (units := self.borrowed_of(limit))}

    def waits(self) -> dict[str, int]:
        """Returns for each limit's name the nanoseconds waited because of it; `"order"`: fitting, but not its turn.

        Complete once it was granted or taken back; the sum is then exactly `granted_at - enqueued_at`.
        """
        bills = [] if self.bill is None else [self.bill]
        return divided([*(self.past or ()), *bills])

    def __repr__(self) -> str:
        return f"<claim {self.seq} {self.state.value} {self.demand!r}>"


class ReturnedClaim(Claim):
    """Asks again for somebody who had been admitted before: it takes the place in order that the earlier claim had.

    Only the order looks at the age of a claim; how often it was passed is counted from its return.

    Args:
        earlier: The claim whose place it takes.
        demand: What it asks for.
    """

    __slots__ = ("_age",)

    def __init__(self, earlier: Claim, demand: Demand) -> None:
        super().__init__(earlier.party, demand, earlier.order, earlier.owner, earlier.parent)
        self._age = earlier.age

    @property
    def age(self) -> int:
        """The age of the claim whose place it has."""
        return self._age


def chain(claim: Claim | None) -> list[Claim]:
    """Returns a claim and those around it, nearest first."""
    found: list[Claim] = []
    while claim is not None:
        found.append(claim)
        claim = claim.parent
    return found
