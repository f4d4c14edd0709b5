"""What the core shows of itself (snapshots and explanations) against what follows from the model's lists."""

from __future__ import annotations

from typing import Any

from asyncflow._limits.audit import Hall, Waiter
from asyncflow._limits.audit.fitting import reservations, respected
from tests._limits.pair import DifferenceError, Pair


def compare_views(pair: Pair, *, explained: bool) -> None:
    """Compares the snapshot, which limits are short for whom and, where `explained`, why the newest waiter waits.

    Raises:
        DifferenceError: with what differs.
    """
    model, core = pair.model, pair.core
    snapshot = core.admission.snapshot()
    hall: Hall = model.admission.hall
    for place, (limit, view) in enumerate(zip(model.limits, snapshot.limits, strict=True)):
        books = hall.books
        holders = [
            (claim.owner, books.owned(claim, limit), books.borrowed(claim, limit), claim.granted_at)
            for claim in books.own
            if books.owned(claim, limit) or books.borrowed(claim, limit)
        ]
        waiters = [
            (waiter.main.owner, amount, waiter.main.enqueued_at)
            for waiter in hall.waiting
            for one, amount in waiter.needs
            if one is limit
        ]
        same(f"holders of l{place}", holders, [(h.owner, h.amount, h.borrowed, h.since) for h in view.holders])
        seen = [(waiter.owner, waiter.amount, waiter.since) for waiter in view.waiters]
        same(f"waiters for l{place}", sorted(waiters, key=str), sorted(seen, key=str))
        facts = (limit.capacity, limit.held, limit.reserved, limit.debt, limit.paused, limit.named)
        same(f"l{place}", facts, (view.capacity, view.held, view.reserved, view.debt, view.paused, view.named))
    for waiter in hall.waiting:
        claim = core.claims[model.number(waiter.main)]
        expected = blockers(hall, waiter)
        local = [limit.name for limit in core.admission.short_limits(claim) if not limit.external]
        same(f"limits short for {waiter}", [name for name, _, _ in expected], local)
        if explained and waiter is hall.waiting[-1]:
            external = {limit.name for limit, _ in waiter.remote}
            told = core.admission.explain(claim).blockers
            seen_by = [(one.limit, one.needed, one.free) for one in told if one.limit not in external]
            same(f"blockers of {waiter}", expected, seen_by)


def blockers(hall: Hall, waiter: Waiter) -> list[tuple[str, int, int]]:
    """The local limits short for a waiter: what it needs of each, and what it could have."""
    if waiter.earmark is not None:
        return []
    nested = hall.books.nested(waiter.main)
    table = reservations(hall)
    out: list[tuple[str, int, int]] = []
    for limit, amount in waiter.local:
        if nested:
            available = hall.usable(limit) + sum(
                hall.books.lendable(source, limit) for source in hall.books.sources(waiter.main)
            )
        else:
            available = max(0, hall.usable(limit) - respected(waiter, limit, table))
        if available < amount:
            out.append((limit.name, amount, available))
    return out


def same(what: str, expected: Any, actual: Any) -> None:
    """Raises unless both are equal."""
    if expected != actual:
        raise DifferenceError(f"{what}:\n  model {expected}\n  core  {actual}")
