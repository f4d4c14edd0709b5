"""Hints: they come when something is granted or taken away, and nothing depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
import redis.asyncio

from asyncflow.errors import PoolBackendUnavailable
from asyncflow.pools import Batch, Claim, Need, PoolSpec, Quota, RedisPools, Release, SessionSpec
from asyncflow.pools._redis.script import channel
from tests.pools.redis.server import Launch, Server
from tests.pools.redis.test_cancellation import cut

SOON = 20.0
"""Seconds after which a hint that should come at once is missing."""

NEVER = 600.0
"""A rhythm of polls that no test waits for."""


def claim(ticket: str) -> Claim:
    """A claim on one unit."""
    return Claim(ticket, (Need("a"),))


async def hint(hints: AsyncGenerator[None, None]) -> None:
    """Waits for a hint."""
    async with asyncio.timeout(SOON):
        await anext(hints)


async def two_sessions(pools: RedisPools, namespace: str) -> tuple[str, str]:
    """Opens a holder and a waiter of one slot."""
    holder, waiter = f"holder {namespace}", f"waiter {namespace}"
    await pools.open(SessionSpec(holder, namespace, ttl=600.0), [PoolSpec("a", Quota(1))])
    await pools.open(SessionSpec(waiter, namespace, ttl=600.0))
    await pools.exchange(holder, Batch(claims=(claim("h"),)))
    await pools.exchange(waiter, Batch(claims=(claim("w"),)))
    return holder, waiter


@pytest.mark.parametrize("cause", ["release", "close", "revoke"])
async def test_who_gets_or_loses_something_is_told(server: Server, namespace: str, cause: str) -> None:
    """A release, a close and a revocation of one session give exactly the other a hint, without any poll."""
    pools = RedisPools(server.url, poll_interval=NEVER)
    holder, waiter = await two_sessions(pools, namespace)
    hints = pools.watch(waiter)
    await hint(hints)
    if cause == "close":
        await pools.close(holder)
    else:
        name = "w" if cause == "revoke" else "h"
        batch = Batch(revoke=(name,)) if cause == "revoke" else Batch(releases=(Release(name),))
        await pools.exchange(holder, batch)
    await hint(hints)
    reply = await pools.exchange(waiter, Batch())
    assert (reply.gone == ("w",)) if cause == "revoke" else [grant.ticket for grant in reply.grants] == ["w"]
    await hints.aclose()
    await pools.disconnect()


async def test_each_grant_wakes_one_session(server: Server, namespace: str) -> None:
    """Given 50 sessions that wait for one slot, a release publishes one message."""
    pools = RedisPools(server.url)
    raw = redis.asyncio.Redis(port=server.port)
    holder, _ = await two_sessions(pools, namespace)
    for number in range(50):
        name = f"{number} {namespace}"
        await pools.open(SessionSpec(name, namespace, ttl=600.0))
        await pools.exchange(name, Batch(claims=(claim(name),)))

    async def published() -> int:
        return int((await raw.info("commandstats")).get("cmdstat_publish", {"calls": 0})["calls"])

    before = await published()
    await pools.exchange(holder, Batch(releases=(Release("h"),)))
    assert await published() == before + 1
    await raw.aclose()
    await pools.disconnect()


async def test_forged_hints_are_hints(server: Server, namespace: str) -> None:
    """Garbage and huge messages of anybody cause a look, and change nothing."""
    pools = RedisPools(server.url, poll_interval=NEVER)
    raw = redis.asyncio.Redis(port=server.port)
    _, waiter = await two_sessions(pools, namespace)
    hints = pools.watch(waiter)
    await hint(hints)
    for forged in (b"", b"\xff\x00garbage\r\n", b"x" * 3_000_000, b'{"grants": ["w"]}'):
        await raw.publish(channel(namespace, waiter), forged)
        await hint(hints)
        assert (await pools.exchange(waiter, Batch())).grants == ()
    await hints.aclose()
    await raw.aclose()
    await pools.disconnect()


async def test_a_broken_subscription_is_made_again(server: Server, namespace: str) -> None:
    """Given its connection killed, a watcher subscribes anew, says so with a hint, and hears of what comes then."""
    pools = RedisPools(server.url, poll_interval=NEVER)
    raw = redis.asyncio.Redis(port=server.port)
    holder, waiter = await two_sessions(pools, namespace)
    hints = pools.watch(waiter)
    await hint(hints)
    await raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await hint(hints)
    await pools.exchange(holder, Batch(releases=(Release("h"),)))
    await hint(hints)
    await hints.aclose()
    await raw.aclose()
    await pools.disconnect()


async def test_a_dead_subscription_is_noticed_in_the_rhythm_of_polls(server: Server, namespace: str) -> None:
    """Given a connection that has gone silent, hints come by the poll; unanswered pings lead to a new subscription."""
    async with cut(server) as way:
        pools = RedisPools(
            f"redis://127.0.0.1:{way.port}", poll_interval=0.05, connect_timeout=0.2, command_timeout=0.2
        )
        _, waiter = await two_sessions(pools, namespace)
        hints = pools.watch(waiter)
        await hint(hints)
        before = way.connections
        way.left, way.silent = 0, True
        for _ in range(5):
            await hint(hints)
        assert way.connections > before
        way.left = None
        await hint(hints)
        await hints.aclose()
        await pools.disconnect()


async def test_polls_alone(namespace: str) -> None:
    """poll_only: hints come in the rhythm with no connection at all."""
    hints = RedisPools("redis://127.0.0.1:1", poll_only=True, poll_interval=0.01).watch(namespace)
    for _ in range(3):
        await hint(hints)
    await hints.aclose()


async def test_a_watcher_outlives_a_restart(launch: Launch) -> None:
    """Given a server killed and started again, hints go on in between by the poll, and by push afterwards."""
    server = await launch("--appendonly", "yes")
    pools = RedisPools(server.url, poll_interval=0.1)
    holder, waiter = await two_sessions(pools, "n")
    hints = pools.watch(waiter)
    await hint(hints)
    server.kill()
    for _ in range(3):
        await hint(hints)
    await server.started()
    with pytest.raises(PoolBackendUnavailable):  # its connection died with the server; the next call makes another
        await pools.exchange(holder, Batch())
    await pools.exchange(holder, Batch(releases=(Release("h"),)))
    await hint(hints)
    assert (await pools.exchange(waiter, Batch())).grants
    await hints.aclose()
    await pools.disconnect()


async def test_a_watch_cancelled_anywhere_leaves_nothing(server: Server, namespace: str) -> None:
    """Given a watcher cancelled after n turns of the loop, no connection of it stays."""
    pools = RedisPools(server.url, poll_interval=NEVER)
    raw = redis.asyncio.Redis(port=server.port)

    async def listen() -> None:
        hints = pools.watch(namespace)
        try:
            async for _ in hints:
                pass
        finally:
            await hints.aclose()

    for turns in range(40):
        task = asyncio.ensure_future(listen())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    while await raw.execute_command("CLIENT", "LIST", "TYPE", "pubsub"):  # noqa: ASYNC110 — a server has no event
        await asyncio.sleep(0.01)
    await raw.aclose()
