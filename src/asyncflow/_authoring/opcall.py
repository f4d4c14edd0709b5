"""Recording a call of an op in general: named arguments, containers, methods, `.after`, anything a site may ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring.arguments import absorb, absorbed
from asyncflow._authoring.callee import Callee
from asyncflow._authoring.definition import GraphDefinition, OpDefinition
from asyncflow._authoring.hidden import LEAVES
from asyncflow._authoring.hint import Hint, disproves
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.order import ordered_after
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow.errors import PlanError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

_OP: Final = NodeKind.OP


def record_op(
    wiring: Wiring, callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, key: str, where: Place
) -> Promise:
    """Records a call of an op, whatever its arguments and its site are.

    Raises:
        TracingError: for a promise that hides, or belongs to another wiring.
        PlanError: for arguments that the function cannot take.
    """
    return wiring.add(op_node(wiring, callee, args, kwargs, key=key, where=where))


def op_node(
    wiring: Wiring, callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, key: str, where: Place
) -> Node:
    """Returns the node of a call of an op, not yet recorded."""
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        raise PlanError(f"{definition.name} is no op")
    signature = definition.signature.resolve()
    who = f"{wiring.graph_name}/{key}"
    args = callee.leading + args
    if kwargs or len(args) != signature.exact:
        signature.check(args, kwargs, who=who, where=where)
    taken = absorbed(wiring, args, kwargs, who=who, where=where)
    for i, value in enumerate(args):
        if type(value) is Promise:
            compare_promise(value, definition, signature.place(i), who=who, where=where)
    for name, value in kwargs.items():
        if type(value) is Promise:
            compare_promise(value, definition, signature.place_of(name), who=who, where=where)
    after = ordered_after(wiring, callee.order, who=who, where=where) if callee.order else ()
    # by position, since names cost a third of it: kind, key, op, fn, args, kwargs, refs, sources, after, gate, scope,
    # stage, lead, settled, shown, where, gives
    return Node(
        _OP, key, definition, None, taken.args, taken.kwargs, taken.refs, taken.sources, after, -1, 0,
        0, -1, -1, True, where, signature.returns,
    )  # fmt: skip


def argument(
    wiring: Wiring, value: object, definition: OpDefinition, i: int, sources: dict[int, None], where: Place
) -> object:
    """Returns one argument as a node keeps it, after comparing a result with the parameter that takes it.

    Raises:
        TracingError: for a promise that hides, or belongs to another wiring.
        PlanError: for a result of a type that the parameter cannot take.
    """
    if type(value) in LEAVES:
        return value
    if type(value) is not Promise:
        return absorb(wiring, value, sources, called(wiring, definition), where)
    ref = wiring.ref(value)
    sources[ref.id] = None
    gives = value.wiring__.nodes[value.ref__.id].gives
    if gives is not None and gives not in definition.signature.accepted[i]:
        compare(gives, definition, i, who=called(wiring, definition), where=where)
    return ref


def called(wiring: Wiring, definition: OpDefinition) -> str:
    """Returns what messages call an op that has no key yet."""
    return f"{wiring.graph_name}/{wiring.site.prefix}{definition.name}"


def compare_promise(
    promise: Promise, definition: OpDefinition | GraphDefinition, i: int, *, who: str, where: Place
) -> None:
    """Compares what is known of a result with the parameter that takes it.

    Raises:
        PlanError: naming the parameter and both types.
    """
    gives = promise.wiring__.nodes[promise.ref__.id].gives
    if gives is not None and gives not in definition.signature.accepted[i]:
        compare(gives, definition, i, who=who, where=where)


def compare(gives: Hint, definition: OpDefinition | GraphDefinition, i: int, *, who: str, where: Place) -> None:
    """Refuses a result that cannot be what a parameter takes; remembers one that can.

    Raises:
        PlanError: naming the parameter and both types.
    """
    signature = definition.signature
    takes = signature.hints[i]
    if takes is not None and disproves(gives, takes):
        raise PlanError(
            f"{who}, called at {told(where)}, takes {takes} as {signature.parameters[i].name!r}, and is given a result"
            f" of type {gives}: change one of the annotations, or put a step between: `apply(convert, x)`"
        )
    signature.accepted[i].add(gives)
