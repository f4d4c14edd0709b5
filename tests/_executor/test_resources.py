"""Resources in runs: opened on first need, once per scope, closed in reverse order, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncflow import (
    ConfigurationError,
    DemandError,
    Deployment,
    Event,
    Graph,
    ResourceClosed,
    ResourceError,
    ResourceEvent,
    ResourceFailed,
    ResourceOpened,
    Retry,
    RunCanceled,
    RunFailed,
    RunStatus,
    StuckResource,
    each,
    graph,
    op,
    use,
)
from asyncflow.assets import asset
from asyncflow.testing import peak

log: list[str] = []
WHO: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture(autouse=True)
def empty_log() -> None:
    """Each test reads its own."""
    log.clear()


class Thing:
    """What providers here yield; it knows whether it is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True


@contextlib.contextmanager
def opened(name: str) -> Any:
    """Logs the opening and the closing of a thing, and what came in between."""
    log.append(f"+{name}")
    thing = Thing(name)
    try:
        yield thing
    except BaseException as error:
        log.append(f"!{name} {type(error).__name__}")
        raise
    finally:
        thing.open = False
        log.append(f"-{name}")


async def quick() -> AsyncIterator[Thing]:
    with opened("quick") as thing:
        yield thing


async def slow() -> AsyncIterator[Thing]:
    await anyio.sleep(1)
    with opened("slow") as thing:
        yield thing
        await anyio.sleep(1)


async def upper(below: Thing = use(slow, "run")) -> AsyncIterator[Thing]:
    with opened(f"upper on {below.name}") as thing:
        yield thing
        assert below.open


async def grouped() -> AsyncIterator[Thing]:
    """Has a task group and a cancel scope around its `yield`: bound to one task."""
    with opened("grouped") as thing, anyio.CancelScope():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield thing
            group.cancel_scope.cancel()


SCOPES = ("op", "run", "deployment")


def ops_of(provider: Any, scope: Any, **options: Any) -> Any:
    """Returns an op that uses a resource."""

    @op(**options)
    async def work(x: int = 0, *, thing: Thing = use(provider, scope)) -> str:
        assert thing.open
        await anyio.sleep(x)
        assert thing.open
        return thing.name

    return work


async def test_ten_ops_of_one_turn_open_once(virtual_time: None) -> None:
    """Given ten ops that need it in one loop turn, a run's resource is opened once, and closed after the last."""
    work = ops_of(slow, "run")

    @graph
    def main() -> list[str]:
        return [work(i) for i in range(10)]

    deployment = Deployment("d")
    result = await main.on(deployment).try_run()
    assert result.output == ["slow"] * 10
    assert log == ["+slow", "-slow"]
    assert {record.started_at for record in result.ops.values()} == {0.0}
    assert result.ended_at == 1 + 9 + 1  # opening, the longest op, closing: the run ends when all is closed


@pytest.mark.parametrize(("scope", "closed"), [("op", 3), ("run", 1), ("deployment", 0)])
async def test_each_scope_has_its_own(virtual_time: None, scope: str, closed: int) -> None:
    """`op`: one for each op; `run`: one for each run; `deployment`: one for all runs while it is open."""
    work = ops_of(quick, scope)

    @graph
    def main() -> list[str]:
        return [work(1), work(1), work(1)]

    async with Deployment("d") as deployment:
        await main.on(deployment).run()
        assert log.count("-quick") == closed
        await main.on(deployment).run()
        assert log.count("+quick") == max(2 * closed, 1)
    assert log.count("+quick") == log.count("-quick") == max(2 * closed, 1)


async def test_a_deployment_that_is_not_open_lends_none(virtual_time: None) -> None:
    """Without `async with` nobody would close a deployment's resource: it lives as long as the run."""
    work = ops_of(quick, "deployment")

    @graph
    def main() -> list[str]:
        return [work(), work()]

    await main.on(Deployment("d")).run()
    await main.run()
    assert log == ["+quick", "-quick"] * 2


async def test_a_branch_has_its_own(virtual_time: None) -> None:
    """A branch is a deployment: what its runs share is closed with it, or with its parent."""
    work = ops_of(quick, "deployment")
    async with Deployment("d") as deployment:
        first, second = deployment.branch("a"), deployment.branch("b")
        for home in (deployment, first, second):
            await work.on(home).run()
        assert log == ["+quick"] * 3
        await first.close()
        assert log == ["+quick"] * 3 + ["-quick"]
        await work.on(first).run()
    assert log.count("+quick") == log.count("-quick") == 4


