"""What the items of a stream leave for the result of their run.

The records of the first `RECORDED` items are kept. Of later ones only those ops that did not succeed have a record; all
are counted. So a stream of a million items takes the memory of ten thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from asyncflow._authoring import NodeKind
from asyncflow._executor.record import record_of
from asyncflow._scheduler import FAILED, STATUS, SUCCEEDED
from asyncflow.results import OpResult, OpStatus

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.item import ItemExecution
    from asyncflow._plan import ItemPlan

RECORDED: Final = 10_000
"""Items of one `each` over a stream whose every op has a record."""


class Ledger:
    """What items left that have ended.

    Args:
        item: What ran for each of them.

    Attributes:
        records: The records of ops, by key.
        waits: What all ops waited for, in nanoseconds.
    """

    __slots__ = ("_inner", "_item", "_others", "_whole", "records", "waits")

    def __init__(self, item: ItemPlan) -> None:
        self._item = item
        self._whole = 0
        self._others: Counter[tuple[str, OpStatus]] = Counter()
        self._inner: Counter[tuple[str, OpStatus]] = Counter()
        self.records: dict[str, OpResult] = {}
        self.waits: dict[str, int] = {}

    def note(self, item: ItemExecution) -> None:
        """An item has ended."""
        self._add_waits(item)
        whole = item.status.count(SUCCEEDED) == len(item.status) == len(self._item.keys)
        if whole:
            self._whole += 1
        else:
            self._count(item)
        if item.index < RECORDED:
            self.records.update(records_of(item))
        elif not whole or item.descendants or item.streams:
            self.records.update({key: op for key, op in records_of(item) if op.status is not OpStatus.SUCCEEDED})
        for flow in item.streams.values():
            self._inner.update(dict(flow.counts()))

    def counts(self) -> Iterator[tuple[tuple[str, OpStatus], int]]:
        """Yields how many ops of each kind, by their key without names of items, ended how."""
        total: Counter[tuple[str, OpStatus]] = Counter(self._others)
        total.update(self._inner)
        if self._whole:
            for i, key in enumerate(self._item.keys):
                if self._item.plan.nodes[i].kind is NodeKind.OP:
                    total[key, OpStatus.SUCCEEDED] += self._whole
        yield from total.items()

    def _count(self, item: ItemExecution) -> None:
        for i, node in enumerate(item.nodes):
            if node.kind is NodeKind.OP:
                key = self._item.keys[i] if i < len(self._item.keys) else unnamed(item.key(i))
                self._others[key, STATUS[item.status[i]]] += 1

    def _add_waits(self, item: ItemExecution) -> None:
        for part in parts_of(item):
            trials = [trial.waited for trial in part.trials.values()] if part.trials else ()
            for waits in (*part.waited.values(), *trials):
                for name, nanoseconds in waits.items():
                    self.waits[name] = self.waits.get(name, 0) + nanoseconds
            for flow in part.streams.values():
                for name, nanoseconds in flow.waits():
                    self.waits[name] = self.waits.get(name, 0) + nanoseconds


def unnamed(key: str) -> str:
    """Returns a key without the names of items in it."""
    parts = key.split("[")
    return "[".join([parts[0], *["]" + part.partition("]")[2] for part in parts[1:]]])


def parts_of(item: Execution) -> list[Execution]:
    """Returns an execution and all that its ops ran as children."""
    parts = [item]
    for part in parts:
        parts.extend(part.descendants)
    return parts


def records_of(item: Execution) -> Iterator[tuple[str, OpResult]]:
    """Yields the records of all that ran in an item."""
    for part in parts_of(item):
        for i, node in enumerate(part.nodes):
            if (node.shown or part.status[i] == FAILED) and not (i in part.unlisted and part.status[i] == SUCCEEDED):
                yield part.key(i), record_of(part, i)
        for flow in part.streams.values():
            yield from flow.records()
