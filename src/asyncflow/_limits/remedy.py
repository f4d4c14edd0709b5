"""What would start a waiter: changes that are tried on a copy, by a round, before they are told.

Four kinds are looked for: the units it is short of; as many more as those before it would take; a priority above all
others with those units; and single grants whose end is enough. Each is rehearsed. A copy of everybody who waits is
exact and, with ten thousand of them, takes half a second, so a rehearsal copies only those who can matter:

- Between rounds nobody fits. Whoever starts in the rehearsed round therefore asks for a limit that the change gives
  units to, or for one on which a gatherer keeps units that it might give up.
- Waiters of one demand fit or do not fit together. Groups that never had anything stand in the order of their turns,
  whatever changes, and only move back by starting. So who starts among them, while fewer than `depth` start, is one of
  the first `depth` waiters of the first `depth` groups; of all other groups it is one of the first `depth` of each.
- Who gathers, stands apart, or may borrow follows other rules, and is always copied; so are the first and the oldest
  of each line concerned, against whom starts are counted.

The result is taken only where that is enough: the waiter was the first to start, or fewer started than `depth` and
nobody's count came near the bound at which he would gather. Else the rehearsal says that it does not know. Nothing is
told that was not seen to work, and `tried` is False where not everything could be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.claim import WAITING, Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.group import Party
from asyncflow._limits.limit import Limit
from asyncflow._limits.order import Ranking
from asyncflow._limits.proposal import Changes, Release, Resize, Resume
from asyncflow._limits.shortage import Shortage

if TYPE_CHECKING:
    from asyncflow._limits.state import State

FEW = 48
"""So many waiters are all copied, whatever the change."""

MOST_COPIES = 200
"""So many waiters are copied for one explanation beside the first trial, at most."""

MOST_BEFORE = 64
"""A waiter with more before it is not told how much growth would serve them too."""

MOST_HOLDERS = 16
"""So many holders are tried one by one."""

_ALONE = 50

Rehearse: TypeAlias = Callable[[Changes, Collection[Claim] | None], list[Claim]]
"""Decides a round after changes on a copy with only some of the waiters, or all; returns who starts."""


class Search:
    """Looks for what would start one waiter.

    Args:
        state: The state; not changed.
        waiter: The waiter; of a ghost, its run-level claim.
        short: What it is short of.
        positions: How many stand before it there, plus one.
        ranking: The order of those who wait.
        rehearse: Tries changes.

    Attributes:
        tried: False once something could not be tried, or its result was not certain.
    """

    def __init__(
        self,
        state: State,
        waiter: Claim,
        short: Sequence[Shortage],
        positions: dict[Limit, int],
        ranking: Ranking,
        rehearse: Rehearse,
    ) -> None:
        self._state = state
        self._waiter = waiter
        self._short = short
        self._positions = positions
        self._ranking = ranking
        self._rehearse = rehearse
        self._left = MOST_COPIES
        self._grants: dict[Party, list[Claim]] = {}
        self._family = [waiter] if waiter.ghost is None else [one.run for one in waiter.ghost.family.ghosts]
        self._all = len(state.queue.apart) + sum([cell.size for cell in state.queue.cells])
        self._settled = not state.due and not state.arrivals
        self.tried = True

    def helpful(self) -> Iterator[tuple[str, Changes]]:
        """Yields changes that start the waiter, in words and as data."""
        if not self._short:
            return
        exact = {one.limit: max(0, one.needed - one.available) for one in self._short}
        grown = self._growth(exact)
        if self._starts(grown[1], depth=2):
            yield grown
        else:
            yield from self._for_all_before(exact)
            yield from self._ahead()
        if not any(limit.paused for limit in exact):
            yield from self._ends()

    # ── what could help ───────────────────────────────────────────────────────────────────────────────────────────

    def _growth(self, units: dict[Limit, int]) -> tuple[str, Changes]:
        """Returns the growth of limits by these units; paused ones are resumed, and grow where they are too small."""
        changes, told = Changes(), list[str]()
        for limit, growth in units.items():
            more = growth
            if limit.paused:
                changes.resume(limit)
                told.append(f"resuming {limit.name}")
                more = 0 if limit.capacity is None else growth - limit.capacity + limit.held + limit.earmarked
            if more > 0:
                more += 0 if limit.paused else limit.debt
                changes.resize(limit, (limit.capacity or 0) + more)
                told.append(f"{more} more of {limit.name}")
        return " and ".join(told), changes

    def _for_all_before(self, exact: dict[Limit, int]) -> Iterator[tuple[str, Changes]]:
        """Yields the growth that serves those before the waiter too: what they take when there is plenty."""
        limits = list(exact)
        before = max([self._positions[limit] for limit in limits], default=0)
        if not 0 < before <= MOST_BEFORE:
            self.tried = self.tried and not before
            return
        plenty = {limit: units + MOST_BEFORE for limit, units in exact.items()}
        starts = self._rehearsed(self._growth(plenty)[1], depth=before + 1)
        if starts is None:
            self.tried = False
            return
        place = next((i for i, claim in enumerate(starts) if claim in self._family), None)
        if place is None:
            return
        taken = {limit: sum([claim.demand.amount(limit) for claim in starts[:place]]) for limit in limits}
        for extra in range(3):
            more = {limit: units + taken.get(limit, 0) + extra * (limit in taken) for limit, units in exact.items()}
            grown = self._growth(more)
            if self._starts(grown[1], depth=before + 1):
                yield grown
                return

    def _ahead(self) -> Iterator[tuple[str, Changes]]:
        """Yields a priority above all who ask for the same limits, with the units that are short then."""
        party, group = self._waiter.party, self._waiter.party.group
        lines = [priority for limit, _ in self._waiter.asked.needs for priority in Crowd.of(limit).lines]
        top = max(lines, default=party.priority) + 1
        mine = [claim for claim in self._state.queue.waiters_of(group) if claim.party is party]
        if len(mine) > _ALONE or not self._settled:
            self.tried = False
            return
        missing = {one.limit: max(0, one.needed - one.available - one.kept) for one in self._short}
        told, changes = self._growth(missing)
        changes.reprioritise(party, top)
        starts = self._rehearse(changes, self._with_kin({*mine, *self._beside()}))
        if starts and starts[0] in self._family:
            yield " and ".join([*([told] if told else []), f"priority {top}"]), changes

    def _ends(self) -> Iterator[tuple[str, Changes]]:
        """Yields the ends of single grants, as far as one can be enough."""
        holders = [claim for claim in self._state.books.granted if self._frees(claim)]
        self.tried = self.tried and len(holders) <= MOST_HOLDERS
        for claim in holders[:MOST_HOLDERS]:
            changes = Changes()
            for one in self._ending_with(claim):
                changes.release(one)
            if self._starts(changes, depth=2):
                yield f"the end of {self._state.describe(claim.owner)}", changes

    def _ending_with(self, claim: Claim) -> list[Claim]:
        """Returns the grants that end together with one: of a run as a whole, all of its ops' too."""
        if claim.ghost is None or claim.ghost.run is not claim:
            return [claim]
        if not self._grants:
            for one in self._state.books.granted:
                self._grants.setdefault(one.party, []).append(one)
        return self._grants[claim.party]

    def _frees(self, claim: Claim) -> bool:
        """Returns whether the end of a grant might free what is short."""
        ending = self._ending_with(claim)
        freed = {one.limit: sum([end.own_of(one.limit) for end in ending]) for one in self._short}
        if self._waiter.cell is not None and self._waiter.cell.nested:
            return any(freed.values())
        missing = {one.limit: one.needed - one.available - one.kept for one in self._short}
        return any(freed.values()) and all(freed[limit] >= units for limit, units in missing.items())

    # ── trying ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _starts(self, changes: Changes, *, depth: int) -> bool:
        """Returns whether the waiter surely starts; notes where that is not known."""
        starts = self._rehearsed(changes, depth=depth)
        self.tried = self.tried and starts is not None
        return starts is not None and any(claim in self._family for claim in starts)

    def _rehearsed(self, changes: Changes, *, depth: int) -> list[Claim] | None:
        """Returns who starts up to the waiter, or None where too many would have to be copied to know."""
        if self._all <= FEW:
            return self._rehearse(changes, None)
        if not self._settled:
            return None
        chosen = self._who_matters(changes, depth)
        if chosen is None:
            return None
        self._left -= len(chosen)
        starts = self._rehearse(changes, chosen)
        if len(chosen) >= self._all or (starts and starts[0] in self._family):
            return starts
        return starts if len(starts) < depth and not self._may_promote(chosen, depth) else None

    def _who_matters(self, changes: Changes, depth: int) -> set[Claim] | None:
        """Returns the waiters that may start, or be counted, in a round after changes; None for too many."""
        rooms = self._rooms(changes)
        beside = self._beside()
        limits = [*rooms, *[limit for one in self._state.gathering.gatherers for limit, _ in one.needs]]
        chosen = {self._waiter, *beside}
        for demand in dict.fromkeys([one for limit in limits if limit.crowd for one in limit.crowd.demands]):
            if all(rooms.get(limit, limit.room) >= amount for limit, amount in demand.needs if not limit.external):
                chosen.update(self._ranking.first(demand, depth))
            if len(chosen) > self._left:
                return None
        for limit in {limit: None for claim in chosen for limit, _ in claim.asked.needs}:
            for line in Crowd.of(limit).lines.values():
                first, oldest = line.first(), line.oldest()
                chosen.update([one for one in (first[4] if first else None, oldest) if one is not None])
        chosen = self._with_kin(chosen)
        return chosen if len(chosen) <= self._left else None

    def _beside(self) -> list[Claim]:
        """Returns those who stand apart or may borrow."""
        nested = [claim for cell in self._state.seats.nested for claim in cell.standing()]
        return [*self._state.queue.apart, *nested]

    def _with_kin(self, chosen: set[Claim]) -> set[Claim]:
        """Returns waiters with all other ghosts of their runs: those vanish when one starts."""
        ghosts = [claim.ghost for claim in chosen if claim.ghost is not None]
        return chosen | {one.run for ghost in ghosts for one in ghost.family.ghosts if one.run.state is WAITING}

    @staticmethod
    def _rooms(changes: Changes) -> dict[Limit, int]:
        """Returns the units that are free after changes on the limits that gain some."""
        rooms: dict[Limit, int] = {}
        for step in changes.steps:
            if isinstance(step, Release):
                for limit, units in step.claim.own.items():
                    rooms[limit] = rooms.get(limit, limit.room) + units
            elif isinstance(step, Resume | Resize) and isinstance(step.limit, Limit):
                limit = step.limit
                capacity = step.capacity if isinstance(step, Resize) else limit.capacity
                if capacity is None:
                    rooms[limit] = limit.room + 2**64
                else:
                    rooms[limit] = capacity - limit.earmarked - limit.held
        return rooms

    def _may_promote(self, chosen: set[Claim], depth: int) -> bool:
        """Returns whether somebody could begin to gather within so many starts."""
        most = self._state.max_overtakes - depth
        for limit in {limit: None for claim in chosen for limit, _ in claim.asked.needs}:
            for line in Crowd.of(limit).lines.values():
                oldest = line.oldest()
                passed = 0 if oldest is None or oldest.role is None else oldest.role.passed.get(limit, 0)
                if max(line.passed, passed) >= most:
                    return True
        return False
