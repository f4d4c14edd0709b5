"""What servers do to us: forget, refuse, restart, run out of memory, be somebody else's."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio
import redis.exceptions

from asyncflow.errors import BackendCorrupt, BadRequest, ConfigurationError, PoolBackendUnavailable, SchemaMismatch
from asyncflow.pools import Batch, Claim, Need, PoolSpec, Quota, RedisPools, Release, SessionSpec, backend_of
from asyncflow.pools._redis.failures import REFUSED, failure
from asyncflow.pools._redis.place import Place
from asyncflow.pools._redis.script import KEYS, keys
from tests.pools.redis.server import Launch, Server, free_port

ONE = Batch(claims=(Claim("t", (Need("a"),)),))


@asynccontextmanager
async def raw(server: Server, **options: str) -> AsyncGenerator[redis.asyncio.Redis, None]:
    """A plain client, to do harm with."""
    client = redis.asyncio.Redis(port=server.port, **options)  # type: ignore[arg-type]  # — options of a test
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def backend(url: str, **options: float) -> AsyncGenerator[RedisPools, None]:
    """A backend that is disconnected afterwards."""
    pools = RedisPools(url, **options)  # type: ignore[arg-type]  # — options of a test
    try:
        yield pools
    finally:
        await pools.disconnect()


def spec(name: str = "s") -> SessionSpec:
    """A session."""
    return SessionSpec(name, "n", ttl=600.0)


LIMIT = (PoolSpec("a", Quota(1)),)


async def test_a_forgotten_script_is_sent_again(launch: Launch) -> None:
    """Given a server that forgot its scripts, the next call works; it was one call."""
    server = await launch()
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        await client.script_flush()
        assert [grant.ticket for grant in (await pools.exchange("s", ONE)).grants] == ["t"]


async def test_a_flush_is_reported_and_fences_still_grow(launch: Launch) -> None:
    """Given FLUSHALL, the session is lost; opened anew everything works, and fences are above those before."""
    server = await launch()
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        (before,) = (await pools.exchange("s", ONE)).grants
        for _ in range(2):
            await client.flushall()
            assert not (await pools.exchange("s", Batch(renew=5.0))).alive
            assert (await pools.snapshot("n")).pools == ()
            second, _ = await client.time()
            while (await client.time())[0] == second:  # fences begin at the clock's seconds
                pass
            await pools.open(spec(), LIMIT)
            (after,) = (await pools.exchange("s", ONE)).grants
            assert after.fences[0][1] > before.fences[0][1]
            before = after


@pytest.mark.parametrize("durable", [True, False])
async def test_a_restart_keeps_what_the_server_keeps(launch: Launch, durable: bool) -> None:
    """With an append-only file leases survive a restart; without one the session is reported lost. Calls go on."""
    server = await launch("--appendonly", "yes" if durable else "no", "--appendfsync", "always")
    async with backend(server.url) as pools:
        await pools.open(spec(), LIMIT)
        await pools.exchange("s", ONE)
        server.kill()
        with pytest.raises(PoolBackendUnavailable):
            await pools.exchange("s", ONE)
        await server.started()
        reply = await pools.exchange("s", ONE)
        assert reply.alive is durable
        assert [grant.ticket for grant in reply.grants] == (["t"] if durable else [])


async def test_a_server_without_memory_takes_no_claims_and_loses_nothing(launch: Launch) -> None:
    """Given maxmemory reached: claims are refused whole, renewals and releases go on; with space claims come in."""
    server = await launch()
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        await pools.exchange("s", Batch(claims=(Claim("t", (Need("a"),)), Claim("u", (Need("a"),)))))
        before = await pools.snapshot("n")
        await client.config_set("maxmemory", "1mb")
        claims = tuple(Claim(f"v{n}", (Need("a"),)) for n in range(3))
        with pytest.raises(PoolBackendUnavailable, match="maxmemory"):
            await pools.exchange("s", Batch(renew=500.0, releases=(Release("t"),), claims=claims))
        with pytest.raises(PoolBackendUnavailable, match="maxmemory"):
            await pools.open(spec("other"), LIMIT)
        assert (await pools.snapshot("n")).tickets == before.tickets
        reply = await pools.exchange("s", Batch(renew=500.0, seen=("t",)))
        assert (reply.alive, reply.grants) == (True, ())
        reply = await pools.exchange("s", Batch(releases=(Release("t"),)))
        assert [grant.ticket for grant in reply.grants] == ["u"]
        await client.config_set("maxmemory", "0")
        await pools.exchange("s", Batch(releases=(Release("u"),), claims=claims))
        assert [view.ticket for view in (await pools.snapshot("n")).tickets] == ["v0", "v1", "v2"]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_throws_keys_away_is_refused(launch: Launch, policy: str) -> None:
    """maxmemory with an eviction policy: open says what to set; without maxmemory nothing is thrown away."""
    server = await launch("--maxmemory", "100mb", "--maxmemory-policy", policy)
    async with backend(server.url) as pools, raw(server) as client:
        with pytest.raises(BadRequest, match=f"{policy}.*set maxmemory-policy noeviction"):
            await pools.open(spec())
        await client.config_set("maxmemory", "0")
        assert (await pools.open(spec())).fresh


async def test_another_version_and_keys_of_others_are_refused(launch: Launch) -> None:
    """A newer version, rows without a version, and keys of another kind: SchemaMismatch, and nothing is changed."""
    server = await launch()
    names = dict(zip(KEYS, keys("n"), strict=True))
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        await client.hset(names["meta"], "version", "2")
        for call in (pools.open(spec()), pools.exchange("s", ONE), pools.snapshot("n"), pools.close("s")):
            with pytest.raises(SchemaMismatch, match=r"version 2.*reads version 1"):
                await call
        await client.hdel(names["meta"], "version")
        with pytest.raises(SchemaMismatch, match="no version"):
            await pools.open(spec())
        await client.flushall()
        await client.set(names["meta"], "mine")
        with pytest.raises(SchemaMismatch, match="is not ours"):
            await pools.open(spec())
        assert await client.get(names["meta"]) == b"mine"


@pytest.mark.parametrize("row", [b"", b"garbage", b"\xff\xff\xff", b"\x01", b"\x80"])
async def test_rows_that_cannot_be_read_are_told(launch: Launch, row: bytes) -> None:
    """A damaged row is BackendCorrupt and no guess; another namespace goes on."""
    server = await launch()
    names = dict(zip(KEYS, keys("n"), strict=True))
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        await pools.exchange("s", ONE)
        await client.hset(names["tickets"], "t", row)
        with pytest.raises(BackendCorrupt, match="redis://127"):
            await pools.exchange("s", Batch(releases=(Release("t"),)))
        await pools.open(SessionSpec("x", "elsewhere"))
        assert (await pools.exchange("x", ONE)).alive


async def test_wrong_and_missing_passwords_are_refused_at_once(launch: Launch) -> None:
    """Wrong password, none, one too many, no permission, no such database: BadRequest, and no secret in any text."""
    server = await launch("--requirepass", "right-secret", "--user", "poor", "on", ">poor-secret", "~other:*")
    open_server = await launch()
    here = f"127.0.0.1:{server.port}"
    for url, words in (
        (f"redis://:wrong-secret@{here}", "password is wrong"),
        (f"redis://{here}", "wants a password"),
        (f"redis://poor:poor-secret@{here}", "asyncflow:"),
        (f"redis://:wrong-secret@127.0.0.1:{open_server.port}", "no password"),
        (f"{open_server.url}/99", "no such database"),
    ):
        async with backend(url) as pools:
            with pytest.raises(BadRequest, match=words) as caught:
                await pools.open(spec())
            assert "secret" not in f"{caught.value!r} {caught.value} {pools!r} {pools.name}"
            assert caught.value.__cause__ is None
            hints = pools.watch("s")
            with pytest.raises(BadRequest, match=words):
                await anext(hints)
    async with backend(f"redis://:right-secret@{here}/3") as pools:
        assert (await pools.open(spec())).fresh
        assert pools.name == f"redis://{here}/3"


async def test_the_documented_permissions_are_enough(launch: Launch) -> None:
    """A user with exactly the permissions that the message names may do everything."""
    allowed = " ".join(re.findall(r"[~&+][^ ,]+", REFUSED["NOPERM"]))
    server = await launch(*f"--user pools on >pw-secret resetchannels {allowed}".split())
    async with backend(f"redis://pools:pw-secret@127.0.0.1:{server.port}") as pools:
        await pools.open(spec(), LIMIT)
        await pools.open(spec("other"))
        hints = pools.watch("other")
        await anext(hints)
        await pools.exchange("s", ONE)
        await pools.exchange("other", Batch(claims=(Claim("u", (Need("a"),)),)))
        await pools.close("s")
        await anext(hints)
        assert (await pools.exchange("other", Batch())).grants
        await hints.aclose()


async def test_a_replica_takes_no_writes(launch: Launch) -> None:
    """A server that became a replica (of one that is gone) is unavailable, not corrupt; as primary again it goes on."""
    server = await launch("--replica-serve-stale-data", "yes")
    async with backend(server.url) as pools, raw(server) as client:
        await pools.open(spec(), LIMIT)
        await client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        with pytest.raises(PoolBackendUnavailable, match="replica"):
            await pools.exchange("s", ONE)
        assert [view.pool for view in (await pools.snapshot("n")).pools] == ["a"]
        await client.config_set("replica-serve-stale-data", "no")
        with pytest.raises(PoolBackendUnavailable, match="lost its primary"):
            await pools.exchange("s", ONE)
        await client.execute_command("REPLICAOF", "NO", "ONE")
        assert (await pools.exchange("s", ONE)).grants


async def test_a_cluster_is_followed(launch: Launch) -> None:
    """Given the address of one node and keys on another, calls follow, and hints of the other node arrive here."""
    nodes = [await launch("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1") for _ in range(2)]
    first, second = nodes
    async with raw(first) as one, raw(second) as two, backend(first.url) as pools, backend(second.url) as direct:
        await two.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        await one.execute_command("CLUSTER", "MEET", "127.0.0.1", str(second.port))
        for node in (one, two):
            while b"cluster_state:ok" not in bytes(await node.execute_command("CLUSTER", "INFO")):  # noqa: ASYNC110 — a server has no event
                await asyncio.sleep(0.05)
        assert (await pools.open(spec(), LIMIT)).fresh
        await pools.exchange("s", ONE)
        assert [view.ticket for view in (await direct.snapshot("n")).tickets] == ["t"]
        assert await two.dbsize() > 0
        assert pools.name == first.url
        await pools.open(spec("other"))
        hints = pools.watch("other")
        await anext(hints)
        await pools.exchange("other", Batch(claims=(Claim("u", (Need("a"),)),)))
        await pools.exchange("s", Batch(releases=(Release("t"),)))
        await anext(hints)
        await hints.aclose()


async def test_a_server_that_is_not_there(namespace: str) -> None:
    """Nobody listens: PoolBackendUnavailable that names the address; a host that does not exist as well."""
    async with backend(f"redis://user:my-secret@127.0.0.1:{free_port()}") as pools:
        with pytest.raises(PoolBackendUnavailable, match=r"127\.0\.0\.1") as caught:
            await pools.open(SessionSpec("s", namespace))
        assert "my-secret" not in str(caught.value)


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    """A listener that never answers: PoolBackendUnavailable in time, and the connection is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        async with backend(url, command_timeout=0.05) as pools:
            with pytest.raises(PoolBackendUnavailable, match="did not answer in time"):
                await pools.open(spec())
            assert repr(pools) == f"<{url}>"


