"""The proof that cancellation was tried wherever code of asyncflow can be suspended.

All programs here are cancelled before every single step of every task, and what each suspended frame was waiting at is
noted. Then every `await`, `async with`, `async for` and `yield` in the sources must have been there, apart from those
that no cancellation can reach, each with its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from asyncflow import Deployment, OpCall, apply, graph, op, use
from asyncflow._store import store_of
from asyncflow._workers import Worker, frame
from asyncflow.testing import run_virtual
from tests._executor import test_shared_pools
from tests._workers import functions
from tests.faults import (
    suspension,
    test_cancel_everywhere,
    test_resources_cancelled,
    test_store_cancelled,
    test_streams_cancelled,
)
from tests.faults.injection import cancelled_at

Program = Callable[[Deployment], Awaitable[object]]

SHIELDED = "in a task of the engine's, behind a shield: only a native cancellation of that task could pass"
HELD = "a `yield`: nobody waits in there, and a cancellation comes to whoever uses what it gave"
OWN = "a task of the engine's own: cancellations go to the ops and children it is there for"
INTERNAL = {
    ("work", "await next_turn()"): OWN,
    ("next_turn", "yield"): OWN,
    ("finish_op", "await end_children(engine, claim, cancel=error is not None)"): OWN,
    ("end_children", "await outlast(engine, child)"): OWN,
    ("_closed", "await end_children(run.engine, claim, cancel=error is not None)"): OWN,
    ("_run", "await answer"): "the task of a hook: a run that is over ends it by closing it",
    ("_hold", "await self._leaving"): OWN,
    ("close", "await self._idle[-1].close()"): SHIELDED,
    ("worker_processes", "yield crew"): HELD,
    ("worker_processes", "await crew.close()"): SHIELDED,
    ("given", "yield value"): HELD,
    ("produced", "await _close(generator, frame.run.engine.cancel_grace)"): SHIELDED,
    ("_close", "await generator.aclose()"): SHIELDED,
    ("start", "await worker.kill()"): SHIELDED,
    ("start", "await worker._send(frame.PREPARE, packed(preparation()))"): "so little that the pipe takes it at once",
    ("call", "await self.kill()"): SHIELDED,
    ("kill", "await to_thread.run_sync(self._process.wait)"): SHIELDED,
    ("close", "await to_thread.run_sync(self._ended)"): SHIELDED,
    ("_slots", "yield"): HELD,
    ("store_open", "yield line"): HELD,
}
"""Where no cancellation can come, and why."""


async def kept(yielded: str = "kept") -> AsyncIterator[str]:
    await anyio.sleep(0.25)
    yield yielded
    await anyio.sleep(0.25)


async def yields_twice() -> AsyncIterator[int]:
    """Is refused, after a clean-up that takes longer than the grace of a cancelled run."""
    try:
        yield 1
        yield 2
    finally:
        await anyio.sleep(20)


@op
async def misled(x: int, n: int = use(yields_twice)) -> int:
    return x + n


@op(pool="p")
async def leaves(x: int, held: str = use(kept)) -> int:
    """Ends while a child of its own goes on."""
    CHILDREN.append(asyncio.ensure_future(later.run(x)))
    await anyio.sleep(0.125)
    return x


@op(pool="p")
async def leaves_more(x: int) -> int:
    CHILDREN.append(asyncio.ensure_future(later.run(x)))
    await anyio.sleep(0.125)
    return x


@op
async def later(x: int) -> int:
    await anyio.sleep(2)
    return x


CHILDREN: list[asyncio.Future[int]] = []
"""The children that ops left: a reference keeps them alive."""


@graph
def leaving() -> list[int]:
    return [leaves(1), leaves_more(2)]


async def of_leavers(prod: Deployment) -> object:
    CHILDREN.clear()
    try:
        return await leaving.on(prod).run()
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*CHILDREN, return_exceptions=True)


async def of_wrong_providers(prod: Deployment) -> object:
    return await misled.on(prod).try_run(1)


class Runner:
    """Calls functions in place, after a while."""

    async def run(self, call: OpCall, /) -> object:
        await anyio.sleep(0.25)
        return call.fn(*call.args, **call.kwargs)


@op
async def plain(x: int) -> int:
    await anyio.sleep(0.125)
    return x


@op(runs_in=Runner())
def elsewhere(x: int, held: str = use(kept)) -> int:
    return x


@op(pool="p")
async def nap(x: int, held: str = use(kept, "deployment")) -> int:
    await anyio.sleep(1)
    return x


@graph
def mixed() -> list[int]:
    return [elsewhere(nap(plain(1))), nap(2), apply(abs, elsewhere(3))]


async def as_a_whole(prod: Deployment) -> object:
    return await prod.run(mixed)


async def by_hand(prod: Deployment) -> object:
    """A run that somebody reads, awaits twice and cancels."""
    run = mixed.on(prod).start()
    async with prod.events() as events, anyio.create_task_group() as group:

        async def read() -> None:
            async for _ in events:
                pass

        group.start_soon(read)
        group.start_soon(run.result)
        await anyio.sleep(1)
        await run.cancel("enough")
        group.cancel_scope.cancel()
    other = mixed.on(prod).start()
    return await other


async def through_slots(prod: Deployment) -> object:
    """Blocks and a limiter that wait for each other."""
    limiter = prod.limiter("p")

    async def block() -> None:
        async with prod.slots({"p": 2}):
            await anyio.sleep(0.5)

    async def limited() -> None:
        async with limiter:
            await anyio.sleep(0.5)

    async with anyio.create_task_group() as group:
        for fn in (block, limited, block, limited):
            group.start_soon(fn)
    return None


async def left_early(prod: Deployment) -> object:
    """A deployment that is closed while runs go on; and a branch of it."""
    mixed.on(prod).start()
    branch = prod.branch("feature")
    mixed.on(branch).start()
    await anyio.sleep(0.5)
    await branch.close()
    return await prod.close(drain=True)


async def overridden(prod: Deployment) -> object:
    with prod.override(kept, "given"):
        return await mixed.on(prod).run()


PROGRAMS: list[Program] = [
    as_a_whole,
    by_hand,
    through_slots,
    left_early,
    overridden,
    of_leavers,
    of_wrong_providers,
]


async def cancelled_in_a_deployment(
    steps: tuple[int, ...], program: Program, *, always: bool, drain: bool
) -> tuple[bool, int]:
    """Runs a program in an open deployment, cancels its task before these steps; says whether all were reached."""
    limits = {"pools": {"limits": {"p": 2}}}
    prod = Deployment("d", concurrency=limits, validate="always" if always else "graph", drain=drain)

    async def whole() -> object:
        async with prod:
            return await program(prod)

    reached, outcome, count = await cancelled_at(steps, whole)
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    assert all(limit.held == 0 and not limit.waiters for limit in prod.snapshot().limits)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    return reached, count


def at_every_step(attempt: Callable[[int], bool]) -> None:
    """Calls `attempt` with 1, 2, 3 … until it says that the step was not reached."""
    step = 1
    while attempt(step):
        step += 1


def twice(attempt: Callable[[tuple[int, ...]], tuple[bool, int]]) -> None:
    """Calls `attempt` with pairs of steps that lie near each other."""
    _, count = attempt((10**9,))
    for first in range(1, count, 2):
        for second in range(first + 1, min(first + 6, count + 6)):
            attempt((first, second))


async def read_while_closed(step: int, url: str) -> bool:
    """Likewise for a deployment that is not open, whose store is opened for each run and each question."""
    kept = test_cancel_everywhere.mapped

    async def whole() -> None:
        prod = Deployment("d", store=url)
        first = await kept.on(prod).try_run()
        await prod.runs()
        await prod.ops(first.run_id)
        await prod.outputs(kept)
        await kept.options(resume_from=first.run_id).on(prod).try_run()

    reached, outcome, _ = await cancelled_at((step,), whole)
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    return reached


async def with_stuck_pipes() -> None:
    """A worker process that does not read, or stops in the middle of its answer: the call is cancelled there."""
    for parcel, answer in ((b"x" * (16 << 20), b""), (b"x", b""), (b"x", frame.HEADER.pack(frame.GAVE, 100))):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # noqa: ASYNC220 — it is at once
        with theirs:
            theirs.sendall(answer)
            worker = Worker(process, ours, contextlib.nullcontext)
            with anyio.move_on_after(0.1) as scope:
                await worker.call(parcel, who="stuck", told=lambda *_: None)
        assert scope.cancelled_caught
        assert not worker.alive


async def in_processes(step: int) -> bool:
    """Likewise for worker processes, in real time."""

    @graph
    def flow() -> list[int]:
        return [functions.square(functions.square(2)), functions.square(3)]

    whole = (lambda prod: flow.on(prod).try_run(),)
    return (await cancelled_in_a_deployment((step,), *whole, always=False, drain=False))[0]


@pytest.mark.slow
def test_cancellation_was_tried_at_every_point_of_suspension(tmp_path: Path) -> None:
    """Given all kinds of programs, each cancelled before every step: no point of suspension was left out."""
    suspension.CANCELLED.clear()
    for kind in [*test_cancel_everywhere.KINDS, *test_streams_cancelled.KINDS]:
        at_every_step(lambda step, kind=kind: run_virtual(test_cancel_everywhere.leftovers, (step,), kind)[0])
    for kind in test_resources_cancelled.KINDS:
        at_every_step(lambda step, kind=kind: run_virtual(test_resources_cancelled.leftovers, (step,), kind)[0])
    for kind in (test_cancel_everywhere.children, test_cancel_everywhere.live, test_streams_cancelled.piped):
        twice(lambda steps, kind=kind: run_virtual(test_cancel_everywhere.leftovers, steps, kind))
    for kind in (test_resources_cancelled.children, test_resources_cancelled.of_deployments):
        twice(lambda steps, kind=kind: run_virtual(test_resources_cancelled.leftovers, steps, kind))
    for program in PROGRAMS:
        for always, drain in ((False, False), (True, True)):
            at_every_step(
                lambda step, program=program, always=always, drain=drain: run_virtual(
                    lambda: cancelled_in_a_deployment((step,), program, always=always, drain=drain)
                )[0]
            )
    for program in (left_early, by_hand):
        twice(
            lambda steps, program=program: run_virtual(
                lambda: cancelled_in_a_deployment(steps, program, always=False, drain=True)
            )
        )
    for url in ("memory", f"sqlite:///{tmp_path}/runs.db"):
        at_every_step(lambda step, url=url: run_virtual(test_store_cancelled.life_cancelled, (step,), url))
        at_every_step(lambda step, url=url: run_virtual(read_while_closed, step, url))
        for first, further in itertools.product(range(1, 9), range(1, 6)):
            run_virtual(test_store_cancelled.life_cancelled, (first, first + further), url)
    url = f"sqlite:///{tmp_path}/beside.db"
    at_every_step(lambda step: run_virtual(test_shared_pools.slow_life_cancelled, (step,), url))
    kept = test_cancel_everywhere.mapped
    at_every_step(lambda step: run_virtual(test_store_cancelled.leftovers, (step,), kept, store_of("memory")))
    at_every_step(lambda step: asyncio.run(in_processes(step)))
    asyncio.run(cancelled_at((10**9,), with_stuck_pipes))
    missed = suspension.missed()
    told = [str(point) for point in missed if (point.function, point.text) not in INTERNAL]
    assert told == [], "\n".join(told)
    stale = INTERNAL.keys() - {(point.function, point.text) for point in suspension.points()}
    assert stale == set()
