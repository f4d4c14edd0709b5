"""Slots for code outside graphs: a waiter like every op, with a future instead of a body.

A block opened inside an op is a child of it: it may borrow what the op holds, and counts for its run. Elsewhere it is
a party of its own. A block that is cancelled while it waits, also in the very turn of its grant, leaves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING

from asyncflow._executor.current import CURRENT
from asyncflow._executor.demands import refuse_impossible
from asyncflow._executor.telling import tell_notices
from asyncflow._limits import Claim
from asyncflow.errors import AsyncflowError, DeadlockError, LeaseLost, StalledError

if TYPE_CHECKING:
    from anyio import CancelScope

    from asyncflow._executor.deployment_state import DeploymentState
    from asyncflow._executor.engine import Engine
    from asyncflow.options import PoolNeeds


class Block:
    """One wait for slots, and their grant.

    Args:
        engine: Where it waits.
        home: Whose pools it asks for.
        pools: What it asks for.
        label: What people call it.
        priority: As a run's.
        fair_key: Whose share it uses; None for a group of its own.
        weight: How much that share counts.

    Raises:
        DemandError: where it asks for more than a limit can ever give.
        ConfigurationError: for a pool without a limit under `strict`.
    """

    __slots__ = ("__weakref__", "claim", "engine", "home", "label", "lost", "scope", "waiter")

    def __init__(
        self,
        engine: Engine,
        home: DeploymentState,
        pools: PoolNeeds,
        *,
        label: str,
        priority: int = 0,
        fair_key: Hashable | None = None,
        weight: float = 1.0,
    ) -> None:
        self.engine = engine
        self.home = home
        self.label = label
        self.scope: CancelScope | None = None
        self.lost: LeaseLost | None = None
        self.waiter: asyncio.Future[None] = engine.loop.create_future()
        parent = enclosing_op(engine)
        held = frozenset[str]() if parent is None else parent.owner[0].run.pools
        demand = engine.core.demand(home.pools.needs(pools, held=held))
        if home.pools.notices:
            tell_notices(engine, home.pools)
        refuse_impossible(engine, demand, label)
        if parent is None:
            key = ("block", id(self)) if fair_key is None else ("key", fair_key)
            party = engine.core.party(engine.core.group(key, weight), priority=priority)
            self.claim = Claim(party, demand, (), self)
        else:
            self.claim = Claim(parent.party, demand, (*parent.order, 0), self, parent)

    def enqueue(self) -> None:
        """Asks; the next round may grant it."""
        engine = self.engine
        engine.core.enqueue(self.claim)
        engine.blocks[self] = None
        engine.waiting_specially += 1
        engine.stale = True
        engine.wake()

    async def granted_or_withdrawn(self) -> None:
        """Waits until the slots are there. Cancelled, it waits no more and holds nothing.

        Raises:
            DeadlockError: where no release could ever start it.
        """
        try:
            await self.waiter
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Gives everything back, or stops waiting for it."""
        engine = self.engine
        self._waits_no_more(engine)
        if not engine.broken:
            engine.core.withdraw(self.claim)
            engine.stale = True
            engine.wake()

    # ── what the engine tells ─────────────────────────────────────────────────────────────────────────────────────

    def granted(self, engine: Engine) -> None:
        """A round granted it."""
        self._waits_no_more(engine)
        if not self.waiter.done():
            self.waiter.set_result(None)

    def deadlocked(self, engine: Engine, chain: tuple[str, ...]) -> None:
        """No release could ever start it."""
        self._waits_no_more(engine)
        if not self.waiter.done():
            message = f"{self.label} can never have its slots: {' → '.join(chain)}"
            self.waiter.set_exception(DeadlockError(message, chain=chain))

    def failed(self, engine: Engine, error: AsyncflowError) -> None:
        """The other side will not give what it waits for."""
        self._waits_no_more(engine)
        engine.core.withdraw(self.claim)
        if not self.waiter.done():
            self.waiter.set_exception(error)

    def lease_lost(self, error: LeaseLost) -> None:
        """What it holds is its own no more: what is inside is cancelled, and raises the error."""
        if self.lost is None and self.scope is not None:
            self.lost = error
            self.scope.cancel("a lease was lost")

    def given_up(self, engine: Engine, error: BaseException) -> None:
        """A defect ended the engine."""
        self._waits_no_more(engine)
        if not self.waiter.done():
            defect = StalledError(f"{self.label} was given up after an internal error of asyncflow: {error!r:.200}")
            defect.__cause__ = error
            self.waiter.set_exception(defect)

    def _waits_no_more(self, engine: Engine) -> None:
        if self in engine.blocks:
            del engine.blocks[self]
            engine.waiting_specially -= 1

    def __str__(self) -> str:
        return self.label

    def __repr__(self) -> str:
        return f"<slots {self.label} {self.claim.state.value}>"


def enclosing_op(engine: Engine) -> Claim | None:
    """Returns the claim of the op that runs here on this engine, or None outside of ops."""
    parent = CURRENT.get()
    if parent is None:
        return None
    frame, i = parent.owner
    here = frame.run.engine is engine and frame.claims[i] is parent and engine.loop is asyncio.get_running_loop()
    return parent if here else None
