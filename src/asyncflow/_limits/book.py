"""The book of pools: which limits a pool option asks for.

A pool has one limit for all; where `per_key` is set, each key has a fine one beside it. A pool nobody gave a limit
follows `default_limit`; without that it is unlimited, but still counted and told once, since it is most often a
misspelling. Under `strict` it is refused.

A pool of granularity `run` is taken once by each run that names it, with the run's place and until its end; ops of
that run then need nothing more of it, so any number of them run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, TypeVar

from asyncflow._limits.admission import Admission
from asyncflow._limits.limit import Limit
from asyncflow._limits.proposal import Changes, NewLimit
from asyncflow._limits.table import Draft, Find, LimitTable
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import PER_VALUE, Granularity, OnLeaseLost, TagLimit

L = TypeVar("L")


class Follows(Enum):
    """The type of `FOLLOWS`."""

    FOLLOWS = "default"

    def __repr__(self) -> str:
        return "FOLLOWS"


FOLLOWS: Final = Follows.FOLLOWS
"""The limit of a pool that follows `default_limit`, also when that changes."""


@dataclass(frozen=True, slots=True)
class PoolQuota:
    """What was said about one pool.

    Args:
        limit: Its slots; `FOLLOWS` where only something else was said.
        per_key: The slots of each of its keys.
        reentrant: Whether its holders lend to their children.
        granularity: Who takes a slot; None is what the deployment says.
        on_lease_lost: What becomes of who holds it when a lease of it is lost.
    """

    limit: int | None | Follows = FOLLOWS
    per_key: int | None = None
    reentrant: bool = True
    granularity: Granularity | None = None
    on_lease_lost: OnLeaseLost = "cancel"


@dataclass(frozen=True, slots=True)
class PoolQuotas:
    """What was said about all pools.

    Args:
        pools: By name.
        default_limit: For pools that nobody gave a limit; None leaves them unlimited.
        granularity: Who takes the slots of pools for which nothing else was said.
        strict: True refuses pools without a limit.
    """

    pools: Mapping[str, PoolQuota] = field(default_factory=dict[str, PoolQuota])
    default_limit: int | None = None
    granularity: Granularity = "op"
    strict: bool = False

    def of(self, pool: str) -> PoolQuota:
        """Returns what was said about a pool."""
        return self.pools.get(pool, _NOTHING)

    def capacity(self, pool: str) -> int | None:
        """Returns the limit in force for a pool."""
        limit = self.of(pool).limit
        return self.default_limit if limit is FOLLOWS else limit

    def per_run(self, pool: str) -> bool:
        """True for a pool that is taken once by each run."""
        return (self.of(pool).granularity or self.granularity) == "run"

    @property
    def any_per_run(self) -> bool:
        """True where some pool is taken by whole runs."""
        return self.granularity == "run" or any(quota.granularity == "run" for quota in self.pools.values())

    def unlimited_by_accident(self, pool: str) -> bool:
        """True for a pool about which nobody said anything, and no default holds."""
        return self.default_limit is None and self.of(pool).limit is FOLLOWS

    def needs(
        self, pools: Iterable[tuple[str, int]], find: Find[L], *, prefix: str = "", keys: bool = False
    ) -> Iterator[tuple[L, int]]:
        """Yields what a pool option asks for: of each pool, and of its key where keys are limited, or `keys`."""
        for name, slots in pools:
            pool, _, key = name.partition(":")
            quota = self.of(pool)
            yield find(prefix + pool, self.capacity(pool), reentrant=quota.reentrant), slots
            if key and (keys or quota.per_key is not None):
                yield find(prefix + name, quota.per_key, named=False, reentrant=quota.reentrant), slots

    def with_limits(self, pools: Mapping[str, PoolQuota], **others: object) -> PoolQuotas:
        """Returns a copy in which some pools have other quotas; other fields by name."""
        return replace(self, pools={**self.pools, **pools}, **others)  # type: ignore[arg-type]  # the caller names fields


_NOTHING: Final = PoolQuota()


@dataclass(frozen=True, slots=True)
class PoolNotice:
    """Something to be said once about a pool."""

    pool: str
    message: str


class LimitBook:
    """The limits of all pools.

    Args:
        admission: Where the limits live.
        quotas: What was said about them.
        prefix: What the names of its limits begin with, where several books share one core.
        external: True where a backend grants their units: then it judges the keys too, limited here or not.
    """

    def __init__(
        self, admission: Admission, quotas: PoolQuotas | None = None, *, prefix: str = "", external: bool = False
    ) -> None:
        self.quotas = PoolQuotas() if quotas is None else quotas
        self.notices: list[PoolNotice] = []
        self.prefix = prefix
        self.table = LimitTable(admission, external=external)
        self._told: set[str] = set()
        for name in self.quotas.pools:
            self.pool(name)

    def pool(self, name: str) -> Limit:
        """Returns the limit of a whole pool, made at its first use.

        Raises:
            ConfigurationError: where nobody gave it a limit and the book is strict.
        """
        [(limit, _)] = self.needs([(name, 1)])
        return limit

    def needs(
        self, pools: Iterable[tuple[str, int]], *, held: AbstractSet[str] = frozenset()
    ) -> list[tuple[Limit, int]]:
        """Returns what a pool option asks for.

        Args:
            pools: The option in its inner form.
            held: Pools that the run holds as a whole; nothing more is needed of them.

        Raises:
            ConfigurationError: for a pool without a limit where the book is strict.
        """
        asked = [(name, slots) for name, slots in pools if name.partition(":")[0] not in held]
        for name, _ in asked:
            self._tell(name.partition(":")[0], held=held)
        return list(self.quotas.needs(asked, self.table.find, prefix=self.prefix, keys=self.external))

    @property
    def external(self) -> bool:
        """True where a backend grants the units."""
        return self.table.external

    def run_pools(self, pools: Iterable[str]) -> frozenset[str]:
        """Returns those of some pools that a run takes as a whole."""
        names = {name.partition(":")[0] for name in pools}
        return frozenset([name for name in names if self.quotas.per_run(name)])

    def limited(self, limit: Limit) -> bool:
        """True for the limit of a pool or key that has one."""
        return not limit.name.startswith("@") and (limit.capacity is not None or limit.paused)

    def redraw(self, quotas: PoolQuotas, changes: Changes) -> Draft:
        """Notes what has to change for other quotas to hold; nothing is changed yet."""
        draft = Draft(self.table, changes)
        known = {limit.name: limit for limit in self.table}
        for full in known:
            name = full.removeprefix(self.prefix)
            pool, colon, _ = name.partition(":")
            quota = quotas.of(pool)
            if not colon:
                draft.find(full, quotas.capacity(pool), reentrant=quota.reentrant)
            elif self.external or quota.per_key is not None:
                draft.find(full, quota.per_key, named=False, reentrant=quota.reentrant)
        for pool in quotas.pools:
            draft.find(self.prefix + pool, quotas.capacity(pool), reentrant=quotas.of(pool).reentrant)
        return draft

    def nearest(self, pool: str) -> str:
        """Returns a hint at the most similar pool that has a limit of its own."""
        return did_you_mean(pool, [name for name in self.quotas.pools if name != pool])

    def _tell(self, name: str, *, held: AbstractSet[str]) -> None:
        if name in self._told:
            return
        if self.quotas.unlimited_by_accident(name):
            near = self.nearest(name)
            if self.quotas.strict:
                raise ConfigurationError(
                    f"pool {name!r} has no limit and `strict` is set{near};"
                    f" add it to concurrency.pools.limits, or set default_limit"
                )
            self._told.add(name)
            self.notices.append(PoolNotice(name, f"pool {name!r} has no limit: it is unlimited{near}"))
        elif self.quotas.per_run(name) and name not in held:
            self._told.add(name)
            message = (
                f"pool {name!r} is taken by whole runs, but this one was not known when its run was submitted:"
                " it is taken by each op"
            )
            self.notices.append(PoolNotice(name, message))

    def __repr__(self) -> str:
        return f"<limit book {self.table!r}>"


def tag_needs(
    rules: Iterable[TagLimit], tags: Mapping[str, str], limit_of: Callable[[str, TagLimit], L], *, kind: str = "tag"
) -> Iterator[tuple[L, int]]:
    """Yields what something with these tags asks for under tag rules: a unit of each rule's counter that matches.

    Args:
        rules: The rules of one scope.
        tags: The tags.
        limit_of: Makes or finds the limit of this name for a rule.
        kind: What the names of the limits begin with.
    """
    for rule in rules:
        value = tags.get(rule.key)
        if value is None:
            continue
        if rule.value is None:
            yield limit_of(f"@{kind}:{rule.key}", rule), 1
        elif rule.value is PER_VALUE:
            yield limit_of(f"@{kind}:{rule.key}[{value}]", rule), 1
        elif rule.value == value:
            yield limit_of(f"@{kind}:{rule.key}={value}", rule), 1


__all__ = ["FOLLOWS", "Follows", "LimitBook", "NewLimit", "PoolNotice", "PoolQuota", "PoolQuotas", "tag_needs"]
