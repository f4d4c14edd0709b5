"""`each`: the same op or graph for every item of a list."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.items import Repeated, over_items, over_promise
from asyncflow._authoring.place import Place, told, user_place
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
        TracingError: outside a graph, for something that is neither op nor graph, or items that are none.
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
    below: Any = callee.__func__ if type(callee) is types.MethodType else None
    if isinstance(below, Callee):
        callee = below.bound_to(callee.__self__)  # `@classmethod` above `@op`, from Python 3.13 on
    if not isinstance(callee, (Callee, SettledCallee)):
        raise _no_callee(callee, where)
    call = Repeated(callee, args, dict(kwargs), where)
    given: Any = items
    if type(given) is Promise:
        mapped: Any = over_promise(wiring, call, given)
    elif _can_be_listed(given):
        mapped = over_items(wiring, call, list(given))
    else:
        raise TracingError(
            f"each({call.name}, …) at {told(where)} takes items to call it for, a list or the promise of one, and was"
            f" given a value of type {type(given).__name__}"
        )
    return cast("list[R]", mapped)


def _can_be_listed(thing: object) -> bool:
    """True for what has items; looking at them is left to the one call of `list`."""
    return isinstance(thing, Iterable) or hasattr(type(thing), "__getitem__")


def _no_callee(thing: object, where: Place) -> TracingError:
    """Returns the error for something that is neither op nor graph, told apart by whether it could become one."""
    if not callable(thing):
        return TracingError(
            f"each(…) at {told(where)} takes an op or a graph and then the items, and was given a value of type"
            f" {type(thing).__name__} in place of the op"
        )
    name = step_name(thing)
    return TracingError(
        f"each(…) at {told(where)} was given {name}, which is neither op nor graph: put @op on it, or make one step"
        f" of all: `apply(lambda items: [{name}(item) for item in items], x)`"
    )
