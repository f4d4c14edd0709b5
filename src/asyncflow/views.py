"""What people see of a live deployment: places instead of claims, snapshots, explanations, previews. Frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from asyncflow._executor import THE_RUN, Engine, Execution, Redrawing, RunState
from asyncflow._limits import Claim, Explanation, LimitView, Snapshot, Views
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Place:
    """Who holds or waits for a limit: an op of a run, or with an empty `op` the run as a whole."""

    run_id: str
    graph: str
    op: str

    def __str__(self) -> str:
        return f"{self.graph}/{self.op} of run {self.run_id}" if self.op else f"run {self.run_id} of {self.graph}"


def place_of(owner: object) -> object:
    """Returns what people call the owner of a claim."""
    if not isinstance(owner, tuple):
        return str(owner)
    frame, i = cast("tuple[Execution, int]", owner)
    return Place(frame.run.id, frame.run.graph, "" if i == THE_RUN else frame.key(i))


class RunView(NamedTuple):
    """A live run.

    Attributes:
        run_id: Its id.
        graph: The name of its graph or op.
        deployment: The deployment, or branch, it belongs to.
        status: Where it stands.
        priority: Its priority now.
        tags: Its run tags.
        queued_at: When it was submitted, on the loop's clock.
        started_at: When it was admitted; None while it is queued.
        running: How many of its ops run.
        blocked: How many wait for limits.
        retrying: How many wait to be tried again.
        bodies: How many bodies of live graphs run in it; they hold nothing.
    """

    run_id: str
    graph: str
    deployment: str
    status: RunStatus
    priority: int
    tags: Mapping[str, str]
    queued_at: float
    started_at: float | None
    running: int
    blocked: int
    retrying: int = 0
    bodies: int = 0


def run_view(run: RunState) -> RunView:
    """Returns where a run stands."""
    if run.status is RunStatus.QUEUED:
        return queued_view(run, run.party.priority)
    begun = sum([execution.count(OpStatus.RUNNING) for execution in run.executions])
    retrying = sum([execution.count(OpStatus.RETRYING) for execution in run.executions])
    bodies = sum([frame.runs_live(i) for frame, i in [claim.owner for claim in run.suspended]])
    return RunView(
        run_id=run.id,
        graph=run.graph,
        deployment=run.home.name,
        status=run.status,
        priority=run.party.priority,
        tags=MappingProxyType(run.tags),
        queued_at=run.queued_at,
        started_at=run.started_at,
        running=begun - bodies,
        blocked=sum([execution.open for execution in run.executions]) - begun - retrying,
        retrying=retrying,
        bodies=bodies,
    )


def queued_view(run: RunState, priority: int) -> RunView:
    """Returns a run as it stood while it was queued; only its priority changes in that time."""
    status, tags = RunStatus.QUEUED, MappingProxyType(run.tags)
    return RunView(run.id, run.graph, run.home.name, status, priority, tags, run.queued_at, None, 0, 0)


@dataclass(frozen=True, slots=True)
class DeploymentSnapshot(Snapshot):
    """Every limit in order of creation, and every live run in order of submission."""

    queued: Sequence[RunView]
    running: tuple[RunView, ...]

    def pool(self, name: str) -> LimitView:
        """Returns the limit of a pool.

        Raises:
            KeyError: where there is none.
        """
        return self.limit(name)


def snapshot_of(engine: Engine) -> DeploymentSnapshot:
    """Returns the core's snapshot with owners as people call them, and the live runs."""
    snapshot = engine.core.snapshot(place_of)
    runs = engine.runs.values()
    waits = RunStatus.QUEUED
    queued = [run for run in runs if run.status is waits]
    priorities = [run.party.priority for run in queued]
    running = tuple([run_view(run) for run in runs if run.status is not waits])
    views = Views(lambda: map(queued_view, queued, priorities)) if queued else ()
    return DeploymentSnapshot(snapshot.at, snapshot.limits, views, running)


def state_of(engine: Engine, run_id: object) -> RunState:
    """Returns a live run.

    Raises:
        ConfigurationError: where no live run has that id.
    """
    if not isinstance(run_id, str):
        raise ConfigurationError(f"a run is named by its id, a string, not by {type(run_id).__name__}; use `run.id`")
    state = engine.runs.get(run_id)
    if state is None:
        raise ConfigurationError(
            f"no live run has the id {run_id!r:.220}: it ended, or was never here{did_you_mean(run_id, engine.runs)}"
        )
    return state


