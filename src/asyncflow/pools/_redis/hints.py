"""The connection that hears of grants: a subscription, a slow poll as a net, a new connection when it breaks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final

from asyncflow.errors import AsyncflowError, PoolBackendUnavailable
from asyncflow.pools._redis.failures import failure
from asyncflow.pools._redis.link import Link
from asyncflow.pools.watching import varied

SHORTEST_BACKOFF: Final = 0.05

LONGEST_BACKOFF: Final = 2.0


async def polled(interval: float) -> AsyncGenerator[None, None]:
    """Gives a hint at once and then in a slow rhythm."""
    while True:
        yield
        await asyncio.sleep(varied(interval))


async def heard(link: Link, channel: Callable[[], str], interval: float) -> AsyncGenerator[None, None]:
    """Gives a hint whenever it has subscribed, at each message, and in a slow rhythm, also while it cannot subscribe.

    Args:
        link: A connection that nobody else uses.
        channel: Tells where hints are published.
        interval: Seconds of the rhythm; in it the connection is also tried, and made anew where no answer comes.

    Raises:
        BadRequest: The server refuses us for good.
    """
    attempts, due = 0, 0.0
    try:
        while True:
            try:
                await _subscribe(link, channel())
                attempts = 0
                silent = False
                while not silent:
                    yield
                    due = time.monotonic() + interval
                    silent = await _silent(link, interval)
            except PoolBackendUnavailable:
                pass
            await link.drop()
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                yield
            longest = min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2 ** min(attempts, 10))
            attempts += 1
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 — spreads load, guards nothing
    finally:
        await link.drop()


async def _subscribe(link: Link, channel: str) -> None:
    try:
        connection = await link.connected()
        async with asyncio.timeout(link.command_timeout):
            await connection.send_command("SUBSCRIBE", channel)
            await connection.read_response()
    except Exception as error:
        await link.drop()
        if isinstance(error, AsyncflowError):
            raise
        raise failure(link.place, error) from None


async def _silent(link: Link, interval: float) -> bool:
    """Waits for news or the time of a poll; returns whether the server did not even answer a ping."""
    try:
        connection = await link.connected()
        message = await connection.read_response(timeout=varied(interval))
        if message is None:
            await connection.send_command("PING")
            while True:
                message = await connection.read_response(timeout=link.command_timeout)
                if message is None or not _is_hint(message):
                    return message is None
    except Exception as error:  # noqa: BLE001 — drivers raise what they like; it is named here
        raise failure(link.place, error) from None
    return False


def _is_hint(message: object) -> bool:
    return isinstance(message, list) and message[:1] == [b"message"]
