"""How executions and runs end: completed, stopped, interrupted — each exactly once, with everything given back.

Stopping is one pass: what waits for inputs will never start, what waits for limits is withdrawn, what runs is
cancelled through the scope of its worker. The end comes when the last running op has ended; nothing is detached. An
op that still runs `cancel_grace` seconds later is reported, and what it holds stays counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyio import CancelScope

from asyncflow._executor.telling import heard
from asyncflow._executor.trial import stop_trials
from asyncflow._scheduler import CANCELED, RUNNING, WAITING
from asyncflow.errors import StalledError
from asyncflow.events import RunEnded, StuckOp
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.run_state import RunState
    from asyncflow._limits import Claim


def settle(engine: Engine, frame: Execution) -> None:
    """No op of the execution waits or runs: it is complete, or it stands still for a reason that must be told."""
    if frame.finished or frame.open:
        return
    if frame.left and not frame.closed:
        stuck = [node.key for node, state in zip(frame.nodes, frame.status, strict=True) if not state]
        error = StalledError(
            f"{frame.run.graph} stands still with {frame.left} nodes left and nothing that could wake them"
            f" ({', '.join(stuck[:5])}); this is a defect of asyncflow, please report it with the graph"
        )
        frame.fail(frame.status.find(WAITING), error)
        frame.close()
    if frame.parent is None and frame.run.shelf is not None and not shelf_closed(engine, frame):
        return
    if frame.parent is None and frame.run.options.retry is not None and tried_again(engine, frame):
        return
    if (frame.hooking or frame.run.record) and not heard(engine, frame, decided(frame)):
        return
    frame.finished = True
    frame.close_streams()
    frame.ended_at = engine.clock()
    if frame.timed:
        frame.close_times()
    run = frame.run
    run.executions.remove(frame)
    if frame.hooking is not None:
        frame.hooking.close()
    if not engine.broken:
        for limit in frame.own_limits():
            engine.core.drop(limit)
    if frame.parent is not None:
        siblings = run.children[frame.parent]
        siblings.remove(frame)
        if not siblings:
            del run.children[frame.parent]
    else:
        _finish_run(engine, run)
    frame.wake_waiters()


def tried_again(engine: Engine, root: Execution) -> bool:
    """Returns whether a run that failed goes on with another attempt, or will when the hooks of its ops have ended."""
    run = root.run
    if run.decided is not None or run.status is not RunStatus.RUNNING or not (root.has_failed() or root.overdue):
        return False
    if root.hooking is not None and root.hooking.busy:
        return True
    return engine.tried_again(root)


def shelf_closed(engine: Engine, frame: Execution) -> bool:
    """Returns whether the resources of a run are closed. Until they are, it has not ended: it is settled again then."""
    run = frame.run
    shelf = run.shelf
    if shelf is None or shelf.closed:
        return True
    if not shelf.closing:
        shelf.close(lambda: _resettle(engine, frame))
        if not frame.finished and frame.closed:  # the run was cancelled: closing has a grace of its own
            if run.grace is not None:
                run.grace.cancel()
            run.grace = engine.loop.call_later(engine.cancel_grace, _report_stuck, engine, run)
    return False


def _resettle(engine: Engine, frame: Execution) -> None:
    run = frame.run
    if run.interrupt is None and run.shelf is not None:
        run.interrupt = run.shelf.interrupt
    settle(engine, frame)


def decided(frame: Execution) -> RunStatus:
    """Decides once what an execution came to; its hooks are told, and nothing changes it any more."""
    if frame.parent is not None:
        return status_of(frame)
    run = frame.run
    if run.decided is None:
        run.decided = RunStatus.CANCELED
        if run.status is not RunStatus.CANCELING:
            failed = frame.has_failed() or frame.overdue or run.interrupt
            run.decided = RunStatus.FAILED if failed else RunStatus.SUCCEEDED
    return run.decided


def _finish_run(engine: Engine, run: RunState) -> None:
    run.ended_at = run.root.ended_at
    run.status = decided(run.root)
    if run.grace is not None:
        run.grace.cancel()
    del engine.runs[run.id]
    if run.conflict is not None:
        run.home.conflicts[run.conflict].remove(run)
        if not run.home.conflicts[run.conflict]:
            del run.home.conflicts[run.conflict]
    give_run_back(engine, run)
    if engine.observers.runs:
        engine.observers.tell(RunEnded(run.ended_at, run.id, run.graph, run.status))


def give_run_back(engine: Engine, run: RunState) -> None:
    """What a run holds as a whole goes back."""
    if run.grant is not None and not engine.broken:
        engine.buffers.pop(run, None)
        run.home.buffered.pop(run, None)
        engine.core.release(run.grant)
        run.grant = None
        engine.stale = True
        engine.wake()


def cancel(engine: Engine, run: RunState, reason: str | None) -> None:
    """Somebody wants the run to end. Idempotent; the first reason stays."""
    if run.status is RunStatus.QUEUED:
        if not pause_ended(engine, run):
            withdraw_run(engine, run)
    elif run.status is not RunStatus.RUNNING or run.decided is not None or timed_out(run.root):
        return
    run.status = RunStatus.CANCELING
    run.reason = reason
    stop(engine, run)


def timed_out(frame: Execution) -> bool:
    """Returns whether the time of an execution is over, in this very turn at the latest."""
    if frame.time is not None and not frame.closed:
        frame.time.stopped()
    return frame.overdue is not None


def leave_queue(engine: Engine, run: RunState) -> None:
    """A run is queued no more."""
    del run.home.queued[run.id]
    engine.waiting_specially -= 1
    run.ghosts = []
    if run.deadline is not None:
        run.deadline.cancel()
        run.deadline = None


def pause_ended(engine: Engine, run: RunState) -> bool:
    """Ends the delay of a run that was to be tried again; returns whether there was one."""
    if run.pause is None:
        return False
    run.pause.cancel()
    run.pause = None
    run.started_at = run.root.started_at = engine.clock()
    return True


def withdraw_run(engine: Engine, run: RunState) -> None:
    """A queued run will not start: its ghosts are taken back."""
    engine.tick()
    for claim in run.ghosts:
        engine.core.withdraw(claim)
    run.add_wait(run.ghosts[0])  # it waited once, whatever the number of ways in which it might have started
    leave_queue(engine, run)
    run.started_at = run.root.started_at = engine.clock()
    engine.stale = True
    engine.wake()


def interrupt(engine: Engine, run: RunState, error: BaseException) -> None:
    """An op raised KeyboardInterrupt or SystemExit: the run is cleaned up, and its caller gets it as itself."""
    if run.interrupt is None:
        run.interrupt = error
    stop(engine, run)


def stop(engine: Engine, run: RunState) -> None:
    """Stops all executions of a run: nothing new starts, what runs is cancelled."""
    for execution in tuple(run.executions):
        stop_execution(engine, execution)
    if run.executions and run.grace is None:
        run.grace = engine.loop.call_later(engine.cancel_grace, _report_stuck, engine, run)


def stop_execution(engine: Engine, frame: Execution) -> None:
    """Stops one execution."""
    if frame.closed or frame.finished:
        return
    frame.close()
    if frame.timed:
        frame.close_times()
    now = engine.tick()
    scopes: list[CancelScope] = []
    for i, claim in enumerate(frame.claims):
        if claim is None:
            continue
        if frame.status[i] == RUNNING:
            scope = frame.run.scopes.get(claim)
            if scope is not None:
                scopes.append(scope)
            if frame.run.deadlines and (deadline := frame.run.deadlines.get(claim)) is not None:
                deadline.run_stopped()
        else:
            withdraw(engine, frame, i, now)
    stop_trials(frame, now)
    for scope in scopes:
        scope.cancel("the run is being cancelled")
    for flow in frame.streams.values():
        for item in flow.items():
            stop_execution(engine, item)
    if engine.stale:
        engine.wake()
    settle(engine, frame)


def withdraw(engine: Engine, frame: Execution, i: int, now: float) -> None:
    """An op that waits, or was admitted and has not started, will not start."""
    withdrawn(engine, frame, i, now)
    frame.cancel(i)
    if frame.hooking is not None and i in frame.trials:
        frame.hooking.op_ended(i)


def withdrawn(engine: Engine, frame: Execution, i: int, now: float) -> None:
    """The claim of an op that waits, or was admitted and has not started, is taken back."""
    claim = frame.claims[i]
    if claim is None:
        return
    engine.core.withdraw(claim)
    engine.stale = True
    frame.claims[i] = None
    frame.open -= 1
    frame.ended[i] = now
    frame.waited[i] = claim.waits()


def give_up(engine: Engine, frame: Execution, error: BaseException) -> None:
    """A defect: ends an execution although its ops may still run, since nothing would end it otherwise."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        frame.run.interrupt = error
    elif frame.run.interrupt is None:
        defect = StalledError(f"{frame.run.graph} was given up after an internal error of asyncflow: {error!r:.200}")
        defect.__cause__ = error
        frame.run.interrupt = defect
    frame.close()
    pause_ended(engine, frame.run)
    for i, claim in enumerate(frame.claims):
        if claim is not None:
            frame.claims[i] = None
            frame.cancel(i)
    stop_trials(frame, engine.clock())
    for deadline in frame.run.deadlines.values():
        deadline.close()
    for scope in frame.run.scopes.values():
        scope.cancel("the run was given up after an internal error")
    frame.open = 0
    settle(engine, frame)


