"""Hooks: who is told what and when, and that they change nothing."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    HookFailed,
    HookInfo,
    Hooks,
    OpStatus,
    PlanError,
    Retry,
    RunCanceled,
    RunEnded,
    RunRejected,
    RunStatus,
    Skip,
    each,
    graph,
    op,
)
from asyncflow.testing import run_virtual


class Told:
    """Hooks that write down what they are told; plain functions or coroutine functions."""

    def __init__(self, *, plain: bool = True, seconds: float = 0.0) -> None:
        self.infos: list[HookInfo] = []
        self.plain = plain
        self.seconds = seconds

    @property
    def hooks(self) -> Hooks:
        if self.plain:
            hook = self.infos.append
        else:

            async def hook(info: HookInfo) -> None:
                await anyio.sleep(self.seconds)
                self.infos.append(info)

        return Hooks(on_success=hook, on_failure=hook, on_retry=hook, on_cancel=hook)

    @property
    def lines(self) -> list[tuple[str, str | None, str, int]]:
        return [(info.hook, info.key, info.status.value, info.attempt) for info in self.infos]


@op
async def good(x: int = 1) -> int:
    await anyio.sleep(0.5)
    return x


@op
async def bad(x: int = 1) -> int:
    await anyio.sleep(0.5)
    raise ValueError(x)


@op(pool="db")
async def nap(x: int = 1) -> int:
    await anyio.sleep(60)
    return x


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
def test_an_ops_hooks_are_told_how_it_ended(plain: bool) -> None:
    """Success, failure with the error, each retry with its delay; the op's key, attempt and tags; the run's result."""
    told = Told(plain=plain)
    first = good.options(hooks=told.hooks, tags={"k": "v"})
    second = bad.options(hooks=told.hooks, retry=Retry(max_retries=1, delay=2))

    @graph
    def both() -> list[int]:
        return [first(), second()]

    result = run_virtual(both.try_run)
    assert result.status is RunStatus.FAILED
    assert sorted(told.lines) == [
        ("on_failure", "bad", "FAILED", 2),
        ("on_retry", "bad", "RETRYING", 1),
        ("on_success", "good", "SUCCEEDED", 1),
    ]
    by_hook = {info.hook: info for info in told.infos}
    assert (by_hook["on_success"].tags, by_hook["on_success"].error) == ({"k": "v"}, None)
    assert (by_hook["on_retry"].delay, type(by_hook["on_retry"].error)) == (2, ValueError)
    assert by_hook["on_failure"].error is result.errors[0]
    assert by_hook["on_failure"].run_id == result.run_id


def test_a_graphs_hooks_are_told_of_its_runs_a_deployments_of_all() -> None:
    """Once for each run, without a key; the errors of the run; a run of one op too."""
    of_graph, of_deployment = Told(), Told()

    @graph(hooks=of_graph.hooks, tags={"team": "a"})
    def fails() -> list[int]:
        return [bad(1), bad(2), good()]

    @graph
    def works() -> int:
        return good()

    async def main():
        deployment = Deployment("d", hooks=of_deployment.hooks)
        await fails.on(deployment).try_run()
        await works.on(deployment).run()
        await good.on(deployment).run()

    run_virtual(main)
    assert of_graph.lines == [("on_failure", None, "FAILED", 1)]
    [info] = of_graph.infos
    assert [error.args for error in info.errors] == [(1,), (2,)]
    assert info.tags == {"team": "a", "asyncflow/graph": "fails"}
    assert [(info.graph, info.hook) for info in of_deployment.infos] == [
        ("fails", "on_failure"), ("works", "on_success"), ("good", "on_success")
    ]  # fmt: skip


def test_options_replace_hooks() -> None:
    """`.options(hooks=…)` of ops and graphs replaces, None takes them away."""
    one, other = Told(), Told()

    @graph(hooks=one.hooks)
    def single() -> int:
        return good.options(hooks=one.hooks).options(hooks=other.hooks)()

    run_virtual(single.options(hooks=other.hooks).run)
    run_virtual(single.options(hooks=None).run)
    assert one.infos == []
    assert [info.key for info in other.infos] == ["good", None, "good"]


def test_items_and_children_have_their_ops_hooks() -> None:
    """Each item, of known and of computed lists, and an op that another runs; a child graph's own hooks too."""
    told, of_child = Told(), Told()
    hooked = good.options(hooks=told.hooks)

    @op
    async def numbers() -> list[int]:
        return [1, 2]

    @graph(hooks=of_child.hooks)
    def child() -> int:
        return hooked()

    @op
    async def parent() -> int:
        return await hooked.run() + await child.run()

    @graph
    def outer() -> list[object]:
        return [each(hooked, [1]), each(hooked, numbers()), parent()]

    run_virtual(outer.run)
    assert sorted(info.key for info in told.infos) == [
        "good#2[0]", "good#2[1]", "good[0]", "parent/child/good", "parent/good"
    ]  # fmt: skip
    assert of_child.lines == [("on_success", "parent/child", "SUCCEEDED", 1)]


