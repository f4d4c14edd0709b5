"""A deployment: what runs share — their queue, pools, order, and the scope in which started runs live.

Everything stays in memory and in the process, unless there is a store; the event loop's own turns drive it, with no
thread, timer or poll of its own beside the thread that writes records. A deployment is bound to the loop that uses it
first and moves on when it is idle. A branch is a deployment of its own inside the engine of its parent, so one
admission core decides for both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextvars import Context, Token, copy_context
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from asyncflow import _executor as executor
from asyncflow._authoring import Resource
from asyncflow._executor import CURRENT, DeploymentState, Engine, Overrides, Shelf
from asyncflow._limits import LimitBook, RunBook
from asyncflow._store import Keeper, store_of
from asyncflow.concurrency import ConcurrencyConfig
from asyncflow.errors import ConfigurationError, ResourceError
from asyncflow.hooks import Hooks, check_hooks
from asyncflow.ids import check_name
from asyncflow.open_deployments import OPEN, open_on
from asyncflow.options import Validate, check_flag, check_validate
from asyncflow.pools import PoolBackend
from asyncflow.quotas import Numbers
from asyncflow.runnable import Submittable
from asyncflow.supplied_deployment import SuppliedDeployment

R = TypeVar("R")
T = TypeVar("T")


class Deployment(SuppliedDeployment):
    """Limits that all its runs share, and the queue in which they wait.

    Args:
        name: Its name.
        concurrency: The limits: a dict as in `{"runs": {"max_concurrent_runs": 10}, "pools": {"default_limit": 3,
            "limits": {"db": 1, "api": {"limit": 5}}}}`, or a `ConcurrencyConfig`.
        threads: How many plain functions run at once; None is unlimited.
        processes: How many functions run in worker processes at once; None is the number of CPUs this process may use.
        carry: The context variables whose values worker processes get, as `"package.module:NAME"`; they must be
            picklable. Threads get all of them anyway.
        max_overtakes: How often a waiter may be passed over before free units are kept for it.
        cancel_grace: Seconds after which an op that was cancelled and still runs is reported.
        store: Keeps records of runs and the results of their ops: `"memory"`, or `"sqlite:///runs.db"` (with
            `?keep_days=30`, runs that ended longer ago are removed); None keeps nothing.
        drain: True to let runs finish when the deployment is left, instead of cancelling them.
        hooks: What is told how its runs went.
        validate: `"graph"` checks the inputs of graphs; `"always"` also what goes into ops and comes out of them.

    Raises:
        ConfigurationError: naming the field that does not fit.

    `await graph.run()` works on a deployment that is not open; `start` needs `async with deployment:`.
    """

    def __init__(  # noqa: PLR0913 — all by name, each a setting of its own
        self,
        name: str = "default",
        *,
        concurrency: ConcurrencyConfig | Mapping[str, Any] | None = None,
        threads: int | None = 40,
        processes: int | None = None,
        carry: Sequence[str] = (),
        pools: str | PoolBackend | None = None,
        namespace: str | None = None,
        label: str | None = None,
        lease_ttl: float = 15.0,
        unavailable_after: float = 30.0,
        max_overtakes: int = 64,
        cancel_grace: float = 5.0,
        store: str | None = None,
        drain: bool = False,
        validate: Validate = "graph",
        hooks: Hooks | None = None,
    ) -> None:
        self.concurrency = ConcurrencyConfig.of(concurrency)
        super().__init__(
            name,
            Numbers.of(self.concurrency),
            threads=threads,
            processes=processes,
            carry=carry,
            max_overtakes=max_overtakes,
            cancel_grace=cancel_grace,
            shared_pools=executor.shared_pools(
                pools,
                namespace=name if namespace is None else namespace,
                label=label,
                lease_ttl=lease_ttl,
                unavailable_after=unavailable_after,
            ),
        )
        opened = store_of(store)
        self._keeper = None if opened is None else Keeper(opened, self._observers.warn)
        self._drain = check_flag(drain, field="drain")
        self._hooks = check_hooks(hooks)
        self._judges = check_validate(validate) == "always"
        self._opened = False
        self._token: Token[tuple[Deployment, ...]] | None = None
        self._branches: dict[str, Branch] = {}
        self._overrides: Overrides = executor.NO_OVERRIDES
        self._overriding: list[tuple[object, Resource]] = []
        self._context = Context()

    @classmethod
    def from_yaml(cls, path: str | Path, name: str = "default", **options: Any) -> Self:
        """Makes a deployment with the `concurrency:` block of a YAML file; needs the extra `settings`.

        Raises:
            ConfigurationError: naming file, field, value, rule and the nearest right spelling.
        """
        return cls(name, concurrency=ConcurrencyConfig.from_yaml(path), **options)

    # ── open and close ────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        if self._opened:
            raise ConfigurationError(f"deployment {self.name!r} is open already")
        engine = self.engine_here()
        if self._keeper is not None:
            await self._keeper.enter()
        if self._shared_pools is not None:
            await self._join(engine)
        self._opened = True
        self._context = copy_context()
        open_on(engine.loop).append(self)
        self._token = OPEN.set((*OPEN.get(), self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close(drain=self._drain and error is None)
        except ResourceError as failed:
            if error is None:
                raise
            error.add_note(failed.message)  # what ended the block is raised, and this is not lost

    async def _join(self, engine: Engine) -> None:
        """Joins the pools elsewhere; where that fails, nothing stays open."""
        try:
            if self._shared_pools is not None:
                await executor.join(engine, self._shared_pools, self._numbers.pools)
        except BaseException:
            if self._keeper is not None:
                await self._keeper.leave()
            raise

    async def close(self, *, drain: bool | None = None) -> None:
        """Closes, and returns when everything is back: live runs are cancelled, or with `drain` finish first.

        Cancelled while it drains, it cancels the runs, and leaves when they have ended. The deployment's own resources
        are closed last.

        Raises:
            ResourceError: where some of these could not be closed; all others are.
        """
        if not self._opened or self._engine is None:
            return
        inside = CURRENT.get()
        if inside is not None and inside.owner[0].claims[inside.owner[1]] is inside:
            frame = inside.owner[0]
            if frame.run.engine is self._engine and self._includes(frame.run.home):
                raise ConfigurationError(
                    f"deployment {self.name!r} cannot be closed inside its own op {frame.key(inside.owner[1])}, whose"
                    " end it would wait for; close it outside"
                )
        drains = self._drain if drain is None else check_flag(drain, field="drain")
        self._opened = False
        engine = self._engine
        here = open_on(engine.loop)
        if self in here:
            here.remove(self)
        if self._token is not None:
            with contextlib.suppress(ValueError):  # closed in another context than it was opened in, as frameworks do
                OPEN.reset(self._token)
            self._token = None
        runs = [run for run in engine.runs.values() if self._includes(run.home)]
        shelves = self._take_shelves(engine)
        reason = f"deployment {self.name!r} was closed"
        if not drains:
            for state in runs:
                executor.cancel(engine, state, reason)
        try:
            await executor.finish_all(engine, runs, reason)
        except BaseException:
            with contextlib.suppress(ResourceError):  # told as events; a cancellation goes first
                await executor.close_shelves(self.name, shelves)
            raise
        else:
            await executor.close_shelves(self.name, shelves)
        finally:
            try:
                if engine.remote is not None and self._shared_pools is not None:
                    await engine.remote.leave()
            finally:
                try:
                    if self._keeper is not None:
                        await self._keeper.leave()
                finally:
                    self.end_streams()

    @property
    def is_open(self) -> bool:
        """True between entering and leaving `async with`."""
        return self._opened

    def _includes(self, home: DeploymentState) -> bool:
        del home  # its branches' too
        return True

    def _take_shelves(self, engine: Engine) -> list[Shelf]:
        """Returns what has the resources of this deployment and its branches; new runs get new ones."""
        shelves: list[Shelf] = []
        for one in (self, *self._branches.values()):
            if one._home is not None and one._home.engine is engine and one._home.shelf is not None:
                shelves.append(one._home.shelf)
                one._home.shelf = None
        return shelves

    # ── running ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, runnable: Submittable[R], *args: Any, **kwargs: Any) -> R:
        """Runs an op or a graph here and returns its value.

        Raises:
            ConfigurationError: for anything else.
        """
        if not hasattr(runnable, "run_options"):
            raise ConfigurationError(
                f"deployment.run takes an op or a graph, not {type(runnable).__name__}; put @op or @graph before it"
            )
        return await runnable.on(self).run(*args, **kwargs)

    # ── branches ──────────────────────────────────────────────────────────────────────────────────────────────────

    def branch(
        self,
        name: str,
        *,
        concurrency: ConcurrencyConfig | Mapping[str, Any] | None = None,
        pools: Literal["isolated", "shared"] = "isolated",
    ) -> Deployment:
        """Returns the branch of this name: a deployment whose runs count against the cap over all branches only.

        It is opened and closed with its parent. The same name gives the same object.

        Args:
            name: Its name.
            concurrency: Its limits; by default a copy of the parent's.
            pools: `"isolated"`: pools of its own. `"shared"`: the parent's.

        Raises:
            ConfigurationError: for shared pools together with limits of pools, or a known name with other options.
        """
        checked = check_name(name, field="the name of a branch")
        if pools not in ("isolated", "shared"):
            raise ConfigurationError(f"pools must be 'isolated' or 'shared', got {pools!r:.40}")
        config = self.concurrency if concurrency is None else ConcurrencyConfig.of(concurrency)
        if concurrency is not None and "max_concurrent_branch_deployment_runs" in config.model_fields_set:
            raise ConfigurationError(
                f"branch {checked!r}: max_concurrent_branch_deployment_runs counts the runs of all branches; set it on"
                f" {self.name!r}"
            )
        if pools == "shared" and concurrency is not None and "pools" in config.model_fields_set:
            raise ConfigurationError(
                f"branch {checked!r} has its parent's pools (pools='shared') and concurrency['pools'] of its own;"
                " leave one of them out"
            )
        known = self._branches.get(checked)
        if known is None:
            known = self._branches[checked] = Branch(self, checked, config, shared=pools == "shared")
        elif (concurrency is not None and known.concurrency != config) or known.shared != (pools == "shared"):
            raise ConfigurationError(f"branch {checked!r} exists with other options; tune it, or choose another name")
        return known

    def __repr__(self) -> str:
        runs = 0 if self._engine is None else len(self._engine.runs)
        return f"<Deployment {self.name} {'open' if self.is_open else 'not open'} runs={runs}>"


class Branch(Deployment):
    """A branch of a deployment: its own limits, in its parent's engine. Made by `Deployment.branch()`."""

    def __init__(self, parent: Deployment, name: str, config: ConcurrencyConfig, *, shared: bool) -> None:
        super().__init__(
            name, concurrency=config, validate="always" if parent._judges else "graph", hooks=parent._hooks
        )
        self.parent = parent
        self.shared = shared
        self._observers = parent._observers

    async def __aenter__(self) -> Self:
        if not self.parent.is_open:
            raise ConfigurationError(
                f"branch {self.name!r} is opened and closed with its parent; open {self.parent.name!r} first"
            )
        self._token = OPEN.set((*OPEN.get(), self))
        self._opened = True
        return self

    @property
    def keeper(self) -> Keeper | None:
        """Its parent's store."""
        return self.parent.keeper

    @property
    def is_open(self) -> bool:
        """True while its parent is open."""
        return self.parent.is_open

    @property
    def overrides(self) -> Overrides:
        """What stands in for which provider in new runs: its parent's, and its own."""
        own, above = self._overrides, self.parent.overrides
        return {**above, **own} if own and above else own or above

    async def close(self, *, drain: bool | None = None) -> None:
        """Cancels or drains the branch's runs. It is open again, as long as its parent is, when it is next used."""
        self._engine = self.engine_here()
        self._opened = True
        await super().close(drain=drain)

    def _includes(self, home: DeploymentState) -> bool:
        return home is self._home

    @property
    def numbers(self) -> Numbers:
        """The limits in force, as numbers; shared pools are its parent's."""
        return replace(self._numbers, pools=self.parent.numbers.pools) if self.shared else self._numbers

    def _tune(self, numbers: Numbers, *, told: bool = False) -> None:
        if numbers.runs.branches != self.numbers.runs.branches:
            raise ConfigurationError(
                "max_concurrent_branch_deployment_runs counts the runs of all branches; tune it on"
                f" {self.parent.name!r}"
            )
        if self.shared and numbers.pools != self.parent.numbers.pools:
            raise ConfigurationError(
                f"branch {self.name!r} has the pools of {self.parent.name!r}; tune them there, for both"
            )
        super()._tune(numbers, told=told)

    def branch(
        self,
        name: str,
        *,
        concurrency: ConcurrencyConfig | Mapping[str, Any] | None = None,
        pools: Literal["isolated", "shared"] = "isolated",
    ) -> Deployment:
        """Refuses: a branch has no branches."""
        del concurrency, pools
        raise ConfigurationError(f"{self.name!r} is a branch; make {name!r} of its parent {self.parent.name!r}")

    def engine_here(self) -> Engine:
        """Returns the parent's engine on the running loop."""
        return self.parent.engine_here()

    def uses(self, engine: Engine) -> bool:
        """True where its parent does."""
        return self.parent.uses(engine)

    def _new_home(self, engine: Engine) -> DeploymentState:
        _, above = self.parent.place()
        numbers = self._numbers
        return DeploymentState(
            self.name,
            engine=engine,
            pools=above.pools if self.shared else self._own_book(engine),
            runs=RunBook(engine.core, numbers.runs, suffix=f"@{self.name}", around=above.runs.branches),
            max_queued=numbers.max_queued,
        )

    def _own_book(self, engine: Engine) -> LimitBook:
        """Returns pools of its own; at a backend, their limits are set there now."""
        prefix, quotas = f"{self.name}/", self._numbers.pools
        if engine.remote is not None:
            order = executor.orders_of(replace(quotas, pools={}), quotas, prefix=prefix)
            if order is not None:
                engine.remote.agent.post(order)
        return LimitBook(engine.core, quotas, prefix=prefix, external=engine.remote is not None)
