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
from typing import TYPE_CHECKING, Any, Final

from asyncflow._limits.claim import WAITING
from asyncflow._limits.limit import Limit
from asyncflow._limits.order import Ranking
from asyncflow._limits.proposal import Changes
from asyncflow._limits.remedy import Rehearse, Search
from asyncflow._limits.shortage import Shortage, shortages

if TYPE_CHECKING:
    from asyncflow._limits.claim import Claim
    from asyncflow._limits.state import State


_NAMED: Final = 8
"""So many holders a text names."""


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
        capacity: The limit's units; None where it has no bound.
        paused: True where nothing starts on it.
    """

    limit: str
    needed: int
    free: int
    reserved: int
    holders: tuple[tuple[Any, int], ...]
    position: int
    capacity: int | None = None
    paused: bool = False

    def __str__(self) -> str:
        free = f"only {self.free}" if self.free else "none"
        kept = f" for it ({self.reserved} kept for others)" if self.reserved else ""
        held = [f"{owner} holds {units}" for owner, units in self.holders[:_NAMED]]
        more = [f"{len(self.holders) - _NAMED} more hold the rest"] if len(self.holders) > _NAMED else []
        place = "first" if self.position == 1 else f"number {self.position}"
        what = f"needs {self.needed} of {self.limit}"
        said = f"{what}, and {free} {'is' if self.free <= 1 else 'are'} free{kept}"
        if self.paused:
            said = f"{what}, which is paused"
        elif self.capacity is not None and self.capacity < self.needed:
            said = f"{what}, whose limit is {self.capacity}"
        return f"{said}; {', '.join([*held, *more]) or 'nobody holds any'}; it is {place} in line"


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
        waiting: The op that is explained, where a running run was asked about.
        ways: With how many different first ops a queued run may start; what is short is told for all of them.
        due: True where something came since the last round, which may start it or change what is said here.
    """

    state: Enum
    blockers: tuple[Blocker, ...]
    unblocked_by: tuple[str, ...]
    tried: bool = True
    changes: tuple[Changes, ...] = ()
    waiting: str = ""
    due: bool = False
    ways: int = 1

    def __str__(self) -> str:
        said = [f"it {one}" for one in self.blockers]
        head = f"It is {self.state.value}{f'; {self.waiting} waits' if self.waiting else ''}"
        several = (
            f"; it can start in {self.ways} ways, each of which lacks something:"
            if self.ways > 1
            else ", for several reasons:"
        )
        lines = [f"{head}: {said[0]}" if len(said) == 1 else f"{head}{several}" if said else head]
        lines += [f"  {one}" for one in said if len(said) > 1]
        if self.unblocked_by:
            going = self.state.value == "RUNNING" and not said
            lines.append(f"It {'goes on' if going else 'would start'} with " + ", or with ".join(self.unblocked_by))
        if self.due:
            lines.append("The next turn of the loop decides anew; ask again after it")
        elif not self.tried:
            lines.append("So many wait that not everything that may help was tried")
        return "\n".join([line if line.endswith(":") else f"{line}." for line in lines])


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
    due = state.due or bool(state.arrivals or state.books.risen)
    return Explanation(
        waiters[0].state, tuple(blockers.values()), tuple(found), tried, changes, due=due, ways=len(set(waiters))
    )


def _blockers(state: State, short: Sequence[Shortage], positions: dict[Limit, int]) -> Iterator[Blocker]:
    for one in short:
        limit = one.limit
        holders = [
            (claim.owner, units)
            for claim in state.books.granted
            if (units := claim.own_of(limit) + claim.borrowed_of(limit))
        ]
        yield Blocker(
            limit.name,
            one.needed,
            one.available,
            one.kept,
            tuple(holders),
            positions[limit],
            limit.capacity,
            limit.paused,
        )
