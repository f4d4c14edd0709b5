"""Live graphs: plain async code that holds nothing; what it runs is limited, keyed and told as children."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest

from asyncflow import (
    DeadlockError,
    Deployment,
    InputError,
    OpEnded,
    OpStarted,
    OpStatus,
    Outcome,
    PlanError,
    RunCanceled,
    RunFailed,
    RunStatus,
    SelfCancelled,
    StuckOp,
    TagLimit,
    TracingError,
    each,
    graph,
    op,
    when,
)
from asyncflow.testing import peak, run_virtual


@op
async def nap(x: int, seconds: float = 1.0) -> int:
    await anyio.sleep(seconds)
    return x


@op(pool="db", tags={"kind": "io"})
async def query(x: int) -> int:
    await anyio.sleep(1)
    return x


@op
async def add(x: int, y: int) -> int:
    return x + y


@op
async def listed(n: int) -> list[int]:
    return list(range(n))


@op
async def failing(x: int) -> int:
    await anyio.sleep(0.5)
    raise ConnectionError(f"no {x}")


@op
async def careful(x: int) -> int:
    try:
        await anyio.sleep(9)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)
    return x


@graph
async def agent(n: int) -> int:
    """A while loop, one op after another."""
    seen = 0
    while seen < n:
        seen = await add.run(seen, await nap.run(1))
    return seen


@graph
async def gathered(n: int) -> int:
    """All at once."""
    return sum(await asyncio.gather(*[query.run(i) for i in range(n)]))


@graph
def outer(n: int) -> int:
    return add(agent(nap(n)), 1)


def statuses(result) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


def held(deployment: Deployment) -> list[str]:
    return [limit.name for limit in deployment.snapshot().limits if limit.held or limit.waiters]


# ── as a run ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_live_graph_is_run() -> None:
    """Its ops are keyed as those of any graph, in order of the calls; the body is no op."""
    result = run_virtual(agent.try_run, 2)
    assert (result.status, result.output, result.seconds, result.graph) == (RunStatus.SUCCEEDED, 2, 2.0, "agent")
    assert list(result.ops) == ["nap", "add", "nap#2", "add#2"]
    assert run_virtual(agent.run, 3) == 3


def test_the_body_that_never_suspends() -> None:
    """Plain code without an await, and one whose op never suspends."""

    @graph
    async def plain(n: int) -> int:
        return n + 1

    @graph
    async def quick(n: int) -> int:
        return await add.run(n, 1)

    assert run_virtual(plain.run, 1) == 2
    assert run_virtual(quick.run, 1) == 2
    assert dict(run_virtual(plain.try_run, 1).ops) == {}


@pytest.mark.parametrize("way", ["gather", "TaskGroup", "anyio"])
def test_many_at_once(way: str) -> None:
    """gather, TaskGroup and anyio's task groups: all run at once, under the limits of the graph."""

    @graph(max_concurrent=3)
    async def many(n: int) -> int:
        values: list[int] = []

        async def one(i: int) -> None:
            values.append(await query.run(i))

        if way == "gather":
            await asyncio.gather(*[one(i) for i in range(n)])
        elif way == "TaskGroup":
            async with asyncio.TaskGroup() as group:
                for i in range(n):
                    group.create_task(one(i))
        else:
            async with anyio.create_task_group() as tasks:
                for i in range(n):
                    tasks.start_soon(one, i)
        return sum(values)

    result = run_virtual(many.try_run, 7)
    assert (result.output, result.seconds, peak(result)) == (21, 3.0, 3)


def test_limits_of_the_graph_hold_for_what_it_runs() -> None:
    """`max_concurrent`, op-tag limits, pools; by decorator and by options; also for graphs it runs."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 4}}})

    @graph
    def inner(n: int) -> list[int]:
        return each(query, list(range(n)))

    @graph
    async def around(n: int) -> int:
        return len(await inner.run(n))

    assert run_virtual(gathered.options(max_concurrent=2).try_run, 6).seconds == 3.0
    tagged = gathered.options(tag_concurrency_limits=[TagLimit("kind", limit=1)])
    assert run_virtual(tagged.try_run, 3).seconds == 3.0
    assert run_virtual(gathered.on(deployment).try_run, 8).seconds == 2.0
    assert run_virtual(around.options(max_concurrent=2).try_run, 6).seconds == 3.0


def test_a_body_holds_no_slot() -> None:
    """A cap of one and a pool of one: body and nested bodies take nothing of either."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}, "runs": {"max_concurrent_runs": 1}})

    @graph(max_concurrent=1)
    async def whole(n: int) -> int:
        return await gathered.options(max_concurrent=1).run(n) + await query.run(n)

    result = run_virtual(whole.on(deployment).try_run, 2)
    assert (result.status, result.output, result.seconds) == (RunStatus.SUCCEEDED, 3, 3.0)
    assert set(result.ops) == {"gathered", "gathered/query", "gathered/query#2", "query"}