async def test_reverse_order_of_opening(virtual_time: None) -> None:
    """What was opened last is closed first, in an op and in a run, and whoever uses another one before that one."""

    @op
    async def work(a: Thing = use(quick), b: Thing = use(upper, "run"), c: Thing = use(grouped)) -> None:
        log.append("work")

    await work.run()
    assert log == [
        "+quick",
        "+slow",
        "+upper on slow",
        "+grouped",
        "work",
        "-grouped",
        "-quick",
        "-upper on slow",
        "-slow",
    ]


async def test_one_op_shares_what_its_providers_use(virtual_time: None) -> None:
    """Scope `op` in a provider of scope `op` is the op's; in one of a wider scope it is that resource's own."""

    async def user(thing: Thing = use(quick)) -> AsyncIterator[Thing]:
        yield thing

    @op
    async def work(
        a: Thing = use(quick), b: Thing = use(user), c: Thing = use(user, "run"), d: Thing = use(user, "run")
    ) -> list[bool]:
        return [a is b, a is c, c is d]

    assert await work.run() == [True, False, True]
    assert log.count("+quick") == 2


@pytest.mark.parametrize("scope", SCOPES)
async def test_task_groups_and_cancel_scopes_in_a_provider(virtual_time: None, scope: str) -> None:
    """They are bound to a task: each provider is entered and left in one, and several nest, also side by side."""
    work = ops_of(grouped, scope)

    @op
    async def both(x: int, *, a: Thing = use(grouped, scope), b: Thing = use(quick)) -> None:  # type: ignore[call-overload]  # any scope
        await anyio.sleep(x)

    @graph
    def main() -> list[Any]:
        return [work(3), both(1), work(2), both(2)]

    async with Deployment("d") as deployment:
        result = await main.on(deployment).try_run()
        assert result.status is RunStatus.SUCCEEDED, result.errors
    assert log.count("+grouped") == log.count("-grouped") == (4 if scope == "op" else 1)
    assert [line for line in log if line.startswith("!")] == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_plain_functions_get_resources(virtual_time: None, scope: str) -> None:
    """They run on a thread, their providers on the loop."""
    home = threading.get_ident()
    seen: list[bool] = []

    async def here() -> AsyncIterator[Thing]:
        seen.append(threading.get_ident() == home)
        with opened("here") as thing:
            yield thing
            seen.append(threading.get_ident() == home)

    @op
    def work(x: int, thing: Thing = use(here, scope)) -> str:  # type: ignore[call-overload]  # any scope
        seen.append(threading.get_ident() != home)
        return f"{thing.name}{x}"

    async with Deployment("d") as deployment:
        assert await work.on(deployment).run(3) == "here3"
    assert seen == [True] * 3


async def test_an_argument_replaces_the_resource(virtual_time: None) -> None:
    """Given by name or position, nothing is opened; a result of another op will do."""
    mine = Thing("mine")

    @op
    async def make() -> Thing:
        return Thing("made")

    @op
    async def name(x: int, thing: Thing = use(quick, "run")) -> str:
        return thing.name

    @graph
    def main() -> list[str]:
        return [name(1, mine), name(2, thing=make())]

    assert await main.run() == ["mine", "made"]
    assert await name.run(1, thing=mine) == "mine"
    assert log == []


async def test_ops_get_their_slots_first(virtual_time: None) -> None:
    """`pool=`: every op that uses it takes a slot, shown like any other; it is opened once the op has it."""

    @op
    async def work(x: int, thing: Thing = use(quick, "run", pool="db")) -> None:
        await anyio.sleep(1)

    @op(pool=lambda **_: "db")
    async def named_later(x: int, thing: Thing = use(quick, "run", pool="api")) -> None:
        await anyio.sleep(1)

    @op
    async def numbers() -> list[int]:
        return [1, 2]

    @graph
    def main(items: list[int]) -> list[Any]:
        return [*[work(i) for i in range(4)], each(named_later, items), each(work, numbers())]

    async with Deployment("d", concurrency={"pools": {"limits": {"db": 2, "api": 1}}}) as deployment:
        run = main.on(deployment).start([1, 2])
        await anyio.sleep(0.5)
        db = deployment.snapshot().pool("db")
        assert (db.held, len(db.waiters)) == (2, 6)
        assert [blocker.limit for blocker in run.explain("work#3").blockers] == ["db"]
        result = await run.result()
    assert peak(result, pool="db") == 2
    assert peak(result, pool="api") == 1
    assert dict(result.ops["named_later[0]"].needs) == {"db": 1, "api": 1}
    assert "db" in main.plan([1]).mermaid()
    assert log == ["+quick", "-quick"]


