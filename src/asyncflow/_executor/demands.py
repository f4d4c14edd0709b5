"""Demands: what each op asks of which limit, in one vector.

Ops of one shape ask for the same things, so a run makes one demand for each shape of its plan. Only where `pool=` is
a function, and where a map appends nodes, is a demand made for one op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from asyncflow._authoring import OpDefinition, added
from asyncflow._executor.outcome import as_failure, node_failed
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._executor.stepping import arguments
from asyncflow._executor.telling import tell_notices
from asyncflow._scheduler import SUCCEEDED
from asyncflow.errors import ConfigurationError, DemandError
from asyncflow.options import PoolNeeds, check_pool_needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncflow._executor.deployment_state import DeploymentState
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Demand
    from asyncflow._plan import Plan, PlanNode


def resolve(engine: Engine, frame: Execution) -> None:
    """Makes the demands of a plan's shapes and the order of its nodes.

    Raises:
        DemandError: where an op asks for more than a limit can ever give.
    """
    plan = frame.plan
    shares: list[float] = []
    for shape in plan.shapes:
        if callable(shape.pool):
            frame.demands.append(None)
            shares.append(0.0)
            continue
        demand = make(engine, frame, shape.scope, dict(shape.tags), check_shape_pool(shape.pool), place=shape.place)
        frame.demands.append(None if shape.source else demand)  # of a source, asked where its stream is opened
        shares.append(share(demand))
        if engine.core.fits_ever(demand):
            who = next(node.key for node in plan.nodes if node.shape == len(shares) - 1)
            refuse_impossible(engine, demand, f"{frame.run.graph}/{frame.prefix}{who}")
    frame.plan_orders = plan.orders(shares)
    prefix = frame.parent_order
    frame.orders = [(*prefix, *order) for order in frame.plan_orders] if prefix else frame.plan_orders


def make_all(engine: Engine, frame: Execution) -> None:
    """Makes the demands of an execution again, under the limits as they are now."""
    for number, shape in enumerate(frame.plan.shapes):
        if not callable(shape.pool) and not shape.source:
            pools = check_shape_pool(shape.pool)
            frame.demands[number] = make(engine, frame, shape.scope, dict(shape.tags), pools, place=shape.place)
    frame.extra_demands.clear()
    for flow in frame.streams.values():
        flow.forget_demands()
    for i in frame.asked:
        if frame.status[i] < SUCCEEDED:
            frame.asked[i] = own_demand(engine, frame, i)


def run_pools(home: DeploymentState, plan: Plan) -> frozenset[str]:
    """Returns the pools that a run of this plan takes as a whole: those of granularity `run` that its ops name.

    What `pool=` functions will answer is not known here; those pools are taken by each op.
    """
    if not home.pools.quotas.any_per_run:
        return frozenset()
    named: set[str] = set()
    parts: list[Sequence[PlanNode]] = [plan.nodes]
    for nodes in parts:
        for node in nodes:
            if node.op is not None:
                pool = node.op.pool
                named.update([name for name, _ in (node.op.held if callable(pool) else pool)])
            if node.fragment is not None:
                parts.append(node.fragment.nodes)
    return home.pools.run_pools(named)


def check_shape_pool(pool: object) -> PoolNeeds:
    """Returns the pools of a shape; they were checked where the op was made."""
    if isinstance(pool, tuple):
        return cast("PoolNeeds", pool)
    raise ConfigurationError(f"a demand shape has pools of type {type(pool).__name__}")


def share(demand: Demand) -> float:
    """Returns the summed shares of the limits asked for; unlimited counts 0, zero capacity 1."""
    total = 0.0
    for limit, amount in demand.needs:
        if limit.capacity is not None:
            total += amount / limit.capacity if limit.capacity else 1.0
    return total


def make(engine: Engine, frame: Execution, scope: int, tags: dict[str, str], pools: PoolNeeds, *, place: str) -> Demand:
    """Returns the demand of an op that stands in `scope`."""
    needs = list(limits_of(engine, frame, scope).needs(engine.core, tags))
    if pools:
        book = frame.run.home.pools
        needs.extend(book.needs(pools, held=frame.run.pools))
        if book.notices:
            tell_notices(engine, book)
    if place:
        if place not in engine.places:
            engine.places[place] = engine.core.limit("@processes", engine.processes)
        needs.append((engine.places[place], 1))
    return engine.core.demand(needs)


def limits_of(engine: Engine, frame: Execution, scope: int) -> ScopeLimits:
    """Returns the limits of a scope in this run, made at their first use."""
    missing: list[int] = []
    current: int | None = scope
    while current is not None and frame.scope_limits[current] is None:
        missing.append(current)
        current = frame.scopes[current].parent
    limits = frame.scope_limits[current or 0]
    if limits is None:
        raise ConfigurationError(f"the scope of {frame.run.graph} has no limits; this is a defect of asyncflow")
    for index in reversed(missing):
        spec = frame.scopes[index]
        limits = ScopeLimits.of(
            engine.core,
            limits,
            max_concurrent=spec.max_concurrent,
            rules=spec.tag_limits,
            path=frame.prefix + frame.named(spec.path),
        )
        frame.scope_limits[index] = limits
    return limits


def refuse_impossible(engine: Engine, demand: Demand, who: str) -> None:
    """Raises where a demand can never fit under the limits in force."""
    for limit, amount in engine.core.fits_ever(demand):
        raise DemandError(
            f"{who} asks for {amount} of {limit.name!r}, whose limit is {limit.capacity}: it could never start;"
            " ask for less, or raise the limit"
        )


def demand_of(engine: Engine, frame: Execution, i: int, now: float) -> Demand | None:
    """Returns the demand of an op that no shape of the plan has; None where the op failed for it.

    It fails with what its `pool=` function raises, and with `DemandError` where the answer can never fit.
    """
    try:
        demand = own_demand(engine, frame, i)
        refuse_impossible(engine, demand, f"{frame.run.graph}/{frame.key(i)}")
    except BaseException as error:  # noqa: BLE001 — user code may raise anything; the op fails with it
        node_failed(engine, frame, i, as_failure(frame.key(i), error), now)
        return None
    frame.asked[i] = demand
    return demand


def own_demand(engine: Engine, frame: Execution, i: int) -> Demand:
    """Returns the demand of an op that no shape of the plan has: a map appended it, or a function names its pools."""
    node = frame.nodes[i]
    op = node.op
    if op is None:  # the body of a graph
        return engine.core.demand(())
    pool = op.options.pool
    tags = dict(op.options.tags)
    if callable(pool) and i in frame.answers:
        return make(engine, frame, node.scope, tags, frame.answers[i], place=op.place)
    if callable(pool):
        answer = frame.context.copy().run(ask_pool, op, node, frame)
        pools = added(check_pool_needs(answer, field=f"what the pool function of {frame.key(i)} returned"), op.held)
        frame.answers[i] = pools
        return make(engine, frame, node.scope, tags, pools, place=op.place)
    key = (node.scope, id(op))
    known = frame.extra_demands.get(key)
    if known is None:
        known = frame.extra_demands[key] = make(engine, frame, node.scope, tags, added(pool, op.held), place=op.place)
    return known


def ask_pool(op: OpDefinition, node: Any, frame: Execution) -> Any:  # noqa: ANN401 — whatever the user's function returns; it is checked
    """Calls a `pool=` function with the op's parameters by name, those that it names."""
    args, kwargs = arguments(node, frame)
    return op.ask_pool(args, kwargs)