async def end_children(engine: Engine, claim: Claim, *, cancel: bool) -> None:
    """An op's body has ended before its children: waits for them, after cancelling them where the body raised."""
    frame, _ = claim.owner
    while children := frame.run.children.get(claim):  # tasks that the body left behind may start more
        child = children[0]
        if cancel:
            for other in tuple(children):
                stop_execution(engine, other)
        await outlast(engine, child)


async def wait(engine: Engine, frame: Execution) -> Execution:
    """Waits for the end of an execution. Whoever stops waiting by being cancelled stops the execution.

    Returns:
        The execution that ended: of a run that was tried again, the last one.
    """
    if frame.latest.finished:
        return frame.latest
    waiter = engine.loop.create_future()
    frame.latest.waiters.append(waiter)
    try:
        await waiter
    except GeneratorExit:  # the caller's coroutine is closed: it cannot wait any more
        stop_for_caller(engine, frame)
        raise
    except BaseException:
        stop_for_caller(engine, frame)
        if not left_to_parent(frame):
            await outlast(engine, frame, insist=frame.parent is None)
        raise
    return frame.latest


def left_to_parent(frame: Execution) -> bool:
    """Returns whether a child that is stopped is waited for by the end of its parent, and not by who awaits it.

    The parent is being cancelled, and a task that its body started awaits the child. The scope of the body delivers
    the cancellation in every turn until the body is through, and the body awaits that task: it would spin meanwhile.
    """
    if frame.parent is None or not frame.parent.owner[0].closed:
        return False
    suspended = frame.run.suspended.get(frame.parent)
    return suspended is not None and suspended.task is not asyncio.current_task()


