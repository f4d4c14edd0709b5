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
        once = ((record.started_at, record.ended_at),)
        for start, end in [(one.started_at, one.ended_at) for one in record.tries] or once:
            if amount and end > start:
                changes.append((start, 1, amount))
                changes.append((end, 0, -amount))
    held = most = 0
    for _, _, amount in sorted(changes):
        held += amount
        most = max(most, held)
    return most
