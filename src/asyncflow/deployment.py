"""A deployment: what runs share — pools, their order, and the scope in which started runs live.

Everything stays in memory and in the process; the event loop's own turns drive it, with no thread, timer or poll of
its own. A deployment is bound to the loop that uses it first and moves on when it is idle.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from contextvars import ContextVar, Token, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from asyncflow import _executor as executor
from asyncflow._executor import CURRENT, Engine, Execution, RunState
from asyncflow._limits import Admission, Explanation, LimitBook, Snapshot
from asyncflow._observers import Observer, Observers
from asyncflow.concurrency import ConcurrencyConfig
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.ids import check_name
from asyncflow.options import RunOptions, check_limit, check_positive
from asyncflow.results import RunResult
from asyncflow.run import Run, explain_op, placed_snapshot, result_of

if TYPE_CHECKING:
    from asyncflow._plan import Plan

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Submittable(Protocol[R_co]):
    """What doors hand in: an op or a graph, with its options."""

    @property
    def deployment(self) -> Deployment | None:
        """The deployment it is bound to."""
        ...

    @property
    def run_options(self) -> RunOptions:
        """How its runs are limited and ordered."""
        ...

    @property
    def single(self) -> bool:
        """True for an op: alone it raises its own exception."""
        ...

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Plan:
        """Returns the plan for these inputs."""
        ...

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of the plan's inputs, in their order."""
        ...

    def _returns(self) -> R_co:
        """Carries the type of the value; never called."""
        ...


class Deployment:
    """Limits that all its runs share.

    Args:
        name: Its name.
        concurrency: The limits, as in `{"pools": {"default_limit": 3, "limits": {"db": 1, "api": {"limit": 5}}}}`.
        threads: How many plain functions run at once; None is unlimited.
        max_overtakes: How often a waiter may be passed over before free units are kept for it.
        cancel_grace: Seconds after which an op that was cancelled and still runs is reported.
        drain: True to let runs finish when the deployment is left, instead of cancelling them.

    Raises:
        ConfigurationError: naming the field that does not fit.

    `await graph.run()` works on a deployment that is not open; `start` needs `async with deployment:`.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        concurrency: ConcurrencyConfig | Mapping[str, Any] | None = None,
        threads: int | None = 40,
        max_overtakes: int = 64,
        cancel_grace: float = 5.0,
        drain: bool = False,
    ) -> None:
        self.name = check_name(name, field="name")
        self.concurrency = ConcurrencyConfig.of(concurrency)
        self._threads = check_limit(threads, field="threads")
        if type(max_overtakes) is not int or max_overtakes < 1:
            raise ConfigurationError(f"max_overtakes must be a whole number of at least 1, got {max_overtakes!r:.40}")
        self._max_overtakes = max_overtakes
        self._cancel_grace = check_positive(cancel_grace, field="cancel_grace")
        self._drain = drain
        self._observers = Observers()
        self._engine: Engine | None = None
        self._opened = False
        self._token: Token[tuple[Deployment, ...]] | None = None

    # ── open and close ────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        if self._opened:
            raise ConfigurationError(f"deployment {self.name!r} is open already")
        engine = self.engine_here()
        self._opened = True
        _open_on(engine.loop).append(self)
        self._token = _OPEN.set((*_OPEN.get(), self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(drain=self._drain and error is None)

    async def close(self, *, drain: bool | None = None) -> None:
        """Cancels the runs that live here, or lets them finish, and closes. Returns when everything is back."""
        if not self._opened or self._engine is None:
            return
        self._opened = False
        engine = self._engine
        _open_on(engine.loop).remove(self)
        if self._token is not None:
            with contextlib.suppress(ValueError):  # closed in another context than it was opened in, as frameworks do
                _OPEN.reset(self._token)
            self._token = None
        runs = tuple(engine.runs.values())
        if not (self._drain if drain is None else drain):
            for state in runs:
                executor.cancel(engine, state, f"deployment {self.name!r} was closed")
        for state in runs:
            await executor.outlast(engine, state.root)

    @property
    def is_open(self) -> bool:
        """True between entering and leaving `async with`."""
        return self._opened

    # ── running ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, runnable: Submittable[R], *args: Any, **kwargs: Any) -> R:
        """Runs an op or a graph here and returns its value."""
        return await _value_on(self, runnable, args, kwargs)

    def submit(self, runnable: Submittable[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RunState:
        """Starts a run here; the caller waits for it, or nobody does."""
        plan = runnable.wire(args, kwargs, deployment=self)
        inputs = runnable.input_values(args, kwargs) if plan.inputs else ()
        return self.engine_here().launch(
            plan, inputs, options=runnable.run_options, context=copy_context(), deployment=self
        )

    def engine_here(self) -> Engine:
        """Returns the engine on the running loop, a new one where the last one's loop is gone.

        Raises:
            ConfigurationError: where another loop uses the deployment now.
        """
        loop = running_loop()
        engine = self._engine
        if engine is not None and engine.loop is loop and not engine.broken:
            return engine
        if engine is not None and engine.runs and not engine.broken and not engine.loop.is_closed():
            raise ConfigurationError(
                f"deployment {self.name!r} has runs on another event loop; use one deployment for each loop"
            )
        pools = self.concurrency.pools
        core = Admission(max_overtakes=self._max_overtakes)
        book = LimitBook(
            core,
            default_limit=pools.default_limit,
            strict=pools.strict,
            limits={name: (pool.limit, pool.per_key, pool.reentrant) for name, pool in pools.limits.items()},
        )
        self._engine = Engine(
            core, book, threads=self._threads, observers=self._observers, cancel_grace=self._cancel_grace
        )
        return self._engine

    def uses(self, engine: Engine) -> bool:
        """True where `engine` is this deployment's."""
        return self._engine is engine

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Returns every limit with its holders and its waiters in order, as frozen data; owners are `Place`s."""
        return placed_snapshot(self.engine_here())

    def explain(self, run_id: str, op_key: str) -> Explanation:
        """Tells why an op of a live run does not run."""
        engine = self.engine_here()
        state = engine.runs.get(run_id)
        if state is None:
            raise ConfigurationError(f"no live run has the id {run_id!r}{did_you_mean(run_id, engine.runs)}")
        return explain_op(engine, state, op_key)

    def subscribe(self, observer: Observer) -> None:
        """Calls `observer(event)` for every event from now on. What it raises never reaches a run."""
        self._observers.add(observer)
        if self._engine is not None:
            self._engine.observed = True

    def unsubscribe(self, observer: Observer) -> None:
        """Stops telling `observer`."""
        self._observers.remove(observer)
        if self._engine is not None:
            self._engine.observed = self._observers.listening

    def __repr__(self) -> str:
        runs = 0 if self._engine is None else len(self._engine.runs)
        return f"<Deployment {self.name} {'open' if self._opened else 'not open'} runs={runs}>"


_OPEN: ContextVar[tuple[Deployment, ...]] = ContextVar("asyncflow_open_deployments", default=())
_open_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Deployment]] = WeakKeyDictionary()
_implicit: WeakKeyDictionary[asyncio.AbstractEventLoop, Deployment] = WeakKeyDictionary()


def _open_on(loop: asyncio.AbstractEventLoop) -> list[Deployment]:
    return _open_by_loop.setdefault(loop, [])


def running_loop() -> asyncio.AbstractEventLoop:
    """Returns the running event loop.

    Raises:
        ConfigurationError: where none runs, or it is not asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "asyncflow runs on an asyncio event loop, and none is running here: `await` it inside `asyncio.run(main())`"
            " or `anyio.run(main)`; trio is not supported"
        ) from None


