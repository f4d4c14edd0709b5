"""Loops, threads, forks, processes, names: who may use what, and what is text only."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import redis.asyncio

from asyncflow.errors import BadRequest
from asyncflow.pools import Batch, Claim, Define, Need, PoolBackend, PoolSpec, Quota, RedisPools, Release, SessionSpec
from asyncflow.pools._redis.script import PARTS, digest, prefix, source
from tests.architecture.source import ROOT
from tests.pools.redis.server import Server

NAMES = [
    'it\'s "quoted" `text`',
    "'; DROP TABLE pools; --",
    "line\nbreak\r\n*3\r\n",
    "emoji 🦆 and \u202e right",
    "{tag}*:?[a-z]",
    "a\x01b\x7f",
    "]]..redis.call('FLUSHALL')..[[",
    "\\0\\n %s %d ${x}",
    "ÄÖ ss ß",
    "x" * 1024,
    " ",
]


def test_another_loop_is_refused_and_a_twin_works(server: Server, namespace: str) -> None:
    """An object belongs to the loop that used it first; another thread is told of twin(), which knows the session."""
    me = f"s{namespace}"
    pools = RedisPools(server.url)

    def elsewhere(backend: PoolBackend) -> bool:
        async def main() -> bool:
            try:
                return (await backend.exchange(me, Batch())).alive
            finally:
                await backend.disconnect()

        return asyncio.run(main())

    async def main() -> None:
        await pools.open(SessionSpec(me, namespace, ttl=600.0))
        with pytest.raises(BadRequest, match="twin"):
            await asyncio.to_thread(elsewhere, pools)
        assert await asyncio.to_thread(elsewhere, pools.twin())
        assert (await pools.exchange(me, Batch())).alive
        await pools.disconnect()

    asyncio.run(main())


def test_a_loop_after_another(server: Server, namespace: str) -> None:
    """Once its loop has ended an object serves the next one, with a connection of its own."""
    me = f"s{namespace}"
    pools = RedisPools(server.url)

    async def first() -> None:
        await pools.open(SessionSpec(me, namespace, ttl=600.0))
        await pools.disconnect()

    async def second() -> bool:
        try:
            return (await pools.exchange(me, Batch())).alive
        finally:
            await pools.disconnect()

    asyncio.run(first())
    assert asyncio.run(second())


FORK = """
import asyncio, os, sys
from asyncflow.pools import Batch, Claim, Need, PoolSpec, Quota, RedisPools, SessionSpec
pools = RedisPools(sys.argv[1])
one = Batch(claims=(Claim("t", (Need("a"),)),))
async def parent():
    await pools.open(SessionSpec("parent", "fork", ttl=600.0), [PoolSpec("a", Quota(2))])
    await pools.exchange("parent", one)
    pid = os.fork()
    if pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        reply = await pools.exchange("parent", Batch())
        assert [grant.ticket for grant in reply.grants] == ["t"], reply
        print("parent goes on")
        await pools.disconnect()
    return pid
async def child():
    assert not (await pools.exchange("parent", Batch())).alive
    assert (await pools.open(SessionSpec("child", "fork", ttl=600.0))).fresh
    reply = await pools.exchange("child", Batch(claims=(Claim("c", (Need("a"),)),)))
    assert [grant.ticket for grant in reply.grants] == ["c"], reply
    await pools.disconnect()
    print("child has its own", flush=True)
    os._exit(0)
loop = asyncio.new_event_loop()
if loop.run_until_complete(parent()) == 0:
    asyncio.events._set_running_loop(None)
    asyncio.run(child())
loop.close()
"""


def test_a_child_of_a_fork_has_its_own_session(server: Server) -> None:
    """After a fork the child does not know the parent's session, connects anew, and the parent goes on."""
    command = [sys.executable, "-W", "ignore", "-c", FORK, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})
    assert (done.stdout, done.returncode) == ("child has its own\nparent goes on\n", 0), done.stderr


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_text(server: Server, pools: RedisPools, namespace: str, name: str) -> None:
    """Any name as namespace, session, pool, key, ticket, run, op and label comes back as it went; nothing is run."""
    raw = redis.asyncio.Redis(port=server.port)
    before = await raw.dbsize()
    place = name[:500] + namespace[-100:]
    spec = SessionSpec(place, place, ttl=600.0, host=name, label=name)
    await pools.open(spec, [PoolSpec(name, Quota(1, 1))])
    claims = (Claim(name, (Need(name, 1, name),), run=name, op=name), Claim(name[:1023] + "2", (Need(name),)))
    reply = await pools.exchange(place, Batch(claims=claims, define=(Define(name, Quota(1)),)))
    assert [grant.ticket for grant in reply.grants] == [name]
    page = await pools.snapshot(place)
    assert [(view.pool, view.used, view.waiting) for view in page.pools] == [(name, 1, 1)]
    (held, waits) = page.tickets
    assert (held.ticket, held.session, held.host, held.label, held.run, held.op) == (
        name,
        place,
        name,
        name,
        name,
        name,
    )
    assert (held.needs, waits.state) == ((Need(name, 1, name),), "waiting")
    assert (await pools.exchange(place, Batch(releases=(Release(name),)))).gone == ()
    await pools.close(place)
    assert await raw.dbsize() <= before + 7
    assert (await pools.snapshot(place)).tickets == ()
    await raw.aclose()


def test_keys_of_a_namespace_share_a_tag_of_ours() -> None:
    """Whatever a namespace is called, its tag is the first brace pair of the key, and no other namespace has it."""
    tags = [prefix(name) for name in (*NAMES, "a", "a:", "{a}", "%7Ba%7D", None)]
    assert len(set(tags)) == len(tags)
    for tag in tags:
        assert tag.startswith("asyncflow:{")
        assert tag.count("{") == tag.count("}") == 1
        assert tag.index("}") > tag.index("{") + 1


async def test_namespaces_do_not_meet(pools: RedisPools, namespace: str) -> None:
    """The same pool name in two namespaces is two pools."""
    for name in ("one", "two"):
        me = f"{name} {namespace}"
        await pools.open(SessionSpec(me, me, ttl=600.0), [PoolSpec("a", Quota(1))])
        assert (await pools.exchange(me, Batch(claims=(Claim("t", (Need("a"),)),)))).grants
    assert [view.session for view in (await pools.snapshot(f"one {namespace}")).tickets] == [f"one {namespace}"]


def test_the_script_is_constant_and_touches_declared_keys_only() -> None:
    """What the server runs is the shipped files; every key that a command gets is one of KEYS."""
    folder = ROOT / "src/asyncflow/pools/_redis"
    text = "\n".join((folder / part).read_text(encoding="utf-8") for part in PARTS)
    assert source() == text
    assert digest() == hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    declared = {"META", "POOLS", "SESSIONS", "EXPIRY", "TICKETS", "COUNTS", "INDEX", "key", "unpack(KEYS)"}
    for line in text.splitlines():
        if "call('" in line and not any(word in line for word in ("'TIME'", "'INFO'", "'PUBLISH'")):
            first = line.split("call('", 1)[1].split("', ", 1)[1].split(",")[0].split(")")[0]
            assert first in declared or first == "unpack(KEYS", line
    assert "loadstring" not in text


def test_the_wheel_ships_the_script(tmp_path: Path) -> None:
    """Whoever installs the wheel has every part of the script."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    with warnings.catch_warnings():
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"asyncflow/pools/_redis/{part}" for part in PARTS} <= set(names)
