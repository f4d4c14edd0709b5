"""Trying again: a failed op gives everything back, waits, and asks again in its old place in order.

Its policy is its own, else that of the innermost graph around it that has one, else that of the run; an op that a
running op runs as a child has that of the op's graph. What `on` or `retry_after` raise ends the trial: the op fails
with its own exception, which says so in a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor.ending import interrupt
from asyncflow._executor.traces import noted
from asyncflow._executor.trial import Trial, told
from asyncflow._limits import ReturnedClaim
from asyncflow._scheduler import BLOCKED, RETRYING
from asyncflow.errors import ConfigurationError
from asyncflow.events import OpRetried
from asyncflow.results import Attempt
from asyncflow.retry import Retry, RetryRequested, next_delay

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim


def tried_again(engine: Engine, frame: Execution, i: int, claim: Claim, error: Exception, now: float) -> bool:
    """Lets an op that failed, and gave everything back, be tried again; False where it has failed for good."""
    node = frame.nodes[i]
    if node.graph is not None:  # the body of a graph: its ops are tried again, it is not
        return False
    own = None if node.op is None else node.op.options.retry
    policy = frame.op_retry(node.scope) if own is None else own
    if policy is None and not issubclass(type(error), RetryRequested):
        return False
    if frame.streams and (gone := items_gone(frame, i)):
        noted(error, f"asyncflow: it was not tried again, since {gone}")
        return False
    trial = frame.trials.get(i)
    failed = 1 if trial is None else trial.failed + 1
    delay = delay_after(engine, frame, policy, error, failed)
    if delay is None:
        return False
    if trial is None:
        trial = frame.trials[i] = Trial(claim)
    trial.earlier = claim
    started = frame.started[i]
    began = now if started is None else started
    trial.first = began if trial.first is None else trial.first
    trial.note(Attempt(began, now, told(error)), frame.waited.pop(i, {}))
    frame.started[i] = frame.ended[i] = None
    frame.retry(i)
    frame.open += 1
    if engine.observers.runs:
        run = frame.run
        kind = type(error).__name__
        engine.observers.tell(OpRetried(now, run.id, run.graph, frame.key(i), failed, delay, kind))
    trial.until = now + delay
    if frame.hooking is not None:
        trial.error = error
        frame.hooking.op_ended(i, delay=delay)
        trial.error = None
    if delay > 0:
        trial.timer = engine.loop.call_at(trial.until, try_again, engine, frame, i)
    else:
        try_again(engine, frame, i)
    return True


def items_gone(frame: Execution, i: int) -> str:
    """Returns why an op of a stream cannot be tried again: what it gave or read is gone; empty where it can."""
    for flow in frame.streams.values():
        if flow.source == i and flow.produced:
            return f"{flow.produced} of its items were taken"
        for queue in flow.queues:
            if queue.reader == i and queue.taken:
                return f"it has read {queue.taken} results of its stream"
    return ""


def delay_after(engine: Engine, frame: Execution, policy: Retry | None, error: Exception, failed: int) -> float | None:
    """Returns the seconds until the next attempt, or None where there is none."""
    try:
        delay: float | None = frame.context.copy().run(next_delay, policy, error, failed, engine.random.uniform)
    except (KeyboardInterrupt, SystemExit) as interruption:
        interrupt(engine, frame.run, interruption)
        return None
    except BaseException as defect:  # noqa: BLE001 — functions of a policy may raise anything; the op's own error stands
        noted(error, f"asyncflow: it was not tried again, since its retry policy raised {told(defect)}")
        return None
    return delay


def try_again(engine: Engine, frame: Execution, i: int) -> None:
    """The delay of an op is over: it asks for its limits again."""
    if frame.status[i] != RETRYING or frame.finished:
        return
    trial = frame.trials[i]
    trial.timer = None
    shape = frame.nodes[i].shape
    demand = frame.demands[shape] if shape >= 0 else None
    demand = frame.asked.get(i) if demand is None else demand
    if demand is None:
        raise ConfigurationError(f"{frame.key(i)} has no demand; this is a defect of asyncflow")
    claim = ReturnedClaim(trial.earlier, demand)
    frame.claims[i] = claim
    frame.status[i] = BLOCKED
    engine.core.enqueue_again(claim)
    engine.stale = True
    if engine.observers.ops:
        engine.fresh.append(claim)
    engine.wake()
