"""The record of one op, built from the dense lists of its execution when somebody looks at it, or it must go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncflow._executor.trial import Trial, told
from asyncflow.results import Attempt, OpResult

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution

NANOSECONDS: Final = 1_000_000_000


def record_of(frame: Execution, i: int) -> OpResult:
    """Returns the record of one op."""
    cause = frame.blame.get(i)
    error = frame.errors.get(i if cause is None else cause)
    trial = frame.trials.get(i)
    started, failed = frame.started[i], 0
    tries: tuple[Attempt, ...] = ()
    waited = dict(frame.waited.get(i, {}))
    if trial is not None:
        started, tries, failed = trial.first, tries_of(frame, i, trial), trial.failed
        for name, nanoseconds in trial.waited.items():
            waited[name] = waited.get(name, 0) + nanoseconds
    waits = {name: ns / NANOSECONDS for name, ns in waited.items()}
    return OpResult(
        key=frame.key(i),
        status=frame.op_status(i),
        error=error,
        cause=None if cause is None else frame.cause_key(cause),
        attempts=failed + (frame.started[i] is not None),
        ready_at=frame.ready_at[i],
        started_at=started,
        ended_at=frame.ended[i],
        needs=frame.needs_of(i),
        waits=waits,
        tries=tries,
        reason=frame.reasons.get(i),
    )


def tries_of(frame: Execution, i: int, trial: Trial) -> tuple[Attempt, ...]:
    """Returns the attempts of an op, the last one included."""
    started, ended = frame.started[i], frame.ended[i]
    if started is None or ended is None:
        return tuple(trial.attempts)
    error = frame.errors.get(i)
    return (*trial.attempts, Attempt(started, ended, "" if error is None else told(error)))