async def test_pools_of_resources_can_be_taken_by_the_run(virtual_time: None) -> None:
    """Granularity `run`: the run takes one slot for all its ops; too much for ever is refused at once."""

    @op(pool={"db": 1})
    async def work(thing: Thing = use(quick, pool="db")) -> None:
        await anyio.sleep(1)

    @graph
    def main() -> list[None]:
        return [work(), work()]

    per_run = Deployment("d", concurrency={"pools": {"granularity": "run", "limits": {"db": 1}}})
    result = await main.on(per_run).try_run()
    assert result.seconds == 1
    with pytest.raises(DemandError, match=r"2 of 'db', whose limit is 1"):
        await main.on(Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})).run()


async def test_tuning_a_keyed_pool_counts_resources_too(virtual_time: None) -> None:
    """Waiters whose keys get a limit are matched anew with all that they take."""

    @op
    async def work(thing: Thing = use(quick, "run", pool="api:one")) -> None:
        await anyio.sleep(1)

    @graph
    def main() -> list[None]:
        return [work() for _ in range(4)]

    async with Deployment("d", concurrency={"pools": {"limits": {"api": {"limit": 1, "per_key": 2}}}}) as deployment:
        run = main.on(deployment).start()
        await anyio.sleep(0.5)
        await deployment.tune(pools={"api": {"limit": 4, "per_key": 1}})
        result = await run.result()
    assert peak(result, pool="api:one") == 1
    assert result.seconds == 4


async def test_children_share_the_runs_resources(virtual_time: None) -> None:
    """A child belongs to its run; an op's resources are closed after the children its body left running."""
    work = ops_of(quick, "run")
    tasks: list[asyncio.Task[Any]] = []

    @op
    async def parent(thing: Thing = use(quick, "run"), own: Thing = use(slow)) -> str:
        tasks.append(asyncio.ensure_future(work.run(5)))
        await anyio.lowlevel.checkpoint()
        return await work.run(1)

    assert await parent.run() == "quick"
    await asyncio.wait(tasks)
    assert log == ["+quick", "+slow", "-slow", "-quick"]


async def test_context_variables(virtual_time: None) -> None:
    """A provider sees those of its op, of its run, or of where its deployment was opened; what it sets is its own."""
    seen: list[str] = []

    async def looking() -> AsyncIterator[None]:
        seen.append(WHO.get())
        WHO.set("provider")
        yield
        seen.append(WHO.get())

    @op
    async def work(a: None = use(looking, "run"), b: None = use(looking, "deployment")) -> str:
        return WHO.get()

    WHO.set("opener")
    async with Deployment("d") as deployment:
        WHO.set("caller")
        assert await work.on(deployment).run() == "caller"
        assert seen == ["caller", "opener", "provider"]
    assert WHO.get() == "caller"


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────


class RefusedError(Exception):
    """What providers here raise."""


def failing_provider(times: int = 1) -> Any:
    """Returns a provider that cannot open the first few times."""
    left = [times]

    async def shaky() -> AsyncIterator[Thing]:
        await anyio.sleep(1)
        if left[0]:
            left[0] -= 1
            log.append("failed")
            raise RefusedError("no")
        with opened("shaky") as thing:
            yield thing

    return shaky


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_failure_to_open_fails_who_needs_it(virtual_time: None, scope: str) -> None:
    """Ops that wait for it fail with an error that names the provider and has its own; `except*` finds that."""
    work = ops_of(failing_provider(times=2 if scope == "op" else 1), scope)
    other = ops_of(quick, "run")

    @graph
    def main() -> list[str]:
        return [work(1), work.options(name="again")(1), other(1)]

    async with Deployment("d") as deployment:
        with pytest.raises(RunFailed) as caught:
            await main.on(deployment).run()
        errors = caught.value.exceptions
        assert [type(error) for error in errors] == [ResourceError, ResourceError]
        assert errors[0] is not errors[1]
        assert "provider shaky could not open its resource" in str(errors[0])
        assert "work" in str(errors[0])
        assert errors[0].resources == ("shaky",)
        assert caught.value.split(RefusedError)[0] is not None
        assert [key for key, record in caught.value.result.ops.items() if record.error is None] == ["work#2"]
        # the failure is not remembered: who needs it next tries again
        assert await work.on(deployment).run() == "shaky"
    assert log.count("+shaky") == log.count("-shaky") == 1


