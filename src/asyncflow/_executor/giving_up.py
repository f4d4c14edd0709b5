"""What becomes of ops, runs and blocks when a pool backend takes something back, or never gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor import ending
from asyncflow._executor.block import Block
from asyncflow._executor.deadline import Deadline
from asyncflow._executor.outcome import node_failed
from asyncflow._executor.run_queue import THE_RUN
from asyncflow._limits import Claim, ReturnedClaim
from asyncflow._scheduler import RUNNING
from asyncflow.errors import AsyncflowError, LeaseLost
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine


def fail_waiting(engine: Engine, claim: Claim, error: AsyncflowError) -> None:
    """Who waits for a grant will not get it: a block or a queued run ends with the error, an op fails with it."""
    if not claim.waiting:
        return
    if isinstance(claim.owner, Block):
        claim.owner.failed(engine, error)
        return
    frame, i = claim.owner
    now = engine.tick()
    if i == THE_RUN:
        if frame.run.status is RunStatus.QUEUED:
            frame.run.rejection = error
            ending.cancel(engine, frame.run, str(error))
        return
    ending.withdrawn(engine, frame, i, now)
    node_failed(engine, frame, i, error, now)
    engine.advance(frame, now)
    if not frame.open:
        ending.settle(engine, frame)
    engine.wake()


def lease_lost(engine: Engine, claim: Claim, pool: str, fence: int, why: str) -> None:
    """What a claim holds of a pool is lost: as the pool says, it is cancelled with `LeaseLost`, or goes on.

    An op that was admitted and has not begun asks again.
    """
    owner = claim.owner
    home = owner.home if isinstance(owner, Block) else owner[0].run.home
    policy = home.pools.quotas.of(pool.removeprefix(home.pools.prefix)).on_lease_lost
    if policy != "cancel" or not claim.granted:
        return
    error = LeaseLost(f"the lease on pool {pool!r} (fence {fence}) is lost: {why}", pool=pool, fence=fence)
    if isinstance(owner, Block):
        owner.lease_lost(error)
        return
    frame, i = owner
    run = frame.run
    if i == THE_RUN:
        ending.cancel(engine, run, str(error))
    elif frame.claims[i] is claim and frame.status[i] != RUNNING:
        engine.core.withdraw(claim)
        frame.claims[i] = again = ReturnedClaim(claim, claim.demand)
        engine.core.enqueue_again(again)
        engine.stale = True
        engine.wake()
    elif (scope := run.scopes.get(claim)) is not None and not frame.closed:
        deadline = run.deadlines.get(claim)
        if deadline is None:
            deadline = run.deadlines[claim] = Deadline(engine, claim, scope)
        deadline.lose(error)
