"""What a URL of Redis says: where the server is, how to get in, and what messages may show of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs, unquote, urlsplit

from asyncflow.errors import ConfigurationError

QUERY: Final = frozenset(
    {
        "db",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "ssl_password",
    }
)
"""What may stand behind the question mark; the rest would change what is relied on."""


class Connection(Protocol):
    """What is used of the driver."""

    async def connect(self) -> None:
        """Connects, and identifies itself."""

    async def disconnect(self, nowait: bool = False) -> None:
        """Closes the socket."""

    async def send_command(self, *args: str | bytes | float) -> None:
        """Writes a command."""

    async def read_response(self, *, timeout: float | None = None) -> object:  # noqa: ASYNC109 — the driver's
        """Reads an answer, or raises what the server answered."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and how to get in."""

    url: str = field(repr=False)
    name: str
    secrets: tuple[str, ...] = field(repr=False)

    @staticmethod
    def of(url: str) -> Place:
        """Reads a URL.

        Raises:
            ConfigurationError: naming what is wrong with it, without any password.
        """
        try:
            parts = urlsplit(url)
            host, port, query = parts.hostname or "", parts.port, parse_qs(parts.query)
        except ValueError:
            raise ConfigurationError("the URL of Redis cannot be read; write redis://host:6379/0") from None
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ConfigurationError(
                f"a URL of Redis begins with redis://, rediss:// (TLS) or unix:// (a socket), not {parts.scheme!r:.40}"
            )
        name = _name(parts.scheme, host, port, parts.path, query)
        for key in query:
            if key not in QUERY:
                raise ConfigurationError(f"{name}: {key!r:.40} is no option of this URL; known are {sorted(QUERY)}")
        database = parts.path.strip("/") if parts.scheme != "unix" else ""
        if database and not database.isdecimal():
            raise ConfigurationError(f"{name}: what follows the host is the number of a database")
        if parts.scheme == "unix" and not parts.path.strip("/"):
            raise ConfigurationError("a URL of Redis by a socket names its path: unix:///run/redis.sock")
        return Place(url, name, tuple(text for text in _secrets(parts.username, parts.password, query) if text))

    def connection(self, connect_timeout: float, moved: tuple[str, int] | None = None) -> Connection:
        """Returns a connection that is not connected yet.

        Raises:
            ConfigurationError: The driver is missing, or does not take the URL.
        """
        try:
            from redis.asyncio import ConnectionPool  # noqa: PLC0415 — a driver
            from redis.asyncio.retry import Retry  # noqa: PLC0415 — a driver
            from redis.backoff import NoBackoff  # noqa: PLC0415 — a driver
        except ImportError:
            raise ConfigurationError(f"{self.name} needs the driver: pip install 'asyncflow-executor[redis]'") from None
        options: dict[str, object] = {
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
        }
        if not self.name.startswith("unix:"):
            options |= {"socket_keepalive": True, "socket_keepalive_options": _keepalive()}
        trusting = parse_qs(urlsplit(self.url).query).get("ssl_cert_reqs") == ["none"]
        if self.name.startswith("rediss:") and not trusting:
            options["ssl_check_hostname"] = True  # older drivers would not
        try:
            make = cast("Any", ConnectionPool).from_url  # reason: the driver's options are not typed
            pool = make(self.url, **options)
            if moved is not None:
                pool.connection_kwargs.update(host=moved[0] or pool.connection_kwargs.get("host"), port=moved[1])
            return cast("Connection", pool.make_connection())
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{self.name} cannot be used: {self.clean(str(error))}") from None

    def clean(self, text: str) -> str:
        """Returns a text without the secrets of this place."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text[:300]


def _name(scheme: str, host: str, port: int | None, path: str, query: dict[str, list[str]]) -> str:
    """Returns the address without user, password and options."""
    shown = f"[{host}]" if ":" in host else host
    if port is not None:
        shown += f":{port}"
    if "db" in query and scheme != "unix":
        path = f"/{query['db'][0]}"
    return f"{scheme}://{shown}{path}"


def _secrets(user: str | None, password: str | None, query: dict[str, list[str]]) -> list[str]:
    plain = [text for text in (user, password) if text and len(text) > 2]
    return [*plain, *map(unquote, plain), *query.get("ssl_password", ())]


def _keepalive() -> dict[int, int]:
    """Returns options under which a dead peer of an idle connection is noticed in about ten seconds."""
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
