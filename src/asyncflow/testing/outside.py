"""What works for a virtual loop outside of it: threads, processes, and `hold()` blocks.

While any of it works, time stands still. A job counts from the moment it is handed over until its answer is *posted* to
the loop; since the post comes first, a loop that finds nothing at work finds the answer. A cancelled wait does not end
the count: the thread still works.

A worker that calls back into the loop (`anyio.from_thread.run`) waits for the loop, not the loop for it: as long as
the task it asked for runs, that thread does not count, or its `sleep` could never end.

anyio keeps its worker threads to itself. They are found among the live threads: one that belongs to this loop and is
not on its own list of idle workers is working.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Job:
    """One call handed to an executor."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread: int | None = None

    def run(self, func: Callable[..., T], *args: Any) -> T:
        """Runs the call on a thread, which is remembered."""
        self.thread = threading.get_ident()
        return func(*args)


class CountedExecutor(Executor):
    """An executor for one submission, counted while it works."""

    def __init__(self, executor: Executor, jobs: set[Job]) -> None:
        self._executor = executor
        self._jobs = jobs
        self._job = Job()
        self._work: Future[Any] | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Hands the call over; on threads it also tells which one took it."""
        call = partial(self._job.run, fn) if isinstance(self._executor, ThreadPoolExecutor) else fn
        work = self._executor.submit(call, *args, **kwargs)
        self._work = work
        self._jobs.add(self._job)
        return work

    def watch(self) -> None:
        """Ends the count once the answer is posted: to be called when the loop's own callback is in place."""
        if self._work is not None:
            self._work.add_done_callback(lambda _: self._jobs.discard(self._job))


class Process:
    """One subprocess of the loop."""

    __slots__ = ("_pooled", "_protocol", "_transport", "files")

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: asyncio.BaseProtocol,
        command: tuple[Any, ...],
        *,
        files: frozenset[int],
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._pooled = "anyio.to_process" in command
        self.files = files

    def has_ended(self) -> bool:
        """Says whether the process is gone."""
        return self._transport.get_returncode() is not None or self._transport.is_closing()

    def is_working(self) -> bool:
        """Says whether it lives; a worker of anyio's process pool works only when asked: for an answer, or to end."""
        if not self._pooled:
            return True
        answers = self._transport.get_pipe_transport(1)
        if answers is None or answers.is_closing():
            return True
        return getattr(getattr(self._protocol, "stdout", None), "_waiter", None) is not None


class Outside:
    """Everything outside of one loop that works for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._holds = 0
        self._jobs: set[Job] = set()
        self._processes: list[Process] = []
        self._caller: int | None = None
        self._owed: Counter[int] = Counter()

    def is_working(self) -> bool:
        """Says whether anything outside works, other than threads that wait for the loop themselves."""
        if self._holds:
            return True
        if any(job.thread is None or not self._owed[job.thread] for job in tuple(self._jobs)):
            return True
        if self._processes:
            self._processes = [process for process in self._processes if not process.has_ended()]
            if any(process.is_working() for process in self._processes):
                return True
        return any(self._is_busy_worker(thread) for thread in threading.enumerate())

    def _is_busy_worker(self, thread: threading.Thread) -> bool:
        return (
            getattr(thread, "loop", None) is self._loop
            and not getattr(thread, "stopping", True)
            and thread not in getattr(thread, "idle_workers", (thread,))
            and not (thread.ident and self._owed[thread.ident])
        )

    def has_other_threads(self) -> bool:
        """Says whether there are threads that nothing is known about; they might call."""
        here = threading.current_thread()
        return any(
            thread is not here and getattr(thread, "loop", None) is not self._loop for thread in threading.enumerate()
        )

    @contextmanager
    def hold(self) -> Generator[None]:
        """Counts the block as outside work."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def count(self, executor: Executor) -> CountedExecutor:
        """Gives the executor with one submission counted."""
        return CountedExecutor(executor, self._jobs)

    def watch_process(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: asyncio.BaseProtocol,
        command: tuple[Any, ...],
        *,
        files: frozenset[int],
    ) -> None:
        """Counts a subprocess until it ends; `files` are what the loop watches for it."""
        self._processes.append(Process(transport, protocol, command, files=files))

    def idle_files(self) -> set[int]:
        """Gives the files of processes that wait for the loop: nothing will come from them."""
        return {file for process in self._processes if not process.is_working() for file in process.files}

    def answer(self, caller: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Runs a callback that another thread asked for; the first task it makes is what that thread waits for."""
        self._caller = caller
        try:
            callback(*args)
        finally:
            self._caller = None

    def take_caller(self) -> int | None:
        """Gives the thread that asked for the task being made, once."""
        caller, self._caller = self._caller, None
        return caller

    def owe(self, caller: int, task: asyncio.Task[Any]) -> None:
        """Notes that a thread waits for a task."""
        self._owed[caller] += 1
        task.add_done_callback(lambda _: self._paid(caller))

    def _paid(self, caller: int) -> None:
        self._owed[caller] -= 1
        if not self._owed[caller]:
            del self._owed[caller]
