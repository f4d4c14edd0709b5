"""A handle on a live run: look at it, await it, end it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from asyncflow import _executor as executor
from asyncflow._executor import Engine, Execution, RunState
from asyncflow._limits import Explanation, Snapshot
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.results import RunResult, RunStatus

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
        """Ends the run and returns when everything it held is back. Does nothing where it has ended."""
        executor.cancel(self._engine, self._state, reason)
        await self._ended()

    def explain(self, op_key: str) -> Explanation:
        """Tells why the op of this key does not run: every limit that is short, who holds it, and what would help."""
        return explain_op(self._engine, self._state, op_key)

    async def _ended(self) -> None:
        root = self._state.root
        if not root.finished:
            waiter = self._engine.loop.create_future()
            root.waiters.append(waiter)
            await waiter

    def __repr__(self) -> str:
        return f"<Run {self._state.graph} {self._state.id} {self._state.status.value}>"


def result_of(execution: Execution) -> RunResult[Any]:
    """Returns what an execution left behind; an interrupt that ended its run is raised as itself."""
    if execution.run.interrupt is not None and execution.parent is None:
        raise execution.run.interrupt
    return executor.result_of(execution)


@dataclass(frozen=True, slots=True)
class Place:
    """Who holds or waits for a limit: an op of a run."""

    run_id: str
    graph: str
    op: str

    def __str__(self) -> str:
        return f"{self.graph}/{self.op} of run {self.run_id}"


def place_of(owner: object) -> object:
    """Returns what people call the owner of a claim."""
    if not isinstance(owner, tuple):
        return owner
    frame, i = cast("tuple[Execution, int]", owner)
    return Place(frame.run.id, frame.run.graph, frame.key(i))


def placed_snapshot(engine: Engine) -> Snapshot:
    """Returns the core's snapshot with owners as people call them."""
    snapshot = engine.core.snapshot()
    views = [
        replace(
            view,
            holders=tuple([replace(holder, owner=place_of(holder.owner)) for holder in view.holders]),
            waiters=tuple([replace(waiter, owner=place_of(waiter.owner)) for waiter in view.waiters]),
        )
        for view in snapshot.limits
    ]
    return replace(snapshot, limits=tuple(views))


def placed_explanation(explanation: Explanation) -> Explanation:
    """Returns an explanation with owners as people call them."""
    blockers = [
        replace(blocker, holders=tuple([(place_of(owner), amount) for owner, amount in blocker.holders]))
        for blocker in explanation.blockers
    ]
    return replace(explanation, blockers=tuple(blockers))


def explain_op(engine: Engine, state: RunState, op_key: str) -> Explanation:
    """Tells why the op of this key does not run.

    Raises:
        ConfigurationError: where the run has no such op, or no limit holds it up.
    """
    for execution in state.executions:
        for i, claim in enumerate(execution.claims):
            if claim is not None and execution.key(i) == op_key:
                return placed_explanation(engine.core.explain(claim))
    keys = [execution.key(i) for execution in state.executions for i in range(len(execution.nodes))]
    if op_key in keys:
        raise ConfigurationError(f"{state.graph}/{op_key} waits for its inputs, or has ended: no limit holds it up")
    raise ConfigurationError(f"run {state.id} of {state.graph} has no op {op_key!r}{did_you_mean(op_key, keys)}")
