"""How the event loop uses a store: entries are handed over at once, and written by a thread, in order, many at a time.

The thread takes what there is, commits it, and takes what came meanwhile; it never waits for the loop, so a loop that
is busy does not delay what was handed over. Whoever needs to know that something is written is called back.

What cannot be written (a full disk, a file that another process has locked) stays in line and is tried again every
second. It is given up when a run wants to end, so that no run hangs on a disk, or when too much waits. Both are told.

The thread belongs to a *line*, which lives as long as somebody uses the store, on one loop. A store that never blocks
has no thread: its calls are made right here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, TypeVar

from anyio import CancelScope

from asyncflow._store.entry import Entry, OpEntry, RunSession, RunStore
from asyncflow.errors import StoreUnavailable
from asyncflow.events import Event, StoreFailed

T = TypeVar("T")

AGAIN_SECONDS: Final = 1.0
"""Between two attempts to write."""

MOST_WAITING: Final = 256 * 1024 * 1024
"""Characters of values that may wait for a store that cannot be written to."""


class Line:
    """An open store, and what waits to be written to it.

    Args:
        store: The store; it is opened.
        warn: Is told what goes wrong.
    """

    def __init__(self, store: RunStore, warn: Callable[[Event], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self._store = store
        self._warn = warn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="asyncflow store") if store.blocks else None
        self._pending: deque[Entry] = deque()
        self._lock = Lock()
        self._writing = False
        self._size = 0
        self._put = self._done = 0
        self._waiters: deque[tuple[int, Callable[[], None]]] = deque()
        self._again: asyncio.TimerHandle | None = None
        self._told = ""
        self._session: RunSession | None = None
        self.opened = self._hand(self._open)

    def _open(self) -> None:
        self._session = self._store.open()

    def _hand(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Makes a call where the store is used, and returns its answer to come."""
        if self._thread is not None:
            return self.loop.run_in_executor(self._thread, call, *args)
        answer: asyncio.Future[T] = self.loop.create_future()
        try:
            answer.set_result(call(*args))
        except Exception as error:  # noqa: BLE001 — it is the answer
            answer.set_exception(error)
        return answer

    def has_store_of(self, other: Line) -> bool:
        """Returns whether another line leads, or led, to the same store."""
        return self._store is other._store or (self._store.blocks and self._store.name == other._store.name)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, question: Callable[[RunSession], T]) -> asyncio.Future[T]:
        """Asks the store something, after all that was put so far."""
        return self._hand(self._answer, question)

    def ask_now(self, question: Callable[[RunSession], T]) -> T:
        """Asks the store something and waits for it, the loop with it: for what cannot be awaited."""
        if self._thread is None:
            return self._answer(question)
        return self._thread.submit(self._answer, question).result()

    def _answer(self, question: Callable[[RunSession], T]) -> T:
        try:
            return question(self._opened())
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the store {self._store.name} cannot be read: {error}") from error

    def _opened(self) -> RunSession:
        if self._session is None:
            raise StoreUnavailable(f"the store {self._store.name} is not open")
        return self._session

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, entry: Entry) -> None:
        """Hands an entry over."""
        with self._lock:
            self._put += 1
            self._size += size_of(entry)
            self._pending.append(entry)
        if self._again is None:
            self._write()
        elif self._size > MOST_WAITING:
            self._give_up(self._told)

    def is_written(self) -> bool:
        """Returns whether everything that was put is written, or given up."""
        return self._done == self._put and not self._writing

    def when_written(self, call: Callable[[], None]) -> None:
        """Calls back when all that was put so far is written, or given up."""
        self._waiters.append((self._put, call))
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._write()

    def _write(self) -> None:
        with self._lock:
            if self._writing:
                return
            self._writing = True
        self._hand(self._drain).add_done_callback(self._drained)

    def _drain(self) -> None:
        """Writes until nothing is left; on the thread."""
        while True:
            with self._lock:
                batch = tuple(self._pending)
                if not batch:
                    self._writing = False
                    return
            try:
                self._opened().write(batch)
            except BaseException:
                with self._lock:
                    self._writing = False
                raise
            with self._lock:
                for _ in batch:
                    self._size -= size_of(self._pending.popleft())
                self._done += len(batch)
            if self._waiters:
                self.loop.call_soon_threadsafe(self._call_waiters)

    def _drained(self, answer: asyncio.Future[None]) -> None:
        error = answer.exception()
        if error is None:
            self._told = ""
        elif self._waiters or self._size > MOST_WAITING:
            self._give_up(_said(error))
        else:
            self._fail(_said(error))
        self._call_waiters()

    def _fail(self, why: str) -> None:
        """Something could not be written: it is tried again."""
        if self._told != why:
            self._told = why
            self._warn(StoreFailed(self.loop.time(), self._store.name, why, len(self._pending), 0))
        self._again = self.loop.call_later(AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self._write()

    def _give_up(self, why: str) -> None:
        """What waits is lost."""
        with self._lock:
            lost = len(self._pending)
            self._pending.clear()
            self._size = 0
            self._done += lost
        self._warn(StoreFailed(self.loop.time(), self._store.name, why, 0, lost))

    def _call_waiters(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._done:
            self._waiters.popleft()[1]()

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """Writes what is left and closes the store, also where the caller is cancelled meanwhile."""
        written: asyncio.Future[None] = self.loop.create_future()
        self.when_written(lambda: None if written.done() else written.set_result(None))
        try:
            await outlasted(written)
        finally:
            try:
                await outlasted(self._hand(self._close))
            finally:
                if self._again is not None:
                    self._again.cancel()
                if self._thread is not None:
                    self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()


class Keeper:
    """A deployment's store: open while somebody uses it.

    Args:
        store: The store.
        warn: Is told what goes wrong.
    """

    def __init__(self, store: RunStore, warn: Callable[[Event], None]) -> None:
        self.store = store
        self._warn = warn
        self._users = 0
        self._line: Line | None = None

    @property
    def line(self) -> Line | None:
        """The store, where it is open on this loop."""
        line = self._line
        return line if line is not None and line.loop is asyncio.get_running_loop() else None

    async def enter(self) -> Line:
        """Opens the store, unless it is open. To be left again.

        Raises:
            StoreUnavailable: where it cannot be opened.
            SchemaMismatch: where what is there is newer, or damaged.
        """
        line = self.line
        if line is None:
            self._users = 0
            line = self._line = Line(self.store, self._warn)
        self._users += 1
        try:
            await outlasted(line.opened)
        except BaseException:
            await self.leave()
            raise
        return line

    async def leave(self) -> None:
        """Closes the store where nobody else uses it."""
        self._users -= 1
        if not self._users and self._line is not None:
            line, self._line = self._line, None
            await line.close()

    def __repr__(self) -> str:
        return f"<store {self.store.name} users={self._users}>"


async def outlasted(answer: asyncio.Future[T]) -> T:
    """Waits for something that cannot be stopped; a cancellation is raised when it is there.

    Raises:
        BaseException: what the answer is.
    """
    interrupted: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not answer.done():
            try:
                await asyncio.wait([answer])
            except asyncio.CancelledError as error:  # a native cancel passes shields
                interrupted = error
    if interrupted is not None:
        if not answer.cancelled():
            answer.exception()  # seen
        raise interrupted
    return answer.result()


def size_of(entry: Entry) -> int:
    """Returns how many characters of values an entry has."""
    return len(entry.output) if isinstance(entry, OpEntry) and entry.output is not None else 0


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