def test_what_was_skipped_abandoned_or_never_started_is_not_told() -> None:
    """Hooks are about ops that started and ended with success, failure or cancellation."""
    told = Told()

    @op(hooks=told.hooks)
    async def skips() -> int:
        raise Skip

    @graph
    def several() -> list[object]:
        return [skips(), good.options(hooks=told.hooks).after(bad())()]

    run_virtual(several.try_run)
    assert told.infos == []


def test_hooks_run_on_cancel() -> None:
    """Ops that run, or wait to be tried again, are told as cancelled, one that waits for its pool is not."""
    told, whole = Told(plain=False, seconds=1), Told()
    hooked = nap.options(hooks=told.hooks)

    @op(hooks=told.hooks, retry=Retry(delay=100))
    async def shaky() -> None:
        raise OSError

    @graph(hooks=whole.hooks)
    def several() -> list[object]:
        return [hooked(1), hooked(2), shaky()]

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})
        async with deployment:
            run = several.on(deployment).start()
            await anyio.sleep(5)
            await run.cancel("enough")
            return await run.result(), deployment.snapshot().pool("db").held, asyncio.get_running_loop().time()

    result, held, now = run_virtual(main)
    assert (result.status, held, now) == (RunStatus.CANCELED, 0, 6)
    assert told.lines == [
        ("on_retry", "shaky", "RETRYING", 1),
        ("on_cancel", "shaky", "CANCELED", 1),
        ("on_cancel", "nap", "CANCELED", 1),
    ]
    assert told.infos[1].reason == "enough"
    assert [(info.hook, info.reason) for info in whole.infos] == [("on_cancel", "enough")]


@pytest.mark.parametrize("way", ["native", "anyio", "close"])
def test_hooks_run_whoever_cancels(way: str) -> None:
    """The caller's task, a scope around it, or a closing deployment: the hooks have ended before anybody goes on."""
    told = Told(plain=False, seconds=1)

    @graph(hooks=told.hooks)
    def one() -> int:
        return nap.options(hooks=told.hooks)()

    async def main():
        loop = asyncio.get_running_loop()
        if way == "close":
            async with Deployment("d"):
                one.start()
                await anyio.sleep(5)
        elif way == "anyio":
            with anyio.move_on_after(5):
                await one.run()
        else:
            task = loop.create_task(one.run())
            await anyio.sleep(5)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        return loop.time(), [info.hook for info in told.infos]

    assert run_virtual(main) == (6, ["on_cancel", "on_cancel"])


def test_hooks_hold_no_slot_and_hold_up_nobody_but_the_end_of_their_run() -> None:
    """The next waiter and the dependents start at once; the run ends when the hook has."""
    told = Told(plain=False, seconds=3)

    @op(pool="db", hooks=told.hooks)
    async def first() -> int:
        await anyio.sleep(1)
        return 1

    @op(pool="db")
    async def second(x: int) -> int:
        await anyio.sleep(1)
        return x

    @graph
    def chain() -> int:
        return second(first())

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})
        return await chain.on(deployment).try_run()

    result = run_virtual(main)
    assert (result.ops["second"].started_at, result.ops["second"].ended_at, result.ended_at) == (1, 2, 4)


