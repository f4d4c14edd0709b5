"""The `concurrency:` block: the same shape as a dict, a `ConcurrencyConfig`, YAML, and environment variables.

pydantic checks it at the door; whatever does not fit is reported with its place, the rule, and the nearest name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.ids import check_name
from asyncflow.options import (
    PER_VALUE,
    Granularity,
    OnLeaseLost,
    PerValue,
    TagLimit,
    check_limit,
    check_pool_name,
    check_tag_limits,
)
from asyncflow.settings import block_of_environment, block_of_file, named_by_variable


def _limit(value: object) -> int | None:
    """Applies the one number rule inside a model."""
    try:
        return check_limit(value, field="a limit")
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


LimitNumber = Annotated[int | None, BeforeValidator(_limit)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _max_runs(value: object) -> int | None:
    """Applies the one number rule, and Dagster's −1 for unlimited."""
    return None if type(value) is int and value == -1 else _limit(value)


def _rules(value: object) -> tuple[TagLimit, ...]:
    """Returns run-tag rules from `TagLimit`s, and from mappings as the guide writes them."""
    given_type = type(value).__name__
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(f"must be a list of rules {{key, value, limit}}, not {given_type}")  # noqa: TRY004 — pydantic reports ValueErrors
    given = cast("Iterable[object]", value)
    try:
        return check_tag_limits([_rule(rule, number) for number, rule in enumerate(given)], field="the list")
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def run_tag_rules(value: object) -> tuple[TagLimit, ...]:
    """Returns run-tag rules from `TagLimit`s and from mappings, as a configuration would take them.

    Raises:
        ConfigurationError: naming the rule that does not fit.
    """
    try:
        return _rules(value)
    except ValueError as error:
        raise ConfigurationError(f"tag_concurrency_limits: {error}") from None


def _rule(rule: object, number: int) -> TagLimit:
    if isinstance(rule, TagLimit):
        return rule
    if not isinstance(rule, Mapping):
        raise ValueError(f"rule {number} must be a TagLimit or a mapping, not {type(rule).__name__}")  # noqa: TRY004 — pydantic reports ValueErrors
    fields = cast("Mapping[object, object]", rule)
    for name in fields:
        if name not in _RULE_FIELDS:
            raise ValueError(f"rule {number} has no field {name!r:.60}{did_you_mean(str(name), _RULE_FIELDS)}")
    for name in ("key", "limit"):
        if name not in fields:
            raise ValueError(f"rule {number} has no {name!r}; write {{'key': …, 'limit': …}}")
    key, limit, value = fields["key"], fields["limit"], fields.get("value")
    if isinstance(value, Mapping):
        value = _applies_to(cast("Mapping[object, object]", value), number)
    if value is not None and value is not PER_VALUE and not isinstance(value, str):
        raise ValueError(
            f"the value of rule {number} must be a string or {{'applyLimitPerUniqueValue': True}},"
            f" not {type(value).__name__}"
        )
    return TagLimit(check_name(key, field=f"the key of rule {number}"), value, check_limit(limit, field="its limit"))


def _applies_to(value: Mapping[object, object], number: int) -> PerValue | None:
    """Returns what `value: {applyLimitPerUniqueValue: …}` means."""
    if set(value) != {"applyLimitPerUniqueValue"} or not isinstance(value["applyLimitPerUniqueValue"], bool):
        raise ValueError(
            f"the value of rule {number} must be a string, or {{'applyLimitPerUniqueValue': True}} with True or False"
        )
    return PER_VALUE if value["applyLimitPerUniqueValue"] else None


def _buffer(value: object) -> int:
    number = _limit(value)
    if number is None:
        raise ValueError("must be a whole number of at least 0, not None")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {type(value).__name__}")  # noqa: TRY004 — pydantic reports ValueErrors
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
_RULE_FIELDS: Final = ("key", "value", "limit")


class PoolConfig(_Strict):
    """One pool: `limit` slots in all, `per_key` for each key, who takes them, and whether holders lend to children."""

    limit: LimitNumber = None
    per_key: LimitNumber = None
    granularity: Granularity | None = None
    on_lease_lost: OnLeaseLost = "cancel"
    reentrant: Flag = True


