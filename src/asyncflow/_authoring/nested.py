"""A graph called inside another: its body is wired in place, in a scope of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncflow._authoring.body import run_body
from asyncflow._authoring.callee import Callee
from asyncflow._authoring.clause import Clause
from asyncflow._authoring.definition import GraphDefinition
from asyncflow._authoring.graph_node import record_body
from asyncflow._authoring.order import ordered_after
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.site import Site
from asyncflow._authoring.step import as_end, same
from asyncflow.errors import PlanError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring


def record_graph(
    wiring: Wiring, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any], *, key: str, where: Place
) -> Any:  # noqa: ANN401 — what the body returned
    """Wires the body of a graph in place and returns what it returned; of a late or live one, records the node.

    Raises:
        PlanError: for arguments it cannot take, options that belong to the outermost run, or a call without end.
    """
    definition = callee.definition
    if not isinstance(definition, GraphDefinition):
        raise PlanError(f"{definition.name} is no graph")
    who = f"{wiring.graph_name}/{key}"
    refuse_run_options(definition, who, where)
    refuse_deployment(wiring, getattr(callee, "deployment", None), who, where)
    refuse_selection(getattr(callee, "selection", ()), who, where)
    args = callee.leading + args
    definition.signature.check(args, kwargs, who=who, where=where)
    args, kwargs = definition.inputs.values(args, kwargs, nested=True)
    after = ordered_after(wiring, callee.order, who=who, where=where) if callee.order else ()
    if definition.late or definition.live:
        return record_body(wiring, definition, args, kwargs, key=key, after=after, where=where)
    start = len(wiring.nodes)
    outer = wiring.site
    wiring.site = Site(
        wiring.scope(key, definition.options), f"{key}/", (*outer.after, *after),
        start if after else outer.start, outer.gate, outer.settled, outer.stage, outer.lead,
    )  # fmt: skip
    try:
        if definition.static:
            args, kwargs = _promised(wiring, definition, args, kwargs, leading=len(callee.leading))
        output = run_body(wiring, definition, args, kwargs, where)
        return as_end(wiring, start, where) if output is None and len(wiring.nodes) > start else output
    finally:
        wiring.site = outer


def _promised(
    wiring: Wiring, definition: GraphDefinition, args: tuple[Any, ...], kwargs: dict[str, Any], *, leading: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns a promise for every parameter: the body of a static graph never sees a value, wherever it stands."""
    signature = definition.signature.resolve()
    values = signature.bound(args, kwargs)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for i, (parameter, hint) in enumerate(zip(signature.parameters, signature.hints, strict=True)):
        value = values[parameter.name]
        if i >= leading and type(value) is not Promise:
            value = wiring.step(same, f"(input {parameter.name})", (value,), gives=hint)
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            positional.append(value)
    return tuple(positional), named


def refuse_run_options(definition: GraphDefinition, who: str, where: Place) -> None:
    """Refuses options that only the outermost run can have.

    Raises:
        PlanError: naming them.
    """
    if definition.of_run:
        raise PlanError(
            f"{who}, called at {told(where)}, has {', '.join(definition.of_run)}, which belong to the outermost run and"
            " would not hold here: set them on the graph that is run"
        )


def refuse_selection(selection: tuple[Clause, ...], who: str, where: Place) -> None:
    """Refuses a part of a graph inside another.

    Raises:
        PlanError: telling what to do.
    """
    if any(clause.name for clause in selection):
        raise PlanError(
            f"{who}, called at {told(where)}, is a selection, which belongs to the graph that is run: select there,"
            f" by the keys that begin with {who.rpartition('/')[2]}/"
        )


def refuse_deployment(wiring: Wiring, deployment: object, who: str, where: Place) -> None:
    """Refuses a nested graph that is bound to another deployment than the run's; notes it where that is not known yet.

    Raises:
        PlanError: naming both.
    """
    if deployment is None or deployment is wiring.deployment:
        return
    nested = f"{who}, called at {told(where)}, is bound to {deployment!r}"
    if wiring.deployment is not None:
        raise PlanError(
            f"{nested}, and the run belongs to {wiring.deployment!r}: one run stays in one deployment; start the other"
            " inside an op: `await graph.run(…)`"
        )
    wiring.bound.append((deployment, nested))
