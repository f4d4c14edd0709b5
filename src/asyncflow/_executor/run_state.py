"""One run: its identity, its party in the admission core, its executions, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from asyncflow._executor.shelf import Shelf
from asyncflow.options import RunOptions
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from anyio import CancelScope

    from asyncflow._executor.deadline import Deadline
    from asyncflow._executor.deployment_state import DeploymentState
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.keeping import RunRecorder
    from asyncflow._executor.scope_limits import ScopeLimits
    from asyncflow._executor.stepping import Suspended
    from asyncflow._executor.supply import Supply
    from asyncflow._limits import Claim, Party
    from asyncflow.errors import AsyncflowError, ResourceError

GRAPH_TAG: Final = "asyncflow/graph"
"""The run tag that every run carries: the name of its graph."""


class RunState:
    """What all executions of one run share.

    `suspended` and `scopes` have the coroutine and the cancel scope of every op that has suspended; `children` the
    executions that an op's body runs; `deadlines` the time limits of attempts that have one; `grace` is the timer that
    reports ops which outlive their cancellation. `decided` is what it came to, while its hooks run. `attempt` is the
    number of its attempt, and `pause` the timer until the next one. `interrupt` is a KeyboardInterrupt or SystemExit
    that an op raised: it ends the run and is raised as itself.

    `overrides` and `shared` are what the deployment had when it was submitted: what stands in for which provider, and
    the shelf with the deployment's own resources (None where it was not open). `shelf` has the run's own resources;
    `supplies` those of ops that run, and `close_errors` what failed to close, with the execution it was for.

    `record` tells a store of it, where its deployment has one. While it is queued, `ghosts` are its own claims; once it
    is admitted, `grant` has what it holds as a whole, and `waited` what it waited for. `rejection` is why it was
    refused after it had been queued.
    """

    __slots__ = (
        "attempt",
        "children",
        "close_errors",
        "conflict",
        "deadline",
        "deadlines",
        "decided",
        "deployment",
        "ended_at",
        "engine",
        "executions",
        "ghosts",
        "grace",
        "grant",
        "graph",
        "home",
        "id",
        "interrupt",
        "limits",
        "options",
        "overrides",
        "party",
        "pause",
        "pools",
        "queued_at",
        "reason",
        "record",
        "rejection",
        "replaces",
        "root",
        "scopes",
        "shared",
        "shelf",
        "started_at",
        "status",
        "supplies",
        "suspended",
        "tags",
        "waited",
    )

    root: Execution

    def __init__(
        self,
        run_id: str,
        graph: str,
        *,
        engine: Engine,
        home: DeploymentState,
        options: RunOptions,
        party: Party,
        limits: ScopeLimits,
    ) -> None:
        self.engine = engine
        self.home = home
        self.deployment: object = None
        self.id = run_id
        self.graph = graph
        self.options = options
        self.party = party
        self.limits = limits
        self.status = RunStatus.RUNNING
        self.attempt = 1
        self.pause: asyncio.TimerHandle | None = None
        self.decided: RunStatus | None = None
        self.reason: str | None = None
        self.interrupt: BaseException | None = None
        self.tags: Mapping[str, str] = {**options.tags, GRAPH_TAG: graph}
        self.conflict = graph if options.singleton and options.conflict_key is None else options.conflict_key
        self.pools: frozenset[str] = frozenset()
        self.ghosts: list[Claim] = []
        self.grant: Claim | None = None
        self.waited: Mapping[str, int] = {}
        self.rejection: AsyncflowError | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.queued_at = 0.0
        self.record: RunRecorder | None = None
        self.replaces = False
        self.started_at = 0.0
        self.ended_at = 0.0
        self.grace: asyncio.TimerHandle | None = None
        self.scopes: dict[Claim, CancelScope] = {}
        self.deadlines: dict[Claim, Deadline] = {}
        self.suspended: dict[Claim, Suspended] = {}
        self.children: dict[Claim, list[Execution]] = {}
        self.executions: list[Execution] = []
        self.overrides = home.overrides
        self.shared = home.shelf
        self.shelf: Shelf | None = None
        self.supplies: dict[Claim, Supply] = {}
        self.close_errors: list[tuple[Execution, ResourceError]] = []

    def add_wait(self, claim: Claim) -> None:
        """Adds what the run waited for as a whole."""
        waits = claim.waits()
        if self.waited:
            waits = {name: waits.get(name, 0) + self.waited.get(name, 0) for name in (*self.waited, *waits)}
        self.waited = waits

    def own_shelf(self) -> Shelf:
        """Returns what has the run's own resources, made at its first use."""
        if self.shelf is None:
            self.shelf = Shelf(self.engine, run=self, context=self.root.context)
        return self.shelf

    def __repr__(self) -> str:
        running = sum(execution.open for execution in self.executions)
        return f"<run {self.graph} {self.id} {self.status.value} open={running}>"
