"""Pools in a SQLite file: several processes, processes that die, and files that are not as they should be."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from asyncflow import (
    BackendCorrupt,
    BadRequest,
    Deployment,
    PoolBackendUnavailable,
    SchemaMismatch,
    graph,
    op,
)
from asyncflow.pools import Batch, Claim, Define, Need, PoolSpec, Quota, Release, SessionSpec, SQLitePools

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def tidy(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Disconnects every object of a test, and lets go of the locks of sessions that it left open."""
    made: list[SQLitePools] = []
    begin = SQLitePools.__init__

    def watched(self: SQLitePools, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(SQLitePools, "__init__", watched)
    yield
    for one in made:
        if one._thread is not None:
            one._thread.submit(one._drop_file)
            one._thread.shutdown(wait=True)
        one._shared.pulse.forget()


HOLDER = """
import asyncio, sys, time
from asyncflow.pools import *
async def main(path, session):
    backend = SQLitePools(path)
    await backend.open(SessionSpec(session, "test", ttl=600.0), [PoolSpec("db", Quota(1))])
    reply = await backend.exchange(session, Batch(claims=(Claim(session + ".t", (Need("db"),)),)))
    print(len(reply.grants), flush=True)
    time.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""

CONTENDER = """
import asyncio, sys, time
from asyncflow.pools import *
async def main(path, session, rounds):
    backend = SQLitePools(path)
    await backend.open(SessionSpec(session, "test"), [PoolSpec("db", Quota(2))])
    hints = backend.watch(session)
    for number in range(int(rounds)):
        ticket = f"{session}.{number}"
        reply = await backend.exchange(session, Batch(claims=(Claim(ticket, (Need("db"),)),)))
        while not reply.grants:
            await anext(hints)
            reply = await backend.exchange(session, Batch())
        began = time.monotonic()
        ended = time.monotonic()
        print(began, ended, reply.grants[0].fences[0][1], flush=True)
        await backend.exchange(session, Batch(releases=(Release(ticket),)))
    await hints.aclose()
    await backend.close(session)
    await backend.disconnect()
asyncio.run(main(*sys.argv[1:]))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a program in another process."""
    command = [sys.executable, "-c", code, *[str(one) for one in arguments]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> None:
    """Kills a process and takes its leavings."""
    process.kill()
    process.communicate()


async def granted(backend: SQLitePools, session: str) -> float:
    """Waits for a grant by hints; returns the seconds it took."""
    began = time.monotonic()
    hints = backend.watch(session)
    try:
        async with asyncio.timeout(20):
            async for _ in hints:
                if (await backend.exchange(session, Batch())).grants:
                    return time.monotonic() - began
    finally:
        await hints.aclose()
    raise AssertionError


async def test_a_killed_process_gives_its_slots_back_long_before_its_session_would_end(tmp_path: Path) -> None:
    """A holder with a TTL of ten minutes is killed: the one who waits is granted in far less, without any hint."""
    path = tmp_path / "pools.db"
    holder = start(HOLDER, path, "holder")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        backend = SQLitePools(path)
        await backend.open(SessionSpec("me", "test"))
        reply = await backend.exchange("me", Batch(claims=(Claim("mine", (Need("db"),)),)))
        assert reply.grants == ()
        holder.kill()
        assert await granted(backend, "me") < 15
        await backend.close("me")
        await backend.disconnect()
    finally:
        end(holder)


async def test_a_frozen_process_loses_its_slots_with_its_session(tmp_path: Path) -> None:
    """SIGSTOP is no death: the slot comes back when the session expires, and what the holder says then is not heard."""
    path = tmp_path / "pools.db"
    holder = start(HOLDER.replace("600.0", "0.5"), path, "holder")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        os.kill(holder.pid, signal.SIGSTOP)
        backend = SQLitePools(path, poll_interval=0.2)
        await backend.open(SessionSpec("me", "test"))
        await backend.exchange("me", Batch(claims=(Claim("mine", (Need("db"),)),)))
        await granted(backend, "me")
        await backend.close("me")
        await backend.disconnect()
    finally:
        os.kill(holder.pid, signal.SIGCONT)
        end(holder)


async def test_processes_that_contend_never_exceed_the_limit_and_their_fences_grow(tmp_path: Path) -> None:
    """Four processes take turns on two slots 60 times each: intervals overlap at most twice, no fence twice."""
    path = tmp_path / "pools.db"
    processes = [start(CONTENDER, path, f"p{number}", 60) for number in range(4)]
    lines = [line.split() for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(lines) == 240
    changes = sorted([(float(began), 1) for began, _, _ in lines] + [(float(ended), -1) for _, ended, _ in lines])
    inside = most = 0
    for _, change in changes:
        inside += change
        most = max(most, inside)
    assert most <= 2
    assert len({fence for _, _, fence in lines}) == 240


async def test_many_make_the_file_at_once(tmp_path: Path) -> None:
    """Eight connections find no file and make it, twenty times: each opens, none is told that it is locked."""
    for number in range(20):
        path = tmp_path / f"pools-{number}.db"
        several = [SQLitePools(path) for _ in range(8)]
        await asyncio.gather(*[one.open(SessionSpec(f"s{place}", "test")) for place, one in enumerate(several)])
        for place, one in enumerate(several):
            await one.close(f"s{place}")
            await one.disconnect()


async def test_what_is_kept_survives_the_objects_that_wrote_it(tmp_path: Path) -> None:
    """Another object for the same file, opened later, finds sessions, tickets, limits and fences as they were."""
    first = SQLitePools(tmp_path / "pools.db")
    await first.open(SessionSpec("me", "test"), [PoolSpec("db", Quota(1))])
    await first.exchange("me", Batch(claims=(Claim("mine", (Need("db"),)),), define=(Define("db", Quota(5, 2)),)))
    before = await first.snapshot("test")
    twin = first.twin()
    after = await twin.snapshot("test")
    assert (before.pools, before.tickets) == (after.pools, after.tickets)
    assert (await twin.exchange("me", Batch(releases=(Release("mine"),)))).gone == ()
    for one in (first, twin):
        await one.disconnect()


async def test_many_transactions_do_not_let_the_file_grow(tmp_path: Path) -> None:
    """Rows that are gone are removed for good in the end, also for a reader that had seen them."""
    path = tmp_path / "pools.db"
    writer, reader = SQLitePools(path), SQLitePools(path)
    await writer.open(SessionSpec("me", "test"))
    await reader.snapshot("test")
    for number in range(2300):
        await writer.exchange(
            "me", Batch(claims=(Claim(f"t{number}", (Need("db"),)),), releases=(Release(f"t{number - 1}"),))
        )
    [ticket] = (await reader.snapshot("test")).tickets
    assert ticket.ticket == "t2299"
    with sqlite3.connect(path) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
    connection.close()
    assert rows < 1000
    for one in (writer, reader):
        await one.disconnect()


async def test_a_file_that_was_deleted_is_made_anew_and_the_session_is_lost(tmp_path: Path) -> None:
    """The file goes away in mid-life: the next exchange says the session is lost; opened again, fences still grow."""
    path = tmp_path / "pools.db"
    backend = SQLitePools(path)
    fences: list[int] = []
    for _ in range(2):
        await backend.open(SessionSpec("me", "test"))
        reply = await backend.exchange("me", Batch(claims=(Claim("mine", (Need("db"),)),)))
        fences.append(reply.grants[0].fences[0][1])
        for name in ("pools.db", "pools.db-wal", "pools.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        assert not (await backend.exchange("me", Batch())).alive
        await asyncio.sleep(1.01)  # fences of a new pool begin at the clock's seconds
    assert fences == sorted(set(fences))
    await backend.disconnect()


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Another program's database, a newer one of ours, one without its tables, and no database: each is named."""
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE things (x)")
    connection.close()
    with pytest.raises(SchemaMismatch, match="something else"):
        await SQLitePools(foreign).open(SessionSpec("me", "test"))
    newer = tmp_path / "newer.db"
    backend = SQLitePools(newer)
    await backend.open(SessionSpec("me", "test"))
    await backend.disconnect()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaMismatch, match="99"):
        await SQLitePools(newer).open(SessionSpec("me", "test"))
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("DROP TABLE rows")
    connection.close()
    with pytest.raises(SchemaMismatch, match="lacks"):
        await SQLitePools(newer).open(SessionSpec("me", "test"))
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database at all, by any means" * 200)
    with pytest.raises(BackendCorrupt, match="noise"):
        await SQLitePools(noise).open(SessionSpec("me", "test"))


