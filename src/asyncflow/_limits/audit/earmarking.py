"""Waiters that need a remote grant too: their local part is set aside while the other side is asked (reading R16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.audit.fitting import Way
from asyncflow._limits.audit.order import pick
from asyncflow._limits.audit.waiter import Claim, Earmark, Limit, Waiter

if TYPE_CHECKING:
    from asyncflow._limits.audit.hall import Hall


def earmark(hall: Hall, waiter: Waiter) -> None:
    """Sets the local part of `waiter` aside."""
    waiter.span = waiter.span or hall.earmark_ns
    waiter.earmark = Earmark(hall.number("earmark"), hall.now + waiter.span)


def drop_earmark(hall: Hall, waiter: Waiter) -> None:
    """Ends an earmark; the next one is twice as long."""
    waiter.earmark = None
    waiter.span = min(2 * waiter.span, hall.earmark_cap_ns)


def drop_unfit(hall: Hall) -> list[Waiter]:
    """Keeps the earmarks that jointly fit, oldest first, and returns those it dropped."""
    taken: dict[Limit, int] = {}
    dropped: list[Waiter] = []
    for waiter in hall.earmarks():
        if waiter.hopeless or any(limit.free - taken.get(limit, 0) < amount for limit, amount in waiter.local):
            drop_earmark(hall, waiter)
            waiter.dropped_in = hall.round
            dropped.append(waiter)
        else:
            for limit, amount in waiter.local:
                taken[limit] = taken.get(limit, 0) + amount
    return dropped


def drop_wanted(hall: Hall) -> tuple[Waiter, tuple[Waiter, Way]] | None:
    """Drops the newest mature earmark without which somebody else fits; returns it and who that is."""
    for waiter in reversed(hall.earmarks()):
        mark = waiter.earmark
        if mark is not None and hall.now >= mark.until:
            before = waiter.dropped_in
            waiter.earmark, waiter.dropped_in = None, hall.round
            chosen = pick(hall)
            if chosen is not None:
                drop_earmark(hall, waiter)
                return waiter, chosen
            waiter.earmark, waiter.dropped_in = mark, before
    return None


def granted_to(hall: Hall, claim: Claim) -> Waiter | None:
    """Returns whom the remote grant of `claim`'s ticket starts: itself, or an earmarked waiter with equal needs."""
    marked = sorted(hall.earmarks(), key=lambda waiter: waiter.main.seq)
    for waiter in marked:
        if claim in waiter.parts:
            return waiter
    for waiter in marked:
        equal = len(waiter.parts) == 1 and waiter.main.demand.needs == claim.demand.needs
        if equal and waiter.priority >= claim.party.priority:
            return waiter
    return None
