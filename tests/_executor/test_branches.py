"""Branch deployments: limits of their own, one cap over all of them, and the parent's runs untouched."""

import asyncio

import anyio
import pytest

from asyncflow import ConfigurationError, Deployment, RunStatus, graph, op
from asyncflow.testing import run_virtual


@op(pool="db")
async def query(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@op
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@graph
def napping(seconds: float = 1.0) -> float:
    return nap(seconds)


@graph
def querying(seconds: float = 1.0) -> float:
    return query(seconds)


def test_one_cap_over_the_sum_of_all_branches() -> None:
    """Three branches, a cap of 4 over all: four of their nine runs run, and prod's own are not counted."""

    async def main() -> None:
        concurrency = {"runs": {"max_concurrent_runs": 2}, "max_concurrent_branch_deployment_runs": 4}
        async with Deployment("prod", concurrency=concurrency) as prod:
            branches = [prod.branch(name) for name in ("a", "b", "c")]
            runs = [napping.on(branch).start() for branch in branches for _ in range(3)]
            own = [napping.on(prod).start() for _ in range(3)]
            await anyio.sleep(0.5)
            assert sum(run.status is RunStatus.RUNNING for run in runs) == 4
            assert [run.status.name for run in own] == ["RUNNING", "RUNNING", "QUEUED"]
            assert prod.snapshot().limit("@branch_runs").held == 4
            assert prod.snapshot().limit("@max_concurrent_runs").held == 2
            await asyncio.gather(*runs, *own)

    run_virtual(main)


def test_a_branch_has_its_own_limits() -> None:
    """By default a copy of its parent's; its own where it is given some; tuned by itself."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 2}}) as prod:
            copied = prod.branch("copied")
            own = prod.branch("own", concurrency={"runs": {"max_concurrent_runs": 1}})
            runs = [napping.on(branch).start() for branch in (copied, own) for _ in range(3)]
            await anyio.sleep(0.5)
            assert [run.status.name[0] for run in runs] == ["R", "R", "Q", "R", "Q", "Q"]
            await own.tune(max_concurrent_runs=3)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert [run.status.name[0] for run in runs] == ["R", "R", "Q", "R", "R", "R"]
            await asyncio.gather(*runs)

    run_virtual(main)


@pytest.mark.parametrize(("pools", "statuses"), [("isolated", "RR"), ("shared", "RQ")])
def test_pools_isolated_or_shared(pools: str, statuses: str) -> None:
    """Isolated: the branch's `db` is another than prod's, of the same limit. Shared: it is the same."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": 1}}}) as prod:
            branch = prod.branch("feature-x", pools=pools)  # type: ignore[arg-type]  # one of the two, by parameter
            runs = [querying.on(prod).start(), querying.on(branch).start()]
            await anyio.sleep(0.5)
            assert "".join([run.status.name[0] for run in runs]) == statuses
            names = {view.name: view.held for view in prod.snapshot().limits if "db" in view.name}
            assert names == ({"db": 1, "feature-x/db": 1} if pools == "isolated" else {"db": 1})
            await asyncio.gather(*runs)

    run_virtual(main)


def test_the_same_name_is_the_same_branch() -> None:
    """Also with the same options; other options are refused."""
    prod = Deployment("prod")
    assert prod.branch("x") is prod.branch("x")
    with pytest.raises(ConfigurationError, match="exists with other options"):
        prod.branch("x", pools="shared")
    with pytest.raises(ConfigurationError, match="concurrency\\['pools'\\]"):
        prod.branch("y", pools="shared", concurrency={"pools": {"limits": {"db": 1}}})
    with pytest.raises(ConfigurationError, match="'isolated' or 'shared'"):
        prod.branch("z", pools="mine")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="is a branch"):
        prod.branch("x").branch("y")


def test_opened_and_closed_with_its_parent() -> None:
    """Before, `start` is refused; closing the parent cancels the branch's runs; leaving the branch only its own."""

    async def main() -> None:
        prod = Deployment("prod")
        branch = prod.branch("x")
        with pytest.raises(ConfigurationError, match="not open"):
            napping.on(branch).start()
        async with prod:
            with anyio.fail_after(1):
                async with branch:
                    inner = napping.start(100.0)
                    outer = napping.on(prod).start(100.0)
                    await asyncio.sleep(0)
                    assert prod.snapshot().queued == ()
                    assert {view.deployment for view in prod.snapshot().running} == {"prod", "x"}
            assert (inner.status, outer.status) == (RunStatus.CANCELED, RunStatus.RUNNING)
            again = napping.on(branch).start(100.0)
            await asyncio.sleep(0)
        assert (outer.status, again.status) == (RunStatus.CANCELED, RunStatus.CANCELED)

    run_virtual(main)


def test_an_op_of_a_branch_makes_children_in_the_branch() -> None:
    """What it awaits is a child of its run; what it starts is a run of the branch; `.on(prod)` is prod's."""
    seen: list[str] = []

    async def main() -> None:
        async with Deployment("prod") as prod:
            branch = prod.branch("x")

            @op
            async def outer() -> None:
                await nap.run(0.0)
                run = napping.start(0.0)
                other = napping.on(prod).start(0.0)
                seen.extend([run.snapshot().deployment, other.snapshot().deployment])
                await run
                await other

            await outer.on(branch).run()

    run_virtual(main)
    assert seen == ["x", "prod"]


def test_tuning_a_branch_leaves_the_shared_pools_alone() -> None:
    """Its runs are its own to tune, its parent's pools are not; what the parent tuned stays."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": 1}}}) as prod:
            shared = prod.branch("x", pools="shared")
            await prod.tune(pools={"db": 7})
            await shared.tune(max_concurrent_runs=1)
            assert prod.snapshot().limit("db").capacity == 7
            with pytest.raises(ConfigurationError, match="has the pools of 'prod'; tune them there"):
                await shared.tune(pools={"db": 2})
            assert prod.snapshot().limit("db").capacity == 7
            runs = [querying.on(shared).start() for _ in range(2)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert [run.status.name for run in runs] == ["RUNNING", "QUEUED"]
            await asyncio.gather(*runs)

    run_virtual(main)


def test_the_cap_over_all_branches_is_tuned_live() -> None:
    """From unlimited to 1: runs that run are counted, and the next waits for them."""

    async def main() -> None:
        async with Deployment("prod", concurrency={"max_concurrent_branch_deployment_runs": None}) as prod:
            branch = prod.branch("x")
            runs = [napping.on(branch).start() for _ in range(2)]
            await anyio.sleep(0.5)
            await prod.tune(max_concurrent_branch_deployment_runs=1)
            late = napping.on(branch).start()
            await anyio.sleep(0.1)
            assert late.status is RunStatus.QUEUED
            assert (await late.result()).started_at == 1.0
            await asyncio.gather(*runs)

    run_virtual(main)
