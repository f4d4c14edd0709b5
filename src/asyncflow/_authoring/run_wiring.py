"""Wiring for a run: a whole graph with its inputs, or one op alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from asyncflow._authoring.body import run_body
from asyncflow._authoring.callee import Callee
from asyncflow._authoring.definition import GraphDefinition, OpDefinition
from asyncflow._authoring.node import Node, NodeKind, Ref, Scope
from asyncflow._authoring.output import kept
from asyncflow._authoring.place import told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import described
from asyncflow._authoring.stream import refuse_misread
from asyncflow._authoring.unused import warn_of_unused
from asyncflow._authoring.wiring import Wiring
from asyncflow.errors import PlanError, TracingError

THE_BODY: Final = "(body)"
"""The key of the body of a live graph that is run, whose keys leave out its name."""

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def wire_op(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wiring:
    """Returns the wiring of one op with real arguments.

    Raises:
        PlanError: for arguments it cannot take.
    """
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        raise PlanError(f"{definition.name} is no op")
    refuse_lost_class(callee, args, kwargs)
    args = callee.leading + args
    if kwargs or len(args) != definition.signature.exact:
        definition.signature.check(args, kwargs, who=definition.name)
    for value in (*args, *kwargs.values()):
        _refuse_promise(definition.name, value)
    wiring = Wiring(definition.name)
    named = dict(kwargs) if kwargs else None
    wiring.nodes.append(
        Node(NodeKind.OP, definition.name, definition, args=args, kwargs=named, shown=True, where=definition.where)
    )
    wiring.output = Ref(0)
    wiring.closed = True
    return wiring


def wire_graph(
    callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None
) -> Wiring:
    """Returns the wiring of a graph with real inputs.

    Raises:
        PlanError: for inputs it cannot take, and for what cannot be a plan.
        InputError: for an input that does not fit its annotation.
        TracingError: for a promise used as a value.
    """
    definition = _graph_of(callee)
    refuse_lost_class(callee, args, kwargs)
    taken, named = _checked(definition, callee.leading + args, kwargs)
    return _wired(definition, taken, named, missing=(), deployment=deployment)


def wire_open(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Wiring:
    """Returns the wiring of a graph with promises for inputs: for all where it is static, else for the missing ones.

    Raises:
        PlanError: for inputs it cannot take, and for what cannot be a plan.
        InputError: for an input that does not fit its annotation.
        TracingError: for a promise used as a value.
    """
    definition = _graph_of(callee)
    if not definition.static:
        refuse_lost_class(callee, args, kwargs)
    taken, named = _checked(definition, callee.leading + args, kwargs, partial=True)
    if definition.static:
        taken, named = callee.leading, {}
    missing = [
        parameter
        for i, parameter in enumerate(definition.signature.parameters)
        if parameter.kind not in _MANY
        and not (i < len(taken) and i < definition.signature.positional)
        and parameter.name not in named
        and (definition.static or parameter.default is parameter.empty)
    ]
    return _wired(definition, taken, named, missing=missing, deployment=deployment)


def input_values(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns the values of a static graph's inputs in the order of its parameters, checked.

    Raises:
        PlanError: for inputs it cannot take.
        InputError: for an input that does not fit its annotation.
    """
    definition = _graph_of(callee)
    taken, named = _checked(definition, callee.leading + args, kwargs)
    if not named and len(taken) == len(definition.signature.parameters):
        return taken[len(callee.leading) :]
    values = definition.signature.bound(taken, named)
    return tuple(values.values())[len(callee.leading) :]


def _checked(
    definition: GraphDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, partial: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the inputs as the annotations want them."""
    definition.signature.check(args, kwargs, who=definition.name, partial=partial)
    for value in (*args, *kwargs.values()):
        _refuse_promise(definition.name, value)
    return definition.inputs.values(args, kwargs)


def _wired(
    definition: GraphDefinition,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    missing: list[inspect.Parameter] | tuple[()],
    deployment: object,
) -> Wiring:
    """Runs the body with these inputs, and a promise for each of the missing ones; records that of a live graph."""
    wiring = Wiring(definition.name, static=definition.static, deployment=deployment)
    options = definition.options
    wiring.scopes[0] = Scope(None, "", options.max_concurrent, options.tag_concurrency_limits)
    with wiring.going_on():
        for parameter in missing:
            hint = definition.signature.resolve().hints[definition.signature.index[parameter.name]]
            promise = wiring.given(parameter.name, hint, definition.where)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args = (*args, promise)
            else:
                kwargs = {**kwargs, parameter.name: promise}
        if definition.live:
            output = _only_body(wiring, definition, args, kwargs)
        else:
            output = run_body(wiring, definition, args, kwargs, definition.where)
        wiring.output = kept(wiring, definition, output)
    refuse_misread(wiring)
    warn_of_unused(wiring)
    return wiring


def _only_body(wiring: Wiring, definition: GraphDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Promise:
    """Records the one node that the plan of a live graph has: its body. What it will run is known when it runs."""
    inputs: dict[int, None] = {}
    values = [_input(value, inputs) for value in args]
    named = {name: _input(value, inputs) for name, value in kwargs.items()}
    node = Node(
        NodeKind.BODY, THE_BODY, args=tuple(values), kwargs=named or None, sources=tuple(inputs), shown=True,
        where=definition.where, gives=definition.signature.resolve().returns, graph=definition,
    )  # fmt: skip
    return wiring.add(node)


def _input(value: Any, inputs: dict[int, None]) -> Any:  # noqa: ANN401 — any input
    """Returns a given input as it is, and the reference of one that is missing."""
    if type(value) is not Promise:
        return value
    inputs[value.ref__.id] = None
    return value.ref__


def _graph_of(callee: Callee) -> GraphDefinition:
    definition = callee.definition
    if not isinstance(definition, GraphDefinition):
        raise PlanError(f"{definition.name} is no graph")
    return definition


def refuse_lost_class(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuses a run of a class method without its class, as `@classmethod` above `@op` gives it from Python 3.13 on.

    Raises:
        PlanError: telling which decorator goes first.
    """
    definition = callee.definition
    parameters = definition.signature.parameters
    if callee.leading or definition.binds != "instance" or not parameters or parameters[0].name != "cls":
        return
    home = getattr(definition.fn, "__qualname__", "").rpartition(".")[0]
    if not home or home.endswith("<locals>") or "cls" in kwargs or (args and isinstance(args[0], type)):
        return
    decorator = "@op" if isinstance(definition, OpDefinition) else "@graph"
    raise PlanError(
        f"{definition.name}, at {told(definition.where)}, is a class method of {home} and was given no class:"
        f" put {decorator} above @classmethod; the other way round, Python 3.13 and later give the class to calls only,"
        " not to `.run`"
    )


def _refuse_promise(name: str, value: Any) -> None:  # noqa: ANN401 — any input
    if type(value) is Promise:
        raise TracingError(
            f"a run of {name}, asked for at {told(user_place())}, was given the promise of {described(value)}: inside a"
            f" graph write `{name}(…)`, which wires it"
        )
