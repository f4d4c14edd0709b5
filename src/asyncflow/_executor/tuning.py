"""Other numbers for a live deployment: worked out in full first, then made in one step, or only looked at.

A `Redrawing` has every change as data: capacities, limits to be made, and what those who wait or run will ask for.
Making it and previewing it go through the same list, so a preview cannot differ from what `tune` would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from asyncflow._executor.demands import make_all
from asyncflow._executor.run_queue import THE_RUN
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._executor.telling import tell_blocked_anew, warn_never_fits
from asyncflow._limits import Changes, Claim, Limit, NewLimit, alike
from asyncflow.events import LimitChanged, LimitPaused, LimitResumed, PoolUnknown, RunReprioritised
from asyncflow.options import TagLimit
from asyncflow.results import RunStatus

if TYPE_CHECKING:
    from asyncflow._executor.deployment_state import DeploymentState
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.run_state import RunState
    from asyncflow._limits import PoolQuotas, RunQuotas


class Redrawing:
    """Other quotas for one deployment.

    Args:
        engine: Where it lives.
        home: Its state.
        pools: What its pools will be.
        runs: What its runs will ask for.
    """

    def __init__(self, engine: Engine, home: DeploymentState, pools: PoolQuotas, runs: RunQuotas) -> None:
        self.engine = engine
        self.home = home
        self.pools = pools
        self.runs = runs
        before = home.runs.quotas
        self._asks_differently = not (
            alike(before.rules, runs.rules)
            and (before.max_concurrent_runs is None and not before.paused)
            == (runs.max_concurrent_runs is None and not runs.paused)
        )
        if self._asks_differently:
            give_grants(engine, home)
        self._keyed = {
            name
            for name in {*home.pools.quotas.pools, *pools.pools}
            if not home.pools.external
            and (home.pools.quotas.of(name).per_key is None) != (pools.of(name).per_key is None)
        }
        self.changes = Changes()
        self._pool_draft = home.pools.redraw(pools, self.changes)
        self._run_draft = home.runs.redraw(runs, self.changes)
        if self._asks_differently:
            self._rematch_runs()
        if self._keyed:
            self._rematch_ops()
        places = home.runs.table.known(f"@max_concurrent_runs{home.runs.suffix}")
        if places is not None and places.paused != runs.paused:
            (self.changes.pause if runs.paused else self.changes.resume)(places)

    def _rematch_runs(self) -> None:
        for run in runs_of(self.engine, self.home):
            asked = self.home.runs.drafted_needs(self.runs, self._run_draft, run.tags, run.conflict)
            asked.extend([(self.home.pools.pool(pool), 1) for pool in sorted(run.pools)])
            buffer = self.home.runs.buffer
            for claim in run.ghosts or ([] if run.grant is None else [run.grant]):
                units = 0 if buffer is None else claim.demand.amount(buffer)
                held = run.grant is None or claim.holding is None or (buffer is not None and claim.own_of(buffer) > 0)
                self.changes.rematch(claim, [*asked, (buffer, 1)] if units and held and buffer is not None else asked)

    def _rematch_ops(self) -> None:
        for frame, i, claim in live_ops(self.engine, self.home):
            node = frame.nodes[i]
            pools = frame.answers.get(i) if node.op is None or callable(node.op.pool) else node.op.pool
            if pools and any(name.partition(":")[0] in self._keyed for name, _ in pools):
                asked: list[tuple[Limit | NewLimit, int]] = [
                    (limit, units) for limit, units in claim.demand.needs if limit.name.startswith("@")
                ]
                wanted = [(name, slots) for name, slots in pools if name.partition(":")[0] not in frame.run.pools]
                asked.extend(self.pools.needs(wanted, self._pool_draft.find, prefix=self.home.pools.prefix))
                self.changes.rematch(claim, asked)

    def make(self) -> None:
        """Makes all of it, in one step between two rounds."""
        engine, home = self.engine, self.home
        known = {limit: limit.capacity for book in (home.pools, home.runs) for limit in book.table}
        made = engine.core.apply(self.changes)
        self._pool_draft.settle(made)
        self._run_draft.settle(made)
        home.pools.quotas = self.pools
        home.runs.quotas = self.runs
        if self.runs.paused and (self._asks_differently or home.runs.places.paused):
            engine.core.pause(home.runs.places)
        if self._keyed:
            for run in runs_of(engine, home):
                for frame in run.executions:
                    make_all(engine, frame)
        engine.stale = True
        engine.wake()
        warn_never_fits(engine)
        if engine.observers.runs:
            now = engine.clock()
            for limit, capacity in known.items():
                if limit.capacity != capacity:
                    engine.observers.tell(LimitChanged(now, limit.name, capacity, limit.capacity))
            tell_blocked_anew(engine)


def runs_of(engine: Engine, home: DeploymentState) -> list[RunState]:
    """Returns the live runs of one deployment, or branch."""
    return [run for run in engine.runs.values() if run.home is home]


def live_ops(engine: Engine, home: DeploymentState) -> Iterator[tuple[Execution, int, Claim]]:
    """Yields the ops that wait for limits or run, of all who share the deployment's pools."""
    for run in engine.runs.values():
        if run.home.pools is home.pools:
            for frame in run.executions:
                for i, claim in enumerate(frame.claims):
                    if claim is not None:
                        yield frame, i, claim


