"""The plan of one item of a stream: what every map of one chain repeats, in one small plan.

A map over a list appends nodes to the run's own tables, which only grow. The items of a stream come one by one and
may be endless, so each runs in a small execution of its own, over a plan that is made once, and is forgotten when it
has ended. The maps chained to the first one are in the same plan: the second stage of an item reads the first stage of
that item.

Keys have `MARK` where the item's name goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from asyncflow._authoring import NodeKind
from asyncflow._plan.freeze import shape_of
from asyncflow._plan.node import Fragment, PlanNode, filled
from asyncflow._plan.plan import Plan
from asyncflow._plan.rank import measure
from asyncflow._plan.scope import Scope, Shape
from asyncflow.errors import PlanError

MARK: Final = "\0"
"""Stands for the name of the item; no name can have it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One map of a chain.

    Args:
        id: The map, in the tables it stands in.
        feed: Whose results it takes item by item: the source, or an earlier map.
        node: The map itself.
    """

    id: int
    feed: int
    node: PlanNode


@dataclass(frozen=True, slots=True, eq=False)
class ItemPlan:
    """What is run for each item.

    Args:
        plan: The plan; its inputs are the item and the captured results.
        captures: The captured results, in the ids of the tables the maps stand in.
        outputs: For each map, the local id of its result for an item.
        stages: For each node, the map it belongs to; -1 for the item and the captured results.
        keys: For each node, its key without any name of an item.
        bases: The scopes the maps stand in, in the order of the first scopes of the plan.
    """

    plan: Plan
    captures: tuple[int, ...]
    outputs: dict[int, int]
    stages: tuple[int, ...]
    keys: tuple[str, ...]
    bases: tuple[int, ...]

    @property
    def limited(self) -> bool:
        """True where every item has limits of its own."""
        return any(scope.limited for scope in self.plan.scopes)


def item_plan(stages: Sequence[Stage], scopes: Sequence[Scope], *, names: Sequence[str] = ()) -> ItemPlan:
    """Returns the plan of one item.

    Args:
        stages: The first map, then those chained to it, each after the one it takes its items from.
        scopes: The scopes of the tables they stand in.
        names: The names of the items they stand in themselves, outermost first.
    """
    making = _Making(stages, scopes, names)
    for stage in stages:
        making.place(stage)
    return making.made()


class _Making:
    """An item plan while it is made."""

    def __init__(self, stages: Sequence[Stage], scopes: Sequence[Scope], names: Sequence[str]) -> None:
        self._first = stages[0]
        self._outer = scopes
        self._names = names
        captures = [i for stage in stages for i in _fragment(stage).captures]
        self._captures = tuple(dict.fromkeys(captures))
        self._bases = tuple(dict.fromkeys([stage.node.scope for stage in stages]))
        self._scopes = [_base(scopes, i) for i in self._bases]
        self._nodes = [_given(NodeKind.ITEM, "(item)")]
        self._nodes += [_given(NodeKind.CAPTURE, f"(captured {i})") for i in self._captures]
        self._stages = [-1] * len(self._nodes)
        self._keys = [node.key for node in self._nodes]
        self._outputs: dict[int, int] = {}

    def place(self, stage: Stage) -> None:
        """Adds what one map repeats."""
        fragment = _fragment(stage)
        outside = len(fragment.captures) + 1
        item = self._outputs.get(stage.feed, 0)
        first = len(self._nodes)
        inside = range(first, first + len(fragment.nodes) - outside)
        ids = [item, *[1 + self._captures.index(i) for i in fragment.captures], *inside]
        prefix = self._prefix(fragment.prefix)
        node = replace(stage.node, after=(), gate=-1, settled=-1, fragment=replace(fragment, prefix=prefix))
        scopes = self._place_scopes(stage, (*prefix, MARK))
        for local in range(outside):
            self._nodes[ids[local]].readers += fragment.nodes[local].readers
        for template in fragment.nodes[outside:]:
            self._nodes.append(template.placed(ids, scopes, name=MARK, lead=0, map_node=node))
            self._stages.append(stage.id)
            self._keys.append(template.key)
        output = self._outputs[stage.id] = ids[fragment.output]
        if fragment.output < outside:
            self._nodes[output].readers += 1  # kept until the item ends, as every result is

    def _prefix(self, prefix: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the names of the items around, where a mark stands for one that is known now."""
        known = iter(self._names)
        return tuple([next(known) if name == MARK else name for name in prefix])

    def _place_scopes(self, stage: Stage, names: Sequence[str]) -> list[int]:
        """Adds the scopes of the nested calls made for each item; returns the new id of each."""
        ids = [self._bases.index(stage.node.scope)]
        for template in _fragment(stage).scopes[1:]:
            path = filled(template.path, names)
            self._scopes.append(replace(template, parent=ids[template.parent or 0], path=path))
            ids.append(len(self._scopes) - 1)
        return ids

    def made(self) -> ItemPlan:
        """Returns the plan, every node linked to those that wait for it."""
        nodes = self._nodes
        successors: list[list[int]] = [[] for _ in nodes]
        for node in nodes:
            node.waits_for = 0
        for i, node in enumerate(nodes):
            before = node.predecessors()
            node.waits_for += len(before)
            for j in before:
                successors[j].append(i)
            outcome = node.settled
            if outcome >= 0 and i not in nodes[outcome].sources:
                successors[i].append(outcome)
                nodes[outcome].waits_for += 1
        shapes: dict[Shape, int] = {}
        known: dict[tuple[int, int], int] = {}
        for i, node in enumerate(nodes):
            node.successors = tuple(successors[i])
            if node.op is not None and node.kind is NodeKind.OP:
                node.shape = shape_of(node.scope, node.op, shapes, known)
        measure(nodes)
        inputs = (("(item)", 0), *[(nodes[1 + i].key, 1 + i) for i in range(len(self._captures))])
        plan = Plan(
            name=self._first.node.key,
            nodes=tuple(nodes),
            output=-1,
            constant=None,
            inputs=inputs,
            scopes=tuple(self._scopes),
            shapes=tuple(shapes),
        )
        return ItemPlan(plan, self._captures, self._outputs, tuple(self._stages), tuple(self._keys), self._bases)


def _fragment(stage: Stage) -> Fragment:
    fragment = stage.node.fragment
    if fragment is None:
        raise PlanError(f"{stage.node.key} is a map without anything to repeat")
    return fragment


def _base(scopes: Sequence[Scope], i: int) -> Scope:
    """Returns a scope around the items: its limits are those of the tables it stands in."""
    retry = None
    current: int | None = i
    while current is not None and retry is None:
        retry, current = scopes[current].op_retry, scopes[current].parent
    return replace(scopes[i], parent=None, max_concurrent=None, tag_limits=(), op_retry=retry, timeout=None)


def _given(kind: NodeKind, key: str) -> PlanNode:
    """Returns a node whose value is given at the start."""
    return PlanNode(
        kind, key, None, None, (), None, None, (), (), -1, (), 0, 0, -1, 0, -1, 0, -1, False, -1, False, None, ("", 0)
    )  # fmt: skip
