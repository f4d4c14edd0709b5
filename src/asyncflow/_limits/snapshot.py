"""What the core looks like at one moment, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncflow._limits.claim import Claim
from asyncflow._limits.group import Standing
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.state import State


@dataclass(frozen=True, slots=True)
class HolderView:
    """Who holds how much of a limit, and since when."""

    owner: Any
    amount: int
    borrowed: int
    since: int


@dataclass(frozen=True, slots=True)
class WaiterView:
    """Who waits for how much of a limit, and since when."""

    owner: Any
    amount: int
    since: int


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit with its holders, oldest first, and its waiters in order."""

    name: str
    capacity: int | None
    held: int
    reserved: int
    debt: int
    paused: bool
    named: bool
    holders: tuple[HolderView, ...]
    waiters: tuple[WaiterView, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every limit, in order of creation."""

    at: int
    limits: tuple[LimitView, ...]

    def limit(self, name: str) -> LimitView:
        """Returns the first limit of that name.

        Raises:
            KeyError: where there is none.
        """
        for view in self.limits:
            if view.name == name:
                return view
        raise KeyError(name)


def take_snapshot(state: State) -> Snapshot:
    """Returns what every limit looks like now."""
    holders: dict[Limit, list[HolderView]] = {limit: [] for limit in state.limits}
    waiters: dict[Limit, list[WaiterView]] = {limit: [] for limit in state.limits}
    for claim in state.books.granted:
        for limit, _ in claim.demand.needs:
            own, borrowed = claim.own_of(limit), claim.borrowed_of(limit)
            if own or borrowed:
                holders[limit].append(HolderView(claim.owner, own, borrowed, claim.granted_at))
    for claim in in_order(state):
        for limit, amount in claim.asked.needs:
            waiters[limit].append(WaiterView(claim.owner, amount, claim.enqueued_at))
    return Snapshot(
        state.now,
        tuple(
            [
                LimitView(
                    name=limit.name,
                    capacity=limit.capacity,
                    held=limit.held,
                    reserved=limit.reserved,
                    debt=limit.debt,
                    paused=limit.paused,
                    named=limit.named,
                    holders=tuple(holders[limit]),
                    waiters=tuple(waiters[limit]),
                )
                for limit in state.limits
            ]
        ),
    )


def in_order(state: State) -> list[Claim]:
    """Returns all waiters in the order in which they would start if all fitted, as far as there is one."""

    def place(claim: Claim) -> tuple[int, Standing, Any]:
        group = state.seats.group_of(claim)
        stakes = [group.stake(limit) for limit, _ in claim.asked.named]
        return -claim.party.priority, group.standing(stakes), state.seats.place_of(claim)

    return sorted(state.queue.waiters(), key=place)
