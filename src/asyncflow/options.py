"""What users may tune on ops, graphs and runs: checked once, here, frozen afterwards.

One number rule holds for every limit: `None` is unlimited, `0` is paused, anything negative or not an int is refused
with the name of its field. `bool` is not a number here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias, cast, get_args

from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.hooks import Hooks, check_hooks
from asyncflow.ids import check_name
from asyncflow.retry import Retry, check_retry

LIMIT_MAX: Final = 2**53
PRIORITY_MAX: Final = 2**31 - 1


class PerValue(Enum):
    """The type of `PER_VALUE`."""

    PER_VALUE = "per value"

    def __repr__(self) -> str:
        return "PER_VALUE"


PER_VALUE: Final = PerValue.PER_VALUE
"""In a `TagLimit`: one counter for each distinct value of the tag."""


class Unset(Enum):
    """The type of `UNSET`: an option that was not given."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

PoolNeeds: TypeAlias = tuple[tuple[str, int], ...]
"""A pool option in its one inner form: (pool or "pool:key", slots), each name once."""

PoolOption: TypeAlias = "str | Mapping[str, int] | Callable[..., str | Mapping[str, int] | None] | None"
"""What users write for `pool=`."""

OnError: TypeAlias = Literal["continue", "fail_fast"]

OnFull: TypeAlias = Literal["queue", "reject", "keep_newest", "keep_oldest", "cancel_running"]
"""What happens to a run that finds its `conflict_key` taken, or the queue full."""

Validate: TypeAlias = Literal["graph", "always"]
"""What is checked against annotations: the inputs of graphs, or also what goes into ops and comes out of them."""

Granularity: TypeAlias = Literal["op", "run"]
OnLeaseLost: TypeAlias = Literal["cancel", "warn", "ignore"]
"""Who takes a slot of a pool: every op that names it, or each run once, from its admission to its end."""


def check_limit(value: object, *, field: str) -> int | None:
    """Returns a limit: None (unlimited), or an int of at least 0 (0 = paused).

    Raises:
        ConfigurationError: naming the field.
    """
    if value is None:
        return None
    if type(value) is not int:
        raise ConfigurationError(
            f"{field} must be a whole number or None, not {type(value).__name__}; None is unlimited, 0 is paused"
        )
    if value < 0:
        raise ConfigurationError(f"{field} must not be negative, got {value}; None is unlimited, 0 is paused")
    if value > LIMIT_MAX:
        raise ConfigurationError(f"{field} must not exceed 2**53, got {value}; None is unlimited")
    return value


def check_priority(value: object, *, field: str = "priority") -> int:
    """Returns a priority: an int within ±2³¹, higher first."""
    if type(value) is not int:
        raise ConfigurationError(f"{field} must be a whole number, not {type(value).__name__}")
    if not -PRIORITY_MAX - 1 <= value <= PRIORITY_MAX:
        raise ConfigurationError(f"{field} must lie within ±2**31, got {value}")
    return value


def check_positive(value: object, *, field: str) -> float:
    """Returns a finite float above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{field} must be a number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise ConfigurationError(f"{field} must be finite and above 0, got {value}")
    return number


def check_seconds(value: object, *, field: str) -> float | None:
    """Returns a span of time in seconds, also from a `timedelta`; infinite is None, never.

    Raises:
        ConfigurationError: for what is no span, or none above zero.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, float) and value == math.inf:
        return None
    return check_positive(value, field=field)


def check_timeout(value: object, *, field: str = "timeout") -> float | None:
    """Returns a timeout in seconds; None and infinity are none."""
    return None if value is None else check_seconds(value, field=field)


