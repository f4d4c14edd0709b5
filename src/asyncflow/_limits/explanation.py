"""Why a claim does not run, and what would help.

The blockers are read from the same structures that rounds decide by. What would start the claim is not derived from
them, since others stand before it: `remedy` tries each change that could help on a copy, by a round, and only what
really starts the claim is told. A run that waits with several ghosts is explained as one: all that is short for any of
them, and all that starts any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from asyncflow._limits.claim import WAITING
from asyncflow._limits.limit import Limit
from asyncflow._limits.order import Ranking
from asyncflow._limits.proposal import Changes
from asyncflow._limits.remedy import Rehearse, Search
from asyncflow._limits.shortage import Shortage, shortages

if TYPE_CHECKING:
    from asyncflow._limits.claim import Claim
    from asyncflow._limits.state import State


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
        unblocked_by: Changes that would start it, each by itself; each was tried.
        tried: False where trying everything was too dear: there may be more that would start it.
        changes: The same as data, as far as they are changes of limits, priorities and grants.
    """

    state: Enum
    blockers: tuple[Blocker, ...]
    unblocked_by: tuple[str, ...]
    tried: bool = True
    changes: tuple[Changes, ...] = ()

    def __str__(self) -> str:
        lines = [self.state.value]
        for one in self.blockers:
            held = ", ".join([f"{owner} ({units})" for owner, units in one.holders])
            kept = f", {one.reserved} reserved for others" if one.reserved else ""
            lines.append(
                f"  {one.limit}: needs {one.needed}, {one.free} free{kept}, number {one.position} in line;"
                f" held by {held or 'nobody'}"
            )
        going = self.state.value == "RUNNING" and not self.blockers
        lines.extend([f"  {'goes on' if going else 'would start'} by {change}" for change in self.unblocked_by])
        if not self.tried:
            lines.append("  so many wait that not everything was tried")
        return "\n".join(lines)


def explain(state: State, claims: Sequence[Claim], rehearse: Rehearse) -> Explanation:
    """Tells why a claim, or a run with these ghosts, does not start."""
    waiters = [claim if claim.ghost is None else claim.ghost.run for claim in claims if claim.state is WAITING]
    if not waiters:
        return Explanation(claims[0].state, (), ())
    ranking = Ranking(state)
    blockers: dict[tuple[str, int], Blocker] = {}
    found: dict[str, Changes | None] = {}
    tried = True
    for waiter in dict.fromkeys(waiters):
        short = shortages(waiter)
        positions = ranking.positions(waiter, [one.limit for one in short])
        for one in _blockers(state, short, positions):
            blockers.setdefault((one.limit, one.needed), one)
        if waiter.role is not None and waiter.role.earmark is not None:
            names = ", ".join([limit.name for limit, _ in waiter.asked.remote])
            found.setdefault(f"a grant of {names} by the other side", None)
            continue
        search = Search(state, waiter, short, positions, ranking, rehearse)
        found.update({told: changes for told, changes in search.helpful() if told not in found})
        tried = tried and search.tried
    changes = tuple([one for one in found.values() if one is not None])
    return Explanation(waiters[0].state, tuple(blockers.values()), tuple(found), tried, changes)


def _blockers(state: State, short: Sequence[Shortage], positions: dict[Limit, int]) -> Iterator[Blocker]:
    for one in short:
        limit = one.limit
        holders = [
            (claim.owner, units)
            for claim in state.books.granted
            if (units := claim.own_of(limit) + claim.borrowed_of(limit))
        ]
        yield Blocker(limit.name, one.needed, one.available, one.kept, tuple(holders), positions[limit])
