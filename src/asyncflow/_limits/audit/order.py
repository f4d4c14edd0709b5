"""Who is next: across groups by share, service and turn; inside a group by arrival, order and age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncflow._limits.audit.fitting import Way, fit, reservations
from asyncflow._limits.audit.waiter import Group, Limit, Waiter

if TYPE_CHECKING:
    from asyncflow._limits.audit.hall import Hall


def pick(hall: Hall) -> tuple[Waiter, Way] | None:
    """Returns the next to start: the best of each class, then a running minimum over the classes in their order."""
    table = reservations(hall)
    ways = {waiter: way for waiter in hall.waiting if (way := fit(hall, waiter, table)) is not None}
    if not ways:
        return None
    if not hall.fair:
        best = min(ways, key=flat)
        return best, ways[best]
    classes: dict[tuple[tuple[int, int], ...], list[Waiter]] = {}
    for waiter in ways:
        vector = tuple((limit.seq, amount) for limit, amount in waiter.needs if limit.named)
        classes.setdefault(vector, []).append(waiter)
    bests = [min(classes[vector], key=lambda one: (across(hall, one), one.inside)) for vector in sorted(classes)]
    best = bests[0]
    for other in bests[1:]:
        if earlier(hall, other, best):
            best = other
    return best, ways[best]


def earlier(hall: Hall, one: Waiter, other: Waiter) -> bool:
    """Says whether `one` comes before `other`: inside their group if they share it, else across groups."""
    if one.group is other.group:
        return one.inside < other.inside
    return across(hall, one) < across(hall, other)


def across(hall: Hall, waiter: Waiter) -> tuple[Any, ...]:
    """Returns the key across groups: share and service are over the limits that this waiter asks for."""
    group, weight = waiter.group, waiter.group.weight
    counted = [(limit, limit.capacity) for limit, _ in waiter.needs if limit.named and limit.capacity]
    share = max((held_by(hall, group, limit) / capacity / weight for limit, capacity in counted), default=0.0)
    service = max((group.service.get(limit, 0) / capacity / weight for limit, capacity in counted), default=0.0)
    return -waiter.priority, share, service, group.turn, group.seq


def flat(waiter: Waiter) -> tuple[Any, ...]:
    """Returns the key where groups do not count, as behind a pool backend."""
    return -waiter.priority, waiter.main.order, waiter.main.age


def held_by(hall: Hall, group: Group, limit: Limit) -> int:
    """Returns what the grants of a group own of a limit."""
    return sum(own.get(limit, 0) for claim, own in hall.books.own.items() if claim.party.group is group)
