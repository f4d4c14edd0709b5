"""The time limit of one attempt: seconds from the start of its body, children included, waiting for limits not.

When it is over the op is cancelled through the scope of its worker, so shielded clean-up is respected, and fails with
`OpTimeout`. Precedence, decided once: done, then timed out, then a lost lease, then cancelled. An op that ends in the
same turn of the loop is done, which is why the cancellation comes two turns later; one whose run is stopped in that
turn has timed out, one whose run was stopped before was cancelled. A thread cannot be stopped: its op keeps what it
holds until the thread has ended, and a value that comes too late does not count.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncflow._executor.ending import stop_execution
from asyncflow.errors import LeaseLost, OpTimeout
from asyncflow.events import StuckOp

if TYPE_CHECKING:
    from anyio import CancelScope

    from asyncflow._executor.engine import Engine
    from asyncflow._limits import Claim


class Deadline:
    """Ends an attempt that takes too long.

    Args:
        engine: Where the op runs.
        claim: The op's.
        scope: The scope of its worker.

    Attributes:
        final: True where no retry may follow.
    """

    __slots__ = (
        "_answered",
        "_body_over",
        "_due",
        "_error",
        "_expired",
        "_handle",
        "claim",
        "engine",
        "final",
        "scope",
    )

    def __init__(self, engine: Engine, claim: Claim, scope: CancelScope) -> None:
        self.engine = engine
        self.claim = claim
        self.scope = scope
        self.final = False
        self._error: OpTimeout | LeaseLost | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._due = False
        self._expired = False
        self._body_over = False
        self._answered = False

    def start(self, seconds: float) -> None:
        """The attempt may take so many seconds from its start."""
        frame, i = self.claim.owner
        began = frame.started[i]
        self._error = OpTimeout(f"{frame.run.graph}/{frame.key(i)} took longer than its timeout of {seconds:g} s")
        self._handle = self.engine.loop.call_at((self.engine.clock() if began is None else began) + seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._due = True
        loop = self.engine.loop
        loop.call_soon(loop.call_soon, self._expire)

    def _expire(self) -> None:
        frame, i = self.claim.owner
        if frame.claims[i] is not self.claim or self._answered:
            return
        if self._error is not None:
            self.expire(self._error)

    def lose(self, error: LeaseLost) -> None:
        """Something that the op holds is its own no more: as if its time were over, unless it is already."""
        if not self._due:
            self.expire(error)

    def expire(self, error: OpTimeout | LeaseLost) -> None:
        """The time is over: the op is cancelled, or the children that its body left running are."""
        frame, _ = self.claim.owner
        self.close()
        self._due = self._expired = True
        self._error = error
        self._handle = self.engine.loop.call_later(self.engine.cancel_grace, self._report)
        if self._body_over:
            for child in tuple(frame.run.children.get(self.claim, ())):
                stop_execution(self.engine, child)
        else:
            self.scope.cancel("the op took longer than it may, or lost a lease")

    def _report(self) -> None:
        """The op was cancelled and still runs: says where it stands."""
        self._handle = None
        engine = self.engine
        frame, i = self.claim.owner
        run = frame.run
        event = StuckOp(engine.clock(), run.id, run.graph, frame.key(i), engine.cancel_grace, frame.stack(i))
        engine.observers.warn(event)

    def run_stopped(self) -> None:
        """The run is being stopped: a time that is not over yet does not count any more."""
        if self._due or self._handle is None:
            return
        if self._handle.when() > self.engine.clock():
            self.close()
        else:
            self._due = True

    def body_ended(self, error: BaseException | None, *, threaded: bool) -> None:
        """The body ended. A value counts, unless it comes from a thread that was too late to be stopped."""
        self._body_over = True
        if error is not None:
            self.close()
        elif self._due:
            self._answered = not (threaded and self._expired)
            self.close()

    def verdict(self, error: BaseException | None) -> BaseException | None:
        """Returns what the attempt ended with, in the end: the timeout, where that came first."""
        self.close()
        if not self._due or self._answered or not (error is None or issubclass(type(error), asyncio.CancelledError)):
            return error
        timeout = self._error
        if timeout is None:
            return error
        timeout.__cause__ = error
        return timeout

    def close(self) -> None:
        """Nothing more will come of it."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def start_deadline(engine: Engine, claim: Claim, scope: CancelScope) -> Deadline:
    """Returns the running time limit of an op that has one of its own."""
    frame, i = claim.owner
    deadline = Deadline(engine, claim, scope)
    deadline.start(frame.nodes[i].timeout)
    return deadline