def test_runs_wait_for_their_place_before_the_body_starts() -> None:
    """The run queue holds for live graphs; the body starts when the run is admitted."""
    began: list[float] = []

    @graph
    async def starts(n: int) -> int:
        began.append(anyio.current_time())
        return await nap.run(n)

    async def main() -> list[float]:
        deployment = Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}})
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(starts.on(deployment).run, n)
        return [at - start for at in began]

    assert run_virtual(main) == [0.0, 1.0, 2.0]


def test_limits_change_no_result() -> None:
    """Equal results under every combination of limits, alone and as a node."""

    @graph
    async def mixed(n: int) -> list[int]:
        found = await asyncio.gather(*[agent.run(i) for i in range(n)], gathered.run(n))
        return [*found, await nap.run(n)]

    @graph
    def nodes(n: int) -> list[list[int]]:
        return each(mixed, listed(n))

    for which in (mixed, nodes):
        free = run_virtual(which.run, 3)
        for cap in (1, 2):
            for pool in (1, 3):
                deployment = Deployment("d", concurrency={"pools": {"limits": {"db": pool}}})
                assert run_virtual(which.options(max_concurrent=cap).on(deployment).run, 3) == free


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_that_the_body_catches_is_no_failure_of_the_run() -> None:
    """try/except around `run`, and `try_run`: the run SUCCEEDED; the record of the op says FAILED."""

    @graph
    async def tolerant(n: int) -> list[object]:
        try:
            await failing.run(n)
        except ConnectionError as error:
            first = str(error)
        return [first, (await failing.try_run(n)).status]

    result = run_virtual(tolerant.try_run, 1)
    assert (result.status, result.output, result.errors) == (RunStatus.SUCCEEDED, ["no 1", RunStatus.FAILED], ())
    assert statuses(result) == {"failing": "FAILED", "failing#2": "FAILED"}


def test_what_the_body_raises_is_the_failure_of_the_run() -> None:
    """An op's exception that nobody caught, and one of the body's own: RunFailed with the exception itself."""

    @graph
    async def uncaught(n: int) -> int:
        return await failing.run(n)

    @graph
    async def own(n: int) -> int:
        raise LookupError("nothing")

    @graph
    async def grouped(n: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing.run(1))
            group.create_task(nap.run(1, 50.0))

    for which, kind in ((uncaught, ConnectionError), (own, LookupError), (grouped, ConnectionError)):
        with pytest.raises(RunFailed, match=f"{which.name}: its body raised") as caught:
            run_virtual(which.run, 1)
        assert caught.value.subgroup(kind) is not None
        result = run_virtual(which.try_run, 1)
        assert (result.status, result.output, len(result.errors)) == (RunStatus.FAILED, None, 1)
    assert statuses(run_virtual(uncaught.try_run, 1)) == {"failing": "FAILED"}
    assert run_virtual(own.try_run, 1).errors[0].__notes__ == ["asyncflow: op own/(body), attempt 1"]
    result = run_virtual(grouped.try_run, 1)
    assert (result.seconds, statuses(result)) == (0.5, {"failing": "FAILED", "nap": "CANCELED"})


def test_graphs_that_fail_inside_give_run_failed() -> None:
    """The doors are the same inside: a graph's `run` raises RunFailed, its `try_run` gives the result."""

    @graph
    def pair(n: int) -> list[int]:
        return [failing(n), nap(n)]

    @graph
    async def asks(n: int) -> list[str]:
        with pytest.raises(RunFailed) as caught:
            await pair.run(n)
        result = await pair.try_run(n)
        return [*caught.value.result.ops, result.status.value]

    assert run_virtual(asks.run, 1) == ["pair/failing", "pair/nap", "FAILED"]