def stop_for_caller(engine: Engine, frame: Execution) -> None:
    """Nobody waits for the execution any more: a run is cancelled, a child is stopped."""
    if frame.parent is None:
        cancel(engine, frame.run, "the caller was cancelled")
    else:
        stop_execution(engine, frame)


async def outlast(engine: Engine, frame: Execution, *, insist: bool = True) -> None:
    """Waits for the end of an execution whatever happens to the one who waits.

    Args:
        engine: Where it runs.
        frame: The execution.
        insist: False gives up at a further native cancellation, which passes shields. That is for children: the end of
            their parent waits for them in any case, and `asyncio.gather` in a cancelled scope cancels in every turn.
    """
    interrupted: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not frame.latest.finished:
            waiter = engine.loop.create_future()
            frame.latest.waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError as error:  # a native cancel passes shields; it is raised when all is back
                if not insist:
                    raise
                interrupted = error
    if interrupted is not None:
        raise interrupted


async def finish_all(engine: Engine, runs: Sequence[RunState], reason: str) -> None:
    """Waits for the ends of runs. Whoever stops waiting by being cancelled cancels them, and goes when all is back."""
    try:
        for run in runs:
            while not run.root.finished:
                waiter = engine.loop.create_future()
                run.root.waiters.append(waiter)
                await waiter
    except BaseException:
        for run in runs:
            cancel(engine, run, reason)
        for run in runs:
            with contextlib.suppress(asyncio.CancelledError):  # the first is raised again
                await outlast(engine, run.root)
        raise


def _report_stuck(engine: Engine, run: RunState) -> None:
    """The grace is over: tells which cancelled ops still run, and where they stand."""
    now = engine.clock()
    for execution in run.executions:
        for i, claim in enumerate(execution.claims):
            if claim is not None and execution.status[i] == RUNNING:
                event = StuckOp(now, run.id, run.graph, execution.key(i), engine.cancel_grace, execution.stack(i))
                engine.observers.warn(event)
    for supply in tuple(run.supplies.values()):
        supply.interrupt()
    if run.shelf is not None:
        run.shelf.interrupt_all()


def status_of(frame: Execution) -> RunStatus:
    """Returns how an execution ended; a child's own, not the run's."""
    if frame.parent is None:
        return frame.run.status
    if frame.overdue is not None or frame.has_failed():
        return RunStatus.FAILED
    return RunStatus.CANCELED if CANCELED in frame.status else RunStatus.SUCCEEDED