class RunsConfig(_Strict):
    """The run queue: how many runs are admitted, how many may wait, and the rules on their tags."""

    max_concurrent_runs: Annotated[int | None, BeforeValidator(_max_runs)] = None
    max_queued: LimitNumber = None
    tag_concurrency_limits: Annotated[tuple[TagLimit, ...], PlainValidator(_rules)] = ()


def _pool_limits(value: object) -> object:
    """Returns limits by name with `{"db": 1}` written out as `{"db": {"limit": 1}}`, and every name checked."""
    limits = _mapping(value)
    if limits is None:
        return value
    try:
        return {_pool_name(name): _pool_limit(name, limit) for name, limit in limits.items()}
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _pool_limit(name: str, limit: object) -> object:
    if isinstance(limit, (Mapping, PoolConfig)):
        return cast("object", limit)
    return {"limit": check_limit(limit, field=f"[{name!r:.60}]")}


def _pool_name(value: object) -> str:
    name = check_pool_name(value, field="a name")
    pool, colon, _ = name.partition(":")
    if colon:
        raise ConfigurationError(
            f'[{name!r:.60}]: a key has no limit of its own; write {{"{pool:.60}": {{"limit": …, "per_key": …}}}}'
        )
    return name


class PoolsConfig(_Strict):
    """The pools: `limits` by name, `default_limit` for all others; `strict` refuses pools without a limit."""

    default_limit: LimitNumber = None
    granularity: Granularity = "op"
    op_granularity_run_buffer: Annotated[int, BeforeValidator(_buffer)] = 0
    strict: Flag = False
    limits: Annotated[dict[str, PoolConfig], BeforeValidator(_pool_limits)] = Field(
        default_factory=dict[str, PoolConfig]
    )


class ConcurrencyConfig(_Strict):
    """All limits that runs of a deployment share.

    >>> ConcurrencyConfig.of({"pools": {"limits": {"db": 1}}}).pools.limits["db"].limit
    1
    """

    runs: RunsConfig = Field(default_factory=RunsConfig)
    pools: PoolsConfig = Field(default_factory=PoolsConfig)
    max_concurrent_branch_deployment_runs: LimitNumber = 50

    @classmethod
    def from_yaml(cls, path: str | Path) -> ConcurrencyConfig:
        """Returns the `concurrency:` block of a YAML file; needs the extra `settings`.

        Raises:
            ConfigurationError: naming file, field, rule and the nearest right spelling.
        """
        block = block_of_file(path)
        try:
            return cls.of(block)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None

    @classmethod
    def from_env(cls, prefix: str = "ASYNCFLOW_") -> ConcurrencyConfig:
        """Returns what environment variables say, such as `ASYNCFLOW_RUNS__MAX_CONCURRENT_RUNS=10`.

        `ASYNCFLOW_POOLS__LIMITS` and `ASYNCFLOW_RUNS__TAG_CONCURRENCY_LIMITS` are JSON. Needs the extra `settings`.

        Raises:
            ConfigurationError: naming the variable, the rule and the nearest right spelling.
        """
        block = block_of_environment(prefix, cls)
        try:
            return cls.of(block)
        except ConfigurationError as error:
            raise ConfigurationError(named_by_variable(str(error), prefix)) from None

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
            return cls.model_validate(block)
        except ValidationError as error:
            raise ConfigurationError(_told(error)) from None


def _mapping(value: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 — whatever the user wrote; pydantic judges it
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _told(error: ValidationError) -> str:
    """Returns what pydantic found, in one sentence for each place."""
    told: list[str] = []
    for problem in error.errors(include_url=False):
        place = ".".join(["concurrency", *[f"{part!s:.60}" for part in problem["loc"]]])
        if problem["type"] == "extra_forbidden":
            known = _known_names(problem["loc"][:-1])
            near = did_you_mean(str(problem["loc"][-1]), known) or f"; what is known there: {', '.join(known)}"
            told.append(f"{place} is not known{near}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            told.append(f"{place}{message}" if message.startswith("[") else f"{place}: {message}")
    return "; ".join(told)


def _known_names(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = ConcurrencyConfig
    if place[:1] == ("pools",):
        model = PoolConfig if len(place) > 1 else PoolsConfig
    elif place[:1] == ("runs",):
        model = RunsConfig
    return list(model.model_fields)
