"""What must hold for every deployment, whatever runs in it and however it is tuned meanwhile.

A random history: runs of random graphs with children, pools, keys, op tags and run tags come to a deployment and its
branches, are cancelled, wait and are refused, while limits rise, fall, come, go and pause. The ops count for
themselves what runs, and compare with the limits in force; nothing of the library is asked what it thinks.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from asyncflow import Deployment, Event, Run, RunEnded, RunRejected, RunStarted, RunStatus, TagLimit, apply, graph, op
from asyncflow.testing import run_virtual

POOLS = ("a", "b", "c")
TEAMS = ("x", "y")


@dataclass
class World:
    """What a history expects: the limits in force, and what the ops themselves count."""

    pools: dict[str, int | None]
    most_runs: int | None
    per_team: int | None
    units: Counter[str] = field(default_factory=Counter[str])
    runs: dict[str, str] = field(default_factory=dict[str, str])
    broken: list[str] = field(default_factory=list[str])

    def check(self, what: str, before: int, more: int, limit: int | None) -> None:
        """A start that does not fit under the limit in force is a breach."""
        if limit is not None and before + more > limit:
            self.broken.append(f"{what}: {before} + {more} > {limit}")

    @contextmanager
    def using(self, where: str, needs: dict[str, int]) -> Iterator[None]:
        """Counts the units of an op that is no child, so that it owns them all."""
        for pool, amount in needs.items():
            name = where + pool
            self.check(name, self.units[name], amount, self.pools[name])
            self.units[name] += amount
        try:
            yield
        finally:
            for pool, amount in needs.items():
                self.units[where + pool] -= amount


@dataclass(frozen=True)
class Job:
    """One op of a random graph."""

    inputs: tuple[int, ...]
    seconds: float
    needs: dict[str, int]
    child: bool


def random_jobs(rng: random.Random) -> list[Job]:
    return [
        Job(
            inputs=tuple(rng.sample(range(i), rng.randint(0, min(i, 2)))),
            seconds=rng.choice([0, 0.5, 1, 2]),
            needs={pool: rng.randint(1, 2) for pool in POOLS if rng.random() < 0.35},
            child=rng.random() < 0.15,
        )
        for i in range(rng.randint(1, 8))
    ]


@op
async def inside(key: int) -> int:
    await anyio.sleep(0.25)
    return key


@op
async def work(world: World, where: str, key: int, job: Job, *inputs: int) -> int:
    with world.using(where, job.needs):
        if job.seconds:
            await anyio.sleep(job.seconds)
        if job.child:
            key = await inside.options(pool=dict.fromkeys(job.needs, 1)).run(key)
    return key + sum(inputs)


@graph
def built(world: World, where: str, jobs: list[Job]) -> list[int]:
    values: list[int] = []
    for i, job in enumerate(jobs):
        values.append(
            work.options(pool=job.needs, name=f"op{i}")(world, where, i, job, *[values[j] for j in job.inputs])
        )
    return apply(list, values)


def expected(jobs: list[Job]) -> list[int]:
    """What the graph gives, limits or not."""
    values: list[int] = []
    for i, job in enumerate(jobs):
        values.append(i + sum(values[j] for j in job.inputs))
    return values


class Listener:
    """Counts the runs of prod by their own events."""

    def __init__(self, world: World, teams: dict[str, str]) -> None:
        self.world = world
        self.teams = teams

    def __call__(self, event: Event) -> None:
        world = self.world
        if isinstance(event, RunStarted) and event.run_id in self.teams:
            team = self.teams[event.run_id]
            world.check("runs", len(world.runs), 1, world.most_runs)
            world.check(f"team {team}", list(world.runs.values()).count(team), 1, world.per_team)
            world.runs[event.run_id] = team
        elif isinstance(event, RunEnded):
            world.runs.pop(event.run_id, None)


async def meddle(rng: random.Random, prod: Deployment, world: World, runs: list[Run[Any]]) -> None:
    """Something changes."""
    match rng.randrange(7):
        case 0:
            pool = rng.choice(POOLS)
            limit = rng.choice([0, 2, 3, 5, None])
            world.pools[pool] = limit
            await prod.tune(pools={pool: limit})
        case 1:
            world.most_runs = rng.choice([0, 1, 2, 4, None])
            await prod.tune(max_concurrent_runs=world.most_runs)
        case 2:
            world.per_team = rng.choice([1, 2, None])
            rules = [] if world.per_team is None else [TagLimit("team", team, world.per_team) for team in TEAMS]
            await prod.tune(tag_concurrency_limits=rules)
        case 3:
            before = prod.snapshot()
            prod.preview(max_concurrent_runs=rng.choice([0, 1, 5]), pools={rng.choice(POOLS): rng.choice([0, 1, 9])})
            assert prod.snapshot() == before
        case 4:
            live = [run for run in runs if not run.status.final]
            if live:
                await rng.choice(live).cancel("by the history")
        case 5:
            live = [run for run in runs if not run.status.final]
            if live:
                rng.choice(live).set_priority(rng.randint(-2, 2))
        case _:
            for view in prod.snapshot().queued[:2]:
                assert prod.explain(view.run_id).state is RunStatus.QUEUED


async def history(seed: int) -> tuple[World, list[tuple[Run[Any], list[Job]]], Deployment]:
    """Plays one random history to its end."""
    rng = random.Random(seed)
    start: dict[str, int | None] = {pool: rng.randint(2, 4) for pool in POOLS}
    isolated: dict[str, int | None] = {f"branch/{pool}": limit for pool, limit in start.items()}
    world = World({**start, **isolated}, most_runs=rng.choice([1, 2, 4, None]), per_team=None)
    prod = Deployment(
        "prod",
        concurrency={
            "runs": {"max_concurrent_runs": world.most_runs, "max_queued": rng.choice([3, None])},
            "pools": {"limits": dict(start), "op_granularity_run_buffer": rng.choice([0, 0, 1])},
        },
        max_overtakes=rng.choice([2, 64]),
    )
    branch = prod.branch("branch")
    teams: dict[str, str] = {}
    prod.subscribe(Listener(world, teams))
    submitted: list[tuple[Run[Any], list[Job]]] = []
    async with prod:
        for step in range(25):
            jobs = random_jobs(rng)
            team = rng.choice(TEAMS)
            run_id = f"{seed}-{step}"
            options = built.options(
                tags={"team": team},
                priority=rng.choice([0, 0, 1]),
                fair_key=rng.choice([None, "t1", "t2"]),
                max_concurrent=rng.choice([None, 1, 3]),
                conflict_key=rng.choice([None, None, None, "k"]),
                on_full=rng.choice(["queue", "keep_newest", "keep_oldest", "reject"]),
                run_id=run_id,
            )
            in_branch = rng.random() < 0.3
            if not in_branch:
                teams[run_id] = team
            try:
                home = branch if in_branch else prod
                submitted.append((options.on(home).start(world, "branch/" if in_branch else "", jobs), jobs))
            except RunRejected:
                teams.pop(run_id, None)
            if rng.random() < 0.6:
                await meddle(rng, prod, world, [run for run, _ in submitted])
            if rng.random() < 0.7:
                await anyio.sleep(rng.choice([0, 0.25, 1]))
        await prod.tune(max_concurrent_runs=None, tag_concurrency_limits=[], pools=dict.fromkeys(POOLS))
        world.most_runs = world.per_team = None
        world.pools.update(dict.fromkeys(POOLS))
        await asyncio.gather(*[run.result() for run, _ in submitted], return_exceptions=True)
    return world, submitted, prod


@pytest.mark.parametrize("seed", range(60))
def test_limits_hold_and_nothing_leaks(seed: int) -> None:
    """No start breaks a limit in force; every run ends in one terminal status; what succeeded is right; all is back."""

    async def main() -> None:
        world, submitted, prod = await history(seed)
        assert world.broken == []
        assert +world.units == Counter()
        assert world.runs == {}
        for run, jobs in submitted:
            assert run.status.final
            if run.status is RunStatus.SUCCEEDED:
                assert (await run.result()).output == expected(jobs)
            else:
                assert run.status is RunStatus.CANCELED
        snapshot = prod.snapshot()
        assert (snapshot.queued, snapshot.running) == ((), ())
        assert [view.name for view in snapshot.limits if view.held or view.waiters or view.reserved] == []
        prod.place()[0].core.check()

    run_virtual(main)


def test_the_same_history_twice_is_the_same() -> None:
    """Same inputs and seed, same decisions: who ran when, and what it waited for."""

    async def told(seed: int) -> list[object]:
        _, submitted, _ = await history(seed)
        found: list[object] = []
        for run, _ in submitted:
            try:
                result = await run.result()
            except RunRejected:
                found.append((run.id, "refused"))
            else:
                found.append((run.id, result.status, result.started_at, result.ended_at, dict(result.waits)))
        return found

    assert run_virtual(told, 5) == run_virtual(told, 5)
