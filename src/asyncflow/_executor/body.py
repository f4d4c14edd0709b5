"""Bodies of late and live graphs: nodes that go through the same life as ops, and hold nothing.

A body is claimed with an empty demand, so it waits for nobody and nobody waits for it, starts in the order of its rank
in a worker like every op, and is cancelled, interrupted, counted and told like one. What a live body runs inside are
its children. A late body never suspends: it wires, and what it wired joins the run before the body ends.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncflow._authoring import GraphDefinition, refuse_too_deep, wire_late
from asyncflow._executor.hooking import watch_appended
from asyncflow._executor.traces import noted
from asyncflow._plan import PlanNode, freeze
from asyncflow._scheduler import append_plan, result_of
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim


def started(
    claim: Claim, frame: Execution, node: PlanNode, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Coroutine[Any, Any, Any]:
    """Returns the coroutine of a body, its inputs checked; they were, where all of them were given while wiring.

    Raises:
        InputError: for an input that does not fit its annotation.
        PlanError: where it lies inside too many others.
    """
    definition = node.graph
    if definition is None:
        raise TracingError(f"{node.key} is neither op nor graph and cannot be started")
    _, i = claim.owner
    refuse_body_too_deep(node, f"{frame.run.graph}/{frame.key(i)}", frame.depth + frame.scopes[node.scope].late)
    if not definition.live:
        return _wired(definition, frame, i, args, kwargs)
    if node.sources:
        args, kwargs = definition.inputs.values(tuple(args), kwargs)
    coroutine: Coroutine[Any, Any, Any] = definition.fn(*args, **kwargs)
    return coroutine


def refuse_body_too_deep(node: PlanNode, who: str, depth: int) -> None:
    """Refuses the body of a graph inside too many others.

    Raises:
        PlanError: naming the graph and the bound.
    """
    if node.graph is not None:
        refuse_too_deep(node.graph, who, node.where, depth)


async def _wired(
    definition: GraphDefinition, frame: Execution, i: int, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:  # noqa: ANN401 — what the body returned
    """Wires a late graph and lets what it wired join the run. Returns what it returned where that is a real value."""
    node = frame.nodes[i]
    try:
        wiring = wire_late(
            definition,
            args,
            kwargs,
            graph=frame.run.graph,
            key=node.key,
            where=node.where,
            deployment=frame.run.deployment,
        )
    except Exception as error:
        file, line = node.where
        noted(error, f"asyncflow: while {frame.run.graph}/{frame.key(i)}, called at {file}:{line}, was wired")
        raise
    plan = freeze(wiring)
    if frame.closed:  # user code may have ended the run meanwhile; nothing joins it any more
        return None
    result = result_of(frame, i)
    frame.grow_late(append_plan(frame, i, plan, result), i)
    frame.unlisted[i] = result
    if plan.hooked:
        watch_appended(frame.run.engine, frame)
    return plan.constant
