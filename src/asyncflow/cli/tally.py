"""Counting: what a run has done so far, from its events alone.

Ops are counted by name, not one by one, so that a run of a million items takes no more room than one of ten: the
items of `fetch[17]` and the calls `fetch#2` are all `fetch`. How many there will be is known for what was wired; a map
over a result has as many items as the busiest stage of its chain has shown so far, all of them as soon as it grows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncflow._authoring import NodeKind
from asyncflow._plan import Plan
from asyncflow.events import (
    Event,
    NeverFits,
    OpBlocked,
    OpEnded,
    OpRetried,
    OpStarted,
    PoolUnlimited,
    RunBlocked,
    RunQueued,
    RunStarted,
    StuckOp,
)
from asyncflow.results import OpStatus

_NUMBERED: Final = re.compile(r"\[[^\]]*\]|#\d+")
FAILURES: Final = 100
"""Keys of failed ops that are kept; so many notices, too."""


@dataclass(slots=True)
class Group:
    """The ops of one name.

    Args:
        name: Their keys without items and numbers.
        wired: How many were wired.
        per_item: How many there are for each item of the map they stand in; 0 outside of maps.
        chain: The number of the chain of maps they stand in, or -1.
        seen: How many became ready or started.
        ended: How many that had started have ended.
        failed: How many of these failed.
        stopped: How many of these were cancelled.
        running: How many run.
    """

    name: str
    wired: int = 0
    per_item: int = 0
    chain: int = -1
    seen: int = 0
    ended: int = 0
    failed: int = 0
    stopped: int = 0
    running: int = 0


@dataclass(slots=True)
class Tally:
    """What is known of a run while it goes on.

    Attributes:
        graph: Its name.
        groups: Its ops by name, in order of the plan; those that nobody wired come behind.
        running: The keys of the ops that run.
        blocked: The keys of those that wait for limits, and for which.
        retrying: The keys of those that failed and will be tried again.
        failures: The keys of the first ops that failed.
        queued: True until the run is admitted.
        queued_by: What it waits for meanwhile.
        canceling: Why it is being ended, once it is.
        notices: What somebody should look at: pools without a limit, ops that outlive their cancellation or never fit.
    """

    graph: str
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    running: set[str] = field(default_factory=set[str])
    blocked: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    retrying: set[str] = field(default_factory=set[str])
    failures: list[str] = field(default_factory=list[str])
    queued: bool = False
    queued_by: tuple[str, ...] = ()
    canceling: str = ""
    notices: list[str] = field(default_factory=list[str])

    @staticmethod
    def of(plan: Plan) -> Tally:
        """Returns the tally of a run that has not begun."""
        tally = Tally(plan.name)
        chains: dict[int, int] = {}
        for i, node in enumerate(plan.nodes):
            if node.kind is NodeKind.OP:
                tally._group(node.key).wired += 1
            elif node.fragment is not None:
                chain = chains[i] = chains.get(node.items, i) if node.chained else i
                for part in node.fragment.nodes:
                    if part.kind is NodeKind.OP:
                        group = tally._group(part.key)
                        group.chain = chain
                        group.per_item += 1
        return tally

    def take(self, event: Event) -> None:
        """Counts one event of the run."""
        match event:
            case OpBlocked(key=key, limits=limits):
                if key not in self.blocked and key not in self.running and key not in self.retrying:
                    self._group(key).seen += 1
                self.retrying.discard(key)
                self.blocked[key] = limits
            case OpStarted(key=key):
                self._start(key)
            case OpRetried(key=key):
                self._stop(key)
                self.retrying.add(key)
            case OpEnded(key=key, status=status):
                self._end(key, status)
            case RunQueued():
                self.queued = True
            case RunBlocked(limits=limits):
                self.queued_by = limits
            case RunStarted():
                self.queued = False
            case PoolUnlimited(message=message):
                self._note(message)
            case NeverFits(key=key, limit=limit):
                self._note(f"{key or self.graph} asks for more than {limit} can ever give, and waits")
            case StuckOp(key=key, seconds=seconds):
                self._note(f"{key} was cancelled {seconds:g} s ago and still runs")
            case _:
                pass

    def _note(self, notice: str) -> None:
        if len(self.notices) < FAILURES and notice not in self.notices:
            self.notices.append(notice)

    def _start(self, key: str) -> None:
        group = self._group(key)
        group.seen += key not in self.retrying and key not in self.running and key not in self.blocked
        self.retrying.discard(key)
        self.blocked.pop(key, None)
        group.running += key not in self.running
        self.running.add(key)

    def _stop(self, key: str) -> None:
        if key in self.running:
            self.running.remove(key)
            self._group(key).running -= 1

    def _end(self, key: str, status: OpStatus) -> None:
        group = self._group(key)
        self.retrying.discard(key)
        self._stop(key)
        group.ended += 1
        group.stopped += status is OpStatus.CANCELED
        if status is OpStatus.FAILED:
            group.failed += 1
            if len(self.failures) < FAILURES:
                self.failures.append(key)

    def _group(self, key: str) -> Group:
        name = _NUMBERED.sub("", key) if "[" in key or "#" in key else key
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(name)
        return group

    def items(self) -> Mapping[int, int]:
        """Returns for each chain of maps how many items it is known to have."""
        found: dict[int, int] = {}
        for group in self.groups.values():
            if group.chain >= 0:
                beside = max(0, group.seen - group.wired)
                found[group.chain] = max(found.get(group.chain, 0), -(-beside // group.per_item))
        return found

    def totals(self) -> Mapping[str, int]:
        """Returns for each name how many ops there are, as far as that is known."""
        items = self.items()
        return {
            name: max(group.seen, group.wired + items.get(group.chain, 0) * group.per_item)
            for name, group in self.groups.items()
        }

    @property
    def ended(self) -> int:
        """How many ops have ended."""
        return sum([group.ended for group in self.groups.values()])

    @property
    def failed(self) -> int:
        """How many ops have failed."""
        return sum([group.failed for group in self.groups.values()])

    @property
    def grows(self) -> bool:
        """True while there are maps of which no item is known."""
        return any(not count for count in self.items().values())

    def short_of(self) -> list[tuple[str, int]]:
        """Returns the limits that blocked ops wait for, and how many do, most first."""
        return Counter([limit for limits in self.blocked.values() for limit in limits]).most_common()
