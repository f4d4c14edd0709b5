"""Wiring a whole graph, or one op, for a run of its own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from asyncflow._authoring.arguments import absorbed
from asyncflow._authoring.body import run_body
from asyncflow._authoring.callee import Callee
from asyncflow._authoring.definition import GraphDefinition, OpDefinition
from asyncflow._authoring.node import Node, NodeKind, Ref, Scope
from asyncflow._authoring.place import NOWHERE, told, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import same
from asyncflow._authoring.wiring import Wiring
from asyncflow.errors import PlanError, TracingError

_EMPTY: Mapping[str, Any] = {}


class UnusedResultWarning(UserWarning):
    """The result of an op is used nowhere, though it is not None: perhaps `x is None` was asked of a promise."""


def wire_op(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wiring:
    """Returns the wiring of one op with real arguments."""
    definition = callee.definition
    if not isinstance(definition, OpDefinition):
        raise PlanError(f"{definition.name} is no op")
    args = callee.leading + args
    where = user_place()
    if kwargs or len(args) != definition.signature.exact:
        definition.signature.check(args, kwargs, definition.name, where)
    wiring = Wiring(definition.name)
    for value in (*args, *kwargs.values()):
        _refuse_promise(wiring, value)
    wiring.nodes.append(
        Node(
            NodeKind.OP, definition.name, definition, args=args, kwargs=dict(kwargs) or None, shown=True, where=where
        )
    )
    wiring.output = Ref(0)
    wiring.closed = True
    return wiring


def wire_graph(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wiring:
    """Returns the wiring of a graph with real inputs.

    Raises:
        PlanError: for inputs it cannot take, and for what cannot be a plan.
        InputError: for an input that does not fit its annotation.
        TracingError: for a promise used as a value.
    """
    definition, wiring = _opened(callee)
    args = callee.leading + args
    definition.signature.check(args, kwargs, definition.name, user_place())
    for value in (*args, *kwargs.values()):
        _refuse_promise(wiring, value)
    taken, named = definition.inputs.values(args, kwargs)
    with wiring.going_on():
        _finish(wiring, definition, run_body(wiring, definition, taken, named, definition.where))
    return wiring


def wire_open(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wiring:
    """Returns the wiring of a graph with promises for inputs: for all where it is static, else for the missing ones."""
    definition, wiring = _opened(callee)
    signature = definition.signature
    args = callee.leading + args
    names = [parameter.name for parameter in signature.parameters[: len(args)]]
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    if not definition.static:
        taken, named = definition.inputs.values(args, kwargs)
        values = {**dict(zip(names, taken, strict=False)), **named}
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    with wiring.going_on():
        for i, parameter in enumerate(signature.parameters):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.name in values:
                value = values[parameter.name]
            elif definition.static or parameter.default is parameter.empty:
                value = wiring.given(parameter.name, signature.hints[i], definition.where)
            else:
                value = parameter.default
            if parameter.kind is parameter.KEYWORD_ONLY:
                keywords[parameter.name] = value
            else:
                positional.append(value)
        _finish(wiring, definition, run_body(wiring, definition, tuple(positional), keywords, definition.where))
    return wiring


def input_values(
    callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Returns the values of a static graph's inputs in the order of its parameters, checked.

    Raises:
        PlanError: for inputs it cannot take.
        InputError: for an input that does not fit its annotation.
    """
    definition = callee.definition
    if not isinstance(definition, GraphDefinition):
        return ()
    args = callee.leading + args
    definition.signature.check(args, kwargs, definition.name, user_place())
    values = definition.signature.bound(*definition.inputs.values(args, kwargs))
    for value in values.values():
        _refuse_promise(None, value)
    return tuple(values.values())[len(callee.leading) :]


def _opened(callee: Callee) -> tuple[GraphDefinition, Wiring]:
    definition = callee.definition
    if not isinstance(definition, GraphDefinition):
        raise PlanError(f"{definition.name} is no graph")
    wiring = Wiring(definition.name, static=definition.static)
    wiring.deployment = getattr(callee, "deployment", None)
    options = definition.options
    wiring.scopes[0] = Scope(None, "", options.max_concurrent, options.tag_concurrency_limits)
    return definition, wiring


def _finish(wiring: Wiring, definition: GraphDefinition, output: Any) -> None:  # noqa: ANN401 — what the body returned
    """Keeps what the body returned, and warns of results that nothing uses."""
    if type(output) is Promise:
        wiring.output = wiring.ref(output)
    else:
        taken = absorbed(wiring, (output,), None, f"the output of {definition.name}", definition.where)
        wiring.output = wiring.step(same, "(output)", (output,)).ref__ if taken.sources else output
    warn_of_unused(wiring)


def warn_of_unused(wiring: Wiring) -> None:
    """Warns of ops whose result is used nowhere, once for each place."""


def _refuse_promise(wiring: Wiring | None, value: object) -> None:
    if type(value) is Promise:
        raise TracingError(f"a promise cannot be the input of a run, at {told(user_place())}")


__all__ = ["NOWHERE", "UnusedResultWarning", "input_values", "wire_graph", "wire_op", "wire_open"]
