"""Resuming a run that had streams: what of them runs again.

The items of a stream are gone when they have ended, so a stream whose results somebody still needs runs again from its
source. What took a whole list of it and succeeded is kept, and so is everything where the stream came to its end.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

from asyncflow._authoring import NodeKind
from asyncflow._executor.reader import ListReader, StreamReader
from asyncflow._scheduler import SUCCEEDED, is_kept

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution


def lost_streams(past: Execution) -> set[int]:
    """Returns the nodes of an execution that ended which must run again though they succeeded."""
    feeds = _feeds(past)
    if not feeds:
        return set()
    lost = {i for i, value in enumerate(past.values) if type(value) is StreamReader}
    again = [i for i in feeds if i in lost or not is_kept(past, i)]
    sources = {_source(feeds, i) for i in again if feeds[i] in lost or not _is_there(past, feeds[i])}
    sources |= {i for i in map(_source, repeat(feeds), feeds) if not is_kept(past, i)}
    for i in again:
        if _source(feeds, i) in sources:
            lost.update(_behind(feeds, i))
    return lost


def read_anew(frame: Execution) -> None:
    """Lists that an op had begun to read are read from the start."""
    for i, value in enumerate(frame.values):
        if type(value) is ListReader:
            frame.values[i] = value.anew(frame)


def _feeds(past: Execution) -> dict[int, int]:
    """Returns what took results one by one, with what it took them from."""
    feeds: dict[int, int] = {}
    for i, node in enumerate(past.nodes):
        if node.kind is NodeKind.STREAM:
            feeds[i] = node.sources[0]
        elif node.kind is NodeKind.MAP and node.items >= 0 and i not in past.expanded:
            feeds[i] = node.items
    return {i: feed for i, feed in feeds.items() if _is_source(past, _source(feeds, i))}


def _source(feeds: dict[int, int], i: int) -> int:
    while i in feeds:
        i = feeds[i]
    return i


def _behind(feeds: dict[int, int], i: int) -> list[int]:
    """Returns what a taker takes its results from, down to the source."""
    found: list[int] = []
    while i in feeds:
        i = feeds[i]
        found.append(i)
    return found


def _is_source(past: Execution, i: int) -> bool:
    op = past.nodes[i].op
    return op is not None and op.mode == "stream"


def _is_there(past: Execution, i: int) -> bool:
    """Returns whether the whole list of a source or a map was kept."""
    return past.status[i] == SUCCEEDED and type(past.values[i]) is list
