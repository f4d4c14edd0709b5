"""Pools in Redis or Valkey: for the processes of several machines.

The rules run in the server, as one script that is one step (`_redis/*.lua`); this side sends batches and reads answers.
Needs the extra `redis`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from asyncflow.errors import BadRequest
from asyncflow.pools import wire
from asyncflow.pools._redis.hints import heard, polled
from asyncflow.pools._redis.link import Link
from asyncflow.pools._redis.place import Place
from asyncflow.pools._redis.script import channel, keys
from asyncflow.pools.messages import Batch, Capabilities, PoolSpec, Reply, SessionGrant, SessionSpec, Snapshot
from asyncflow.pools.protocol import MAX_OVERTAKES, SCHEMA_VERSION

CAPABILITIES: Final = Capabilities(cross_process=True, cross_machine=True, push_wakeups=True, durable=False)


class RedisPools:
    """Pools in a Redis or Valkey server, of version 6.2 or later, alone or as a cluster.

    It uses one connection for calls, which is never shared between two calls and dropped on any doubt, and one for each
    `watch`. Nothing is tried again by itself but what certainly did not happen: a script that the server has forgotten,
    and keys that a cluster has elsewhere.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://…` (TLS), or `unix:///path`. Options of TLS may follow:
            `?ssl_ca_certs=…`.
        connect_timeout: Seconds for connecting.
        command_timeout: Seconds for a call once connected.
        poll_interval: Seconds between hints where nothing happens, give or take a fifth.
        poll_only: Gives hints in that rhythm only, for servers behind something that cannot subscribe.

    Raises:
        ConfigurationError: The URL cannot be read.

    Leases survive a restart of the server as far as its data do (`appendonly yes`); what is lost is reported as lost.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 2.0,
        command_timeout: float = 3.0,
        poll_interval: float = 2.0,
        poll_only: bool = False,
    ) -> None:
        self.connect_timeout = connect_timeout
        self.command_timeout = command_timeout
        self.poll_interval = poll_interval
        self.poll_only = poll_only
        self._place = Place.of(url)
        self._of: dict[str, str] = {}
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._link = self._new_link()

    def __repr__(self) -> str:
        """Tells where it is, and whether it is connected."""
        return f"<{self.name}{'' if self._link.connection is None else ', connected'}>"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    @property
    def name(self) -> str:
        """What messages call it: its address without user, password and options."""
        return self._place.name

    def twin(self) -> RedisPools:
        """Returns another object for the same server, with connections of its own."""
        twin = RedisPools(
            self._place.url,
            connect_timeout=self.connect_timeout,
            command_timeout=self.command_timeout,
            poll_interval=self.poll_interval,
            poll_only=self.poll_only,
        )
        twin._of = self._of
        return twin

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        """Opens a session.

        Raises:
            PoolBackendUnavailable: The server did not answer.
            SchemaMismatch: What is kept there is of another version, or not ours.
            BadRequest: The server refuses us for good, or would throw keys away when its memory is full.
            ConfigurationError: The driver is not installed.
        """
        self._enter()
        self._of[session.id] = session.namespace
        return wire.grant_of_session(
            await self._call("open", session.namespace, session.id, wire.session_text(session, pools))
        )

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        """Does a batch.

        Raises:
            PoolBackendUnavailable: It may or may not have happened; send it again.
            BackendCorrupt: What is kept cannot be read.
            BadRequest: The server refuses us for good.
        """
        self._enter()
        text = await self._call("exchange", self._of.get(session_id), session_id, wire.batch_text(batch))
        reply = wire.reply_of(text)
        if not reply.alive:
            self._of.pop(session_id, None)
        return reply

    def watch(self, session_id: str) -> AsyncGenerator[None, None]:
        """Gives hints.

        Raises:
            BadRequest: The server refuses us for good.
        """
        if self.poll_only:
            return polled(self.poll_interval)
        return heard(self._new_link(), lambda: channel(self._of.get(session_id), session_id), self.poll_interval)

    async def snapshot(self, namespace: str, *, limit: int = 100, after: int | None = None) -> Snapshot:
        """Returns a page of what is there.

        Raises:
            PoolBackendUnavailable: The server did not answer.
            BackendCorrupt: What is kept cannot be read.
        """
        return wire.snapshot_of(
            await self._call("snapshot", namespace, "", json.dumps({"limit": limit, "after": after}))
        )

    async def close(self, session_id: str) -> None:
        """Ends a session.

        Raises:
            PoolBackendUnavailable: It may not have happened; it may be called again.
        """
        self._enter()
        namespace = self._of.get(session_id)
        if namespace is not None:
            await self._call("close", namespace, session_id, "{}")
            self._of.pop(session_id, None)

    async def disconnect(self) -> None:
        """Closes the connection for calls, once no call uses it."""
        with contextlib.suppress(Exception):
            self._enter()
            async with self._turn:
                await self._link.drop(wait=True)

    async def _call(self, entry: str, namespace: str | None, session_id: str, text: str) -> bytes:
        self._enter()
        args = (entry, str(SCHEMA_VERSION), str(MAX_OVERTAKES), session_id, text)
        async with self._turn:
            return await self._link.run(keys(namespace), args)

    def _enter(self) -> None:
        """Sees to it that this loop may use this object.

        Raises:
            BadRequest: Another loop does.
        """
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._pid, self._of = os.getpid(), {}
            self._forget()
        if self._loop is None or self._loop.is_closed():
            self._forget()
            self._loop = loop
        elif self._loop is not loop:
            raise BadRequest(f"{self.name} is used by another event loop; give this one a `twin()` of it")

    def _forget(self) -> None:
        """Leaves the connection of a parent process, or of a loop that has ended, as it is."""
        if self._link.connection is not None:
            _ORPHANS.append(self._link.connection)
        self._loop, self._turn, self._link = None, asyncio.Lock(), self._new_link()

    def _new_link(self) -> Link:
        return Link(self._place, self.connect_timeout, self.command_timeout)


_ORPHANS: Final[list[object]] = []
"""What must neither be used nor closed."""