def check_flag(value: object, *, field: str) -> bool:
    """Returns True or False; nothing else is taken for either."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{field} must be True or False, not {type(value).__name__}")
    return value


def check_validate(value: object) -> Validate:
    """Returns `"graph"` or `"always"`; nothing else is taken for either."""
    if value == "graph":
        return "graph"
    if value == "always":
        return "always"
    raise ConfigurationError(f"validate must be 'graph' or 'always', got {value!r:.60}")


def check_tags(tags: object, *, field: str = "tags") -> Mapping[str, str]:
    """Returns tags as a read-only mapping of names to strings."""
    if not isinstance(tags, Mapping):
        raise ConfigurationError(f"{field} must be a mapping of strings to strings, not {type(tags).__name__}")
    checked: dict[str, str] = {}
    given = cast("Mapping[object, object]", tags)
    for key, value in given.items():
        name = check_name(key, field=f"a key of {field}")
        if not isinstance(value, str):
            raise ConfigurationError(f"{field}[{name!r}] must be a string, not {type(value).__name__}")
        checked[name] = check_name(value, field=f"{field}[{name!r}]") if value else value
    return MappingProxyType(checked)


def check_pool_needs(pool: object, *, field: str = "pool") -> PoolNeeds:
    """Returns `"db"`, `"api:customer-7"` or `{"db": 2}` in the one inner form; None is no pool at all.

    Raises:
        ConfigurationError: naming the field and what is allowed.
    """
    if pool is None:
        return ()
    if isinstance(pool, str):
        return ((check_pool_name(pool, field=field), 1),)
    if not isinstance(pool, Mapping):
        raise ConfigurationError(
            f"{field} must be a name, a mapping of names to slots, or a function returning one of these,"
            f" not {type(pool).__name__}"
        )
    needs: list[tuple[str, int]] = []
    given = cast("Mapping[object, object]", pool)
    for key, slots in given.items():
        name = check_pool_name(key, field=f"a key of {field}")
        if type(slots) is not int or not 1 <= slots <= LIMIT_MAX:
            raise ConfigurationError(f"{field}[{name!r}] must be a whole number of at least 1, got {slots!r:.40}")
        needs.append((name, slots))
    return tuple(needs)


def check_pool_name(value: object, *, field: str = "pool") -> str:
    """Returns a pool name, `"pool"` or `"pool:key"`; `@` at the start is kept for asyncflow itself."""
    name = check_name(value, field=field)
    if name.startswith("@"):
        raise ConfigurationError(f"{field} {name!r} may not begin with '@': such names are asyncflow's own")
    pool, colon, key = name.partition(":")
    if not pool or (colon and not key):
        raise ConfigurationError(f"{field} {name!r} must be 'pool' or 'pool:key' with both parts non-empty")
    return name


def check_pool(pool: PoolOption, *, field: str = "pool") -> PoolNeeds | Callable[..., Any]:
    """Returns the inner form of `pool=`: needs, or the function that will give them."""
    if callable(pool):
        return pool
    return check_pool_needs(pool, field=field)


@dataclass(frozen=True, slots=True)
class TagLimit:
    """At most `limit` things at once that carry a tag.

    Args:
        key: The tag's key.
        value: None counts everything that has the key; a string counts that value only; `PER_VALUE` keeps one
            counter for each distinct value.
        limit: None unlimited, 0 paused.

    Raises:
        ConfigurationError: naming the field.

    >>> TagLimit(key="kind", value="cpu", limit=2)
    TagLimit(key='kind', value='cpu', limit=2)
    """

    key: str
    value: str | PerValue | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        check_name(self.key, field="TagLimit.key")
        if self.value is not None and self.value is not PER_VALUE and type(self.value) is not str:
            raise ConfigurationError(
                f"TagLimit.value of {self.key!r} must be None, a string or PER_VALUE, not {type(self.value).__name__}"
            )
        check_limit(self.limit, field=f"TagLimit.limit of {self.key!r}")


def check_tag_limits(rules: object, *, field: str = "tag_concurrency_limits") -> tuple[TagLimit, ...]:
    """Returns the rules as a tuple; two rules of one key and value are refused."""
    given_type = type(rules).__name__
    if isinstance(rules, (str, Mapping)) or not isinstance(rules, Iterable):
        raise ConfigurationError(f"{field} must be a list of TagLimit, not {given_type}")
    given = cast("Iterable[object]", rules)
    checked: list[TagLimit] = []
    seen: set[tuple[str, object]] = set()
    for rule in given:
        if not isinstance(rule, TagLimit):
            raise ConfigurationError(f"{field}[{len(checked)}] must be a TagLimit, not {type(rule).__name__}")
        if (rule.key, rule.value) in seen:
            raise ConfigurationError(f"{field} has two rules for key {rule.key!r} and value {rule.value!r}; keep one")
        seen.add((rule.key, rule.value))
        checked.append(rule)
    return tuple(checked)


_NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


def _no_tags() -> Mapping[str, str]:
    return _NO_TAGS


@dataclass(frozen=True, slots=True)
class OpOptions:
    """What is tuned on one op. Made by `@op(...)` and `.options(...)`; checked there."""

    pool: PoolNeeds | Callable[..., Any] = ()
    tags: Mapping[str, str] = field(default_factory=_no_tags)
    priority: int = 0
    expected: float | None = None
    retry: Retry | None = None
    timeout: float | None = None
    hooks: Hooks | None = None

    def merged(
        self,
        *,
        pool: PoolOption | Unset = UNSET,
        tags: Mapping[str, str] | Unset = UNSET,
        priority: int | Unset = UNSET,
        expected: float | None | Unset = UNSET,
        retry: Retry | None | Unset = UNSET,
        timeout: float | timedelta | None | Unset = UNSET,
        hooks: Hooks | None | Unset = UNSET,
    ) -> Self:
        """Returns a copy with what was given: tags merge by key, all else replaces."""
        changes: dict[str, Any] = {}
        if pool is not UNSET:
            changes["pool"] = check_pool(pool)
        if tags is not UNSET:
            changes["tags"] = MappingProxyType({**self.tags, **check_tags(tags)})
        if priority is not UNSET:
            changes["priority"] = check_priority(priority)
        if expected is not UNSET:
            changes["expected"] = None if expected is None else check_positive(expected, field="expected")
        if retry is not UNSET:
            changes["retry"] = check_retry(retry)
        if timeout is not UNSET:
            changes["timeout"] = check_timeout(timeout)
        if hooks is not UNSET:
            changes["hooks"] = check_hooks(hooks)
        return replace(self, **changes) if changes else self


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is tuned on a graph or one of its runs. Made by `@graph(...)` and `.options(...)`; checked there.

    `max_concurrent`, `tag_concurrency_limits`, `op_retry` and `timeout` belong to a graph wherever it stands; the
    others to the outermost run only.
    """

    max_concurrent: int | None = None
    tag_concurrency_limits: tuple[TagLimit, ...] = ()
    on_error: OnError = "continue"
    tags: Mapping[str, str] = field(default_factory=_no_tags)
    priority: int = 0
    fair_key: Hashable | None = None
    weight: float = 1.0
    run_id: str | None = None
    resume_from: object = None
    retry: Retry | None = None
    on_full: OnFull = "queue"
    conflict_key: str | None = None
    singleton: bool = False
    wait_timeout: float | None = None
    op_retry: Retry | None = None
    hooks: Hooks | None = None
    timeout: float | None = None

    def merged(self, **changes: object) -> Self:
        """Returns a copy with the given options checked: tags merge by key, all else replaces.

        Raises:
            ConfigurationError: for an option that does not exist, or a value it cannot have.
        """
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if value is UNSET:
                continue
            if name not in _RUN_CHECKS:
                known = [one.name for one in fields(self)]
                raise ConfigurationError(f"a run has no option {name!r}{did_you_mean(name, known)}")
            checked[name] = _RUN_CHECKS[name](value)
        if "tags" in checked:
            checked["tags"] = MappingProxyType({**self.tags, **checked["tags"]})
        return replace(self, **checked) if checked else self