def test_a_hook_reads_the_context_of_its_run() -> None:
    """Context variables are those of the caller; a hook may run ops itself."""
    seen: list[int] = []

    async def hook(info: HookInfo) -> None:
        seen.append(await good.run(7))

    @graph(hooks=Hooks(on_success=hook))
    def one() -> int:
        return good()

    assert run_virtual(one.run) == 1
    assert seen == [7]


# ── hooks change nothing ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [ValueError, BaseException, asyncio.CancelledError, GeneratorExit, StopIteration])
def test_row_50_a_hook_that_raises_is_an_event(kind: type[BaseException]) -> None:
    """Row 50: HookFailed names the run, the op, the hook and the error; the run's result is what it was."""

    def hook(info: HookInfo) -> None:
        raise kind("in the hook")

    broken = Hooks(on_success=hook, on_failure=hook, on_retry=hook, on_cancel=hook)

    @graph(hooks=broken)
    def both() -> list[object]:
        return [good.options(hooks=broken)(), bad.options(hooks=broken, retry=Retry(max_retries=1)).settled()]

    async def main():
        seen = []
        deployment = Deployment("d", hooks=broken)
        deployment.subscribe(seen.append)
        result = await both.on(deployment).try_run()
        return result, [event for event in seen if isinstance(event, (HookFailed, RunEnded))]

    result, seen = run_virtual(main)
    assert (result.status, result.output[0]) == (RunStatus.SUCCEEDED, 1)
    assert isinstance(seen[-1], RunEnded)
    assert sorted((event.key or "", event.hook) for event in seen[:-1]) == [
        ("", "on_success"), ("", "on_success"), ("bad", "on_failure"), ("bad", "on_retry"), ("good", "on_success")
    ]  # fmt: skip
    assert seen[0].error.startswith(kind.__name__) or kind is StopIteration


def test_row_50_a_hook_that_hangs_is_cancelled() -> None:
    """Row 50: after `cancel_grace` it is cancelled and told; the run ends then, also when it was cancelled itself."""

    async def hook(info: HookInfo) -> None:
        await asyncio.get_running_loop().create_future()

    @graph(hooks=Hooks(on_success=hook, on_cancel=hook))
    def one() -> int:
        return good()

    async def main():
        seen = []
        deployment = Deployment("d", cancel_grace=2)
        deployment.subscribe(seen.append)
        first = await one.on(deployment).try_run()
        async with deployment:
            run = one.on(deployment).start()
            await anyio.sleep(0.25)
            await run.cancel()
            second = await run.result()
        return first, second, [(event.at, event.hook) for event in seen if isinstance(event, HookFailed)]

    first, second, failed = run_virtual(main)
    assert (first.status, first.ended_at) == (RunStatus.SUCCEEDED, 2.5)
    assert (second.status, second.ended_at) == (RunStatus.CANCELED, 4.75)
    assert failed == [(2.5, "on_success"), (4.75, "on_cancel")]


def test_row_50_a_hook_that_cannot_be_cancelled_is_left_behind() -> None:
    """It shields itself: the run ends after twice the grace, and that is said; nothing waits for it for ever."""
    done: list[float] = []

    async def hook(info: HookInfo) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(100)
        done.append(asyncio.get_running_loop().time())

    @graph(hooks=Hooks(on_success=hook))
    def one() -> int:
        return good()

    async def main():
        seen = []
        deployment = Deployment("d", cancel_grace=2)
        deployment.subscribe(seen.append)
        result = await one.on(deployment).try_run()
        await anyio.sleep(200)
        return result.ended_at, [event.error.split(":")[0] for event in seen if isinstance(event, HookFailed)]

    ended, errors = run_virtual(main)
    assert (ended, done) == (4.5, [100.5])
    assert errors == [
        "it took longer than cancel_grace, 2 s, and was cancelled",
        "it was cancelled and still runs",
    ]


