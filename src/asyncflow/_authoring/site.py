"""Sites: where the next node will stand, and what is known of the items of an `each` that were wired."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Site:
    """Where new nodes stand. Never changed (not a frozen dataclass: those cost four times as much to make).

    Args:
        scope: The scope.
        prefix: What keys begin with.
        after: Ids that the roots of this site start after.
        start: The first id of what `after` holds for.
        gate: The gate of the branch, or -1.
        settled: The OUTCOME node that tolerates failures, or -1.
        stage: How many `each` stages lie before.
        lead: The first node of the item's chain, or -1.
    """

    scope: int = 0
    prefix: str = ""
    after: tuple[int, ...] = ()
    start: int = 0
    gate: int = -1
    settled: int = -1
    stage: int = 0
    lead: int = -1


@dataclass(frozen=True, slots=True)
class Items:
    """The items of an `each` that were wired one by one: results, names, first node of each chain, stages before."""

    results: tuple[int, ...]
    names: tuple[str, ...]
    leads: tuple[int, ...]
    stage: int
