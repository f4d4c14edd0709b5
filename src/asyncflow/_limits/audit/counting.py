"""Who has been passed too often: the two counters of bounded overtaking (reading R6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.audit.fitting import fit, reservations
from asyncflow._limits.audit.order import flat
from asyncflow._limits.audit.waiter import Limit, Waiter

if TYPE_CHECKING:
    from asyncflow._limits.audit.hall import Hall


def count_start(hall: Hall, starter: Waiter) -> None:
    """Counts a start, before it takes its units, against those it passes."""
    for limit, _ in starter.local:
        priorities = {waiter.priority for waiter in hall.waiting if waiter.asks(limit)}
        for priority in sorted(priorities, reverse=True):
            if priority >= starter.priority:
                count_for_first(hall, starter, limit, priority)
                count_for_oldest(hall, starter, limit, priority)


def eligible(hall: Hall, limit: Limit, priority: int) -> list[Waiter]:
    """Returns those of `priority` on `limit` that a start may pass."""
    return [
        waiter
        for waiter in hall.waiting
        if waiter.priority == priority
        and waiter.asks(limit)
        and waiter.earmark is None
        and waiter.dropped_in != hall.round
        and not waiter.gathers_with()
        and not waiter.hopeless
        and not hall.books.nested(waiter.main)
    ]


def count_for_first(hall: Hall, starter: Waiter, limit: Limit, priority: int) -> None:
    """Counter A: the first in order does not fit, and somebody else starts."""
    there = eligible(hall, limit, priority)
    if not there:
        return
    first = min(there, key=(lambda waiter: waiter.inside) if hall.fair else flat)
    if first is starter or fit(hall, first, reservations(hall)) is not None:
        return
    count = hall.passed_first.get((limit, priority), 0) + 1
    if count >= hall.max_overtakes:
        first.promoted = hall.number("promotion")
        count = 0
    hall.passed_first[limit, priority] = count


def count_for_oldest(hall: Hall, starter: Waiter, limit: Limit, priority: int) -> None:
    """Counter B: somebody else than the oldest of those that are not ripe yet starts."""
    there = [waiter for waiter in eligible(hall, limit, priority) if waiter not in hall.ripe]
    if not there:
        return
    oldest = min(there, key=lambda waiter: waiter.main.seq)
    if oldest is starter:
        return
    oldest.passed[limit] = oldest.passed.get(limit, 0) + 1
    if oldest.passed[limit] >= hall.max_overtakes:
        hall.ripe.append(oldest)


def promote_ripe(hall: Hall) -> None:
    """Whoever was passed often enough in the round that ends, and still waits, gathers."""
    for waiter in hall.ripe:
        if waiter in hall.waiting and waiter in eligible(hall, waiter.needs[0][0], waiter.priority):
            waiter.promoted = hall.number("promotion")
    hall.ripe = []