MEANINGS = [
    ("READONLY You can't write against a read only replica.", PoolBackendUnavailable, "fail-over"),
    ("LOADING Redis is loading the dataset in memory", PoolBackendUnavailable, "loading"),
    ("BUSY Redis is busy running a script.", PoolBackendUnavailable, "busy"),
    ("MASTERDOWN Link with MASTER is down", PoolBackendUnavailable, "primary"),
    ("OOM command not allowed when used memory > 'maxmemory'.", PoolBackendUnavailable, "maxmemory"),
    ("MISCONF Errors writing to the AOF file: No space left", PoolBackendUnavailable, "cannot save"),
    ("NOREPLICAS Not enough good replicas to write.", PoolBackendUnavailable, "replicas"),
    ("CLUSTERDOWN The cluster is down", PoolBackendUnavailable, "cluster is down"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", PoolBackendUnavailable, "moving"),
    ("ASK 3999 127.0.0.1:6381", PoolBackendUnavailable, "moving"),
    ("NOAUTH Authentication required.", BadRequest, "password"),
    ("WRONGPASS invalid username-password pair", BadRequest, "password"),
    ("NOPERM this user has no permissions", BadRequest, "may not"),
    ("ERR ASYNCFLOW SCHEMA version 7 script: f_abc, on @user_script:1.", SchemaMismatch, "version 7"),
    (
        "ERR Error running script (call to f_abc): @user_script:3: ASYNCFLOW CORRUPT a pool cannot be read",
        BackendCorrupt,
        "a pool cannot be read",
    ),
    (
        "ERR Error running script (call to f_abc): @user_script:3: @user_script: 3: -OOM command not allowed when used",
        PoolBackendUnavailable,
        "maxmemory",
    ),
    ("ERR user_script:12: attempt to index a nil value", BackendCorrupt, "cannot be read"),
    ("ERR unknown command 'EVALSHA'", BadRequest, "too old"),
    ("ERR something new about my-secret", PoolBackendUnavailable, "something new about …"),
]


@pytest.mark.parametrize(("text", "kind", "words"), MEANINGS)
def test_what_servers_answer_has_a_meaning(text: str, kind: type[Exception], words: str) -> None:
    """Each answer, as the driver hands it out, becomes one of our errors, without a secret."""
    from redis._parsers.base import BaseParser

    parsed = BaseParser.parse_error(text)
    found = failure(Place.of("redis://u:my-secret@h"), parsed)
    assert type(found) is kind
    assert words in str(found)
    assert "my-secret" not in str(found)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "begins with redis://"),
        ("redis://h/abc", "number of a database"),
        ("redis://h?decode_responses=1", "no option"),
        ("redis://h:port", "cannot be read"),
        ("unix://", "names its path"),
    ],
)
def test_what_is_no_url_of_redis(url: str, words: str) -> None:
    """Refused where it is given, in words."""
    with pytest.raises(ConfigurationError, match=words):
        RedisPools(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://me:pass-word@h:1/2?db=3", "redis://h:1/3"),
        ("rediss://:p%40ss@[::1]:6380/0?ssl_cert_reqs=none", "rediss://[::1]:6380/0"),
        ("unix://me:pass-word@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_name_has_no_secret(url: str, name: str) -> None:
    """Neither the name nor a repr shows user, password or options; the address leads to this backend."""
    pools = backend_of(url)
    assert isinstance(pools, RedisPools)
    assert pools.name == pools.twin().name == name
    assert repr(pools) == f"<{name}>"
    assert "p%40ss" not in repr(Place.of(url))
    assert "pass-word" not in repr(Place.of(url))


async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver the first call says which extra to install; making the object needs no driver."""
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'asyncflow-executor\[redis\]'"):
        await RedisPools("redis://h").open(spec())


async def test_a_socket_file(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """unix:// reaches a server by its socket, in the database that is asked for."""
    path = tmp_path_factory.mktemp("s") / "r"
    server = await launch("--unixsocket", str(path))
    async with backend(f"unix://{path}?db=2") as pools, raw(server) as client:
        assert (await pools.open(spec())).fresh
        assert await client.dbsize() == 0
