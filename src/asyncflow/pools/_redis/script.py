"""The script that is the state machine, as the server gets it. Nothing is ever written into its text."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

PARTS: Final = ("rows.lua", "lines.lua", "grants.lua", "batches.lua", "calls.lua")

KEYS: Final = ("meta", "pools", "sessions", "expiry", "tickets", "counts", "index")

NOWHERE: Final = "%"
"""Stands for the namespace of a session that this process never opened; no encoded name is a bare percent sign."""


@cache
def source() -> str:
    """Returns the script."""
    folder = files("asyncflow.pools._redis")
    return "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in PARTS)


@cache
def digest() -> str:
    """Returns what the server calls the script."""
    return hashlib.sha1(source().encode(), usedforsecurity=False).hexdigest()


def prefix(namespace: str | None) -> str:
    """Returns what all keys and channels of a namespace begin with; the braces keep them on one node of a cluster."""
    return f"asyncflow:{{{NOWHERE if namespace is None else quote(namespace, safe='')}}}:"


def keys(namespace: str | None) -> tuple[str, ...]:
    """Returns all keys of a namespace."""
    begin = prefix(namespace)
    return tuple(begin + key for key in KEYS)


def channel(namespace: str | None, session: str) -> str:
    """Returns where hints for a session are published."""
    return f"{prefix(namespace)}wake:{session}"
