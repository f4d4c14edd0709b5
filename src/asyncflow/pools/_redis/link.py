"""One connection to Redis. On any doubt it is dropped: a half-read answer must never be read as another one's."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from asyncflow.errors import AsyncflowError
from asyncflow.pools._redis.failures import code_of, failure
from asyncflow.pools._redis.place import Connection, Place
from asyncflow.pools._redis.script import digest, source

HOPS: Final = 3
"""How often a call follows a cluster to another node."""

SOUND: Final = frozenset({"NOSCRIPT", "OOM", "BUSY"})
"""Answers after which the connection is as good as before."""

_MOVED: Final = re.compile(r"(?:MOVED )?\d+ (.*):(\d+)")


class Link:
    """A connection for commands, one after another, made when it is needed.

    Args:
        place: Where the server is.
        connect_timeout: Seconds for connecting, identification included.
        command_timeout: Seconds for a command and its answer.
    """

    def __init__(self, place: Place, connect_timeout: float, command_timeout: float) -> None:
        self.place = place
        self.connect_timeout = connect_timeout
        self.command_timeout = command_timeout
        self.connection: Connection | None = None
        self._moved: tuple[str, int] | None = None

    async def run(self, keys: tuple[str, ...], args: tuple[str | bytes, ...]) -> bytes:
        """Runs the script; follows a cluster to the node that has the keys.

        Raises:
            PoolBackendError: what became of it.
            ConfigurationError: The driver is missing.
        """
        hops = 0
        while True:
            try:
                return await self._script(keys, args)
            except Exception as error:
                if isinstance(error, AsyncflowError):
                    raise
                code = code_of(error)
                moved = _moved_to(error) if code == "MOVED" and hops < HOPS else None
                if code not in SOUND:
                    await self.drop()
                    self._moved = moved
                if moved is None:
                    raise failure(self.place, error) from None
                hops += 1

    async def _script(self, keys: tuple[str, ...], args: tuple[str | bytes, ...]) -> bytes:
        try:
            return await self._ask("EVALSHA", digest(), str(len(keys)), *keys, *args)
        except Exception as error:
            if code_of(error) != "NOSCRIPT":
                raise
        return await self._ask("EVAL", source(), str(len(keys)), *keys, *args)

    async def _ask(self, *command: str | bytes) -> bytes:
        connection = await self.connected()
        try:
            async with asyncio.timeout(self.command_timeout):
                await connection.send_command(*command)
                answer = await connection.read_response()
        except BaseException as error:
            if not _answered(error):
                await self.drop()
            raise
        if not isinstance(answer, bytes):
            raise TypeError(f"the server answered with {type(answer).__name__}")
        return answer

    async def connected(self) -> Connection:
        """Returns the connection, made if there is none.

        Raises:
            ConfigurationError: The driver is missing.
        """
        if self.connection is None:
            connection = self.place.connection(self.connect_timeout, self._moved)
            try:
                async with asyncio.timeout(self.connect_timeout):
                    await connection.connect()
            except BaseException:
                self._moved = None
                await connection.disconnect(nowait=True)
                raise
            self.connection = connection
        return self.connection

    async def drop(self, *, wait: bool = False) -> None:
        """Closes the connection. Without `wait` it is closed before anything else can happen."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.disconnect(nowait=not wait)


def _answered(error: BaseException) -> bool:
    """Tells whether it is the server's answer, read in full."""
    return any(kind.__name__ == "ResponseError" for kind in type(error).__mro__)


def _moved_to(error: BaseException) -> tuple[str, int] | None:
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    if isinstance(host, str) and isinstance(port, int):
        return host, port
    found = _MOVED.search(str(error))
    return None if found is None else (found.group(1), int(found.group(2)))
