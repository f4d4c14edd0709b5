"""From what users write to the numbers in force: a configuration, and what `tune` changes of it.

Everything is checked before anything is returned, so a change is made as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from asyncflow._limits import FOLLOWS, Follows, PoolQuota, PoolQuotas, RunQuotas
from asyncflow.concurrency import ConcurrencyConfig, run_tag_rules
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import UNSET, Unset, check_limit, check_pool_name

_POOL_FIELDS = ("limit", "per_key")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one deployment.

    Args:
        pools: Of its pools.
        runs: Of its runs.
        max_queued: How many runs may wait; None is no bound.
    """

    pools: PoolQuotas
    runs: RunQuotas
    max_queued: int | None

    @classmethod
    def of(cls, config: ConcurrencyConfig) -> Numbers:
        """Returns the numbers that a configuration says."""
        pools = {
            name: PoolQuota(
                pool.limit if "limit" in pool.model_fields_set else FOLLOWS,
                pool.per_key,
                pool.reentrant,
                pool.granularity,
                pool.on_lease_lost,
            )
            for name, pool in config.pools.limits.items()
        }
        return cls(
            PoolQuotas(pools, config.pools.default_limit, config.pools.granularity, config.pools.strict),
            RunQuotas(
                config.runs.max_concurrent_runs,
                config.runs.tag_concurrency_limits,
                config.pools.op_granularity_run_buffer,
                config.max_concurrent_branch_deployment_runs,
            ),
            config.runs.max_queued,
        )

    def with_pause(self, *, paused: bool) -> Numbers:
        """Returns the numbers with the run queue paused or resumed."""
        return replace(self, runs=replace(self.runs, paused=paused))

    def tuned(
        self,
        *,
        max_concurrent_runs: int | None | Unset = UNSET,
        max_queued: int | None | Unset = UNSET,
        tag_concurrency_limits: object = UNSET,
        default_limit: int | None | Unset = UNSET,
        pools: object = UNSET,
        max_concurrent_branch_deployment_runs: int | None | Unset = UNSET,
    ) -> Numbers:
        """Returns other numbers: rule lists replace, pools merge, what is not given stays.

        Raises:
            ConfigurationError: naming the field that does not fit.
        """
        runs, quotas, queued = self.runs, self.pools, self.max_queued
        if max_concurrent_runs is not UNSET:
            most = check_limit(max_concurrent_runs, field="max_concurrent_runs")
            runs = replace(runs, max_concurrent_runs=most)
        if max_queued is not UNSET:
            queued = check_limit(max_queued, field="max_queued")
        if tag_concurrency_limits is not UNSET:
            runs = replace(runs, rules=run_tag_rules(tag_concurrency_limits))
        if max_concurrent_branch_deployment_runs is not UNSET:
            field = "max_concurrent_branch_deployment_runs"
            runs = replace(runs, branches=check_limit(max_concurrent_branch_deployment_runs, field=field))
        if default_limit is not UNSET:
            quotas = replace(quotas, default_limit=check_limit(default_limit, field="default_limit"))
        if pools is not UNSET:
            quotas = replace(quotas, pools={**quotas.pools, **_tuned_pools(quotas, pools)})
        return Numbers(quotas, runs, queued)


def _tuned_pools(quotas: PoolQuotas, pools: object) -> dict[str, PoolQuota]:
    if not isinstance(pools, Mapping):
        raise ConfigurationError(f"pools must be a mapping of names to limits, not {type(pools).__name__}")
    tuned: dict[str, PoolQuota] = {}
    for key, value in cast("Mapping[object, object]", pools).items():
        name = check_pool_name(key, field="a key of pools")
        if ":" in name:
            raise ConfigurationError(
                f'pools[{name!r}]: a key has no limit of its own; tune {{"{name.partition(":")[0]}": {{"per_key": …}}}}'
            )
        tuned[name] = _tuned_pool(quotas.of(name), name, value)
    return tuned


def _tuned_pool(quota: PoolQuota, name: str, value: object) -> PoolQuota:
    if not isinstance(value, Mapping):
        return replace(quota, limit=_pool_limit(value, field=f"pools[{name!r}]"))
    changes: dict[str, Any] = {}
    for field, number in cast("Mapping[str, object]", value).items():
        if field not in _POOL_FIELDS:
            raise ConfigurationError(
                f"pools[{name!r}][{field!r}] cannot be tuned{did_you_mean(str(field), _POOL_FIELDS)};"
                f" what can: {', '.join(_POOL_FIELDS)}"
            )
        where = f"pools[{name!r}][{field!r}]"
        changes[field] = _pool_limit(number, field=where) if field == "limit" else check_limit(number, field=where)
    return replace(quota, **changes)


def _pool_limit(value: object, *, field: str) -> int | None | Follows:
    return FOLLOWS if value == "default" else check_limit(value, field=field)
