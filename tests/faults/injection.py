"""Cancelling a program before every single step of any of its tasks."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from tests.faults.suspension import note_cancelled


class StepCounter:
    """A task factory that counts the steps of all tasks and calls `act` before the chosen ones."""

    def __init__(self, act_at: tuple[int, ...], act: Callable[[], object]) -> None:
        self.steps = 0
        self.act_at = act_at
        self.act = act

    def factory(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(_stepped(coroutine, self.tick), loop=loop, **kwargs)
        task.add_done_callback(lambda _: close_unstarted(coroutine))
        return task

    def tick(self) -> None:
        self.steps += 1
        if self.steps in self.act_at:
            self.act()


def close_unstarted(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Closes what a task was cancelled before: there the cancellation went to the coroutine around it."""
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


async def _stepped(coroutine: Coroutine[Any, Any, Any], tick: Callable[[], None]) -> Any:
    return await _drive(coroutine, tick)


@types.coroutine
def _drive(coroutine: Coroutine[Any, Any, Any], tick: Callable[[], None]) -> Generator[Any, Any, Any]:
    call: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        tick()
        try:
            waiting_for = call(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield waiting_for
            call = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                note_cancelled(coroutine)
            value, call = error, coroutine.throw


async def cancelled_at(steps: tuple[int, ...], program: Callable[[], Awaitable[object]]) -> tuple[bool, object, int]:
    """Runs `program` in a task of its own and cancels that task before the given steps of any task.

    Returns:
        Whether every step was reached, what came out (a value or an exception), and how many steps there were.
    """
    loop = asyncio.get_running_loop()
    task: asyncio.Task[object] | None = None

    def act() -> None:
        if task is not None and not task.done():
            task.cancel()

    counter = StepCounter(steps, act)

    async def main() -> object:
        return await program()

    loop.set_task_factory(counter.factory)
    try:
        task = loop.create_task(main())
        await asyncio.wait([task])
    finally:
        loop.set_task_factory(None)
    outcome: object = asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()
    return counter.steps >= max(steps), outcome, counter.steps
