"""The main function of a worker process: it calls one function after the other, until its parent is gone."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import traceback
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from multiprocessing import spawn
from typing import Any, Final

from asyncflow._observers import bind_context
from asyncflow._workers import frame
from asyncflow._workers.address import find
from asyncflow._workers.call import HERE, PREPARING, RemoteCall
from asyncflow._workers.parcel import packed, packed_error, unpacked

ORPHANED: Final = 113
"""The exit code of a worker whose parent is gone."""


def main() -> None:
    """Serves the parent at the other end of the pipe whose number is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[-1])) as pipe:
        threading.Thread(target=_end_with_parent, args=(pipe,), name="asyncflow parent watch", daemon=True).start()
        child = Child(pipe)
        if child.prepare():
            child.serve()


def _end_with_parent(pipe: socket.socket) -> None:
    """Ends this process when the other end of the pipe is closed, whatever it is doing."""
    poll = select.poll()
    poll.register(pipe.fileno(), 0)  # an end that is gone is always told
    try:
        poll.poll()
    finally:
        os._exit(ORPHANED)


class Child:
    """This process as a worker.

    Args:
        pipe: The way to the parent.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()

    def prepare(self) -> bool:
        """Becomes like the parent; returns whether that went well."""
        kind, content = self._receive()
        PREPARING.set()
        try:
            if kind == frame.PREPARE:
                spawn.prepare(unpacked(content))
        except BaseException:  # noqa: BLE001 — the user's module may raise anything; it is told to the parent
            self._send(frame.UNFIT, traceback.format_exc().encode())
            return False
        finally:
            PREPARING.clear()
        self._send(frame.READY, b"")
        return True

    def serve(self) -> None:
        """Calls what the parent asks for, one after the other."""
        while True:
            kind, content = self._receive()
            if kind != frame.CALL:
                return
            copy_context().run(self._answer, content)

    def _answer(self, content: bytes) -> None:
        try:
            address, call, args, kwargs, variables, bound = unpacked(content)
            del content
            function = find(address)
            self._enter(call, variables, bound)
        except Exception:  # noqa: BLE001 — told to the parent
            self._send(frame.LOST, traceback.format_exc().encode())
            return
        try:
            value = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 — it is the op's; sys.exit ends the process
            trace = error.__traceback__
            error.__traceback__ = None if trace is None else trace.tb_next
            self._send(frame.RAISED, packed_error(error))
            return
        try:
            content = packed(value)
        except Exception as error:  # noqa: BLE001 — pickling runs the user's code
            told = (type(value).__qualname__, f"{type(error).__name__}: {error}")
            self._send(frame.UNSENDABLE, packed(told))
            return
        self._send(frame.GAVE, content)

    def _enter(self, call: RemoteCall, variables: dict[str, Any], bound: dict[str, Any]) -> None:
        HERE.set(replace(call, tell=partial(self._tell, call)))
        for address, value in variables.items():
            find(address).set(value)  # type: ignore[attr-defined]  # a context variable stands there, as in the parent
        if bound:
            bind_context(bound)

    def _tell(self, call: RemoteCall, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._send(frame.TOLD, packed((call.attempt, method, args, kwargs)))

    def _send(self, kind: bytes, content: bytes) -> None:
        with self._sending:
            self._pipe.sendall(frame.framed(kind, content))

    def _receive(self) -> tuple[bytes, bytes]:
        kind, length = frame.HEADER.unpack(self._exactly(frame.HEADER.size))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        content = bytearray(count)
        view = memoryview(content)
        while view:
            got = self._pipe.recv_into(view)
            if not got:
                os._exit(ORPHANED)
            view = view[got:]
        return bytes(content)
