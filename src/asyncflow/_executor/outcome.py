"""How an op ends: everything it took goes back in one place, then its end is told to the frame.

Precedence where several things happen at once: done, then cancelled. An op that ends with a value although its run is
being cancelled did end; a CancelledError that nobody asked for is a failure of the op, never a cancelled run. Only what
an op raised as an Exception is tried again, and only while nobody stops the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from asyncflow._executor.ending import interrupt, settle, stop
from asyncflow._executor.retrying import tried_again
from asyncflow._executor.telling import tell_ended
from asyncflow._executor.traces import noted, trimmed
from asyncflow.errors import OpAborted, SelfCancelled, Skip, StreamError

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim
    from asyncflow._scheduler import Broken


def op_succeeded(engine: Engine, claim: Claim, value: object, now: float) -> None:
    """The op of `claim` gave `value`."""
    frame, i = claim.owner
    if frame.finished:
        return  # given up after a defect; nothing is left to tell
    frame.ended[i] = now  # what `give_back` does, without the call: most ops end here
    frame.claims[i] = None
    frame.open -= 1
    engine.core.release(claim)
    engine.stale = True
    frame.succeed(i, value)
    if frame.streams:
        reader_ended(frame, i)
    if frame.ready or frame.inline:
        engine.advance(frame, now)
    if engine.observers.ops:
        tell_ended(engine, frame, i, now)
    if not frame.open:
        settle(engine, frame)


def op_failed(engine: Engine, claim: Claim, error: BaseException, now: float, *, final: bool = False) -> None:
    """The op of `claim` raised `error`, or was cancelled; a `final` failure is not tried again."""
    frame, i = claim.owner
    if frame.finished:
        return  # given up after a defect; nothing is left to tell
    give_back(engine, frame, i, claim, now)
    kind = type(error)  # never `isinstance`: an exception may lie about its class, or raise when asked
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        frame.cancel(i)
        interrupt(engine, frame.run, error)
    elif issubclass(kind, asyncio.CancelledError) and frame.closed:
        frame.cancel(i)
    elif issubclass(kind, Skip):
        node_skipped(frame, i, error)
        engine.advance(frame, now)
    elif issubclass(kind, StreamError) and (broken := stream_that_broke(frame, i, error)) is not None:
        frame.abandon(i, broken.error)
        engine.advance(frame, now)
    else:
        failure = as_failure(frame.key(i), error)
        again = failure is error and not final and not frame.closed
        if again and tried_again(engine, frame, i, claim, failure, now):
            return
        node_failed(engine, frame, i, failure, now)
        engine.advance(frame, now)
    if frame.streams:
        reader_ended(frame, i)
    if engine.observers.ops:
        tell_ended(engine, frame, i, now)
    if not frame.open:
        settle(engine, frame)


def reader_ended(frame: Execution, i: int) -> None:
    """An op of an execution with streams ended: it may have been the last that took items of one."""
    for flow in frame.streams.values():
        flow.reader_ended(i)


def stream_that_broke(frame: Execution, i: int, error: BaseException) -> Broken | None:
    """Returns why the stream that op `i` reads ended, where that is what it raised."""
    for flow in frame.streams.values():
        for queue in flow.queues:
            if queue.reader == i and queue.broken is not None and error.__cause__ is queue.broken.error:
                flow.causes[i] = queue.broken.key
                return queue.broken
    return None


def give_back(engine: Engine, frame: Execution, i: int, claim: Claim, now: float) -> None:
    """Everything the op took goes back; the next round hands it on."""
    frame.ended[i] = now
    frame.claims[i] = None
    frame.open -= 1
    engine.core.release(claim)
    engine.stale = True


def node_failed(engine: Engine, frame: Execution, i: int, error: Exception, now: float) -> None:
    """A node failed: its dependents are abandoned; `fail_fast` stops the rest."""
    frame.ended[i] = now
    trimmed(error)
    trial = frame.trials.get(i) if frame.trials else None
    noted(error, f"asyncflow: op {frame.run.graph}/{frame.key(i)}, attempt {1 if trial is None else trial.failed + 1}")
    if trial is not None:
        for number, earlier in enumerate(trial.attempts, trial.failed + 1 - len(trial.attempts)):
            noted(error, f"asyncflow: attempt {number} failed with {earlier.error}")
    frame.fail(i, error)
    if frame.hooking is not None and frame.started[i] is not None:
        frame.hooking.op_ended(i)
    if frame.run.options.on_error == "fail_fast" and not frame.tolerated(i) and frame.outermost is frame.run.root:
        stop(engine, frame.run)


def node_skipped(frame: Execution, i: int, skip: BaseException) -> None:
    """A node has nothing to give: its dependents skip, as far as they need it."""
    reason = getattr(skip, "reason", "")
    if reason:
        frame.reasons[i] = str(reason)
    frame.skip(i)


def as_failure(key: str, error: BaseException) -> Exception:
    """Returns what the run reports: the op's own exception, or an error that names one that cannot be reported."""
    if issubclass(type(error), Exception):
        return cast("Exception", error)
    if issubclass(type(error), asyncio.CancelledError):
        failure: Exception = SelfCancelled(
            f"{key} raised CancelledError although nobody cancelled it; to end a run, call `run.cancel(reason)`"
        )
    else:
        failure = OpAborted(f"{key} raised {type(error).__name__}, which is not an Exception")
    failure.__cause__ = error
    return failure