def give_grants(engine: Engine, home: DeploymentState) -> None:
    """Gives every running run a grant of its own, empty where it needed nothing so far, so that it can be counted."""
    nothing = engine.core.demand(())
    for run in runs_of(engine, home):
        if run.grant is None and run.status is not RunStatus.QUEUED:
            run.grant = Claim(run.party, nothing, (), (run.root, THE_RUN))
            engine.core.grant_nothing(run.grant)


def tune_run(engine: Engine, run: RunState, cap: int | None, rules: tuple[TagLimit, ...]) -> None:
    """Gives one run another cap and other op-tag rules: upward at once, downward as ops end."""
    limits = run.limits
    core = engine.core
    if cap is not None and limits.cap is not None:
        core.resize(limits.cap, cap)
    kept = {(rule.key, rule.value): rule for rule in rules}
    same = {(rule.key, rule.value) for rule in limits.rules} == set(kept)
    for (key, value, each), limit in limits.made.items():
        rule = next((one for one in rules if ScopeLimits.counter(one, value) == (key, value, each)), None)
        if rule is not None:
            core.resize(limit, rule.limit)
    limits.rules = rules
    if not same or (cap is None) != (limits.cap is None):
        limits.replace_cap(core, cap)
        ask_anew(engine, run.executions)
    engine.stale = True
    engine.wake()


def ask_anew(engine: Engine, frames: Iterable[Execution]) -> None:
    """Ops that wait keep their age and ask under the limits as they are now; those that run hold accordingly."""
    for frame in tuple(frames):
        make_all(engine, frame)
        for i, claim in enumerate(frame.claims):
            if claim is not None:
                shape = frame.nodes[i].shape
                demand = frame.demands[shape] if shape >= 0 else None
                engine.core.rematch(claim, frame.asked[i] if demand is None else demand)


def set_priority(engine: Engine, run: RunState, priority: int) -> None:
    """Gives a live run another priority."""
    if run.status.final or priority == run.party.priority:
        return
    engine.core.reprioritise(run.party, priority=priority)
    engine.stale = True
    engine.wake()
    if engine.observers.runs:
        engine.observers.tell(RunReprioritised(engine.clock(), run.id, run.graph, priority))


def pause(engine: Engine, limit: Limit, *, paused: bool) -> None:
    """Lets nothing start on a limit any more, or again."""
    if limit.paused == paused:
        return
    (engine.core.pause if paused else engine.core.resume)(limit)
    engine.stale = True
    engine.wake()
    if engine.observers.runs:
        event = LimitPaused if paused else LimitResumed
        engine.observers.tell(event(engine.clock(), limit.name))
        tell_blocked_anew(engine)


def tell_unknown_pool(engine: Engine, home: DeploymentState, pool: str) -> None:
    """Says that `tune` named a pool that nobody has used: most often a misspelling."""
    if home.pools.table.known(home.pools.prefix + pool) is None:
        near = home.pools.nearest(pool)
        engine.observers.warn(
            PoolUnknown(engine.clock(), pool, f"pool {pool!r} is new here: nothing has named it so far{near}")
        )
