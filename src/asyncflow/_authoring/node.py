"""What wiring records: nodes, references to their results, scopes, and the part that a dynamic `each` repeats.

Nodes are plain and mutable until the plan is frozen. Ids are positions in the wiring's list, so they come out in an
order in which every node follows what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from asyncflow.options import TagLimit
from asyncflow.retry import Retry

if TYPE_CHECKING:
    from asyncflow._authoring.definition import GraphDefinition, OpDefinition
    from asyncflow._authoring.hint import Hint
    from asyncflow._authoring.wiring import Wiring


class NodeKind(IntEnum):
    """What running a node means."""

    INPUT = 0
    """Given at the start of a run."""
    OP = 1
    """A call of an op."""
    STEP = 2
    """A plain function, called inline: `apply`, or an expression on results."""
    COLLECT = 3
    """The list of an `each` over items that were known while wiring."""
    MAP = 4
    """An `each` over a list that is known at run time; also the list of its results."""
    ITEM = 5
    """In a fragment: the item."""
    CAPTURE = 6
    """In a fragment: a result from outside."""
    GATE = 7
    """Opens one branch of a `when`."""
    MERGE = 8
    """The result of a `when`."""
    OUTCOME = 9
    """How a settled call ended."""
    BODY = 10
    """The body of a late graph, which wires when its inputs are there, or of a live one. Holds nothing."""
    RESULT = 11
    """The result of a late graph."""
    STREAM = 12
    """Results as an op reads them, one by one: what `stream(…)` gives."""


class Ref:
    """Stands for the result of a node among the arguments of another."""

    __slots__ = ("id",)

    def __init__(self, id: int) -> None:  # noqa: A002 — the name every room uses
        self.id = id

    def __repr__(self) -> str:
        return f"Ref({self.id})"


@dataclass(slots=True)
class Scope:
    """One call of a graph: `path` begins the keys of what stands in it; limits hold for all of that."""

    parent: int | None
    path: str
    max_concurrent: int | None = None
    tag_limits: tuple[TagLimit, ...] = ()
    op_retry: Retry | None = None
    timeout: float | None = None


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """One node while it is wired. `freeze` makes the lasting one of it.

    Args:
        kind: What running it means.
        key: Its name, unique in its wiring, without the graph's name.
        op: The op, for OP nodes.
        fn: The function, for STEP nodes.
        args: Positional arguments as they were written; a `Ref` stands for a result.
        kwargs: Keyword arguments likewise, or None.
        refs: True where a `Ref` stands inside a container.
        sources: Ids of the nodes it reads, each once.
        after: Ids of the nodes it starts after without reading them.
        gate: Id of the gate that lets it run, or -1.
        scope: The scope it stands in.
        stage: How many stages of its `each` chain lie before it.
        lead: Id of the first node of its item's chain, or -1.
        settled: Id of the OUTCOME node that tolerates its failure, or -1.
        shown: True where results list it also when it succeeded.
        where: File and line of the call that wired it.
        gives: What is known of its result's type.
        fragment: What a MAP node repeats.
        items: Id of the node that gives a MAP node its list, or -1.
        chained: True where that node is a map too, so that items flow one by one.
        graph: The graph, for BODY nodes.
    """

    kind: NodeKind
    key: str
    op: OpDefinition | None = None
    fn: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    refs: bool = False
    sources: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    gate: int = -1
    scope: int = 0
    stage: int = 0
    lead: int = -1
    settled: int = -1
    shown: bool = False
    where: tuple[str, int] = ("", 0)
    gives: Hint | None = None
    fragment: Fragment | None = None
    items: int = -1
    chained: bool = False
    graph: GraphDefinition | None = None

    def __repr__(self) -> str:
        return f"<Node {self.kind.name} {self.key} sources={self.sources}>"


class Fragment:
    """What a MAP node repeats for every item: a wiring of its own with local ids.

    Local id 0 is the item, 1 … k are the captured results, whose ids outside are `captures`. Keys are templates with
    `[]` where the item's name goes.
    """

    __slots__ = ("_outside", "map_key", "output", "window", "wiring")

    def __init__(
        self,
        wiring: Wiring,
        *,
        outside: tuple[Ref, ...],
        output: int,
        map_key: Callable[[Any], str] | None,
        window: int,
    ) -> None:
        self.wiring = wiring
        self.output = output
        self.map_key = map_key
        self.window = window
        self._outside = outside

    @property
    def captures(self) -> tuple[int, ...]:
        """The ids, in the enclosing wiring, of the results used from outside."""
        return tuple([ref.id for ref in self._outside])
