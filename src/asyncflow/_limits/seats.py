"""Where cells stand in the order: class, band and lane, by what their waiters need beside what they may borrow."""

from __future__ import annotations

from typing import Any, Final

from asyncflow._limits.band import Band, BandKey, Lane, NeedClass
from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Claim, Entry, Place, chain
from asyncflow._limits.demand import Demand, Needs
from asyncflow._limits.group import Group
from asyncflow._limits.holding import Holding, holds_something, lendable
from asyncflow._limits.lending import Lending
from asyncflow._limits.suspicion import Suspicion

_NUMBER_BITS: Final = 48
"""More than the number of a cell can have."""


class Seats:
    """The places of all cells in the order.

    Args:
        lending: Who may borrow from whom.
        fair: False: one order for all, without groups.

    Attributes:
        board: The classes that may have somebody who fits, in canonical order.
        classes: By vector of named needs.
        nested: The cells whose waiters may borrow.
    """

    __slots__ = ("_everyone", "_numbers", "_suspicion", "board", "classes", "lending", "nested")

    def __init__(self, lending: Lending, suspicion: Suspicion, *, fair: bool) -> None:
        self.lending = lending
        self._suspicion = suspicion
        self.board: list[NeedClass] = []
        self.classes: dict[Needs, NeedClass] = {}
        self.nested: dict[Cell, None] = {}
        self._everyone = None if fair else Group("everyone", 1.0, 0)
        self._numbers = 0

    def number(self) -> int:
        """Returns the next number, for ties in heaps."""
        self._numbers += 1
        return self._numbers

    def entry_of(self, claim: Claim, cell: Cell) -> Entry:
        """Returns what sorts a waiter among those of its group."""
        arrival = claim.party.arrival if self._everyone is None else 0
        age = claim.age
        if age == claim.seq:
            return (arrival, claim.order, age, cell.number, claim, cell)
        tie = -(claim.seq << _NUMBER_BITS | cell.number)  # an entry of the earlier claim may still lie in a heap
        return (arrival, claim.order, age, tie, claim, cell)

    def place_of(self, claim: Claim) -> Place:
        """Returns where a claim would stand among those of its group."""
        return (claim.party.arrival if self._everyone is None else 0, claim.order, claim.age)

    def rank_of(self, claim: Claim) -> tuple[int, int, Any, int]:
        """Returns what sorts claims of one group, of any run priority."""
        return (-claim.party.priority, *self.place_of(claim))

    def group_of(self, claim: Claim) -> Group:
        """Returns the group that stands for a claim in the order; one for all where the core is not fair."""
        return claim.party.group if self._everyone is None else self._everyone

    def stands_for(self, group: Group) -> Group:
        """Returns what stands for a group in the order: itself, or one for all where the core is not fair."""
        return group if self._everyone is None else self._everyone

    def lone_of(self, claim: Claim) -> Claim | None:
        """Returns the claim itself, where lending edges lead to it or its party."""
        return claim if self.lending.edges and self.lending.reaches(claim) else None

    def class_of(self, demand: Demand) -> NeedClass:
        """Returns the class of a demand."""
        needs = demand.needs_class
        if needs is None:
            needs = self.classes.get(demand.named)
            if needs is None:
                needs = self.classes[demand.named] = NeedClass(demand.named, self.board)
            demand.needs_class = needs
            needs.demands += 1
        return needs

    def forget(self, demand: Demand) -> None:
        """Nobody waits with this demand any more."""
        needs = demand.needs_class
        if needs is not None:
            demand.needs_class = None
            needs.demands -= 1
            if not needs.demands:
                del self.classes[demand.named]

    @property
    def fair(self) -> bool:
        """False where there is one order for all, without groups."""
        return self._everyone is None

    # ── coming and going ──────────────────────────────────────────────────────────────────────────────────────────

    def take(self, cell: Cell) -> None:
        """A new cell takes its place."""
        if cell.parent is not None or cell.lone is not None:
            self._look(cell)
        self._seat(cell)

    def give_up(self, cell: Cell) -> None:
        """A cell has nobody any more."""
        self._unseat(cell)
        if cell.parent is not None or cell.lone is not None:
            if cell.nested:
                self._unnest(cell)
            for claim in [*chain(cell.parent), *cell.sources]:
                if claim.holding is not None:
                    claim.holding.cells.pop(cell, None)

    def reseat(self, cell: Cell) -> bool:
        """What the waiters of a cell may borrow changed: it moves; returns whether they are counted from now on."""
        nested = cell.nested
        self._look(cell)
        if nested or cell.nested:
            self._unseat(cell)
            self._seat(cell)
        return nested and not cell.nested

    def _look(self, cell: Cell) -> None:
        """Finds out whom the waiters of a cell may borrow from, and asks those to tell of changes."""
        cell.sources = self.lending.sources(cell.parent, cell.lone)
        for claim in [*chain(cell.parent), *cell.sources]:
            Holding.of(claim).cells[cell] = None
        nested = any(holds_something(source) for source in cell.sources)
        if nested and not cell.nested:
            cell.nested = True
            self.nested[cell] = None
            self._suspicion.enter(cell)
        elif nested:
            self._suspicion.look(cell)
        elif cell.nested:
            self._unnest(cell)

    def _unnest(self, cell: Cell) -> None:
        """The waiters of a cell have nobody to borrow from any more, or are gone."""
        cell.nested = False
        del self.nested[cell]
        self._suspicion.leave(cell)

    def _seat(self, cell: Cell) -> None:
        """Gives a cell its lane, by the units it needs of each limit."""
        demand = cell.demand
        needs = self.class_of(demand)
        if not cell.nested:
            named, cell.fine = demand.named, demand.fine
        elif demand.external:
            needs.alone[cell] = None
            needs.show()
            return
        else:
            required = required_of(cell)
            named = tuple([need for need in required if need[0].named])
            cell.fine = tuple([need for need in required if not need[0].named])
        key: BandKey = (cell.level.priority, cell.nested, named)
        band = needs.bands.get(key)
        if band is None:
            band = needs.bands[key] = Band(needs, key)
        group = self.stands_for(cell.group)
        lane = band.lanes.get(group)
        if lane is None:
            lane = band.lanes[group] = Lane(band, group, self.number())
            group.lanes[lane] = None
            if len(band.lanes) == 2:
                for other in band.lanes.values():
                    other.lower()  # nobody looked at its standing while it was alone
        lane.take(cell)

    def _unseat(self, cell: Cell) -> None:
        if cell.lane is None:
            self.class_of(cell.demand).alone.pop(cell, None)
        else:
            cell.lane.give_up(cell)


def required_of(cell: Cell) -> Needs:
    """Returns the free units that the waiters of a cell need beside what they may borrow."""
    return tuple(
        [
            (limit, left)
            for limit, amount in cell.demand.needs
            if (left := amount - sum([lendable(source, limit) for source in cell.sources])) > 0
        ]
    )
