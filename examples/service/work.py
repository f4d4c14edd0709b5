"""What the service does: a report is loaded in parts from an API, each part is stored, and the parts are summed up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from asyncflow import graph, op

Load: TypeAlias = Callable[[str, int], Awaitable[int]]
"""Loads one part of a tenant's report; the service brings its own, tests theirs."""


async def slowly(tenant: str, part: int) -> int:
    """Stands for a request to somebody else's API."""
    await asyncio.sleep(0.2)
    return len(tenant) + part


def api_of(tenant: str) -> str:
    """The pool of a load: one for all, and a key for each tenant."""
    return f"api:{tenant}"


@op(pool=api_of, tags={"kind": "io"})
async def load(tenant: str, part: int, by: Load) -> int:
    """Loads a part."""
    return await by(tenant, part)


@op(pool="db", tags={"kind": "sql"})
def store(file: Path, tenant: str, rows: list[int]) -> int:
    """Writes the parts to SQLite, on a thread; the pool `db` lets one writer in."""
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE IF NOT EXISTS parts (tenant TEXT, size INTEGER)")
        database.executemany("INSERT INTO parts VALUES (?, ?)", [(tenant, size) for size in rows])
    database.close()
    return sum(rows)


@graph(max_concurrent=4)
def report(file: Path, tenant: str, parts: int, by: Load) -> int:
    """Loads all parts, at most four at a time, and stores them."""
    loads = [load.options(name=f"load{part}")(tenant, part, by) for part in range(parts)]
    return store(file, tenant, loads)
