"""What a promise says when it is used as if it were a value: what happened, where, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.node import NodeKind
from asyncflow._authoring.place import told, user_place
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.promise import Promise

LATE: Final = "or put the decision into an op (a graph wired once its inputs are there, `@graph(late=True)`, is planned)"
"""What is said where a body wants to look at a computed value."""

HINTS: Final = {
    "bool": "write `when(condition, lambda: …, lambda: …)` to choose a branch, `&` `|` for conditions on both sides, "
    f"`apply(max, x, 3)` for a function, {LATE}",
    "iter": "write `each(op, x)` to map over it, `apply(list, x)` for a step on the whole; a result unpacks "
    "where its op returns a tuple of fixed length, as in `-> tuple[int, str]`",
    "len": "write `apply(len, x)`",
    "contains": "write `apply(lambda items, item: item in items, x, item)`",
    "index": "write `apply(range, x)` or `apply(operator.getitem, items, x)`: a step gets the value",
    "int": "write `apply(int, x)`",
    "float": "write `apply(float, x)`",
    "complex": "write `apply(complex, x)`",
    "bytes": "write `apply(bytes, x)`",
    "str": "write `apply(str, x)`, or `apply('{} pages'.format, x)` for a text around it",
    "path": "write `apply(Path, x)`, or open the file in an op",
    "call": "write `apply(lambda value: value.method(…), x)`: a step gets the value",
    "await": "leave out `await`: an op that takes it waits for it; `await op.run(…)` is for code outside a graph",
    "with": "open it inside an op, around what needs it",
    "aiter": "write `each(op, x)`, or loop inside an op",
    "next": "write `apply(lambda items: next(iter(items)), x)`",
    "reversed": "write `apply(lambda items: items[::-1], x)`",
    "class": "look at its type inside an op, or write `when(apply(isinstance, x, T), lambda: …, lambda: …)`; for JSON "
    f"and models a step gets the value: `apply(json.dumps, x)`, `apply(Model, n=x)`; {LATE}",
    "set": "make the changed value in an op or a step: `apply(lambda value: {**value, 'k': 1}, x)`",
    "hash": "keep it in a list, or as a value of a dict: only the value it stands for could be a key",
    "pickle": "run the graph and pickle what it returned",
    "dunder": "write `apply(lambda value: …, x)`: a step gets the value",
}


def refusal(promise: Promise, what: str, hint: str) -> TracingError:
    """Returns the error for `what` being done to `promise`; `hint` says what to write instead."""
    if promise.wiring__.closed:
        return stale(promise)
    return TracingError(
        f"{what} needs the value of {described(promise)} at {told(user_place())}, and while a graph is wired there is"
        f" only a promise of it: {hint}{_where_from(promise)}"
    )


def stale(promise: Promise) -> TracingError:
    """Returns the error for a promise that is used where its graph is not being wired."""
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        used = f"was used at {told(user_place())}, when its graph was wired already"
    else:
        used = f"was used at {told(user_place())}, while {wiring.graph_name} is wired"
    return TracingError(
        f"the promise of {described(promise)} {used}: a promise belongs to one wiring of one graph; "
        "return it from the graph, or pass it on as an argument there"
    )


def described(promise: Promise) -> str:
    """Returns what a promise stands for: graph, key, and the place of the call."""
    wiring = promise.wiring__
    node = wiring.nodes[promise.ref__.id]
    if node.kind is NodeKind.INPUT:
        return f"input {node.key[len('(input ') : -1]!r} of {wiring.graph_name}"
    return f"{wiring.graph_name}/{node.key} (wired at {told(node.where)})"


def _where_from(promise: Promise) -> str:
    """Returns what to do where the value comes from an input that was not given, through steps or directly."""
    nodes = promise.wiring__.nodes
    node = nodes[promise.ref__.id]
    while node.kind is NodeKind.STEP and node.sources:
        node = nodes[node.sources[0]]
    if node.kind is not NodeKind.INPUT:
        return ""
    name, graph = node.key[len("(input ") : -1], promise.wiring__.graph_name
    if promise.wiring__.static:
        return f"; the inputs of a static graph are promises: without `static=True` {graph} gets {name!r} as it is"
    return f"; `{graph}.plan({name}=…)` wires it with a value"
