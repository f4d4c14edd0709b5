"""The queue: all who wait, each in the one place where a round will find them when they fit.

Invariants, checked one by one in `invariants`:

I1  A cell is in one place: awake in its lane, parked in one waiting room, or nowhere while nobody stands in its heap.
I2  A fine limit with room has, for each waiting room with cells, an awake representative that stands before them.
I3  A band sleeps only while no lane has an awake cell, or hung on one limit that is short for all of it.
I4  A parked cell that gets a better first waiter than its representative wakes, where its limit has room.

What changes keeps them: arrivals and departures here, units that come back by `rise`, reservations that shrink the
same way, and claims whose lendable units changed by `Seats.reseat`. A round therefore looks at what is awake and
never at what waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush
from typing import TypeAlias

from asyncflow._limits.cell import Cell, eligible
from asyncflow._limits.claim import Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Group
from asyncflow._limits.ledger import Bill, Ledger
from asyncflow._limits.level import Level
from asyncflow._limits.limit import Limit
from asyncflow._limits.line import Line
from asyncflow._limits.seats import Seats

CellKey: TypeAlias = tuple[Level, Group, Claim | None, Claim | None, bool, bool]
"""Level, group, parent, lone, counted, and whether they are ghosts."""


class Queue:
    """All waiters that a round has seen.

    Args:
        seats: The places of cells in the order.
        ledger: Charges the time they wait.
        touched: Told of limits that somebody begins to wait for.

    Attributes:
        cells: All cells.
        apart: Waiters that do not stand in their cells' heaps.
        fresh: Demands that somebody began to wait with in this round; the ledger has no account for them yet.
    """

    __slots__ = ("_keys", "_ledger", "_others", "apart", "cells", "fresh", "seats")

    def __init__(self, seats: Seats, ledger: Ledger) -> None:
        self.seats = seats
        self.cells: dict[Cell, None] = {}
        self.apart: dict[Claim, None] = {}
        self.fresh: list[Demand] = []
        self._ledger = ledger
        self._others: dict[CellKey, Cell] = {}
        self._keys: dict[Cell, CellKey] = {}

    # ── coming and going ──────────────────────────────────────────────────────────────────────────────────────────

    def integrate(self, claim: Claim, now: int) -> None:
        """A claim begins to wait; its group too, where none of its claims waited (for a limit) yet."""
        asked = claim.demand if claim.ghost is None else claim.ghost.demand
        self.begin(claim, asked)
        if claim.enqueued_at < 0:
            claim.enqueued_at = now
            if claim.ghost is not None and claim.ghost.root is not None:
                claim.ghost.root.enqueued_at = now
        account = asked.account
        claim.bill = Bill(None if account is None else account.read(now))
        self.join(claim, asked)

    @staticmethod
    def begin(claim: Claim, asked: Demand) -> None:
        """What beginning to wait means for the group's turn and service."""
        group = claim.party.group
        if not group.waiting and claim.seq > group.turn:
            group.turn = claim.seq
        for limit, _ in asked.named:
            crowd = limit.crowd
            if crowd is not None and group not in crowd.groups:
                crowd.raise_service(group)

    def join(self, claim: Claim, asked: Demand) -> None:
        """Puts a waiter into its cell."""
        party = claim.party
        party.group.waiting += 1
        level = asked.levels.get(party.priority)
        if level is None:
            level = self._open_level(asked, party.priority)
        if claim.parent is None and claim.ghost is None and not self.seats.lending.edges:
            cell = level.plain.get(party.group)
            if cell is None:
                cell = level.plain[party.group] = self._open(Cell(self.seats.number(), party.group, asked, level))
        else:
            cell = self._special_cell(claim, asked, level)
        cell.size += 1
        claim.cell = cell
        if claim.role is None or not claim.role.apart:
            self.stand(claim, cell)
        else:
            self.apart[claim] = None

    def stand(self, claim: Claim, cell: Cell) -> None:
        """Puts a waiter into the heap of its cell, and the cell where it belongs."""
        entry = self.seats.entry_of(claim, cell)
        cell.stand(claim, entry)
        if self.apart:
            self.apart.pop(claim, None)
        counted = cell.counted and not cell.nested and not cell.demand.hopeless
        if cell.head() is entry:
            if cell.room is not None:
                cell.room.hear(cell, entry)
            elif cell.lane is not None:
                cell.lane.push(cell, entry)
            if counted:
                for line in cell.level.lines:
                    heappush(line.front, entry)
        if counted and cell.oldest() is claim:
            aged = (claim.seq, cell.number, cell)
            for line in cell.level.lines:
                heappush(line.ages, aged)

    def leave(self, claim: Claim) -> None:
        """A waiter starts, or goes away."""
        cell = claim.cell
        if cell is None:
            return
        if claim.entry is None:
            self.apart.pop(claim, None)
        else:
            self._step_out(claim, cell)
        claim.party.group.waiting -= 1
        claim.cell = None
        cell.size -= 1
        if not cell.size:
            self._close(cell)

    def set_apart(self, claim: Claim) -> None:
        """Takes a waiter out of the heap of its cell."""
        if claim.cell is not None and claim.entry is not None:
            self._step_out(claim, claim.cell)
        self.apart[claim] = None

    @staticmethod
    def _step_out(claim: Claim, cell: Cell) -> None:
        was_first = cell.represents is not None and cell.head() is claim.entry
        claim.entry = None
        if was_first and cell.represents is not None:
            cell.represents.retire(cell)

    def move(self, claim: Claim) -> None:
        """A waiter is alike to others than before: it changes cells without leaving the queue."""
        before = claim.cell
        if before is None or self._belongs(claim, before):
            return
        self.set_apart(claim)
        self.join(claim, before.demand)
        claim.party.group.waiting -= 1
        before.size -= 1
        if not before.size:
            self._close(before)

    # ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _belongs(self, claim: Claim, cell: Cell) -> bool:
        """Returns whether a waiter is where waiters of its kind belong; the demand never changes here."""
        return (
            cell.level.priority == claim.party.priority
            and cell.counted is _counted(claim)
            and cell.lone is self.seats.lone_of(claim)
        )

    def _special_cell(self, claim: Claim, asked: Demand, level: Level) -> Cell:
        """Returns the cell of a waiter that may borrow, or whose run has several ghosts."""
        group, parent, lone, counted = claim.party.group, claim.parent, self.seats.lone_of(claim), _counted(claim)
        if parent is None and lone is None and counted:
            cell = level.plain.get(group)
            if cell is None:
                cell = level.plain[group] = self._open(Cell(self.seats.number(), group, asked, level))
            return cell
        # a ghost may count on another of its run, so it is not like others that ask for the same
        key = (level, group, parent, lone, counted, claim.ghost is not None)
        cell = self._others.get(key)
        if cell is None:
            number = self.seats.number()
            cell = Cell(number, group, asked, level, parent=parent, lone=lone, counted=counted)
            self._keys[cell] = key
            self._others[key] = self._open(cell)
        return cell

    def _open_level(self, demand: Demand, priority: int) -> Level:
        """Somebody of this run priority waits with this demand from now on."""
        lines: list[Line] = []
        for limit, _ in demand.needs:
            crowd = Crowd.of(limit)
            if not demand.levels:
                crowd.demands[demand] = None
            line = crowd.lines.get(priority)
            if line is None:
                line = crowd.lines[priority] = Line(priority)
            lines.append(line)
        if not demand.levels:
            demand.hopeless = demand.judge()
            self.fresh.append(demand)
        level = demand.levels[priority] = Level(priority, lines)
        return level

    def _open(self, cell: Cell) -> Cell:
        cell.level.size += 1
        self.cells[cell] = None
        cell.demand.cells[cell] = None
        cell.group.cells[cell] = None
        for limit, _ in cell.demand.named:
            Crowd.of(limit).enter_group(cell.group)
        self.seats.take(cell)
        return cell

    def _close(self, cell: Cell) -> None:
        demand, group, level = cell.demand, cell.group, cell.level
        self.seats.give_up(cell)
        del self.cells[cell], demand.cells[cell], group.cells[cell]
        if level.plain.get(group) is cell:
            del level.plain[group]
        else:
            del self._others[self._keys.pop(cell)]
        for limit, _ in demand.named:
            Crowd.of(limit).leave_group(group)
        level.size -= 1
        if not level.size:
            self._close_level(demand, level)

    def _close_level(self, demand: Demand, level: Level) -> None:
        del demand.levels[level.priority]
        for limit, _ in demand.needs:
            line = Crowd.of(limit).lines[level.priority]
            line.levels -= 1
            if not line.levels:
                del Crowd.of(limit).lines[level.priority]
        if not demand.levels:
            self.seats.forget(demand)
            self._ledger.close(demand)
            for limit, _ in demand.needs:
                crowd = Crowd.of(limit)
                del crowd.demands[demand]
                if not crowd.demands:
                    limit.crowd = None
                    if limit.external:
                        limit.settle()

    # ── limits change ─────────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def rise(limits: Iterable[Limit]) -> None:
        """Units of these limits came back, or are kept for nobody any more: who slept on that wakes."""
        for limit in limits:
            crowd = limit.crowd
            if crowd is None:
                continue
            if crowd.hung:
                for band, need in tuple(crowd.hung.items()):
                    if crowd.available(band.view) >= need:
                        del crowd.hung[band]
                        band.unhang()
            if crowd.rooms:
                for room in tuple(crowd.rooms.values()):
                    room.open()

    @staticmethod
    def count(cell: Cell) -> None:
        """The waiters of a cell are counted again: it comes back to its lines."""
        entry, oldest = cell.head(), cell.oldest()
        if entry is not None and oldest is not None and eligible(cell):
            for line in cell.level.lines:
                heappush(line.front, entry)
                heappush(line.ages, (oldest.seq, cell.number, cell))

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

    @staticmethod
    def lower(cells: Iterable[Cell]) -> None:
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
        return [*[claim for cell in self.cells for claim in cell.standing()], *self.apart]

    def waiters_of(self, group: Group) -> list[Claim]:
        """Returns all of a group who wait; of a ghost, its run-level claim."""
        beside = [claim for claim in self.apart if claim.party.group is group]
        return [*[claim for cell in group.cells for claim in cell.standing()], *beside]


def _counted(claim: Claim) -> bool:
    """Returns whether a waiter is counted as far as ghosts are concerned."""
    return claim.ghost is None or not claim.ghost.overshadowed
