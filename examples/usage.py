"""What a run made of its limits, read from its timeline: the peak of each, and how much of it was in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncflow import OpResult, RunResult


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of one limit.

    Args:
        limit: Its name.
        peak: The most units held at any instant.
        held: Units held × seconds, summed.
        waited: Seconds that ops were blocked because of it, summed over ops.
    """

    limit: str
    peak: int
    held: float
    waited: float

    def share(self, capacity: int | None, seconds: float) -> float | None:
        """Returns the part of the capacity that was in use over the run; None where there is no such number."""
        if not capacity or seconds <= 0:
            return None
        return self.held / (capacity * seconds)


def usage(result: RunResult[Any]) -> Mapping[str, Usage]:
    """Returns the use of every limit that an op of the run asked for, by name."""
    names: dict[str, None] = {}
    held: dict[str, float] = {}
    for op in result.timeline:
        for limit, amount in op.needs.items():
            names[limit] = None
            held[limit] = held.get(limit, 0.0) + amount * op.seconds
    peaks = {limit: peak(result.timeline, limit) for limit in names}
    return {
        limit: Usage(limit, peak=peaks[limit], held=held[limit], waited=result.waits.get(limit, 0.0)) for limit in names
    }


def peak(timeline: Iterable[OpResult], limit: str) -> int:
    """Returns the most units of `limit` held at once. What ends at an instant is back before what starts at it."""
    changes: list[tuple[float, int]] = []
    for op in timeline:
        amount = op.needs.get(limit, 0)
        if amount and op.started_at is not None and op.ended_at is not None:
            changes.append((op.started_at, amount))
            changes.append((op.ended_at, -amount))
    highest = now = 0
    for _, change in sorted(changes):  # at one instant, the negative changes sort first
        now += change
        highest = max(highest, now)
    return highest
