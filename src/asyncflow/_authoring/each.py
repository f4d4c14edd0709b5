"""`each`: the same op or graph for every item of a list.

Over a real list the items are wired one by one, each with its own key. Over a promise one MAP node repeats a
fragment, a small wiring of its own, when the list is there. Either way a further `each` over the result is wired per
item: the second stage of an item waits for the first stage of that item only, and inherits its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from asyncflow._authoring.call import record
from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.decorated import FORBIDDEN
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Fragment, Node, NodeKind
from asyncflow._authoring.order import ordered_after
from asyncflow._authoring.place import Place, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import as_promise, same, step_name
from asyncflow._authoring.wiring import Items, Wiring
from asyncflow.errors import ConfigurationError, PlanError, TracingError
from asyncflow.ids import check_name

A = TypeVar("A")
Q = ParamSpec("Q")
R = TypeVar("R")


def each(
    fn: Callable[Concatenate[A, Q], R], items: Iterable[A], /, *args: Q.args, **kwargs: Q.kwargs
) -> list[R]:
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
        raise TracingError(f"each(…) was called outside a graph, at {told(where)}: inside an op, loop over `await op.run(item)`")
    callee: object = fn
    if not isinstance(callee, (Callee, SettledCallee)):
        raise TracingError(
            f"each(…) at {told(where)} was given {step_name(fn)}, which is neither op nor graph: put @op on it,"
            f" or make one step of it: `apply(lambda items: [{step_name(fn)}(item) for item in items], x)`"
        )
    call = _Call(callee, args, dict(kwargs), where)
    if type(items) is Promise:
        mapped: Any = _over_promise(wiring, call, items)
    else:
        mapped = _over_items(wiring, call, list(items))
    return mapped  # type: ignore[no-any-return] — a promise stands for the list


class _Call:
    """What is called for every item."""

    __slots__ = ("args", "callee", "inner", "kwargs", "where")

    def __init__(
        self, callee: Callee | SettledCallee, args: tuple[Any, ...], kwargs: dict[str, Any], where: Place
    ) -> None:
        self.callee = callee
        self.inner = callee.callee if isinstance(callee, SettledCallee) else callee
        self.args = args
        self.kwargs = kwargs
        self.where = where

    @property
    def gives(self) -> Hint | None:
        """What is known of the list."""
        returns = self.inner.definition.signature.returns
        if returns is None:
            return None
        return returns.settled.listed if isinstance(self.callee, SettledCallee) else returns.listed

    def placed(self, wiring: Wiring, item: Any, key: str) -> Any:  # noqa: ANN401 — any item, any result
        """Records the call for one item."""
        return record(wiring, self.callee, (item, *self.args), self.kwargs, key=key, where=self.where)


def _over_items(wiring: Wiring, call: _Call, items: list[Any]) -> Promise:
    """Wires the items of a real list one by one."""
    base = wiring.key(call.inner.definition.name)
    names = item_names(call.inner.map_key, items, f"{wiring.graph_name}/{base}", call.where)
    return _one_by_one(wiring, call, base, items, names, leads=None, stage=0)


def _one_by_one(
    wiring: Wiring,
    call: _Call,
    base: str,
    items: Sequence[Any],
    names: Sequence[str],
    *,
    leads: Sequence[int] | None,
    stage: int,
) -> Promise:
    """Wires one call per item and the list of their results; `leads` are the chains the items continue."""
    site = wiring.site
    inherited = site.lead >= 0
    results: list[int] = []
    starts: list[int] = []
    taken: set[int] = set()
    for i, (item, name) in enumerate(zip(items, names, strict=True)):
        lead = leads[i] if leads is not None else len(wiring.nodes)
        key = f"{base}[{name}]"
        with wiring.at(replace(site, stage=site.stage + stage, lead=site.lead if inherited else lead)):
            result = as_promise(wiring, call.placed(wiring, item, key), key, call.where)
            if result.ref__.id in taken:  # a body that returns what was made outside: every item needs a node of its own
                result = wiring.step(same, "(value)", (result,))
        taken.add(result.ref__.id)
        results.append(result.ref__.id)
        starts.append(lead)
    collected = wiring.add(
        Node(
            NodeKind.COLLECT,
            base,
            sources=tuple(results),
            where=call.where,
            gives=call.gives,
        )
    )
    wiring.items[collected.ref__.id] = Items(tuple(results), tuple(names), tuple(starts), stage)
    return collected


def _over_promise(wiring: Wiring, call: _Call, items: Promise) -> Promise:
    """Continues a chain item by item, or wires what is to be repeated when the list is there."""
    source = wiring.ref(items)
    known = wiring.items.get(source.id)
    base = wiring.key(call.inner.definition.name)
    if known is not None and call.inner.map_key is None:
        promises = [Promise(wiring, wiring.refs[i]) for i in known.results]
        return _one_by_one(wiring, call, base, promises, known.names, leads=known.leads, stage=known.stage + 1)
    before = wiring.nodes[source.id]
    chained = before.kind is NodeKind.MAP and call.inner.map_key is None
    node = Node(
        NodeKind.MAP,
        base,
        after=ordered_after(wiring, call.inner.order, f"{wiring.graph_name}/{base}", call.where),
        stage=before.stage + 1 if chained else 0,
        where=call.where,
        gives=call.gives,
        fragment=_repeated(wiring, call, base, None if before.gives is None else before.gives.item),
        items=source.id,
        chained=chained,
    )
    return wiring.add(node)


def _repeated(wiring: Wiring, call: _Call, base: str, hint: Hint | None) -> Fragment:
    """Wires the call for an item that is not there yet."""
    inner = Wiring(wiring.graph_name, parent=wiring, static=wiring.static)
    with inner.going_on():
        item = inner.add(Node(NodeKind.ITEM, "(item)", where=call.where, gives=hint))
        result = as_promise(inner, call.placed(inner, item, f"{base}[]"), base, call.where)
        inner.captured_first()
    return Fragment(inner, outside=tuple(inner.outside), output=result.ref__.id, map_key=call.inner.map_key)


def item_names(
    map_key: Callable[[Any], str] | None, items: Sequence[Any], who: str, where: Place
) -> tuple[str, ...]:
    """Returns what goes between the brackets of each item's keys: its index, or what `map_key` makes of it.

    Raises:
        PlanError: for a name that is empty, occurs twice, is no string, or has characters that keys are built with.
    """
    if map_key is None:
        return tuple(map(str, range(len(items))))
    names: dict[str, int] = {}
    for i, item in enumerate(items):
        if type(item) is Promise:
            raise TracingError(f"map_key of {who} at {told(where)} cannot name item {i}, which is a promise: leave map_key out, or map over the promise of a list")
        name: object = map_key(item)
        said = f"map_key of {who} at {told(where)} gave {name!r:.60} for item {i}"
        if not isinstance(name, str) or not name or any(character in FORBIDDEN for character in name):
            raise PlanError(f"{said}: a key is a string that is not empty and has none of / [ ] #")
        if name in names:
            raise PlanError(f"{said}, as for item {names[name]}: every item needs a key of its own")
        try:
            check_name(name, field="a key")
        except ConfigurationError as error:
            raise PlanError(f"{said}: {error}") from error
        names[name] = i
    return tuple(names)