def test_what_a_run_came_to_does_not_change_while_its_hooks_run() -> None:
    """A cancellation that comes then is too late: the run SUCCEEDED; its caller still gets its own."""
    told = Told(plain=False, seconds=3)

    @graph(hooks=told.hooks)
    def one() -> int:
        return good()

    async def main():
        async with Deployment("d"):
            run = one.start()
            await anyio.sleep(1)
            await run.cancel("too late")
            task = asyncio.get_running_loop().create_task(one.run())
            await anyio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            return await run.result(), task.cancelled()

    result, cancelled = run_virtual(main)
    assert (result.status, result.output, result.reason, cancelled) == (RunStatus.SUCCEEDED, 1, None, True)
    assert [info.hook for info in told.infos] == ["on_success", "on_success"]


def test_fail_fast_tells_the_failure_and_those_it_stopped() -> None:
    """The op that failed, the others that were cancelled for it, and the run, before it ends."""
    told = Told()

    @graph(on_error="fail_fast", hooks=told.hooks)
    def both() -> list[int]:
        return [bad.options(hooks=told.hooks)(), nap.options(hooks=told.hooks)()]

    run_virtual(both.try_run)
    assert told.lines == [
        ("on_failure", "bad", "FAILED", 1), ("on_cancel", "nap", "CANCELED", 1), ("on_failure", None, "FAILED", 1)
    ]  # fmt: skip


def test_a_run_that_was_refused_is_not_told() -> None:
    """RunRejected reaches the caller at once; nothing of it began. A queued run that is cancelled is told."""
    told = Told()

    @graph(hooks=told.hooks)
    def one() -> int:
        return nap()

    async def main():
        async with Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}}):
            first = one.start()
            with pytest.raises(RunRejected):
                await one.options(wait_timeout=1).run()
            queued = one.start()
            await queued.cancel("no")
            with pytest.raises(RunCanceled):
                await queued
            hooks = [(info.run_id, info.hook) for info in told.infos]
            await first.cancel()
            return hooks == [(queued.id, "on_cancel")]

    assert run_virtual(main)


def test_a_keyboard_interrupt_in_a_hook_is_not_lost() -> None:
    """Ctrl-C while a hook runs leaves as itself, after everything is back."""

    def hook(info: HookInfo) -> None:
        raise KeyboardInterrupt

    @graph(hooks=Hooks(on_success=hook))
    def one() -> int:
        return good()

    with pytest.raises(KeyboardInterrupt):
        run_virtual(one.run)


def test_hooks_are_no_cost_for_the_observers_of_others() -> None:
    """While nobody has hooks and nobody listens, ops are told to nobody; after a run with hooks it is so again."""

    async def main():
        deployment = Deployment("d")
        engine = deployment.engine_here()
        before = engine.observers.ops
        during: list[bool] = []
        hooked = good.options(hooks=Hooks(on_success=lambda _: during.append(engine.observers.ops)))
        await hooked.on(deployment).run()
        return before, during, engine.observers.ops

    assert run_virtual(main) == (False, [True], False)


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_no_hook_is_refused() -> None:
    """Naming the field and what to write; hooks of a nested graph belong to the outermost run."""
    with pytest.raises(ConfigurationError, match=r"Hooks\.on_failure must be a function"):
        Hooks(on_failure="mail")
    for make in (
        lambda: op(hooks=print),
        lambda: graph(hooks=print),
        lambda: Deployment("d", hooks=print),
        lambda: good.options(hooks={}),
    ):
        with pytest.raises(ConfigurationError, match=r"hooks must be Hooks, not .*write `hooks=Hooks"):
            make()

    @graph(hooks=Hooks())
    def inner() -> int:
        return good()

    @graph
    def outer() -> int:
        return inner()

    with pytest.raises(PlanError, match="hooks, which belong to the outermost run"):
        outer.plan()


def test_branches_have_their_parents_hooks() -> None:
    """Runs of a branch are told to the hooks of its deployment."""
    told = Told()

    async def main():
        async with Deployment("d", hooks=told.hooks) as deployment:
            await good.on(deployment.branch("x")).run()

    run_virtual(main)
    assert [info.status for info in told.infos] == [RunStatus.SUCCEEDED]


def test_op_status_of_the_info() -> None:
    """Statuses are the enums that results have."""
    told = Told()
    run_virtual(good.options(hooks=told.hooks).run)
    assert told.infos[0].status is OpStatus.SUCCEEDED