async def test_row_52_every_op_gets_a_new_one(virtual_time: None) -> None:
    """Row 52: a resource of scope `op` that broke is not seen again: the next attempt opens a new one."""
    things: list[Thing] = []

    @op
    async def work(thing: Thing = use(quick)) -> None:
        things.append(thing)
        raise RefusedError

    with pytest.raises(RefusedError):
        await work.options(retry=Retry(max_retries=1, delay=1)).run()
    assert things[0] is not things[1]
    assert log == ["+quick", "!quick RefusedError", "-quick"] * 2


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_resource_that_could_not_be_opened_is_tried_again(virtual_time: None, scope: str) -> None:
    """What its provider raised counts for `on` like what the op raises; the others fail at once."""
    work = ops_of(failing_provider(times=2), scope)
    async with Deployment("d") as deployment:
        with pytest.raises(ResourceError):
            await work.options(retry=Retry(on=KeyError)).on(deployment).run()
        result = await work.options(retry=Retry(delay=1, on=RefusedError)).on(deployment).try_run()
        assert (result.output, result.ops["work"].attempts) == ("shaky", 2)
    assert log == ["failed", "failed", "+shaky", "-shaky"]


async def test_a_run_keeps_its_resources_between_attempts(virtual_time: None) -> None:
    """During a delay an op's own are closed and the run's stay; cancelled then, the run ends when these are closed."""
    sticky = closing_badly(seconds=2)

    @op(retry=Retry(delay=10))
    async def work(a: Thing = use(sticky, "run"), b: Thing = use(quick)) -> None:
        raise RefusedError

    async with Deployment("d") as deployment:
        run = work.on(deployment).start()
        await anyio.sleep(5)
        assert log == ["+sticky", "+quick", "!quick RefusedError", "-quick"]
        await run.cancel()
        assert (await run.result()).ended_at == 7
    assert log[-1] == "-sticky"


def closing_badly(error: BaseException | None = None, seconds: float = 0) -> Any:
    """Returns a provider that fails while it closes."""

    async def sticky() -> AsyncIterator[Thing]:
        log.append("+sticky")
        try:
            yield Thing("sticky")
        finally:
            await anyio.sleep(seconds)
            log.append("-sticky")
            if error is not None:
                raise error

    return sticky


@pytest.mark.parametrize("scope", ["op", "run"])
async def test_a_failure_to_close_is_a_note_and_an_event(virtual_time: None, scope: str) -> None:
    """The op keeps its value and the run its status; the failure is in the result and told, and all else is closed."""
    events: list[Event] = []
    sticky = closing_badly(RefusedError("secret"))

    @op
    async def work(a: Thing = use(quick, scope), b: Thing = use(sticky, scope), c: Thing = use(slow, scope)) -> int:  # type: ignore[call-overload]  # any scope
        return 3

    deployment = Deployment("d")
    deployment.subscribe(events.append)
    result = await work.on(deployment).try_run()
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, 3)
    assert log == ["+quick", "+sticky", "+slow", "-slow", "-sticky", "-quick"]
    [error] = result.close_errors
    assert isinstance(error.exceptions[0], RefusedError)
    [note] = result.notes
    assert note.startswith("provider sticky could not close its resource")
    assert "secret" not in note
    failed = [event for event in events if isinstance(event, ResourceFailed)]
    assert [(event.resource, event.scope, event.phase, event.error) for event in failed] == [
        ("sticky", scope, "close", "RefusedError")
    ]
    assert [event.resource for event in events if isinstance(event, ResourceOpened)] == ["quick", "sticky", "slow"]
    assert [event.resource for event in events if isinstance(event, ResourceClosed)] == ["slow", "quick"]
    assert {event.run_id for event in events if isinstance(event, ResourceEvent)} == {result.run_id}


