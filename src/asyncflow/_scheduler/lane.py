"""Lanes: results of the items of a stream, brought back into the order of the items.

Items end in any order. What comes early waits until all before it have come; then it joins the list, where somebody
reads the whole list, and the queues of those who read one by one. What nobody reads is not kept.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from asyncflow._plan import MISSING


class Broken:
    """In place of the result of an item that failed, or at the end of a stream whose source failed.

    Args:
        key: The op that failed.
        error: What it raised.
    """

    __slots__ = ("error", "key")

    def __init__(self, key: str, error: BaseException | None) -> None:
        self.key = key
        self.error = error


class Queue:
    """Results that one op reads, in order.

    Args:
        stream: The STREAM node.
        reader: The op that reads it.

    Attributes:
        results: Those that are there and not read yet.
        taken: How many were read.
        broken: Why there is nothing more after these.
        over: True when nothing more will come.
    """

    __slots__ = ("broken", "over", "reader", "results", "stream", "taken")

    def __init__(self, stream: int, reader: int) -> None:
        self.stream = stream
        self.reader = reader
        self.results: deque[Any] = deque()
        self.taken = 0
        self.broken: Broken | None = None
        self.over = False

    @property
    def readable(self) -> bool:
        """True where a reader need not wait: something is there, or nothing will come any more."""
        return bool(self.results) or self.over or self.broken is not None

    def put(self, value: object) -> None:
        """The next result is there."""
        if self.broken is not None:
            return
        if type(value) is Broken:
            self.broken = value
        else:
            self.results.append(value)

    def end(self, broken: Broken | None) -> None:
        """Nothing more will come."""
        self.over = True
        if self.broken is None:
            self.broken = broken


class Lane:
    """The results of one map, or the items of the source.

    Args:
        keep: Whether somebody reads the whole list.

    Attributes:
        queues: Those who read one by one.
        kept: The list so far; None where nobody reads it.
        broken: The first item, in order of failing, that did not succeed.
        early: Results that wait for one before them.
    """

    __slots__ = ("_next", "broken", "early", "kept", "queues")

    def __init__(self, *, keep: bool) -> None:
        self.queues: list[Queue] = []
        self.kept: list[Any] | None = [] if keep else None
        self.broken: Broken | None = None
        self.early: dict[int, Any] = {}
        self._next = 0

    def put(self, index: int, value: object) -> None:
        """The result of item `index` is there: a value, MISSING where it was skipped, or `Broken`."""
        if type(value) is Broken and self.broken is None:
            self.broken = value
        if self.kept is None and not self.queues:
            return
        self.early[index] = value
        while self._next in self.early:
            self._deliver(self.early.pop(self._next))
            self._next += 1

    def _deliver(self, value: object) -> None:
        if value is MISSING:
            return
        if self.kept is not None and type(value) is not Broken:
            self.kept.append(value)
        for queue in self.queues:
            queue.put(value)

    def end(self, broken: Broken | None) -> None:
        """All items have ended, and no more will come."""
        for queue in self.queues:
            queue.end(broken)

    def unread(self, queue: Queue) -> int:
        """Returns how many results wait for a reader."""
        return len(queue.results) + len(self.early)