def default_deployment() -> Deployment:
    """Returns the running loop's implicit deployment: in memory, without limits until tuned."""
    loop = running_loop()
    found = _implicit.get(loop)
    if found is None:
        found = _implicit[loop] = Deployment("default")
    return found


def resolve_deployment(bound: Deployment | None) -> Deployment:
    """Returns the deployment that applies: the bound one, the innermost open one, the only open one, the implicit one.

    Raises:
        ConfigurationError: where several are open on this loop and none is nearer than the others.
    """
    if bound is not None:
        return bound
    for deployment in reversed(_OPEN.get()):
        if deployment.is_open:
            return deployment
    here = _open_on(running_loop())
    if len(here) > 1:
        names = ", ".join(repr(deployment.name) for deployment in here)
        raise ConfigurationError(f"several deployments are open ({names}); say which: `graph.on(deployment).run(…)`")
    return here[0] if here else default_deployment()


# ── the doors' other side ─────────────────────────────────────────────────────────────────────────────────────────


async def run_value(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
    """Runs to the end and returns the value; inside an op, as a child of it."""
    return await _value_on(runnable.deployment, runnable, args, kwargs)


async def run_result(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RunResult[R]:
    """Runs to the end and returns everything it left behind; inside an op, as a child of it."""
    engine, execution = _submitted(runnable.deployment, runnable, args, kwargs)
    await executor.wait(engine, execution)
    return result_of(execution)


def start_run(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run[R]:
    """Starts an independent run in an open deployment and returns at once.

    Raises:
        ConfigurationError: where the deployment is not open.
    """
    deployment = resolve_deployment(runnable.deployment)
    if not deployment.is_open:
        raise ConfigurationError(
            f"a started run lives in a deployment, and {deployment.name!r} is not open;"
            " write `async with deployment:` around it, or `await graph.run(…)`"
        )
    state = deployment.submit(runnable, args, kwargs)
    return Run(deployment.engine_here(), state, single=runnable.single)


async def _value_on(
    deployment: Deployment | None, runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> R:
    engine, execution = _submitted(deployment, runnable, args, kwargs)
    await executor.wait(engine, execution)
    value: R = executor.value_of(execution, single=runnable.single)
    return value


def _submitted(
    deployment: Deployment | None, runnable: Submittable[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Engine, Execution]:
    """Starts a child of the op that runs here, or an independent run where there is none or another deployment."""
    parent = CURRENT.get()
    if parent is not None:
        outer, i = parent.owner
        engine = outer.run.engine
        same = deployment is None or deployment.uses(engine)
        if outer.claims[i] is parent and same and engine.loop is asyncio.get_running_loop():
            plan = runnable.wire(args, kwargs, deployment=outer.run.deployment)
            inputs = runnable.input_values(args, kwargs) if plan.inputs else ()
            return engine, engine.launch_child(
                plan,
                inputs,
                options=runnable.run_options,
                context=copy_context(),
                parent=parent,
                single=runnable.single,
            )
    chosen = resolve_deployment(deployment)
    state = chosen.submit(runnable, args, kwargs)
    return chosen.engine_here(), state.root
