"""What a selection reaches in a wiring: layers of ops, whatever stands between them.

A layer is an op, a step of `apply`, or an `each` over a result. What only joins or passes values on (the list of an
`each`, an expression, a branch, an outcome) is looked through. So going on costs nothing at a joint, and one layer at
anything else: a breadth-first search with lengths of 0 and 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from asyncflow._authoring.clause import Clause
from asyncflow._authoring.node import Node, NodeKind
from asyncflow.errors import PlanError, did_you_mean

_LISTED = 8
"""Names that a message lists."""


def is_layer(node: Node) -> bool:
    """True for what can be selected."""
    return node.kind in (NodeKind.OP, NodeKind.MAP) or node.shown


def before(node: Node) -> tuple[int, ...]:
    """Returns the ids of everything that a node needs: values, order, its branch, and what an `each` captures."""
    ids = (*node.sources, *node.after)
    if node.gate >= 0:
        ids = (*ids, node.gate)
    if node.fragment is not None:
        ids = (*ids, node.items, *node.fragment.captures)
    return ids


def outer_maps(key: str) -> list[str]:
    """Returns the keys of the `each` calls in which a key stands, outermost first."""
    return [key[:i] for i, character in enumerate(key) if character == "["]


def reached(nodes: Sequence[Node], clauses: Sequence[Clause], *, graph: str) -> set[int]:
    """Returns the ids of the layers that clauses select, each of them or any.

    Raises:
        PlanError: for a name that nothing has, with the nearest one.
    """
    needs = [before(node) for node in nodes]
    for i, node in enumerate(nodes):  # an outcome also waits for what it tolerates
        if node.settled >= 0:
            needs[node.settled] = (*needs[node.settled], i)
    leads_to: list[list[int]] = [[] for _ in nodes]
    for i, ids in enumerate(needs):
        for j in ids:
            leads_to[j].append(i)
    found: set[int] = set()
    for clause in clauses:
        start = _named(nodes, clause.name, graph=graph)
        found.update(start)
        found.update(_spread(nodes, start, needs, clause.before))
        found.update(_spread(nodes, start, leads_to, clause.behind))
    return found


def _named(nodes: Sequence[Node], name: str, *, graph: str) -> list[int]:
    """Returns the layers of a name: of its key, inside the nested call of that key, or items of that `each`."""
    keys = {i: node.key for i, node in enumerate(nodes) if is_layer(node)}
    inside = (f"{name}/", f"{name}[")
    found = [i for i, key in keys.items() if not name or key == name or key.startswith(inside)]
    if not found:
        known = list(dict.fromkeys([part for key in keys.values() for part in (*outer_maps(key), key)]))
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        there = f"; it has {', '.join(known[:_LISTED])}{more}" if known else "; it has no ops"
        raise PlanError(f"{graph} has nothing called {name!r:.60} to select{did_you_mean(name, known) or there}")
    return found


def _spread(
    nodes: Sequence[Node], start: Sequence[int], edges: Sequence[Sequence[int]], layers: int | None
) -> set[int]:
    """Returns the layers that are so many layers away at most."""
    if layers == 0:
        return set()
    away = dict.fromkeys(start, 0)
    todo = deque(start)
    while todo:
        i = todo.popleft()
        for j in edges[i]:
            step = 1 if is_layer(nodes[j]) else 0
            distance = away[i] + step
            if (layers is None or distance <= layers) and distance < away.get(j, len(nodes) + 1):
                away[j] = distance
                (todo.append if step else todo.appendleft)(j)
    return {i for i in away if is_layer(nodes[i])}