async def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A damaged row: the error names the file, the kind and the name of the row."""
    path = tmp_path / "pools.db"
    backend = SQLitePools(path)
    await backend.open(SessionSpec("me", "test"), [PoolSpec("db", Quota(1))])
    await backend.disconnect()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rows SET data = '{' WHERE kind = 'pool'")
    connection.close()
    with pytest.raises(BackendCorrupt, match="pool 'db'"):
        await SQLitePools(path).snapshot("test")


async def test_a_file_that_somebody_locks_is_away_and_then_back(tmp_path: Path) -> None:
    """Another process keeps the file locked: PoolBackendUnavailable, and nothing is lost when it lets go."""
    path = tmp_path / "pools.db"
    backend = SQLitePools(path, busy_timeout=0.05)
    await backend.open(SessionSpec("me", "test"), [PoolSpec("db", Quota(1))])
    await backend.exchange("me", Batch(claims=(Claim("mine", (Need("db"),)),)))
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(PoolBackendUnavailable, match="locked"):
        await backend.exchange("me", Batch(releases=(Release("mine"),)))
    locker.execute("ROLLBACK")
    locker.close()
    [ticket] = (await backend.snapshot("test")).tickets
    assert ticket.ticket == "mine"
    await backend.disconnect()


async def test_a_full_disk_is_away_and_then_back(tmp_path: Path) -> None:
    """The database may not grow: PoolBackendUnavailable, and what was there is still there."""
    path = tmp_path / "pools.db"
    backend = SQLitePools(path)
    await backend.open(SessionSpec("me", "test"))
    await backend._call(lambda: backend._connected()._connection.execute("PRAGMA max_page_count = 10").fetchall())
    claims = tuple(Claim(f"t{number}", (Need("p" * 900 + str(number)),), op="o" * 1000) for number in range(60))
    with pytest.raises(PoolBackendUnavailable, match="full"):
        await backend.exchange("me", Batch(claims=claims))
    assert (await backend.exchange("me", Batch())).alive
    assert (await backend.snapshot("test")).tickets == ()
    await backend.disconnect()


@pytest.mark.parametrize("kind", ["link", "open folder"])
async def test_places_where_others_could_exchange_the_file_are_refused(tmp_path: Path, kind: str) -> None:
    """A symbolic link, and a folder in which everybody may write: refused with the reason."""
    path = tmp_path / "pools.db"
    if kind == "link":
        (tmp_path / "target.db").touch()
        path.symlink_to(tmp_path / "target.db")
    else:
        os.chmod(tmp_path, 0o777)  # noqa: PTH101, S103 — wrong on purpose, and an async test may do it so
    with pytest.raises(BadRequest, match=r"symbolic|everybody"):
        await SQLitePools(path).open(SessionSpec("me", "test"))
    os.chmod(tmp_path, 0o700)  # noqa: PTH101 — likewise


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Nobody else may read the file or what lies beside it."""
    backend = SQLitePools(tmp_path / "pools.db")
    await backend.open(SessionSpec("me", "test"))
    for file in await asyncio.to_thread(lambda: list(tmp_path.rglob("*"))):
        assert file.stat().st_mode & 0o077 == 0, file
    await backend.close("me")
    await backend.disconnect()


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE rows; --", 'a"b', "line\nbreak", "🦊", "\u202eright", "{}:*%", "x" * 1024]
)
async def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    """Whatever a pool, key, run or op is called: it is kept and shown as it is."""
    backend = SQLitePools(tmp_path / "pools.db")
    await backend.open(SessionSpec("me", "test", label=name), [PoolSpec(name, Quota(1))])
    claim = Claim(f"{name[:100]}.t", (Need(name, 1, name),), run=name, op=name)
    reply = await backend.exchange("me", Batch(claims=(claim,)))
    assert reply.grants[0].ticket == claim.ticket
    [ticket] = (await backend.twin().snapshot("test")).tickets
    assert (ticket.needs, ticket.run, ticket.op, ticket.label) == (claim.needs, name, name, name)
    await backend.disconnect()


