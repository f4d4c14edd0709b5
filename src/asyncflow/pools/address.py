"""A backend from its address."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.pools.protocol import PoolBackend
from asyncflow.pools.redis import RedisPools
from asyncflow.pools.sqlite import SQLitePools

SCHEMES: Final = ("sqlite", "redis", "rediss", "unix", "postgresql", "postgres")


def backend_of(url: str) -> PoolBackend:
    """Returns the backend that a URL names; nothing is connected yet.

    Args:
        url: `sqlite:///pools.db` (a path from here; four slashes for one from the root), `redis://…`, `rediss://…`,
            `unix://…` (Redis by a socket), or `postgresql://…`.

    Raises:
        ConfigurationError: naming what is wrong with it, without any password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        near = did_you_mean(scheme, SCHEMES)
        raise ConfigurationError(
            f"pools={redacted(url)!r} is no address of a pool backend{near}; give sqlite:///pools.db, redis://host:6379,"
            " or postgresql://host/database"
        )
    if scheme == "sqlite":
        path = unquote(rest.removeprefix("/"))
        if not path or not rest.startswith("/"):
            raise ConfigurationError(
                f"pools={url!r} names no file; write sqlite:///pools.db, or four slashes for a path from the root"
            )
        return SQLitePools(path)
    if scheme in {"redis", "rediss", "unix"}:
        return RedisPools(url)
    raise ConfigurationError(f"pools={redacted(url)!r}: there is no backend for {scheme} yet")


def redacted(url: str) -> str:
    """Returns a URL without user, password and query, as messages may show it."""
    try:
        parts = urlsplit(url)
        place = parts.hostname or ""
        place = f"[{place}]" if ":" in place else place
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    return urlunsplit((parts.scheme, place + port, parts.path, "", ""))
