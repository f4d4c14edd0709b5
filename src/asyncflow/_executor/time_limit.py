"""Time limits of runs, of children that are graphs, and of nested graphs.

A run's counts from RUNNING; when it is over, the run's ops are cancelled and it FAILS with a `RunTimeout` among its
errors. A nested graph has no run of its own: its time counts from when the first of its ops has its inputs, and when
it is over, whatever of it has not ended fails with `OpTimeout`, and is not tried again.

As with ops, what ends in the same turn of the loop is done: the end comes two turns later. A run that is cancelled in
that turn has timed out; one that was cancelled before was cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncflow._executor.deadline import Deadline
from asyncflow._executor.ending import settle, stop, stop_execution, withdrawn
from asyncflow._executor.outcome import node_failed
from asyncflow._executor.reusing import reuse
from asyncflow._scheduler import BLOCKED, RETRYING, RUNNING
from asyncflow.errors import OpTimeout, RunTimeout

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution


class TimeLimit:
    """The time limit of a whole execution: a run, or a graph that an op runs.

    Args:
        engine: Where it runs.
        frame: The execution; it begins now.
        seconds: How long it may take.
    """

    __slots__ = ("_due", "_handle", "engine", "frame", "seconds")

    def __init__(self, engine: Engine, frame: Execution, seconds: float) -> None:
        self.engine = engine
        self.frame = frame
        self.seconds = seconds
        self._due = False
        self._handle: asyncio.TimerHandle | None = engine.loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._due = True
        loop = self.engine.loop
        loop.call_soon(loop.call_soon, self._expire)

    def _expire(self) -> None:
        frame = self.frame
        if frame.finished or frame.closed:
            return
        took = f"took longer than its timeout of {self.seconds:g} s"
        if frame.parent is None:
            frame.overdue = RunTimeout(f"run {frame.run.id} of {frame.run.graph} {took}")
        else:
            frame.overdue = RunTimeout(f"{frame.run.graph}/{frame.prefix.removesuffix('/')} {took}")
        frame.failed_in_time = len(frame.failed_ops())
        if frame.parent is None:
            stop(self.engine, frame.run)
        else:
            stop_execution(self.engine, frame)

    def stopped(self) -> None:
        """Somebody stops the execution: where the time is over in this very moment, that comes first."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._due = handle.when() <= self.engine.clock()
            handle.cancel()
        if self._due:
            self._expire()

    def close(self) -> None:
        """The execution has ended."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class ScopeLimit:
    """The time limit of one call of a nested graph.

    Args:
        engine: Where it runs.
        frame: The execution it stands in.
        scope: Its scope there.
        seconds: How long its ops may take together.
    """

    __slots__ = ("_handle", "engine", "frame", "over", "scope", "seconds")

    def __init__(self, engine: Engine, frame: Execution, scope: int, seconds: float) -> None:
        self.engine = engine
        self.frame = frame
        self.scope = scope
        self.seconds = seconds
        self.over = False
        self._handle: asyncio.TimerHandle | None = engine.loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        loop = self.engine.loop
        loop.call_soon(loop.call_soon, self._expire)

    def error(self, i: int) -> OpTimeout:
        """Returns what one of its ops fails with."""
        frame = self.frame
        path = frame.prefix + frame.scopes[self.scope].path
        return OpTimeout(
            f"{frame.run.graph}/{frame.key(i)} had not ended when {path} had taken its timeout of {self.seconds:g} s"
        )

    def _expire(self) -> None:
        """Ends every op of the nested graph that waits or runs; those that wait for inputs fail when they have them."""
        engine, frame = self.engine, self.frame
        if frame.finished or frame.closed:
            return
        self.over = True
        now = engine.tick()
        inside = [i for i in range(len(frame.nodes)) if BLOCKED <= frame.status[i] <= RETRYING]
        for i in inside:
            if self.scope not in scopes_of(frame, i) or frame.closed:
                continue
            status = frame.status[i]
            if status == RUNNING:
                self._cancel(i)
            elif status == BLOCKED:
                withdrawn(engine, frame, i, now)
                node_failed(engine, frame, i, self.error(i), now)
            elif status == RETRYING:
                frame.trials[i].stop()
                frame.open -= 1
                node_failed(engine, frame, i, self.error(i), now)
        engine.advance(frame, now)
        if engine.stale:
            engine.wake()
        if not frame.open:
            settle(engine, frame)

    def _cancel(self, i: int) -> None:
        claim, run = self.frame.claims[i], self.frame.run
        scope = None if claim is None else run.scopes.get(claim)
        if claim is None or scope is None:
            return
        deadline = run.deadlines.get(claim)
        if deadline is None:
            deadline = run.deadlines[claim] = Deadline(self.engine, claim, scope)
        deadline.final = True
        deadline.expire(self.error(i))

    def close(self) -> None:
        """Nothing more will come of it."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def scopes_of(frame: Execution, i: int) -> Iterable[int]:
    """Yields the scopes that a node stands in, innermost first."""
    scope: int | None = frame.nodes[i].scope
    while scope is not None:
        yield scope
        scope = frame.scopes[scope].parent


def in_time(engine: Engine, frame: Execution, ready: list[int], now: float) -> list[int]:
    """Starts the time of nested graphs whose first ops are ready; returns those whose time is not over yet."""
    left: list[int] = []
    if frame.past is not None:
        ready = reuse(engine, frame, ready, now)
    for i in ready:
        late: ScopeLimit | None = None
        for scope in scopes_of(frame, i):
            seconds = frame.scopes[scope].timeout
            if seconds is None:
                continue
            limit = frame.scope_times.get(scope)
            if limit is None:
                limit = frame.scope_times[scope] = ScopeLimit(engine, frame, scope, seconds)
            elif limit.over:
                late = limit
        if late is None:
            left.append(i)
        elif not frame.closed:
            node_failed(engine, frame, i, late.error(i), now)
    return [] if frame.closed else left
