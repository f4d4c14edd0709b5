"""One node of a plan: what to call, on what, and who waits for it.

Nodes are shared by every run of a plan and never change after `freeze`; what changes during a run lives in the run's
own dense lists. Maps and late graphs append nodes to a run at run time: these are made by `PlanNode.placed` and
`PlanNode.appended`, with new ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from asyncflow._authoring import GraphDefinition, NodeKind, OpDefinition, Ref
from asyncflow._plan.scope import Scope

MISSING: Final = object()
"""The value of a node that was skipped."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The part of a plan that a dynamic `each` repeats for every item.

    Args:
        nodes: Its nodes with local ids. Id 0 stands for the item, 1 … len(captures) for nodes outside.
        captures: The ids of those outside nodes, in the ids of whoever holds the fragment.
        output: The local id of the item's result.
        scopes: The nested calls made for each item; 0 stands for the scope of the map itself.
        map_key: Names an item by its value, instead of by its index.
        prefix: The names of the items it stands in, outermost first, where maps are nested.
        window: How many items of a stream may be ahead of those that are done.
    """

    nodes: tuple[PlanNode, ...]
    captures: tuple[int, ...]
    output: int
    scopes: tuple[Scope, ...]
    map_key: Callable[[Any], str] | None
    prefix: tuple[str, ...] = ()
    window: int = 64


@dataclass(slots=True, eq=False)
class PlanNode:
    """One node. Never changed after `freeze` (not a frozen dataclass: those cost four times as much to make).

    Args:
        kind: What running it means.
        key: Its name in results; in a fragment with `[]` where the item's name goes.
        op: The op, for OP nodes.
        fn: The plain function, for STEP nodes.
        args: Positional arguments; `Ref`s stand for results.
        kwargs: Keyword arguments likewise, or None.
        refs: Whether a `Ref` stands inside a container among its arguments.
        flat: The ids of the arguments where all of them are plain results given by position, otherwise None.
        sources: Ids of the nodes whose values it reads.
        after: Ids of nodes it starts after, without their values.
        gate: Id of the gate that lets it run, or -1.
        successors: Ids of the nodes that wait for it.
        readers: How many nodes read its value.
        waits_for: How many nodes must end before it can start.
        shape: Which of the plan's demand shapes it asks for (OP nodes), or -1.
        scope: The nested call it stands in; 0 is the graph itself.
        lead: Id of the first node of its item's chain of `each` stages, or -1.
        stage: How many stages of that chain lie before it.
        settled: Id of the OUTCOME node that tolerates its failure, or -1.
        shown: Whether results list it also where it succeeded.
        items: For MAP nodes, the id of the node that gives the list; otherwise -1.
        chained: For MAP nodes, whether that node is itself a map, so that items flow one by one.
        fragment: For MAP nodes, what is repeated.
        where: File and line of the call that wired it.
        direct: The coroutine function of an op all of whose arguments are plain results: called without a detour.
        height: The longest way from here to the end, its own part included, scaled to 1 for the longest of all.
        timeout: Seconds that one attempt may take; None is no limit.
        graph: The graph whose body it is, for BODY nodes.
    """

    kind: NodeKind
    key: str
    op: OpDefinition | None
    fn: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] | None
    flat: tuple[int, ...] | None
    sources: tuple[int, ...]
    after: tuple[int, ...]
    gate: int
    successors: tuple[int, ...]
    readers: int
    waits_for: int
    shape: int
    scope: int
    lead: int
    stage: int
    settled: int
    shown: bool
    items: int
    chained: bool
    fragment: Fragment | None
    where: tuple[str, int]
    direct: Callable[..., Any] | None = None
    refs: bool = False
    height: float = 0.0
    timeout: float | None = None
    graph: GraphDefinition | None = None

    @property
    def threaded(self) -> bool:
        """True where its body cannot be cancelled: it runs on a thread."""
        return self.op is not None and self.op.mode == "thread"

    def predecessors(self) -> tuple[int, ...]:
        """Returns the ids of all nodes it waits for, each once."""
        ids = (
            *self.sources,
            *self.after,
            *((self.gate,) if self.gate >= 0 else ()),
            *((self.items,) if self.items >= 0 else ()),
        )
        return tuple(dict.fromkeys(ids))

    def placed(
        self, ids: Sequence[int], scopes: Sequence[int], *, name: str, lead: int, map_node: PlanNode
    ) -> PlanNode:
        """Returns a copy for one item of `map_node`: every local id replaced by `ids[local]`, scopes likewise.

        What holds for the map holds for its items: its gate, what it starts after, who tolerates its failure.
        """
        prefix = (name,) if map_node.fragment is None else (*map_node.fragment.prefix, name)
        fragment = self.fragment
        if fragment is not None:
            fragment = replace(fragment, captures=tuple([ids[i] for i in fragment.captures]), prefix=prefix)
        node = self._moved(ids, scopes, map_node, lead=ids[self.lead] if self.lead > 0 else lead, fragment=fragment)
        node.key = filled(self.key, prefix)
        return node

    def appended(self, ids: Sequence[int], scopes: Sequence[int], *, body: PlanNode) -> PlanNode:
        """Returns a copy for a run in which the late graph of `body` was wired, with new ids and scopes."""
        fragment = self.fragment
        if fragment is not None:
            fragment = replace(fragment, captures=tuple([ids[i] for i in fragment.captures]))
        lead = ids[self.lead] if self.lead >= 0 else body.lead
        return self._moved(ids, scopes, body, lead=lead, fragment=fragment)

    def _moved(
        self, ids: Sequence[int], scopes: Sequence[int], whole: PlanNode, *, lead: int, fragment: Fragment | None
    ) -> PlanNode:
        """Returns a copy with new ids, for which holds what holds for `whole`, the node that brings it in."""
        return PlanNode(
            kind=self.kind,
            key=self.key,
            op=self.op,
            fn=self.fn,
            args=tuple([moved(arg, ids) for arg in self.args]),
            kwargs=None if self.kwargs is None else {name: moved(arg, ids) for name, arg in self.kwargs.items()},
            flat=None if self.flat is None else tuple([ids[i] for i in self.flat]),
            sources=tuple([ids[i] for i in self.sources]),
            after=(*[ids[i] for i in self.after], *whole.after),
            gate=ids[self.gate] if self.gate >= 0 else whole.gate,
            successors=(),
            readers=self.readers,
            waits_for=self.waits_for,
            shape=-1,
            scope=scopes[self.scope],
            lead=lead,
            stage=whole.stage + self.stage,
            settled=ids[self.settled] if self.settled >= 0 else whole.settled,
            shown=self.shown,
            items=ids[self.items] if self.items >= 0 else -1,
            chained=self.chained,
            fragment=fragment,
            where=self.where,
            direct=self.direct,
            refs=self.refs,
            height=self.height,
            timeout=self.timeout,
            graph=self.graph,
        )


def judged_nodes(nodes: Sequence[PlanNode], known: dict[int, OpDefinition]) -> tuple[PlanNode, ...]:
    """Returns copies of nodes whose ops' values are judged, those that maps repeat included; `known` has the ops."""
    found: list[PlanNode] = []
    for node in nodes:
        op, fragment = node.op, node.fragment
        if op is not None:
            op = known.get(id(op)) or known.setdefault(id(op), op.as_judged())
        if fragment is not None:
            fragment = replace(fragment, nodes=judged_nodes(fragment.nodes, known))
        changed = op is not None or fragment is not None
        found.append(replace(node, op=op, fragment=fragment, direct=None) if changed else node)
    return tuple(found)


