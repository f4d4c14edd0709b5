"""Late and live graphs together with retries, timeouts, Skip, hooks, resources, selection and going on later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    Hooks,
    OpStatus,
    OpTimeout,
    Outcome,
    Retry,
    RunFailed,
    RunStatus,
    RunTimeout,
    Skip,
    context,
    each,
    graph,
    op,
    use,
)
from asyncflow.testing import run_virtual


@op
async def nap(x: int, seconds: float = 1.0) -> int:
    await anyio.sleep(seconds)
    return x


@op
async def add(x: int, y: int) -> int:
    return x + y


@op
async def listed(n: int) -> list[int]:
    return list(range(n))


def statuses(result) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


def shaky(times: int, **options):
    """An op that fails so many times before it succeeds, and the list of its calls."""
    calls: list[float] = []

    @op(**options)
    async def unsure(x: int) -> int:
        calls.append(anyio.current_time())
        await anyio.lowlevel.checkpoint()
        if len(calls) <= times:
            raise ConnectionError(f"call {len(calls)}")
        return x

    return unsure, calls


# ── retries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["late", "live"])
@pytest.mark.parametrize("where", ["inside", "around", "run"])
def test_op_retry_covers_the_ops_and_not_the_body(kind: str, where: str) -> None:
    """`op_retry` of the graph itself, of the one around it, or of the run: the op is tried again, the body is not."""
    unsure, calls = shaky(2)
    bodies: list[int] = []
    policy = Retry(max_retries=3, delay=1.0)

    def wires(n: int) -> int:
        bodies.append(n)
        return unsure(n)

    async def runs(n: int) -> int:
        bodies.append(n)
        return await unsure.run(n)

    inner = graph(late=True)(wires) if kind == "late" else graph(runs)

    @graph
    def middle(n: int) -> int:
        return (inner.options(op_retry=policy) if where == "inside" else inner)(nap(n))

    @graph
    def outer(n: int) -> int:
        return (middle.options(op_retry=policy) if where == "around" else middle)(n)

    chosen = outer.options(op_retry=policy) if where == "run" else outer
    result = run_virtual(chosen.try_run, 5)
    assert (result.output, result.seconds, len(calls), bodies) == (5, 3.0, 3, [5])


def test_a_body_that_raises_is_not_tried_again() -> None:
    """What its ops could not do in all their attempts is the end of the call."""
    unsure, calls = shaky(99, retry=Retry(max_retries=2))
    bodies: list[int] = []

    @graph(op_retry=Retry(max_retries=5))
    async def asks(n: int) -> int:
        bodies.append(n)
        return await unsure.run(n)

    @graph(late=True)
    def broken(n: int) -> int:
        bodies.append(n)
        raise LookupError(n)

    @graph(op_retry=Retry(max_retries=5))
    def outer(n: int) -> list[int]:
        return [asks(n), broken(n)]

    result = run_virtual(outer.try_run, 1)
    assert (len(calls), bodies, result.status) == (3, [1, 1], RunStatus.FAILED)
    assert sorted(type(error).__name__ for error in result.errors) == ["ConnectionError", "LookupError"]


def test_a_run_of_a_live_graph_is_tried_again_as_a_whole() -> None:
    """`retry=` of the run: a new attempt of the same run; the body of a live graph begins anew, other nodes do not."""
    unsure, _ = shaky(1)
    bodies: list[str] = []

    @graph(retry=Retry(max_retries=2, delay=1.0))
    async def whole(n: int) -> int:
        bodies.append("whole")
        return await unsure.run(n)

    @graph
    async def part(n: int) -> int:
        bodies.append("part")
        return await other.run(n)

    @graph(late=True)
    def wired(n: int) -> int:
        bodies.append("wired")
        return part(nap(n))

    @graph(retry=Retry(max_retries=2, delay=1.0))
    def around(n: int) -> int:
        return add(wired(nap(n)), 1)

    other, _ = shaky(1)
    result = run_virtual(whole.try_run, 4)
    assert (result.status, result.output, result.attempts, bodies) == (RunStatus.SUCCEEDED, 4, 2, ["whole"] * 2)
    bodies.clear()
    result = run_virtual(around.try_run, 4)
    assert (result.status, result.output, result.attempts) == (RunStatus.SUCCEEDED, 5, 2)
    assert bodies == ["wired", "part", "part"]
    assert statuses(result)["wired/nap"] == "REUSED"


def test_going_on_from_a_result() -> None:
    """`resume_from`: what a late graph wired is kept, item by item; a live graph that succeeded is not run again."""
    broken = {1}
    bodies: list[str] = []

    @op
    async def maybe(n: int) -> int:
        if n in broken:
            raise ValueError(n)
        return n

    @graph(late=True)
    def item(n: int) -> int:
        bodies.append(f"item {n}")
        return add(maybe(n), each_sum(n)) if n else maybe(n)

    @graph
    async def each_sum(n: int) -> int:
        bodies.append(f"live {n}")
        return await nap.run(n)

    @graph
    def outer(n: int) -> list[int]:
        return each(item, listed(n))

    async def main() -> tuple[object, dict[str, str], list[str]]:
        deployment = Deployment("d")
        first = await outer.on(deployment).try_run(3)
        assert first.status is RunStatus.FAILED
        broken.clear()
        bodies.clear()
        again = await outer.options(resume_from=first).on(deployment).try_run(3)
        return again.output, statuses(again), list(bodies)

    output, ended, ran = run_virtual(main)
    assert (output, ran) == ([0, 2, 4], [])
    assert {key for key, status in ended.items() if status != "REUSED"} == {"item[1]/maybe", "item[1]/add"}


# ── timeouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_timeout_of_a_live_graph() -> None:
    """Of the run, of a node, of a child: body and children are cancelled, and all is back."""

    @graph
    async def slow(n: int) -> int:
        await asyncio.gather(nap.run(n, 9.0), nap.run(n, 0.5))
        return n

    @graph
    def node(n: int) -> Outcome[int]:
        return slow.options(timeout=2.0).settled(nap(n))

    @graph
    async def child(n: int) -> str:
        with pytest.raises(RunFailed) as caught:
            await slow.options(timeout=2.0).run(n)
        return type(caught.value.exceptions[0]).__name__

    result = run_virtual(slow.options(timeout=2.0).try_run, 1)
    assert (result.status, result.seconds, [type(error) for error in result.errors]) == (
        RunStatus.FAILED,
        2.0,
        [RunTimeout],
    )
    with pytest.raises(RunFailed, match="it took longer than its timeout"):
        run_virtual(slow.options(timeout=2.0).run, 1)
    result = run_virtual(node.try_run, 1)
    assert (result.output.status, type(result.output.error), result.seconds) == (OpStatus.FAILED, OpTimeout, 3.0)
    assert statuses(result)["slow/nap"] == "CANCELED"
    assert run_virtual(child.run, 1) == "RunTimeout"


def test_a_timeout_of_a_late_graph_counts_for_its_ops() -> None:
    """From when the first of them has its inputs; what has not ended then fails."""

    @graph(late=True, timeout=1.5)
    def steps(n: int) -> int:
        return nap(nap(n))

    @graph
    def outer(n: int) -> list[object]:
        return [steps.settled(nap(n, 5.0)), nap(n, 9.0)]

    result = run_virtual(outer.try_run, 1)
    assert (result.status, result.seconds) == (RunStatus.SUCCEEDED, 9.0)
    assert statuses(result)["steps/nap"] == "SUCCEEDED"
    assert isinstance(result.ops["steps/nap#2"].error, OpTimeout)
    assert result.ops["steps/nap#2"].ended_at == 6.5


# ── Skip ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_body_that_skips() -> None:
    """`raise Skip` in a late or live body: the call is SKIPPED, what needs it skips, `.after` and lists go on."""

    @graph(late=True)
    def late(n: int) -> int:
        if n % 2:
            raise Skip("odd")
        return nap(n)

    @graph
    async def live(n: int) -> int:
        if n % 2:
            raise Skip("odd")
        return await nap.run(n)

    @graph
    def outer(n: int) -> list[object]:
        numbers = listed(n)
        return [
            each(late, numbers),
            each(live, numbers),
            add.settled(late(nap(1)), 1),
            add.settled(live(nap(1)), 1),
            add.after(live(nap(3)))(1, 1),
        ]

    result = run_virtual(outer.try_run, 4)
    assert result.status is RunStatus.SUCCEEDED
    first, second, third, fourth, fifth = result.output
    assert (first, second, third.status, fourth.status, fifth) == (
        [0, 2],
        [0, 2],
        OpStatus.SKIPPED,
        OpStatus.SKIPPED,
        2,
    )
    assert (result.ops["late[1]"].status, result.ops["late[1]"].reason) == (OpStatus.SKIPPED, "odd")


def test_a_skip_of_an_op_inside() -> None:
    """An op that skips: a late graph's result skips where it is that op's; a live body gets OpSkipped."""

    @op
    async def none(n: int) -> int:
        raise Skip("nothing")

    @graph(late=True)
    def late(n: int) -> int:
        return none(n)

    @graph
    async def live(n: int) -> str:
        return (await none.try_run(n)).status.value

    @graph
    def outer(n: int) -> list[object]:
        return [add.settled(late(nap(n)), 1), live(n)]

    result = run_virtual(outer.try_run, 1)
    assert result.status is RunStatus.SUCCEEDED
    assert result.output[0].status is OpStatus.SKIPPED
    assert statuses(result)["late/none"] == statuses(result)["live/none"] == "SKIPPED"


# ── hooks, context, resources, selection ─────────────────────────────────────────────────────────────────────────────


def test_hooks_of_ops_and_of_the_run() -> None:
    """Hooks of ops that a late graph brought, and that a live body runs; of a live graph that is run."""
    told: list[str] = []

    def tell(info) -> None:
        told.append(f"{info.hook} {info.key}")

    hooks = Hooks(on_success=tell, on_failure=tell)
    hooked = nap.options(hooks=hooks)

    @graph(late=True)
    def late(n: int) -> int:
        return hooked(n)

    @graph
    async def live(n: int) -> int:
        return await hooked.run(n)

    @graph
    def outer(n: int) -> list[int]:
        return [late(nap(n)), live(n)]

    async def main() -> bool:
        deployment = Deployment("d")
        await outer.on(deployment).run(1)
        await live.options(hooks=hooks).on(deployment).run(1)
        engine, _ = deployment.place()
        return engine.observers.ops

    assert run_virtual(main) is False
    assert told == ["on_success live/nap", "on_success late/nap", "on_success nap", "on_success None"]


def test_context_in_a_body() -> None:
    """A live body may ask for its key and tell events; it has no tags and no slots to give up."""

    @graph
    async def live(n: int) -> tuple[str, dict[str, str], int]:
        here = context()
        here.emit("seen", n=n)
        with pytest.raises(ConfigurationError):
            await here.release("db")
        await nap.run(n)
        return here.key, dict(here.tags), here.attempt

    @graph
    def outer(n: int) -> tuple[str, dict[str, str], int]:
        return live(nap(n))

    assert run_virtual(outer.run, 1) == ("live", {}, 1)


def test_resources_of_children() -> None:
    """A resource of scope run is opened once for all that a live body and a late graph run, and closed at the end."""
    opened: list[str] = []

    async def client() -> AsyncIterator[str]:
        opened.append("open")
        yield "client"
        opened.append("close")

    shared = use(client, scope="run")

    @op
    async def asks(n: int, client: str = shared) -> str:
        await anyio.sleep(1)
        return f"{client} {n}"

    @graph(late=True)
    def late(n: int) -> str:
        return asks(n)

    @graph
    async def live(n: int) -> list[str]:
        return list(await asyncio.gather(asks.run(n), asks.run(n + 1)))

    @graph
    def outer(n: int) -> list[object]:
        return [late(nap(n)), live(n)]

    assert run_virtual(outer.run, 1) == ["client 1", ["client 1", "client 2"]]
    assert opened == ["open", "close"]


def test_selecting_late_and_live_graphs() -> None:
    """A call is one thing to select, with what it needs, without, or as what is left out."""

    @graph(late=True)
    def late(n: int) -> int:
        return nap(n * 10)

    @graph
    async def live(n: int) -> int:
        return await nap.run(n + 1)

    @graph
    def outer(n: int) -> int:
        return add(late(nap(n)), live(n))

    assert run_virtual(outer.select("*late").run, 1) == {"nap": 1, "late": 10}
    assert run_virtual(outer.select("late", "live").given({"nap": 3}).run, 1) == {"late": 30, "live": 2}
    assert run_virtual(outer.select("add").given({"late": 5, "live": 6}).run, 1) == {"add": 11}