async def test_row_51_opening_and_closing_fail(virtual_time: None) -> None:
    """Row 51: what was opened before is closed, and the error is the group of all."""
    first, second = closing_badly(RefusedError("one")), closing_badly(ValueError("two"))

    third = failing_provider()

    @op
    async def work(a: Thing = use(first), b: Thing = use(second), c: Thing = use(third)) -> None:
        pytest.fail("it ran")

    with pytest.raises(ResourceError) as caught:
        await work.run()
    assert [type(error) for error in caught.value.exceptions] == [RefusedError, ValueError, RefusedError]
    assert caught.value.resources == ("shaky", "sticky", "sticky")
    assert log == ["+sticky", "+sticky", "failed", "-sticky", "-sticky"]


async def test_the_ops_own_error_stays(virtual_time: None) -> None:
    """Providers see what the op raised; one that swallows it, or fails on it, changes nothing about it."""
    seen: list[str] = []

    async def swallowing() -> AsyncIterator[int]:
        try:
            yield 1
        except RefusedError as error:
            seen.append(str(error))

    bad = closing_badly(ValueError("two"))

    @op
    async def work(a: int = use(swallowing), b: Thing = use(bad)) -> None:
        raise RefusedError("mine")

    result = await work.try_run()
    assert [type(error) for error in result.errors] == [RefusedError]
    assert seen == ["mine"]
    assert len(result.close_errors) == 1


@pytest.mark.parametrize("error", [StopAsyncIteration, StopIteration, asyncio.CancelledError])
async def test_errors_that_end_generators(virtual_time: None, error: type[BaseException]) -> None:
    """StopIteration and its kin, raised by an op, are failures of the op and none of its resources."""

    @op
    async def work(thing: Thing = use(quick)) -> None:
        raise error

    result = await work.try_run()
    assert result.status is RunStatus.FAILED
    assert result.close_errors == ()
    assert log[-1] == "-quick"


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_provider_that_yields_never(virtual_time: None, scope: str) -> None:
    """It is told to yield once on every way."""

    async def never() -> AsyncIterator[int]:
        if log:
            yield 1

    @op
    async def work(x: int = use(never, scope)) -> int:  # type: ignore[call-overload]  # any scope
        return x

    async with Deployment("d") as deployment:
        with pytest.raises(ResourceError) as caught:
            await work.on(deployment).run()
    assert isinstance(caught.value.exceptions[0], ConfigurationError)
    assert "provider never ended without a `yield`" in str(caught.value.exceptions[0])


@pytest.mark.parametrize("scope", ["op", "run"])
async def test_a_provider_that_yields_twice(virtual_time: None, scope: str) -> None:
    """It is closed all the same, and told so in a note."""

    async def twice() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            log.append("closed")

    @op
    async def work(x: int = use(twice, scope)) -> int:  # type: ignore[call-overload]  # any scope
        return x

    result = await work.try_run()
    assert result.output == 1
    assert "provider twice yields more than once" in str(result.close_errors[0].exceptions[0])
    assert log == ["closed"]


async def test_closing_a_deployment_raises_what_failed(virtual_time: None) -> None:
    """There is no run to note it on: leaving raises the group; what ended the block goes first, with a note."""
    work = ops_of(closing_badly(RefusedError("no")), "deployment")
    with pytest.raises(ResourceError, match=r"deployment 'd' was closed, and resources of it failed: sticky"):
        async with Deployment("d") as deployment:
            await work.on(deployment).run()

    async def interrupted() -> None:
        async with Deployment("d") as deployment:
            await work.on(deployment).run()
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await interrupted()
    assert "resources of it failed: sticky" in caught.value.__notes__[0]


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_resource_that_breaks(virtual_time: None, scope: str) -> None:
    """Its task group fails while it is used: an op's own fails with the op; a shared one is noted, and opened anew."""
    fail = [True]

    async def heartbeat() -> None:
        await anyio.sleep(1)
        if fail.pop():
            raise RefusedError("lost")

    async def beating() -> AsyncIterator[Thing]:
        with opened("beating") as thing:
            async with anyio.create_task_group() as group:
                group.start_soon(heartbeat)
                yield thing
                group.cancel_scope.cancel()

    @op
    async def work(x: int, thing: Thing = use(beating, scope)) -> str:  # type: ignore[call-overload]  # any scope
        await anyio.sleep(2)
        return thing.name

    @op
    async def later(x: str, thing: Thing = use(beating, scope)) -> str:  # type: ignore[call-overload]  # any scope
        assert thing.open
        return x

    @graph
    def main() -> str:
        return later(work(1))

    deployment = Deployment("d")
    if scope == "deployment":
        with pytest.raises(ResourceError) as closed:
            async with deployment:
                assert await main.on(deployment).run() == "beating"
        assert closed.value.split(RefusedError)[0] is not None
    elif scope == "run":
        result = await main.on(deployment).try_run()
        assert result.output == "beating"
        assert result.close_errors[0].split(RefusedError)[0] is not None
    else:
        result = await main.on(deployment).try_run()
        assert result.status is RunStatus.FAILED
        assert isinstance(result.errors[0], ResourceError)
        assert result.errors[0].split(RefusedError)[0] is not None
    assert log.count("+beating") == log.count("-beating") == (1 if scope == "op" else 2)


