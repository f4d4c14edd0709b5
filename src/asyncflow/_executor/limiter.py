"""A pool with the interface of anyio's `CapacityLimiter`, for libraries that take one."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio import CapacityLimiter, CapacityLimiterStatistics

from asyncflow._executor.block import Block
from asyncflow._executor.spawn import current_task

if TYPE_CHECKING:
    from asyncflow._executor.deployment_state import DeploymentState
    from asyncflow._executor.engine import Engine
    from asyncflow._limits import Limit


class PoolLimiter(CapacityLimiter):
    """One pool of a deployment as a `CapacityLimiter`: every token is a slot, waited for in line with all others.

    Tokens are counted by the pool, so ops that use it are seen in `borrowed_tokens` too.

    Args:
        place: Returns the engine and the state of the deployment on the running loop.
        pool: The pool, or `"pool:key"`.
        resize: Gives the pool another limit.
    """

    def __new__(
        cls,
        place: Callable[[], tuple[Engine, DeploymentState]],
        pool: str,
        resize: Callable[[int | None], None],
    ) -> Self:
        """Makes one; anyio's own would make a limiter of the running backend instead."""
        del place, pool, resize
        return object.__new__(cls)

    def __init__(
        self, place: Callable[[], tuple[Engine, DeploymentState]], pool: str, resize: Callable[[int | None], None]
    ) -> None:
        self._place = place
        self._pool = pool
        self._resize = resize
        self._borrowers: dict[object, Block] = {}
        self._waiting = 0

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def total_tokens(self) -> float:
        """The pool's limit; infinite without one. Setting it tunes the pool."""
        capacity = self._limit.capacity
        return math.inf if capacity is None else capacity

    @total_tokens.setter
    def total_tokens(self, value: float) -> None:
        if value != math.inf and (isinstance(value, bool) or value != int(value)):
            raise TypeError(f"total_tokens must be a whole number or math.inf, got {value!r:.40}")
        self._resize(None if value == math.inf else int(value))

    @property
    def borrowed_tokens(self) -> int:
        """Slots in use, by whomever."""
        return self._limit.held

    @property
    def available_tokens(self) -> float:
        """Slots free now."""
        return self._limit.available_tokens

    def acquire_nowait(self) -> None:
        """Takes a slot for the running task, or raises `anyio.WouldBlock`."""
        self.acquire_on_behalf_of_nowait(current_task())

    def acquire_on_behalf_of_nowait(self, borrower: object) -> None:
        """Takes a slot for `borrower`, or raises `anyio.WouldBlock` where one is not free or others wait."""
        block = self._block(borrower)
        engine = block.engine
        block.enqueue()
        engine.decide(engine.clock())
        if not block.waiter.done():
            block.leave()
            raise anyio.WouldBlock
        self._borrowers[borrower] = block

    async def acquire(self) -> None:
        """Takes a slot for the running task, waiting for it."""
        await self.acquire_on_behalf_of(current_task())

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Takes a slot for `borrower`, waiting for it. Cancelled, it holds nothing.

        Raises:
            RuntimeError: where the borrower has one already.
            DemandError: where the pool can never give one.
        """
        block = self._block(borrower)
        self._borrowers[borrower] = block  # before it waits, so that one borrower cannot ask twice
        self._waiting += 1
        try:
            block.enqueue()
            await block.granted_or_withdrawn()
        except BaseException:
            del self._borrowers[borrower]
            raise
        finally:
            self._waiting -= 1

    def release(self) -> None:
        """Gives the running task's slot back."""
        self.release_on_behalf_of(current_task())

    def release_on_behalf_of(self, borrower: object) -> None:
        """Gives the slot of `borrower` back.

        Raises:
            RuntimeError: where it has none.
        """
        block = self._borrowers.get(borrower)
        if block is None or not block.claim.granted:
            raise RuntimeError(f"this borrower isn't holding any slot of pool {self._pool!r}")
        del self._borrowers[borrower]
        block.leave()

    def statistics(self) -> CapacityLimiterStatistics:
        """Returns what anyio's limiters tell; borrowers and waiters are those of this limiter."""
        holding = tuple([borrower for borrower, block in self._borrowers.items() if block.claim.granted])
        return CapacityLimiterStatistics(self.borrowed_tokens, self.total_tokens, holding, self._waiting)

    def _block(self, borrower: object) -> Block:
        if borrower in self._borrowers:
            raise RuntimeError(f"this borrower is already holding one of the slots of pool {self._pool!r}")
        engine, home = self._place()
        return Block(engine, home, ((self._pool, 1),), label=f"limiter({self._pool!r})")

    @property
    def _limit(self) -> Limit:
        _, home = self._place()
        return home.pools.pool(self._pool.partition(":")[0])

    def __repr__(self) -> str:
        return f"<limiter of pool {self._pool}>"
