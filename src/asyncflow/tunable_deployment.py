"""Limits that change while runs wait and run: all or nothing, for this process or, at a backend, for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow import _executor as executor
from asyncflow._executor import DeploymentState, PoolLimiter
from asyncflow.done import DONE, Done
from asyncflow.errors import ConfigurationError
from asyncflow.live_deployment import LiveDeployment
from asyncflow.options import UNSET, TagLimit, Unset, check_pool_name, check_priority
from asyncflow.pools import Batch
from asyncflow.quotas import Numbers
from asyncflow.views import Preview, preview_of, state_of


class TunableDeployment(LiveDeployment):
    """A deployment whose limits can be changed, tried, and paused."""

    def limiter(self, pool: str) -> PoolLimiter:
        """Returns a pool with the interface of anyio's `CapacityLimiter`, for libraries that take one."""
        name = check_pool_name(pool)

        def resize(limit: int | None) -> None:
            self._tune(self.numbers.tuned(pools={name.partition(":")[0]: limit}))

        return PoolLimiter(self.place, name, resize)

    # ── tuning ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def tune(
        self,
        *,
        max_concurrent_runs: int | None | Unset = UNSET,
        max_queued: int | None | Unset = UNSET,
        tag_concurrency_limits: Sequence[TagLimit | Mapping[str, Any]] | Unset = UNSET,
        default_limit: int | None | Unset = UNSET,
        pools: Mapping[str, Any] | Unset = UNSET,
        max_concurrent_branch_deployment_runs: int | None | Unset = UNSET,
    ) -> None:
        """Changes limits while runs wait and run: all that is given or, where something does not fit, nothing.

        Upward it takes effect at once, downward as holders end: nothing is cancelled. Rule lists replace, pools
        merge. None is unlimited, 0 paused; for a pool `"default"` follows `default_limit` again.

        Args:
            max_concurrent_runs: How many runs are admitted at once.
            max_queued: How many runs may wait in the queue.
            tag_concurrency_limits: The run-tag rules: `TagLimit`s, or mappings as in a configuration.
            default_limit: For pools nobody gave a limit.
            pools: Limits by pool: a number, or `{"limit": 5, "per_key": 1}`.
            max_concurrent_branch_deployment_runs: The cap over the runs of all branches.

        Raises:
            ConfigurationError: naming the field that does not fit; nothing was changed.
        """
        numbers = self.numbers.tuned(
            max_concurrent_runs=max_concurrent_runs,
            max_queued=max_queued,
            tag_concurrency_limits=tag_concurrency_limits,
            default_limit=default_limit,
            pools=pools,
            max_concurrent_branch_deployment_runs=max_concurrent_branch_deployment_runs,
        )
        engine, home = self.place()
        order = None if engine.remote is None else self._orders(home, numbers)
        if order is not None and engine.remote is not None:
            await engine.remote.agent.order(order)
        self._tune(numbers, told=True)

    def preview(
        self,
        *,
        max_concurrent_runs: int | None | Unset = UNSET,
        max_queued: int | None | Unset = UNSET,
        tag_concurrency_limits: Sequence[TagLimit | Mapping[str, Any]] | Unset = UNSET,
        default_limit: int | None | Unset = UNSET,
        pools: Mapping[str, Any] | Unset = UNSET,
        max_concurrent_branch_deployment_runs: int | None | Unset = UNSET,
    ) -> Preview:
        """Tells what would start because of a change, and what would stay: a round of the real core, on a copy.

        Raises:
            ConfigurationError: as `tune` would.
        """
        numbers = self.numbers.tuned(
            max_concurrent_runs=max_concurrent_runs,
            max_queued=max_queued,
            tag_concurrency_limits=tag_concurrency_limits,
            default_limit=default_limit,
            pools=pools,
            max_concurrent_branch_deployment_runs=max_concurrent_branch_deployment_runs,
        )
        engine, home = self.place()
        return preview_of(engine, executor.Redrawing(engine, home, numbers.pools, numbers.runs))

    def pause(self, *, pool: str | None = None) -> Done:
        """Lets nothing start any more, in one pool, or without one no run of the queue; what runs goes on.

        It is done when this returns; awaiting the answer is allowed.
        """
        self._pause(pool, paused=True)
        return DONE

    def resume(self, *, pool: str | None = None) -> Done:
        """Lets start again what was paused. It is done when this returns; awaiting the answer is allowed."""
        self._pause(pool, paused=False)
        return DONE

    def set_priority(self, run_id: str, priority: int) -> Done:
        """Gives a live run another priority, queued or running.

        It is done when this returns; awaiting the answer is allowed.

        Raises:
            ConfigurationError: where no live run has that id.
        """
        engine = self.engine_here()
        executor.set_priority(engine, state_of(engine, run_id), check_priority(priority))
        return DONE

    def _orders(self, home: DeploymentState, numbers: Numbers) -> Batch | None:
        """Returns what the backend has to be told where other numbers are to hold."""
        return executor.orders_of(home.pools.quotas, numbers.pools, prefix=home.pools.prefix)

    def _tune(self, numbers: Numbers, *, told: bool = False) -> None:
        engine, home = self.place()
        if engine.remote is not None and not told and (order := self._orders(home, numbers)) is not None:
            engine.remote.agent.post(order)
        for name in numbers.pools.pools.keys() - self.numbers.pools.pools.keys():
            executor.tell_unknown_pool(engine, home, name)
        executor.Redrawing(engine, home, numbers.pools, numbers.runs).make()
        self._numbers = numbers
        home.max_queued = numbers.max_queued

    def _pause(self, pool: str | None, *, paused: bool) -> None:
        if pool is None:
            self._tune(self.numbers.with_pause(paused=paused))
            return
        engine, home = self.place()
        name = check_pool_name(pool)
        known = home.pools.table.known(home.pools.prefix + name)
        if known is None and ":" in name:
            raise ConfigurationError(f"pool key {name!r} is not in use, so there is nothing to pause")
        executor.pause(engine, home.pools.pool(name) if known is None else known, paused=paused)
        if engine.remote is not None:
            full = (home.pools.prefix + name,)
            engine.remote.agent.post(Batch(pause=full) if paused else Batch(resume=full))
