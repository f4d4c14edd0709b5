"""The engine: carries out what the admission core decides, for all runs of one deployment on one loop.

The core decides who may start; the engine makes claims of ops whose inputs are there, asks for rounds, and puts
workers to work. One flag, `stale`, says that something came since the last round. The first completion of a turn
schedules one worker whose first step is the round; later completions join it, so a hundred ends of one turn are one
decision. What user code causes while a round is decided waits for the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from random import Random
from typing import Any, Final

from asyncflow._executor import ending, run_queue
from asyncflow._executor.block import Block
from asyncflow._executor.body import refuse_body_too_deep
from asyncflow._executor.demands import demand_of, limits_of, resolve, run_pools
from asyncflow._executor.deployment_state import DeploymentState
from asyncflow._executor.execution import Execution
from asyncflow._executor.flow import Flow, held_back
from asyncflow._executor.hooking import watch
from asyncflow._executor.inline import evaluate
from asyncflow._executor.keeping import RunRecorder, kind_of
from asyncflow._executor.obeying import obey
from asyncflow._executor.remote import Remote
from asyncflow._executor.resuming import go_on, past_of
from asyncflow._executor.run_retrying import run_tried_again
from asyncflow._executor.run_state import RunState
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._executor.side import Side
from asyncflow._executor.spawn import spawn
from asyncflow._executor.telling import tell_blocked, tell_other_causes
from asyncflow._executor.time_limit import TimeLimit, in_time
from asyncflow._executor.worker import work
from asyncflow._limits import Admission, Claim, Limit
from asyncflow._observers import Observers
from asyncflow._plan import Plan
from asyncflow._scheduler import BLOCKED
from asyncflow.errors import ConfigurationError, RunRejected
from asyncflow.ids import new_run_id
from asyncflow.options import RunOptions

MOST_AHEAD: Final = 16
"""Starts that are due already, from which on a body does not go ahead of the next round."""


class Engine:
    """All runs of one deployment on one event loop.

    Args:
        core: Decides who may start.
        places: The limits of the ops that need a thread, or a worker process.
        processes: How many may be in worker processes; their limit is there from the first such op on.
        carry: The addresses of context variables that worker processes get.
        observers: Who listens.
        cancel_grace: Seconds after which an op that was cancelled and still runs is reported.
    """

    __slots__ = (
        "blocks",
        "broken",
        "buffers",
        "cancel_grace",
        "carry",
        "clock",
        "core",
        "fresh",
        "fresh_runs",
        "loop",
        "observers",
        "parked",
        "places",
        "processes",
        "random",
        "remote",
        "runs",
        "spawning",
        "stale",
        "starts",
        "waiting_specially",
        "waking",
    )

    def __init__(
        self,
        core: Admission,
        *,
        threads: int | None,
        processes: int | None,
        carry: Sequence[str],
        observers: Observers,
        cancel_grace: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time
        self.core = core
        self.places = {"thread": core.limit("@threads", threads)}
        self.processes = processes
        self.carry = carry
        self.observers = observers
        observers.look()
        self.cancel_grace = cancel_grace
        self.random: Random = getattr(self.loop, "random", None) or Random()  # noqa: S311 — jitter, no secret
        self.runs: dict[str, RunState] = {}
        self.starts: deque[Claim] = deque()
        self.fresh: list[Claim] = []
        self.fresh_runs: list[RunState] = []
        self.waiting_specially = 0
        self.blocks: dict[Block, None] = {}
        self.parked: dict[Side, Flow] = {}
        self.buffers: dict[RunState, Limit] = {}
        self.remote: Remote | None = None
        self.stale = False
        self.broken = False
        self.waking = 0
        self.spawning = False

    def __repr__(self) -> str:
        return f"<engine runs={len(self.runs)} admitted={len(self.starts)}>"

    # ── runs and children ─────────────────────────────────────────────────────────────────────────────────────────

    def launch(
        self,
        plan: Plan,
        inputs: Sequence[Any],
        *,
        options: RunOptions,
        context: Context,
        home: DeploymentState,
        deployment: object = None,
        record: RunRecorder | None = None,
    ) -> RunState:
        """Submits a run: it begins at once, or is queued.

        Raises:
            ConfigurationError: where the run id is taken.
            DemandError: where an op asks for more than a limit can ever give; nothing was started.
            RunRejected: where `on_full` or `max_queued` refuses it; nothing was started.
        """
        self.observers.look()
        past = None if options.resume_from is None else past_of(plan, inputs, options.resume_from, record)
        run_id = new_run_id() if options.run_id is None else options.run_id
        if run_id in self.runs:
            raise ConfigurationError(
                f"run id {run_id!r} is taken by a run of {self.runs[run_id].graph!r}; choose another"
            )
        key = ("run", run_id) if options.fair_key is None else ("key", options.fair_key)
        party = self.core.party(self.core.group(key, options.weight), priority=options.priority)
        limits = ScopeLimits.of(
            self.core, None, max_concurrent=options.max_concurrent, rules=options.tag_concurrency_limits, path=""
        )
        run = RunState(run_id, plan.name, engine=self, home=home, options=options, party=party, limits=limits)
        run.deployment = deployment
        run.pools = run_pools(home, plan)
        run.record = record
        run.root = kind_of(None, run)(plan, run, context=context, parent=None, order=(), prefix="", limits=limits)
        run.root.default_retry = options.op_retry
        if plan.live:
            run.root.unlisted[0] = 0
        resolve(self, run.root)
        run_queue.heed_conflicts(self, run)
        self.runs[run_id] = run
        run.executions.append(run.root)
        if record is not None:
            record.begin(run)
        watch(self, run.root, options.hooks, home.hooks)
        try:
            run.root.inputs = inputs
            if past is None:
                run.root.begin(inputs)
            else:
                go_on(run.root, past, inputs)
            run_queue.submit(self, run)
        except RunRejected:
            raise
        except BaseException as error:  # noqa: BLE001 — a defect, since ops' errors never get here; no run may be left half begun
            self.crash(error)
        return run

    def launch_child(
        self, plan: Plan, inputs: Sequence[Any], *, options: RunOptions, context: Context, parent: Claim, single: bool
    ) -> Execution:
        """Starts a child of a running op or live body: same run, same limits; keys begin with the op's.

        Raises:
            ConfigurationError: for options that only a run of its own can have.
            DemandError: where an op asks for more than a limit can ever give; nothing was started.
            PlanError: for a live graph inside too many others; nothing was started.
        """
        for name in ("resume_from", "retry", "conflict_key", "singleton", "wait_timeout"):
            if getattr(options, name):
                raise ConfigurationError(
                    f"{plan.name}: {name} belongs to a whole run; here, inside an op, it would be a child: write"
                    " `.start(…)`, or `.on(deployment).run(…)`"
                )
        outer, i = parent.owner
        run: RunState = outer.run
        limits = ScopeLimits.of(
            self.core,
            limits_of(self, outer, outer.nodes[i].scope),
            max_concurrent=options.max_concurrent,
            rules=options.tag_concurrency_limits,
            path=outer.key(i),
        )
        depth = outer.depth_inside(i)
        prefix, alias = outer.name_child(i, plan, single=single or plan.live)
        if plan.live:
            refuse_body_too_deep(plan.nodes[-1], f"{run.graph}/{alias}", depth)
        order = (*parent.order, len(run.root.descendants))
        child = kind_of(outer, run)(
            plan, run, context=context, parent=parent, order=order, prefix=prefix, limits=limits
        )
        child.alias = alias
        child.depth = depth
        child.default_retry = outer.op_retry(outer.nodes[i].scope) if options.op_retry is None else options.op_retry
        resolve(self, child)
        watch(self, child, options.hooks)
        outer.descendants.append(child)
        run.children.setdefault(parent, []).append(child)
        self._begin(child, inputs, options.timeout)
        return child

    def _begin(self, frame: Execution, inputs: Sequence[Any], seconds: float | None) -> None:
        frame.run.executions.append(frame)
        frame.started_at = self.clock()
        try:
            frame.begin(inputs)
            if seconds is not None:
                frame.time, frame.timed = TimeLimit(self, frame, seconds), True
            self.go(frame)
        except BaseException as error:  # noqa: BLE001 — ops' errors never get here: a defect, and no run may be left half begun
            self.crash(error)

    def go(self, frame: Execution) -> None:
        """An execution begins: what is ready is claimed."""
        self.advance(frame, self.clock())
        if not frame.open:
            ending.settle(self, frame)
        if self.stale:
            self.wake()

    # ── from inputs to admission ──────────────────────────────────────────────────────────────────────────────────

    def advance(self, frame: Execution, now: float) -> None:
        """Evaluates inline nodes until none is left, and claims the ops whose inputs are there."""
        if frame.inline:
            self.evaluate_all(frame, now)
        if not frame.ready or frame.closed:
            return
        ready = frame.ready
        frame.ready = []
        if frame.timed:
            ready = in_time(self, frame, ready, now)
        claims: list[Claim] = []
        party = frame.run.party
        nodes, demands, orders, parent = frame.nodes, frame.demands, frame.orders, frame.parent
        for i in ready:
            shape = nodes[i].shape
            demand = demands[shape] if shape >= 0 else None
            if demand is None:
                if self._goes_ahead(frame, i, now) or held_back(self, frame, i):
                    continue
                demand = frame.asked.get(i) or demand_of(self, frame, i, now)
                if demand is None:
                    if _taken_back(frame, claims):
                        return
                    continue
            claim = Claim(party, demand, orders[i], (frame, i), parent)
            frame.claims[i] = claim
            frame.status[i] = BLOCKED
            frame.ready_at[i] = now
            claims.append(claim)
        frame.open += len(claims)
        if len(claims) == 1:
            self.core.enqueue(claims[0])
        else:
            self.core.enqueue_many(claims)
        self.stale = True
        if self.observers.ops:
            self.fresh.extend(claims)
        if frame.inline or frame.ready:  # a `pool=` function failed, and somebody tolerates that
            self.advance(frame, now)

    def _goes_ahead(self, frame: Execution, i: int, now: float) -> bool:
        """Lets the body of a graph start before the next round, so that the round sees what it brings.

        What ended to make it ready may have given back what that needs. Where many bodies come at once, or late graphs
        lie inside each other, bodies wait for the round like ops, so that they cannot put it off for long.
        """
        node = frame.nodes[i]
        if node.graph is None or len(self.starts) >= MOST_AHEAD or frame.scopes[node.scope].late:
            return False
        claim = Claim(frame.run.party, self.core.demand(()), frame.orders[i], (frame, i), frame.parent)
        self.core.grant_nothing(claim)
        frame.claims[i] = claim
        frame.status[i] = BLOCKED
        frame.ready_at[i] = now
        frame.open += 1
        self.starts.append(claim)
        self.stale = True
        return True

    def evaluate_all(self, frame: Execution, now: float) -> None:
        """Evaluates inline nodes until none is left, or somebody stops the execution."""
        while frame.inline:
            batch = frame.inline
            frame.inline = []
            for i in batch:
                if frame.closed:
                    return
                evaluate(self, frame, i, now)

    def decide(self, now: float) -> None:
        """One round of the admission core; what it grants joins `starts`."""
        self.stale = False
        fresh, fresh_runs = self.fresh, self.fresh_runs
        telling = bool(fresh or fresh_runs)
        if telling:
            self.fresh, self.fresh_runs = [], []  # what begins by this round waits for the next
        reading = int(now * 1_000_000_000)
        for side in self.parked:
            side.reach()
        starts = self.core.admit(max(reading, self.core.now))  # user code that ran meanwhile may have had a round
        if self.remote is not None:
            self.remote.rounded(starts)
        if starts and (self.waiting_specially or self.buffers):
            starts = run_queue.admitted(self, starts, now)
        self.starts.extend(starts)
        if self.core.commands:
            obey(self, now)
        if telling:
            tell_blocked(self, fresh, fresh_runs, now)
        if self.parked:
            for side in tuple(self.parked):
                side.look(after_round=True)
        if self.observers.runs:
            tell_other_causes(self, now)

    def tick(self) -> float:
        """Tells the core the time, for those who are about to be taken back; returns it in seconds."""
        now = self.clock()
        self.core.tick(int(now * 1_000_000_000))
        return now

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def wake(self) -> None:
        """Makes sure that a worker will run in the next turn of the loop."""
        if not self.waking:
            self._put_to_work()

    def help_others(self) -> None:
        """An op suspended: two workers take over while admitted ops remain, one where only a round is due."""
        wanted = min(2, len(self.starts)) or (1 if self.stale else 0)
        while self.waking < wanted:
            self._put_to_work()

    def _put_to_work(self) -> None:
        self.waking += 1
        self.spawning = True  # a worker that eager tasks start right here waits for the next turn
        spawn(work(self), name="asyncflow worker")
        self.spawning = False

    def tried_again(self, root: Execution) -> bool:
        """Nothing of a run runs any more: lets it be tried again, where it failed and has a policy that says so."""
        policy = root.run.options.retry
        return policy is not None and run_tried_again(self, root, policy)

    def crash(self, error: BaseException) -> None:
        """A defect of asyncflow came up outside of any op: every run ends with it, instead of hanging.

        The core may be in any state then, so this engine starts nothing more; the deployment makes a new one.
        """
        self.broken = True
        self.starts.clear()
        for block in tuple(self.blocks):
            block.given_up(self, error)
        for run in tuple(self.runs.values()):
            for execution in tuple(run.executions):
                ending.give_up(self, execution, error)


def _taken_back(frame: Execution, claims: Sequence[Claim]) -> bool:
    """Returns whether a failure amid a batch stopped the run: its claims were taken back before they were counted."""
    if frame.closed:
        frame.open += len(claims)
    return frame.closed
