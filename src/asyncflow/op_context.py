"""What an op can ask and tell about itself while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asyncflow._executor import attempt_of, release_early
from asyncflow._observers import logger
from asyncflow.errors import ConfigurationError, LeaseLost
from asyncflow.events import OpEmitted, OpProgress
from asyncflow.ids import check_name
from asyncflow.options import check_pool_name

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from asyncflow._executor import Engine, Execution, Remote, RunState, Ticket
    from asyncflow._limits import Claim


class Lease:
    """What this process holds of a pool that a backend counts, on behalf of the op that runs here.

    A lease is not a lock: a process that was frozen may find that it ended long ago. Where something outside must never
    see two holders, give it the `fence`, and let it refuse a smaller one than it has seen.

    Attributes:
        pool: The pool.
        fence: A number that grows with every grant of the pool, in all processes.
    """

    __slots__ = ("_remote", "_ticket", "fence", "pool")

    def __init__(self, remote: Remote, ticket: Ticket, pool: str) -> None:
        self._remote = remote
        self._ticket = ticket
        self.pool = pool
        self.fence = ticket.fences[pool]

    def remaining(self) -> float:
        """Returns for how many seconds it holds if nothing is heard of the backend any more; 0 once it is lost."""
        return 0.0 if self._ticket.lost is not None else self._remote.agent.remaining()

    async def check(self) -> None:
        """Asks the backend whether it still holds: one round trip.

        Raises:
            LeaseLost: It does not.
            PoolBackendUnavailable: The backend does not answer.
        """
        held = self._ticket.lost is None and await self._remote.agent.check(self._ticket.id)
        if not held:
            raise LeaseLost(
                f"the lease on pool {self.pool!r} (fence {self.fence}) is lost: {self._ticket.why or 'it ended'}",
                pool=self.pool,
                fence=self.fence,
            )

    def __repr__(self) -> str:
        return f"<lease on {self.pool} fence={self.fence}{'' if self._ticket.lost is None else ' lost'}>"


class OpContext:
    """The op that runs here. Made by `context()`; of no more use once this attempt has ended."""

    __slots__ = ("_claim", "_log", "attempt", "key", "run_id")

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._log: FilteringBoundLogger | None = None
        frame, i = claim.owner
        self.run_id: str = frame.run.id
        self.key: str = frame.key(i)
        self.attempt: int = attempt_of(frame, i)
        self._live()

    @property
    def map_key(self) -> str | None:
        """The name of the item, where it is an item of an `each`; the innermost one where they are nested."""
        frame, i = self._claim.owner
        key: str = frame.nodes[i].key
        opened, closed = key.rfind("["), key.rfind("]")
        return key[opened + 1 : closed] if opened >= 0 else None

    @property
    def tags(self) -> Mapping[str, str]:
        """The op's tags; the body of a graph has none."""
        frame, i = self._claim.owner
        op = frame.nodes[i].op
        tags: Mapping[str, str] = MappingProxyType({}) if op is None else op.options.tags
        return tags

    @property
    def run_tags(self) -> Mapping[str, str]:
        """The run's tags."""
        return MappingProxyType(self._run.tags)

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger with run, graph, op and attempt bound; it writes where the application said."""
        if self._log is None:
            about = {"run_id": self.run_id, "graph": self._run.graph, "op": self.key, "attempt": self.attempt}
            if self.map_key is not None:
                about["map_key"] = self.map_key
            bound: FilteringBoundLogger = logger().bind(**about)
            self._log = bound
        return self._log

    @property
    def leases(self) -> Mapping[str, Lease]:
        """What this op holds of pools that a backend counts, by pool; empty where pools are this process's own."""
        remote = self._engine.remote
        if remote is None:
            return MappingProxyType({})
        prefix = self._run.home.pools.prefix
        found = {
            pool.removeprefix(prefix): Lease(remote, ticket, pool)
            for ticket in remote.tickets_of(self._claim)
            for pool in ticket.parts
        }
        return MappingProxyType(found)

    def progress(self, done: float, total: float | None = None) -> None:
        """Tells how far the op is, as the event `OpProgress`. On threads too.

        Raises:
            ConfigurationError: for what are no numbers, or once the attempt has ended.
        """
        self._refuse_no_number("done", done)
        if total is not None:
            self._refuse_no_number("total", total)
        engine = self._engine
        self._tell(
            lambda at: OpProgress(at, self.run_id, self._run.graph, self.key, done, total), lambda: engine.observers.ops
        )

    def emit(self, kind: str, **data: Any) -> None:
        """Tells something of your own, as the event `OpEmitted`. On threads too.

        Args:
            kind: What it is.
            data: What belongs to it.

        Raises:
            ConfigurationError: for a kind that is no name, or once the attempt has ended.
        """
        checked = check_name(kind, field=f"the kind that {self.key} emits")
        engine = self._engine
        self._tell(
            lambda at: OpEmitted(at, self.run_id, self._run.graph, self.key, checked, MappingProxyType(data)),
            lambda: engine.observers.runs,
        )

    async def release(self, pool: str) -> None:
        """Gives back what the op has of a pool before it ends; others may start on it at once. Twice does nothing.

        From a plain function: `anyio.from_thread.run(context().release, "db")`.

        Raises:
            ConfigurationError: for a pool that this op did not take, or once the attempt has ended.
        """
        release_early(self._engine, self._live(), check_pool_name(pool))

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _run(self) -> RunState:
        frame: Execution = self._claim.owner[0]
        return frame.run

    @property
    def _engine(self) -> Engine:
        return self._run.engine

    def _live(self) -> Claim:
        frame, i = self._claim.owner
        if frame.claims[i] is not self._claim:
            raise ConfigurationError(
                f"attempt {self.attempt} of {self.key} has ended: its context() can tell and release nothing more"
            )
        claim: Claim = self._claim
        return claim

    def _refuse_no_number(self, name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"progress({name}=…) of {self.key} must be a number, not {type(value).__name__}")

    def _tell(self, event_at: Callable[[float], OpProgress | OpEmitted], wanted: Callable[[], bool]) -> None:
        """Tells an event on the loop's thread; built only while somebody listens."""
        self._live()
        engine = self._engine

        def tell() -> None:
            if wanted():
                engine.observers.tell(event_at(engine.clock()))

        try:
            here = asyncio.get_running_loop() is engine.loop
        except RuntimeError:
            here = False
        if here:
            tell()
        else:
            engine.loop.call_soon_threadsafe(tell)

    def __repr__(self) -> str:
        return f"<context of {self._run.graph}/{self.key}, attempt {self.attempt}>"
