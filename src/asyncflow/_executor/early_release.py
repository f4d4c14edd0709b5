"""Giving back early: an op ends its part on one pool, and keeps the rest to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits import Claim
from asyncflow.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution


def release_early(engine: Engine, claim: Claim, pool: str) -> None:
    """Gives back all that a running op has of a pool, its keys included; does nothing where it did before.

    Raises:
        ConfigurationError: for a pool it did not take, or that its run holds as a whole.
    """
    frame: Execution = claim.owner[0]
    i: int = claim.owner[1]
    prefix = frame.run.home.pools.prefix
    wanted = pool.partition(":")[0]
    pools = {
        limit: limit.name.removeprefix(prefix).partition(":")[0]
        for limit, _ in claim.demand.needs
        if not limit.name.startswith("@")
    }
    chosen = [limit for limit, name in pools.items() if name == wanted]
    if not chosen:
        why = f"did not take it{did_you_mean(wanted, pools.values())}"
        if wanted in frame.run.pools:
            why = "its run holds it as a whole, to its end (granularity 'run')"
        raise ConfigurationError(f"{frame.run.graph}/{frame.key(i)} cannot release pool {pool!r}: {why}")
    if claim.holding is not None:
        chosen = [limit for limit in chosen if limit in claim.holding.asked]
    if chosen:
        engine.core.release(claim, chosen)
        engine.stale = True
        engine.wake()
