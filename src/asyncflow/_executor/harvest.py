"""Results are read off the dense lists of an execution; the record of an op is built when it is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncflow._executor import ending
from asyncflow._plan import MISSING
from asyncflow._scheduler import FAILED, STATUS, SUCCEEDED
from asyncflow.errors import OpSkipped, RunCanceled, RunFailed
from asyncflow.results import OpResult, OpResults, RunResult, RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution

NANOSECONDS = 1_000_000_000


def result_of(frame: Execution) -> RunResult[Any]:
    """Returns everything an execution left behind, its children's ops included."""
    run = frame.run
    status = ending.status_of(frame)
    frames = [frame]
    for part in frames:
        frames.extend(part.descendants)
    where: dict[str, tuple[Execution, int]] = {}
    for part in frames:
        for i, node in enumerate(part.nodes):
            if node.shown or part.status[i] == FAILED:
                where[part.key(i)] = (part, i)
        for i in part.unlisted:
            if part.status[i] == SUCCEEDED or part.plan.live:
                where.pop(part.key(i), None)
    return RunResult(
        run_id=run.id,
        graph=frame.plan.name,
        status=status,
        output=output_of(frame) if status is RunStatus.SUCCEEDED else None,
        errors=errors_of(frame),
        ops=OpResults(where, _record),
        waits=waits_of(frames, run.waited if frame is run.root else {}),
        queued_at=run.queued_at,
        started_at=frame.started_at,
        ended_at=frame.ended_at,
        reason=run.reason,
    )


def output_of(frame: Execution) -> Any:  # noqa: ANN401 — what the graph returned
    """Returns what the graph returned; None where that was skipped."""
    output = frame.plan.output
    if output < 0:
        return frame.plan.constant
    value = frame.values[output]
    return None if value is MISSING else value


def errors_of(frame: Execution) -> tuple[Exception, ...]:
    """Returns the exceptions that count, in the order in which the ops failed."""
    errors = [frame.errors[i] for i in frame.failed()]
    return tuple([error for error in errors if isinstance(error, Exception)])


def waits_of(frames: list[Execution], queued: Mapping[str, int]) -> Mapping[str, float]:
    """Returns the seconds waited for each limit, summed exactly in nanoseconds over ops and the run itself."""
    total: dict[str, int] = dict(queued)
    for frame in frames:
        for waits in frame.waited.values():
            for name, nanoseconds in waits.items():
                total[name] = total.get(name, 0) + nanoseconds
    return {name: nanoseconds / NANOSECONDS for name, nanoseconds in total.items() if nanoseconds}


def _record(place: tuple[Execution, int]) -> OpResult:
    frame, i = place
    cause = frame.blame.get(i)
    error = frame.errors.get(i if cause is None else cause)
    waits = {name: ns / NANOSECONDS for name, ns in frame.waited.get(i, {}).items()}
    return OpResult(
        key=frame.key(i),
        status=STATUS[frame.status[i]],
        error=error,
        cause=None if cause is None else frame.key(cause),
        attempts=0 if frame.started[i] is None else 1,
        ready_at=frame.ready_at[i],
        started_at=frame.started[i],
        ended_at=frame.ended[i],
        needs=frame.needs_of(i),
        waits=waits,
    )


def value_of(frame: Execution, *, single: bool) -> Any:  # noqa: ANN401 — what the graph or op returned
    """Returns what an execution gave, or raises what its caller must get.

    Args:
        frame: The execution, ended.
        single: True for an op run alone: its own exception is raised, as the plain call would.

    Raises:
        RunFailed: The ops that failed.
        RunCanceled: It was cancelled by somebody else.
        RunRejected: It was refused while it was queued.
        OpSkipped: The op that was run alone skipped itself.
    """
    run = frame.run
    if run.interrupt is not None:
        raise run.interrupt
    if run.rejection is not None:
        raise run.rejection
    status = ending.status_of(frame)
    if status is RunStatus.SUCCEEDED:
        if single and frame.status[frame.plan.output] != SUCCEEDED:
            raise OpSkipped(f"{frame.plan.name} skipped itself and has no value; `try_run` gives its status")
        return output_of(frame)
    if status is RunStatus.CANCELED:
        reason = run.reason
        raise RunCanceled(f"run {run.id} of {run.graph} was cancelled{f': {reason}' if reason else ''}", reason=reason)
    errors = errors_of(frame)
    if single:
        raise errors[0]
    result = result_of(frame)
    if frame.plan.live:
        raise RunFailed(f"{frame.plan.name}: its body raised {type(errors[0]).__name__}", errors, result)
    failed = [frame.key(i) for i in frame.failed()]
    names = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    raise RunFailed(f"{frame.plan.name}: {len(failed)} of {len(result.ops)} ops failed: {names}", errors, result)
