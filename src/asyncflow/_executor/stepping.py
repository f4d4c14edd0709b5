"""Stepping: an op's coroutine is driven by the worker that started it, in the op's own context.

`first_step` runs an op up to its first suspension inside `context.run`; most ops never get further. An op that did
suspend is driven to its end by `carry`, which hands the futures it waits for to the worker's task. The op stays in
one task from its first step to its last: resuming it in another would break cancel scopes and `asyncio.timeout`.

Where an op gives a coroutine or a future, an `await` was forgotten. Passed on, it would run nowhere, or outside of all
limits, so the op fails instead. Other objects that can be awaited (a pool of connections, a `Run`) are values.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring import OpDefinition, Ref
from asyncflow._executor.body import started
from asyncflow._executor.current import CURRENT
from asyncflow._executor.process import by_runner, in_process
from asyncflow._executor.source import produced
from asyncflow._executor.supplied import judged, supplied
from asyncflow._executor.thread import in_thread
from asyncflow._plan import PlanNode, bound

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim

PLAIN: Final = frozenset({int, str, float, bool, bytes, list, dict, tuple, set, type(None)})
"""Classes of most values, which need no closer look."""

UNAWAITED: Final = (types.CoroutineType, asyncio.Future)
"""Classes of what is never meant as a value."""


@dataclass(slots=True, eq=False)
class Suspended:
    """An op after its first suspension: its coroutine, the future it waits for, its context, and the task it is in."""

    claim: Claim
    coroutine: Coroutine[Any, Any, Any]
    waiting_for: Any
    context: Context
    task: asyncio.Task[Any] | None = None


def first_step(claim: Claim, frame: Execution, node: PlanNode) -> tuple[Coroutine[Any, Any, Any], Any]:
    """Calls the op and runs it to its first suspension; StopIteration carries the value of one that never suspends."""
    CURRENT.set(claim)
    coroutine: Coroutine[Any, Any, Any]
    if node.direct is not None and node.flat is not None:
        values = frame.values
        coroutine = node.direct(*[values[j] for j in node.flat])
    else:
        coroutine = _called(claim, node, frame)
    return coroutine, coroutine.send(None)


def _called(claim: Claim, node: PlanNode, frame: Execution) -> Coroutine[Any, Any, Any]:
    """Calls an op in general: with constants, names, containers, resources, or on a thread; also a graph's body."""
    op = node.op
    args, kwargs = arguments(node, frame)
    if op is None:
        return started(claim, frame, node, args, kwargs)
    if op.plain:
        return call(op, args, kwargs)
    return judged(claim, op, args, kwargs, call) if op.judged else supplied(claim, op, args, kwargs, call)


def call(op: OpDefinition, args: list[Any], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
    """Calls the function of an op where it runs: here, or elsewhere. A source gives its items one by one."""
    if op.mode == "stream":
        return produced(op, args, kwargs)
    if op.mode == "process":
        return in_process(op, args, kwargs)
    if op.runner is not None:
        return by_runner(op, op.runner, args, kwargs)
    coroutine: Coroutine[Any, Any, Any] = (
        op.fn(*args, **kwargs) if op.mode == "async" else in_thread(op.fn, args, kwargs)
    )
    return coroutine


def unawaited(who: str, value: Any) -> TypeError:  # noqa: ANN401 — a coroutine or a future
    """Returns the error for what an op or a step gave without awaiting it.

    A coroutine is closed, since nothing will ever run it.
    """
    what = f"a {type(value).__name__}"
    if inspect.iscoroutine(value):
        what = f"the coroutine of {value.__qualname__}(…)"
        if inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
            value.close()
    return TypeError(
        f"{who} returned {what} without awaiting it, which nothing else would: write"
        " `return await …`, in an `async def`"
    )


def arguments(node: PlanNode, frame: Execution) -> tuple[list[Any], dict[str, Any]]:
    """Returns what a node is called with, every result in place."""
    values = frame.values
    if node.refs:
        args = [bound(argument, values) for argument in node.args]
        return args, {name: bound(argument, values) for name, argument in (node.kwargs or {}).items()}
    args = [values[argument.id] if type(argument) is Ref else argument for argument in node.args]
    if not node.kwargs:
        return args, {}
    return args, {name: values[one.id] if type(one) is Ref else one for name, one in node.kwargs.items()}


async def ended_early(value: object, error: BaseException | None) -> object:
    """What is left of an op that ended before its children did: its value, or what it raised."""
    if error is not None:
        raise error
    return value


def checked(claim: Claim, value: object) -> object:
    """Returns what an op gave, where that is a value."""
    if issubclass(type(value), UNAWAITED):
        frame, i = claim.owner
        raise unawaited(f"{frame.run.graph}/{frame.key(i)}", value)
    return value


@types.coroutine
def carry(suspended: Suspended) -> Generator[Any, Any, Any]:
    """Drives a suspended op to its end, and gives its value.

    Everything the task sends or throws in goes to the op, in the op's context; everything the op waits for goes out.
    """
    coroutine = suspended.coroutine
    run = suspended.context.run
    waiting_for = suspended.waiting_for
    while True:
        try:
            sent = yield waiting_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001 — whatever is thrown into the task belongs to the op
            try:
                waiting_for = run(coroutine.throw, error)
            except StopIteration as stop:
                return checked(suspended.claim, stop.value)
        else:
            try:
                waiting_for = run(coroutine.send, sent)
            except StopIteration as stop:
                return checked(suspended.claim, stop.value)