def test_inputs_are_checked() -> None:
    """A bad input is refused before the run; a computed one fails the node."""

    @op
    async def text():  # type: ignore[no-untyped-def]  # its result is not known
        return "three"

    @graph
    def asks() -> int:
        return agent(text())

    with pytest.raises(InputError, match="agent takes int as 'n'"):
        run_virtual(agent.run, "three")
    result = run_virtual(asks.try_run)
    assert (statuses(result), type(result.errors[0])) == ({"text": "SUCCEEDED", "agent": "FAILED"}, InputError)


def test_a_cancellation_that_the_body_raises_itself_is_a_failure() -> None:
    """Row 21: CancelledError that nobody asked for: FAILED with SelfCancelled, never a cancelled run."""

    @graph
    async def gives_up(n: int) -> int:
        await nap.run(n)
        raise asyncio.CancelledError

    result = run_virtual(gives_up.try_run, 1)
    assert (result.status, [type(error) for error in result.errors]) == (RunStatus.FAILED, [SelfCancelled])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_as_itself(kind: type[BaseException]) -> None:
    """Row 20: KeyboardInterrupt and SystemExit in a body, or in an op below it, end the run and are raised."""

    @op
    async def interrupts() -> None:
        await anyio.sleep(0.5)
        raise kind

    @graph
    async def below(n: int) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(interrupts.run)
            group.start_soon(nap.run, 1, 9.0)

    @graph
    async def itself(n: int) -> None:
        task = asyncio.ensure_future(nap.run(1, 9.0))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await nap.run(1)
        raise kind

    async def main(which) -> list[str]:
        deployment = Deployment("d")
        with contextlib.suppress(kind):
            await which.on(deployment).run(1)
            raise AssertionError("not raised")
        return held(deployment)

    for which in (below, itself):
        assert run_virtual(main, which) == []


# ── children that outlive the body ───────────────────────────────────────────────────────────────────────────────────


def test_a_body_that_returns_before_its_children_waits_for_them() -> None:
    """Also for what a task that it left behind starts meanwhile; the value is the body's."""

    @graph
    async def hasty(n: int) -> str:
        async def chain() -> None:
            await nap.run(n)
            await nap.options(name="later").run(n)

        tasks.append(asyncio.ensure_future(chain()))
        tasks.append(asyncio.ensure_future(nap.run(n, 1.5)))
        await nap.run(n, 0.5)
        return "done"

    tasks: list[asyncio.Future[object]] = []
    result = run_virtual(hasty.try_run, 1)
    assert (result.output, result.seconds, statuses(result)["later"]) == ("done", 2.0, "SUCCEEDED")


def test_a_body_that_raises_cancels_its_children_first() -> None:
    """Everything below is CANCELED and back before the run ends."""

    @graph
    async def raises(n: int) -> None:
        task = asyncio.ensure_future(careful.run(n))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await nap.run(n)
        raise ValueError("too late")

    result = run_virtual(raises.try_run, 1)
    assert (result.status, result.seconds) == (RunStatus.FAILED, 1.5)
    assert statuses(result) == {"careful": "CANCELED", "nap": "SUCCEEDED"}


# ── as a node ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_of_a_graph() -> None:
    """Its body runs when its inputs are there; its ops are keyed behind the call, and it has a record of its own."""
    result = run_virtual(outer.try_run, 2)
    assert (result.output, result.seconds) == (3, 3.0)
    assert list(result.ops) == ["nap", "agent", "add", "agent/nap", "agent/add", "agent/nap#2", "agent/add#2"]
    record = result.ops["agent"]
    assert (record.status, record.seconds, record.needs, record.waits) == (OpStatus.SUCCEEDED, 2.0, {}, {})


def test_live_graphs_in_each_when_settled_and_after() -> None:
    """Everything an op can be in a graph, a live graph can be too."""

    @graph
    async def picky(n: int) -> int:
        return await (failing if n % 2 else nap).run(n)

    @graph
    def mapped(n: int) -> list[Outcome[int]]:
        return each(picky.settled, listed(n))

    @graph
    def keyed(n: int) -> list[int]:
        return each(agent.options(map_key=lambda n: f"n{n}"), listed(n))

    @graph
    def branched(n: int) -> list[int]:
        first = when(add(n, 0) > 1, lambda: agent(add(n, 0)), lambda: picky(add(n, 0)))
        return [first, agent.after(first)(1)]

    result = run_virtual(mapped.try_run, 3)
    assert [o.status.value for o in result.output] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert (result.status, result.ops["picky[1]"].status) == (RunStatus.SUCCEEDED, OpStatus.FAILED)
    assert "agent[n2]/nap#2" in run_virtual(keyed.try_run, 3).ops
    result = run_virtual(branched.try_run, 2)
    assert (result.output, result.seconds, result.ops["picky"].status) == ([2, 1], 3.0, OpStatus.SKIPPED)


