"""Inline nodes: steps, gates, merges, maps and results run right where their inputs arrive, without a limit.

They run user code all the same (`apply`, the truth of a condition, the items of a list), so they run in the run's
context and outside of rounds, and what they raise is a failure of that node like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring import NodeKind, item_names
from asyncflow._executor.ending import interrupt
from asyncflow._executor.flow import arrived
from asyncflow._executor.outcome import as_failure, node_failed, node_skipped
from asyncflow._executor.reader import ListReader
from asyncflow._executor.stepping import UNAWAITED, arguments, unawaited
from asyncflow._plan import PlanNode
from asyncflow._scheduler import expand, give_result
from asyncflow.errors import PlanError, Skip

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution

_TAKERS: Final = frozenset({NodeKind.MAP, NodeKind.STREAM})


def evaluate(engine: Engine, frame: Execution, i: int, now: float) -> None:
    """Evaluates one inline node and tells the frame how it ended."""
    node = frame.nodes[i]
    if frame.streams and node.kind in _TAKERS and arrived(frame, i):
        return
    context = frame.context.copy()
    try:
        if node.kind is NodeKind.MAP:
            items, names = context.run(named_items, frame, i)
            frame.grow(expand(frame, i, items, names), i)
            return
        if node.kind is NodeKind.RESULT:
            give_result(frame, i)
            return
        value = context.run(compute, node, frame, i)
    except (KeyboardInterrupt, SystemExit) as error:
        frame.cancel(i)
        interrupt(engine, frame.run, error)
    except Skip as skip:
        node_skipped(frame, i, skip)
    except BaseException as error:  # noqa: BLE001 — user code may raise anything; it is recorded and raised by the run
        node_failed(engine, frame, i, as_failure(frame.key(i), error), now)
    else:
        if node.kind is NodeKind.GATE and not value:
            frame.skip(i)
        else:
            frame.succeed(i, value)


def compute(node: PlanNode, frame: Execution, i: int) -> Any:  # noqa: ANN401 — the user's value
    """Returns the value of a step, whether a gate opens, or the branch a merge takes."""
    args, kwargs = arguments(node, frame)
    if node.kind is NodeKind.STREAM:
        reader = [j for j in frame.waiters_of(i) if frame.nodes[j].kind is NodeKind.OP]
        return ListReader(args[0], frame, reader[0] if reader else -1)
    if node.kind is NodeKind.GATE:
        return bool(args[0]) is args[1]
    if node.kind is NodeKind.MERGE:
        return args[1] if args[0] else args[2]
    if node.fn is None:
        raise PlanError(f"{node.key} has nothing to call")
    value = node.fn(*args, **kwargs)
    if issubclass(type(value), UNAWAITED):
        raise unawaited(f"the step {frame.run.graph}/{node.key}", value)
    return value


def named_items(frame: Execution, i: int) -> tuple[list[Any], Sequence[str]]:
    """Returns the items of a map and what to call them: their index, or what `map_key` makes of them.

    Raises:
        PlanError: for a name that no item can have.
    """
    node = frame.nodes[i]
    value = frame.values[node.items]
    try:
        items = list(value)
    except TypeError as error:
        if isinstance(value, Iterable):
            raise  # the iterator itself raised it
        raise TypeError(
            f"{frame.run.graph}/{frame.key(i)} maps over the result of {frame.key(node.items)}, which is of type"
            f" {type(value).__name__} and not iterable; return a list there"
        ) from error
    map_key = node.fragment.map_key if node.fragment is not None else None
    return items, item_names(map_key, items, f"{frame.run.graph}/{frame.key(i)}", node.where)
