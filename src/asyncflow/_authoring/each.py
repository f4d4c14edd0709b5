"""`each`: the same op or graph for every item of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.items import Repeated, over_items, over_promise
from asyncflow._authoring.place import told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import refusal
from asyncflow._authoring.step import step_name
from asyncflow.errors import TracingError

A = TypeVar("A")
Q = ParamSpec("Q")
R = TypeVar("R")


def each(fn: Callable[Concatenate[A, Q], R], items: Iterable[A], /, *args: Q.args, **kwargs: Q.kwargs) -> list[R]:
    """Calls an op or a graph for every item, and gives the list of the results.

    An op or graph that takes the list waits for all of it; a further `each` over it starts per item. Results are in
    the order of the items; skipped ones are left out, a failed one abandons the list (`each(fetch.settled, urls)`
    goes on).

    Args:
        fn: The op or graph, or its `.settled`.
        items: Real items, or the promise of a list.
        args: Further arguments, the same for every item.
        kwargs: Further keyword arguments likewise.

    Returns:
        While wiring, the promise of the list.

    Raises:
        TracingError: outside a graph, or for something that is neither op nor graph.
        PlanError: where `map_key` gives an empty or a second equal name, or one with `/ [ ] #`.

    >>> from asyncflow import each, graph, op
    >>> @op
    ... async def double(number: int) -> int:
    ...     return 2 * number
    >>> @graph
    ... def doubles(numbers: list[int]) -> list[int]:
    ...     return each(double, numbers)
    >>> import asyncio
    >>> asyncio.run(doubles.run([1, 2, 3]))
    [2, 4, 6]
    """
    wiring = CURRENT.get()
    where = user_place()
    if wiring is None or wiring.closed:
        raise TracingError(
            f"each(…) was called outside a graph, at {told(where)}: inside an op, await `op.run(item)` for the items"
        )
    callee: Any = fn
    if type(callee) is Promise:
        raise refusal(callee, "`each(…)` with it as the function", "call")
    if not isinstance(callee, (Callee, SettledCallee)):
        name = step_name(fn)
        raise TracingError(
            f"each(…) at {told(where)} was given {name}, which is neither op nor graph: put @op on it, or make one step"
            f" of all: `apply(lambda items: [{name}(item) for item in items], x)`"
        )
    call = Repeated(callee, args, dict(kwargs), where)
    given: Any = items
    mapped: Any = over_promise(wiring, call, given) if type(given) is Promise else over_items(wiring, call, list(given))
    return cast("list[R]", mapped)
