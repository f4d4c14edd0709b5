"""Telling who waits, who was let in, and what a change of limits leaves impossible. Called while somebody listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from asyncflow._executor.trial import attempt_of
from asyncflow._observers import EventStream
from asyncflow._scheduler import FAILED
from asyncflow.events import NeverFits, OpBlocked, OpEnded, OpStarted, OpUnblocked, PoolUnlimited, RunBlocked
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.run_state import RunState
    from asyncflow._limits import Admission, Claim, Deadlocked, LimitBook


def tell_started(engine: Engine, frame: Execution, i: int, claim: Claim, now: float) -> None:
    """An op started; one that had to wait was let in."""
    run = frame.run
    if claim.granted_at != claim.enqueued_at and claim.ghost is None:
        waited = (claim.granted_at - claim.enqueued_at) / 1_000_000_000
        engine.observers.tell(OpUnblocked(now, run.id, run.graph, frame.key(i), waited))
    engine.observers.tell(OpStarted(now, run.id, run.graph, frame.key(i), attempt_of(frame, i)))


def tell_ended(engine: Engine, frame: Execution, i: int, now: float) -> None:
    """An op ended."""
    engine.observers.tell(OpEnded(now, frame.run.id, frame.run.graph, frame.key(i), frame.op_status(i)))
    if frame.hooking is not None and frame.status[i] != FAILED:  # a failure was told before it could stop the run
        frame.hooking.op_ended(i)


def heard(engine: Engine, frame: Execution, status: RunStatus) -> bool:
    """Returns whether the hooks of an execution that ended so are through, and the record of a run is written."""
    if frame.hooking is not None and not frame.hooking.over(status):
        return False
    record = frame.run.record if frame.parent is None else None
    return record is None or record.over(frame, engine)


def tell_notices(engine: Engine, book: LimitBook) -> None:
    """Says what a book has to say about pools, each once."""
    notices, book.notices = book.notices, []
    for notice in notices:
        engine.observers.warn(PoolUnlimited(engine.clock(), notice.pool, notice.message))


def tell_blocked(engine: Engine, claims: list[Claim], runs: list[RunState], now: float) -> None:
    """Of those who came, or wait under limits that changed, tells who was not admitted by this round."""
    for claim in claims:
        if _tell_op_blocked(engine, claim, now):
            engine.core.watch(claim)
    for run in runs:
        if _tell_run_blocked(engine, run, now):
            for claim in run.ghosts:
                engine.core.watch(claim)


def tell_other_causes(engine: Engine, now: float) -> None:
    """Of those who were told as blocked, tells for whom another limit has become short."""
    runs: dict[RunState, None] = {}
    for claim in engine.core.roused():
        frame, i = cast("tuple[Execution, int]", claim.owner)  # blocks of `slots()` are not told as blocked
        if i >= 0:
            _tell_op_blocked(engine, claim, now)
        else:
            runs[frame.run] = None
    for run in runs:
        _tell_run_blocked(engine, run, now)


def _tell_op_blocked(engine: Engine, claim: Claim, now: float) -> bool:
    frame, i = claim.owner
    if frame.claims[i] is not claim or not claim.waiting:
        return False
    limits = tuple([limit.name for limit in engine.core.short_limits(claim)])
    engine.observers.tell(OpBlocked(now, frame.run.id, frame.run.graph, frame.key(i), limits))
    return True


def _tell_run_blocked(engine: Engine, run: RunState, now: float) -> bool:
    if run.status is not RunStatus.QUEUED or run.pause is not None:
        return False
    short = {limit.name: None for claim in run.ghosts for limit in engine.core.short_limits(claim)}
    engine.observers.tell(RunBlocked(now, run.id, run.graph, tuple(short)))
    return True


def tell_blocked_anew(engine: Engine) -> None:
    """Limits changed: whoever still waits after the next round is told as blocked again."""
    engine.fresh_runs = [run for run in engine.runs.values() if run.status is RunStatus.QUEUED]
    engine.fresh = [
        claim
        for run in engine.runs.values()
        for execution in run.executions
        for claim in execution.claims
        if claim is not None and claim.waiting
    ]


def warn_never_fits(engine: Engine) -> None:
    """Limits changed: names every waiter whose demand no limit can meet any more. It waits; nothing is refused."""
    now = engine.clock()
    for run in engine.runs.values():
        for claim in run.ghosts:
            for limit, _ in engine.core.fits_ever(claim.asked):
                engine.observers.warn(NeverFits(now, run.id, run.graph, "", limit.name))
        for execution in run.executions:
            for i, waiter in enumerate(execution.claims):
                if waiter is not None and waiter.waiting:
                    for limit, _ in engine.core.fits_ever(waiter.demand):
                        engine.observers.warn(NeverFits(now, run.id, run.graph, execution.key(i), limit.name))


def told_deadlock(core: Admission, command: Deadlocked) -> tuple[tuple[str, ...], str]:
    """Returns who holds and who waits, other runs included, and what to do about it."""
    claim = command.claim
    asked = {limit.name: limit for limit, _ in claim.demand.needs}
    around: set[object] = set()
    above = claim.parent
    while above is not None:
        around.add(above.owner)
        above = above.parent
    others: list[str] = []
    for view in core.snapshot().limits:
        if view.name in asked:
            held = [core.describe(holder.owner) for holder in view.holders if holder.owner not in around]
            others.extend([f"{who} holds {view.name} too and waits likewise" for who in held[:5]])
    selfish = [name for name, limit in asked.items() if not limit.reentrant]
    lends = f"let {' and '.join(selfish)} lend to children (reentrant=True), " if selfish else ""
    advice = f"raise the limit, {lends}or let an op give up what it holds before it awaits another"
    return (*command.chain, *others), advice


def run_events(engine: Engine, run: RunState, *, buffer: int) -> EventStream:
    """Returns the events of one run from now on, until it has ended."""
    stream = EventStream(engine.observers.add, engine.observers.remove, buffer=buffer, run_id=run.id)
    if run.status.final:
        stream.close()
    return stream
