"""A wiring: what one run of a graph's body recorded, and the site where the next node will stand.

Nodes get dense ids in the order of the calls, so everything a node reads has a smaller id. References are shared
objects, one for each node: where a fragment must put the results it captured first, ids are changed in one place.

A wiring inside another (what an `each` over a promise repeats) sees the promises of the enclosing ones; using one
captures it. Promises of any other wiring are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncflow._authoring.arguments import absorbed
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Node, NodeKind, Ref, Scope
from asyncflow._authoring.place import NOWHERE, Place, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import stale
from asyncflow._authoring.site import Items, Site
from asyncflow.options import RunOptions

if TYPE_CHECKING:
    from asyncflow._authoring.definition import GraphDefinition


class Wiring:
    """What is recorded while the body of a graph runs.

    Args:
        graph_name: The graph's name.
        parent: The enclosing wiring, for what an `each` repeats.
        static: True where all inputs are promises.
        deployment: What the graph that is run is bound to, as far as it is known.

    Attributes:
        nodes: The nodes; a node's id is its position.
        refs: The one reference to each node.
        output: What the body returned: a `Ref`, or a constant.
        inputs: Name and id of every INPUT node.
        scopes: The graph itself, then its nested calls.
        items: By the id of a COLLECT node, what it collects.
        outside: The captured results, as references of the parent.
        calls: The graphs whose bodies are running, outermost first.
        streamed: True where an op reads results one by one.
        bound: Deployments that nested graphs are bound to, where they could not be compared yet.
    """

    __slots__ = (
        "_captured",
        "_names",
        "bound",
        "calls",
        "closed",
        "deployment",
        "graph_name",
        "inputs",
        "items",
        "nodes",
        "output",
        "outside",
        "parent",
        "refs",
        "root",
        "scopes",
        "site",
        "static",
        "streamed",
    )

    def __init__(
        self, graph_name: str, *, parent: Wiring | None = None, static: bool = False, deployment: object = None
    ) -> None:
        self.graph_name = graph_name
        self.parent = parent
        self.root: Wiring = self if parent is None else parent.root
        self.static = static
        self.closed = False
        self.streamed = False
        self.deployment = deployment
        self.nodes: list[Node] = []
        self.refs: list[Ref] = []
        self.output: Any = None
        self.inputs: list[tuple[str, int]] = []
        self.scopes: list[Scope] = [Scope(None, "")]
        self.items: dict[int, Items] = {}
        self.outside: list[Ref] = []
        self.calls: list[GraphDefinition] = [] if parent is None else parent.calls
        self.bound: list[tuple[object, str]] = [] if parent is None else parent.bound
        self._captured: dict[int, Ref] = {}
        self._names: dict[str, int] = {}
        self.site = Site()

    # ── recording ─────────────────────────────────────────────────────────────────────────────────────────────────

    def key(self, name: str) -> str:
        """Returns the next key for `name` here: `fetch`, then `fetch#2`, behind the site's prefix."""
        full = self.site.prefix + name
        names = self._names
        number = names[full] = names.get(full, 0) + 1
        return full if number == 1 else f"{full}#{number}"

    def add(self, node: Node) -> Promise:
        """Records a node at the site and returns the promise of its result."""
        site = self.site
        if site.after and not any(i >= site.start for i in (*node.sources, site.gate)):
            node.after = tuple(dict.fromkeys((*node.after, *site.after)))
        node.scope = site.scope
        node.gate = site.gate
        node.settled = site.settled
        node.stage += site.stage
        if node.lead < 0:
            node.lead = site.lead
        ref = Ref(len(self.nodes))
        self.nodes.append(node)
        self.refs.append(ref)
        return Promise(self, ref)

    def step(
        self,
        fn: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        *,
        gives: Hint | None = None,
        shown: bool = False,
    ) -> Promise:
        """Records a plain function that is called inline with results."""
        where = user_place()
        taken = absorbed(self, args, kwargs, who=name, where=where)
        return self.add(
            Node(
                NodeKind.STEP,
                self.key(name),
                fn=fn,
                args=taken.args,
                kwargs=taken.kwargs,
                refs=taken.refs,
                sources=taken.sources,
                shown=shown,
                where=where,
                gives=gives,
            )
        )

    def given(self, name: str, hint: Hint | None, where: Place = NOWHERE) -> Promise:
        """Records an input whose value comes at the start of a run."""
        promise = self.add(Node(NodeKind.INPUT, f"(input {name})", where=where, gives=hint))
        self.inputs.append((name, promise.ref__.id))
        return promise

    def scope(self, path: str, options: RunOptions) -> int:
        """Opens the scope of a nested call and returns its number."""
        limits = options.tag_concurrency_limits
        self.scopes.append(
            Scope(self.site.scope, path, options.max_concurrent, limits, options.op_retry, options.timeout)
        )
        return len(self.scopes) - 1

    @contextmanager
    def at(self, site: Site) -> Generator[None]:
        """New nodes stand at `site` meanwhile."""
        before, self.site = self.site, site
        try:
            yield
        finally:
            self.site = before

    @contextmanager
    def going_on(self) -> Generator[None]:
        """Calls of ops are recorded here meanwhile; afterwards the promises are of no more use."""
        token = CURRENT.set(self)
        try:
            yield
        finally:
            CURRENT.reset(token)
            self.closed = True

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────

    def ref(self, promise: Promise) -> Ref:
        """Returns the local reference of a promise; one of an enclosing wiring is captured.

        Raises:
            TracingError: for a promise of another wiring.
        """
        owner = promise.wiring__
        if owner is self:
            return promise.ref__
        chain: list[Wiring] = []
        wiring: Wiring | None = self
        while wiring is not None and wiring is not owner:
            chain.append(wiring)
            wiring = wiring.parent
        if wiring is None or owner.closed:
            raise stale(promise)
        ref = promise.ref__
        node = owner.nodes[ref.id]
        for inner in reversed(chain):
            ref = inner._capture(ref, node)
        return ref

    def _capture(self, outer: Ref, node: Node) -> Ref:
        """Returns the local reference of a result from outside."""
        known = self._captured.get(id(outer))
        if known is None:
            with self.at(Site()):
                promise = self.add(Node(NodeKind.CAPTURE, f"({node.key})", where=node.where, gives=node.gives))
            known = self._captured[id(outer)] = promise.ref__
            self.outside.append(outer)
        return known

    def renumber(self) -> None:
        """Puts the captured results of a fragment right after its item, in the order of their capture."""
        order = sorted(range(len(self.nodes)), key=lambda i: (_RANK.get(self.nodes[i].kind, 2), i))
        if order == list(range(len(order))):
            return
        new = {old: i for i, old in enumerate(order)}
        for old, ref in enumerate(self.refs):
            ref.id = new[old]
        self.nodes = [self.nodes[old] for old in order]
        self.refs = [self.refs[old] for old in order]
        for node in self.nodes:
            node.sources = tuple([new[i] for i in node.sources])
            node.after = tuple([new[i] for i in node.after])
            node.gate = new.get(node.gate, -1)
            node.lead = new.get(node.lead, -1)
            node.settled = new.get(node.settled, -1)
            node.items = new.get(node.items, -1)


_RANK: Mapping[NodeKind, int] = {NodeKind.ITEM: 0, NodeKind.CAPTURE: 1}
