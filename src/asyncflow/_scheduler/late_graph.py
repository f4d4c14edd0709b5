"""A late graph was wired: the frame grows by its plan, and its RESULT node waits for what the body returned.

The new nodes get the next ids, so ids stay topologically ordered. What held for the call holds for all of them: the
gate it stood behind, what it started after, who tolerates its failure. Scope 0 of the plan stands for the scope of the
call; every other one is new and knows how many calls of late graphs it lies in.
"""

from __future__ import annotations

from dataclasses import replace

from asyncflow._authoring import NodeKind
from asyncflow._plan import Plan
from asyncflow._scheduler.frame import Frame
from asyncflow.errors import PlanError


def append_plan(frame: Frame, i: int, plan: Plan, result: int) -> range:
    """Appends the plan of the late graph whose body is node `i`, which still runs; its RESULT node is `result`.

    Returns:
        The ids of the new nodes; those that can start at once are in `frame.ready` and `frame.inline`.
    """
    first = len(frame.nodes)
    if not plan.nodes:
        return range(first, first)
    frame.own_tables()
    body = frame.nodes[i]
    ids = range(first, first + len(plan.nodes))
    scopes = [body.scope]
    late = frame.scopes[body.scope].late + 1
    for scope in plan.scopes[1:]:
        frame.scopes.append(replace(scope, parent=scopes[scope.parent or 0], late=late))
        scopes.append(len(frame.scopes) - 1)
    for template in plan.nodes:
        node = template.appended(ids, scopes, body=body)
        frame.link(frame.append(node), node.predecessors())
    for j in ids:
        settled = frame.nodes[j].settled
        if settled >= 0 and j not in frame.nodes[settled].sources:
            frame.link(settled, (j,))
    if plan.output >= 0:
        frame.collect_from(result, [ids[plan.output]])
    for j in [j for j in ids if not frame.missing[j]]:
        frame.arrive(j)
    return ids


def give_result(frame: Frame, i: int) -> None:
    """Passes on what a late graph returned: the value of a node that it appended, or a real one of its body."""
    appended = frame.collected.pop(i, ())
    (source,) = appended or frame.nodes[i].sources
    frame.succeed(i, frame.values[source])
    frame.unread(appended)


def result_of(frame: Frame, i: int) -> int:
    """Returns the RESULT node of the late graph whose body is node `i`, which has not ended."""
    followers: list[int] = [*frame.nodes[i].successors, *frame.extra.get(i, [])]
    for j in followers:
        if frame.nodes[j].kind is NodeKind.RESULT and frame.nodes[j].sources == (i,):
            return j
    raise PlanError(f"{frame.nodes[i].key} has no result that could wait for what it wired")
