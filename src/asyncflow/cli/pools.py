"""What `asyncflow pools` does: looks at a backend, changes it, shows what is there as a table, as lines, or as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from asyncflow.cli.exit_code import ExitCode
from asyncflow.cli.terminal import error_console, shown, write_result
from asyncflow.errors import ConfigurationError
from asyncflow.pools import (
    Batch,
    Define,
    PoolBackend,
    PoolView,
    Quota,
    Reply,
    SessionSpec,
    Snapshot,
    TicketView,
    backend_of,
)

VARIABLE = "ASYNCFLOW_POOLS"
PAGE = 500
VISIT = 10.0
"""Seconds for which a visit counts, should it not end by itself."""


@dataclass(frozen=True)
class There:
    """A namespace at a backend, and how it is to be shown."""

    backend: PoolBackend
    namespace: str
    json: bool

    @classmethod
    def of(cls, url: str | None, namespace: str, *, json: bool) -> There:
        """Returns the place that the command line, or the environment, names.

        Raises:
            ConfigurationError: where none does, or it is no address.
        """
        address = url or os.environ.get(VARIABLE)
        if not address:
            raise ConfigurationError(
                f"--backend is missing: say where the pools are (sqlite:///pools.db), or set {VARIABLE}"
            )
        return cls(backend_of(address), namespace, json)


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_pools(there: There) -> int:
    """Lists all pools."""
    pools, _ = asyncio.run(_look(there))
    if there.json:
        _write({"pools": [_pool_data(view) for view in pools]})
    elif pools:
        _show(("POOL", "USED", "LIMIT", "PER KEY", "WAITING", "FROM", ""), [_pool_row(view) for view in pools])
    else:
        _say(f"no pools in namespace {there.namespace!r}")
    return ExitCode.SUCCEEDED


def get_pool(there: There, pool: str) -> int:
    """Shows one pool, with its tickets."""
    pools, tickets = asyncio.run(_look(there))
    view = next((one for one in pools if one.pool == pool), None)
    if view is None:
        return _missing(there, f"there is no pool {pool!r} in namespace {there.namespace!r}")
    mine = [ticket for ticket in tickets if _names(ticket, pool)]
    if there.json:
        _write({**_pool_data(view), "tickets": [_ticket_data(ticket) for ticket in mine]})
        return ExitCode.SUCCEEDED
    _show(("POOL", "USED", "LIMIT", "PER KEY", "WAITING", "FROM", ""), [_pool_row(view)])
    if mine:
        _show_tickets(mine)
    return ExitCode.SUCCEEDED


def list_tickets(there: There, state: str, pool: str | None) -> int:
    """Lists who holds, or who waits."""
    _, tickets = asyncio.run(_look(there))
    mine = [one for one in tickets if one.state == state and (pool is None or _names(one, pool))]
    if there.json:
        _write({"tickets": [_ticket_data(ticket) for ticket in mine]})
    elif mine:
        _show_tickets(mine)
    else:
        _say("nobody holds anything" if state == "held" else "nobody waits")
    return ExitCode.SUCCEEDED


def set_pool(there: There, pool: str | None, limit: str, per_key: str | None) -> int:
    """Sets what a pool gives; what is said of its keys stays where nothing is said."""
    number = _number(limit, "the limit")
    pools, _ = asyncio.run(_look(there))
    known = next((one.quota.per_key for one in pools if one.pool == pool), None)
    each = known if per_key is None else _number(per_key, "--per-key")
    asyncio.run(_order(there, Batch(define=(Define(pool, Quota(number, None if pool is None else each)),))))
    return _done(there, pool)


def unset_pool(there: There, pool: str | None) -> int:
    """Lets the code's number count again."""
    if pool is not None and not _known(there, pool):
        return _missing(there, f"there is no pool {pool!r} in namespace {there.namespace!r}")
    asyncio.run(_order(there, Batch(unset=(pool,))))
    return _done(there, pool)


def pause_pool(there: There, pool: str, *, paused: bool) -> int:
    """Pauses a pool, or lets it go on."""
    if not _known(there, pool):
        return _missing(there, f"there is no pool {pool!r} in namespace {there.namespace!r}")
    asyncio.run(_order(there, Batch(pause=(pool,)) if paused else Batch(resume=(pool,))))
    return _done(there, pool)


def free_ticket(there: There, ticket: str, *, yes: bool) -> int:
    """Takes a ticket away, after asking."""
    _, tickets = asyncio.run(_look(there))
    view = next((one for one in tickets if one.ticket == ticket), None)
    if view is None:
        return _missing(there, f"there is no ticket {ticket!r} in namespace {there.namespace!r}")
    if not yes:
        what = f"{_needs(view)} of {_who(view)}"
        if not sys.stdin.isatty():
            raise ConfigurationError(f"ticket {ticket} is live ({what}); write --yes to take it away all the same")
        error_console().print(Text(f"take {what} away? [y/N] "), end="")
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            _say("nothing was changed")
            return ExitCode.FAILED
    reply = asyncio.run(_order(there, Batch(revoke=(ticket,))))
    if ticket in reply.gone:
        return _missing(there, f"ticket {ticket!r} had gone already")
    if there.json:
        _write({"freed": ticket})
    else:
        _say(f"freed {_needs(view)} of {_who(view)}")
    return ExitCode.SUCCEEDED


