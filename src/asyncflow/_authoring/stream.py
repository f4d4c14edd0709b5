"""`stream`: results for an op that reads them as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.place import told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import as_promise
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

R = TypeVar("R")


def stream(items: Iterable[R]) -> AsyncIterator[R]:
    """Gives results to an op one by one, in their order, as soon as each is there.

    What an async generator op yields, and what `each` makes of it, can be read while more is still to come. The op
    starts with the first result. While it waits for the next one, the ops that make it may use what it holds; while it
    does not read, at most `window` items are made ahead. An op that returns before the end ends the stream, where
    nobody else takes its items. Results of other lists are there all at once, and read the same way.

    Args:
        items: The promise of a list: of an `each`, or of an async generator op.

    Returns:
        While wiring, the promise of an async iterator, to be given to one parameter of one `async def` op.

    Raises:
        TracingError: outside a graph, or for something that is no list.

    >>> from collections.abc import AsyncIterator
    >>> from asyncflow import each, graph, op, stream
    >>> @op
    ... async def numbers(stop: int) -> AsyncIterator[int]:
    ...     for number in range(stop):
    ...         yield number
    >>> @op
    ... async def double(number: int) -> int:
    ...     return 2 * number
    >>> @op
    ... async def total(numbers: AsyncIterator[int]) -> int:
    ...     found = 0
    ...     async for number in numbers:
    ...         found += number
    ...     return found
    >>> @graph
    ... def doubled(stop: int) -> int:
    ...     return total(stream(each(double, numbers(stop))))
    >>> import asyncio
    >>> asyncio.run(doubled.run(100))
    9900
    """
    wiring = CURRENT.get()
    where = user_place()
    if wiring is None or wiring.closed:
        raise TracingError(f"stream(…) was called outside a graph, at {told(where)}: there, write `async for` or `for`")
    given: Any = items
    if type(given) is not Promise:
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise TracingError(
                f"stream(…) at {told(where)} takes the results of an `each` or of an async generator op, and was given"
                f" a value of type {type(given).__name__}"
            )
        given = as_promise(wiring, list(items))
    source = wiring.ref(given)
    before = wiring.nodes[source.id]
    if before.kind is NodeKind.STREAM:
        raise TracingError(f"stream(…) at {told(where)} was given a stream; give the list itself, once for each op")
    item = None if before.gives is None else before.gives.item
    gives = Hint(AsyncIterator if item is None else GenericAlias(AsyncIterator, item.annotation))
    wiring.streamed = True
    promise: Any = wiring.add(
        Node(
            NodeKind.STREAM,
            wiring.key("(stream)"),
            args=(source,),
            sources=(source.id,),
            where=where,
            gives=gives,
        )
    )
    return cast("AsyncIterator[R]", promise)


def refuse_misread(wiring: Wiring) -> None:
    """Refuses a stream that something else than one parameter of one `async def` op would get.

    Raises:
        TracingError: telling where the stream was made, who got it, and what to write.
    """
    if not wiring.streamed:
        return
    nodes = wiring.nodes
    streams = {i for i, node in enumerate(nodes) if node.kind is NodeKind.STREAM or _captured(node)}
    readers: dict[int, Node] = {}
    output = wiring.output
    if type(output) is Ref and output.id in streams:
        raise _misread(wiring, nodes[output.id], "is returned by the graph, which returns values: return the list")
    for node in nodes:
        taken = [i for i in _read_by(node) if i in streams]
        if not taken:
            continue
        made = nodes[taken[0]]
        direct = [arg.id for arg in (*node.args, *(node.kwargs or {}).values()) if type(arg) is Ref]
        if node.kind is not NodeKind.OP or direct.count(taken[0]) != 1 or taken[0] not in node.sources:
            raise _misread(wiring, made, f"is given to {_called(node)}, and only an op can read it: as one argument")
        if len(taken) > 1:
            raise _misread(
                wiring,
                made,
                f"is one of several that {_called(node)} gets, and an op reads one: give it the other list",
            )
        if node.op is not None and node.op.mode not in {"async", "stream"}:
            raise _misread(wiring, made, f"is given to {_called(node)}, a plain `def`: write an `async def` to read it")
        if taken[0] in readers:
            both = f"{_called(readers[taken[0]])} and {_called(node)}"
            raise _misread(wiring, made, f"is given to both {both}: call `stream(…)` once for each of them")
        readers[taken[0]] = node


def _read_by(node: Node) -> list[int]:
    outside = [] if node.fragment is None else list(node.fragment.captures)
    return list(dict.fromkeys([*node.sources, *node.after, *outside, *([node.items] if node.items >= 0 else [])]))


def _captured(node: Node) -> bool:
    """True for a stream from outside, which every item would have to read."""
    return node.kind is NodeKind.CAPTURE and node.key.rpartition("/")[2].startswith("((stream)")


def _called(node: Node) -> str:
    return node.key if node.kind is NodeKind.OP else f"something that is no op, {node.key}"


def _misread(wiring: Wiring, made: Node, problem: str) -> TracingError:
    return TracingError(f"the stream of {wiring.graph_name}, made at {told(made.where)}, {problem}")
