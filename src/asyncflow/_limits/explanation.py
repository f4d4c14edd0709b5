"""Why a claim does not run, and what would help.

The blockers are read from the same structures that rounds decide by. What would start the claim is not derived from
them, since others stand before it: each change that could help is tried on a copy, by a round, and only what really
starts the claim is told. With very many waiters trying is too dear, and the shortfall alone is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncflow._limits.claim import WAITING
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.holding import lendable
from asyncflow._limits.limit import Limit
from asyncflow._limits.snapshot import in_order

if TYPE_CHECKING:
    from asyncflow._limits.claim import Claim
    from asyncflow._limits.state import State

MOST_WAITERS = 2_000
"""With more of them, changes are not tried."""

MOST_HOLDERS = 16
"""So many holders are tried one by one."""

MOST_UNITS = 64
"""So many units more than the shortfall are tried."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One limit that is short for the claim.

    Attributes:
        limit: Its name.
        needed: Units asked for.
        free: Units this claim could have now, by borrowing too.
        reserved: Units that are free and kept for others.
        holders: Owners and units of those who hold it, oldest first.
        position: How many waiters for this limit stand before it, plus one.
    """

    limit: str
    needed: int
    free: int
    reserved: int
    holders: tuple[tuple[Any, int], ...]
    position: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a claim does not run.

    Attributes:
        state: Where it stands; for people the status of the op or the run.
        blockers: Every limit that is short for it; none where it fits and a round has not come yet, or another side
            has to answer.
        unblocked_by: The smallest changes that would start it, each by itself.
    """

    state: Enum
    blockers: tuple[Blocker, ...]
    unblocked_by: tuple[str, ...]

    def __str__(self) -> str:
        lines = [self.state.value]
        for one in self.blockers:
            held = ", ".join([f"{owner} ({units})" for owner, units in one.holders])
            kept = f", {one.reserved} reserved for others" if one.reserved else ""
            lines.append(
                f"  {one.limit}: needs {one.needed}, {one.free} free{kept}, number {one.position} in line;"
                f" held by {held or 'nobody'}"
            )
        lines.extend([f"  would start by {change}" for change in self.unblocked_by])
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that might start a claim."""

    told: str
    resized: tuple[tuple[Limit, int | None], ...] = ()
    resumed: tuple[Limit, ...] = ()
    ended: tuple[Claim, ...] = ()


Trial: TypeAlias = "Callable[[Claim, Change], bool]"
"""Tells whether a claim starts after a change, by trying it on a copy."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that is short for a claim: what it needs, what it could have, and what is kept from it."""

    limit: Limit
    needed: int
    available: int
    kept: int


def shortages(claim: Claim) -> list[Shortage]:
    """Returns every limit that is short for a waiter, in canonical order."""
    waiter = claim if claim.ghost is None else claim.ghost.run
    cell = waiter.cell
    role = waiter.role
    found: list[Shortage] = []
    for limit, needed in waiter.asked.needs:
        room, kept = max(0, limit.room), 0
        if limit.external and (role is None or role.earmark is None):
            if limit.room < needed:
                found.append(Shortage(limit, needed, room, 0))
            continue
        if cell is not None and cell.nested:
            room += sum([lendable(source, limit) for source in cell.sources])
        elif limit.crowd is not None:
            kept = room - max(0, _available(waiter, limit.crowd))
        if room - kept < needed and (role is None or role.earmark is None):
            found.append(Shortage(limit, needed, room - kept, kept))
    return found


def _available(claim: Claim, crowd: Crowd) -> int:
    """Returns what of a limit a waiter that may not borrow could have."""
    gatherer = None if claim.role is None else claim.role.gatherer
    if gatherer is None:
        return crowd.available(claim.party.priority)
    return crowd.limit.room - sum([units for other, units in crowd.kept.items() if other.rank < gatherer.rank])


def explain(state: State, claim: Claim, starts_by: Trial) -> Explanation:
    """Tells why a claim does not run."""
    if claim.state is not WAITING:
        return Explanation(claim.state, (), ())
    waiter = claim if claim.ghost is None else claim.ghost.run
    short = shortages(waiter)
    order = in_order(state)
    blockers = tuple([_blocker(state, waiter, one, order) for one in short])
    earmarked = waiter.role is not None and waiter.role.earmark is not None
    if earmarked:
        names = ", ".join([limit.name for limit, _ in waiter.asked.remote])
        return Explanation(claim.state, blockers, (f"a grant of {names} by the other side",))
    changes = _changes(state, short)
    if len(order) > MOST_WAITERS:
        return Explanation(claim.state, blockers, tuple([change.told for change in list(changes)[:1]]))
    return Explanation(claim.state, blockers, tuple(_helpful(waiter, changes, starts_by)))


def _blocker(state: State, waiter: Claim, short: Shortage, order: list[Claim]) -> Blocker:
    limit = short.limit
    holders = [
        (one.owner, units) for one in state.books.granted if (units := one.own_of(limit) + one.borrowed_of(limit))
    ]
    position = 1
    for other in order:
        if other is waiter:
            break
        if other.asked.amount(limit):
            position += 1
    return Blocker(limit.name, short.needed, short.available, short.kept, tuple(holders), position)


def _changes(state: State, short: list[Shortage]) -> Iterator[Change]:
    """Yields what might help, smallest first; those with the same words are one change of growing size."""
    paused = tuple([one.limit for one in short if one.limit.paused])
    resumed = [f"resuming {limit.name}" for limit in paused]
    missing = [one for one in short if one.limit not in paused]
    for extra in range(MOST_UNITS) if short else ():
        more = [(one.limit, max(0, one.needed - one.available) + extra) for one in missing]
        told = " and ".join([*resumed, *[f"{units} more of {limit.name}" for limit, units in more]])
        capacities = [(limit, (limit.capacity or 0) + limit.debt + units) for limit, units in more]
        yield Change(told, resized=tuple(capacities), resumed=paused)
        if not more:
            break
    if paused:
        return
    limits = {one.limit for one in short}
    holders = [claim for claim in state.books.granted if any(claim.own_of(limit) for limit in limits)]
    for claim in holders[:MOST_HOLDERS]:
        yield Change(f"the end of {state.describe(claim.owner)}", ended=(claim,))


def _helpful(waiter: Claim, changes: Iterator[Change], starts_by: Trial) -> Iterator[str]:
    """Yields the changes that start the waiter: the smallest growth of limits, and holders whose end is enough."""
    grown = False
    for change in changes:
        growth = not change.ended
        if growth and grown:
            continue
        if starts_by(waiter, change):
            grown = grown or growth
            yield change.told
