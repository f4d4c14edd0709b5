"""Does it fit now, and what do gatherers keep from it (ADMISSION: gathering, borrowing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.audit.waiter import Limit, Loan, Waiter

if TYPE_CHECKING:
    from asyncflow._limits.audit.hall import Hall

Table: TypeAlias = list[tuple[Waiter, dict[Limit, int]]]
"""What each gatherer reserves, in the order of gatherers."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a waiter fits now: units of its own, loans, and whether that only earmarks it."""

    own: dict[Limit, int]
    loans: list[Loan]
    earmark: bool = False


def fit(hall: Hall, waiter: Waiter, table: Table) -> Way | None:
    """Returns how `waiter` could start, or be earmarked, now; None if it cannot."""
    if waiter.earmark is not None or waiter.dropped_in == hall.round:
        return None
    nested = hall.books.nested(waiter.main)
    if nested:
        way = fit_by_borrowing(hall, waiter)
        if way is not None or not waiter.remote:
            return way
    for limit, amount in waiter.local:
        kept = 0 if nested else respected(waiter, limit, table)
        if hall.usable(limit) - kept < amount:
            return None
    if not all(may_ask(hall, limit, amount) for limit, amount in waiter.remote):
        return None
    return Way(own=dict(waiter.needs), loans=[], earmark=bool(waiter.remote))


def fit_by_borrowing(hall: Hall, waiter: Waiter) -> Way | None:
    """Returns how it fits as a descendant: own units as far as there are, the rest borrowed, reservations ignored."""
    own: dict[Limit, int] = {}
    loans: list[Loan] = []
    sources = hall.books.sources(waiter.main)
    for limit, amount in waiter.needs:
        own[limit] = 0 if limit.external else min(amount, hall.usable(limit))
        borrowed = hall.books.borrow(waiter.main, limit, amount - own[limit], sources)
        if borrowed is None:
            return None
        loans += borrowed
    return Way(own=own, loans=loans)


def may_ask(hall: Hall, limit: Limit, amount: int) -> bool:
    """Says whether a remote pool may be asked for more: limit + 2 units waiting, and always for the first."""
    asked = hall.earmarked(limit)
    if limit.paused:
        return False
    return limit.capacity is None or (amount <= limit.capacity and (not asked or asked + amount <= limit.capacity + 2))


def respected(waiter: Waiter, limit: Limit, table: Table) -> int:
    """Returns the units of `limit` reserved by gatherers whom `waiter` must respect.

    A gatherer ignores itself and those after it; any other waiter ignores gatherers of lower priority.
    """
    total = 0
    for gatherer, units in table:
        if gatherer is waiter:
            break
        if waiter.promoted is not None or gatherer.priority >= waiter.priority:
            total += units.get(limit, 0)
    return total


def gatherers(hall: Hall) -> list[Waiter]:
    """Returns who gathers, by priority and then by when it was promoted."""
    gathering = [waiter for waiter in hall.waiting if waiter.promoted is not None]
    return sorted(gathering, key=lambda waiter: (-waiter.priority, waiter.promoted))


def reservations(hall: Hall) -> Table:
    """Returns what each gatherer reserves, up to and with the first need it cannot cover.

    Needs go scarcest first; those of a queued run as a whole before those of its root.
    """
    table: Table = []
    for waiter in gatherers(hall):
        units: dict[Limit, int] = {}
        remote = waiter.earmark is not None or waiter.dropped_in == hall.round
        if not (remote or waiter.hopeless or hall.books.nested(waiter.main)):
            whole = {limit for limit, _ in waiter.main.demand.needs} if len(waiter.parts) > 1 else set[Limit]()
            for limit, amount in sorted(waiter.local, key=lambda need: (need[0] not in whole, *scarcity(need))):
                available = hall.usable(limit) - sum(other.get(limit, 0) for _, other in table)
                units[limit] = min(amount, max(0, available))
                if units[limit] < amount:
                    break
        table.append((waiter, units))
    return table


def scarcity(need: tuple[Limit, int]) -> tuple[float, int]:
    """Returns the key by which the scarcest need comes first: the largest part of a limit."""
    limit, amount = need
    return -(amount / limit.capacity) if limit.capacity else 0.0, limit.seq
