"""The book of runs: what a run as a whole asks for, beside what its ops do.

A place under `max_concurrent_runs`, a unit of the counter of every run-tag rule that matches, its conflict key, the
place under the cap over all branches, and a slot of every pool that runs take as a whole. What is unlimited and not
paused is not asked for: a run that asks for nothing needs no place in the queue.

The run buffer lets that many runs out although all their roots are blocked. It is a limit too, asked for by one more
ghost of each run, and given back when the run's first op is admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from asyncflow._limits.admission import Admission
from asyncflow._limits.book import tag_needs
from asyncflow._limits.limit import Limit
from asyncflow._limits.proposal import Changes, NewLimit
from asyncflow._limits.table import Draft, Find, LimitTable
from asyncflow.options import PER_VALUE, TagLimit

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class RunQuotas:
    """What was said about runs.

    Args:
        max_concurrent_runs: How many are admitted at once.
        rules: Run-tag rules.
        buffer: How many runs may be admitted while all their roots are blocked.
        branches: How many runs of all branches together are admitted at once.
        paused: True admits none.
    """

    max_concurrent_runs: int | None = None
    rules: tuple[TagLimit, ...] = ()
    buffer: int = 0
    branches: int | None = None
    paused: bool = False

    def needs(
        self, tags: Mapping[str, str], conflict: str | None, find: Find[L], *, suffix: str = ""
    ) -> Iterator[tuple[L, int]]:
        """Yields what a run with these tags asks for."""
        if self.max_concurrent_runs is not None or self.paused:
            yield find(f"@max_concurrent_runs{suffix}", self.max_concurrent_runs), 1

        def of_rule(name: str, rule: TagLimit) -> L:
            return find(f"{name}{suffix}", rule.limit, named=rule.value is not PER_VALUE)

        yield from tag_needs([rule for rule in self.rules if rule.limit is not None], tags, of_rule, kind="run_tag")
        if conflict is not None:
            yield find(f"@conflict_key:{conflict}{suffix}", 1, named=False), 1


class RunBook:
    """The limits of runs.

    Args:
        admission: Where the limits live.
        quotas: What was said about them.
        suffix: What the names of its limits end with, where several books share one core.
        around: The cap over all branches, for the book of a branch.
    """

    def __init__(
        self, admission: Admission, quotas: RunQuotas | None = None, *, suffix: str = "", around: Limit | None = None
    ) -> None:
        self.suffix = suffix
        self.around = around
        self.quotas = RunQuotas() if quotas is None else quotas
        self.table = LimitTable(admission)

    @property
    def quotas(self) -> RunQuotas:
        """What was said about runs."""
        return self._quotas

    @quotas.setter
    def quotas(self, quotas: RunQuotas) -> None:
        self._quotas = quotas
        limited = quotas.max_concurrent_runs is not None or quotas.paused or quotas.rules
        self._free = not limited and self.around is None

    @property
    def places(self) -> Limit:
        """The limit under which runs have their places."""
        return self.table.find(f"@max_concurrent_runs{self.suffix}", self.quotas.max_concurrent_runs)

    @property
    def buffer(self) -> Limit | None:
        """The run buffer, where there is one."""
        return self.table.find(f"@run_buffer{self.suffix}", self.quotas.buffer) if self.quotas.buffer else None

    @property
    def branches(self) -> Limit:
        """The cap over the runs of all branches."""
        return self.table.find("@branch_runs", self.quotas.branches)

    def needs(self, tags: Mapping[str, str], conflict: str | None) -> list[tuple[Limit, int]]:
        """Returns what a run asks for; nothing where nothing limits it."""
        if self._free and conflict is None:
            return []
        asked = list(self.quotas.needs(tags, conflict, self.table.find, suffix=self.suffix))
        if self.around is not None:
            asked.append((self.around, 1))
        return asked

    def redraw(self, quotas: RunQuotas, changes: Changes) -> Draft:
        """Notes what has to change for other quotas to hold; nothing is changed yet.

        A counter whose rule is gone has no capacity any more, for those who look; nobody asks for it.
        """
        draft = Draft(self.table, changes)
        names = {limit.name for limit in self.table}
        if f"@max_concurrent_runs{self.suffix}" in names:
            draft.find(f"@max_concurrent_runs{self.suffix}", quotas.max_concurrent_runs)
        if "@branch_runs" in names:
            draft.find("@branch_runs", quotas.branches)
        for limit in self.table:
            name = limit.name.removesuffix(self.suffix)
            rules = [rule for rule in quotas.rules if matches(name, rule)]
            if rules or name.startswith("@run_tag:"):
                draft.find(limit.name, rules[-1].limit if rules else None, named=limit.named)
        return draft

    def drafted_needs(
        self, quotas: RunQuotas, draft: Draft, tags: Mapping[str, str], conflict: str | None
    ) -> list[tuple[Limit | NewLimit, int]]:
        """Returns what a run will ask for under other quotas."""
        asked = list(quotas.needs(tags, conflict, draft.find, suffix=self.suffix))
        if self.around is not None:
            asked.append((self.around, 1))
        return asked

    def __repr__(self) -> str:
        return f"<run book {self.table!r}>"


def matches(name: str, rule: TagLimit) -> bool:
    """Returns whether a limit of this name counts for a run-tag rule."""
    if rule.value is None:
        return name == f"@run_tag:{rule.key}"
    if rule.value is PER_VALUE:
        return name.startswith(f"@run_tag:{rule.key}[") and name.endswith("]")
    return name == f"@run_tag:{rule.key}={rule.value}"


def alike(before: Iterable[TagLimit], after: Iterable[TagLimit]) -> bool:
    """Returns whether two lists of rules ask runs for the same counters, whatever their capacities."""

    def asked(rules: Iterable[TagLimit]) -> set[tuple[str, object]]:
        return {(rule.key, rule.value) for rule in rules if rule.limit is not None}

    return asked(before) == asked(after)
