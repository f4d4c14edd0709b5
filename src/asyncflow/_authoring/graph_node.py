"""A graph as a node of another: late graphs and live ones, whose bodies run when their inputs are there.

A call of either is recorded as one BODY node with the arguments of the call; what an op's call could be given, it can
be given too. A live body gives the value itself. A late body wires, and what it wires is appended to the run; its
result is a RESULT node beside the BODY, which waits for what the body returned. So a consumer starts as soon as that
is there, as with a graph that is wired in place.

Every call is a node, also one whose arguments are all real: a graph that calls itself grows call by call while the run
goes on, and never on Python's stack. `DEEPEST` is how many such calls may lie inside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncflow._authoring.arguments import absorbed
from asyncflow._authoring.body import DEEPEST, run_body
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.opcall import compare_promise
from asyncflow._authoring.output import kept
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.site import Site
from asyncflow._authoring.step import as_end
from asyncflow._authoring.unused import warn_of_unused
from asyncflow._authoring.wiring import Wiring
from asyncflow.errors import PlanError

if TYPE_CHECKING:
    from asyncflow._authoring.definition import GraphDefinition


def record_body(
    wiring: Wiring,
    definition: GraphDefinition,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    key: str,
    after: tuple[int, ...],
    where: Place,
) -> Promise:
    """Records a call of a late or live graph, whose arguments were checked, and returns the promise of its result.

    Raises:
        TracingError: for a promise that hides, or belongs to another wiring.
        PlanError: for a result of a type that the parameter cannot take.
    """
    who = f"{wiring.graph_name}/{key}"
    signature = definition.signature.resolve()
    taken = absorbed(wiring, args, kwargs, who=who, where=where)
    for i, value in enumerate(args):
        if type(value) is Promise:
            compare_promise(value, definition, signature.place(i), who=who, where=where)
    for name, value in kwargs.items():
        if type(value) is Promise:
            compare_promise(value, definition, signature.place_of(name), who=who, where=where)
    body = Node(
        NodeKind.BODY, key, args=taken.args, kwargs=taken.kwargs, refs=taken.refs, sources=taken.sources, after=after,
        shown=True, where=where, gives=signature.returns if definition.live else None, graph=definition,
    )  # fmt: skip
    if definition.live:
        scope = wiring.scope(key, definition.options)
        with wiring.at(replace(wiring.site, scope=scope)):
            return wiring.add(body)
    wired = wiring.add(body).ref__
    return wiring.add(
        Node(NodeKind.RESULT, key, args=(wired,), sources=(wired.id,), where=where, gives=signature.returns)
    )


def wire_late(
    definition: GraphDefinition,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    graph: str,
    key: str,
    where: Place,
    deployment: object,
) -> Wiring:
    """Returns the wiring of a late graph, whose inputs are there; its keys begin with `key`.

    Scope 0 stands for the scope the call was made in.

    Args:
        definition: The late graph.
        args: The values of its arguments.
        kwargs: Those given by name.
        graph: The graph of the run, for messages.
        key: The key of the call.
        where: File and line of the call.
        deployment: What the run belongs to.

    Raises:
        PlanError: for what cannot be part of a plan.
        InputError: for an input that does not fit its annotation.
        TracingError: for a promise used as a value.
    """
    taken, named = definition.inputs.values(tuple(args), kwargs)
    wiring = Wiring(graph, deployment=deployment)
    wiring.site = Site(wiring.scope(key, definition.options), f"{key}/")
    with wiring.going_on():
        output = run_body(wiring, definition, taken, named, where)
        if output is None and wiring.nodes:
            output = as_end(wiring, 0, where)
        wiring.output = kept(wiring, definition, output)
    warn_of_unused(wiring)
    return wiring


def refuse_too_deep(definition: GraphDefinition, who: str, where: Place, depth: int) -> None:
    """Refuses to run a body inside too many others.

    Raises:
        PlanError: naming the graph and the bound.
    """
    if depth >= DEEPEST:
        kind = "live" if definition.live else "late"
        raise PlanError(
            f"{definition.name}, a {kind} graph at {told(where)}, lies inside {depth} other late or live graphs,"
            f" and asyncflow goes no deeper than {DEEPEST} ({_short(who)}): give the recursion an end that it reaches"
            " sooner, or write a loop instead"
        )


def _short(key: str) -> str:
    """Returns a key that may be very long, with its middle left out."""
    return key if len(key) <= 120 else f"{key[:60]}…{key[-59:]}"