def explain_run(engine: Engine, run: RunState) -> Explanation:
    """Tells why a run is not admitted; for one that is, why the first of its blocked ops does not start."""
    if run.pause is not None:
        return Explanation(run.status, (), (told_delay(engine, run.pause.when()),))
    if run.status is RunStatus.QUEUED:
        return placed(engine.core.explain_ghosts(run.ghosts), run.status)
    for execution in run.executions:
        for i, claim in enumerate(execution.claims):
            if claim is not None and execution.op_status(i) is OpStatus.BLOCKED:
                return replace(placed(engine.core.explain(claim), run.status), waiting=execution.key(i))
    due = [trial.until for execution in run.executions for _, trial in execution.retrying()]
    return Explanation(run.status, (), (told_delay(engine, min(due)),) if due else ())


def explain_op(engine: Engine, run: RunState, op_key: object) -> Explanation:
    """Tells why the op of this key does not run.

    Raises:
        ConfigurationError: where the run has no such op.
    """
    if not isinstance(op_key, str):
        raise ConfigurationError(f"an op is named by its key, a string, not by {type(op_key).__name__}")
    keys: list[str] = []
    for execution in run.executions:
        for i, node in enumerate(execution.nodes):
            key = execution.key(i)
            if key != op_key or not node.shown:
                keys.extend([key] if node.shown else [])
                continue
            claim, status = execution.claims[i], execution.op_status(i)
            if claim is not None and status is OpStatus.BLOCKED:
                return placed(engine.core.explain(claim), status)
            inside = [block for block in engine.blocks if block.claim.waiting and block.claim.parent is claim]
            if status is OpStatus.RUNNING and inside:
                return replace(placed(engine.core.explain(inside[0].claim), status), waiting=inside[0].label)
            if status is OpStatus.RETRYING:
                return Explanation(status, (), (told_delay(engine, execution.trials[i].until),))
            if run.status is RunStatus.QUEUED and status is OpStatus.WAITING and not node.waits_for:
                return explain_run(engine, run)
            return explain_not_blocked(execution, i, status)
    raise ConfigurationError(f"run {run.id} of {run.graph} has no op {op_key!r:.220}{did_you_mean(op_key, keys)}")


def explain_not_blocked(execution: Execution, i: int, status: OpStatus) -> Explanation:
    """Tells what a node waits for that waits for no limit."""
    if execution.runs_live(i):
        return Explanation(status, (), tuple([f"the end of {key}" for key in execution.inside(i)]))
    if execution.runs_late(i):  # it was wired, and its result is not there yet
        status, i = OpStatus.RUNNING, execution.unlisted[i]
    elif status is not OpStatus.WAITING:
        return Explanation(status, (), ())
    return Explanation(status, (), tuple([f"the end of {execution.key(j)}" for j in execution.awaited(i)]))


def told_delay(engine: Engine, until: float) -> str:
    """Says when an op that failed is tried again."""
    return f"its next attempt, due in {max(0.0, until - engine.clock()):.3g} s"


def placed(explanation: Explanation, status: OpStatus | RunStatus) -> Explanation:
    """Returns the core's explanation with owners and states as people call them."""
    blockers = [
        replace(blocker, holders=tuple([(place_of(owner), amount) for owner, amount in blocker.holders]))
        for blocker in explanation.blockers
    ]
    helpful = [told for told in explanation.unblocked_by if not any(name in told for name in _FIXED)]
    return replace(explanation, state=status, blockers=tuple(blockers), unblocked_by=tuple(helpful))


_FIXED: Final = (" more of @conflict_key:", " more of @run_buffer", " more of @threads", " more of @processes")
"""Nobody can raise these while runs wait, so it is not proposed."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change of limits would do in its first round.

    Attributes:
        starts: Who would start because of it, in order.
        stays: Who would still wait.
        never: Who asks for more than a limit could then ever give.
    """

    starts: tuple[object, ...]
    stays: tuple[object, ...]
    never: tuple[object, ...]

    def __str__(self) -> str:
        lines = [f"{place} would start" for place in self.starts]
        lines.extend([f"{place} would wait for ever" for place in self.never])
        lines.append(f"{len(self.stays)} would go on waiting")
        return "\n".join(lines)


def preview_of(engine: Engine, redrawing: Redrawing) -> Preview:
    """Returns what a change would do, decided by a round of the core on a copy."""
    decided = engine.core.preview(redrawing.changes)
    anyway = set(decided.starts_anyway)
    return Preview(
        starts=_places([claim for claim in decided.starts if claim not in anyway]),
        stays=_places(decided.stays),
        never=_places(decided.never),
    )


def _places(claims: Iterable[Claim]) -> tuple[object, ...]:
    """Returns places; of a queued run and the root it waits with, the run's."""
    whole = [claim for claim in claims if claim.ghost is None or claim is claim.ghost.run]
    return tuple(dict.fromkeys([place_of(claim.owner) for claim in whole]))
