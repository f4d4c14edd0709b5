"""A loop whose clock jumps.

The idea is trio's autojump clock, made of one method: asyncio asks its selector to wait until the next timer, and this
selector, instead of waiting, sets the clock to that timer. Everything else is asyncio's own loop, so real I/O, threads,
subprocesses, signals, debug mode and eager tasks work as they do there.

Invariants

1. The clock moves only where nothing is ready, and only to the next timer. Everything that can happen at one instant
   has happened before the next.
2. The clock stands still while outside work is in flight (`asyncflow.testing.outside`: a thread, a process, a `hold()`
   block): then the loop really waits, however long it takes.
3. Open files other than the loop's own (sockets, pipes) may bring something or may not; nobody can know. The loop
   looks whether something is there, gives it `patience` real seconds, never more than the gap to the next timer, and
   then jumps. Without a timer it really waits for them.
4. Where nothing is ready, no timer is due and nothing outside can call, the loop raises `DeadlockError` instead of
   hanging. A timer at infinity (`anyio.sleep_forever`) never is due.
5. Time is exact. It starts at 0; every timer is set on a grid of whole nanoseconds, so ten sleeps of 0.1 end at 1.0 and
   not beside it; timers of one instant fire in the order in which they were set; no timer fires before its instant.

Why the grid needs care: `0.1 + 0.2` is not 0.3 in floats. Rounded to the grid the timer fires at 0.3, and a cancel
scope that compares with its own unrounded deadline would find itself early, set its timer again, and so for ever. So
a timer whose rounded instant has come while its asked one has not, keeps the asked one.

Rejected: a thread-free fake without a selector (async-solipsism), since ops run on threads; a wall clock multiplied by
a factor, since it is neither exact nor fast; patching `time.monotonic`, since other libraries measure with it.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import signal
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Final, Self, TypeAlias, TypeVar, TypeVarTuple

from asyncflow.errors import DeadlockError
from asyncflow.testing.outside import Outside
from asyncflow.testing.pending import describe_deadlock
from asyncflow.testing.schedule import shuffle_tasks

T = TypeVar("T")
Args = TypeVarTuple("Args")
P = TypeVar("P", bound=asyncio.BaseProtocol)
Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]

GRID: Final = 9
"""Decimal places of the grid of time: nanoseconds."""

PATIENCE: Final = 0.05
"""Real seconds that an open file is given to bring something before the clock jumps."""

LAST_CALL: Final = 1.0
"""Real seconds that unknown threads are given to call before a deadlock is declared."""

SLICE: Final = 0.1
"""Real seconds of one wait for outside work; then the loop looks again whether any is left."""


class Instant(float):
    """The time of a timer. Equal times are ordered by the order in which their timers were set."""

    __slots__ = ("order",)

    order: int

    def __new__(cls, when: float, order: int) -> Self:
        """Makes the instant `when` of the timer that was set as number `order`."""
        self = super().__new__(cls, when)
        self.order = order
        return self

    def __lt__(self, other: float) -> bool:
        if float.__eq__(self, other) and isinstance(other, Instant):
            return self.order < other.order
        return float.__lt__(self, other)


class JumpingSelector(selectors.DefaultSelector):
    """asyncio's selector, except that the loop decides what a wait is."""

    decide: Callable[[float | None, Callable[[float | None], Ready]], Ready]

    def select(self, timeout: float | None = None) -> Ready:
        """Gives what is ready now, or after the loop has let its clock jump."""
        __tracebackhide__ = True
        return self.decide(timeout, super().select)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time. Use it as a `loop_factory`.

    Args:
        seed: Shuffles the tasks that are ready together, the same way for the same seed. None keeps asyncio's order.
        patience: Real seconds that open sockets and pipes are given before the clock jumps.

    >>> import anyio
    >>> anyio.run(anyio.sleep, 3600, backend_options={"loop_factory": VirtualTimeLoop})
    """

    # What asyncio's loop keeps, unchanged since 3.4, and this one reads: the type stubs leave it out.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self, *, seed: int | None = None, patience: float = PATIENCE) -> None:
        self.seed = seed
        self.patience = patience
        self._now = 0.0
        self._timers_set = 0
        self._order = None if seed is None else random.Random(seed)  # noqa: S311 — an order to try, not a secret
        self.random = random.Random(0 if seed is None else seed)  # noqa: S311 — jitter of retries: the same in every run
        self._outside = Outside(self)
        self._signals: set[int] = set()
        self._home: int | None = None
        self._default_threads: ThreadPoolExecutor | None = None
        self._own_files: frozenset[int] = frozenset()
        self._files = JumpingSelector()
        self._files.decide = self._wait
        super().__init__(self._files)
        self._clock_resolution = math.ulp(0.0)
        self._own_files = self._open_files()

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f" seed={self.seed}"
        return f"<VirtualTimeLoop t={self._now:.9g} running={self.is_running()} closed={self.is_closed()}{seed}>"

    # ------------------------------------------------------------------------------------------------------ the clock
    def time(self) -> float:
        """Returns the virtual seconds since the loop was made."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Sets a timer, on the grid."""
        rounded = round(when, GRID)
        if rounded <= self._now < when:
            rounded = when
        self._timers_set += 1
        return super().call_at(Instant(rounded, self._timers_set), callback, *args, context=context)

    @contextmanager
    def hold(self) -> Generator[None]:
        """Lets time stand still inside the block, for work outside that the loop cannot see by itself.

        The loop really waits until something calls it, so nothing inside the block may wait for a timer.
        """
        with self._outside.hold():
            yield

    def _wait(self, timeout: float | None, poll: Callable[[float | None], Ready]) -> Ready:
        """Decides what the loop does where asyncio's would wait `timeout` seconds."""
        __tracebackhide__ = True
        if timeout is not None and timeout <= 0:
            if self._order is not None:
                shuffle_tasks(self._ready, self._order)
            return poll(0)
        while self._outside.is_working():
            if ready := poll(SLICE):
                return ready
        if ready := poll(0):
            return ready
        due = float(self._scheduled[0].when()) if self._scheduled else math.inf
        if (ready := self._wait_for_callers(due, poll)) or due == math.inf:
            return ready
        self._now = due
        self._clock_resolution = math.ulp(due)  # asyncio fires what is due before now + resolution: exactly the instant
        return []

    def _wait_for_callers(self, due: float, poll: Callable[[float | None], Ready]) -> Ready:
        """Gives what is outside and may call, or may not, its chance.

        Raises:
            DeadlockError: nobody did, and no timer is left.
        """
        __tracebackhide__ = True
        open_files = self._open_files() - self._outside.idle_files()
        if due < math.inf:
            return poll(min(self.patience, due - self._now)) if open_files else []
        if open_files or self._signals or threading.current_thread() is not threading.main_thread():
            return poll(SLICE)
        if self._outside.has_other_threads() and (ready := poll(LAST_CALL)):
            return ready
        message, chain = describe_deadlock(self, self._now, self.seed)
        raise DeadlockError(message, chain=chain)

    def _open_files(self) -> frozenset[int]:
        files = self._files.get_map()
        if len(files) == len(self._own_files):
            return frozenset()
        return frozenset(key.fd for key in files.values()) - self._own_files

    # -------------------------------------------------------------------------------------------- what works outside
    def run_forever(self) -> None:
        """Runs until `stop()`."""
        self._home = threading.get_ident()
        super().run_forever()

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Args], T], *args: *Args) -> asyncio.Future[T]:
        """Runs `func` in a thread or process; time stands still until it ends."""
        counted = self._outside.count(executor or self._threads())
        future = super().run_in_executor(counted, func, *args)
        counted.watch()
        return future

    def _threads(self) -> ThreadPoolExecutor:
        threads = self._default_threads
        if threads is None:
            threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
            self.set_default_executor(threads)
        return threads

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:  # type: ignore[override]  # — as asyncio's own
        """Sets the threads of `run_in_executor(None, …)`."""
        super().set_default_executor(executor)
        self._default_threads = executor

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 — asyncio's signature; in virtual time it would be over at once
    ) -> None:
        """Waits for the default threads to end, in real time."""
        with self.hold():
            await super().shutdown_default_executor()

    async def subprocess_exec(
        self, protocol_factory: Callable[[], P], *args: Any, **options: Any
    ) -> tuple[asyncio.SubprocessTransport, P]:
        """Starts a subprocess; time stands still until it ends."""
        return await self._watched(super().subprocess_exec(protocol_factory, *args, **options), args)

    async def subprocess_shell(
        self, protocol_factory: Callable[[], P], *args: Any, **options: Any
    ) -> tuple[asyncio.SubprocessTransport, P]:
        """Starts a shell; time stands still until it ends."""
        return await self._watched(super().subprocess_shell(protocol_factory, *args, **options), args)

    async def _watched(
        self, start: Coroutine[Any, Any, tuple[asyncio.SubprocessTransport, P]], command: tuple[Any, ...]
    ) -> tuple[asyncio.SubprocessTransport, P]:
        before = self._open_files()
        with self.hold():
            transport, protocol = await start
        self._outside.watch_process(transport, protocol, command, files=self._open_files() - before)
        return transport, protocol

    def add_signal_handler(self, sig: int, callback: Callable[[*Args], object], *args: *Args) -> None:
        """Handles a signal; a loop that does may be called from outside and is never declared dead."""
        super().add_signal_handler(sig, callback, *args)
        self._signals.add(signal.Signals(sig))

    def remove_signal_handler(self, sig: int) -> bool:
        """Handles a signal no longer."""
        self._signals.discard(signal.Signals(sig))
        return super().remove_signal_handler(sig)

    # ------------------------------------------------------------------------------------------- who calls from outside
    def call_soon_threadsafe(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Calls back soon; a task that a thread asks for this way counts as that thread's wait."""
        caller = threading.get_ident()
        if caller == self._home:
            return super().call_soon_threadsafe(callback, *args, context=context)
        return super().call_soon_threadsafe(self._outside.answer, caller, callback, args, context=context)

    def create_task(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        """Starts a task."""
        caller = self._outside.take_caller()
        task = super().create_task(coro, **options)
        if caller is not None:
            self._outside.owe(caller, task)
        return task