# ── cancellation ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scope", SCOPES)
async def test_cancelled_while_opening(virtual_time: None, scope: str) -> None:
    """The provider gets one cancellation, may await its clean-up, and the run ends after it."""

    async def careful() -> AsyncIterator[Thing]:
        try:
            await anyio.sleep(10)
            yield Thing("careful")
        finally:
            await anyio.sleep(1)
            await anyio.sleep(1)
            log.append("cleaned")

    work = ops_of(careful, scope)
    async with Deployment("d") as deployment:
        run = work.on(deployment).start(1)
        await anyio.sleep(1)
        await run.cancel("enough")
        with pytest.raises(RunCanceled):
            await run
        ended = (await run.result()).ended_at
        assert ended == (1 if scope == "deployment" else 3)
    assert log == ["cleaned"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_cancelled_while_closing(virtual_time: None, scope: str) -> None:
    """Closing goes on to its end; what was given is kept, and the run is cancelled."""
    work = ops_of(closing_badly(seconds=3), scope)
    async with Deployment("d") as deployment:
        run = work.on(deployment).start(1)
        await anyio.sleep(2)
        await run.cancel("enough")
        result = await run.result()
        if scope != "deployment":
            assert result.status is RunStatus.CANCELED
            assert result.ops["work"].status.value == "SUCCEEDED"
            assert result.ended_at == 4
    assert log == ["+sticky", "-sticky"]


@pytest.mark.parametrize("scope", ["op", "run"])
@pytest.mark.parametrize("phase", ["open", "close"])
async def test_a_provider_that_hangs_is_interrupted_after_the_grace(virtual_time: None, scope: str, phase: str) -> None:
    """Opening or closing for ever in a cancelled run: told after `cancel_grace`, interrupted, and noted as failed."""
    events: list[Event] = []

    async def hanging() -> AsyncIterator[Thing]:
        if phase == "open":
            try:
                await anyio.sleep_forever()
            finally:
                await anyio.sleep_forever()
        try:
            yield Thing("hanging")
        finally:
            await anyio.sleep_forever()

    work = ops_of(hanging, scope)
    async with Deployment("d", cancel_grace=5) as deployment:
        deployment.subscribe(events.append)
        run = work.on(deployment).start(1)
        await anyio.sleep(2)
        await run.cancel()
        result = await run.result()
    assert result.status is RunStatus.CANCELED
    assert result.ended_at == 7
    [stuck] = [event for event in events if isinstance(event, StuckResource)]
    assert (stuck.resource, stuck.seconds, stuck.scope) == ("hanging", 5, scope)
    [failed] = [event for event in events if isinstance(event, ResourceFailed)]
    assert (failed.phase, failed.error) == (phase, "TimeoutError")
    if phase == "close":
        assert "went on closing" in str(result.close_errors[0].exceptions[0])


async def test_a_long_clean_up_leaves_closing_a_grace_of_its_own(virtual_time: None) -> None:
    """An op that used up the run's grace: its resources still get one, and no more than one."""
    slowly, never = closing_badly(seconds=4), closing_badly(seconds=99)

    @op
    async def stubborn(thing: Thing = use(slowly), other: Thing = use(never, "run")) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(7)

    async with Deployment("d", cancel_grace=5) as deployment:
        run = stubborn.on(deployment).start()
        await anyio.sleep(1)
        await run.cancel()
        result = await run.result()
    assert result.ended_at == 1 + 7 + 4 + 5
    assert [error.resources for error in result.close_errors] == [("sticky",)]


async def test_a_provider_that_swallows_cancellation(virtual_time: None) -> None:
    """It opens although nobody needs it any more: it is closed at once, and the run ends CANCELED."""

    async def deaf() -> AsyncIterator[Thing]:
        with contextlib.suppress(asyncio.CancelledError):
            await anyio.sleep(10)
        with opened("deaf") as thing:
            yield thing

    for scope in ("op", "run"):
        log.clear()
        work = ops_of(deaf, scope)
        async with Deployment("d") as deployment:
            run = work.on(deployment).start(1)
            await anyio.sleep(1)
            await run.cancel()
            result = await run.result()
        assert (result.status, result.ended_at) == (RunStatus.CANCELED, 1 if scope == "op" else result.ended_at)
        assert (log[0], log[-1]) == ("+deaf", "-deaf")


async def test_an_opening_that_nobody_waits_for_is_given_up(virtual_time: None) -> None:
    """One of two who wait is cancelled: it goes on. Both are: it is cancelled, and who comes then opens it anew."""
    work = ops_of(slow, "deployment")
    async with Deployment("d") as deployment:
        first, second = work.on(deployment).start(), work.on(deployment).start()
        await anyio.sleep(0.5)
        await first.cancel()
        assert await second == "slow"
    assert log == ["+slow", "-slow"]
    log.clear()
    started: list[float] = []

    async def slower() -> AsyncIterator[Thing]:
        started.append(anyio.current_time())
        try:
            await anyio.sleep(1)
            yield Thing("slower")
        finally:
            await anyio.sleep(1)

    work = ops_of(slower, "deployment")
    async with Deployment("d") as deployment:
        begin = anyio.current_time()
        first, second = work.on(deployment).start(), work.on(deployment).start()
        await anyio.sleep(0.5)
        await first.cancel()
        await second.cancel()
        third = work.on(deployment).start()
        assert await third == "slower"
    assert [at - begin for at in started] == [0, 1.5]  # never two at once: the first had to clean up


async def test_the_callers_cancellation_waits_for_closing(virtual_time: None) -> None:
    """`await graph.run()` that is cancelled, by a scope or natively, returns when everything is closed."""
    work = ops_of(closing_badly(seconds=3), "run")
    with anyio.move_on_after(1) as scope:
        await work.run(5)
    assert scope.cancelled_caught
    assert log == ["+sticky", "-sticky"]
    log.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work.run(5), 1)
    assert log == ["+sticky", "-sticky"]


