"""Calls that are cut: by cancellation, by a lost answer, by a reset. Each happened or not, and the next is right."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from asyncflow.errors import PoolBackendUnavailable
from asyncflow.pools import Batch, Claim, Need, PoolSpec, Quota, RedisPools, Release, SessionSpec
from tests.pools.redis.server import Server


class Cut:
    """A way to the server that lets so many bytes of answers through, then resets or goes silent."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.left: int | None = None
        self.silent = False
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries both ways until one ends."""
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            async with asyncio.TaskGroup() as both:
                tasks = [both.create_task(self.asks(reader, back)), both.create_task(self.answers(there, writer))]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        finally:
            for one in (writer, back):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries what is asked."""
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries answers as far as it may."""
        with suppress(OSError):
            while data := await reader.read(2**16):
                if self.left is None:
                    writer.write(data)
                    continue
                writer.write(data[: self.left])
                self.left = max(0, self.left - len(data))
                if self.left == 0 and not self.silent:
                    await writer.drain()
                    return


@asynccontextmanager
async def cut(server: Server, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Cut, None]:
    """A way that can be cut; with TLS as far as here where it is given."""
    way = Cut(server.port)
    async with await asyncio.start_server(way.serve, "127.0.0.1", 0, ssl=tls) as listener:
        way.port = listener.sockets[0].getsockname()[1]
        yield way


def batch(number: int) -> Batch:
    """A claim, and what was claimed before it given back."""
    before = (Release(f"t{number - 1}"),) if number else ()
    return Batch(releases=before, claims=(Claim(f"t{number}", (Need("a"), Need("b", 2))),))


async def checked(pools: RedisPools, me: str, namespace: str, number: int) -> None:
    """Says a batch again (it may have happened), and compares what is there."""
    reply = await pools.exchange(me, batch(number))
    assert reply.alive
    assert [grant.ticket for grant in reply.grants] == [f"t{number}"]
    page = await pools.snapshot(namespace)
    assert [(view.pool, view.used) for view in page.pools] == [("a", 1), ("b", 2)]
    assert [view.ticket for view in page.tickets] == [f"t{number}"]


async def test_a_call_cancelled_anywhere_happened_or_not(server: Server, namespace: str, seed: int) -> None:
    """Given calls cancelled after a random number of turns of the loop, repeated they are done once."""
    random, pools, me = Random(seed), RedisPools(server.url), f"s{namespace}"
    await pools.open(SessionSpec(me, namespace, ttl=600.0), [PoolSpec("a", Quota(1)), PoolSpec("b", Quota(2))])
    cancelled = 0
    for number in range(300):
        if random.random() < 0.1:
            await pools.disconnect()
        call = asyncio.ensure_future(pools.exchange(me, batch(number)))
        for _ in range(random.randrange(12)):
            await asyncio.sleep(0)
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            cancelled += 1
        await checked(pools, me, namespace, number)
    assert cancelled > 20
    await pools.close(me)
    await pools.disconnect()


async def test_an_answer_lost_at_any_byte_is_asked_for_again(server: Server, namespace: str) -> None:
    """Given a reset after each number of bytes of the answer, the call is unavailable, and repeated has one effect."""
    async with cut(server) as way:
        pools, me = RedisPools(f"redis://127.0.0.1:{way.port}"), f"s{namespace}"
        await pools.open(SessionSpec(me, namespace, ttl=600.0), [PoolSpec("a", Quota(1)), PoolSpec("b", Quota(2))])
        whole = False
        number = 0
        while not whole:
            way.left = number * 7
            try:
                await pools.exchange(me, batch(number))
                whole = True
            except PoolBackendUnavailable:
                assert repr(pools).endswith(f"{way.port}>")
            way.left = None
            await checked(pools, me, namespace, number)
            number += 1
        assert number > 10
        await pools.close(me)
        await pools.disconnect()


async def test_a_silent_server_is_given_up_and_its_late_answer_never_read(server: Server, namespace: str) -> None:
    """Given answers that stop in the middle, the call ends in time; the next uses another connection."""
    async with cut(server) as way:
        pools = RedisPools(f"redis://127.0.0.1:{way.port}", command_timeout=0.2)
        me = f"s{namespace}"
        await pools.open(SessionSpec(me, namespace, ttl=600.0), [PoolSpec("a", Quota(1)), PoolSpec("b", Quota(2))])
        before = way.connections
        way.left, way.silent = 10, True
        with pytest.raises(PoolBackendUnavailable, match="in time"):
            await pools.exchange(me, batch(0))
        way.left = None
        await checked(pools, me, namespace, 0)
        assert way.connections == before + 1
        await pools.close(me)
        await pools.disconnect()


async def test_calls_at_once_wait_for_each_other(server: Server, namespace: str) -> None:
    """Given 50 calls at once, some cancelled, each of the others gets its own answer, on one connection."""
    async with cut(server) as way:
        pools = RedisPools(f"redis://127.0.0.1:{way.port}")
        names = [f"{namespace}{n}" for n in range(50)]
        for name in names:
            await pools.open(SessionSpec(name, name, ttl=600.0))
        calls = [
            asyncio.ensure_future(pools.exchange(name, Batch(claims=(Claim(name, (Need("a"),)),)))) for name in names
        ]
        await asyncio.sleep(0)
        for call in calls[5::5]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for place, (name, answer) in enumerate(zip(names, answers, strict=True)):
            if place >= 5 and place % 5 == 0:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                assert not isinstance(answer, BaseException)
                assert [grant.ticket for grant in answer.grants] == [name]
        assert way.connections == 1
        await pools.disconnect()
