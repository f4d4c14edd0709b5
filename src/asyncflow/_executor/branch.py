"""A branch of a stream: the chain of maps that every item goes through, one small execution for each item.

What an item leaves when it ends: its results go to those who read them, its failures to the execution around it, and
its record stays for the first `RECORDED` items, later only where something in it did not succeed. All else is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from asyncflow._authoring import item_name, told
from asyncflow._executor.demands import check_shape_pool, limits_of, make
from asyncflow._executor.hooking import watch
from asyncflow._executor.item import ItemExecution
from asyncflow._executor.outcome import as_failure, node_failed
from asyncflow._executor.recording import Ledger
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._plan import MISSING, ItemPlan, Order, Stage, item_plan
from asyncflow._scheduler import RETRYING, SKIPPED, SUCCEEDED, WAITING, Broken, Fault, Lane

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.flow import Flow
    from asyncflow._limits import Demand


class Branch:
    """The maps that take the items of one source, chained to one first map.

    Args:
        flow: The stream.
        stages: The maps, each after the one it takes its items from.

    Attributes:
        item: What runs for each item.
        lanes: The results of each map.
        results: For the local id of a result, the maps whose result it is.
        items: The items that have not ended.
        limits: The limits of the scopes the maps stand in.
        ledger: What the items that have ended left for the result of the run.
        dead: True where it takes no more items: its names failed, or something else it needs did.
    """

    __slots__ = (
        "_names",
        "_order",
        "dead",
        "demands",
        "flow",
        "frame",
        "item",
        "items",
        "lanes",
        "ledger",
        "limits",
        "results",
        "stages",
        "window",
    )

    def __init__(self, flow: Flow, stages: Sequence[Stage]) -> None:
        frame = self.frame = flow.frame
        self.flow = flow
        self.stages = stages
        self.item: ItemPlan = item_plan(stages, frame.scopes, names=names_around(frame))
        self.lanes = {stage.id: Lane(keep=flow.reads_whole(stage.id)) for stage in stages}
        self.results: dict[int, list[int]] = {}
        for m, i in self.item.outputs.items():
            self.results.setdefault(i, []).append(m)
        self.items: dict[ItemExecution, None] = {}
        self.window = min([stage.node.fragment.window for stage in stages if stage.node.fragment is not None])
        self.limits = [limits_of(flow.engine, frame, base) for base in self.item.bases]
        self.ledger = Ledger(self.item)
        self.demands: list[Demand | None] | None = None
        self.dead = any(
            RETRYING < frame.status[i] != SUCCEEDED and frame.status[i] != SKIPPED for i in self.item.captures
        )
        self._names: dict[str, int] | None = {} if self._first.map_key is not None else None
        start = len(frame.parent_order)
        own = frame.orders[stages[0].id]
        self._order = (own[:start], own[start + 1 : start + 4])

    @property
    def _first(self) -> Any:  # noqa: ANN401 — a Fragment; a stage always has one
        return self.stages[0].node.fragment

    @property
    def alive(self) -> bool:
        """True where its first map still takes items."""
        return not self.dead and self.frame.status[self.stages[0].id] == WAITING

    @property
    def ahead(self) -> int:
        """How many items are not done: they have not ended, or somebody has not read their results."""
        unread = [lane.unread(queue) for lane in self.lanes.values() for queue in lane.queues if self.flow.reads(queue)]
        return len(self.items) + max(unread, default=0)

    def order_of(self, priority: int, index: int, *rest: float) -> Order:
        """Returns the place of something in item `index`: by the rank of the first map, then by item."""
        outer, middle = self._order
        return (*outer, priority, *middle, index, *rest)

    def stage_of(self, i: int) -> int:
        """Returns the map that a node of an item belongs to; one that was appended, the first."""
        return self.item.stages[i] if i < len(self.item.stages) else self.stages[0].id

    # ── items ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def launch(self, index: int, value: object) -> None:
        """Starts what runs for an item."""
        engine, frame = self.flow.engine, self.frame
        name = str(index) if self._names is None else self._named(value, index)
        if name is None:
            return
        item = ItemExecution(self, index, name, self._limits())
        if self.item.limited or self.demands is None:
            self.demands = demands_of(item)
        item.demands = self.demands
        item.orders = [
            self.order_of(-node.op.options.priority if node.op is not None else 0, index, -node.stage, -node.height, i)
            for i, node in enumerate(self.item.plan.nodes)
        ]
        item.depth = frame.depth
        self.items[item] = None
        frame.open += 1
        frame.run.children.setdefault(self.flow.hub, []).append(item)
        frame.run.executions.append(item)
        item.started_at = engine.clock()
        if self.item.plan.hooked:
            watch(engine, item)
        item.start(value)
        engine.go(item)

    def _limits(self) -> list[ScopeLimits | None]:
        more = len(self.item.plan.scopes) - len(self.limits)
        return [*self.limits, *[None] * more]

    def _named(self, value: object, index: int) -> str | None:
        """Returns the name of an item; None where it can have none, and the map failed."""
        first, frame = self.stages[0], self.frame
        names = cast("dict[str, int]", self._names)
        who = f"{frame.run.graph}/{frame.key(first.id)}, called at {told(first.node.where)},"
        try:
            name = frame.context.copy().run(item_name, self._first.map_key, value, index, names, who)
        except Exception as error:  # noqa: BLE001 — user code may raise anything; the map fails with it
            self.dead = True
            node_failed(
                self.flow.engine, frame, first.id, as_failure(frame.key(first.id), error), self.flow.engine.clock()
            )
            self.flow.engine.advance(frame, self.flow.engine.clock())
            return None
        names[name] = index
        return name

    def deliver(self, item: ItemExecution, i: int, value: object) -> None:
        """An item has a result of one or more maps."""
        for m in self.results[i]:
            self.lanes[m].put(item.index, value)
        self.flow.results_came()

    def item_ended(self, item: ItemExecution) -> None:
        """All that ran for an item has ended."""
        del self.items[item]
        frame = self.frame
        frame.open -= 1
        if frame.finished:
            return
        self._take_faults(item)
        for m, i in self.item.outputs.items():
            if item.status[i] != SUCCEEDED:
                self.lanes[m].put(item.index, MISSING if item.status[i] == SKIPPED else broken(item, i))
        self.ledger.note(item)
        self.flow.item_ended(self)

    def _take_faults(self, item: ItemExecution) -> None:
        """Failures of an item are failures on behalf of its map, unless a settled call in the item took them."""
        taken = [i for i in item.failures if item.nodes[i].settled < 0]
        faults = [Fault(self.stage_of(i), item.key(i), item.errors[i], item.ended[i] or 0.0) for i in taken]
        inner = [fault for fault in item.faults if item.nodes[fault.map].settled < 0]
        faults += [fault._replace(map=self.stage_of(fault.map)) for fault in inner]
        self.frame.faults += faults
        run = self.frame.run
        if run.close_errors:
            run.close_errors = [(self.frame if part is item else part, error) for part, error in run.close_errors]

    def end(self, error: Broken | None) -> None:
        """No more items will come, and none is left."""
        for lane in self.lanes.values():
            lane.end(error)


def broken(item: ItemExecution, i: int) -> Broken:
    """Returns why an item has no result."""
    cause = item.blame.get(i, i)
    return Broken(item.cause_key(cause), item.errors.get(cause))


def demands_of(item: ItemExecution) -> list[Demand | None]:
    """Returns what the ops of an item ask for; None where that has to be asked for each op."""
    engine = item.run.engine
    found: list[Demand | None] = []
    for shape in item.plan.shapes:
        demand: Demand | None = None
        if not callable(shape.pool) and not shape.source:
            pools = check_shape_pool(shape.pool)
            demand = make(engine, item, shape.scope, dict(shape.tags), pools, place=shape.place)
            if engine.core.fits_ever(demand):
                demand = None  # each op is refused by itself
        found.append(demand)
    return found


def names_around(frame: Execution) -> tuple[str, ...]:
    """Returns the names of the items that an execution stands in, outermost first."""
    if not isinstance(frame, ItemExecution):
        return ()
    return (*names_around(frame.branch.frame), frame.name)
