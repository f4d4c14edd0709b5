"""Messages as JSON text, for backends whose state machine runs in the server.

Times are whole microseconds and go as numbers; what comes back may be a number or its digits as text, since not every
server writes large numbers in full. An empty list may come back as an empty object (Lua does not tell them apart).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from asyncflow.errors import BackendCorrupt
from asyncflow.pools.messages import (
    Batch,
    Claim,
    Conflict,
    Grant,
    Need,
    PoolSpec,
    PoolView,
    Quota,
    Refusal,
    Reply,
    SessionGrant,
    SessionSpec,
    Snapshot,
    TicketView,
    Usage,
)

MICRO = 1_000_000


def session_text(session: SessionSpec, pools: Sequence[PoolSpec]) -> str:
    """Returns what `open` sends: the session, its default limit, and pools as [name, limit, per_key]."""
    return _text(
        {
            "id": session.id,
            "ttl": micros(session.ttl),
            "host": session.host,
            "process": session.process,
            "label": session.label,
            "default": session.default_limit,
            "visitor": session.visitor,
            "pools": [[spec.pool, spec.quota.limit, spec.quota.per_key] for spec in pools],
        }
    )


def batch_text(batch: Batch) -> str:
    """Returns what `exchange` sends: an object with the fields of `Batch`; those that are empty are left out."""
    fields: dict[str, object] = {
        "renew": None if batch.renew is None else micros(batch.renew),
        "releases": [[release.ticket, release.pool] for release in batch.releases],
        "cancels": batch.cancels,
        "seen": batch.seen,
        "ready": batch.ready,
        "reprioritise": [[move.ticket, move.run_priority, move.priority] for move in batch.reprioritise],
        "define": [[define.pool, define.quota.limit, define.quota.per_key] for define in batch.define],
        "unset": batch.unset,
        "pause": batch.pause,
        "resume": batch.resume,
        "revoke": batch.revoke,
        "claims": [_claim(claim) for claim in batch.claims],
    }
    return _text({name: value for name, value in fields.items() if value})


def _claim(claim: Claim) -> list[object]:
    return [
        claim.ticket,
        needs_data(claim.needs),
        claim.run_priority,
        claim.priority,
        micros(claim.age),
        claim.ready,
        claim.nested,
        claim.run,
        claim.op,
    ]


def needs_data(needs: Sequence[Need]) -> list[list[object]]:
    """Returns needs as [pool, key or null, amount]."""
    return [[need.pool, need.key, need.amount] for need in needs]


def needs_of(data: object) -> tuple[Need, ...]:
    """Reads needs as `needs_data` writes them."""
    return tuple(Need(pool, int(amount), key) for pool, key, amount in _list(data))


def grant_of_session(text: str | bytes) -> SessionGrant:
    """Reads {"now", "fresh", "conflicts": [[pool, limit, per_key, limit now, per_key now]]}."""
    data = _object(text)
    try:
        return SessionGrant(
            seconds(data["now"]),
            bool(data["fresh"]),
            tuple(
                Conflict(pool, Quota(_number(limit), _number(each)), Quota(_number(now), _number(now_each)))
                for pool, limit, each, now, now_each in _list(data.get("conflicts"))
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None


def reply_of(text: str | bytes) -> Reply:
    """Reads an object with the fields of `Reply`, as lists in the order of the fields of what they hold.

    `now` and `next` are microseconds; grants [ticket, [[pool, fence] …]], refusals [ticket, pool, key, amount, limit],
    usage [pool, used, limit, paused].
    """
    data = _object(text)
    try:
        return Reply(
            alive=bool(data["alive"]),
            server_time=seconds(data["now"]),
            grants=tuple(Grant(ticket, _fences(fences)) for ticket, fences in _list(data.get("grants"))),
            gone=tuple(_list(data.get("gone"))),
            refused=tuple(
                Refusal(ticket, pool, key, int(amount), int(limit))
                for ticket, pool, key, amount, limit in _list(data.get("refused"))
            ),
            usage=tuple(
                Usage(pool, int(used), _number(limit), bool(paused))
                for pool, used, limit, paused in _list(data.get("usage"))
            ),
            next_expiry=None if data.get("next") is None else seconds(data["next"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None


def snapshot_of(text: str | bytes) -> Snapshot:
    """Reads {"now", "pools", "tickets", "next"}.

    Pools are [pool, limit, per_key, source, used, waiting, paused, fence]; tickets [ticket, session, state, needs, run
    priority, priority, ready, gathering, since, expires, host, process, label, run, op, fences].
    """
    data = _object(text)
    try:
        return Snapshot(
            seconds(data["now"]),
            tuple(
                PoolView(
                    pool, Quota(_number(limit), _number(each)), source, int(used), int(waits), bool(paused), int(fence)
                )
                for pool, limit, each, source, used, waits, paused, fence in _list(data.get("pools"))
            ),
            tuple(_ticket(row) for row in _list(data.get("tickets"))),
            _number(data.get("next")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None


def _ticket(row: Sequence[Any]) -> TicketView:
    (ticket, session, state, needs, run_priority, priority, ready, gathering) = row[:8]
    (since, expires, host, process, label, run, op, fences) = row[8:]
    return TicketView(
        ticket,
        session,
        state,
        needs_of(needs),
        int(run_priority),
        int(priority),
        bool(ready),
        bool(gathering),
        seconds(since),
        seconds(expires),
        host,
        int(process),
        label,
        run,
        op,
        _fences(fences),
    )


def micros(value: float) -> int:
    """Returns seconds as whole microseconds."""
    return round(value * MICRO)


def seconds(value: str | float) -> float:
    """Returns microseconds, or their digits, as seconds."""
    return int(value) / MICRO


def _fences(data: object) -> tuple[tuple[str, int], ...]:
    return tuple((pool, int(fence)) for pool, fence in _list(data))


def _number(value: str | float | None) -> int | None:
    return None if value is None else int(value)


def _list(data: object) -> Sequence[Any]:
    """Returns a list, also where an empty one arrived as an object or as nothing."""
    return cast("Sequence[Any]", data) if isinstance(data, list) else ()


def _object(text: str | bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _unreadable(error) from None
    if not isinstance(data, dict):
        raise _unreadable(TypeError(f"{type(data).__name__} instead of an object"))
    return cast("Mapping[str, Any]", data)


def _text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _unreadable(error: Exception) -> BackendCorrupt:
    return BackendCorrupt(f"the backend's answer cannot be read ({type(error).__name__}: {error!s:.200})")
