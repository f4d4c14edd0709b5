"""A call of an op while wiring, from the user's line to a node. This is the hot path of wiring: 3 µs are its budget.

Nearly every call has promises and plain constants by position, as many as the op has parameters, at a site without
branch, order or `each`. Such a call is recorded here in one go; everything else takes the general way.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncflow._authoring.arguments import absorbed
from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.definition import OpDefinition
from asyncflow._authoring.hidden import LEAVES
from asyncflow._authoring.hint import Hint, disproves
from asyncflow._authoring.nested import call_graph
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.order import ordered_after
from asyncflow._authoring.place import Place, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.settle import settled
from asyncflow.errors import PlanError, TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

_OP = NodeKind.OP


def call(callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the promise of any result
    """Records a call of an op or a graph; the user's line is two frames up.

    Raises:
        TracingError: outside a graph; also for a promise that hides, or belongs to another wiring.
        PlanError: for arguments that the function cannot take.
    """
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        raise outside(callee.definition.name)
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        return call_graph(wiring, callee, args, kwargs, key=None, where=user_place())
    frame = sys._getframe(2)  # noqa: SLF001 — the only way to a frame
    where = (frame.f_code.co_filename, frame.f_lineno)
    if kwargs or callee.leading or callee.order or not wiring.plain:
        return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    signature = definition.signature
    if len(args) != signature.exact:
        signature.check(args, kwargs, _who(wiring, definition), where)
    accepted = signature.accepted
    kept: list[Any] = []
    sources: list[int] = []
    for i, arg in enumerate(args):
        kind = type(arg)
        if kind is Promise and arg.wiring__ is wiring:
            ref = arg.ref__
            gives = wiring.nodes[ref.id].gives
            if gives is not None and i < signature.positional and gives not in accepted[i]:
                _compare(gives, definition, i, _who(wiring, definition), where)
            kept.append(ref)
            if ref.id not in sources:
                sources.append(ref.id)
        elif kind in LEAVES:
            kept.append(arg)
        else:
            return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    nodes = wiring.nodes
    ref = Ref(len(nodes))
    # by position, since keywords cost a third of it: kind, key, op, fn, args, kwargs, refs, sources, after, gate,
    # scope, stage, lead, settled, shown, where, gives
    nodes.append(
        Node(
            _OP, wiring.key(definition.name), definition, None, tuple(kept), None, False, tuple(sources),
            (), -1, wiring.site.scope, 0, -1, -1, True, where, signature.returns,
        )
    )  # fmt: skip
    wiring.refs.append(ref)
    return Promise(wiring, ref)


def call_settled(callee: SettledCallee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the promise of an outcome
    """Records a call whose failure is tolerated."""
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        raise outside(f"{callee.callee.definition.name}.settled")
    return record(wiring, callee, args, kwargs, key=wiring.key(callee.callee.definition.name), where=user_place())


def record(
    wiring: Wiring,
    callee: Callee | SettledCallee,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    key: str,
    where: Place,
) -> Any:  # noqa: ANN401 — the promise of any result, or what the body of a nested graph returned
    """Records a call of anything that can be called, under a key that is taken already."""
    if isinstance(callee, SettledCallee):
        inner = callee.callee
        returns = inner.definition.signature.returns
        return settled(
            wiring,
            lambda: record(wiring, inner, args, kwargs, key=key, where=where),
            key=key,
            where=where,
            gives=None if returns is None else returns.settled,
        )
    if isinstance(callee.definition, OpDefinition):
        return record_op(wiring, callee, args, kwargs, key=key, where=where)
    return call_graph(wiring, callee, args, kwargs, key=key, where=where)


def record_op(
    wiring: Wiring, callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, key: str, where: Place
) -> Promise:
    """Records a call of an op, whatever its arguments and its site are."""
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        raise TracingError(f"{definition.name} is no op")
    signature = definition.signature
    who = f"{wiring.graph_name}/{key}"
    args = callee.leading + args
    if kwargs or len(args) != signature.exact:
        signature.check(args, kwargs, who, where)
    compare_all(wiring, definition, args, kwargs, who, where)
    taken = absorbed(wiring, args, kwargs, who, where)
    node = Node(
        _OP,
        key,
        definition,
        args=taken.args,
        kwargs=taken.kwargs,
        refs=taken.refs,
        sources=taken.sources,
        after=ordered_after(wiring, callee.order, who, where),
        shown=True,
        where=where,
        gives=signature.returns,
    )
    return wiring.add(node)


def compare_all(
    wiring: Wiring,
    definition: OpDefinition,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    who: str,
    where: Place,
) -> None:
    """Compares what is known of every promise among the arguments with the parameter that takes it."""
    signature = definition.signature
    for i, value in enumerate(args):
        if type(value) is Promise:
            _compare_promise(value, definition, signature.place(i), who, where)
    for name, value in kwargs.items():
        if type(value) is Promise:
            _compare_promise(value, definition, signature.place_of(name), who, where)


def _compare_promise(promise: Promise, definition: OpDefinition, i: int, who: str, where: Place) -> None:
    gives = promise.wiring__.nodes[promise.ref__.id].gives
    if gives is not None and i >= 0 and gives not in definition.signature.accepted[i]:
        _compare(gives, definition, i, who, where)


def _compare(gives: Hint, definition: OpDefinition, i: int, who: str, where: Place) -> None:
    """Refuses a result that cannot be what the parameter takes; remembers one that can.

    Raises:
        PlanError: naming the parameter and both types.
    """
    signature = definition.signature
    takes = signature.hints[i]
    if takes is not None and disproves(gives, takes):
        raise PlanError(
            f"{who} takes {takes} as {signature.parameters[i].name!r}, and is given a result of type {gives} at"
            f" {told(where)}; change one of the annotations, or put a step between: `apply(convert, x)`"
        )
    signature.accepted[i].add(gives)


def _who(wiring: Wiring, definition: OpDefinition) -> str:
    return f"{wiring.graph_name}/{wiring.site.prefix}{definition.name}"


def outside(name: str) -> TracingError:
    """Returns the error for a call outside a graph."""
    return TracingError(
        f"{name}(…) was called outside a graph, at {told(user_place())}, where there is nothing to wire it into: "
        f"`await {name}.run(…)` runs it, `{name}.fn(…)` is the plain function"
    )
