"""A call of an op while wiring, from the user's line to a node. This is the hot path of wiring: 3 µs are its budget.

Nearly every call has promises and plain constants by position, as many as the op has parameters. Such a call is
recorded here in one go; everything else takes the general way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.definition import OpDefinition
from asyncflow._authoring.hidden import LEAVES
from asyncflow._authoring.nested import record_graph
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.opcall import compare, record_op
from asyncflow._authoring.place import Place, frame_above, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.settle import settled
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

_OP = NodeKind.OP


def call(callee: Callee, args: tuple[object, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the promise of any result
    """Records a call of an op or a graph; the user's line is two frames up.

    Raises:
        TracingError: outside a graph; also for a promise that hides, or belongs to another wiring.
        PlanError: for arguments that the function cannot take.
    """
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        raise outside(callee.definition.name)
    definition = callee.definition
    frame = frame_above(2)
    where = (frame.f_code.co_filename, frame.f_lineno)
    if not isinstance(definition, OpDefinition):
        return record_graph(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    site = wiring.site
    if kwargs or callee.leading or callee.order or site.after:
        return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    signature = definition.signature
    if len(args) != signature.exact:
        signature.check(args, kwargs, who=f"{wiring.graph_name}/{site.prefix}{definition.name}", where=where)
    kept: list[Any] = []
    sources: list[int] = []
    for arg in args:
        if type(arg) is Promise:
            if arg.wiring__ is not wiring:
                return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
            ref = arg.ref__
            gives = wiring.nodes[ref.id].gives
            if gives is not None:
                i = len(kept) if len(kept) < signature.positional else signature.rest
                if gives not in signature.accepted[i]:
                    compare(
                        gives, definition, i, who=f"{wiring.graph_name}/{site.prefix}{definition.name}", where=where
                    )
            kept.append(ref)
            if ref.id not in sources:
                sources.append(ref.id)
        elif type(arg) in LEAVES:
            kept.append(arg)
        else:
            return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    nodes = wiring.nodes
    ref = Ref(len(nodes))
    nodes.append(
        Node(  # by position, since names cost a third of it: kind, key, op, fn, args, kwargs, refs, sources, after,
            _OP, wiring.key(definition.name), definition, None, tuple(kept), None, False, tuple(sources), (),
            # gate, scope, stage, lead, settled, shown, where, gives
            site.gate, site.scope, site.stage, site.lead, site.settled, True, where, signature.returns,
        )
    )  # fmt: skip
    wiring.refs.append(ref)
    return Promise(wiring, ref)


def call_settled(callee: SettledCallee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the promise of an outcome
    """Records a call whose failure is tolerated.

    Raises:
        TracingError: outside a graph; also for a promise that hides, or belongs to another wiring.
        PlanError: for arguments that the function cannot take.
    """
    wiring = CURRENT.get()
    name = callee.callee.definition.name
    if wiring is None or wiring.closed:
        raise outside(name, "try_run")
    return record(wiring, callee, args, kwargs, key=wiring.key(name), where=user_place())


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
    return record_graph(wiring, callee, args, kwargs, key=key, where=where)


def outside(name: str, door: str = "run") -> TracingError:
    """Returns the error for a call outside a graph."""
    return TracingError(
        f"{name}(…) was called outside a graph, at {told(user_place())}, where there is nothing to wire it into:"
        f" `await {name}.{door}(…)` runs it, `{name}.fn(…)` is the plain function"
    )
