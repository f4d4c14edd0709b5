"""Pools in a SQLite file: for the processes of one machine, with nothing to install and nothing to run.

The rules are those of `exchange.py` over rows in memory; `sqlite_file.py` keeps them in step with the file. A killed
process is noticed by its lock (`liveness.py`), a frozen one by its expiry.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from asyncflow.errors import BadRequest, PoolBackendUnavailable
from asyncflow.pools import exchange as rules
from asyncflow.pools.journal import JournaledRows
from asyncflow.pools.liveness import LOCKS, Doorbell, Pulse, ring
from asyncflow.pools.messages import Batch, Capabilities, PoolSpec, Reply, SessionGrant, SessionSpec, Snapshot
from asyncflow.pools.rows import Rows
from asyncflow.pools.sqlite_file import PoolFile, make_file, named
from asyncflow.pools.watching import varied

T = TypeVar("T")

CAPABILITIES: Final = Capabilities(cross_process=True, cross_machine=False, push_wakeups=True, durable=True)

LOOK_EVERY: Final = 0.25
"""Seconds after which a watcher looks again whether another process was killed; a look reads no database."""


class SQLitePools:
    """Pools in a file that the processes of one machine share.

    Args:
        path: The file; made, for its owner alone, where it is missing. Beside it lie `-wal`, `-shm` and a folder
            `-sessions` with a lock for each process.
        busy_timeout: Seconds to wait where another process is writing, before `PoolBackendUnavailable`.
        poll_interval: Seconds between hints where nothing happens.
        poll_only: Gives hints in that rhythm only, for processes that cannot reach each other's sockets.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout: float = 3.0,
        poll_interval: float = 2.0,
        poll_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.busy_timeout = busy_timeout
        self.poll_interval = poll_interval
        self.poll_only = poll_only
        self._shared = _Shared(self.path)
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._open_file = _OpenFile()
        self._looked = 0.0

    def __repr__(self) -> str:
        """Tells where it is, and whether it is connected."""
        return f"<{self.name}{'' if self._thread is None else ', connected'}>"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"sqlite:///{self.path}"

    def twin(self) -> SQLitePools:
        """Returns another object for the same file, with a connection of its own."""
        twin = SQLitePools(
            self.path, busy_timeout=self.busy_timeout, poll_interval=self.poll_interval, poll_only=self.poll_only
        )
        twin._shared = self._shared
        return twin

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        """Opens a session."""
        return await self._call(lambda: self._open(session, pools))

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        """Does a batch."""
        return await self._call(lambda: self._exchange(session_id, batch))

    async def snapshot(self, namespace: str, *, limit: int = 100, after: int | None = None) -> Snapshot:
        """Returns a page of what is there."""
        return await self._call(
            lambda: self._connected().read(
                namespace, lambda rows, now: rules.snapshot(rows, now, limit=limit, after=after)
            )
        )

    async def close(self, session_id: str) -> None:
        """Ends a session."""
        await self._call(lambda: self._close(session_id))

    async def disconnect(self) -> None:
        """Closes the connection."""
        if self._pid != os.getpid():
            self._forget()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._drop_file)
            thread.shutdown(wait=False)

    async def watch(self, session_id: str) -> AsyncGenerator[None, None]:
        """Gives hints: at once, when rung, when a process was killed, and in the slow rhythm of a poll."""
        bell = None if self.poll_only else _bell(self._shared.pulse, session_id)
        try:
            while True:
                yield
                await self._news(bell)
        finally:
            if bell is not None:
                bell.close()

    async def _news(self, bell: Doorbell | None) -> None:
        """Returns when it is time for a hint."""
        until = time.monotonic() + varied(self.poll_interval)
        loop = asyncio.get_running_loop()
        while (left := until - time.monotonic()) > 0:
            if self._somebody_died():
                return
            try:
                async with asyncio.timeout(min(left, varied(LOOK_EVERY))):
                    if bell is None:
                        await asyncio.sleep(left)
                    else:
                        await loop.sock_recv(bell.socket, 1)
            except TimeoutError:
                continue
            if bell is not None:
                bell.drain()
            return

    def _somebody_died(self) -> bool:
        """Tells whether another session, seen in the last exchange, has lost its lock."""
        return any(self._shared.pulse.dead(session) for session in tuple(self._shared.others))

    async def _call(self, work: Callable[[], T]) -> T:
        """Does something on the thread of this object. Cancelled, it is still done; what follows waits for it."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._forget()
        if self._loop is None or self._loop.is_closed():
            self._loop = loop
        elif self._loop is not loop:
            raise BadRequest(f"{self.name} is used by another event loop; give this one a `twin()` of it")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="asyncflow-pools-sqlite")
        return await loop.run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            self._drop_file()
            raise named(error, self.path) from None
        except OSError as error:
            raise PoolBackendUnavailable(f"{self.path}: {error.strerror}") from None

    def _connected(self) -> PoolFile:
        """Returns the file; opened anew where it was replaced or removed."""
        with contextlib.suppress(OSError):
            status = self.path.stat()
            file = self._open_file.file
            if file is not None and file.identity == (status.st_dev, status.st_ino):
                return file
        self._drop_file()
        make_file(self.path)
        file = self._open_file.file = PoolFile(self.path, busy=self.busy_timeout)
        return file

    def _open(self, session: SessionSpec, pools: Sequence[PoolSpec]) -> SessionGrant:
        file = self._connected()
        self._shared.of[session.id] = session.namespace
        self._shared.pulse.begin(session.id)

        def work(rows: JournaledRows, now: int) -> tuple[SessionGrant, tuple[str, ...]]:
            self._bury(rows)
            return rules.open_session(rows, session, pools, now)

        grant, woken = file.transact(session.namespace, work)
        self._ring(woken)
        return grant

    def _exchange(self, session_id: str, batch: Batch) -> Reply:
        namespace = self._shared.of.get(session_id, "")

        def work(rows: JournaledRows, now: int) -> rules.Woken:
            self._bury(rows)
            return rules.exchange(rows, session_id, batch, now)

        done = self._connected().transact(namespace, work)
        self._ring(done.wake)
        if not done.reply.alive:
            self._shared.of.pop(session_id, None)
            self._shared.pulse.end(session_id)
        return done.reply

    def _close(self, session_id: str) -> None:
        namespace = self._shared.of.get(session_id)
        if namespace is None:
            return
        woken = self._connected().transact(namespace, lambda rows, now: rules.close_session(rows, session_id, now))
        self._shared.of.pop(session_id, None)
        self._shared.pulse.end(session_id)
        self._ring(woken)

    def _bury(self, rows: Rows) -> None:
        """Lets the sessions of killed processes expire now, so that the rules remove them."""
        if not LOCKS:
            return
        others = self._shared.others = {row.session for row in rows.sessions_before(2**62)} - set(self._shared.of)
        if time.monotonic() - self._looked < LOOK_EVERY / 5:
            return
        self._looked = time.monotonic()
        for session in sorted(others):
            if self._shared.pulse.dead(session):
                _expire(rows, session)
                self._shared.pulse.bury(session)

    def _ring(self, sessions: Sequence[str]) -> None:
        for session in sessions:
            ring(self._shared.pulse, session)

    def _drop_file(self) -> None:
        file, self._open_file.file = self._open_file.file, None
        if file is not None:
            file.close()

    def _forget(self) -> None:
        """In the child of a fork: forgets what belongs to the parent, without closing it."""
        _ORPHANS.append((self._open_file, self._thread))
        self._pid, self._loop, self._thread, self._open_file = os.getpid(), None, None, _OpenFile()
        self._shared = _Shared(self.path)


class _OpenFile(threading.local):
    """The file as one thread has it open: a thread that is ending closes its own, while the next one has another."""

    file: PoolFile | None = None


class _Shared:
    """What twins share: whose sessions are open, their locks, and who else was seen."""

    def __init__(self, path: Path) -> None:
        self.pulse = Pulse(path)
        self.of: dict[str, str] = {}
        self.others: set[str] = set()


_ORPHANS: Final[list[object]] = []
"""What a child of a fork must neither use nor close."""


def _expire(rows: Rows, session: str) -> None:
    row = rows.session(session)
    if row is not None:
        rows.put_session(replace(row, expires=0))


def _bell(pulse: Pulse, session: str) -> Doorbell | None:
    """Returns a bell, or None where none can be hung: then there is only the poll."""
    with contextlib.suppress(OSError):
        return Doorbell(pulse, session)
    return None
