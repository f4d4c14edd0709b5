"""The run queue: a run that cannot start at once waits as ghosts, and is let out together with one of its roots.

A ghost asks in one vector for all that the run needs as a whole (its place, its tags, its conflict key, pools that
runs take) and for what one of its roots needs. The first ghost that fits takes both in one step, so a run never has
a place without being able to use it, and no slot lets out two runs. A run with a root that needs no limited pool, or
whose roots are not known, waits for the run-level needs alone; under a run buffer every run has such a ghost too.

A run that needs nothing as a whole, and one of whose roots fits where nobody waits, is not queued at all.

Refusals are decided here as well: the conflict key is taken, the queue is full, the wait took too long. None of them
runs user code, and none holds up another run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncflow._executor import ending
from asyncflow._executor.block import Block
from asyncflow._executor.demands import demand_of
from asyncflow._executor.flow import held_back
from asyncflow._executor.time_limit import TimeLimit, in_time
from asyncflow._limits import Claim
from asyncflow._scheduler import BLOCKED
from asyncflow.errors import ConfigurationError, RunRejected
from asyncflow.events import RunQueued, RunStarted
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.run_state import RunState
    from asyncflow._limits import Demand, Limit

MOST_ROOTS: Final = 16
"""A run with more distinct demands among its roots waits for its run-level needs alone."""

THE_RUN: Final = -1
"""Stands where an op's id stands in the owner of a claim: the claim is the run's own."""


def submit(engine: Engine, run: RunState, *, again: bool = False) -> None:
    """Lets a run begin at once, or queues it. Its frame has its inputs. One that comes again is not refused.

    Raises:
        RunRejected: where it is refused before it was queued; nothing is left of it.
    """
    needs = run.home.runs.needs(run.tags, run.conflict)
    needs.extend([(run.home.pools.pool(pool), 1) for pool in sorted(run.pools)])
    now = engine.clock()
    run.queued_at = now
    roots = roots_of(engine, run, now) if needs or run.root.ready else {}
    if not needs and not roots and not (engine.stale and engine.waiting_specially):
        begin(engine, run, now)  # nobody came before it in this turn
        return
    run.status = RunStatus.QUEUED
    party = run.party
    frame = run.root
    whole = engine.core.demand(needs)
    pairs: list[tuple[Claim, Claim | None]] = []
    for demand, i in roots.items():
        order = frame.orders[i]
        pairs.append((Claim(party, whole, order, (frame, THE_RUN)), Claim(party, demand, order, (frame, i))))
    if not pairs:
        pairs.append((Claim(party, whole, (), (frame, THE_RUN)), None))
    elif (buffer := run.home.runs.buffer) is not None:
        last = frame.orders[max(roots.values(), key=frame.orders.__getitem__)]
        pairs.append((Claim(party, engine.core.demand([*needs, (buffer, 1)]), last, (frame, THE_RUN)), None))
    run.ghosts = [own for own, _ in pairs]
    run.home.queued[run.id] = run
    engine.waiting_specially += 1
    engine.core.enqueue_ghosts(pairs)
    engine.stale = True
    if engine.observers.runs:
        engine.fresh_runs.append(run)
        engine.observers.tell(RunQueued(now, run.id, run.graph, run.party.priority))
    if not again:
        keep_to_max_queued(engine, run, now)
    if run.status is RunStatus.QUEUED and run.options.wait_timeout is not None:
        run.deadline = engine.loop.call_later(run.options.wait_timeout, waited_too_long, engine, run)
    engine.wake()


def roots_of(engine: Engine, run: RunState, now: float) -> dict[Demand, int]:
    """Returns the distinct demands of a run's roots, each with its first op; none where the run waits alone.

    `pool=` functions of roots are called here, before any round.
    """
    frame = run.root
    if frame.inline or frame.past is not None:  # ops that the record has will not ask for anything
        return {}
    found: dict[Demand, int] = {}
    limited = run.home.pools.limited
    for i in tuple(frame.ready):
        shape = frame.nodes[i].shape
        demand = frame.demands[shape] if shape >= 0 else None
        if demand is None:
            if held_back(engine, frame, i):
                frame.ready.remove(i)
                continue
            demand = frame.asked.get(i) or demand_of(engine, frame, i, now)
            if demand is None:  # the function raised: that op has failed
                frame.ready.remove(i)
                continue
        if demand in found:
            if frame.orders[i] < frame.orders[found[demand]]:
                found[demand] = i
        elif len(found) == MOST_ROOTS or not any(limited(limit) for limit, _ in demand.needs):
            return {}
        else:
            found[demand] = i
    return found


def fits(demand: Demand) -> bool:
    """Returns whether a demand fits now and nobody waits for its limits."""
    return all(limit.crowd is None and limit.room >= amount for limit, amount in demand.needs)


def admitted(engine: Engine, starts: list[Claim], now: float) -> list[Claim]:
    """Lets out the runs whose ghosts a round granted; returns the grants of ops."""
    ops: list[Claim] = []
    let_out: list[RunState] = []
    for claim in starts:
        owner = claim.owner
        if isinstance(owner, Block):
            owner.granted(engine)
            continue
        frame, i = owner
        if i != THE_RUN:
            if claim.ghost is not None and frame.claims[i] is None:
                take_root(frame, i, claim, now)
            ops.append(claim)
            continue
        run: RunState = frame.run
        ending.leave_queue(engine, run)
        run.grant = claim
        run.add_wait(claim)
        let_out.append(run)
        if claim.ghost is not None and claim.ghost.root is None and (buffer := buffer_of(run, claim)) is not None:
            run.home.buffered[run] = claim
            engine.buffers[run] = buffer
    for run in let_out:
        begin(engine, run, now)
    if engine.buffers:
        give_buffers_back(engine, ops)
    return ops


def take_root(frame: Execution, i: int, claim: Claim, now: float) -> None:
    """A root was granted together with its run."""
    frame.claims[i] = claim
    frame.status[i] = BLOCKED
    frame.ready_at[i] = now
    frame.open += 1
    frame.ready.remove(i)


def buffer_of(run: RunState, claim: Claim) -> Limit | None:
    """Returns the run buffer where a grant has a unit of it."""
    buffer = run.home.runs.buffer
    return buffer if buffer is not None and claim.demand.amount(buffer) else None


def give_buffers_back(engine: Engine, ops: list[Claim]) -> None:
    """Runs whose first op was admitted need their place in the run buffer no more."""
    for claim in ops:
        run = claim.owner[0].run
        buffer = engine.buffers.pop(run, None)
        if buffer is not None:
            engine.core.release(run.home.buffered.pop(run), [buffer])
            engine.stale = True


def begin(engine: Engine, run: RunState, now: float) -> None:
    """The run is admitted: its roots that are not are claimed."""
    run.status = RunStatus.RUNNING
    run.started_at = run.root.started_at = now
    if engine.observers.runs:
        engine.observers.tell(RunStarted(now, run.id, run.graph))
    root = run.root
    if run.options.timeout is not None:
        root.time, root.timed = TimeLimit(engine, root, run.options.timeout), True
    if root.timed:
        in_time(engine, root, [i for i, claim in enumerate(root.claims) if claim is not None], now)
    engine.go(root)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


def heed_conflicts(engine: Engine, run: RunState) -> None:
    """Does what `on_full` says where a run's conflict key is taken.

    Raises:
        RunRejected: where the new run is refused.
        ConfigurationError: for `cancel_running` without a key.
    """
    key, on_full = run.conflict, run.options.on_full
    if key is None:
        if on_full == "cancel_running":
            raise ConfigurationError(
                f"{run.graph}: on_full='cancel_running' needs a conflict_key (or singleton=True):"
                " without one there is no run to cancel"
            )
        return
    others = run.home.conflicts.get(key, [])
    if any(other.status is RunStatus.QUEUED for other in others):
        engine.decide(engine.clock())  # those that can start now are not queued any more
        others = run.home.conflicts.get(key, [])
    queued = [other for other in others if other.status is RunStatus.QUEUED]
    taken = f"{run.graph}: conflict key {key!r} is taken by run {others[0].id}" if others else ""
    if others and on_full == "reject":
        raise RunRejected(f"{taken}, and on_full is 'reject'; try again when it has ended")
    if queued and on_full == "keep_oldest":
        raise RunRejected(f"{taken}, run {queued[0].id} is queued for it already, and on_full is 'keep_oldest'")
    if on_full in ("keep_newest", "cancel_running"):
        for other in queued:
            refuse(engine, other, f"run {run.id} of the same conflict key {key!r} came later")
    if on_full == "cancel_running":
        run.replaces = bool(others)
        for other in others:
            ending.cancel(engine, other, f"run {run.id} of the same conflict key {key!r} took its place")
    run.home.conflicts.setdefault(key, []).append(run)


def keep_to_max_queued(engine: Engine, run: RunState, now: float) -> None:
    """Refuses a run where the queue is longer than it may be.

    Raises:
        RunRejected: where that is the new run.
    """
    home = run.home
    most = home.max_queued
    if most is None or len(home.queued) <= most or run.replaces:
        return
    engine.decide(now)  # what can start now does not count
    if run.status is not RunStatus.QUEUED or len(home.queued) <= most:
        return
    others = [other for other in home.queued.values() if other is not run]
    if run.options.on_full == "keep_newest" and others:
        last = max(others, key=lambda other: (-other.party.priority, other.party.arrival))
        refuse(engine, last, f"the queue of {home.name!r} is full (max_queued={most}) and run {run.id} came later")
        return
    reason = f"the queue of {home.name!r} is full (max_queued={most}); try again later, or raise max_queued"
    refuse(engine, run, reason)
    raise RunRejected(f"{run.graph}: {reason}")


def waited_too_long(engine: Engine, run: RunState) -> None:
    """The run's `wait_timeout` is over."""
    if run.status is RunStatus.QUEUED:
        seconds = run.options.wait_timeout
        short = sorted({limit.name for claim in run.ghosts for limit in engine.core.short_limits(claim)})
        why = f" for {', '.join(short)}" if short else ""
        refuse(engine, run, f"it was QUEUED{why} for longer than its wait_timeout of {seconds} s")


def refuse(engine: Engine, run: RunState, reason: str) -> None:
    """Ends a run that is queued; whoever waits for it gets `RunRejected`."""
    run.rejection = RunRejected(f"run {run.id} of {run.graph} was refused: {reason}")
    ending.cancel(engine, run, reason)
