"""An execution: a frame of the scheduler with all that it needs to run here.

One for every run, and one for every child that an op of it runs. Children share the run's place, party and limits;
their keys begin with the key of the op that runs them, their order with that op's order.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring import NodeKind
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._plan import Order, Plan, item_order, late_order
from asyncflow._scheduler import RETRYING, RUNNING, STATUS, Frame
from asyncflow.results import OpStatus

if TYPE_CHECKING:
    from asyncflow._executor.flow import Flow
    from asyncflow._executor.hooking import Hooking
    from asyncflow._executor.reusing import Past
    from asyncflow._executor.run_state import RunState
    from asyncflow._executor.side import Side
    from asyncflow._executor.time_limit import ScopeLimit, TimeLimit
    from asyncflow._executor.trial import Trial
    from asyncflow._limits import Claim, Demand, Limit
    from asyncflow.errors import RunTimeout
    from asyncflow.options import PoolNeeds
    from asyncflow.retry import Retry


NO_STREAMS: Final[dict[int, Flow]] = {}
"""What executions without a source share; never written to."""

NO_SIDES: Final[dict[int, Side]] = {}
LONGEST_STEM: Final = 32
"""Parts of an order that what a late graph appends takes over; late graphs deeper inside each other share one place."""


class Execution(Frame):
    """One plan while it runs on this loop.

    `claims` has the claim of every op that waits for limits or runs; `open` is their number, and that of the ops that
    wait to be tried again. `waited` has what each op that was blocked waited for. `answers` has what `pool=` functions
    said, which are asked only once. `trials` has the earlier attempts of ops that failed and were tried again,
    `default_retry` how ops without a policy are, `reasons` why ops skipped themselves. `timed` is True where it or a
    nested graph has a time limit: `time` is its own, `scope_times` has those of nested graphs that began. `overdue` is
    set when its own is over, `failed_in_time` how many failures count that came before. `stems` has where the items of
    a map that was appended stand in order, `depth` is the number of late and live bodies around it, and `unlisted` has
    the bodies that results do not list where they succeeded, with the node that has their result.
    `past` is what it goes on from, where that is in a store; it is `timed` then, since what is ready is looked at.
    `streams` has the stream of every source, `sides` the ops of streams that may have to wait for each other.
    """

    __slots__ = (
        "alias",
        "answers",
        "asked",
        "calls",
        "claims",
        "context",
        "default_retry",
        "demands",
        "depth",
        "descendants",
        "ended_at",
        "extra_demands",
        "failed_in_time",
        "finished",
        "hooking",
        "inputs",
        "open",
        "orders",
        "overdue",
        "parent",
        "parent_order",
        "past",
        "plan_orders",
        "prefix",
        "reasons",
        "run",
        "scope_limits",
        "scope_times",
        "sides",
        "started_at",
        "stems",
        "streams",
        "time",
        "timed",
        "trials",
        "unlisted",
        "waited",
        "waiters",
    )

    def __init__(
        self,
        plan: Plan,
        run: RunState,
        *,
        context: Context,
        parent: Claim | None,
        order: Order,
        prefix: str,
        limits: ScopeLimits,
    ) -> None:
        super().__init__(plan)
        if run.home.judges:
            self.nodes = plan.judged
        self.run = run
        self.context = context
        self.parent = parent
        self.parent_order = order
        self.prefix = prefix
        self.alias: str | None = None
        self.claims: list[Claim | None] = [None] * len(plan.nodes)
        self.scope_limits: list[ScopeLimits | None] = [limits] + [None] * (len(plan.scopes) - 1)
        self.demands: list[Demand | None] = []
        self.extra_demands: dict[tuple[int, int], Demand] = {}
        self.asked: dict[int, Demand] = {}
        self.past: Past | None = None
        self.trials: dict[int, Trial] = {}
        self.default_retry: Retry | None = None
        self.hooking: Hooking | None = None
        self.timed = plan.timed
        self.time: TimeLimit | None = None
        self.scope_times: dict[int, ScopeLimit] = {}
        self.reasons: dict[int, str] = {}
        self.overdue: RunTimeout | None = None
        self.failed_in_time = 0
        self.answers: dict[int, PoolNeeds] = {}
        self.orders: list[Order] = []
        self.plan_orders: list[Order] = self.orders
        self.stems: dict[int, Order] = {}
        self.unlisted: dict[int, int] = {}
        self.depth = 0
        self.waited: dict[int, Mapping[str, int]] = {}
        self.open = 0
        self.finished = False
        self.started_at = 0.0
        self.ended_at = 0.0
        self.waiters: list[asyncio.Future[None]] = []
        self.calls: dict[tuple[int, str], int] = {}
        self.descendants: list[Execution] = []
        self.inputs: Sequence[Any] = ()
        self.streams: dict[int, Flow] = NO_STREAMS
        self.sides: dict[int, Side] = NO_SIDES

    def grow(self, new: range, i: int) -> None:
        """Map `i` appended nodes: gives them their places in the tables of this room, and their order."""
        self._make_room(new)
        prefix = self.parent_order
        known = self.stems.get(i)
        stem = (self.orders[i][len(prefix) + 1],) if known is None else known
        for j in new:
            self.orders.append((*prefix, *item_order(self.nodes[j], j, stem)))
            if known is not None and self.nodes[j].kind is NodeKind.MAP:
                self.stems[j] = stem

    def grow_late(self, new: range, i: int) -> None:
        """Likewise for the late graph whose body is node `i`."""
        self._make_room(new)
        prefix, nodes = self.parent_order, self.nodes
        stem = self.orders[i][len(prefix) + 1 :][:LONGEST_STEM]
        for j in new:
            node = nodes[j]
            chain = nodes[node.lead].height if node.lead >= new.start else None
            self.orders.append((*prefix, *late_order(node, j, stem, chain)))
            if node.kind is NodeKind.MAP:
                self.stems[j] = (*stem, -node.height if chain is None else -chain)

    def _make_room(self, new: range) -> None:
        self.claims.extend([None] * len(new))
        self.timed = self.timed or any(scope.timeout is not None for scope in self.scopes[len(self.scope_limits) :])
        self.scope_limits.extend([None] * (len(self.scopes) - len(self.scope_limits)))
        if self.orders is self.plan_orders:
            self.orders = list(self.orders)

    def name_child(self, i: int, plan: Plan, *, single: bool) -> tuple[str, str | None]:
        """Returns prefix and, for an op run alone, the whole key of the next child of op `i`: `parent/child#2`.

        Children of the body of a live graph that is run itself are keyed like the ops of any graph: `child#2`.
        """
        number = self.calls[i, plan.name] = self.calls.get((i, plan.name), 0) + 1
        name = plan.name if number == 1 else f"{plan.name}#{number}"
        key = name if self.plan.live and self.parent is None else f"{self.key(i)}/{name}"
        return f"{key}/", key if single else None

    def wake_waiters(self) -> None:
        """Everybody who awaits this execution goes on."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def op_retry(self, scope: int) -> Retry | None:
        """Returns how ops in a scope that have no policy of their own are tried again."""
        current: int | None = scope
        while current is not None:
            found = self.scopes[current].op_retry
            if found is not None:
                return found
            current = self.scopes[current].parent
        return self.default_retry

    def close_times(self) -> None:
        """Neither its own time counts any more, nor that of nested graphs."""
        if self.time is not None:
            self.time.close()
        for limit in self.scope_times.values():
            limit.close()

    def close_streams(self) -> None:
        """It has ended: nothing of its streams stays in the core."""
        for flow in self.streams.values():
            flow.close()

    @property
    def latest(self) -> Execution:
        """Itself, or where it is a run's, that of the run's last attempt."""
        return self.run.root if self.parent is None else self

    def retrying(self) -> list[tuple[int, Trial]]:
        """Returns the ops that wait to be tried again."""
        return [(i, trial) for i, trial in self.trials.items() if self.status[i] == RETRYING]

    def tolerated(self, i: int) -> bool:
        """True where a settled call takes the failure of `i`."""
        return self.nodes[i].settled >= 0

    def failed(self) -> list[int]:
        """Returns the nodes whose failure counts, in the order in which they failed."""
        return [i for i in self.failures if not self.tolerated(i)]

    def has_failed(self) -> bool:
        """True where a failure counts, of a node or of an op for an item of a stream."""
        return bool(self.failed()) or any(not self.tolerated(fault.map) for fault in self.faults)

    def failed_ops(self) -> list[tuple[str, BaseException]]:
        """Returns keys and errors of the ops whose failure counts, in the order in which they failed."""
        own = [(self.ended[i] or 0.0, self.key(i), self.errors[i]) for i in self.failed()]
        if not self.faults:
            return [(key, error) for _, key, error in own]
        own += [(fault.ended, fault.key, fault.error) for fault in self.faults if not self.tolerated(fault.map)]
        return [(key, error) for _, key, error in sorted(own, key=lambda one: one[0])]

    @property
    def outermost(self) -> Execution:
        """The execution that all of this belongs to: this one, but for items of streams."""
        return self

    def cause_key(self, i: int) -> str:
        """Returns the key of what abandoned others: a node, or an op that failed for an item of a stream."""
        for flow in self.streams.values():
            if i in flow.causes:
                return flow.causes[i]
        return self.key(i)

    def named(self, text: str) -> str:
        """Returns a key or a path with the names of the items it stands in."""
        return text

    def key(self, i: int) -> str:
        """Returns the key of a node, a child's prefix included."""
        if self.alias is not None:
            return self.alias
        return f"{self.prefix}{self.nodes[i].key}" if self.prefix else self.nodes[i].key

    def op_status(self, i: int) -> OpStatus:
        """Returns the status of a node as users see it."""
        return OpStatus.REUSED if i in self.kept else STATUS[self.status[i]]

    def count(self, status: OpStatus) -> int:
        """Returns how many nodes have a status."""
        return self.status.count(STATUS.index(status))

    def awaited(self, i: int) -> list[int]:
        """Returns the shown nodes, not ended yet, for which node `i` waits, directly or through inline steps."""
        found: dict[int, None] = {}
        seen = {i}
        todo = [i]
        while todo:
            below = todo.pop()
            node = self.nodes[below]
            before = [*node.sources, *node.after, *self.collected.get(below, ())]
            for j in [*before, *[joint for joint in (node.gate, node.items) if joint >= 0]]:
                if j not in seen and not self.op_status(j).final:
                    seen.add(j)
                    if self.nodes[j].shown:
                        found[j] = None
                    else:
                        todo.append(j)
        return list(found)

    def depth_inside(self, i: int) -> int:
        """Returns how many bodies of late and live graphs lie around what node `i` runs."""
        node = self.nodes[i]
        return self.depth + self.scopes[node.scope].late + (node.graph is not None)

    def runs_live(self, i: int) -> bool:
        """Returns whether node `i` is the body of a live graph, and runs."""
        graph = self.nodes[i].graph
        return graph is not None and graph.live and self.status[i] == RUNNING

    def inside(self, i: int) -> list[str]:
        """Returns the keys of what runs or is blocked inside op or body `i`."""
        claim = self.claims[i]
        children = [] if claim is None else self.run.children.get(claim, [])
        return [child.key(j) for child in children for j, one in enumerate(child.claims) if one is not None]

    def runs_late(self, i: int) -> bool:
        """Returns whether node `i` is a late graph that was wired and whose result is not there yet."""
        return i in self.unlisted and not self.op_status(self.unlisted[i]).final

    def needs_of(self, i: int) -> Mapping[str, int]:
        """Returns what op `i` asked of which limit, by the limit's name."""
        shape = self.nodes[i].shape
        demand = self.asked.get(i) or (self.demands[shape] if shape >= 0 else None)
        return {} if demand is None else {limit.name: amount for limit, amount in demand.needs}

    def own_limits(self) -> Iterator[Limit]:
        """Yields the limits that were made for this execution only."""
        outer = None if self.parent is None else self.parent.owner[0]
        known: set[int] = set() if outer is None else {id(limits) for limits in outer.scope_limits}
        for limits in self.scope_limits:
            if limits is not None and id(limits) not in known:
                known.add(id(limits))
                yield from limits.own()

    def stack(self, i: int) -> tuple[str, ...]:
        """Returns where a suspended op stands, innermost last."""
        claim = self.claims[i]
        suspended = None if claim is None else self.run.suspended.get(claim)
        if suspended is None:
            return ()
        lines: list[str] = []
        frame: FrameType | None = getattr(suspended.coroutine, "cr_frame", None)
        if frame is not None:
            lines = [line.strip() for line in traceback.format_stack(frame)[-8:]]
        return tuple(lines)
