"""Who still lives on this machine: a lock that the system gives back the moment a process is gone.

Each session holds an exclusive lock on a file of its own beside the database. A process that is killed loses it at
once, whatever it was doing; whoever finds such a file unlocked knows that the session is dead and need not wait for its
expiry. Hints travel as empty datagrams to an address made of the session's id; losing one does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import weakref
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

LOCKS: Final = sys.platform != "win32"
"""Whether the system has such locks."""


class Pulse:
    """The lock files beside a database.

    Args:
        database: The file beside which they are.
    """

    def __init__(self, database: Path) -> None:
        self.folder = database.with_name(database.name + "-sessions")
        self._held: dict[str, int] = {}
        _PULSES.add(self)

    def begin(self, session: str) -> None:
        """Takes the lock of an own session.

        Raises:
            OSError: The file cannot be made.
        """
        if not LOCKS or session in self._held:
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self._file(session), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        self._held[session] = handle

    def end(self, session: str) -> None:
        """Gives the lock of an own session back, and removes its file."""
        handle = self._held.pop(session, None)
        if handle is not None:
            with contextlib.suppress(OSError):
                self._file(session).unlink()
            os.close(handle)

    def dead(self, session: str) -> bool:
        """Tells whether a session's process is gone for sure; False also where that cannot be known."""
        if not LOCKS or session in self._held:
            return False
        try:
            handle = os.open(self._file(session), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    def bury(self, session: str) -> None:
        """Removes the file of a session that is known to be dead."""
        with contextlib.suppress(OSError):
            self._file(session).unlink()

    def forget(self) -> None:
        """In the child of a fork: lets go of the parent's locks without giving them back."""
        for handle in self._held.values():
            with contextlib.suppress(OSError):
                os.close(handle)
        self._held.clear()

    def _file(self, session: str) -> Path:
        return self.folder / hashlib.sha256(session.encode()).hexdigest()[:32]


_PULSES: Final[weakref.WeakSet[Pulse]] = weakref.WeakSet()


def _forget_all() -> None:
    for pulse in list(_PULSES):
        pulse.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Doorbell:
    """A datagram socket at which a session is rung."""

    def __init__(self, pulse: Pulse, session: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self.socket.setblocking(False)
        self._address = address(pulse, session)
        try:
            self.socket.bind(self._address)
        except OSError:
            self.socket.close()
            raise

    def drain(self) -> None:
        """Takes all rings that came."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(1)

    def close(self) -> None:
        """Takes the bell down."""
        self.socket.close()
        if self._address[0] != "\0":
            with contextlib.suppress(OSError):
                Path(self._address).unlink()


def ring(pulse: Pulse, session: str) -> None:
    """Rings at a session's door; nobody need be there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell, contextlib.suppress(OSError):
        bell.setblocking(False)
        bell.sendto(b"", address(pulse, session))


def address(pulse: Pulse, session: str) -> str:
    """Returns where a session's bell hangs: a name without a file on Linux, a socket file elsewhere."""
    name = hashlib.sha256(f"{pulse.folder.resolve()}\n{session}".encode()).hexdigest()[:32]
    return f"\0asyncflow-pools-{name}" if sys.platform == "linux" else str(pulse.folder / f"{name[:16]}.bell")
