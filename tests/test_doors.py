"""Which deployment applies: six rules, in their order, and inside a run that run's."""

import asyncio

import pytest

from asyncflow import ConfigurationError, Deployment, PlanError, default_deployment, graph, op
from asyncflow.doors import resolve_deployment
from asyncflow.testing import run_virtual


@op
async def one() -> int:
    return 1


@graph
def job() -> int:
    return one()


def test_on_and_prod_run_come_first() -> None:
    """`.on(x)` and `x.run(…)` win over the definition's, and over an open one around."""
    a, b, c = Deployment("a"), Deployment("b"), Deployment("c")

    @graph(deployment=a)
    def bound() -> int:
        return one()

    async def main() -> None:
        async with a, b, c:
            assert bound.on(b).start().snapshot().deployment == "b"
            assert bound.start().snapshot().deployment == "a"
            assert await c.run(bound) == 1

    run_virtual(main)


def test_the_innermost_open_one_of_the_context() -> None:
    """Nested `async with`: the inner one while it is open, then the outer one."""

    async def main() -> None:
        async with Deployment("outer") as outer:
            async with Deployment("inner") as inner:
                assert resolve_deployment(None) is inner
            assert resolve_deployment(None) is outer
            assert job.start().snapshot().deployment == "outer"

    run_virtual(main)


def test_the_only_one_open_on_the_loop() -> None:
    """A handler that does not see the context in which it was opened: a server's request, a callback, a thread."""

    async def main() -> None:
        opened, done = asyncio.Event(), asyncio.Event()

        async def lifespan() -> None:
            async with Deployment("service"):
                opened.set()
                await done.wait()

        serving = asyncio.create_task(lifespan())
        await opened.wait()
        assert job.start().snapshot().deployment == "service"
        assert await job.run() == 1
        done.set()
        await serving
        assert resolve_deployment(None) is default_deployment()

    run_virtual(main)


def test_several_open_and_none_nearer_is_an_error() -> None:
    """It names them, and what to write."""

    async def main() -> None:
        done = asyncio.Event()

        async def lifespan(name: str) -> None:
            async with Deployment(name):
                await done.wait()

        serving = [asyncio.create_task(lifespan(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match=r"several deployments are open \('a', 'b'\); say which"):
            await job.run()
        done.set()
        await asyncio.gather(*serving)

    run_virtual(main)


def test_the_implicit_one_of_the_loop() -> None:
    """One for each loop, without limits until tuned; it is not open, so nothing can be started in it."""
    seen: list[Deployment] = []

    async def main() -> None:
        seen.append(default_deployment())
        assert default_deployment() is seen[-1]
        assert await job.run() == 1
        with pytest.raises(ConfigurationError, match="'default' is not open"):
            job.start()
        await default_deployment().tune(pools={"db": 1})
        assert default_deployment().snapshot().limit("db").capacity == 1

    run_virtual(main)
    run_virtual(main)
    assert seen[0] is not seen[1]


def test_inside_a_run_that_runs_own() -> None:
    """Children and started runs belong to the op's deployment, whatever is open around; `.on(other)` does not."""
    seen: list[str] = []
    a, b = Deployment("a"), Deployment("b")

    @op
    async def outer() -> int:
        seen.append(job.start().snapshot().deployment)
        seen.append(job.on(b).start().snapshot().deployment)
        return await job.run()

    async def main() -> None:
        async with a, b:
            assert await outer.on(a).run() == 1
            assert seen == ["a", "b"]

    run_virtual(main)


def test_a_nested_graph_of_another_deployment_is_refused() -> None:
    """One run stays in one deployment."""
    nested = job.on(Deployment("other"))

    @graph
    def outer() -> int:
        return nested()

    with pytest.raises(PlanError, match="one run stays in one deployment"):
        run_virtual(outer.on(Deployment("mine")).run)