def test_limits_of_node_and_graph_hold_together() -> None:
    """The caps of a nested live graph and of the graph around it, one scope for each call."""

    @graph
    def several(n: int, calls: int) -> list[int]:
        return each(gathered.options(max_concurrent=2), [n] * calls)

    assert peak_of_queries(run_virtual(several.try_run, 4, 1)) == 2
    assert peak_of_queries(run_virtual(several.try_run, 4, 3)) == 6
    assert peak_of_queries(run_virtual(several.options(max_concurrent=3).try_run, 4, 3)) == 3


def peak_of_queries(result) -> int:
    times = [(r.started_at, r.ended_at) for key, r in result.ops.items() if "query" in key]
    return max(sum(start <= at < end for start, end in times) for at, _ in times)


def test_a_failing_node_abandons_what_follows() -> None:
    """A live graph that raises is a FAILED node, with its own exception; siblings go on, dependents are ABANDONED."""

    @graph
    async def raises(n: int) -> int:
        return await failing.run(n)

    @graph
    def around(n: int) -> list[int]:
        return [add(raises(n), 1), nap(n)]

    @graph(on_error="fail_fast")
    def fast(n: int) -> list[int]:
        return [add(raises(n), 1), nap(n, 9.0), agent(9)]

    result = run_virtual(around.try_run, 1)
    assert statuses(result) == {"raises": "FAILED", "add": "ABANDONED", "nap": "SUCCEEDED", "raises/failing": "FAILED"}
    assert [type(error) for error in result.errors] == [ConnectionError]
    assert result.ops["add"].cause == "raises"
    result = run_virtual(fast.try_run, 1)
    assert (result.seconds, statuses(result)["agent"], statuses(result)["nap"]) == (0.5, "CANCELED", "CANCELED")


def test_a_caught_failure_does_not_stop_a_fail_fast_run() -> None:
    """`fail_fast` counts failures of nodes: what a body catches is none."""

    @graph(on_error="fail_fast")
    async def tolerant(n: int) -> int:
        with contextlib.suppress(ConnectionError):
            await failing.run(n)
        return await nap.run(n)

    assert run_virtual(tolerant.run, 4) == 4


def test_a_child_of_an_op_borrows_through_a_live_graph() -> None:
    """Row 41: an op that holds the pool runs a live graph whose op needs it: it borrows what its ancestor holds."""

    @graph
    async def between(n: int) -> int:
        return await query.run(n)

    @op(pool="db")
    async def holder(n: int) -> int:
        return await between.run(n)

    @graph
    def top(n: int) -> int:
        return holder(n)

    def limited(**pool: object) -> Deployment:
        return Deployment("d", concurrency={"pools": {"limits": {"db": {"limit": 1, **pool}}}})

    result = run_virtual(top.on(limited()).try_run, 3)
    assert (result.output, list(result.ops)) == (3, ["holder", "holder/between", "holder/between/query"])
    (error,) = run_virtual(top.on(limited(reentrant=False)).try_run, 3).errors
    assert isinstance(error, RunFailed)
    assert error.subgroup(DeadlockError) is not None


def test_late_inside_live_and_live_inside_late() -> None:
    """Each may hold the other."""

    @graph(late=True)
    def chooses(n: int) -> int:
        return agent(n) if n > 1 else nap(n)

    @graph
    def around(n: int) -> list[int]:
        return [chooses(add(n, 0)), chooses(add(n, -1))]

    @graph
    async def runs(n: int) -> list[int]:
        return await around.run(n)

    result = run_virtual(runs.try_run, 2)
    assert result.output == [2, 1]
    assert {"around/chooses/agent", "around/chooses/agent/nap#2", "around/chooses#2/nap"} <= set(result.ops)


