"""An op with resources: its body runs between their opening and their closing, all in the op's own task.

An op that needs none never gets here; which ops do is known when they are defined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncflow._executor.ending import end_children
from asyncflow._executor.provider import being_cancelled
from asyncflow._executor.supply import Supply
from asyncflow.errors import ConfigurationError, ResourceError

if TYPE_CHECKING:
    from asyncflow._authoring import OpDefinition
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim

    Call: TypeAlias = Callable[[OpDefinition, list[Any], dict[str, Any]], Coroutine[Any, Any, Any]]


async def supplied(claim: Claim, op: OpDefinition, args: list[Any], kwargs: dict[str, Any], call: Call) -> Any:  # noqa: ANN401 — the user's result
    """Runs an op with those of its resources that it was not handed.

    Raises:
        ResourceError: where a provider fails; whatever the op raises, otherwise.
    """
    frame, i = claim.owner
    supply = supply_of(frame, i, claim)
    taken = dict(kwargs)
    value: Any = None
    error: BaseException | None = None
    called = False
    frame.run.supplies[claim] = supply
    try:
        for name, resource in op.resources:
            if not op.signature.gives(name, len(args), kwargs):
                taken[name] = await supply.take(resource)
        called = True
        value = await call(op, args, taken)
    except GeneratorExit:
        raise  # nothing can be awaited any more
    except BaseException as raised:  # noqa: BLE001 — raised again when all is closed
        error = raised
    if supply.holds_any:
        return await _closed(claim, supply, value, error, called=called)
    del frame.run.supplies[claim]
    if error is not None:
        raise error
    return value


async def judged(claim: Claim, op: OpDefinition, args: list[Any], kwargs: dict[str, Any], call: Call) -> Any:  # noqa: ANN401 — the user's result
    """Runs an op whose arguments and result are judged against its annotations; they are not changed.

    Raises:
        InputError: for an argument that does not fit, before anything is opened or called.
        OutputError: for a result that does not.
    """
    frame, i = claim.owner
    key = frame.key(i)
    who = key if key == frame.run.graph else f"{frame.run.graph}/{key}"
    boundary = op.boundary
    if boundary is None:
        raise ConfigurationError(f"{who} has nothing that judges its values; this is a defect of asyncflow")
    boundary.judge_inputs(args, kwargs, who)

    async def called(op: OpDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the user's result
        value: Any = await call(op, args, kwargs)
        if op.mode != "stream" and not issubclass(
            type(value), (Coroutine, asyncio.Future)
        ):  # a forgotten `await` is told as such
            boundary.judge_output(value, who)
        return value

    if op.resources:
        return await supplied(claim, op, args, kwargs, called)
    return await called(op, args, kwargs)


def supply_of(frame: Execution, i: int, claim: Claim) -> Supply:
    """Returns what opens resources for op `i`."""
    run = frame.run

    def cancelled() -> bool:
        scope = run.scopes.get(claim)
        return frame.closed or (scope is not None and scope.cancel_called)

    return Supply(run.engine, run=run, shelf=None, key=frame.key(i), overrides=run.overrides, cancelled=cancelled)


async def _closed(claim: Claim, supply: Supply, value: Any, error: BaseException | None, *, called: bool) -> Any:  # noqa: ANN401 — the user's result
    """Closes what an op had, after the children that its body left running; then gives its value, or raises."""
    frame, _ = claim.owner
    run = frame.run
    if claim in run.children:
        try:
            await end_children(run.engine, claim, cancel=error is not None)
        except asyncio.CancelledError as late:
            error = late if error is None else error
    timer = own_patience(frame, supply)
    try:
        failures, interrupt = await supply.close(error)
    finally:
        del run.supplies[claim]
        if timer is not None:
            timer.cancel()
    run.close_errors.extend([(frame, failure) for failure in failures])
    if interrupt is not None:
        raise interrupt
    if error is None:
        return value
    if failures and not called and isinstance(error, ResourceError):
        whole = [*error.exceptions, *[one for failure in failures for one in failure.exceptions]]
        names = [*error.resources, *[name for failure in failures for name in failure.resources]]
        raise ResourceError(error.message, whole, names)
    if failures and isinstance(error, asyncio.CancelledError) and not being_cancelled():
        raise failures[0]  # a resource broke, and cancelled whoever used it
    raise error


def own_patience(frame: Execution, supply: Supply) -> asyncio.TimerHandle | None:
    """Starts a timer of its own for closing in a run that was cancelled so long ago that the run's timer is over."""
    engine, grace = frame.run.engine, frame.run.grace
    if grace is None or grace.when() > engine.clock():
        return None
    return engine.loop.call_later(engine.cancel_grace, supply.interrupt)
