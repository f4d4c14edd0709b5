"""The agent: the only one in this process that talks to a pool backend.

Others tell it what they want in plain calls that never wait; what is said in one turn of the loop travels as one batch.
It is kept until the backend has answered, and said again after any doubt, since a backend takes everything twice
without harm. No cancellation of user code ever reaches a driver.

A session is lost when the backend says so, or when no renewal succeeded for nine tenths of its TTL: then everything it
held is told as lost before the backend can have given it to others, and what waits is asked for again in a new session,
with its age.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from asyncflow._leases.desk import Desk
from asyncflow._leases.heartbeat import BEATS, Heartbeat
from asyncflow._leases.listener import Away, Listener, Rhythm
from asyncflow.errors import BackendCorrupt, BadRequest, PoolBackendError, PoolBackendUnavailable, SchemaMismatch
from asyncflow.pools import Batch, PoolBackend, PoolSpec, PoolView, Reply, SessionSpec, Snapshot

MARGIN: Final = 0.9
"""The part of a TTL after which a session that was not renewed counts as lost here."""

BACK_OFF: Final = (0.05, 2.0)
"""Seconds between two tries while the backend is away: at first, and at most."""

FAREWELL: Final = 2.0
"""Seconds that closing may take."""


class Agent:
    """One process at one backend.

    Args:
        backend: The place.
        session: Who this is; a fresh id is made for each session.
        pools: What its code says of pools.
        rhythm: How often and how long.
        listener: Who is told.
        spawn: Starts a task.
    """

    def __init__(
        self,
        backend: PoolBackend,
        session: SessionSpec,
        pools: Sequence[PoolSpec],
        *,
        rhythm: Rhythm,
        listener: Listener,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.backend = backend
        self.session = session
        self.pools = list(pools)
        self.rhythm = rhythm
        self.listener = listener
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self.desk = Desk(listener, self._loop.time, self.ring)
        self._orders: list[tuple[Batch, asyncio.Future[Reply]]] = []
        self._bell = asyncio.Event()
        self._look = False
        self._heartbeat: Heartbeat | None = None
        self._renewed = 0.0
        self._away: Away | None = None
        self._in_jeopardy = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ear: asyncio.Task[None] | None = None
        self._mouth: asyncio.Task[None] | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "away" if self._away else "open"
        return f"<agent at {self.backend.name} {state} {self.desk!r}>"

    # ── open and close ────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Opens the session and begins to work.

        Raises:
            PoolBackendError: where the backend cannot be used; nothing is left of it.
        """
        try:
            await self._begin_session()
            self.listener.viewed(await self._all_pools())
        except BaseException:
            await self._farewell()
            raise
        self._mouth = self._keep(self._live())
        self._hear()

    async def close(self) -> None:
        """Gives everything back and ends the session; what cannot be said within two seconds is left to the TTL."""
        if not self._closed:
            self._closed = True
            for task in tuple(self._tasks):
                task.cancel()
            for task in tuple(self._tasks):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            for _, order in self._orders:
                if not order.done():
                    order.set_exception(PoolBackendUnavailable(f"{self.backend.name} was left before it answered"))
            await self._farewell()

    async def _farewell(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        with contextlib.suppress(PoolBackendError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.backend.close(self.session.id)
        await self.backend.disconnect()
        if self._heartbeat is not None:
            await self._loop.run_in_executor(None, self._heartbeat.join)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _hear(self) -> None:
        """Watches the session that is open now, and no other."""
        if self._ear is not None:
            self._ear.cancel()
        self._ear = self._keep(self._listen(self.session.id))

    async def _begin_session(self) -> None:
        """Opens a session with a new id, and lets it be renewed."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self.session = replace(self.session, id=uuid.uuid4().hex, process=os.getpid())
        before = time.monotonic()
        grant = await self.backend.open(self.session, self.pools)
        self._renewed = before
        self._in_jeopardy = False
        self.desk.begin(self.session.id)
        if self.backend.capabilities.cross_process:
            self._heartbeat = Heartbeat(
                self.backend.twin(), self.session.id, ttl=self.rhythm.ttl, told=self._beat_from_thread
            )
            self._heartbeat.renewed = before
            self._heartbeat.start()
        if grant.conflicts:
            self.listener.conflicts(grant.conflicts)

    # ── what others want ──────────────────────────────────────────────────────────────────────────────────────────

    async def order(self, batch: Batch) -> Reply:
        """Does what an operator asks, and returns the reply. Cancelled, it is done all the same.

        Raises:
            PoolBackendUnavailable: The backend is away.
        """
        if self._away is not None:
            raise PoolBackendUnavailable(f"{self.backend.name} is away: {self._away.error}")
        done: asyncio.Future[Reply] = self._loop.create_future()
        self._orders.append((batch, done))
        self.ring()
        return await done

    def post(self, batch: Batch) -> None:
        """Does what an operator asks, some time soon."""
        done: asyncio.Future[Reply] = self._loop.create_future()
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._orders.append((batch, done))
        self.ring()

    async def check(self, ticket: str) -> bool:
        """Asks the backend whether a held ticket is still held."""
        reply = await self.order(Batch())
        return reply.alive and self.desk.holds(ticket)

    async def snapshot(self, *, limit: int = 100, after: int | None = None) -> Snapshot:
        """Returns what the backend knows of this namespace."""
        reader = self.backend.twin()
        try:
            return await reader.snapshot(self.session.namespace, limit=limit, after=after)
        finally:
            await reader.disconnect()

    def remaining(self) -> float:
        """Returns for how many seconds this process may count on what it holds."""
        return max(0.0, self._last_renewal() + MARGIN * self.rhythm.ttl - time.monotonic())

    def ring(self) -> None:
        """There is something to do."""
        self._bell.set()

    # ── the work ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> None:
        """Talks to the backend whenever there is something to say or to hear."""
        while not self._closed:
            try:
                await self._step()
            except PoolBackendError as error:
                await self._failed(error)

    async def _step(self) -> None:
        if self._overdue():
            await self._lose("it was not renewed in time")
            return
        if self._orders:
            await self._give_order()
        elif self.desk.has_news or self._look or self._renewal_due():
            self._look = False
            batch = self.desk.batch()
            if self._renewal_due():
                batch = replace(batch, renew=self.rhythm.ttl)
            before = time.monotonic()
            reply = await self.backend.exchange(self.session.id, batch)
            if batch.renew is not None and reply.alive:
                self._renewed = before
            self.desk.heard(batch)
            await self._answered(reply)
        else:
            await self._wait(self._next_look())

    async def _give_order(self) -> None:
        batch, done = self._orders[0]
        try:
            reply = await self.backend.exchange(self.session.id, batch)
        except PoolBackendError as error:
            self._orders.pop(0)
            if not done.done():
                done.set_exception(error)
            raise
        self._orders.pop(0)
        await self._answered(reply)
        if reply.alive and (batch.define or batch.unset or batch.pause or batch.resume):
            self.listener.viewed(await self._all_pools())
        if not done.done():
            done.set_result(reply)

    async def _answered(self, reply: Reply) -> None:
        """Tells what a reply says."""
        if self._away is not None:
            self.listener.back(self._loop.time() - self._away.since)
            self._away = None
        if not reply.alive:
            await self._lose("the backend does not know it any more")
            return
        self.desk.answered(reply)

    async def _lose(self, why: str) -> None:
        """The session is over: tells what was held, and asks for what waits in a new one."""
        self.desk.lose(why)
        await self._begin_session()
        self._hear()
        self.ring()
        self.listener.viewed(await self._all_pools())

    async def _failed(self, error: PoolBackendError) -> None:
        """The backend did not do it: waits a little, and gives up on those who have waited too long."""
        now = self._loop.time()
        hopeless = isinstance(error, (BadRequest, SchemaMismatch, BackendCorrupt))
        if self._away is None:
            self._away = Away(self.backend.name, now, 1, error)
            self.listener.away(self._away)
        else:
            self._away = replace(self._away, attempts=self._away.attempts + 1, error=error)
        self.desk.give_up(
            self._away.since,
            0.0 if hopeless else self.rhythm.unavailable_after,
            error if hopeless else self._unavailable(),
        )
        least, most = BACK_OFF
        longest = min(most, least * 2 ** min(self._away.attempts, 10))
        until = self._loop.time() + random.uniform(least, longest)  # noqa: S311 — spreads load, guards nothing
        while (left := until - self._loop.time()) > 0:
            if self._overdue():
                self.desk.lose("it could not be renewed, since the backend is away")
            await asyncio.sleep(min(left, max(self.rhythm.ttl / 20, 0.01)))

    def _unavailable(self) -> PoolBackendUnavailable:
        away = self._away
        if away is None:
            return PoolBackendUnavailable(f"{self.backend.name} does not answer")
        seconds = self._loop.time() - away.since
        return PoolBackendUnavailable(
            f"{away.backend} has not answered for {seconds:.1f} s ({away.attempts} attempts, unavailable_after="
            f"{self.rhythm.unavailable_after:g} s): {away.error}"
        )

    # ── waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait(self, seconds: float) -> None:
        """Waits for a ring, for the rhythm, or until the session is over."""
        self._watch_lease()
        self._bell.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()
            return
        self._look = self.desk.waiting or self._look

    def _next_look(self) -> float:
        """Returns for how long there is nothing to do."""
        left = self._last_renewal() + MARGIN * self.rhythm.ttl - time.monotonic()
        seconds = min(max(left, 0.01), self.rhythm.ttl / (2 * BEATS))
        if self.desk.waiting:
            seconds = min(seconds, self.rhythm.poll_interval)
        return seconds

    def _watch_lease(self) -> None:
        silent = time.monotonic() - self._last_renewal()
        if silent > self.rhythm.ttl / 2:
            if not self._in_jeopardy:
                self._in_jeopardy = True
                self.listener.jeopardy(silent)
        else:
            self._in_jeopardy = False

    def _renewal_due(self) -> bool:
        """Tells whether the agent itself has to renew: where no thread does."""
        return self._heartbeat is None and time.monotonic() - self._renewed >= self.rhythm.ttl / BEATS

    def _overdue(self) -> bool:
        return time.monotonic() - self._last_renewal() >= MARGIN * self.rhythm.ttl

    def _last_renewal(self) -> float:
        return self._renewed if self._heartbeat is None else self._heartbeat.renewed

    def _beat_from_thread(self, moment: float, reply: Reply) -> None:
        news = not reply.alive or bool(reply.grants or reply.gone)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._beat, moment, time.monotonic(), news)

    def _beat(self, moment: float, posted: float, news: bool) -> None:
        del moment
        lag = time.monotonic() - posted
        if lag > self.rhythm.ttl / BEATS:
            self.listener.lagged(lag)
        if news:
            self._look = True
            self.ring()

    async def _listen(self, session: str) -> None:
        """Turns hints into looks."""
        while not self._closed:
            hints = self.backend.watch(session)
            try:
                async for _ in hints:
                    if self.desk.busy:
                        self._look = True
                        self.ring()
            except PoolBackendError:
                await asyncio.sleep(self.rhythm.poll_interval)
            finally:
                await hints.aclose()

    async def _all_pools(self) -> tuple[PoolView, ...]:
        return (await self.backend.snapshot(self.session.namespace, limit=1)).pools