def filled(key: str, names: Sequence[str]) -> str:
    """Returns the key of one item of a map: its `[]`s filled in from the left."""
    for name in names:
        key = key.replace("[]", f"[{name}]", 1)
    return key


def moved(value: object, ids: Sequence[int]) -> Any:  # noqa: ANN401 — any argument a user may give
    """Returns an argument with every `Ref` in it, however deep in plain containers, pointing to its new id."""
    if isinstance(value, Ref):
        return Ref(ids[value.id])
    return rebuilt(value, lambda part: moved(part, ids))


def bound(value: object, values: Sequence[Any]) -> Any:  # noqa: ANN401 — any argument a user may give
    """Returns an argument with every `Ref` in it replaced by its value; a list leaves skipped ones out."""
    if isinstance(value, Ref):
        return values[value.id]
    if type(value) is list:
        parts = [bound(part, values) for part in cast("list[object]", value)]
        return [part for part in parts if part is not MISSING]
    return rebuilt(value, lambda part: bound(part, values))


def rebuilt(value: object, part_of: Callable[[object], object]) -> object:
    """Returns a plain list, tuple or dict with every value in it replaced; anything else as it is."""
    kind: object = type(value)
    if kind is list:
        return [part_of(part) for part in cast("list[object]", value)]
    if kind is tuple:
        return tuple([part_of(part) for part in cast("tuple[object, ...]", value)])
    if kind is dict:
        return {name: part_of(part) for name, part in cast("dict[object, object]", value).items()}
    return value
