"""`when`: a branch on a value that is computed at run time.

Both branches are wired; a gate in front of each lets in what was wired while its callable ran. What was wired outside
runs whatever the condition is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asyncflow._authoring.arguments import refuse_hidden
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.hidden import find_hidden
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.place import Place, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import as_promise
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

A = TypeVar("A")
B = TypeVar("B")


def when(cond: bool, then: Callable[[], A], otherwise: Callable[[], B]) -> A | B:
    """Chooses between two branches by a condition that may be computed at run time.

    Both callables are called while wiring (only the chosen one where `cond` is real) and may close over results. Ops
    called inside the branch not taken are SKIPPED; ops called outside always run. A condition that was skipped skips
    the result, one that failed abandons it.

    Args:
        cond: The condition: a result, or an expression on results.
        then: Wires the branch for true.
        otherwise: Wires the branch for false.

    Returns:
        While wiring, the promise of what the taken branch gives.

    Raises:
        TracingError: outside a graph.

    >>> from asyncflow import graph, op, when
    >>> @op
    ... async def count(text: str) -> int:
    ...     return len(text)
    >>> @op
    ... async def shorten(text: str) -> str:
    ...     return text[:3] + "…"
    >>> @graph
    ... def short(text: str) -> str:
    ...     return when(count(text) > 5, lambda: shorten(text), lambda: text)
    >>> import asyncio
    >>> asyncio.run(short.run("abcdefgh")), asyncio.run(short.run("abc"))
    ('abc…', 'abc')
    """
    wiring = CURRENT.get()
    where = user_place()
    if wiring is None or wiring.closed:
        raise TracingError(f"when(…) was called outside a graph, at {told(where)}: there, write `if`")
    branches: tuple[object, object] = (then, otherwise)
    if not all(map(callable, branches)):
        raise TracingError(f"when(…) at {told(where)} takes two functions without parameters: `lambda: …`")
    condition: Any = cond
    if type(condition) is not Promise:
        refuse_hidden(condition, "the condition of when(…)", where)
        return then() if condition else otherwise()
    chosen: Any = _joined(wiring, wiring.ref(condition), then, otherwise, where)
    return cast("A | B", chosen)


def _joined(
    wiring: Wiring, condition: Ref, then: Callable[[], object], otherwise: Callable[[], object], where: Place
) -> Promise:
    """Wires both branches behind their gates, and what joins them."""
    taken, gives_then = _branch(wiring, condition, then, where, polarity=True)
    left, gives_otherwise = _branch(wiring, condition, otherwise, where, polarity=False)
    ids = [part.id for part in (condition, taken, left) if isinstance(part, Ref)]
    return wiring.add(
        Node(
            NodeKind.MERGE,
            wiring.key("(merge)"),
            args=(condition, taken, left),
            sources=tuple(dict.fromkeys(ids)),
            where=where,
            gives=gives_then if gives_then is gives_otherwise else None,
        )
    )


def _branch(
    wiring: Wiring, condition: Ref, wire: Callable[[], object], where: Place, *, polarity: bool
) -> tuple[object, Hint | None]:
    """Wires one branch; returns its result, a reference or a real value, and what is known of it."""
    gate = wiring.add(
        Node(NodeKind.GATE, wiring.key("(when)"), args=(condition, polarity), sources=(condition.id,), where=where)
    )
    with wiring.at(replace(wiring.site, gate=gate.ref__.id)):
        value = wire()
        if find_hidden(value) is None:
            return value, None
        ref = as_promise(wiring, value).ref__
    return ref, wiring.nodes[ref.id].gives
