"""One worker process, seen from its parent.

A worker whose call was cancelled, or who answers nonsense, is killed: nothing can be known of what it is in the middle
of. Killing is waited for, so that a slot is never free while the process that had it still runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

from anyio import CancelScope, to_thread

from asyncflow._workers import frame
from asyncflow._workers.call import PREPARING
from asyncflow._workers.parcel import packed, unpacked, unpacked_error
from asyncflow.errors import TransferError, WorkerDiedError, WorkerStartError

Told: TypeAlias = "Callable[[str, tuple[Any, ...], dict[str, Any]], None]"
"""What is called with what a function told while it ran."""

BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[-2]); from asyncflow._workers.child import main; main()"
)
LINGER: Final = 2.0
"""Seconds that a worker with nothing to do has to end by itself."""


class Worker:
    """A worker process. Made by `start`; calls one function at a time.

    Args:
        process: The process.
        pipe: The way to it.
        outside: Entered while the loop waits for it; for clocks that must not run on meanwhile.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], pipe: socket.socket, outside: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._outside = outside
        self._loop = asyncio.get_running_loop()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @classmethod
    async def start(cls, outside: Callable[[], AbstractContextManager[None]]) -> Worker:
        """Starts a worker, and waits until it has imported what this process's main module has.

        Cancelled, it leaves no process behind.

        Raises:
            WorkerStartError: where it could not be started, with what it said.
        """
        if PREPARING.is_set():
            raise WorkerStartError(
                "a worker process imports the main module, and that starts ops of its own: put what it does when it is"
                " run under `if __name__ == '__main__':`"
            )
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                process = _spawned(theirs.fileno())
            except BaseException as error:
                ours.close()
                if isinstance(error, OSError):
                    raise WorkerStartError(f"no worker process could be started: {error}") from error
                raise
        worker = cls(process, ours, outside)
        try:
            with outside():
                await worker._send(frame.PREPARE, packed(preparation()))
                kind, content = await worker._receive()
        except BaseException as error:
            await worker.kill()
            if isinstance(error, (EOFError, OSError)):
                raise WorkerStartError(f"a worker process ended while it was starting: {worker.end}") from error
            raise
        if kind != frame.READY:
            await worker.kill()
            raise WorkerStartError(
                "a worker process could not import what the main module of this process has; what it does when it is"
                f" run must stand under `if __name__ == '__main__':`\n{content.decode(errors='replace')}"
            )
        return worker

    async def call(self, parcel: bytes, *, who: str, told: Told) -> Any:  # noqa: ANN401 — the user's value
        """Calls a function and returns what it gave. Cancelled, it kills the worker.

        Args:
            parcel: The call, as `packed_call` makes it.
            who: The op, for messages.
            told: Called with what the function tells while it runs.

        Raises:
            WorkerDiedError: where the process ended.
            TransferError: where what the function gave could not be sent, or the call not be unpacked there.
            Exception: what the function raised.
        """
        try:
            with self._outside():
                await self._send(frame.CALL, parcel)
                while True:
                    kind, content = await self._receive()
                    if kind != frame.TOLD:
                        break
                    _, method, args, kwargs = unpacked(content)
                    told(method, args, kwargs)
        except BaseException as error:
            await self.kill()
            if isinstance(error, (EOFError, OSError)):
                raise WorkerDiedError(
                    f"the worker process of {who} ended before the function did: {self.end}; nothing else was touched,"
                    " and the next op gets a new one",
                    exit_code=self._process.returncode,
                ) from None
            raise
        return self._answer(kind, content, who)

    def _answer(self, kind: bytes, content: bytes, who: str) -> Any:  # noqa: ANN401 — the user's value
        if kind == frame.RAISED:
            raise unpacked_error(content, self.pid)
        if kind == frame.GAVE:
            try:
                return unpacked(content)
            except Exception as error:
                raise TransferError(
                    f"what {who} returned in its worker process cannot be unpacked here: {type(error).__name__}:"
                    f" {error}; return something made of plain values"
                ) from error
        if kind == frame.UNSENDABLE:
            name, reason = unpacked(content)
            raise TransferError(
                f"what {who} returned in its worker process, of type {name}, cannot be sent back: {reason}; return"
                " something made of plain values, or write it to a file and return its path"
            )
        raise TransferError(f"the worker process could not take the call of {who}:\n{content.decode(errors='replace')}")

    @property
    def alive(self) -> bool:
        """True until it was killed or ended."""
        return self._process.poll() is None

    @property
    def end(self) -> str:
        """How it ended, for people."""
        code = self._process.returncode
        if code is None:
            return "it runs"
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
            return f"it was killed by {name}{hint}"
        return f"it ended with exit code {code}"

    @property
    def usable(self) -> bool:
        """True while it can take another call."""
        return self._pipe.fileno() >= 0

    def dismiss(self) -> None:
        """Tells it to end; `close` waits for that."""
        self._pipe.close()

    def drop(self) -> None:
        """It ended by itself: what is left of it goes."""
        self._pipe.close()
        self._process.wait()

    async def kill(self) -> None:
        """Kills it and waits until it is gone; cancellation waits too."""
        self._pipe.close()
        if self._process.poll() is None:
            self._process.kill()
        with CancelScope(shield=True):
            await to_thread.run_sync(self._process.wait)

    async def close(self) -> None:
        """Lets it end by itself, for as long as `LINGER`; then kills it."""
        self._pipe.close()
        with CancelScope(shield=True):
            await to_thread.run_sync(self._ended)

    def _ended(self) -> None:
        try:
            self._process.wait(LINGER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # ── the pipe ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, kind: bytes, content: bytes) -> None:
        await self._loop.sock_sendall(self._pipe, frame.framed(kind, content))

    async def _receive(self) -> tuple[bytes, bytes]:
        kind, length = frame.HEADER.unpack(await self._exactly(frame.HEADER.size))
        return kind, await self._exactly(length)

    async def _exactly(self, count: int) -> bytes:
        content = bytearray(count)
        view = memoryview(content)
        while view:
            got = await self._loop.sock_recv_into(self._pipe, view)
            if not got:
                raise EOFError("the worker process is gone")
            view = view[got:]
        return bytes(content)

    def __repr__(self) -> str:
        return f"<worker process {self.pid}: {self.end}>"


def _spawned(pipe: int) -> subprocess.Popen[bytes]:
    # The same -X, -W, -O … as this interpreter; multiprocessing finds them out in the same way.
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    return subprocess.Popen(  # noqa: S603 — this very Python
        [sys.executable, *flags, "-c", BOOT, json.dumps(sys.path), str(pipe)],
        stdin=subprocess.DEVNULL,
        pass_fds=(pipe,),
        start_new_session=True,
        env=os.environ,
    )


def preparation() -> dict[str, Any]:
    """Returns what a worker needs to become like this process: the form that `multiprocessing.spawn.prepare` takes.

    Made here, since multiprocessing would settle this process's start method on the way.
    """
    data: dict[str, Any] = {
        "name": "asyncflow worker",
        "sys_path": sys.path,
        "sys_argv": sys.argv,
        "dir": str(Path.cwd()),
    }
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None)
    path = getattr(main, "__file__", None)
    if name is not None:
        data["init_main_from_name"] = name
    elif path is not None:
        data["init_main_from_path"] = str(Path(path).absolute())
    return data
