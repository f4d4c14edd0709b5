"""The limits of one scope in one run: its cap and its op-tag rules. Those of enclosing scopes hold too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asyncflow._limits import Admission, Limit
from asyncflow.options import PER_VALUE, TagLimit


@dataclass(slots=True, eq=False)
class ScopeLimits:
    """The limits of one call of a graph.

    Args:
        parent: Those of the scope around it.
        cap: How many of its ops run at once; None where nobody asked.
        rules: Its op-tag rules.
        path: The scope's path, for the names of its limits.
    """

    parent: ScopeLimits | None
    cap: Limit | None
    rules: tuple[TagLimit, ...]
    path: str
    made: dict[tuple[str, str | None, bool], Limit] = field(default_factory=dict[tuple[str, str | None, bool], Limit])
    retired: list[Limit] = field(default_factory=list[Limit])

    @classmethod
    def of(
        cls,
        core: Admission,
        parent: ScopeLimits | None,
        *,
        max_concurrent: int | None,
        rules: tuple[TagLimit, ...],
        path: str,
    ) -> ScopeLimits:
        """Makes the limits of a scope; a scope without any of its own is its parent."""
        if parent is not None and max_concurrent is None and not rules:
            return parent
        made = cls(parent, None, rules, path)
        made.replace_cap(core, max_concurrent)
        return made

    def replace_cap(self, core: Admission, max_concurrent: int | None) -> None:
        """Makes the cap where there was none, or takes it away where there shall be none any more."""
        if max_concurrent is None:
            self.retired.extend([] if self.cap is None else [self.cap])
            self.cap = None
        elif self.cap is None:
            name = f"@max_concurrent:{self.path}" if self.path else "@max_concurrent"
            self.cap = core.limit(name, max_concurrent, named=False)

    def needs(self, core: Admission, tags: Mapping[str, str]) -> Iterator[tuple[Limit, int]]:
        """Yields what an op with these tags asks of this scope and of all around it."""
        scope: ScopeLimits | None = self
        while scope is not None:
            if scope.cap is not None:
                yield scope.cap, 1
            for rule in scope.rules:
                value = tags.get(rule.key)
                if value is not None and (rule.value is None or rule.value is PER_VALUE or rule.value == value):
                    yield scope.tag_limit(core, rule, value), 1
            scope = scope.parent

    def tag_limit(self, core: Admission, rule: TagLimit, value: str) -> Limit:
        """Returns the limit that counts for a rule and a tag's value, made at its first use."""
        key = self.counter(rule, value)
        each = key[2]
        limit = self.made.get(key)
        if limit is None:
            name = (
                f"@tag:{rule.key}[{value}]"
                if each
                else f"@tag:{rule.key}" + ("" if rule.value is None else f"={value}")
            )
            limit = self.made[key] = core.limit(f"{name}:{self.path}" if self.path else name, rule.limit, named=False)
        return limit

    @staticmethod
    def counter(rule: TagLimit, value: str | None) -> tuple[str, str | None, bool]:
        """Returns what tells the counter of a rule and a tag's value from others."""
        return rule.key, None if rule.value is None else value, rule.value is PER_VALUE

    def own(self) -> Iterator[Limit]:
        """Yields the limits this scope made, to be dropped with it."""
        if self.cap is not None:
            yield self.cap
        yield from self.made.values()
        yield from self.retired
