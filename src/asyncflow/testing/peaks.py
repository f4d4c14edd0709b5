"""What a run held at most, read off its result."""

from __future__ import annotations

from typing import Any

from asyncflow.results import RunResult


def peak(result: RunResult[Any], *, pool: str | None = None) -> int:
    """Returns the most slots of a limit that the ops of a run held at once, or the most ops that ran at once.

    Args:
        result: What `try_run` gave.
        pool: The name of a pool, or of any other limit as `OpResult.needs` has it; a pool's name counts its keys
            once. None counts ops.

    >>> peak(result, pool="db")  # doctest: +SKIP
    2
    """
    changes: list[tuple[float, int, int]] = []
    for record in result.ops.values():
        if record.started_at is None or record.ended_at is None:
            continue
        amount = 1 if pool is None else record.needs.get(pool, 0)
        if amount and record.ended_at > record.started_at:
            changes.append((record.started_at, 1, amount))
            changes.append((record.ended_at, 0, -amount))
    held = most = 0
    for _, _, amount in sorted(changes):
        held += amount
        most = max(most, held)
    return most
