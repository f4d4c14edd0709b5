"""The pools of a deployment as limits: which limits a pool option asks for.

A pool has one limit for all; where `per_key` is set, each key has a fine one beside it. A pool nobody gave a limit
follows `default_limit`; without that it is unlimited, but still counted and told once, since it is most often a
misspelling. Under `strict` it is refused.

Limits of keys are made at first use. There may be a new key for each customer or host, so those that nobody uses are
swept out whenever their number has doubled. A key is used as long as somebody holds it or has a demand that names it:
otherwise two limits of one key could be alive at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from asyncflow._limits.admission import Admission
from asyncflow._limits.limit import Limit
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import PER_VALUE, TagLimit

PoolLimit: TypeAlias = tuple[int | None, int | None, bool]
"""A configured pool: its limit, the limit of each of its keys, and whether its holders lend to their children."""

_FEW_KEYS: Final = 64


@dataclass(frozen=True, slots=True)
class PoolNotice:
    """Something to be said once about a pool."""

    pool: str
    message: str


class LimitBook:
    """The limits of all pools.

    Args:
        admission: Where the limits live.
        default_limit: For pools that are not in `limits`; None leaves them unlimited.
        limits: The configured pools.
        strict: True refuses pools without a limit.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        default_limit: int | None = None,
        limits: Mapping[str, PoolLimit] | None = None,
        strict: bool = False,
    ) -> None:
        self._admission = admission
        self._configured: dict[str, PoolLimit] = dict(limits or {})
        self._strict = strict
        self._pools: dict[str, Limit] = {}
        self._keys: dict[str, Limit] = {}
        self._sweep_at = _FEW_KEYS
        self.default_limit = default_limit
        self.notices: list[PoolNotice] = []
        for name, (limit, _, reentrant) in self._configured.items():
            self._pools[name] = admission.limit(name, limit, reentrant=reentrant)

    def pool(self, name: str) -> Limit:
        """Returns the limit of a whole pool, made at its first use.

        Raises:
            ConfigurationError: where nobody gave it a limit and the book is strict.
        """
        limit = self._pools.get(name)
        if limit is None:
            if self.default_limit is None:
                self._tell_unlimited(name)
            limit = self._pools[name] = self._admission.limit(name, self.default_limit)
        return limit

    def needs(self, pools: Iterable[tuple[str, int]]) -> list[tuple[Limit, int]]:
        """Returns what a pool option asks for: of each pool, and of its key where keys are limited.

        Raises:
            ConfigurationError: for a pool without a limit where the book is strict.
        """
        if len(self._keys) >= self._sweep_at:
            self._sweep()
        asked: list[tuple[Limit, int]] = []
        for name, slots in pools:
            pool, _, key = name.partition(":")
            asked.append((self.pool(pool), slots))
            configured = self._configured.get(pool)
            if key and configured is not None and configured[1] is not None:
                asked.append((self._key(name, configured), slots))
        return asked

    def _key(self, name: str, configured: PoolLimit) -> Limit:
        limit = self._keys.get(name)
        if limit is None:
            _, per_key, reentrant = configured
            limit = self._keys[name] = self._admission.limit(name, per_key, named=False, reentrant=reentrant)
        return limit

    def _sweep(self) -> None:
        """Forgets the keys that nobody uses."""
        names = {limit: name for name, limit in self._keys.items()}
        for limit in self._admission.idle(names):
            self._admission.drop(limit)
            del self._keys[names[limit]]
        self._sweep_at = max(_FEW_KEYS, 2 * len(self._keys))

    def _tell_unlimited(self, name: str) -> None:
        near = did_you_mean(name, self._configured)
        if self._strict:
            raise ConfigurationError(
                f"pool {name!r} has no limit and `strict` is set{near};"
                f" add it to concurrency.pools.limits, or set default_limit"
            )
        self.notices.append(PoolNotice(name, f"pool {name!r} has no limit: it is unlimited{near}"))

    def __repr__(self) -> str:
        return f"<limit book pools={len(self._pools)} keys={len(self._keys)}>"


def tag_needs(
    rules: Iterable[TagLimit], tags: Mapping[str, str], limit_of: Callable[[str, int | None], Limit]
) -> Iterator[tuple[Limit, int]]:
    """Yields what something with these tags asks for under tag rules: a unit of each rule's counter that matches.

    Args:
        rules: The rules of one scope.
        tags: The tags.
        limit_of: Makes or finds the scope's limit of this name, with this capacity.
    """
    for rule in rules:
        value = tags.get(rule.key)
        if value is None:
            continue
        if rule.value is None:
            yield limit_of(f"@tag:{rule.key}", rule.limit), 1
        elif rule.value is PER_VALUE:
            yield limit_of(f"@tag:{rule.key}[{value}]", rule.limit), 1
        elif rule.value == value:
            yield limit_of(f"@tag:{rule.key}={value}", rule.limit), 1
