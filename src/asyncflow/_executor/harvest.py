"""Results are read off the dense lists of an execution; the record of an op is built when it is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncflow._executor import ending
from asyncflow._executor.record import NANOSECONDS, record_of
from asyncflow._plan import MISSING
from asyncflow._scheduler import FAILED, SUCCEEDED
from asyncflow.errors import OpSkipped, ResourceError, RunCanceled, RunFailed
from asyncflow.results import OpResult, OpResults, OpStatus, RunResult, RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution


def result_of(frame: Execution) -> RunResult[Any]:
    """Returns everything an execution left behind, its children's ops included."""
    run = frame.run
    status = ending.status_of(frame)
    frames = [frame]
    for part in frames:
        frames.extend(part.descendants)
    where: dict[str, OpResult | tuple[Execution, int]] = {}
    counts: Counter[tuple[str, OpStatus]] = Counter()
    for part in frames:
        for i, node in enumerate(part.nodes):
            if node.shown or part.status[i] == FAILED:
                where[part.key(i)] = (part, i)
        for i in part.unlisted:
            if part.status[i] == SUCCEEDED or part.plan.live:
                where.pop(part.key(i), None)
        for flow in part.streams.values():
            where.update(flow.records())
            counts.update(dict(flow.counts()))
    return RunResult(
        run_id=run.id,
        graph=frame.plan.name,
        status=status,
        output=output_of(frame) if status is RunStatus.SUCCEEDED else None,
        errors=errors_of(frame),
        ops=OpResults(where, _recorded),
        counts=by_key(counts),
        waits=waits_of(frames, run.waited if frame is run.root else {}),
        queued_at=run.queued_at,
        close_errors=close_errors_of(frame, frames),
        started_at=frame.started_at,
        ended_at=frame.ended_at,
        reason=run.reason,
        record=frame,
        attempts=run.attempt,
    )


def by_key(counts: Mapping[tuple[str, OpStatus], int]) -> Mapping[str, Mapping[OpStatus, int]]:
    """Returns how many ops of each key ended how."""
    found: dict[str, dict[OpStatus, int]] = {}
    for (key, status), number in counts.items():
        found.setdefault(key, {})[status] = number
    return found


def close_errors_of(frame: Execution, frames: list[Execution]) -> tuple[ResourceError, ...]:
    """Returns what providers raised while they closed resources: those of these executions' ops, then the run's."""
    run = frame.run
    errors = [error for part, error in run.close_errors if part in frames]
    if run.shelf is not None and frame is run.root:
        errors.extend(run.shelf.errors)
    return tuple(errors)


def output_of(frame: Execution) -> Any:  # noqa: ANN401 — what the graph returned
    """Returns what the graph returned; None where that was skipped."""
    output = frame.plan.output
    if output < 0:
        return frame.plan.constant
    value = frame.values[output]
    return None if value is MISSING else value


def errors_of(frame: Execution) -> tuple[Exception, ...]:
    """Returns the exceptions that count, in the order in which the ops failed."""
    errors = [error for _, error in frame.failed_ops()]
    if frame.overdue is not None:
        errors.insert(frame.failed_in_time, frame.overdue)
    return tuple([error for error in errors if isinstance(error, Exception)])


def waits_of(frames: list[Execution], queued: Mapping[str, int]) -> Mapping[str, float]:
    """Returns the seconds waited for each limit, summed exactly in nanoseconds over ops and the run itself."""
    return {name: ns / NANOSECONDS for name, ns in _summed(frames, queued).items() if ns}


def nanoseconds_waited(root: Execution, queued: Mapping[str, int]) -> Mapping[str, int]:
    """Returns what a run waited for until now, the ops of this attempt included."""
    frames = [root]
    for part in frames:
        frames.extend(part.descendants)
    return _summed(frames, queued)


def _summed(frames: list[Execution], queued: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = dict(queued)
    for frame in frames:
        earlier = [trial.waited for trial in frame.trials.values()]
        for waits in [*frame.waited.values(), *earlier]:
            for name, nanoseconds in waits.items():
                total[name] = total.get(name, 0) + nanoseconds
        for flow in frame.streams.values():
            for name, nanoseconds in flow.waits():
                total[name] = total.get(name, 0) + nanoseconds
    return total


def _recorded(place: OpResult | tuple[Execution, int]) -> OpResult:
    return place if isinstance(place, OpResult) else record_of(*place)


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
            why = frame.reasons.get(frame.plan.output)
            told_why = f" ({why})" if why else ""
            raise OpSkipped(f"{frame.plan.name} skipped itself{told_why} and has no value; `try_run` gives its status")
        return output_of(frame)
    if status is RunStatus.CANCELED:
        reason = run.reason
        raise RunCanceled(f"run {run.id} of {run.graph} was cancelled{f': {reason}' if reason else ''}", reason=reason)
    errors = errors_of(frame)
    if single:
        raise errors[0]
    result = result_of(frame)
    if frame.plan.live and frame.overdue is None:
        raise RunFailed(f"{frame.plan.name}: its body raised {type(errors[0]).__name__}", errors, result)
    failed = [key for key, _ in frame.failed_ops()]
    names = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    told = f"{len(failed)} of {len(result.ops)} ops failed" + (f": {names}" if names else "")
    late = "" if frame.overdue is None else "it took longer than its timeout; "
    raise RunFailed(f"{frame.plan.name}: {late}{told}", errors, result)