# ── the backend ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _look(there: There) -> tuple[Sequence[PoolView], Sequence[TicketView]]:
    """Returns all pools and all tickets."""
    try:
        page: Snapshot = await there.backend.snapshot(there.namespace, limit=PAGE)
        pools, tickets = page.pools, list(page.tickets)
        while page.next is not None:
            page = await there.backend.snapshot(there.namespace, limit=PAGE, after=page.next)
            tickets.extend(page.tickets)
        return pools, tickets
    finally:
        await there.backend.disconnect()


async def _order(there: There, batch: Batch) -> Reply:
    """Does what an operator asks, in a session of its own."""
    async with _visit(there) as session:
        return await there.backend.exchange(session, batch)


@asynccontextmanager
async def _visit(there: There) -> AsyncGenerator[str]:
    session = f"visit-{uuid.uuid4().hex}"
    try:
        await there.backend.open(SessionSpec(session, there.namespace, VISIT, label="asyncflow pools", visitor=True))
        try:
            yield session
        finally:
            await there.backend.close(session)
    finally:
        await there.backend.disconnect()


def _known(there: There, pool: str) -> bool:
    pools, _ = asyncio.run(_look(there))
    return any(view.pool == pool for view in pools)


# ── showing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _done(there: There, pool: str | None) -> int:
    """Shows what holds now."""
    pools, _ = asyncio.run(_look(there))
    mine = [view for view in pools if view.pool == pool]
    if there.json:
        _write(_pool_data(mine[0]) if mine else {"default": True})
    elif mine:
        _show(("POOL", "USED", "LIMIT", "PER KEY", "WAITING", "FROM", ""), [_pool_row(mine[0])])
    else:
        _say("done")
    return ExitCode.SUCCEEDED


def _missing(there: There, message: str) -> int:
    if there.json:
        _write({"error": {"type": "NotFound", "message": shown(message)}})
    error_console().print(Text.assemble(("error: ", "bold red"), shown(message)))
    return ExitCode.FAILED


def _show_tickets(tickets: Sequence[TicketView]) -> None:
    waiting = all(ticket.state == "waiting" for ticket in tickets)
    names = (
        ("TICKET", "SLOTS", "WHO", "STATE", "PRIORITY") if waiting else ("TICKET", "SLOTS", "WHO", "STATE", "FENCES")
    )
    rows: list[tuple[str, ...]] = []
    for ticket in tickets:
        fences = ", ".join(f"{pool} {fence}" for pool, fence in ticket.fences)
        last = f"{ticket.run_priority}, {ticket.priority}" if waiting else fences
        rows.append((ticket.ticket, _needs(ticket), _who(ticket), _state(ticket), last))
    _show(names, rows)


def _show(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Shows a table on a terminal, and lines of tabs elsewhere."""
    safe = [[shown(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        write_result("".join("\t".join(line).rstrip() + "\n" for line in [list(names), *safe]))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in safe:
        table.add_row(*[Text(cell) for cell in row])
    Console(highlight=False).print(table)


def _pool_row(view: PoolView) -> tuple[str, ...]:
    each = "" if view.quota.per_key is None else str(view.quota.per_key)
    paused = "paused" if view.paused else ""
    return (view.pool, str(view.used), _limit(view.quota.limit), each, str(view.waiting), view.source, paused)


def _state(ticket: TicketView) -> str:
    if ticket.state == "held":
        return "holds"
    return "gathers" if ticket.gathering else "waits" if ticket.ready else "waits (not ready)"


def _who(ticket: TicketView) -> str:
    process = f"{ticket.label or ticket.host}:{ticket.process}"
    return " ".join([part for part in (process, ticket.run, ticket.op) if part])


def _needs(ticket: TicketView) -> str:
    return ", ".join(
        f"{need.amount} × {need.pool}{'' if need.key is None else f':{need.key}'}" for need in ticket.needs
    )


def _names(ticket: TicketView, pool: str) -> bool:
    return any(need.pool == pool for need in ticket.needs)


def _pool_data(view: PoolView) -> dict[str, Any]:
    return {
        "pool": view.pool,
        "limit": view.quota.limit,
        "per_key": view.quota.per_key,
        "from": view.source,
        "used": view.used,
        "waiting": view.waiting,
        "paused": view.paused,
        "fence": view.fence,
    }


def _ticket_data(ticket: TicketView) -> dict[str, Any]:
    return {
        "ticket": ticket.ticket,
        "state": ticket.state,
        "needs": [{"pool": need.pool, "key": need.key, "amount": need.amount} for need in ticket.needs],
        "run_priority": ticket.run_priority,
        "priority": ticket.priority,
        "ready": ticket.ready,
        "gathering": ticket.gathering,
        "since": ticket.since,
        "expires": ticket.expires,
        "host": ticket.host,
        "process": ticket.process,
        "label": ticket.label,
        "run": ticket.run,
        "op": ticket.op,
        "fences": dict(ticket.fences),
    }


def _limit(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


def _number(text: str, what: str) -> int | None:
    if text in {"unlimited", "none"}:
        return None
    if not text.isascii() or not text.isdigit():
        raise ConfigurationError(f"{what} must be a whole number from 0, or unlimited; got {text!r:.40}")
    return int(text)


def _write(data: dict[str, Any]) -> None:
    write_result(json.dumps(data, indent=2, ensure_ascii=True) + "\n")


def _say(text: str) -> None:
    error_console().print(Text(shown(text)))
