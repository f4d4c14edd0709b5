"""The live side of a deployment: its engine on this loop, and everything that can be done to it while it runs."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import AsyncGenerator, Hashable, Sequence
from typing import cast
from weakref import WeakSet

from anyio import CancelScope

from asyncflow._executor import Block, DeploymentState, Engine, Remote, RemoteAdmission, SharedPools
from asyncflow._limits import Admission, Explanation, LimitBook, RunBook
from asyncflow._observers import EventStream, Observer, Observers
from asyncflow._workers import HERE
from asyncflow.errors import ConfigurationError
from asyncflow.ids import check_name
from asyncflow.open_deployments import running_loop
from asyncflow.options import (
    PoolNeeds,
    PoolOption,
    check_limit,
    check_pool_needs,
    check_positive,
    check_priority,
)
from asyncflow.quotas import Numbers
from asyncflow.views import (
    DeploymentSnapshot,
    explain_op,
    explain_run,
    place_of,
    snapshot_of,
    state_of,
)


class LiveDeployment:
    """What `Deployment` and its branches have in common.

    Args:
        name: Its name.
        numbers: Its limits.
        threads: How many plain functions run at once; None is unlimited.
        processes: How many functions run in worker processes at once; None is the number of CPUs.
        carry: The addresses of context variables that worker processes get.
        max_overtakes: How often a waiter may be passed over before free units are kept for it.
        cancel_grace: Seconds after which an op that was cancelled and still runs is reported.
        shared_pools: Where its pools are, if not in this process alone.
    """

    def __init__(
        self,
        name: str,
        numbers: Numbers,
        *,
        threads: int | None,
        processes: int | None,
        carry: Sequence[str],
        max_overtakes: int,
        cancel_grace: float,
        shared_pools: SharedPools | None = None,
    ) -> None:
        self.name = check_name(name, field="name")
        self._numbers = numbers
        self._threads = check_limit(threads, field="threads")
        self._processes = cpu_count() if processes is None else check_limit(processes, field="processes")
        self._carry = check_carry(carry)
        if type(max_overtakes) is not int or max_overtakes < 1:
            raise ConfigurationError(f"max_overtakes must be a whole number of at least 1, got {max_overtakes!r:.40}")
        self._max_overtakes = max_overtakes
        self._cancel_grace = check_positive(cancel_grace, field="cancel_grace")
        self._shared_pools = shared_pools
        self._observers = Observers()
        self._streams: WeakSet[EventStream] = WeakSet()
        self._engine: Engine | None = None
        self._home: DeploymentState | None = None

    # ── slots for other code ──────────────────────────────────────────────────────────────────────────────────────────

    def slots(
        self,
        pool: PoolOption,
        *,
        priority: int = 0,
        label: str | None = None,
        fair_key: Hashable | None = None,
        weight: float = 1.0,
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Returns a block that holds slots of pools: `async with deployment.slots({"db": 2}):`.

        It waits in line with all ops. Inside an op it is a child of it, and may borrow what the op holds; elsewhere
        it has a group of its own, unless `fair_key` is given. Cancelled while it waits, it holds nothing.

        Args:
            pool: As an op's `pool=`, but no function.
            priority: As a run's; inside an op the op's run's counts.
            label: What snapshots call it.
            fair_key: Whose share it uses.
            weight: How much that share counts.

        Raises:
            ConfigurationError: for something it cannot mean.
            DemandError: on entering, where it asks for more than a limit can ever give.
            DeadlockError: on entering, where no release could ever start it.
        """
        needs = check_pool_needs(pool)
        called = f"slots({pool!r})" if label is None else check_name(label, field="label")
        return self._slots(needs, called, check_priority(priority), fair_key, check_positive(weight, field="weight"))

    @contextlib.asynccontextmanager
    async def _slots(
        self, needs: PoolNeeds, label: str, priority: int, fair_key: Hashable | None, weight: float
    ) -> AsyncGenerator[None]:
        engine, home = self.place()
        block = Block(engine, home, needs, label=label, priority=priority, fair_key=fair_key, weight=weight)
        block.enqueue()
        await block.granted_or_withdrawn()
        try:
            if engine.remote is None:
                yield
                return
            with CancelScope() as block.scope:
                yield
        finally:
            block.leave()
        if block.lost is not None:
            raise block.lost

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> DeploymentSnapshot:
        """Returns every limit with its holders and its waiters in order, and every live run, as frozen data."""
        return snapshot_of(self.engine_here())

    def explain(self, run_id: str, op_key: str | None = None) -> Explanation:
        """Tells why a live run, or an op of it, does not run.

        Raises:
            ConfigurationError: where there is no such live run or op.
        """
        engine = self.engine_here()
        state = state_of(engine, run_id)
        return explain_run(engine, state) if op_key is None else explain_op(engine, state, op_key)

    def events(self, *, buffer: int = 10_000) -> EventStream:
        """Returns an async iterator over all events from now on, until the deployment is closed.

        At most `buffer` of them wait to be read; then the oldest are dropped, and an `EventsDropped` says how many.
        """
        if type(buffer) is not int or buffer < 1:
            raise ConfigurationError(f"buffer must be a whole number of at least 1, got {buffer!r:.40}")
        stream = EventStream(self.subscribe, self.unsubscribe, buffer=buffer)
        self._streams.add(stream)
        return stream

    def end_streams(self) -> None:
        """The deployment was closed: whoever reads its events comes to their end."""
        for stream in tuple(self._streams):
            stream.close()

    def subscribe(self, observer: Observer) -> None:
        """Calls `observer(event)` for every event from now on. What it raises never reaches a run.

        Raises:
            ConfigurationError: for something that cannot be called.
        """
        if not callable(observer):
            raise ConfigurationError(f"an observer is called with each event; {type(observer).__name__} cannot be")
        if inspect.iscoroutinefunction(observer):
            raise ConfigurationError(
                f"an observer is a plain function, and {observer.__name__} is an async def, which nobody would await;"
                " read `deployment.events()` instead"
            )
        self._observers.add(observer)

    def unsubscribe(self, observer: Observer) -> None:
        """Stops telling `observer`."""
        self._observers.remove(observer)

    @property
    def numbers(self) -> Numbers:
        """The limits in force, as numbers."""
        return self._numbers

    # ── the engine ────────────────────────────────────────────────────────────────────────────────────────────────

    def place(self) -> tuple[Engine, DeploymentState]:
        """Returns the engine on the running loop, and this deployment's state in it."""
        engine = self.engine_here()
        if engine.remote is not None and not engine.remote.joined:
            raise ConfigurationError(
                f"deployment {self.name!r} has its pools at {self._backend_name()}: open it first, `async with"
                " deployment:`"
            )
        if self._home is None or self._home.engine is not engine:
            self._home = self._new_home(engine)
        return engine, self._home

    def engine_here(self) -> Engine:
        """Returns the engine on the running loop, a new one where the last one's loop is gone.

        Raises:
            ConfigurationError: where another loop uses the deployment now.
        """
        refuse_in_worker()
        loop = running_loop()
        engine = self._engine
        if engine is not None and engine.loop is loop and not engine.broken:
            return engine
        if engine is not None and engine.runs and not engine.broken and not engine.loop.is_closed():
            raise ConfigurationError(
                f"deployment {self.name!r} has runs on another event loop; use one deployment for each loop"
            )
        core: Admission
        if self._shared_pools is None:
            core = Admission(max_overtakes=self._max_overtakes, describe=lambda owner: str(place_of(owner)))
        else:
            core = RemoteAdmission(max_overtakes=self._max_overtakes, describe=lambda owner: str(place_of(owner)))
        self._engine = Engine(
            core,
            threads=self._threads,
            processes=self._processes,
            carry=self._carry,
            observers=self._observers,
            cancel_grace=self._cancel_grace,
        )
        if isinstance(core, RemoteAdmission):
            self._engine.remote = core.remote = Remote(self._engine)
        return self._engine

    def _backend_name(self) -> str:
        return "another place" if self._shared_pools is None else self._shared_pools.backend.name

    def _new_home(self, engine: Engine) -> DeploymentState:
        numbers = self._numbers
        return DeploymentState(
            self.name,
            engine=engine,
            pools=LimitBook(engine.core, numbers.pools, external=engine.remote is not None),
            runs=RunBook(engine.core, numbers.runs),
            max_queued=numbers.max_queued,
        )

    def uses(self, engine: Engine) -> bool:
        """True where `engine` is this deployment's."""
        return self._engine is engine


def cpu_count() -> int:
    """Returns how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_carry(value: object) -> tuple[str, ...]:
    """Returns the addresses of context variables.

    Raises:
        ConfigurationError: for something that is no list of `module:NAME`.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"carry must be a list of 'package.module:NAME', got {value!r:.60}")
    addresses: list[str] = []
    for one in cast("Sequence[object]", value):
        if not isinstance(one, str) or not all(one.partition(":")):
            raise ConfigurationError(f"carry must name context variables as 'package.module:NAME', got {one!r:.60}")
        addresses.append(one)
    return tuple(addresses)


def refuse_in_worker() -> None:
    """Refuses to run anything in a worker process: it would be under none of the limits, which live in the parent.

    Raises:
        ConfigurationError: naming the op.
    """
    call = HERE.get()
    if call is not None:
        raise ConfigurationError(
            f"{call.graph}/{call.key} runs in a worker process, and what it would run there were under none of the"
            " limits; return what is to be done, and let an op on the event loop or on a thread run it"
        )
