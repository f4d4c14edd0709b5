"""The frozen plan: nodes with dense ids, and everything that can be known before a run.

A plan is built once from what was wired and shared by all runs of it. It never changes: a map that learns its items
at run time appends nodes to that run's own tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from asyncflow._authoring import NodeKind, OpDefinition
from asyncflow._plan.mermaid import mermaid
from asyncflow._plan.node import PlanNode, judged_nodes
from asyncflow._plan.rank import Order, orders
from asyncflow._plan.scope import Scope, Shape
from asyncflow._plan.svg import svg
from asyncflow._plan.text import text


class Plan:
    """What a graph will do: nodes, dependencies, demands. Frozen.

    `plan.text()` tells it, `plan.mermaid()` and `plan.svg()` draw it; notebooks show the drawing by themselves.

    Args:
        name: The graph's name.
        nodes: The nodes; a node's id is its position.
        output: The id of the node whose value the run returns, or -1 where `constant` is returned.
        constant: What the run returns where `output` is -1.
        inputs: Name and node of every input that is given at the start of a run.
        scopes: The graph itself and its nested calls.
        shapes: The distinct demands.
    """

    name: str
    nodes: tuple[PlanNode, ...]
    output: int
    constant: Any
    inputs: tuple[tuple[str, int], ...]
    scopes: tuple[Scope, ...]
    shapes: tuple[Shape, ...]
    _orders: tuple[tuple[float, ...], list[Order]] | None

    def __init__(
        self,
        *,
        name: str,
        nodes: tuple[PlanNode, ...],
        output: int,
        constant: Any,  # noqa: ANN401 — whatever the graph's body returned
        inputs: tuple[tuple[str, int], ...],
        scopes: tuple[Scope, ...],
        shapes: tuple[Shape, ...],
    ) -> None:
        put = object.__setattr__
        put(self, "_orders", None)
        put(self, "name", name)
        put(self, "nodes", nodes)
        put(self, "output", output)
        put(self, "constant", constant)
        put(self, "inputs", inputs)
        put(self, "scopes", scopes)
        put(self, "shapes", shapes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a plan is frozen: {name!r} cannot be set; change the graph and plan again")

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The key of every node."""
        return tuple([node.key for node in self.nodes])

    @cached_property
    def kinds(self) -> tuple[NodeKind, ...]:
        """The kind of every node."""
        return tuple([node.kind for node in self.nodes])

    @cached_property
    def ops(self) -> tuple[OpDefinition | None, ...]:
        """The op of every node, None where it is no op."""
        return tuple([node.op for node in self.nodes])

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """For every node, the nodes whose values it reads."""
        return tuple([(*node.sources, node.items) if node.items >= 0 else node.sources for node in self.nodes])

    @cached_property
    def after(self) -> tuple[tuple[int, ...], ...]:
        """For every node, the nodes it starts after without reading them."""
        return tuple([node.after for node in self.nodes])

    @cached_property
    def gates(self) -> tuple[int, ...]:
        """For every node, the gate that lets it run, or -1."""
        return tuple([node.gate for node in self.nodes])

    @cached_property
    def scope_of(self) -> tuple[int, ...]:
        """For every node, the scope it stands in."""
        return tuple([node.scope for node in self.nodes])

    @cached_property
    def shown(self) -> tuple[bool, ...]:
        """For every node, whether results list it also where it succeeded."""
        return tuple([node.shown for node in self.nodes])

    @cached_property
    def scope_list(self) -> list[Scope]:
        """The scopes as runs hold them; copied by runs that grow."""
        return list(self.scopes)

    @cached_property
    def timed(self) -> bool:
        """True where a nested graph has a time limit."""
        return any(scope.timeout is not None for scope in self.scopes)

    @cached_property
    def hooked(self) -> bool:
        """True where an op of it has hooks, items of maps included."""
        parts: list[Sequence[PlanNode]] = [self.nodes]
        for nodes in parts:
            for node in nodes:
                if node.op is not None and node.op.options.hooks is not None:
                    return True
                if node.fragment is not None:
                    parts.append(node.fragment.nodes)
        return False

    @cached_property
    def definitions(self) -> tuple[OpDefinition, ...]:
        """The ops of it, each once, those that maps repeat included."""
        parts: list[Sequence[PlanNode]] = [self.nodes]
        found: dict[int, OpDefinition] = {}
        for nodes in parts:
            for node in nodes:
                if node.op is not None:
                    found.setdefault(id(node.op), node.op)
                if node.fragment is not None:
                    parts.append(node.fragment.nodes)
        return tuple(found.values())

    @cached_property
    def digest(self) -> str:
        """What stands for the outline in a store: equal for plans that are wired the same, in any process."""
        nodes = [(int(n.kind), n.key, n.sources, n.after, n.gate, n.scope, n.items) for n in self.nodes]
        said = repr((self.name, self.output, self.inputs, nodes))
        return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()

    @cached_property
    def missing(self) -> list[int]:
        """For every node, how many nodes must end before it can start. Copied by each run."""
        return [node.waits_for for node in self.nodes]

    @cached_property
    def readers(self) -> list[int]:
        """For every node, how many nodes read its value. Copied by each run."""
        return [node.readers for node in self.nodes]

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The nodes that wait for nobody."""
        return tuple([i for i, node in enumerate(self.nodes) if not node.waits_for])

    @cached_property
    def live(self) -> bool:
        """True for the plan of a live graph that is run itself: its body, and what it will run is known as it runs."""
        if len(self.nodes) - len(self.inputs) != 1:
            return False
        body = self.nodes[-1]
        return body.graph is not None and body.graph.live and body.scope == 0

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of every shown node by its key."""
        return {node.key: i for i, node in enumerate(self.nodes) if node.shown}

    @cached_property
    def judged(self) -> tuple[PlanNode, ...]:
        """The nodes for runs in which the values of ops are judged: the same, but for what is called."""
        return judged_nodes(self.nodes, {})

    def orders(self, shares: Sequence[float]) -> list[Order]:
        """Returns the order of every node, given the summed shares of every shape; the last answer is kept."""
        key = tuple(shares)
        if self._orders is not None and self._orders[0] == key:
            return self._orders[1]
        found = orders(self.nodes, shares)
        object.__setattr__(self, "_orders", (key, found))
        return found

    def text(self) -> str:
        """Returns the plan as lines of text: every op, what limits it, and what it waits for."""
        return text(self)

    def mermaid(self) -> str:
        """Returns the plan as a Mermaid flowchart."""
        return mermaid(self)

    def svg(self) -> str:
        """Returns the plan as an SVG drawing."""
        return svg(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude  # notebooks ask for what they like and take what they get
        return {"image/svg+xml": self.svg(), "text/plain": repr(self)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return (self.name, self.output, self.inputs, self.scopes, self.outline) == (
            other.name,
            other.output,
            other.inputs,
            other.scopes,
            other.outline,
        )

    def __hash__(self) -> int:
        return hash((self.name, len(self.nodes), self.output))

    @cached_property
    def outline(self) -> tuple[tuple[object, ...], ...]:
        """What makes two plans the same: keys, kinds and dependencies of every node."""
        return tuple([(n.kind, n.key, n.sources, n.after, n.gate, n.scope, n.items) for n in self.nodes])

    def __len__(self) -> int:
        return sum(self.shown)

    def __repr__(self) -> str:
        return f"<Plan {self.name} ops={len(self)} scopes={len(self.scopes)}>"
