"""The `concurrency:` block: the same shape as a dict, as a `ConcurrencyConfig`, and (later) as YAML.

pydantic checks it at the door; whatever does not fit is reported with its place, the rule, and the nearest name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import check_limit, check_pool_name


def _limit(value: object) -> int | None:
    """Applies the one number rule inside a model."""
    try:
        return check_limit(value, field="a limit")
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


LimitNumber = Annotated[int | None, BeforeValidator(_limit)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoolConfig(_Strict):
    """One pool: `limit` slots in all, `per_key` for each key, and whether a holder lends to its children."""

    limit: LimitNumber = None
    per_key: LimitNumber = None
    reentrant: bool = True
    granularity: str | None = None


def _TEMP(r):
    from asyncflow.options import PER_VALUE, TagLimit

    if isinstance(r, TagLimit):
        return r
    v = r.get("value")
    if isinstance(v, dict):
        v = PER_VALUE if v["applyLimitPerUniqueValue"] else None
    return TagLimit(r["key"], v, r["limit"])


class RunsConfig(_Strict):
    max_concurrent_runs: LimitNumber = None
    max_queued: LimitNumber = None
    tag_concurrency_limits: Annotated[
        tuple[Any, ...], BeforeValidator(lambda rules: tuple(_TEMP(r) for r in rules))
    ] = ()


class PoolsConfig(_Strict):
    """The pools: `limits` by name, `default_limit` for all others; `strict` refuses pools without a limit."""

    default_limit: LimitNumber = None
    strict: bool = False
    granularity: str = "op"
    op_granularity_run_buffer: int = 0
    limits: dict[str, PoolConfig] = Field(default_factory=dict[str, PoolConfig])


class ConcurrencyConfig(_Strict):
    """All limits that runs of a deployment share.

    >>> ConcurrencyConfig.of({"pools": {"limits": {"db": 1}}}).pools.limits["db"].limit
    1
    """

    pools: PoolsConfig = Field(default_factory=PoolsConfig)
    runs: RunsConfig = Field(default_factory=RunsConfig)
    max_concurrent_branch_deployment_runs: int | None = 50

    @classmethod
    def of(cls, value: object) -> ConcurrencyConfig:
        """Returns the checked block.

        Raises:
            ConfigurationError: naming every place that does not fit.
        """
        if value is None:
            return cls()
        if isinstance(value, ConcurrencyConfig):
            return value
        block = _mapping(value)
        if block is None:
            raise ConfigurationError(
                f"concurrency must be a mapping or a ConcurrencyConfig, not {type(value).__name__}"
            )
        try:
            return cls.model_validate(_with_short_limits(block))
        except ValidationError as error:
            raise ConfigurationError(_told(error)) from None


def _with_short_limits(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the block with `{"db": 1}` written out as `{"db": {"limit": 1}}`, and every pool name checked."""
    pools: Mapping[str, Any] | None = _mapping(block.get("pools"))
    limits: Mapping[str, Any] | None = None if pools is None else _mapping(pools.get("limits"))
    if pools is None or limits is None:
        return block
    written: dict[str, Any] = {
        check_pool_name(name, field="a name in concurrency.pools.limits"): limit
        if isinstance(limit, (Mapping, PoolConfig))
        else {"limit": check_limit(limit, field=f"concurrency.pools.limits[{name!r}]")}
        for name, limit in limits.items()
    }
    for name in written:
        if ":" in name:
            raise ConfigurationError(
                f"concurrency.pools.limits[{name!r}]: a key has no limit of its own;"
                f' write {{"{name.partition(":")[0]}": {{"limit": …, "per_key": …}}}}'
            )
    return {**block, "pools": {**pools, "limits": written}}


def _mapping(value: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 — whatever the user wrote; pydantic judges it
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _told(error: ValidationError) -> str:
    """Returns what pydantic found, in one sentence for each place."""
    told: list[str] = []
    for problem in error.errors(include_url=False):
        place = ".".join(["concurrency", *[str(part) for part in problem["loc"]]])
        if problem["type"] == "extra_forbidden":
            known = _known_names(problem["loc"][:-1])
            told.append(f"{place} is not known{did_you_mean(str(problem['loc'][-1]), known)}")
        else:
            told.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(told)


def _known_names(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = ConcurrencyConfig
    if place[:1] == ("pools",):
        model = PoolConfig if len(place) > 1 else PoolsConfig
    return list(model.model_fields)
