"""Who takes the items of a source one by one, and what else these wait for.

A map takes them one by one unless it also needs something that is made of the whole list (`each(f, xs, total(xs))`),
or names its items by values that another map makes first. The same holds for a stream that an op reads.

The source starts only when all else that its takers need has ended: otherwise it would hold what it has and wait for a
taker that waits for an op that waits for what the source holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from asyncflow._authoring import NodeKind
from asyncflow._plan import Stage
from asyncflow._scheduler.frame import Frame
from asyncflow._scheduler.state import RETRYING


@dataclass(slots=True)
class Takers:
    """What takes the items of a source.

    Args:
        maps: The maps, each after the one it takes its items from.
        streams: The STREAM nodes with what they read and the op that reads them.
        needs: The nodes, apart from these and the source, that must have ended before the source starts.
    """

    maps: list[Stage] = field(default_factory=list[Stage])
    streams: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    needs: dict[int, None] = field(default_factory=dict[int, None])

    def unmet(self, frame: Frame) -> list[int]:
        """Returns what the source has to wait for."""
        return [i for i in self.needs if frame.status[i] <= RETRYING]


def takers_of(frame: Frame, source: int) -> Takers:
    """Returns who takes the items of a source one by one."""
    found = Takers()
    behind = _behind(frame, source)
    todo = [source]
    for feed in todo:
        for j in frame.waiters_of(feed):
            node = frame.nodes[j]
            if node.kind is NodeKind.MAP and node.items == feed and node.fragment is not None:
                others = [k for k in (*node.predecessors(), *node.fragment.captures) if k != feed]
                named = node.fragment.map_key is not None and feed != source
                if not (named or behind.intersection(others)):
                    found.maps.append(Stage(j, feed, node))
                    found.needs.update(dict.fromkeys(others))
                    todo.append(j)
            elif node.kind is NodeKind.STREAM:
                _read(frame, found, behind, j, feed)
    return found


def _read(frame: Frame, found: Takers, behind: set[int], stream: int, feed: int) -> None:
    readers = list(frame.waiters_of(stream))
    if len(readers) != 1:
        return  # nobody reads it
    reader = readers[0]
    others = [k for i in (stream, reader) for k in frame.nodes[i].predecessors() if k not in (feed, stream)]
    op = frame.nodes[reader].op
    if op is not None and op.mode == "stream":  # it reads only when its own takers are ready
        others += takers_of(frame, reader).needs
    if behind.intersection(others):
        return
    found.streams.append((stream, feed, reader))
    found.needs.update(dict.fromkeys(others))


def _behind(frame: Frame, source: int) -> set[int]:
    """Returns all that waits for a source, directly or not."""
    seen: set[int] = set()
    todo: list[int] = [source]
    while todo:
        followers: Iterable[int] = frame.waiters_of(todo.pop())
        for j in followers:
            if j not in seen:
                seen.add(j)
                todo.append(j)
    return seen
