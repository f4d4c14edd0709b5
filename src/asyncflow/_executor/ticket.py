"""A ticket: what one claim of the core asks of a backend, and who has what it gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncflow._limits import Claim, Limit
from asyncflow.pools import Need

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncflow._limits import Demand


@dataclass(slots=True, eq=False)
class Ticket:
    """What one claim asks of a backend.

    Attributes:
        id: What the agent calls it.
        claim: Who asked; another alike may start by its grant.
        began: The loop's time at which it was first asked for.
        granted: True from the backend's grant on.
        fences: By pool; grows with every grant of that pool.
        parts: By pool, the claims that have it: the one that started by it, and those to whom it lent units that they
            still had when it ended.
        lost: The loop's time at which its lease was lost.
        why: How.
    """

    id: str
    claim: Claim
    began: float
    granted: bool = False
    fences: dict[str, int] = field(default_factory=dict[str, int])
    parts: dict[str, dict[Claim, None]] = field(default_factory=dict[str, dict[Claim, None]])
    lost: float | None = None
    why: str = ""


def needs_of(demand: Demand) -> tuple[Need, ...]:
    """Returns what a demand asks of a backend: the units of each pool, and of each key in it."""
    amounts: dict[tuple[str, str | None], int] = {}
    for limit, amount in demand.remote:
        pool, key = place_of(limit)
        amounts[pool, key] = amounts.get((pool, key), 0) + amount
    keyed: dict[str, int] = {}
    for (pool, key), amount in amounts.items():
        if key is not None:
            keyed[pool] = keyed.get(pool, 0) + amount
    needs = [Need(pool, amount, key) for (pool, key), amount in amounts.items() if key is not None]
    for (pool, key), amount in amounts.items():
        if key is None and amount > keyed.get(pool, 0):  # the rest of a pool is asked for without a key
            needs.append(Need(pool, amount - keyed.get(pool, 0)))
    return tuple(needs)


def place_of(limit: Limit) -> tuple[str, str | None]:
    """Returns the pool, and the key in it, that a limit stands for."""
    if limit.name.startswith("@"):
        return limit.name, None
    pool, colon, key = limit.name.partition(":")
    return pool, key if colon else None


def pools_of(limits: Iterable[Limit]) -> set[str]:
    """Returns the pools of those limits that a backend grants."""
    return {place_of(limit)[0] for limit in limits if limit.external}
