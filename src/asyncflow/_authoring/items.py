"""The items of an `each`: wired one by one where they are known, or once for all where they come at run time.

Over a real list every item is wired at once, with its own key. Over a promise one MAP node repeats a fragment, a
small wiring of its own, when the list is there. Either way a further `each` over the result is wired per item: the
second stage of an item waits for the first stage of that item only, and inherits its name.

All nodes of one item's chain carry the chain's first node (`lead`) and how many stages lie before (`stage`), from
which the plan orders them: item first, later stage first. A chain inside an item belongs to that item's chain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncflow._authoring.call import record
from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.decorated import FORBIDDEN
from asyncflow._authoring.definition import OpDefinition
from asyncflow._authoring.hidden import LEAVES
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Fragment, Node, NodeKind, Ref
from asyncflow._authoring.opcall import compare_promise, op_node
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.site import Items, Site
from asyncflow._authoring.step import as_promise, same
from asyncflow._authoring.stream import refuse_misread
from asyncflow._authoring.unused import warn_of_unused
from asyncflow._authoring.wiring import Wiring
from asyncflow.errors import ConfigurationError, PlanError, TracingError
from asyncflow.ids import check_name


class Repeated:
    """What is called for every item.

    Args:
        callee: The op or graph, or its settled form.
        args: Arguments after the item.
        kwargs: Arguments by name.
        where: The user's call of `each`.
    """

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
    def name(self) -> str:
        """What the keys begin with."""
        return self.inner.definition.name

    @property
    def gives(self) -> Hint | None:
        """What is known of the list."""
        returns = self.inner.definition.signature.resolve().returns
        if returns is None:
            return None
        return returns.settled.listed if isinstance(self.callee, SettledCallee) else returns.listed

    def placed(self, wiring: Wiring, item: object, key: str) -> object:
        """Records the call for one item; returns its promise, or what a graph's body returned."""
        return record(wiring, self.callee, (item, *self.args), self.kwargs, key=key, where=self.where)


def over_items(wiring: Wiring, call: Repeated, items: list[Any]) -> Promise:
    """Wires the items of a real list one by one, and the list of their results."""
    base = wiring.key(call.name)
    names = item_names(call.inner.map_key, items, f"{wiring.graph_name}/{base}", call.where)
    return _collected(wiring, call, base, items, names, leads=(), stage=0)


def over_promise(wiring: Wiring, call: Repeated, items: Promise) -> Promise:
    """Continues a chain item by item, or wires what is to be repeated when the list is there."""
    source = wiring.ref(items)
    known = wiring.items.get(source.id)
    base = wiring.key(call.name)
    if known is not None and call.inner.map_key is None:
        promises = [Promise(wiring, wiring.refs[i]) for i in known.results]
        return _collected(wiring, call, base, promises, known.names, leads=known.leads, stage=known.stage + 1)
    before = wiring.nodes[source.id]
    if before.kind is NodeKind.STREAM:
        raise TracingError(
            f"each({call.name}, …) at {told(call.where)} was given a stream, which one op reads: give it the list"
        )
    chained = before.kind is NodeKind.MAP and call.inner.map_key is None
    return wiring.add(
        Node(
            NodeKind.MAP,
            base,
            stage=before.stage - wiring.site.stage + 1 if chained else 0,
            where=call.where,
            gives=call.gives,
            fragment=_fragment(wiring, call, base, None if before.gives is None else before.gives.item),
            items=source.id,
            chained=chained,
        )
    )


def _fragment(wiring: Wiring, call: Repeated, base: str, hint: Hint | None) -> Fragment:
    """Wires the call for an item that is not there yet."""
    inner = Wiring(wiring.graph_name, parent=wiring, static=wiring.static, deployment=wiring.deployment)
    with inner.going_on():
        item = inner.add(Node(NodeKind.ITEM, f"(item of {base})", where=call.where, gives=hint))
        inner.site = Site(lead=item.ref__.id)  # chains inside belong to the item's chain
        result = as_promise(inner, call.placed(inner, item, f"{base}[]"))
        inner.renumber()
        inner.output = result.ref__
    refuse_misread(inner)
    warn_of_unused(inner)
    return Fragment(
        inner,
        outside=tuple(inner.outside),
        output=result.ref__.id,
        map_key=call.inner.map_key,
        window=call.inner.window,
    )


def _collected(
    wiring: Wiring,
    call: Repeated,
    base: str,
    items: Sequence[Any],
    names: Sequence[str],
    *,
    leads: Sequence[int],
    stage: int,
) -> Promise:
    """Wires one call per item, in chains that `leads` began or that begin here, and the list of the results."""
    if isinstance(call.callee, Callee) and isinstance(call.callee.definition, OpDefinition) and not wiring.site.after:
        results, starts = _ops(wiring, call.callee, call, base, items, names, leads=leads, stage=stage)
    else:
        results, starts = _calls(wiring, call, base, items, names, leads=leads, stage=stage)
    promise = wiring.add(Node(NodeKind.COLLECT, base, sources=tuple(results), where=call.where, gives=call.gives))
    wiring.items[promise.ref__.id] = Items(tuple(results), tuple(names), tuple(starts), stage)
    return promise


