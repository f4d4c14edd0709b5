"""A source: an op that is an async generator. Its body is resumed while somebody takes its items, and then closed.

It is driven in the op's own task from its first step to its last, its closing included, also where the op is cancelled
while the body stands at a `yield`. Closing is shielded from the cancellation and bounded by the grace of the
deployment. A body that has given an item is never tried again: the item is gone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, move_on_after
from anyio.lowlevel import checkpoint

from asyncflow._executor.current import CURRENT
from asyncflow._scheduler import Broken
from asyncflow.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncflow._authoring import OpDefinition
    from asyncflow._executor.flow import Flow
    from asyncflow._limits import Claim


async def produced(op: OpDefinition, args: list[Any], kwargs: dict[str, Any]) -> list[Any] | None:
    """Runs a source to its end.

    Returns:
        Its items, where somebody reads them as a whole.
    """
    claim = CURRENT.get()
    if claim is None:
        raise ConfigurationError(f"{op.name} is driven outside of a run; this is a defect of asyncflow")
    frame, i = claim.owner
    flow: Flow = frame.streams[i]
    if not flow.is_wanted():
        return None
    generator: AsyncGenerator[Any, None] = op.fn(*args, **kwargs)
    try:
        try:
            with CancelScope() as flow.scope:
                await _drive(flow, claim, op, generator)
        finally:
            flow.scope = None
            await _close(generator, frame.run.engine.cancel_grace)
    except Exception as error:
        if flow.produced:
            flow.end(Broken(frame.key(i), error))
        raise
    finally:
        side = frame.sides.get(i)
        if side is not None:
            side.close()
    flow.end(None)
    return flow.lane.kept


async def _drive(flow: Flow, claim: Claim, op: OpDefinition, generator: AsyncGenerator[Any, None]) -> None:
    """Hands over item after item, as long as somebody takes them."""
    engine, frame = flow.engine, flow.frame
    boundary = op.boundary if op.judged else None
    side = flow.side()
    async for value in generator:
        if boundary is not None:
            boundary.judge_item(value, f"{frame.run.graph}/{frame.key(claim.owner[1])}")
        flow.give(value)
        if engine.stale or engine.starts:
            engine.wake()
            await checkpoint()
        if not await flow.pace(side):
            return


async def _close(generator: AsyncGenerator[Any, None], grace: float) -> None:
    """Closes a body that stands at a `yield`; one that has ended is closed already."""
    with CancelScope(shield=True), move_on_after(grace):
        await generator.aclose()