def _check_on_error(value: object) -> OnError:
    if value == "continue":
        return "continue"
    if value == "fail_fast":
        return "fail_fast"
    raise ConfigurationError(f"on_error must be 'continue' or 'fail_fast', got {value!r:.60}")


def _check_on_full(value: object) -> OnFull:
    for known in get_args(OnFull):
        if value == known:
            found: OnFull = known
            return found
    raise ConfigurationError(f"on_full must be one of {', '.join(map(repr, get_args(OnFull)))}, got {value!r:.60}")


def _check_fair_key(value: object) -> Hashable:
    if not isinstance(value, Hashable):
        raise ConfigurationError(f"fair_key must be hashable, {type(value).__name__} is not")
    return value


_RUN_CHECKS: Final[Mapping[str, Callable[[object], Any]]] = MappingProxyType(
    {
        "max_concurrent": lambda value: check_limit(value, field="max_concurrent"),
        "tag_concurrency_limits": check_tag_limits,
        "on_error": _check_on_error,
        "tags": check_tags,
        "priority": check_priority,
        "fair_key": _check_fair_key,
        "weight": lambda value: check_positive(value, field="weight"),
        "run_id": lambda value: None if value is None else check_name(value, field="run_id"),
        "resume_from": lambda value: value,
        "on_full": _check_on_full,
        "conflict_key": lambda value: None if value is None else check_name(value, field="conflict_key"),
        "singleton": lambda value: check_flag(value, field="singleton"),
        "wait_timeout": lambda value: check_timeout(value, field="wait_timeout"),
        "timeout": check_timeout,
        "hooks": check_hooks,
        "retry": check_retry,
        "op_retry": lambda value: check_retry(value, field="op_retry"),
    }
)