def _calls(
    wiring: Wiring,
    call: Repeated,
    base: str,
    items: Sequence[Any],
    names: Sequence[str],
    *,
    leads: Sequence[int],
    stage: int,
) -> tuple[list[int], list[int]]:
    """Wires any call for each item; returns the ids of the results and of the first node of each chain."""
    site = wiring.site
    results: dict[int, None] = {}
    starts: list[int] = []
    try:
        for i, (item, name) in enumerate(zip(items, names, strict=True)):
            lead = leads[i] if leads else len(wiring.nodes)
            starts.append(lead)
            wiring.site = _of_item(site, stage, lead)
            result = as_promise(wiring, call.placed(wiring, item, f"{base}[{name}]"))
            if result.ref__.id in results:  # a body that returned what was made outside: every item has its own node
                result = wiring.step(same, "(value)", (result,))
            results[result.ref__.id] = None
    finally:
        wiring.site = site
    return list(results), starts


def _of_item(site: Site, stage: int, lead: int) -> Site:
    lead = lead if site.lead < 0 else site.lead
    return Site(site.scope, site.prefix, site.after, site.start, site.gate, site.settled, site.stage + stage, lead)


def _ops(
    wiring: Wiring,
    callee: Callee,
    call: Repeated,
    base: str,
    items: Sequence[object],
    names: Sequence[str],
    *,
    leads: Sequence[int],
    stage: int,
) -> tuple[list[int], list[int]]:
    """As `_calls`, for an op: all items share what does not depend on the item, so it is worked out once."""
    if not items:
        return [], []
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        raise PlanError(f"{definition.name} is no op")
    site = wiring.site
    probe = op_node(wiring, callee, (None, *call.args), call.kwargs, key=f"{base}[{names[0]}]", where=call.where)
    place = len(callee.leading)
    before, behind = probe.args[:place], probe.args[place + 1 :]
    parameter = definition.signature.place(place)
    nodes, refs = wiring.nodes, wiring.refs
    starts: list[int] = []
    results: list[int] = []
    for i, (item, name) in enumerate(zip(items, names, strict=True)):
        key = f"{base}[{name}]"
        kept: object = item
        sources, nested = probe.sources, probe.refs
        if type(item) is Promise and item.wiring__ is wiring:
            kept = item.ref__
            sources = (item.ref__.id, *[j for j in sources if j != item.ref__.id]) if sources else (item.ref__.id,)
            compare_promise(item, definition, parameter, who=f"{wiring.graph_name}/{key}", where=call.where)
        elif type(item) not in LEAVES:
            node = op_node(wiring, callee, (item, *call.args), call.kwargs, key=key, where=call.where)
            kept, sources, nested = node.args[place], node.sources, node.refs
        ref = Ref(len(nodes))
        lead = leads[i] if leads else ref.id
        # by position: kind, key, op, fn, args, kwargs, refs, sources, after, gate, scope, stage, lead, settled, shown,
        # where, gives
        nodes.append(
            Node(
                NodeKind.OP, key, definition, None, (*before, kept, *behind), probe.kwargs, nested, sources,
                probe.after, site.gate, site.scope, site.stage + stage, lead if site.lead < 0 else site.lead,
                site.settled, True, call.where, probe.gives,
            )
        )  # fmt: skip
        refs.append(ref)
        starts.append(lead)
        results.append(ref.id)
    return results, starts


def check_window(value: object, *, who: str) -> int:
    """Returns a `window`, a number of items of at least 1.

    Raises:
        ConfigurationError: for anything else.
    """
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"window of {who} must be a whole number of at least 1, got {value!r:.40}")
    return value


def check_map_key(value: Callable[[Any], str] | None, *, who: str) -> Callable[[Any], str] | None:
    """Returns a `map_key`, a plain function or None.

    Raises:
        ConfigurationError: for anything else.
    """
    given: object = value
    if given is not None and (not callable(given) or inspect.iscoroutinefunction(given)):
        what = "an async def" if callable(given) else f"a value of type {type(given).__name__}"
        raise ConfigurationError(f"map_key of {who} must be a plain function of an item that gives a name, not {what}")
    return value


def item_names(
    map_key: Callable[[Any], str] | None, items: Sequence[Any], who: str, where: Place | None = None
) -> tuple[str, ...]:
    """Returns what goes between the brackets of each item's keys: its index, or what `map_key` makes of it.

    Args:
        map_key: Names an item.
        items: The items.
        who: The key of the map, for messages.
        where: The user's call of `each`, for messages.

    Raises:
        PlanError: for a name that is empty, occurs twice, is no string, or has characters that keys are built with.
        TracingError: for an item that is a promise.
    """
    if map_key is None:
        return tuple(map(str, range(len(items))))
    at = "" if where is None else f", called at {told(where)},"
    names: dict[str, int] = {}
    for i, item in enumerate(items):
        if type(item) is Promise:
            raise TracingError(
                f"map_key of {who}{at} cannot name item {i}, which is a promise: leave map_key out, or let one op"
                " return the list and map over that"
            )
        names[item_name(map_key, item, i, names, f"{who}{at}")] = i
    return tuple(names)


def item_name(map_key: Callable[[Any], str], item: object, i: int, taken: Mapping[str, int], who: str) -> str:
    """Returns the name that `map_key` gives item number `i`, where it can be one and is not taken.

    Raises:
        PlanError: where it is none.
    """
    name: object = map_key(item)
    problem = _name_problem(name, taken)
    if problem is not None:
        raise PlanError(f"map_key of {who} gave {name!r:.60} for item {i}: {problem}")
    return str(name)


def _name_problem(name: object, taken: Mapping[str, int]) -> str | None:
    if not isinstance(name, str) or not name or any(character in FORBIDDEN for character in name):
        return "a key is a string that is not empty and has none of / [ ] #"
    if name in taken:
        return f"item {taken[name]} has that key already, and every item needs its own"
    try:
        check_name(name, field="a key")
    except ConfigurationError as error:
        return str(error)
    return None
