"""The order of those who wait: classes of equal named needs, bands in them, lanes of groups, cells in those.

A *class* is a distinct vector of named needs. Inside a class shares and services are taken over the same limits, so
the order across groups and the order inside a group make one total order, and the best that fits is well defined.
Between classes they do not (A may stand before B before C before A); there the rule is a running minimum over the
classes in canonical order, which is why classes are looked at one by one. They are few.

A *band* is the part of a class that meets the same comparison at its named limits: one run priority, and the same
units needed (less where waiters may borrow). So if a named limit is short for one waiter of a band, it is short for
all, and the band sleeps, hung on that limit. A band of one cell hangs on a fine limit as well.

A *lane* is a group in a band: a heap of its awake cells. A band is a heap of lanes by `Group.standing`. A standing
only gets worse by itself (a start adds to share and turn, an end to service); what makes it better (an end gives
share back, a limit grows) marks the lane as `lowered`. So an entry that surfaces is true, or too good and put right,
and nothing is searched.

Rejected: one heap per distinct demand (10,000 keys make 10,000 heads to compare for each start); one global order
(shares over limits asked for admit none).
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush, heapreplace
from typing import TypeAlias

from asyncflow._limits.cell import Cell
from asyncflow._limits.choice import Choice
from asyncflow._limits.claim import Entry
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Needs
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.group import Group, Standing
from asyncflow._limits.limit import Limit
from asyncflow._limits.room import Room

BandKey: TypeAlias = tuple[int, bool, Needs]
"""(run priority, nested, units needed of the named limits)."""


class Lane:
    """A group in a band.

    Attributes:
        band: The band.
        group: The group; one for all where the core is not fair.
        number: Order of creation; ends ties in heaps.
        stakes: What the group has of the limits that the class asks for.
        size: How many cells belong to it, awake or parked.
        newest: The cell that came last.
        standing: As the band's heap knows it; None while no cell is awake.
        lowered: True where the standing may have become better than that.
    """

    __slots__ = ("_heap", "band", "group", "lowered", "newest", "number", "size", "stakes", "standing")

    def __init__(self, band: Band, group: Group, number: int) -> None:
        self.band = band
        self.group = group
        self.number = number
        self.stakes = [group.stake(limit) for limit in band.needs.limits]
        self.size = 0
        self.newest: Cell | None = None
        self.standing: Standing | None = None
        self.lowered = False
        self._heap: list[Entry] = []

    # ── cells come and go ─────────────────────────────────────────────────────────────────────────────────────────

    def take(self, cell: Cell) -> None:
        """A cell belongs here from now on, awake."""
        band = self.band
        self.size += 1
        band.size += 1
        if band.hung is not None and not band.hung.named:
            band.unhang()
        cell.lane = self
        self.newest = cell
        entry = cell.head()
        if entry is not None:
            self.push(cell, entry)

    def give_up(self, cell: Cell) -> None:
        """A cell belongs here no more."""
        cell.lane = None
        cell.room = None
        cell.queued = None
        if self.newest is cell:
            self.newest = None
        if cell.represents is not None:
            cell.represents.retire(cell)
        band = self.band
        self.size -= 1
        band.size -= 1
        if not self.size:
            self.standing = None
            del band.lanes[self.group], self.group.lanes[self]
            if not band.lanes:
                band.needs.remove(band)

    def push(self, cell: Cell, entry: Entry) -> None:
        """A cell is awake, and this is its first waiter."""
        cell.queued = entry
        heappush(self._heap, entry)
        if self.standing is None:
            self.band.push(self)

    def lower(self) -> None:
        """The group's standing may have become better; among others that matters."""
        if not self.lowered and len(self.band.lanes) > 1:
            self.lowered = True
            self.band.lowered.append(self)

    # ── who fits ──────────────────────────────────────────────────────────────────────────────────────────────────

    def best(self) -> tuple[Entry, Cell] | None:
        """Returns the first waiter that fits; cells that a fine limit blocks are parked on the way."""
        heap = self._heap
        view = self.band.view
        while heap:
            entry = heap[0]
            cell = entry[5]
            if cell.queued is not entry or cell.room is not None or cell.lane is not self:
                heappop(heap)
                continue
            head = cell.head()
            if head is not entry:
                if head is None:
                    heappop(heap)
                    cell.queued = None
                else:
                    cell.queued = head
                    heapreplace(heap, head)
                continue
            for limit, need in cell.fine:
                crowd = limit.crowd
                if limit.ceiling - limit.held < need or (
                    crowd is not None and crowd.kept and crowd.available(view) < need
                ):
                    if self.band.size == 1:
                        self.band.hang(limit, need)
                        return None
                    self._park(cell, heappop(heap), Crowd.of(limit), need)
                    break
            else:
                return entry, cell
        return None

    def _park(self, cell: Cell, entry: Entry, crowd: Crowd, need: int) -> None:
        room = crowd.rooms.get((self, need))
        if room is None:
            room = crowd.rooms[self, need] = Room(crowd, self, need)
        room.park(cell, entry)
        if cell.represents is not None:
            cell.represents.retire(cell)

    def cells(self) -> set[Cell]:
        """Returns its awake cells."""
        return {entry[5] for entry in self._heap if entry[5].lane is self}

    def __repr__(self) -> str:
        return f"<lane of {self.group.key!r}, {self.size} cells>"


