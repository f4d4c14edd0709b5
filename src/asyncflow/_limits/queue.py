"""The queue: all who wait, each in the one place where a round will find them when they fit.

Invariants, checked one by one in `audit`:

I1  A cell is in one place: awake in its lane, parked in one waiting room, or nowhere while nobody stands in its heap.
I2  A fine limit with room has, for each waiting room with cells, an awake representative that stands before them.
I3  A band sleeps only while no lane has an awake cell, or hung on one named limit that is short for it.
I4  A parked cell that gets a better first waiter than its representative wakes, where its limit has room.

What changes keeps them: arrivals and departures here, units that come back by `rise`, reservations that shrink the
same way, and claims whose lendable units changed by `reseat`. A round therefore looks at what is awake and never at
what waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncflow._limits.band import Band, BandKey, Lane, NeedClass
from asyncflow._limits.books import Books
from asyncflow._limits.cell import Cell, CellKey
from asyncflow._limits.claim import Claim, Entry, chain
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Demand, Needs
from asyncflow._limits.group import Group
from asyncflow._limits.holding import Holding, holds_something, lendable
from asyncflow._limits.ledger import Bill, Ledger
from asyncflow._limits.limit import Limit
from asyncflow._limits.line import Line, eligible


class Queue:
    """All waiters that a round has seen.

    Args:
        books: Who holds what.
        fair: False: one order for all, without groups.

    Attributes:
        board: The classes that may have somebody who fits, in canonical order.
        classes: By vector of named needs.
        cells: By what makes their waiters alike.
        apart: Waiters that do not stand in their cells' heaps.
        nested: How many cells have waiters that may borrow.
    """

    def __init__(self, books: Books, ledger: Ledger, *, fair: bool) -> None:
        self.board: list[NeedClass] = []
        self.classes: dict[Needs, NeedClass] = {}
        self.cells: dict[CellKey, Cell] = {}
        self.apart: dict[Claim, None] = {}
        self.nested: dict[Cell, None] = {}
        self._books = books
        self._ledger = ledger
        self._everyone = None if fair else Group("everyone", 1.0, 0)
        self._numbers = 0

    # ── coming and going ──────────────────────────────────────────────────────────────────────────────────────────

    def integrate(self, claim: Claim, now: int) -> None:
        """A claim begins to wait; its group too, where none of its claims waited (for a limit) yet."""
        group = claim.party.group
        if not group.waiting and claim.seq > group.turn:
            group.turn = claim.seq
        for limit, _ in claim.asked.named:
            crowd = limit.crowd
            if crowd is not None and group not in crowd.groups:
                least = crowd.least_service()
                if least is not None:
                    raised = int(int(least) * group.weight)
                    if raised > group.service.get(limit, 0):
                        group.service[limit] = raised
        self.join(claim, now)
        if claim.enqueued_at < 0:
            claim.enqueued_at = now
            if claim.ghost is not None and claim.ghost.root is not None:
                claim.ghost.root.enqueued_at = now
        bill = Bill(claim.asked, self._ledger.account_of(claim.asked), now)
        if claim.bills is None:
            claim.bills = [bill]
        else:
            claim.bills.append(bill)

    def join(self, claim: Claim, now: int) -> None:
        """Puts a waiter into its cell."""
        claim.party.group.waiting += 1
        cell = self._cell_of(claim, now)
        cell.size += 1
        claim.cell = cell
        if claim.role is None or not claim.role.apart:
            self.stand(claim, cell)
        else:
            self.apart[claim] = None

    def stand(self, claim: Claim, cell: Cell) -> None:
        """Puts a waiter into the heap of its cell, and the cell where it belongs."""
        entry = self.entry_of(claim)
        first = cell.stand(claim, entry)
        self.apart.pop(claim, None)
        if first:
            self._advance(cell, entry)
        if eligible(cell):
            oldest = cell.ages[0][1] is claim
            for line in cell.lines:
                if first:
                    line.enter(cell, entry)
                if oldest:
                    line.age(cell, claim.seq)

    def _advance(self, cell: Cell, entry: Entry) -> None:
        """A cell has a new first waiter that is better than the last one."""
        if cell.room is not None:
            cell.room.hear(cell, entry)
        elif cell.lane is not None:
            cell.lane.push(cell, entry)

    def entry_of(self, claim: Claim) -> Entry:
        """Returns what sorts a claim among those of its group."""
        return (claim.party.arrival if self._everyone is None else 0, claim.order, claim.seq, claim)

    def lane_group(self, claim: Claim) -> Group:
        """Returns the group that stands for a claim in the order; one for all where the core is not fair."""
        return claim.party.group if self._everyone is None else self._everyone

    def leave(self, claim: Claim) -> None:
        """A waiter starts, or goes away."""
        cell = claim.cell
        if cell is None:
            return
        self.set_apart(claim)
        self.apart.pop(claim, None)
        claim.party.group.waiting -= 1
        claim.cell = None
        cell.size -= 1
        if not cell.size:
            self._close(cell)

    def set_apart(self, claim: Claim) -> None:
        """Takes a waiter out of the heap of its cell."""
        cell, entry = claim.cell, claim.entry
        self.apart[claim] = None
        if cell is None or entry is None:
            return
        was_first = cell.heap[0] is entry
        claim.entry = None
        if was_first and cell.represents is not None:
            cell.represents.retire(cell)

    def move(self, claim: Claim, now: int) -> None:
        """A waiter is alike to others now: another cell, without leaving the queue."""
        before = claim.cell
        if before is None or self._key_of(claim) == before.key:
            return
        self.set_apart(claim)
        self.join(claim, now)
        claim.party.group.waiting -= 1
        before.size -= 1
        if not before.size:
            self._close(before)

    # ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _key_of(self, claim: Claim) -> CellKey:
        lending = self._books.lending
        lone = claim if lending.edges and lending.reaches(claim) else None
        counted = claim.ghost is None or not claim.ghost.overshadowed
        party = claim.party
        return (party.group, claim.asked, party.priority, claim.parent, lone, counted)

    def _cell_of(self, claim: Claim, now: int) -> Cell:
        key = self._key_of(claim)
        cell = self.cells.get(key)
        if cell is None:
            self._numbers += 1
            cell = self.cells[key] = Cell(key, self._numbers)
            self._open(cell, now)
            self._look(cell)
            self._seat(cell)
        return cell

    def _open(self, cell: Cell, now: int) -> None:
        demand, group = cell.demand, cell.group
        for limit, _ in demand.needs:
            crowd = Crowd.of(limit)
            crowd.cells += 1
            crowd.demands[demand] = crowd.demands.get(demand, 0) + 1
            crowd.enter_group(group)
            line = crowd.lines.get(cell.priority)
            if line is None:
                line = crowd.lines[cell.priority] = Line(cell.priority)
            line.cells += 1
            cell.lines.append(line)
        if not demand.cells:
            demand.hopeless = demand.judge()
        demand.cells[cell] = None
        group.cells[cell] = None
        self._ledger.open(demand, now)
        self._books.touched.extend([limit for limit, _ in demand.needs])

    def _close(self, cell: Cell) -> None:
        demand, group = cell.demand, cell.group
        self._unseat(cell)
        self._forget_sources(cell)
        needs = self.class_of(demand)
        if needs.empty:
            del self.classes[demand.named]
        del self.cells[cell.key], demand.cells[cell], group.cells[cell]
        self._ledger.close(demand)
        for limit, _ in demand.needs:
            crowd = Crowd.of(limit)
            crowd.cells -= 1
            crowd.demands[demand] -= 1
            if not crowd.demands[demand]:
                del crowd.demands[demand]
            crowd.leave_group(group)
            line = crowd.lines[cell.priority]
            line.cells -= 1
            if not line.cells:
                del crowd.lines[cell.priority]
            if not crowd.cells:
                limit.crowd = None

    # ── places in the order ───────────────────────────────────────────────────────────────────────────────────────

    def class_of(self, demand: Demand) -> NeedClass:
        """Returns the class of a demand."""
        needs = self.classes.get(demand.named)
        if needs is None:
            needs = self.classes[demand.named] = NeedClass(demand.named, self.board)
        return needs

    def _seat(self, cell: Cell) -> None:
        """Gives a cell its lane, by the units it needs of each limit."""
        needs = self.class_of(cell.demand)
        if cell.nested and cell.demand.external:
            needs.alone[cell] = None
            needs.show()
            return
        required = self._required(cell) if cell.nested else cell.demand.needs
        cell.fine = tuple([need for need in required if not need[0].named])
        named = tuple([need for need in required if need[0].named]) if cell.nested else cell.demand.named
        key: BandKey = (cell.priority, cell.nested, named)
        band = needs.bands.get(key)
        if band is None:
            band = needs.bands[key] = Band(needs, key)
        group = cell.group if self._everyone is None else self._everyone
        lane = band.lanes.get(group)
        if lane is None:
            self._numbers += 1
            lane = band.lanes[group] = Lane(band, group, self._numbers)
            group.lanes[lane] = None
        lane.size += 1
        cell.lane = lane
        entry = cell.head()
        if entry is not None:
            lane.push(cell, entry)

    def _unseat(self, cell: Cell) -> None:
        lane = cell.lane
        if lane is None:
            self.class_of(cell.demand).alone.pop(cell, None)
            return
        cell.lane = None
        cell.room = None
        cell.queued = None
        if cell.represents is not None:
            cell.represents.retire(cell)
        lane.size -= 1
        if not lane.size:
            band = lane.band
            lane.standing = None
            del band.lanes[lane.group], lane.group.lanes[lane]
            if not band.lanes:
                band.needs.remove(band)

    @staticmethod
    def _required(cell: Cell) -> Needs:
        """Returns the free units a waiter needs beside what it may borrow."""
        return tuple(
            [
                (limit, left)
                for limit, amount in cell.demand.needs
                if (left := amount - sum([lendable(source, limit) for source in cell.sources])) > 0
            ]
        )

    # ── who may borrow ────────────────────────────────────────────────────────────────────────────────────────────

    def _look(self, cell: Cell) -> None:
        """Finds out whom the waiters of a cell may borrow from, and asks those to tell of changes."""
        _, _, _, parent, lone, _ = cell.key
        if parent is None and lone is None:
            return
        cell.sources = self._books.lending.sources(parent, lone)
        for claim in [*chain(parent), *cell.sources]:
            Holding.of(claim).cells[cell] = None
        cell.nested = any(holds_something(source) for source in cell.sources)
        if cell.nested:
            self.nested[cell] = None
        else:
            self.nested.pop(cell, None)

    def _forget_sources(self, cell: Cell) -> None:
        _, _, _, parent, _, _ = cell.key
        self.nested.pop(cell, None)
        for claim in [*chain(parent), *cell.sources]:
            if claim.holding is not None:
                claim.holding.cells.pop(cell, None)

    def reseat(self, cell: Cell) -> None:
        """What the waiters of a cell may borrow changed: it moves to where it belongs."""
        nested = cell.nested
        self._look(cell)
        self._unseat(cell)
        self._seat(cell)
        if nested and not cell.nested:
            self.count(cell)

    # ── limits change ─────────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def rise(limits: Iterable[Limit]) -> None:
        """Units of these limits came back, or are kept for nobody any more: who slept on that wakes."""
        for limit in limits:
            crowd = limit.crowd
            if crowd is None:
                continue
            for band in list(crowd.hung):
                if crowd.available(band.view) >= dict(band.named)[limit]:
                    del crowd.hung[band]
                    band.wake()
            for room in list(crowd.rooms.values()):
                room.open()

    def count(self, cell: Cell) -> None:
        """The waiters of a cell are counted again: it comes back to its lines."""
        entry, oldest = cell.head(), cell.oldest()
        if entry is not None and oldest is not None and eligible(cell):
            for line in cell.lines:
                line.enter(cell, entry)
                line.age(cell, oldest.seq)

    def judge(self, limit: Limit) -> list[Demand]:
        """A limit was paused, resumed or resized: returns the demands that can fit again, or can no more."""
        changed: list[Demand] = []
        for demand in () if limit.crowd is None else tuple(limit.crowd.demands):
            hopeless = demand.judge()
            if hopeless is not demand.hopeless:
                demand.hopeless = hopeless
                changed.append(demand)
                for cell in demand.cells:
                    self.count(cell)
        return changed

    def lower(self, cells: Iterable[Cell]) -> None:
        """The standings of these cells' groups may have become better."""
        for cell in cells:
            if cell.lane is not None:
                cell.lane.lower()

    def reweigh(self, group: Group) -> None:
        """A group has another weight: shares and services count differently."""
        self.lower(group.cells)
        for cell in group.cells:
            for limit, _ in cell.demand.named:
                Crowd.of(limit).weigh(group)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    def waiters(self) -> list[Claim]:
        """Returns all who wait; of a ghost, its run-level claim."""
        return [*[claim for cell in self.cells.values() for claim in cell.standing()], *self.apart]

    def waiters_of(self, group: Group) -> list[Claim]:
        """Returns all of a group who wait; of a ghost, its run-level claim."""
        beside = [claim for claim in self.apart if claim.party.group is group]
        return [*[claim for cell in group.cells for claim in cell.standing()], *beside]
