"""Steps: plain functions called inline with results, without a limit of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asyncflow._authoring.arguments import refuse_hidden
from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.place import Place, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import refusal
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

P = ParamSpec("P")
R = TypeVar("R")


def apply(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a plain function with results, as a tiny step of the graph.

    A step runs inline where its inputs arrive: it takes no place under any limit, so keep it short and pure.

    Args:
        fn: The function or class. Promises it needs are given as arguments, not closed over.
        args: Its arguments; results among them are there when it is called.
        kwargs: Its keyword arguments likewise.

    Returns:
        While wiring, the promise of what it returns.

    Raises:
        TracingError: outside a graph, for an op or an async function, or where a promise hides.

    >>> from asyncflow import apply, graph, op
    >>> @op
    ... async def fetch(url: str) -> str:
    ...     return f"<page of {url}>"
    >>> @graph
    ... def size(url: str) -> int:
    ...     return apply(len, fetch(url))
    >>> import asyncio
    >>> asyncio.run(size.run("a.org"))
    15
    """
    wiring = CURRENT.get()
    where = user_place()
    if wiring is None or wiring.closed:
        raise TracingError(f"apply(…) was called outside a graph, at {told(where)}: there, call the function itself")
    given: Any = fn
    if type(given) is Promise:
        raise refusal(given, "`apply(…)` with it as the function", "call")
    if isinstance(fn, (Callee, SettledCallee)):
        raise TracingError(f"apply(…) at {told(where)} was given an op or a graph: call it, it is wired by itself")
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TracingError(f"apply(…) at {told(where)} was given {step_name(fn)}, an async function: put @op on it")
    if not callable(given):
        raise TracingError(
            f"apply(…) at {told(where)} takes a function first, not a value of type {type(given).__name__}"
        )
    refuse_hidden(fn, "the function of apply(…)", where)
    step: Any = wiring.step(fn, step_name(fn), args, kwargs, shown=True)
    return cast("R", step)


def step_name(fn: Callable[..., Any]) -> str:
    """Returns what the key of a step begins with: the function's name, `apply` where it has none that can be one."""
    inner: Any = fn.func if isinstance(fn, functools.partial) else fn  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # the function of any partial
    name = getattr(inner, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else "apply"


def same(value: Any) -> Any:  # noqa: ANN401 — any value
    """Returns `value`: what a step does whose only work is to put results into a container."""
    return value


def as_promise(wiring: Wiring, value: object) -> Promise:
    """Returns the local promise of a value that may be a promise, a container with some, or real."""
    if type(value) is not Promise:
        return wiring.step(same, "(value)", (value,))
    return value if value.wiring__ is wiring else Promise(wiring, wiring.ref(value))


def as_end(wiring: Wiring, start: int, where: Place) -> Promise:
    """Returns the promise of None that is kept when all nodes from `start` on have ended."""
    read = {i for node in wiring.nodes[start:] for i in (*node.sources, *node.after, node.gate, node.items)}
    last = len(wiring.nodes)  # what belongs to a settled call in here is waited for by its outcome
    ends = tuple([i for i in range(start, last) if i not in read and wiring.nodes[i].settled < start])
    return wiring.add(Node(NodeKind.STEP, wiring.key("(end)"), fn=same, args=(None,), after=ends, where=where))


def is_end(node: Node) -> bool:
    """True for what `as_end` makes."""
    return node.kind is NodeKind.STEP and node.key.rpartition("/")[2].startswith("(end)")