class Band:
    """Waiters of one class that meet the same comparisons at named limits.

    Attributes:
        needs: The class it belongs to.
        key: What makes them alike.
        priority: Their run priority.
        view: The run priority whose reservations they respect; None where they respect none.
        named: The units needed of each named limit.
        lanes: By group.
        size: How many cells it has.
        awake: True while the class looks at it.
        hung: The limit it sleeps on.
        lowered: Lanes whose standing may have become better.
    """

    __slots__ = ("_heap", "awake", "hung", "key", "lanes", "lowered", "named", "needs", "priority", "size", "view")

    def __init__(self, needs: NeedClass, key: BandKey) -> None:
        self.needs = needs
        self.key = key
        self.priority, nested, self.named = key
        self.view = None if nested else self.priority
        self.lanes: dict[Group, Lane] = {}
        self.size = 0
        self.awake = False
        self.hung: Limit | None = None
        self.lowered: list[Lane] = []
        self._heap: list[tuple[Standing, int, Lane]] = []

    def push(self, lane: Lane) -> None:
        """A lane has awake cells: it takes its place, and the band wakes unless it is hung."""
        lane.standing = lane.group.standing(lane.stakes)
        heappush(self._heap, (lane.standing, lane.number, lane))
        if not self.awake and self.hung is None:
            self._wake()

    def _wake(self) -> None:
        self.awake = True
        self.needs.awake.append(self)
        self.needs.show()

    def hang(self, limit: Limit, need: int) -> None:
        """Sleeps until a limit has room for this need."""
        self.hung = limit
        Crowd.of(limit).hung[self] = need

    def unhang(self) -> None:
        """The limit has room, or is no longer short for all."""
        if self.hung is not None and self.hung.crowd is not None:
            self.hung.crowd.hung.pop(self, None)
        self.hung = None
        if not self.awake and self._heap:
            self._wake()

    def best(self) -> Choice | None:
        """Returns the first waiter that fits; None puts the band to sleep."""
        for limit, need in self.named:
            crowd = limit.crowd
            if limit.ceiling - limit.held < need or (
                crowd is not None and crowd.kept and crowd.available(self.view) < need
            ):
                self.hang(limit, need)
                return None
        if self.lowered:
            self._raise_lowered()
        heap = self._heap
        alone = len(self.lanes) == 1
        while heap:
            standing, tie, lane = heap[0]
            if lane.standing is not standing:
                heappop(heap)
                continue
            if not alone:
                now = lane.group.standing(lane.stakes)
                if now != standing:
                    lane.standing = now
                    heapreplace(heap, (now, tie, lane))
                    continue
            top = lane.best()
            if top is not None:
                entry, cell = top
                return Choice(entry, lane.group, lane.stakes, cell.nested, cell.demand.external)
            if self.hung is not None:
                return None
            lane.standing = None
            heappop(heap)
        return None

    def first(self, most: int) -> list[Lane]:
        """Returns all lanes of groups that ever had something, and the first of the others; changes nothing."""
        found = [lane for lane in self.lanes.values() if lane.standing is not None and not lane.group.untouched]
        heap, fresh = self._heap.copy(), dict[Lane, None]()
        while heap and len(fresh) < most:
            standing, tie, lane = heappop(heap)
            if lane.standing is None or lane in fresh or not lane.group.untouched:
                continue
            now = lane.group.standing(lane.stakes)
            if now == standing:
                fresh[lane] = None
            else:
                heappush(heap, (now, tie, lane))
        return [*found, *fresh]

    def _raise_lowered(self) -> None:
        for lane in self.lowered:
            lane.lowered = False
            if lane.standing is not None:
                lane.standing = lane.group.standing(lane.stakes)
                heappush(self._heap, (lane.standing, lane.number, lane))
        self.lowered.clear()

    def __repr__(self) -> str:
        state = f"hung on {self.hung.name}" if self.hung is not None else "awake" if self.awake else "asleep"
        return f"<band of priority {self.priority}, {self.size} cells, {state}>"


class NeedClass:
    """All waiters with one vector of named needs.

    Attributes:
        key: Its place in the canonical order of classes.
        limits: The named limits asked for.
        demands: How many demands of it somebody waits with.
        bands: By what makes their waiters alike.
        awake: The bands that may have somebody who fits.
        covered: The gatherers of this class whose needs are all covered.
        alone: Waiters, or cells of them, that are looked at one by one: they may borrow, and gather or ask elsewhere.
        board: The classes that rounds look at, in canonical order.
        listed: True while this one is among them.
    """

    __slots__ = ("alone", "awake", "bands", "board", "covered", "demands", "key", "limits", "listed")

    def __init__(self, needs: Needs, board: list[NeedClass]) -> None:
        self.board = board
        self.key = tuple([(limit.seq, amount) for limit, amount in needs])
        self.limits = tuple([limit for limit, _ in needs])
        self.demands = 0
        self.bands: dict[BandKey, Band] = {}
        self.awake: list[Band] = []
        self.covered: dict[Gatherer, None] = {}
        self.alone: dict[Cell | Gatherer, None] = {}
        self.listed = False

    @property
    def idle(self) -> bool:
        """True where nobody of this class could start now."""
        return not self.awake and not self.covered and not self.alone

    def show(self) -> None:
        """Somebody of this class may fit: rounds look at it."""
        if not self.listed:
            self.listed = True
            insort(self.board, self, key=_key)

    def remove(self, band: Band) -> None:
        """A band has nobody any more."""
        del self.bands[band.key]
        if band.awake:
            band.awake = False
            self.awake.remove(band)
        if band.hung is not None and band.hung.crowd is not None:
            band.hung.crowd.hung.pop(band, None)
            band.hung = None


def _key(needs: NeedClass) -> tuple[tuple[int, int], ...]:
    return needs.key
