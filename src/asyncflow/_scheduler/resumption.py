"""Resuming: a frame goes on where another frame of the same plan ended.

What succeeded is kept with its value, as far as somebody still needs it, and so are what was skipped and what a settled
call that succeeded had taken on itself. All else is as if it had never begun, so the counts of who waits for whom are
made anew from the edges. Maps that had grown stay grown: their items follow from a value that is kept.

What is kept depends on what runs again in two cases only, and does not wait for it: a skip, to which it does not
matter who else it waited for, and a settled call that was abandoned, whose outcome was used as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from asyncflow._authoring import NodeKind
from asyncflow._scheduler.frame import Frame
from asyncflow._scheduler.state import FAILED, SKIPPED, SUCCEEDED

_NEVER: Final = 1 << 40
"""More predecessors than a node can have: what is kept is never made ready again, and its value never dropped."""


def take_up(frame: Frame, past: Frame, inputs: Sequence[Any], *, lost: Collection[int] = ()) -> range:
    """Fills a new frame with what another one of an equal plan achieved; `ready` and `inline` have what can go on.

    Args:
        frame: A frame in which nothing began; grows.
        past: A frame that ended.
        inputs: The inputs, equal to the past ones.
        lost: Nodes that run again though they succeeded, since what they gave is gone.

    Returns:
        The ids of the nodes that the past frame had appended.
    """
    first, count = len(frame.plan.nodes), len(past.nodes)
    frame.own_tables()
    for node in past.nodes[first:]:
        frame.append(node)
    frame.scopes = list(past.scopes)
    kept = [i not in lost and is_kept(past, i) for i in range(count)]
    for i in range(count):
        frame.missing[i] = _NEVER if kept[i] else 0
        if kept[i]:
            frame.status[i], frame.values[i], frame.readers[i] = past.status[i], past.values[i], _NEVER
        else:
            frame.readers[i] = past.nodes[i].readers if i < first else _NEVER
    frame.left = kept.count(False)
    frame.kept = frozenset([i for i in range(count) if kept[i] and past.status[i] == SUCCEEDED])
    _remember(frame, past, kept)
    _link(frame, past, kept)
    for (_, given), value in zip(frame.plan.inputs, inputs, strict=True):
        frame.values[given] = value
    for i in [i for i in range(count) if not kept[i] and not frame.missing[i]]:
        frame.arrive(i)
    return range(first, count)


def is_kept(past: Frame, i: int) -> bool:
    """Returns whether node `i` stays as it ended, as far as it goes by itself."""
    if past.status[i] in (SUCCEEDED, SKIPPED):
        return True
    settled = past.nodes[i].settled
    while settled >= 0:
        if past.status[settled] == SUCCEEDED:
            return True
        settled = past.nodes[settled].settled
    return False


def _remember(frame: Frame, past: Frame, kept: Sequence[bool]) -> None:
    """Takes over how kept nodes failed, and which maps have grown into what."""
    frame.errors = {i: error for i, error in past.errors.items() if kept[i]}
    frame.blame = {i: cause for i, cause in past.blame.items() if kept[i]}
    frame.failures = [i for i in past.failures if kept[i] and past.status[i] == FAILED]
    frame.expanded = set(past.expanded)
    frame.collected = {i: list(outputs) for i, outputs in past.collected.items() if not kept[i]}


def _link(frame: Frame, past: Frame, kept: Sequence[bool]) -> None:
    """Counts for every node that runs again whom it waits for, and doubts it where one of those was skipped."""
    first = len(frame.plan.nodes)
    for i, node in enumerate(frame.nodes):
        for j in node.successors:
            if not kept[j] and j not in frame.collected:
                _wait(frame, kept, j, i, told=True)
        if kept[i]:
            continue
        if i in frame.collected:
            for j in frame.collected[i]:
                _wait(frame, kept, i, j, told=False)
        elif i >= first:
            for j in node.predecessors():
                _wait(frame, kept, i, j, told=False)
        outcome = node.settled
        if i >= first and outcome >= 0 and not kept[outcome] and i not in past.nodes[outcome].sources:
            _wait(frame, kept, outcome, i, told=False)


def _wait(frame: Frame, kept: Sequence[bool], i: int, before: int, *, told: bool) -> None:
    """Lets `i` wait for a node that runs again; `told` where the plan makes that one tell it."""
    if kept[before]:
        if frame.status[before] != SUCCEEDED and frame.nodes[i].kind is not NodeKind.OUTCOME:
            frame.doubts.add(i)
        return
    frame.missing[i] += 1
    if not told:
        frame.extra.setdefault(before, []).append(i)
