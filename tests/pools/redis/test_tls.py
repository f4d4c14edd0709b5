"""TLS: what is trusted, what is refused at once."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from asyncflow.errors import BadRequest, PoolBackendUnavailable
from asyncflow.pools import RedisPools, SessionSpec
from tests.pools.redis.server import Server
from tests.pools.redis.test_cancellation import cut


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """A context of a server with a certificate for a name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """Who signs, and the file that says so."""
    made = trustme.CA()
    file = tmp_path / "ca.pem"
    made.cert_pem.write_to_path(str(file))
    return made, file


async def test_who_is_trusted_is_spoken_to(server: Server, authority: tuple[trustme.CA, Path], namespace: str) -> None:
    """rediss:// with the authority's file: calls and hints go through TLS."""
    async with cut(server, server_side(authority[0], "127.0.0.1")) as way:
        pools = RedisPools(f"rediss://127.0.0.1:{way.port}?ssl_ca_certs={authority[1]}")
        assert (await pools.open(SessionSpec("s", namespace))).fresh
        hints = pools.watch("s")
        await anext(hints)
        await hints.aclose()
        await pools.close("s")
        await pools.disconnect()


@pytest.mark.parametrize("fault", ["unknown authority", "another name"])
async def test_who_is_not_trusted_is_refused_at_once(
    server: Server, authority: tuple[trustme.CA, Path], namespace: str, fault: str
) -> None:
    """A certificate of nobody known, or for another host: BadRequest that says so, without the password."""
    name = "127.0.0.1" if fault == "unknown authority" else "elsewhere.example"
    async with cut(server, server_side(authority[0], name)) as way:
        query = "" if fault == "unknown authority" else f"?ssl_ca_certs={authority[1]}"
        pools = RedisPools(f"rediss://:my-secret@127.0.0.1:{way.port}{query}")
        with pytest.raises(BadRequest, match="certificate is not accepted") as caught:
            await pools.open(SessionSpec("s", namespace))
        assert "my-secret" not in str(caught.value)
        await pools.disconnect()


async def test_a_server_without_tls_is_named_as_a_possibility(server: Server, namespace: str) -> None:
    """rediss:// to a server that speaks plainly: unavailable in time, and the question is asked."""
    pools = RedisPools(f"rediss://127.0.0.1:{server.port}", connect_timeout=0.3)
    with pytest.raises(PoolBackendUnavailable, match="speak TLS"):
        await pools.open(SessionSpec("s", namespace))
    await pools.disconnect()


async def test_who_asks_for_no_check_gets_none(
    server: Server, authority: tuple[trustme.CA, Path], namespace: str
) -> None:
    """ssl_cert_reqs=none in the URL, and only that, speaks to anybody."""
    async with cut(server, server_side(authority[0], "elsewhere.example")) as way:
        pools = RedisPools(f"REDISS://127.0.0.1:{way.port}?ssl_cert_reqs=none&ssl_check_hostname=false")
        assert (await pools.open(SessionSpec("s", namespace))).fresh
        await pools.disconnect()
