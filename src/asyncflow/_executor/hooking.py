"""Calling hooks: beside everything else, in tasks of their own, and never for longer than they may.

An execution ends after its hooks have, so nothing outlives a run; its slots are back before. What a run came to is
decided before its own hooks are told, so nothing that happens while they run can change it. A hook that takes longer
than `cancel_grace` is cancelled; one that does not stop then is left behind after as long again, and said to be.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from anyio import CancelScope

from asyncflow._executor.ending import interrupt, settle
from asyncflow._executor.harvest import errors_of
from asyncflow._executor.spawn import spawn
from asyncflow._executor.trial import attempt_of, told
from asyncflow._scheduler import CANCELED, FAILED, RETRYING, SUCCEEDED
from asyncflow.events import HookFailed
from asyncflow.hooks import Hook, HookInfo, Hooks
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution

_OF_OPS = {SUCCEEDED: "on_success", FAILED: "on_failure", CANCELED: "on_cancel", RETRYING: "on_retry"}
_OF_RUNS = {
    RunStatus.SUCCEEDED: "on_success",
    RunStatus.FAILED: "on_failure",
    RunStatus.CANCELED: "on_cancel",
    RunStatus.QUEUED: "on_retry",
}


class Hooking:
    """The hooks of one execution.

    Args:
        engine: Where it runs.
        frame: The execution.
        whole: Those that are told of it as a whole: its graph's, and for a run its deployment's.

    Attributes:
        of_ops: True where an op of it has hooks: these hear of ends where events do, until it is settled.
    """

    __slots__ = ("_ended", "_pending", "engine", "frame", "of_ops", "whole")

    def __init__(self, engine: Engine, frame: Execution, whole: tuple[Hooks, ...]) -> None:
        self.engine = engine
        self.frame = frame
        self.whole = whole
        self._pending: set[_Call] = set()
        self._ended = False
        self.of_ops = False

    def serve_ops(self) -> None:
        """An op of the execution has hooks."""
        if not self.of_ops:
            self.of_ops = True
            self.engine.observers.serve_hooks(1)

    def close(self) -> None:
        """The execution has ended."""
        if self.of_ops:
            self.of_ops = False
            self.engine.observers.serve_hooks(-1)

    def op_ended(self, i: int, *, delay: float | None = None) -> None:
        """An op that had started ended, or is tried again: its hook is called."""
        frame = self.frame
        op = frame.nodes[i].op
        hooks = None if op is None else op.options.hooks
        name = _OF_OPS.get(frame.status[i])
        if op is None or hooks is None or name is None:
            return
        hook: Hook | None = getattr(hooks, name)
        if hook is None:
            return
        attempt = attempt_of(frame, i)
        if name == "on_retry" or (name == "on_cancel" and frame.started[i] is None):
            attempt -= 1
        trial = frame.trials.get(i)
        error = trial.error if trial is not None and name == "on_retry" else frame.errors.get(i)
        run = frame.run
        self._call(
            hook,
            HookInfo(
                name,
                run.id,
                run.graph,
                frame.key(i),
                frame.op_status(i),
                attempt=attempt,
                errors=() if error is None else (error,),
                delay=delay,
                reason=run.reason,
                tags=op.options.tags,
            ),
        )

    def told(
        self, status: RunStatus, errors: tuple[Exception, ...], *, attempt: int, delay: float | None = None
    ) -> None:
        """The whole came to an end, or is tried again: its hooks are called."""
        name = _OF_RUNS[status]
        run = self.frame.run
        for hooks in self.whole:
            hook: Hook | None = getattr(hooks, name)
            if hook is not None:
                key = None if self.frame.parent is None else self.frame.prefix.removesuffix("/")
                info = HookInfo(name, run.id, run.graph, key, status, attempt, errors, delay, run.reason, run.tags)
                self._call(hook, info)

    @property
    def busy(self) -> bool:
        """True while hooks run."""
        return bool(self._pending) and not self.engine.broken

    def over(self, status: RunStatus) -> bool:
        """Returns whether all hooks have ended. Until they have, the execution has not: it is settled again then."""
        if self.engine.broken:
            return True
        if not self._ended:
            self._ended = True
            if self.frame.run.rejection is None:
                errors = errors_of(self.frame) if status is RunStatus.FAILED else ()
                self.told(status, errors, attempt=self.frame.run.attempt)
        return not self._pending

    def _call(self, hook: Hook, info: HookInfo) -> None:
        if not self.frame.finished:
            call = _Call(self, hook, info)
            self._pending.add(call)
            call.start()

    def ended(self, call: _Call) -> None:
        """A hook ended, or is left behind."""
        if call in self._pending:
            self._pending.remove(call)
            frame = self.frame
            if not self._pending and (frame.closed or not frame.left):  # else its ops are still to come
                settle(self.engine, frame)

    def __repr__(self) -> str:
        return f"<hooks of {self.frame.run.graph}: {len(self._pending)} run>"


class _Call:
    """One call of a hook."""

    __slots__ = ("_handle", "_scope", "hook", "hooking", "info")

    def __init__(self, hooking: Hooking, hook: Hook, info: HookInfo) -> None:
        self.hooking = hooking
        self.hook = hook
        self.info = info
        self._scope = CancelScope()
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Calls the hook in a task of its own, in the run's context."""
        engine = self.hooking.engine
        self._handle = engine.loop.call_later(engine.cancel_grace, self._too_long)
        spawn(self._run(), name="asyncflow hook", context=self.hooking.frame.context.copy())

    async def _run(self) -> None:
        try:
            with self._scope:
                answer = self.hook(self.info)
                if inspect.isawaitable(answer):
                    await answer
        except (KeyboardInterrupt, SystemExit) as error:
            interrupt(self.hooking.engine, self.hooking.frame.run, error)
        except BaseException as error:  # noqa: BLE001 — a hook may raise anything; it is told, and changes nothing
            self._failed(told(error))
        finally:
            self._over()

    def _too_long(self) -> None:
        engine = self.hooking.engine
        self._failed(f"it took longer than cancel_grace, {engine.cancel_grace:g} s, and was cancelled")
        self._handle = engine.loop.call_later(engine.cancel_grace, self._left_behind)
        self._scope.cancel("the hook took longer than it may")

    def _left_behind(self) -> None:
        self._handle = None
        self._failed("it was cancelled and still runs: the run goes on without it")
        self._over()

    def _failed(self, error: str) -> None:
        engine, info = self.hooking.engine, self.info
        engine.observers.warn(HookFailed(engine.clock(), info.run_id, info.graph, info.key, info.hook, error))

    def _over(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.hooking.ended(self)


def watch(engine: Engine, frame: Execution, *hooks: Hooks | None) -> None:
    """Gives an execution that begins its hooks, where it, or an op of it, has any."""
    whole = tuple([one for one in hooks if one is not None])
    if whole or frame.plan.hooked:
        frame.hooking = Hooking(engine, frame, whole)
        if frame.plan.hooked:
            frame.hooking.serve_ops()


def watch_appended(engine: Engine, frame: Execution) -> None:
    """An execution has grown by ops that have hooks."""
    if frame.hooking is None:
        frame.hooking = Hooking(engine, frame, ())
    frame.hooking.serve_ops()
