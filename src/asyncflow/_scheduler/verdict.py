"""What becomes of a node in doubt: one of those before it ended without success.

Skipped comes before abandoned: who needs what was skipped skips too, whatever else it waited for. A settled call is
never in doubt, since its outcome tells how all of it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from asyncflow._authoring import NodeKind, Ref
from asyncflow._scheduler.state import ABANDONED, CANCELED, FAILED, SKIPPED, SUCCEEDED

if TYPE_CHECKING:
    from asyncflow._plan import PlanNode
    from asyncflow._scheduler.frame import Frame


def verdict_of(frame: Frame, i: int) -> int | None:
    """Decides a node in doubt: SKIPPED, ABANDONED, or None where it can run all the same."""
    node = frame.nodes[i]
    kind = node.kind
    if kind is NodeKind.OUTCOME:
        return None
    status = frame.status
    if node.gate >= 0 and status[node.gate] != SUCCEEDED:
        return _blamed(frame, i, node.gate, SKIPPED if status[node.gate] == SKIPPED else ABANDONED)
    if kind is NodeKind.MERGE:
        return _merge_verdict(frame, i)
    if kind is NodeKind.RESULT:
        return _result_verdict(frame, i)
    sources = frame.collected.get(i, node.sources)
    if kind is not NodeKind.COLLECT and i not in frame.collected:
        if node.items >= 0 and status[node.items] == SKIPPED:
            return SKIPPED
        if _lacks(frame, node):
            return SKIPPED
    for j in (*sources, *node.after, *((node.items,) if node.items >= 0 and i not in frame.expanded else ())):
        if status[j] in (FAILED, ABANDONED, CANCELED):
            return _blamed(frame, i, j, ABANDONED)
    return None


def _blamed(frame: Frame, i: int, cause: int, status: int) -> int:
    if status == ABANDONED:
        frame.blame[i] = frame.blame.get(cause, cause)
    return status


def _merge_verdict(frame: Frame, i: int) -> int | None:
    """A merge follows its condition, then the branch that was taken; the other one does not matter."""
    args = frame.nodes[i].args
    for arg in (args[0], *args[1:]):
        if type(arg) is Ref and frame.status[arg.id] in (FAILED, ABANDONED, CANCELED):
            return _blamed(frame, i, arg.id, ABANDONED)
    if type(args[0]) is Ref and frame.status[args[0].id] == SKIPPED:
        return SKIPPED
    return None


def _result_verdict(frame: Frame, i: int) -> int | None:
    """The result of a late graph follows its body, then what that returned."""
    for j in (*frame.nodes[i].sources, *frame.collected.get(i, ())):
        if frame.status[j] == SKIPPED:
            return SKIPPED
        if frame.status[j] in (FAILED, ABANDONED, CANCELED):
            return _blamed(frame, i, j, ABANDONED)
    return None


def _lacks(frame: Frame, node: PlanNode) -> bool:
    """True where an argument is skipped: a result that was skipped, or a list in which all were."""
    if node.flat is not None:
        return any(frame.status[j] == SKIPPED for j in node.flat)
    arguments = (*node.args, *(node.kwargs.values() if node.kwargs else ()))
    return any(_absent(frame, argument) for argument in arguments)


def _absent(frame: Frame, argument: object) -> bool:
    if isinstance(argument, Ref):
        return frame.status[argument.id] == SKIPPED
    kind: object = type(argument)
    if kind is list:
        absent = [_absent(frame, part) for part in cast("list[object]", argument)]
        return bool(absent) and all(absent)
    if kind is tuple:
        return any(_absent(frame, part) for part in cast("tuple[object, ...]", argument))
    if kind is dict:
        return any(_absent(frame, part) for part in cast("dict[object, object]", argument).values())
    return False