def test_independent_runs_started_inside() -> None:
    """`start` and `.on(other)` in a body make runs of their own, with their own places, that outlive nothing here."""
    other = Deployment("other")

    async def main() -> tuple[bool, bool, int, list[str]]:
        async with Deployment("d") as deployment, other:

            @graph
            async def starts(n: int) -> list[str]:
                live = agent.start(n)
                ids.append(live.id)
                elsewhere = await agent.on(other).try_run(n)
                ids.append(elsewhere.run_id)
                return [str(await live)]

            run = starts.on(deployment).start(2)
            value = await run
            return run.id != ids[0], run.id != ids[1], len(value), list((await run.result()).ops)

    ids: list[str] = []
    assert run_virtual(main) == (True, True, 1, [])


def test_called_outside_a_graph_it_says_what_to_write() -> None:
    """A call in the body of a live graph, where nothing is wired, is refused with the door to use."""

    @graph
    async def calls(n: int) -> int:
        return nap(n)

    (error,) = run_virtual(calls.try_run, 1).errors
    assert isinstance(error, TracingError)
    assert "`await nap.run(…)` runs it" in str(error)


def test_a_live_graph_as_a_method() -> None:
    """Bound to its instance, run and as a node."""

    class Robot:
        def __init__(self, step: int) -> None:
            self.step = step

        @graph
        async def walk(self, n: int) -> int:
            return await add.run(n, self.step)

        @graph
        def twice(self, n: int) -> int:
            return self.walk(self.walk(n))

    robot = Robot(5)
    assert (run_virtual(robot.walk.run, 1), run_virtual(robot.twice.run, 1)) == (6, 11)
    assert asyncio.iscoroutinefunction(Robot.walk.fn)


# ── recursion ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_recursion_and_its_bound() -> None:
    """A live graph may run itself; 500 deep is the end, with a PlanError, and everything is given back."""

    @graph
    async def down(n: int) -> int:
        return 0 if n == 0 else 1 + await down.run(n - 1)

    @graph
    async def endless(n: int) -> str:
        try:
            return await endless.run(n + 1)
        except PlanError as error:
            return str(error)

    @graph
    def node(n: int) -> int:
        return recursive(n)

    @graph
    async def recursive(n: int) -> int:
        return await node.run(n + 1)

    async def main() -> tuple[int, str, list[str]]:
        deployment = Deployment("d")
        return await down.on(deployment).run(300), await endless.on(deployment).run(0), held(deployment)

    depth, message, left = run_virtual(main)
    assert (depth, left) == (300, [])
    assert "endless, a live graph at" in message
    assert "goes no deeper than 500" in message
    error: BaseException = run_virtual(recursive.try_run, 0).errors[0]
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, PlanError)


# ── plans, events, explanations ──────────────────────────────────────────────────────────────────────────────────────


def test_the_plan_is_what_is_known_before() -> None:
    """One box for the body; of a graph around it, the node with its own limits."""
    plan = agent.plan(3)
    assert (len(plan), plan.live, plan.keys) == (1, True, ("(body)",))
    assert "live: known as it runs" in plan.mermaid()
    assert agent.plan() != plan
    around = outer.plan(3)
    assert (len(around), around.live) == (3, False)
    assert "live: known as it runs, at most 2" in outer_limited.plan(3).svg()


@graph
def outer_limited(n: int) -> int:
    return agent.options(max_concurrent=2)(n)


def test_snapshots_and_explanations_know_bodies() -> None:
    """A body is RUNNING and holds nothing: it is counted apart, and told what it goes on by."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})

    @graph
    def around(n: int) -> int:
        return gathered(n)

    async def main() -> None:
        async with deployment:
            run = around.on(deployment).start(3)
            await anyio.sleep(0.5)
            view = run.snapshot()
            assert (view.running, view.blocked, view.bodies) == (1, 2, 1)
            explanation = run.explain("gathered")
            assert (explanation.state, explanation.blockers) == (OpStatus.RUNNING, ())
            assert explanation.unblocked_by == tuple(
                [f"the end of gathered/query{n}" for n in ("", "#2", "#3")],
            )
            assert "It goes on with the end of gathered/query" in str(explanation)
            assert [blocker.limit for blocker in run.explain("gathered/query#2").blockers] == ["db"]
            assert [blocker.limit for blocker in run.explain().blockers] == ["db"]
            assert [str(holder.owner) for holder in deployment.snapshot().pool("db").holders] == [
                f"around/gathered/query of run {run.id}"
            ]
            await run

    run_virtual(main)


def test_a_body_that_waits_for_something_outside_does_not_stand_still() -> None:
    """Row 27: an event of the user's own. The run waits for it, and a cancel ends the wait."""

    async def main() -> tuple[str, int, str]:
        event = asyncio.Event()

        @graph
        async def waits(n: int) -> int:
            await event.wait()
            return await nap.run(n)

        async with Deployment("d") as deployment:
            run = waits.on(deployment).start(7)
            await anyio.sleep(100)
            status = run.status.value
            event.set()
            value = await run
            event.clear()
            other = waits.on(deployment).start(7)
            await anyio.sleep(100)
            await other.cancel()
            return status, value, other.status.value

    assert run_virtual(main) == ("RUNNING", 7, "CANCELED")


