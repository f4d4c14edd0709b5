"""The crowd of a limit: everything the core keeps about those who wait for it.

It exists while somebody waits, so that a limit without waiters costs one comparison with None.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Group
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.band import Band, Lane
    from asyncflow._limits.gatherer import Gatherer
    from asyncflow._limits.ledger import Gate
    from asyncflow._limits.line import Line
    from asyncflow._limits.room import Room


class Crowd:
    """Those who wait for one limit.

    Attributes:
        limit: The limit.
        demands: The demands that ask for it and that somebody waits with.
        groups: The groups that wait for it, each with the number of its cells; for named limits.
        lines: By run priority, the starts counted against those who wait.
        hung: The bands that sleep until it has room, each with the units it needs.
        rooms: The cells parked at it, by lane and units needed.
        kept: What each gatherer reserves of it.
        readers: The gatherers whose reservations depend on it.
        gates: By amount, whether it is short for a need; for the ledger.
    """

    __slots__ = (
        "_floor",
        "_queued",
        "demands",
        "gates",
        "groups",
        "hung",
        "kept",
        "limit",
        "lines",
        "readers",
        "rooms",
    )

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.demands: dict[Demand, None] = {}
        self.groups: dict[Group, int] = {}
        self.lines: dict[int, Line] = {}
        self.hung: dict[Band, int] = {}
        self.rooms: dict[tuple[Lane, int], Room] = {}
        self.kept: dict[Gatherer, int] = {}
        self.readers: dict[Gatherer, None] = {}
        self.gates: dict[int, Gate] = {}
        self._floor: list[tuple[float, int, Group]] = []
        self._queued: set[Group] = set()

    @classmethod
    def of(cls, limit: Limit) -> Crowd:
        """Returns the crowd of a limit, made where nobody waited yet."""
        if limit.crowd is None:
            limit.crowd = cls(limit)
            limit.settle()
        return limit.crowd

    def available(self, view: int | None) -> int:
        """Returns the units that a waiter of run priority `view` may take; None ignores reservations."""
        room = self.limit.ceiling - self.limit.held
        if view is not None and self.kept:
            for gatherer, units in self.kept.items():
                if gatherer.priority >= view:
                    room -= units
        return room

    # ── service of the groups that wait ───────────────────────────────────────────────────────────────────────────

    def enter_group(self, group: Group) -> None:
        """One more cell of a group asks for the limit."""
        cells = self.groups.get(group)
        if cells is None:
            self.groups[group] = 1
            if group not in self._queued:
                self.weigh(group)
        else:
            self.groups[group] = cells + 1

    def leave_group(self, group: Group) -> None:
        """One cell less of a group asks for the limit."""
        left = self.groups[group] - 1
        if left:
            self.groups[group] = left
        else:
            del self.groups[group]

    def weigh(self, group: Group) -> None:
        """Notes the service of a group that waits here, when it begins to wait or its weight changed."""
        self._queued.add(group)
        heappush(self._floor, (group.stake(self.limit).service / group.weight, group.seq, group))

    def raise_service(self, group: Group) -> None:
        """A group begins to wait: its service is raised to the least of the others that wait, per weight."""
        least = self._least_service()
        if least is not None:
            stake = group.stake(self.limit)
            raised = int(int(least) * group.weight)
            if raised > stake.service:
                stake.service = raised
                group.untouched = False

    def _least_service(self) -> float | None:
        """Returns the smallest service per weight among the groups that wait here.

        Service only grows, so an entry that surfaces is either true or too small.
        """
        floor = self._floor
        while floor:
            value, _, group = floor[0]
            if group not in self.groups:
                heappop(floor)
                self._queued.discard(group)
                continue
            now = group.stake(self.limit).service / group.weight
            if now == value:
                return value
            heapreplace(floor, (now, group.seq, group))
        return None
