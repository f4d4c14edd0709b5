"""Expansion: a map has learnt its items, and the frame grows by what it repeats for each of them.

The map itself stays as the collector of its items. Maps that take their items one by one from this one (`each` over
`each`) grow in the same step, so that the second stage of an item waits for the first stage of that item only.
New nodes get the next ids, so ids stay topologically ordered; the plan is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asyncflow._plan import Fragment, PlanNode, filled
from asyncflow._scheduler.frame import Frame
from asyncflow._scheduler.state import SUCCEEDED
from asyncflow.errors import PlanError


def expand(frame: Frame, i: int, items: Sequence[Any], names: Sequence[str]) -> range:
    """Appends what map `i` repeats, once for each item, and in step the maps chained to it.

    Args:
        frame: The run's state; grows.
        i: The map, all of whose predecessors have succeeded.
        items: The values, in order.
        names: What goes between the brackets of each item's keys.

    Returns:
        The ids of the new nodes; those that can start at once are in `frame.ready` and `frame.inline`.
    """
    first = len(frame.nodes)
    frame.own_tables()
    node = frame.nodes[i]
    fragment = fragment_of(node)
    outputs: list[int] = []
    leads: list[int] = []
    for item, name in zip(items, names, strict=True):
        source = frame.append(fragment.nodes[0])
        frame.status[source] = SUCCEEDED
        frame.left -= 1
        frame.values[source] = item
        lead = node.lead if node.lead >= 0 else len(frame.nodes)  # inside another map, the outer item leads
        leads.append(lead)
        outputs.append(_place(frame, i, item=source, name=name, lead=lead))
    frame.collect_from(i, outputs)
    _expand_chained(frame, i, outputs, names, leads)
    frame.unread((node.items, *fragment.captures))
    last = len(frame.nodes)
    for j in [j for j in range(first, last) if frame.status[j] != SUCCEEDED and not frame.missing[j]]:
        frame.arrive(j)  # an empty list ends right here, and what it sets free has arrived by that
    if not outputs:
        frame.arrive(i)
    return range(first, last)


def _expand_chained(frame: Frame, i: int, outputs: Sequence[int], names: Sequence[str], leads: Sequence[int]) -> None:
    """Grows every map that takes its items one by one from `i`, and those chained to these in turn."""
    pending = [(i, outputs)]
    while pending:
        source, sources = pending.pop()
        for j in frame.waiting_for(source):
            node = frame.nodes[j]
            if node.items != source or not node.chained or fragment_of(node).map_key is not None:
                continue  # where names depend on values, the map waits for the whole list
            results = [
                _place(frame, j, item=output, name=name, lead=lead)
                for output, name, lead in zip(sources, names, leads, strict=True)
            ]
            frame.collect_from(j, results)
            frame.unread((source, *fragment_of(node).captures))
            pending.append((j, results))


def fragment_of(node: PlanNode) -> Fragment:
    """Returns what a map repeats."""
    if node.fragment is None:
        raise PlanError(f"{node.key} is a map without anything to repeat")
    return node.fragment


def _place(frame: Frame, i: int, *, item: int, name: str, lead: int) -> int:
    """Appends the nodes of one item of map `i` and returns the id of its result."""
    map_node = frame.nodes[i]
    fragment = fragment_of(map_node)
    outside = len(fragment.captures) + 1
    ids = [item, *fragment.captures, *range(len(frame.nodes), len(frame.nodes) + len(fragment.nodes) - outside)]
    scopes = _place_scopes(frame, fragment, map_node, name)
    for local in range(outside):
        frame.readers[ids[local]] += fragment.nodes[local].readers
    for template in fragment.nodes[outside:]:
        node = template.placed(ids, scopes, name=name, lead=lead, map_node=map_node)
        frame.link(frame.append(node), node.predecessors())
    for j in ids[outside:]:
        settled = frame.nodes[j].settled
        if settled >= 0 and j not in frame.nodes[settled].sources:
            frame.link(settled, (j,))
    result: int = ids[fragment.output]
    return result


def _place_scopes(frame: Frame, fragment: Fragment, map_node: PlanNode, name: str) -> list[int]:
    """Appends the scopes of the nested calls made for one item; returns the new id of each."""
    ids = [map_node.scope]
    for template in fragment.scopes[1:]:
        path = filled(template.path, (*fragment.prefix, name))
        parent = ids[template.parent or 0]
        frame.scopes.append(replace(template, parent=parent, path=path, late=frame.scopes[parent].late))
        ids.append(len(frame.scopes) - 1)
    return ids
