"""Who stands before whom, for people: positions, and those who come first.

Rounds never sort all who wait, and telling about one of them need not either. All waiters of a cell stand at one place
among other groups, by run priority and the standing of their group; so a position is a count over cells, and only in
the waiter's own group single waiters are compared. A group that neither holds nor had anything of the limits asked for
stands at share and service 0, which needs no division: in a long queue nearly all groups are like that.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Claim, Entry
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Standing
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.seats import Seats
    from asyncflow._limits.state import State

Ranked: TypeAlias = tuple[int, Standing, int, Cell]
"""A cell by (-run priority, standing); the number ends ties."""


def ranked(seats: Seats, cells: Iterable[Cell]) -> list[Ranked]:
    """Returns cells with their places among other groups, not sorted."""
    found: list[Ranked] = []
    fair = seats.fair
    for cell in cells:
        group = cell.group if fair else seats.stands_for(cell.group)
        if group.untouched:
            standing = (0.0, 0.0, group.turn, group.seq)
        else:
            standing = group.standing([group.stakes[limit] for limit, _ in cell.demand.named if limit in group.stakes])
        found.append((-cell.level.priority, standing, cell.number, cell))
    return found


class Ranking:
    """The order of those who wait, at one moment, as far as somebody asks for it.

    Args:
        state: The state; not changed, and not to be changed while this is used.
    """

    __slots__ = ("_cells", "_first", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._cells: dict[Demand, list[Ranked]] = {}
        self._first: dict[tuple[Demand, int], list[Claim]] = {}

    def cells(self, demand: Demand) -> list[Ranked]:
        """Returns the cells of a demand with their places, not sorted."""
        cells = self._cells.get(demand)
        if cells is None:
            cells = self._cells[demand] = ranked(self._state.seats, demand.cells)
        return cells

    def first(self, demand: Demand, most: int) -> list[Claim]:
        """Returns waiters of a demand among whom the first `most` are, whatever capacities and grants change.

        A change moves groups that hold or had something among each other and among the rest; the others keep their
        order, by turn.
        """
        known = self._first.get((demand, most))
        if known is None:
            known = self._first[demand, most] = self._find_first(demand, most)
        return known

    def _find_first(self, demand: Demand, most: int) -> list[Claim]:
        needs = demand.needs_class
        blocks: list[list[Cell]]
        if needs is not None and needs.demands == 1 and not demand.fine:
            blocks = [list(lane.cells()) for band in needs.bands.values() for lane in band.first(most)]
        else:
            seats, fresh = self._state.seats, dict[tuple[int, Standing], list[Cell]]()
            touched: dict[tuple[int, Standing], list[Cell]] = {}
            for priority, standing, _, cell in self._ranked(demand):
                places = fresh if seats.stands_for(cell.group).untouched else touched
                places.setdefault((priority, standing), []).append(cell)
            blocks = [*touched.values(), *[fresh[place] for place in nsmallest(most, fresh)]]
        found: list[Claim] = []
        for cells in blocks:
            found.extend([entry[4] for entry in nsmallest(most, [one for cell in cells for one in cell.entries()])])
        return found

    def _ranked(self, demand: Demand) -> list[Ranked]:
        cells = self._cells.get(demand)
        if cells is None:
            cells = self._cells[demand] = ranked(self._state.seats, demand.cells)
        return cells

    def positions(self, waiter: Claim, limits: Iterable[Limit]) -> dict[Limit, int]:
        """Returns for each limit how many of those who wait for it stand before the waiter, plus one."""
        limits = tuple(limits)
        before = dict.fromkeys(limits, 1)
        mine = waiter.cell
        if mine is None:
            return before
        ((_, standing, _, _),) = ranked(self._state.seats, [mine])
        for demand in dict.fromkeys([one for limit in limits if limit.crowd for one in limit.crowd.demands]):
            count = self._before(waiter, mine, standing, demand)
            if count:
                for limit, _ in demand.needs:
                    if limit in before:
                        before[limit] += count
        return before

    def _before(self, waiter: Claim, mine: Cell, standing: Standing, demand: Demand) -> int:
        """Returns how many waiters of a demand stand before a waiter. One pass, and nothing made in it."""
        seats, priority, fair = self._state.seats, mine.level.priority, self._state.seats.fair
        share, service, turn, seq = standing
        idle = not share and not service
        count = 0
        for cell in demand.cells:
            group = cell.group
            if cell.level.priority != priority:
                count += cell.size if cell.level.priority > priority else 0
            elif group.untouched and fair:
                if not idle or group.turn < turn or (group.turn == turn and group.seq < seq):
                    count += cell.size
                elif group.seq == seq:
                    count += self._before_in_group(waiter, mine, cell)
            else:
                ((_, theirs, _, _),) = ranked(seats, [cell])
                if theirs < standing:
                    count += cell.size
                elif theirs == standing:
                    count += self._before_in_group(waiter, mine, cell)
        return count

    def _before_in_group(self, waiter: Claim, mine: Cell, cell: Cell) -> int:
        """Returns how many waiters of a cell of the same group stand before a waiter."""
        place = self._state.seats.entry_of(waiter, mine)[:3]
        apart = [self._state.seats.place_of(claim) for claim in self._state.queue.apart if claim.cell is cell]
        return sum([one < place for one in [*[other[:3] for other in cell.entries()], *apart]])


def in_order(state: State) -> list[Claim]:
    """Returns all waiters in the order in which they would start if all fitted, as far as there is one."""
    return Moment(state).claims()


_Block: TypeAlias = tuple[int, float, float, int, int, list[Entry]]
"""(-run priority, standing of the group, waiters): those of one cell, in no order."""


class Moment:
    """All who wait and where they stand, noted at one moment and put in order when somebody looks.

    Of a group that never had anything and has one waiter, only what may change is noted: the waiter, and its turn.

    Args:
        state: The state; it may change afterwards.
    """

    __slots__ = ("_blocks", "_sole", "_turns")

    def __init__(self, state: State) -> None:
        seats, blocks = state.seats, list[_Block]()
        cells = list(state.queue.cells)
        sole: list[Entry] = []
        turns: list[int] = []
        if seats.fair:  # nearly all of a long queue: flat lists, for ten thousand small objects wake the collector
            sole = [
                entry
                for cell in cells
                if cell.size == 1 and cell.group.untouched and (entry := cell.queued) and entry[4].entry is entry
            ]
            turns = [entry[5].group.turn for entry in sole]
        if len(sole) < len(cells):
            noted = {entry[5] for entry in sole}
            for cell in cells:
                if cell not in noted:
                    ((priority, standing, _, _),) = ranked(seats, [cell])
                    blocks.append((priority, *standing, cell.entries()))
        for claim in state.queue.apart:
            if claim.cell is not None:
                ((priority, standing, _, _),) = ranked(seats, [claim.cell])
                blocks.append((priority, *standing, [seats.entry_of(claim, claim.cell)]))
        self._sole = sole
        self._turns = turns
        self._blocks = blocks

    def entries(self) -> list[Entry]:
        """Returns the waiters' places in order."""
        found = [(block[:5], entry) for block in self._blocks for entry in block[5]]
        for entry, turn in zip(self._sole, self._turns, strict=True):
            cell = entry[5]
            found.append(((-cell.level.priority, 0.0, 0.0, turn, cell.group.seq), entry))
        return [entry for _, entry in sorted(found)]

    def claims(self) -> list[Claim]:
        """Returns the waiters in order."""
        return [entry[4] for entry in self.entries()]
