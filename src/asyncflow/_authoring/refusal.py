"""What a promise says when it is used as if it were a value: what happened, where, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.place import blamed_place, told
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.promise import Promise
    from asyncflow._authoring.wiring import Wiring

LATE: Final = "a graph with `@graph(late=True)` is wired when its inputs are there, and may look at them"

HINTS: Final = {
    "bool": "write `when(condition, lambda: …, lambda: …)` to choose a branch, `&` and `|` between conditions,"
    f" `apply(max, x, 3)` for a function, or decide inside an op; {LATE}",
    "iter": "write `each(op, x)` to map over it, or `apply(list, x)` for a step on the whole; a result unpacks where"
    f" its op returns a tuple of fixed length, such as `tuple[int, str]`; {LATE}",
    "len": "write `apply(len, x)`",
    "contains": "write `apply(lambda items, item: item in items, x, item)`",
    "index": "write `apply(range, x)` or `apply(operator.getitem, items, x)`: a step gets the value",
    "int": "write `apply(int, x)`",
    "float": "write `apply(float, x)`, or `apply(math.sqrt, x)` for a function of it",
    "complex": "write `apply(complex, x)`",
    "bytes": "write `apply(bytes, x)`",
    "str": "write `apply(str, x)`, or `apply('{} pages'.format, x)` for a text around it",
    "path": "write `apply(Path, x)`, or open the file inside an op",
    "call": "write `apply(lambda value: value.method(…), x)`: a step gets the value",
    "await": "leave out `await`: what takes the result waits for it; `await op.run(…)` is for code outside a graph",
    "with": "open it inside an op, around what needs it",
    "aiter": "write `each(op, x)`, or loop inside an op",
    "next": "write `apply(lambda items: next(iter(items)), x)`",
    "reversed": "write `apply(lambda items: items[::-1], x)`",
    "class": "ask inside an op, or write `when(apply(isinstance, x, T), lambda: …, lambda: …)`; for JSON and models a"
    f" step gets the value: `apply(json.dumps, x)`, `apply(Model, n=x)`; {LATE}",
    "set": "let an op or a step make the changed value: `apply(lambda value: {**value, 'k': 1}, x)`",
    "hash": "keep it in a list, or as a value of a dict; for a look-up write `apply(operator.getitem, table, x)`",
    "pickle": "run the graph, and pickle what it returned",
    "dunder": "write `apply(lambda value: …, x)`: a step gets the value",
}
"""What to write instead, by what was tried."""


def refusal(promise: Promise, what: str, hint: str) -> TracingError:
    """Returns the error for `what` being done to `promise`; `hint` is one of `HINTS`."""
    wiring = promise.wiring__
    if wiring.closed:
        return stale(promise)
    return TracingError(
        f"{what} at {told(blamed_place())} needs the value of {described(promise)}, and while a graph is wired there is"
        f" only a promise of it: {HINTS[hint]}{_about_input(promise)}"
    )


def stale(promise: Promise) -> TracingError:
    """Returns the error for a promise that is used where its graph is not being wired."""
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        then = "when its graph was wired already"
    elif wiring.root is promise.wiring__.root:
        then = f"outside the call of `each` in {wiring.graph_name} that it was made in"
    else:
        then = f"while another graph, {wiring.graph_name}, is wired"
    return TracingError(
        f"the promise of {described(promise)} was used at {told(blamed_place())}, {then}: a promise belongs to one"
        " wiring of one graph; return it from there, or make the call here"
    )


def described(promise: Promise) -> str:
    """Returns what a promise stands for: graph, key, and the place of the call."""
    wiring = promise.wiring__
    node = wiring.nodes[promise.ref__.id]
    behind = behind_steps(wiring, node)
    if behind.kind is NodeKind.INPUT:
        name = f"input {input_name(behind)!r} of {wiring.graph_name}"
    elif behind.kind in (NodeKind.ITEM, NodeKind.CAPTURE):
        name = f"{behind.key[1:-1]} in {wiring.graph_name} (at {told(behind.where)})"
    else:
        name = f"{wiring.graph_name}/{behind.key} (wired at {told(behind.where)})"
    return name if behind is node else f"an expression on {name}"


def behind_steps(wiring: Wiring, node: Node) -> Node:
    """Returns the node whose result an expression starts from, or the node itself."""
    while node.kind is NodeKind.STEP and not node.shown and node.sources:
        node = wiring.nodes[node.sources[0]]
    return node


def input_name(node: Node) -> str:
    """Returns the name of the input an INPUT node stands for."""
    return node.key.removeprefix("(input ").removesuffix(")")


def _about_input(promise: Promise) -> str:
    """Returns what to do where the value comes from an input that was not given."""
    wiring = promise.wiring__
    behind = behind_steps(wiring, wiring.nodes[promise.ref__.id])
    if behind.kind is not NodeKind.INPUT:
        return ""
    name, graph = input_name(behind), wiring.graph_name
    if wiring.static:
        return f"; the inputs of a static graph are promises: without `static=True` {graph} gets {name!r} as it is"
    return f"; `{graph}.plan({name}=…)` plans with a real value"
