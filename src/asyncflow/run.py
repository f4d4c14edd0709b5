"""A handle on a live run: look at it, await it, end it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import Any, Generic, TypeVar

from asyncflow import _executor as executor
from asyncflow._executor import Engine, Execution, RunState
from asyncflow._limits import Explanation
from asyncflow._observers import EventStream
from asyncflow._plan import Plan
from asyncflow.done import DONE, Done
from asyncflow.errors import ConfigurationError
from asyncflow.options import UNSET, TagLimit, Unset, check_limit, check_priority, check_tag_limits
from asyncflow.results import RunResult, RunStatus
from asyncflow.views import RunView, explain_op, explain_run, run_view

R = TypeVar("R")


class Run(Generic[R]):
    """A live run.

    `await run` gives the value or raises as `.run` does; `await run.result()` gives the `RunResult`. Several tasks
    may await it; cancelling one wait ends only that wait.
    """

    __slots__ = ("_engine", "_single", "_state")

    def __init__(self, engine: Engine, state: RunState, *, single: bool) -> None:
        self._engine = engine
        self._state = state
        self._single = single

    @property
    def id(self) -> str:
        """The run's id."""
        return self._state.id

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self._state.status

    @property
    def plan(self) -> Plan:
        """What was wired for the run: its ops and what they wait for. Maps and children that grow are not in it."""
        return self._state.root.plan

    def __await__(self) -> Generator[Any, Any, R]:
        return self._value().__await__()

    async def _value(self) -> R:
        await self._ended()
        value: R = executor.value_of(self._state.root, single=self._single)
        return value

    async def result(self) -> RunResult[R]:
        """Waits for the end and returns everything the run left behind; never raises for failures of ops."""
        await self._ended()
        return result_of(self._state.root)

    async def cancel(self, reason: str | None = None) -> None:
        """Ends the run and returns when everything it held is back. Does nothing where it has ended.

        Raises:
            ConfigurationError: on another event loop than the run's, as from another thread; nothing was done.
        """
        if self._live("cancel"):
            executor.cancel(self._engine, self._state, reason)
        await self._ended()

    def explain(self, op_key: str | None = None) -> Explanation:
        """Tells why the run, or the op of this key, does not run: limits that are short, holders, and what helps."""
        self._live("explain")
        if op_key is None:
            return explain_run(self._engine, self._state)
        return explain_op(self._engine, self._state, op_key)

    def snapshot(self) -> RunView:
        """Returns where the run stands, as frozen data."""
        return run_view(self._state)

    def set_priority(self, priority: int) -> Done:
        """Gives the run another priority, queued or running. Does nothing where it has ended.

        It is done when this returns; awaiting the answer is allowed.
        """
        number = check_priority(priority)
        if self._live("set_priority"):
            executor.set_priority(self._engine, self._state, number)
        return DONE

    async def tune(
        self,
        *,
        max_concurrent: int | None | Unset = UNSET,
        tag_concurrency_limits: Sequence[TagLimit] | Unset = UNSET,
    ) -> None:
        """Gives the run other limits of its own: upward at once, downward as ops end. What is not given stays.

        Raises:
            ConfigurationError: naming the field that does not fit; nothing was changed.
        """
        limits = self._state.limits
        cap = None if limits.cap is None else limits.cap.capacity
        if max_concurrent is not UNSET:
            cap = check_limit(max_concurrent, field="max_concurrent")
        rules = limits.rules
        if tag_concurrency_limits is not UNSET:
            rules = check_tag_limits(tag_concurrency_limits)
        if self._live("tune"):
            executor.tune_run(self._engine, self._state, cap, rules)

    def events(self, *, buffer: int = 10_000) -> EventStream:
        """Returns an async iterator over the run's events from now on; it ends with the run."""
        return executor.run_events(self._engine, self._state, buffer=buffer)

    async def _ended(self) -> None:
        root = self._state.root  # of the attempt that runs or comes: its waiters are handed on to the next one
        if not root.finished and self._live("await"):
            waiter = self._engine.loop.create_future()
            root.waiters.append(waiter)
            await waiter

    def _live(self, what: str) -> bool:
        """Returns whether the run has not ended; if so, this must be its event loop."""
        if self._state.status.final:
            return False
        loop = self._engine.loop
        if loop is not asyncio._get_running_loop():
            raise ConfigurationError(
                f"{what}: run {self.id} of {self._state.graph} lives on another event loop; from a thread, use"
                " `asyncio.run_coroutine_threadsafe(…, loop)` or `loop.call_soon_threadsafe(…)`"
            )
        return True

    def __repr__(self) -> str:
        return f"<Run {self._state.graph} {self._state.id} {self._state.status.value}>"


def result_of(execution: Execution) -> RunResult[Any]:
    """Returns what an execution left behind; an interrupt that ended it, or its refusal, is raised."""
    if execution.run.interrupt is not None and execution.parent is None:
        raise execution.run.interrupt
    if execution.run.rejection is not None:
        raise execution.run.rejection
    return executor.result_of(execution)
