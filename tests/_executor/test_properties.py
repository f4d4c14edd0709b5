"""What must hold for every graph under every limit."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow import PER_VALUE, Deployment, OpStatus, RunResult, RunStatus, TagLimit, apply, graph, op, when
from asyncflow.testing import peak, run_virtual

POOLS = ("a", "b", "c")


@op
async def work(key: int, seconds: float, fails: bool, *inputs: int) -> int:
    if seconds:
        await anyio.sleep(seconds)
    if fails:
        raise ValueError(key)
    return key + sum(inputs)


@op
async def family(key: int, seconds: float, fails: bool, *inputs: int) -> int:
    return await work.run(key, seconds, fails) + sum(inputs)


@dataclass(frozen=True)
class Step:
    """One op of a random graph."""

    inputs: tuple[int, ...]
    seconds: float
    fails: bool
    pool: dict[str, int]
    tag: str
    child: bool
    branch: bool
    body: str

    @property
    def op(self):
        """The op it calls, with its pools and its tag."""
        return (family if self.child else work).options(pool=self.pool, tags={"t": self.tag})


def random_steps(rng: random.Random) -> list[Step]:
    """Returns a random graph of up to 25 ops."""
    return [
        Step(
            inputs=tuple(rng.sample(range(i), rng.randint(0, min(i, 3)))),
            seconds=rng.choice([0, 0, 0.5, 1, 2]),
            fails=rng.random() < 0.05,
            pool={name: rng.randint(1, 2) for name in POOLS if rng.random() < 0.3},
            tag=rng.choice("xyz"),
            child=rng.random() < 0.15,
            branch=rng.random() < 0.1,
            body=rng.choice(["", "", "", "", "late", "live"]),
        )
        for i in range(rng.randint(1, 25))
    ]


@graph(late=True)
def late(i: int, step: Step, *inputs: int) -> int:
    """As many ops in a row as the inputs say."""
    value = i
    for _ in range(sum(inputs) % 3):
        value = step.op(value, step.seconds, step.fails, *inputs)
    return value if sum(inputs) % 2 else live(i, step, value)


@graph
async def live(i: int, step: Step, *inputs: int) -> int:
    """Two at once, one after them, and a failure that may be caught."""
    one, other = step.op.options(name="one"), work.options(name="other")
    first, second = await asyncio.gather(
        one.run(i, step.seconds, step.fails, *inputs), other.run(i, 0.5, False), return_exceptions=True
    )
    if isinstance(first, BaseException) or isinstance(second, BaseException):
        if i % 2:
            return -1
        raise LookupError(i)
    return await step.op.run(first + second, 0.0, False)


@graph
def built(steps: list[Step]) -> list[int]:
    values: list[int] = []
    for i, step in enumerate(steps):
        chosen = step.op.options(name=f"op{i}")
        inputs = [values[j] for j in step.inputs]
        if step.branch and inputs:
            value = when(
                inputs[0] % 2 == 0,
                lambda chosen=chosen, i=i, step=step: chosen(i, step.seconds, step.fails),
                lambda: 7,
            )
        elif step.body:
            body = late if step.body == "late" else live
            value = body.options(name=f"op{i}", max_concurrent=1 + i % 3)(i, step, *inputs)
        else:
            value = chosen(i, step.seconds, step.fails, *inputs)
        values.append(value)
    return apply(list, values)


def outline(result: RunResult[list[int]]) -> tuple[object, ...]:
    """What a limit must not change: status, output, and how each op ended."""
    return (result.status, result.output, {key: record.status for key, record in result.ops.items()})


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_limits_delay_but_never_change_what_runs_and_what_comes_out(seed: int) -> None:
    """Random graph, random limits: the same ops run with the same values; no limit is exceeded; nothing is left."""
    rng = random.Random(seed)
    steps = random_steps(rng)
    limits = {name: rng.randint(2, 4) for name in POOLS}
    cap = rng.choice([None, 1, 2, 3])
    rule = TagLimit("t", rng.choice([None, "x", PER_VALUE]), rng.randint(1, 2))

    async def limited() -> tuple[RunResult[list[int]], int, int]:
        deployment = Deployment("d", concurrency={"pools": {"limits": limits}})
        result = await built.options(max_concurrent=cap, tag_concurrency_limits=[rule]).on(deployment).try_run(steps)
        snapshot = deployment.snapshot()
        return (
            result,
            sum(limit.held for limit in snapshot.limits),
            sum(len(limit.waiters) for limit in snapshot.limits),
        )

    free = run_virtual(built.on(Deployment("free")).try_run, steps)
    result, held, waiting = run_virtual(limited, seed=seed)
    assert outline(result) == outline(free)
    assert (held, waiting) == (0, 0)
    families = any(step.child for step in steps)
    if not families:  # a child may borrow, so needs of parent and child are not added
        assert all(peak(result, pool=name) <= limit for name, limit in limits.items())
        bodies = any(step.body for step in steps)  # the record of a body is no op's: it holds no place
        assert cap is None or bodies or peak(result) <= cap
    for record in result.ops.values():
        assert record.status.final
        assert sum(record.waits.values()) == pytest.approx(record.blocked, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0, 6))
def test_a_cancelled_run_leaves_nothing(seed: int, after: float) -> None:
    """Cancelled at any moment: one terminal status, nothing held, nobody waiting, every op final."""
    rng = random.Random(seed)
    steps = random_steps(rng)

    async def main() -> tuple[RunStatus, int, set[bool]]:
        deployment = Deployment("d", concurrency={"pools": {"limits": dict.fromkeys(POOLS, 2)}})
        async with deployment:
            run = built.options(max_concurrent=2).on(deployment).start(steps)
            await anyio.sleep(after)
            await run.cancel()
            result = await run.result()
            held = sum(limit.held + len(limit.waiters) for limit in deployment.snapshot().limits)
            return result.status, held, {record.status.final for record in result.ops.values()}

    status, held, final = run_virtual(main)
    assert (status.final, held, final) == (True, 0, {True})


ORDER = """
from dataclasses import replace
from tests._executor.test_properties import *
from asyncflow.testing import run_virtual
rng = random.Random(5)
steps = [step for _ in range(8) for step in random_steps(rng)][:25]
steps = [
    replace(step, inputs=tuple(j for j in step.inputs if j < i), fails=False, branch=False)
    for i, step in enumerate(steps)
]
deployment = Deployment("d", concurrency={"pools": {"limits": dict.fromkeys(POOLS, 2)}})
result = run_virtual(built.options(max_concurrent=4).on(deployment).try_run, steps)
print([record.key for record in result.timeline], result.waits)
"""


def test_the_sequence_of_starts_does_not_depend_on_hashes() -> None:
    """The same graph in processes with other hash seeds: the same starts in the same order, the same waits."""
    outputs = set()
    for hash_seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", ORDER], env=env, capture_output=True, text=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "op3" in outputs.pop()


def test_every_status_is_either_final_or_not() -> None:
    """The statuses that nothing may follow."""
    assert [status.name for status in OpStatus if status.final] == [
        "SUCCEEDED",
        "FAILED",
        "SKIPPED",
        "ABANDONED",
        "CANCELED",
        "REUSED",
    ]
