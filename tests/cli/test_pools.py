"""`asyncflow pools`: what is at a backend, as a table, lines or JSON; changes that hold for everybody; exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from asyncflow.pools import Batch, Claim, Need, PoolSpec, Quota, SessionSpec, SQLitePools
from tests.cli.conftest import Command

URL = "sqlite:///pools.db"


@pytest.fixture
def crowded(folder: Path) -> Path:
    """A file with a pool of 1 that one ticket holds, with markup in its names, and another waits for."""

    async def fill() -> None:
        backend = SQLitePools(folder / "pools.db")
        spec = SessionSpec("web-1", "default", 600.0, host="host", process=7, default_limit=4)
        await backend.open(spec, [PoolSpec("db", Quota(1, 2))])
        first = Claim("first", (Need("db"),), run="run-1", op="fetch[red]\x1b[31m")
        await backend.exchange("web-1", Batch(claims=(first, Claim("second", (Need("db", 1, "a"),), run="run-2"))))
        thread = backend._thread
        await backend.disconnect()
        if thread is not None:
            thread.shutdown()
        backend._shared.pulse.forget()
        for lock in (folder / "pools.db-sessions").iterdir():
            lock.unlink()  # as a process of another container: nothing tells whether it lives

    asyncio.run(fill())
    return folder


def test_lists(command: Command, crowded: Path) -> None:
    """Pools with what they give, holders and waiters with host, process, run and op; nothing commands the terminal."""
    assert command("pools", "list", "--backend", URL).out.splitlines() == [
        "POOL\tUSED\tLIMIT\tPER KEY\tWAITING\tFROM",
        "db\t1\t1\t2\t1\tdefined",
    ]
    holders = command("pools", "holders", "--backend", URL).out
    assert "first\t1 × db\thost:7 run-1 fetch[red]" in holders
    assert "\x1b" not in holders
    assert "second\t1 × db:a\thost:7 run-2\twaits" in command("pools", "waiters", "db", "--backend", URL).out
    said = command("pools", "get", "db", "--backend", URL)
    assert (said.code, said.out.count("\n")) == (0, 5)


def test_json(command: Command, crowded: Path) -> None:
    """The same as JSON."""
    [pool] = json.loads(command("pools", "list", "--json", "--backend", URL).out)["pools"]
    assert (pool["pool"], pool["limit"], pool["per_key"], pool["used"], pool["waiting"]) == ("db", 1, 2, 1, 1)
    [ticket] = json.loads(command("pools", "holders", "--json", "--backend", URL).out)["tickets"]
    assert (ticket["ticket"], ticket["host"], ticket["process"], ticket["run"]) == ("first", "host", 7, "run-1")
    assert ticket["fences"]["db"] == pool["fence"]


def test_set_holds_until_unset_and_lets_on_who_waits(command: Command, crowded: Path) -> None:
    """`set` gives more at once, keeps what is said of keys, leaves the code's default alone; `unset` undoes it."""
    assert "db\t2\t3\t2\t0\tset" in command("pools", "set", "db", "3", "--backend", URL).out
    assert "db\t2\tunlimited" in command("pools", "set", "db", "unlimited", "--backend", URL).out
    assert "db\t2\t1\t2\t0\tdefined" in command("pools", "unset", "db", "--backend", URL).out
    command("pools", "set", "other", "5", "--backend", URL)
    assert "other\t0\t4\t\t0\tdefault" in command("pools", "unset", "other", "--backend", URL).out


def test_pause_and_resume(command: Command, crowded: Path) -> None:
    """A paused pool says so."""
    assert "paused" in command("pools", "pause", "db", "--backend", URL).out
    assert "paused" not in command("pools", "resume", "db", "--backend", URL).out


def test_free_takes_away_after_asking(command: Command, crowded: Path) -> None:
    """Without a terminal it wants `--yes`; then the ticket is gone and the next one holds."""
    refused = command("pools", "free", "first", "--backend", URL)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert command("pools", "free", "first", "--yes", "--backend", URL).code == 0
    assert "second" in command("pools", "holders", "--backend", URL).out
    again = command("pools", "free", "first", "--yes", "--json", "--backend", URL)
    assert (again.code, json.loads(again.out)["error"]["type"]) == (1, "NotFound")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("get", "nope"), 1, "nope"),
        (("pause", "nope"), 1, "nope"),
        (("unset", "nope"), 1, "nope"),
        (("set", "db", "many"), 2, "whole number"),
        (("set", "db", "-1"), 2, ""),
        (("list", "extra"), 2, ""),
    ],
)
def test_what_cannot_be(command: Command, crowded: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    """Exit code 1 where nothing of that name is there, 2 for wrong usage; the message names it."""
    said = command("pools", *arguments, "--backend", URL)
    assert (said.code, says in said.err) == (code, True)


def test_where(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend comes from the option or the environment; a wrong or absent one is told, without its password."""
    monkeypatch.delenv("ASYNCFLOW_POOLS", raising=False)
    assert (command("pools", "list").code, "ASYNCFLOW_POOLS" in command("pools", "list").err) == (2, True)
    monkeypatch.setenv("ASYNCFLOW_POOLS", URL)
    assert command("pools", "list").code == 0
    away = command("pools", "list", "--backend", "redis://me:hunter2@127.0.0.1:1")
    assert (away.code, "hunter2" in away.err) == (3, False)
    (folder / "noise.db").write_bytes(b"noise" * 1000)
    assert command("pools", "list", "--backend", "sqlite:///noise.db").code == 3
