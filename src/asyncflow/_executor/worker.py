"""Workers: tasks that run ops, one after another as long as none suspends.

Starting a task for each op costs more than all the rest of an op, and most ops of a graph that matter for overhead
never suspend. A worker therefore enters one cancel scope, decides a round if something came, and runs what was
admitted. The rule that makes reuse safe: an op that suspends keeps its worker to its end, and the worker ends with
it; a worker whose task or scope is not as it was before also ends. A suspension puts others to work, since admitted
ops must not wait for it. Ops are cancelled only through the worker's scope, never by `task.cancel()`, which would
break shielded clean-up.

Rejected: resuming an op in another task (anyio's scopes raise, `asyncio.timeout` never fires), a scope for each op
(three times the cost of an op).
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from anyio import CancelScope

from asyncflow._executor.deadline import start_deadline
from asyncflow._executor.ending import end_children
from asyncflow._executor.outcome import op_failed, op_succeeded
from asyncflow._executor.spawn import current_task
from asyncflow._executor.stepping import PLAIN, UNAWAITED, Suspended, carry, ended_early, first_step, unawaited
from asyncflow._executor.telling import tell_started
from asyncflow._scheduler import BLOCKED, RUNNING

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine

BURST_OPS: Final = 64
BURST_SECONDS: Final = 0.001


async def work(engine: Engine) -> None:
    """Runs what is admitted until an op suspends, the burst is over, or nothing is left."""
    clean = False
    try:
        if engine.spawning:
            await next_turn()
        engine.waking -= 1
        with CancelScope() as scope:
            suspended = run_burst(engine)
            if suspended is None:
                clean = True
                return
            engine.help_others()
            cancelled = await finish_op(engine, suspended, scope)
            clean = True
            if cancelled is not None:
                raise cancelled  # noqa: TRY301 — the scope takes a cancellation that was meant for the op
    except BaseException as error:
        if clean:  # the op's end is told; it left its task unfit (a scope open, a cancel pending), which ends with it
            return
        engine.crash(error)  # a defect, or a second Ctrl-C amid a decision: no run may hang on it
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise


@types.coroutine
def next_turn() -> Generator[None, None, None]:
    """Waits for the next turn of the loop."""
    yield


def run_burst(engine: Engine) -> Suspended | None:  # noqa: C901, PLR0912, PLR0915 — the hot loop; a call for each branch would cost a tenth of an op
    """Starts admitted ops until one suspends (it is returned), or the burst is over and another worker goes on."""
    starts = engine.starts
    observers = engine.observers
    clock = engine.clock
    task = current_task()
    now = clock()
    until = now + BURST_SECONDS
    budget = BURST_OPS
    while True:
        if not starts:
            if not engine.stale:
                return None
            engine.decide(now)
            if not starts:
                return None
        if not budget or now > until:
            engine.wake()
            return None
        budget -= 1
        claim = starts.popleft()
        frame, i = claim.owner
        if frame.claims[i] is not claim or frame.status[i] != BLOCKED:
            continue  # withdrawn between its admission and its start
        frame.status[i] = RUNNING
        frame.started[i] = now
        if claim.granted_at != claim.enqueued_at and claim.ghost is None:  # a ghost's wait was its run's
            frame.waited[i] = claim.waits()
        if observers.ops:
            tell_started(engine, frame, i, claim, now)
        context = frame.context.copy()
        try:
            coroutine, waiting_for = context.run(first_step, claim, frame, frame.nodes[i])
        except StopIteration as stop:
            now = clock()
            if frame.run.children and claim in frame.run.children:
                return Suspended(claim, ended_early(stop.value, None), None, context)
            value = stop.value
            if type(value) not in PLAIN and issubclass(type(value), UNAWAITED):
                op_failed(engine, claim, unawaited(f"{frame.run.graph}/{frame.key(i)}", value), now)
            else:
                op_succeeded(engine, claim, value, now)
        except BaseException as error:  # noqa: BLE001 — an op may raise anything; it is recorded and raised by the run
            now = clock()
            if frame.run.children and claim in frame.run.children:
                return Suspended(claim, ended_early(None, error), None, context)
            op_failed(engine, claim, error, now)
        else:
            return Suspended(claim, coroutine, waiting_for, context)
        if task.cancelling():  # the op cancelled the task it ran on: nobody else may run here
            if starts or engine.stale:
                engine.wake()
            return None


async def finish_op(engine: Engine, suspended: Suspended, scope: CancelScope) -> BaseException | None:
    """Carries an op that suspended to its end, together with the children its body left running.

    Returns:
        The cancellation that the scope delivered, to be raised inside the scope; None where there was none.
    """
    claim = suspended.claim
    frame, i = claim.owner
    run = frame.run
    run.scopes[claim] = scope
    run.suspended[claim] = suspended
    suspended.task = current_task()
    if frame.nodes[i].timeout is not None:
        run.deadlines[claim] = start_deadline(engine, claim, scope)
    if frame.closed:
        scope.cancel("the run is being cancelled")
    value: object = None
    error: BaseException | None = None
    try:
        value = await carry(suspended)
    except BaseException as raised:  # noqa: BLE001 — recorded below; a cancellation is raised again for the scope
        error = raised
    deadline = run.deadlines.get(claim) if run.deadlines else None
    if deadline is not None:
        deadline.body_ended(error, threaded=frame.nodes[i].threaded)
    try:
        if claim in run.children:
            await end_children(engine, claim, cancel=error is not None)
    except asyncio.CancelledError as late:
        error = late if error is None else error
    del run.scopes[claim], run.suspended[claim]
    failure, final = error, False
    if run.deadlines and (deadline := run.deadlines.pop(claim, None)) is not None:  # it may have come meanwhile
        failure, final = deadline.verdict(error), deadline.final
    now = engine.clock()
    if failure is None:
        op_succeeded(engine, claim, value, now)
    else:
        op_failed(engine, claim, failure, now, final=final)
    if engine.stale:
        engine.wake()
    return error if isinstance(error, asyncio.CancelledError) and scope.cancel_called else None
