"""Trying a run again: a new attempt of the same run, which goes on where the last one failed.

Between two attempts the run holds nothing: its place, tags and pools are back, it is QUEUED, and after the delay it
waits for admission with the age it always had. Whoever waits for the run waits for its last attempt. What succeeded is
not run again. A run that was cancelled, interrupted or refused is never tried again, nor is one that would have to be
with another plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor.demands import resolve
from asyncflow._executor.ending import give_run_back
from asyncflow._executor.execution import Execution
from asyncflow._executor.harvest import errors_of, nanoseconds_waited
from asyncflow._executor.hooking import watch
from asyncflow._executor.resuming import go_on
from asyncflow._executor.run_queue import submit
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._executor.traces import noted
from asyncflow._executor.trial import told
from asyncflow.errors import DemandError
from asyncflow.events import RunRetried
from asyncflow.results import RunStatus
from asyncflow.retry import Retry, run_delay

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.run_state import RunState


def run_tried_again(engine: Engine, old: Execution, policy: Retry) -> bool:
    """Lets a run of which nothing runs any more be tried again, where it failed; False where it has ended."""
    run = old.run
    errors = errors_of(old)
    if engine.broken or run.status is not RunStatus.RUNNING or run.interrupt is not None or not errors:
        return False
    try:
        delay = old.context.copy().run(run_delay, policy, errors, run.attempt, engine.random.uniform)
        new = None if delay is None else _next_root(engine, old)
    except (Exception, GeneratorExit) as defect:  # noqa: BLE001 — functions of a policy may raise anything
        noted(errors[0], f"asyncflow: the run was not tried again, since {told(defect)}")
        return False
    if delay is None or new is None:
        return False
    now = engine.clock()
    _leave(engine, old, now)
    failed, run.attempt = run.attempt, run.attempt + 1
    run.status = RunStatus.QUEUED
    run.queued_at = now
    run.root = new
    if run.shelf is not None:
        run.close_errors.extend([(new, error) for error in run.shelf.errors])
        run.shelf = None
    run.limits = new.scope_limits[0] or run.limits
    run.executions.append(new)
    new.waiters, old.waiters = old.waiters, []
    watch(engine, new, run.options.hooks, run.home.hooks)
    go_on(new, old if old.past is None else old.past.again(old), old.inputs)
    if engine.observers.runs:
        kinds = tuple(dict.fromkeys([type(error).__name__ for error in errors]))
        engine.observers.tell(RunRetried(now, run.id, run.graph, failed, delay, kinds))
    if new.hooking is not None:
        new.hooking.told(RunStatus.QUEUED, errors, attempt=failed, delay=delay)
    run.pause = engine.loop.call_later(delay, _try_again, engine, run)
    return True


def _next_root(engine: Engine, old: Execution) -> Execution:
    """Returns the execution of the next attempt, not begun, under the limits of the run as they are now.

    Raises:
        DemandError: where an op of it asks for more than a limit can give by now.
    """
    run = old.run
    cap = None if run.limits.cap is None else run.limits.cap.capacity
    limits = ScopeLimits.of(engine.core, None, max_concurrent=cap, rules=run.limits.rules, path="")
    new = type(old)(old.plan, run, context=old.context, parent=None, order=(), prefix="", limits=limits)
    new.default_retry = old.default_retry
    new.inputs = old.inputs
    try:
        resolve(engine, new)
    except DemandError:
        for limit in new.own_limits():
            engine.core.drop(limit)
        raise
    return new


def _leave(engine: Engine, old: Execution, now: float) -> None:
    """An attempt has ended: everything it had as a whole goes back."""
    run = old.run
    old.finished = True
    old.ended_at = now
    old.close_times()
    old.close_streams()
    if old.hooking is not None:
        old.hooking.close()
    run.executions.remove(old)
    if run.grace is not None:
        run.grace.cancel()
        run.grace = None
    run.waited = nanoseconds_waited(old, run.waited)
    give_run_back(engine, run)
    for limit in old.own_limits():
        engine.core.drop(limit)


def _try_again(engine: Engine, run: RunState) -> None:
    """The delay of a run is over: it asks to be admitted again."""
    if run.pause is None:
        return
    run.pause = None
    try:
        submit(engine, run, again=True)
    except BaseException as error:  # noqa: BLE001 — nothing refuses a run that comes again: a defect
        engine.crash(error)