@pytest.mark.parametrize("name", ["", "nul\0", "x" * 1025, "\ud800"])
def test_names_that_cannot_be_kept_are_refused_where_they_are_made(name: str) -> None:
    """Empty, with NUL, too long, half a surrogate pair: BadRequest says which."""
    with pytest.raises(BadRequest):
        Need(name)


@pytest.mark.parametrize("amount", [0, -1, 2**31, 1.5, float("nan"), True])
def test_amounts_that_no_pool_could_give_are_refused(amount: object) -> None:
    """Zero, negative, too large, no whole number, a bool: BadRequest."""
    with pytest.raises(BadRequest):
        Need("db", amount)  # type: ignore[arg-type]  # wrong on purpose


def test_one_object_serves_loops_one_after_another(tmp_path: Path) -> None:
    """Disconnected at the end of a loop, it connects anew in the next, while the old thread may still be closing."""
    backend = SQLitePools(tmp_path / "pools.db")

    async def look() -> None:
        await backend.open(SessionSpec("me", "test"))
        await backend.exchange("me", Batch())
        await backend.disconnect()

    for _ in range(30):
        asyncio.run(look())


async def test_another_loop_needs_a_twin(tmp_path: Path) -> None:
    """An object that one loop uses is refused to another, with what to do; a twin works there."""
    backend = SQLitePools(tmp_path / "pools.db")
    await backend.open(SessionSpec("me", "test"))

    def elsewhere(one: SQLitePools) -> bool:
        async def ask() -> bool:
            alive = (await one.exchange("me", Batch())).alive
            await one.disconnect()
            return alive

        return asyncio.run(ask())

    with pytest.raises(BadRequest, match="twin"):
        await asyncio.to_thread(elsewhere, backend)
    assert await asyncio.to_thread(elsewhere, backend.twin())
    await backend.close("me")
    await backend.disconnect()


@op(pool="db")
async def step(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@graph
def steps() -> list[object]:
    return [step(0.01) for _ in range(20)]


async def test_a_blocked_loop_costs_no_lease(tmp_path: Path) -> None:
    """An op blocks the event loop for three TTLs: the heartbeat goes on, no lease is lost, and the lag is told."""
    told: list[str] = []

    @op(pool="db")
    async def blocking() -> None:
        await asyncio.sleep(0)
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            pass

    prod = Deployment("prod", pools=f"sqlite:///{tmp_path}/pools.db", lease_ttl=0.4)
    prod.subscribe(lambda event: told.append(type(event).__name__))
    async with prod:
        await blocking.on(prod).run()
        await asyncio.sleep(0.2)
        await steps.on(prod).run()
    assert "LeaseLapsed" not in told
    assert "LoopLagged" in told
