"""From what was wired to a frozen plan: successors, readers, shapes, and the one thing that must not be — a cycle.

Calls can only use results that exist already, so ids come out topologically ordered and the check is one comparison
per dependency. Plans may also be given by hand; then the order is computed, and a cycle is reported as the shortest
one, by key. Nothing here recurses: plans of 10⁵ ops in a row are ordinary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from asyncflow._authoring import Node, NodeKind, OpDefinition, Ref, Wiring
from asyncflow._plan.node import Fragment, PlanNode
from asyncflow._plan.plan import Plan
from asyncflow._plan.rank import measure
from asyncflow._plan.scope import Scope, Shape
from asyncflow.errors import PlanError

OP = NodeKind.OP


def freeze(wiring: Wiring, *, name: str | None = None) -> Plan:
    """Returns the frozen plan of what was wired.

    Raises:
        PlanError: where nodes depend on each other in a circle, naming the shortest one.
    """
    shapes: dict[Shape, int] = {}
    nodes = freeze_nodes(wiring.nodes, output=wiring.output, shapes=shapes)
    output = wiring.output
    return Plan(
        name=wiring.graph_name if name is None else name,
        nodes=nodes,
        output=output.id if type(output) is Ref else -1,
        constant=None if type(output) is Ref else output,
        inputs=tuple(wiring.inputs),
        scopes=freeze_scopes(wiring),
        shapes=tuple(shapes),
    )


def freeze_scopes(wiring: Wiring) -> tuple[Scope, ...]:
    """Returns the scopes of what was wired."""
    return tuple(
        [Scope(s.parent, s.path, s.max_concurrent, tuple(s.tag_limits), s.op_retry, s.timeout) for s in wiring.scopes]
    )


def freeze_nodes(wired: Sequence[Node], *, output: object, shapes: dict[Shape, int]) -> tuple[PlanNode, ...]:
    """Returns the nodes with successors and counts; `shapes` gathers the distinct demands in order of first use."""
    successors, readers, waits_for = counted(wired)
    if type(output) is Ref:
        readers[output.id] += 1
    known: dict[tuple[int, int], int] = {}  # (scope, id of the op) → shape; the wired nodes keep the ops alive
    frozen: list[PlanNode] = []
    last_op, last_scope, shape = None, -1, -1
    for i, node in enumerate(wired):
        op = node.op
        if op is not last_op or node.scope != last_scope:
            last_op, last_scope = op, node.scope
            shape = -1 if op is None or node.kind is not OP else shape_of(node.scope, op, shapes, known)
        frozen.append(freeze_node(node, tuple(successors[i]), readers[i], waits_for[i], shape))
    measure(frozen)
    return tuple(frozen)


def counted(wired: Sequence[Node]) -> tuple[list[list[int]], list[int], list[int]]:
    """Returns for every node who waits for it, how many read it, and how many it waits for.

    Raises:
        PlanError: where nodes depend on each other in a circle.
    """
    successors: list[list[int]] = [[] for _ in wired]
    readers = [0] * len(wired)
    waits_for = [0] * len(wired)
    ordered = True
    for i, node in enumerate(wired):
        before = node.sources
        for j in before:
            readers[j] += 1
        if node.after or node.gate >= 0 or node.fragment is not None:
            before = predecessors(node)
        for j in before:
            successors[j].append(i)
            if j >= i:
                ordered = False
        waits_for[i] += len(before)
        if node.fragment is not None:
            for j in (node.items, *node.fragment.captures):
                readers[j] += 1
        if node.settled >= 0 and i not in wired[node.settled].sources:
            successors[i].append(node.settled)
            waits_for[node.settled] += 1
    if not ordered:
        refuse_cycle([node.key for node in wired], successors, waits_for)
    return successors, readers, waits_for


def predecessors(node: Node) -> tuple[int, ...]:
    """Returns the ids of all nodes that must end before `node` can start, each once."""
    ids: list[int] = [*node.sources, *node.after]
    if node.gate >= 0:
        ids.append(node.gate)
    if node.fragment is not None:
        ids.append(node.items)
        ids.extend(fragment_of(node).captures)
    return tuple(dict.fromkeys(ids))


def shape_of(scope: int, op: OpDefinition, shapes: dict[Shape, int], known: dict[tuple[int, int], int]) -> int:
    """Returns the number of the shape of `op` in `scope`, a new one where it is the first of its kind."""
    number = known.get((scope, id(op)))
    if number is None:
        options = op.options
        key = Shape(scope, op.pool, tuple(sorted(options.tags.items())), op.place, op.mode == "stream")
        number = known[scope, id(op)] = shapes.setdefault(key, len(shapes))
    return number


def freeze_node(node: Node, successors: tuple[int, ...], readers: int, waits_for: int, shape: int) -> PlanNode:
    """Returns one node as it stays."""
    flat: tuple[int, ...] | None = None
    if not node.refs and not node.kwargs:
        args = node.args
        if len(args) == len(node.sources):  # as many results as arguments: all are results, each once
            flat = node.sources
        elif node.sources:
            ids = [arg.id for arg in args if type(arg) is Ref]
            flat = tuple(ids) if len(ids) == len(args) else None
    dynamic = node.fragment is not None
    op = node.op
    called = op is not None and flat is not None and node.kind is OP and op.mode == "async" and op.plain
    direct = op.fn if op is not None and called else None
    return PlanNode(
        node.kind,
        node.key,
        node.op,
        node.fn,
        node.args,
        node.kwargs,
        flat,
        node.sources,
        node.after,
        node.gate,
        successors,
        readers,
        waits_for,
        shape,
        node.scope,
        node.lead,
        node.stage,
        node.settled,
        node.shown,
        node.items if dynamic else -1,
        node.chained if dynamic else False,
        freeze_fragment(node) if dynamic else None,
        node.where,
        direct,
        node.refs,
        0.0,
        None if op is None else op.options.timeout,
        node.graph,
    )


def fragment_of(node: Node) -> Any:  # noqa: ANN401 — the wired fragment; only MAP nodes have one
    """Returns the wired fragment of a MAP node."""
    if node.fragment is None:
        raise PlanError(f"{node.key} is a map without anything to repeat")
    return node.fragment


def freeze_fragment(node: Node) -> Fragment:
    """Returns what a MAP node repeats for every item. Shapes of its ops are found when items arrive."""
    wired = fragment_of(node)
    nodes = freeze_nodes(wired.wiring.nodes, output=Ref(wired.output), shapes={})
    return Fragment(
        nodes=nodes,
        captures=tuple(wired.captures),
        output=wired.output,
        scopes=freeze_scopes(wired.wiring),
        map_key=wired.map_key,
        window=wired.window,
    )


def refuse_cycle(keys: Sequence[str], successors: Sequence[Sequence[int]], waits_for: Sequence[int]) -> None:
    """Raises where the nodes cannot be ordered, or are not: ids must already be in a topological order."""
    left = list(waits_for)
    ready = deque([i for i, count in enumerate(left) if count == 0])
    done = 0
    while ready:
        i = ready.popleft()
        done += 1
        for j in successors[i]:
            left[j] -= 1
            if left[j] == 0:
                ready.append(j)
    if done < len(left):
        stuck = [i for i, count in enumerate(left) if count > 0]
        names = [keys[i] for i in shortest_cycle(stuck, successors)]
        raise PlanError(f"the plan has a cycle: {' → '.join([*names, names[0]])}; an op cannot wait for its own result")


def shortest_cycle(stuck: Sequence[int], successors: Sequence[Sequence[int]]) -> list[int]:
    """Returns the ids of a shortest cycle among the stuck nodes, in order."""
    inside = set(stuck)
    best: list[int] = []
    for start in stuck[:1000]:
        came: dict[int, int] = {}
        queue = deque([start])
        while queue and start not in came:
            i = queue.popleft()
            for j in successors[i]:
                if j in inside and j not in came:
                    came[j] = i
                    queue.append(j)
        if start in came:
            cycle = [came[start]]
            while cycle[-1] != start:
                cycle.append(came[cycle[-1]])
            if not best or len(cycle) < len(best):
                best = cycle[::-1]
    return best