def test_events_of_bodies_and_children() -> None:
    """Bodies start and end like ops; what they run is told by its own key."""
    seen: list[str] = []

    async def main() -> None:
        deployment = Deployment("d")

        def listen(event: object) -> None:
            if isinstance(event, (OpStarted, OpEnded)):
                seen.append(f"{event.key} {type(event).__name__.removeprefix('Op').lower()}")

        deployment.subscribe(listen)
        await outer_limited.on(deployment).run(1)

    run_virtual(main)
    assert seen == [
        "agent started",
        *["agent/nap started", "agent/nap ended", "agent/add started", "agent/add ended"],
        "agent ended",
    ]


def test_tune_reaches_what_a_body_runs() -> None:
    """The cap of the run, changed while its body runs."""

    async def main() -> float:
        async with Deployment("d") as deployment:
            run = gathered.options(max_concurrent=1).on(deployment).start(9)
            await anyio.sleep(1.5)
            await run.tune(max_concurrent=8)
            return (await run.result()).seconds

    assert run_virtual(main) == 2.5


# ── cancellation ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("which", ["run", "node"])
@pytest.mark.parametrize("seconds", [None, 0.0, 0.25, 1.25])
def test_a_cancelled_run_cancels_body_and_children(which: str, seconds: float | None) -> None:
    """Before its first turn, and in each op: body and children have ended, everything is back, `finally` blocks ran."""
    cleaned: list[str] = []

    @graph
    async def cleans(n: int) -> int:
        try:
            await nap.run(n)
            return await careful.run(n)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.25)
            cleaned.append("body")

    @graph
    def node(n: int) -> int:
        return cleans(n)

    async def main() -> tuple[list[str], str]:
        deployment = Deployment("d")
        async with deployment:
            run = (cleans if which == "run" else node).on(deployment).start(1)
            if seconds is not None:
                await anyio.sleep(seconds)
            await run.cancel("enough")
            with pytest.raises(RunCanceled, match="enough"):
                await run
            return held(deployment), (await run.result()).status.value

    assert run_virtual(main) == ([], "CANCELED")
    assert cleaned == ([] if seconds is None else ["body"])  # a body that has not begun never does


def test_a_cancelled_caller_cancels_the_run() -> None:
    """Row 37: `asyncio.timeout` around `run`: its TimeoutError leaves, nothing stays."""

    async def main() -> list[str]:
        deployment = Deployment("d")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await outer.on(deployment).run(9)
        return held(deployment)

    assert run_virtual(main) == []


def test_a_timeout_inside_the_body_cancels_one_child() -> None:
    """Row 37, inside: the body's own timeout ends the op that it awaits, and the body goes on."""

    @graph
    async def patient(n: int) -> str:
        try:
            async with asyncio.timeout(0.5):
                await nap.run(n)
        except TimeoutError:
            with anyio.move_on_after(0.5):
                await nap.run(n)
            return str(await nap.run(n))
        return "never"

    result = run_virtual(patient.try_run, 1)
    assert (result.output, result.seconds, result.status) == ("1", 2.0, RunStatus.SUCCEEDED)
    assert statuses(result) == {"nap": "CANCELED", "nap#2": "CANCELED", "nap#3": "SUCCEEDED"}