async def test_closing_a_deployment_is_cancelled(virtual_time: None) -> None:
    """Whoever waits for the close and is cancelled leaves when all is closed; what hangs is interrupted first."""
    for provider, seconds in ((closing_badly(seconds=3), 3), (closing_badly(seconds=99), 1 + 5)):
        work = ops_of(provider, "deployment")
        deployment = await Deployment("d", cancel_grace=5).__aenter__()
        await work.on(deployment).run()
        begin = anyio.current_time()
        with anyio.move_on_after(1) as scope:
            await deployment.close()
        assert scope.cancelled_caught
        assert anyio.current_time() - begin == seconds
    assert log == ["+sticky", "-sticky", "+sticky"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("phase", ["open", "close"])
async def test_an_interrupt_in_a_provider(virtual_time: None, scope: str, phase: str) -> None:
    """Ctrl-C while it opens or closes: all else is closed, and KeyboardInterrupt leaves as itself."""

    async def interrupted() -> AsyncIterator[Thing]:
        if phase == "open":
            raise KeyboardInterrupt
        try:
            yield Thing("interrupted")
        finally:
            raise KeyboardInterrupt

    @op
    async def work(a: Thing = use(quick, scope), b: Thing = use(interrupted, scope)) -> None: ...  # type: ignore[call-overload]  # any scope

    with pytest.raises(KeyboardInterrupt):
        async with Deployment("d") as deployment:
            await work.on(deployment).run()
    assert log[0] == "+quick"
    assert log[-1] == "-quick"


def test_the_loop_ends_before_the_deployment_is_closed() -> None:
    """`asyncio.run` cancels what is left: providers clean up in their own tasks, without a warning."""
    work = ops_of(grouped, "deployment")

    async def main() -> None:
        deployment = await Deployment("d").__aenter__()
        await work.on(deployment).run()

    asyncio.run(main())
    assert log == ["+grouped", "!grouped CancelledError", "-grouped"]


async def test_a_deployment_opened_again_while_it_closes(virtual_time: None) -> None:
    """The new one has resources of its own; the old ones are closed."""
    work = ops_of(closing_badly(seconds=3), "deployment")
    deployment = await Deployment("d").__aenter__()
    await work.on(deployment).run()
    async with anyio.create_task_group() as group:
        group.start_soon(deployment.close)
        await anyio.sleep(1)
        async with deployment:
            assert await work.on(deployment).run() == "sticky"
            assert log == ["+sticky", "+sticky"]
    assert log == ["+sticky", "+sticky", "-sticky", "-sticky"]


# ── overrides ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_overrides_hold_for_runs_of_the_block(virtual_time: None) -> None:
    """By a provider or by the object itself, wherever it is used; a run keeps what it was submitted with."""

    async def fake() -> AsyncIterator[Thing]:
        with opened("fake") as thing:
            yield thing

    async def user(thing: Thing = use(quick)) -> AsyncIterator[Thing]:
        yield thing

    @op
    async def names(x: int, a: Thing = use(quick, "deployment"), b: Thing = use(user, "deployment")) -> list[str]:
        await anyio.sleep(x)
        return [a.name, b.name]

    async with Deployment("d") as deployment:
        assert await names.on(deployment).run(0) == ["quick", "quick"]
        with deployment.override(quick, fake):
            assert await names.on(deployment).run(0) == ["fake", "fake"]
            running = names.on(deployment).start(3)
            branch = deployment.branch("b")
            assert await names.on(branch).run(0) == ["fake", "fake"]
            with branch.override(quick, Thing("object")):
                assert await names.on(branch).run(0) == ["object", "object"]
        assert await names.on(deployment).run(0) == ["quick", "quick"]
        assert await running == ["fake", "fake"]
        with deployment.override(quick, fake):
            before = log.count("+fake")
            await names.on(deployment).run(0)
            assert log.count("+fake") == before + 2  # a block sees nothing of another one's
    assert log.count("+fake") == log.count("-fake")
    assert deployment.overrides == {}


async def test_overrides_of_two_tasks_leave_in_any_order(virtual_time: None) -> None:
    """Each takes its own away."""
    work = ops_of(quick, "op")
    other = ops_of(slow, "op")
    deployment = Deployment("d")
    first, second = deployment.override(quick, Thing("one")), deployment.override(slow, Thing("two"))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert await other.on(deployment).run() == "two"
    assert await work.on(deployment).run() == "quick"
    second.__exit__(None, None, None)
    assert deployment.overrides == {}


async def test_a_cancelled_close_stays_cancelled_when_resources_fail(virtual_time: None) -> None:
    """Cancelled while runs drain: resources are closed, what fails is told, and the cancellation leaves."""
    events: list[Event] = []
    work = ops_of(closing_badly(RefusedError("no")), "deployment")
    deployment = await Deployment("d", drain=True).__aenter__()
    deployment.subscribe(events.append)
    run = work.on(deployment).start(10)
    await anyio.sleep(1)
    with anyio.move_on_after(1) as scope:
        await deployment.close()
    assert scope.cancelled_caught
    assert (await run.result()).status is RunStatus.CANCELED
    assert [event.run_id for event in events if isinstance(event, ResourceFailed)] == [""]
    assert log == ["+sticky", "-sticky"]


def test_a_deployment_on_another_loop_has_new_resources() -> None:
    """What a loop left behind went with it: the next one opens its own, and closing waits for these only."""
    work = ops_of(quick, "deployment")
    deployment = Deployment("d")
    branch = deployment.branch("b")

    async def left_open() -> None:
        await deployment.__aenter__()
        await work.on(branch).run()

    async def closed() -> None:
        async with deployment:
            await work.on(deployment).run()

    asyncio.run(left_open())
    deployment._opened = False  # as in a new process
    asyncio.run(closed())
    assert log == ["+quick", "!quick CancelledError", "-quick", "+quick", "-quick"]


async def test_assets_are_not_wired_to_resources(virtual_time: None) -> None:
    """An asset's resource parameter is no source of it, also where an asset has its name."""

    @asset
    async def thing() -> str:
        return "the asset"

    @asset
    async def report(thing: Thing = use(quick, "run")) -> str:
        return thing.name

    graph = Graph.from_assets([thing, report])
    result = await graph.try_run()
    assert result.status is RunStatus.SUCCEEDED, result.errors
    assert "quick" in str(result.output)
    assert graph.plan().sources[graph.plan().ids["report"]] == ()
    with pytest.raises(ConfigurationError, match="no asset takes the input 'thing'"):
        Graph.from_assets([report], inputs=["thing"])
