"""A call of an op while wiring, from the user's line to a node. This is the hot path of wiring: 3 µs are its budget.

Nearly every call is of a plain op, at a site where nothing waits for `.after(…)`. Such a call is recorded here in one
go; everything else takes the general way, which costs twice as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.definition import OpDefinition
from asyncflow._authoring.hidden import LEAVES
from asyncflow._authoring.nested import record_graph
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.opcall import argument, called, compare, record_op
from asyncflow._authoring.place import Place, frame_above, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.settle import settled
from asyncflow._authoring.signature import Signature
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

_OP: Final = NodeKind.OP


def call_op(callee: Callee, /, *args: object, **kwargs: Any) -> Any:  # noqa: ANN401 — the promise of any result
    """Records a call of an op. It is the `__call__` of ops itself, so the user's line is one frame up.

    Raises:
        TracingError: outside a graph; also for a promise that hides, or belongs to another wiring.
        PlanError: for arguments that the function cannot take.
    """
    wiring = CURRENT.get()
    definition: Any = callee.definition
    if wiring is None or wiring.closed:
        raise outside(definition.name)
    frame = frame_above(1)
    where = (frame.f_code.co_filename, frame.f_lineno)
    site = wiring.site
    if callee.leading or callee.order or site.after:
        return record_op(wiring, callee, args, kwargs, key=wiring.key(definition.name), where=where)
    signature: Signature = definition.signature
    if not signature.resolved:
        signature.resolve()
    if (kwargs or len(args) != signature.exact) and not signature.fits(args, kwargs):
        signature.check(args, kwargs, who=called(wiring, definition), where=where)
    nodes = wiring.nodes
    kept: list[object] = []
    sources: dict[int, None] = {}
    nested = False
    for arg in args:
        if type(arg) is Promise and arg.wiring__ is wiring:
            ref = arg.ref__
            gives = nodes[ref.id].gives
            if gives is not None:
                i = len(kept) if len(kept) < signature.positional else signature.rest
                if gives not in signature.accepted[i]:
                    compare(gives, definition, i, who=called(wiring, definition), where=where)
            kept.append(ref)
            sources[ref.id] = None
        elif type(arg) in LEAVES:
            kept.append(arg)
        else:
            taken = argument(wiring, arg, definition, signature.place(len(kept)), sources, where)
            nested = nested or (taken is not arg and type(taken) is not Ref)
            kept.append(taken)
    named: dict[str, object] | None = None
    if kwargs:
        named = {k: argument(wiring, v, definition, signature.place_of(k), sources, where) for k, v in kwargs.items()}
        nested = nested or any(new is not kwargs[k] and type(new) is not Ref for k, new in named.items())
    ref = Ref(len(nodes))
    # by position, since names cost a third of it: kind, key, op, fn, args, kwargs, refs, sources, after, gate, scope,
    # stage, lead, settled, shown, where, gives
    node = Node(
        _OP, wiring.key(definition.name), definition, None, tuple(kept), named, nested, tuple(sources), (), site.gate,
        site.scope, site.stage, site.lead, site.settled, True, where, signature.returns,
    )  # fmt: skip
    nodes.append(node)
    wiring.refs.append(ref)
    return Promise(wiring, ref)


def call_graph(callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — what the body returned
    """Wires a graph inside another, in place.

    Raises:
        TracingError: outside a graph; also for a promise of another wiring.
        PlanError: for arguments it cannot take, options that belong to the outermost run, or a call without end.
    """
    wiring = CURRENT.get()
    name = callee.definition.name
    if wiring is None or wiring.closed:
        raise outside(name)
    return record_graph(wiring, callee, args, kwargs, key=wiring.key(name), where=user_place())


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
        returns = inner.definition.signature.resolve().returns
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