def test_a_run_cancelled_in_the_turn_in_which_a_child_ends() -> None:
    """Row 35, two in one turn: the op ends, the run is cancelled, the body goes on to its next op."""

    @graph
    async def steps(n: int) -> int:
        await gate_op.run()
        return await nap.run(n)

    @op
    async def gate_op() -> None:
        await events[0].wait()

    events: list[asyncio.Event] = []

    async def main(turns: int) -> tuple[str, list[str], float]:
        events[:] = [asyncio.Event()]
        deployment = Deployment("d")
        async with deployment:
            run = steps.on(deployment).start(1)
            await anyio.sleep(1)
            events[0].set()
            for _ in range(turns):
                await asyncio.sleep(0)
            await run.cancel()
            result = await run.result()
            return result.status.value, held(deployment), result.seconds

    for turns in range(6):
        assert run_virtual(main, turns) == ("CANCELED", [], 1.0)


def test_a_body_that_swallows_its_cancellation_is_reported() -> None:
    """Row 23: after `cancel_grace` seconds a StuckOp event names the body; the run is CANCELING until it ends."""
    seen: list[str] = []

    @graph
    async def stubborn(n: int) -> int:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
                await anyio.sleep(4)
        return n

    async def main() -> str:
        async with Deployment("d", cancel_grace=5.0) as deployment:
            deployment.subscribe(lambda event: seen.append(event.key) if isinstance(event, StuckOp) else None)
            run = stubborn.on(deployment).start(1)
            await anyio.sleep(0.5)
            await run.cancel()
            return run.status.value

    assert run_virtual(main) == "CANCELED"
    assert seen == ["(body)"]


def test_a_run_that_cancels_itself_from_inside() -> None:
    """Row 24: the body cancels its own run: a defined end, no hang."""

    async def main() -> str:
        async with Deployment("d") as deployment:
            handles = []

            @graph
            async def ends(n: int) -> int:
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(handles[0].cancel("by itself")))
                return await nap.run(n, 9.0)

            handles.append(ends.on(deployment).start(1))
            return (await handles[0].result()).reason

    assert run_virtual(main) == "by itself"


def test_fifty_bodies_become_ready_in_one_turn() -> None:
    """More bodies than go ahead of a round: all run, none is lost."""

    @graph
    def many(n: int) -> list[int]:
        return each(agent, each(nap, [1] * n))

    result = run_virtual(many.try_run, 50)
    assert (result.output, result.seconds) == ([1] * 50, 2.0)


@pytest.mark.parametrize("way", ["gather", "TaskGroup", "anyio"])
@pytest.mark.parametrize("whole", [True, False])
def test_cancelled_children_that_clean_up_for_long(way: str, whole: bool) -> None:
    """The body is cancelled while ops that it gathers shield a clean-up: time goes on, and the run waits for them.

    The scope of the body cancels in every turn of the loop; whoever awaited it in such a turn would spin.
    """

    @graph
    async def many(n: int) -> int:
        if way == "gather":
            await asyncio.gather(*[careful.run(i) for i in range(n)])
        elif way == "TaskGroup":
            async with asyncio.TaskGroup() as group:
                for i in range(n):
                    group.create_task(careful.run(i))
        else:
            async with anyio.create_task_group() as tasks:
                for i in range(n):
                    tasks.start_soon(careful.run, i)
        return n

    @graph
    async def around(n: int) -> int:
        with anyio.move_on_after(1):
            await many.run(n)
        return await nap.run(n)

    async def main() -> tuple[str, float, set[str], list[str]]:
        deployment = Deployment("d")
        async with deployment:
            run = (many if whole else around).on(deployment).start(2)
            if whole:
                await anyio.sleep(1)
                await run.cancel()
            result = await run.result()
            ended = {r.status.value for key, r in result.ops.items() if "careful" in key}
            return result.status.value, result.seconds, ended, held(deployment)

    status, seconds, ended, left = run_virtual(main)
    assert (status, seconds) == (("CANCELED", 1.5) if whole else ("SUCCEEDED", 2.5))
    assert (ended, left) == ({"CANCELED"}, [])


def test_gather_in_a_scope_of_the_body_that_is_cancelled() -> None:
    """`move_on_after` around `gather`: the body goes on, the ops that still clean up are waited for at its end."""

    @graph
    async def moves_on(n: int) -> int:
        with anyio.move_on_after(1):
            await asyncio.gather(careful.run(n), careful.run(n))
        return n

    result = run_virtual(moves_on.try_run, 3)
    assert (result.status, result.output, result.seconds) == (RunStatus.SUCCEEDED, 3, 1.5)
    assert statuses(result) == {"careful": "CANCELED", "careful#2": "CANCELED"}
