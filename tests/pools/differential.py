"""Random batches to a backend and to the slow model at once: the same grants, refusals, usage and order of fences.

python -m tests.pools.differential --backend sqlite --batches 100000
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from asyncflow.pools import MemoryPools, PoolBackend, Reply, Snapshot, SQLitePools, TicketView
from tests.pools.batches import Close, Historian, Open, Step
from tests.pools.model import Answer, Model

STEPS = 500


class Pair:
    """A backend and the model, side by side.

    Args:
        backend: The backend.
        namespace: Where they meet.
    """

    def __init__(self, backend: PoolBackend, namespace: str) -> None:
        self.backend = backend
        self.namespace = namespace
        self.model = Model()
        self.zero: dict[str, int] = {}

    async def do(self, step: Step) -> None:
        """Does a step on both sides and compares what they say and what is there."""
        if isinstance(step, Open):
            grant = await self.backend.open(step.spec, step.pools)
            fresh = step.spec.id not in self.model.sessions
            expected = self.model.open(step.spec, step.pools)
            assert grant.fresh == fresh
            assert [(one.pool, one.before, one.now) for one in grant.conflicts] == expected
        elif isinstance(step, Close):
            await self.backend.close(step.session)
            self.model.close(step.session)
        else:
            reply = await self.backend.exchange(step.session, step.batch)
            answer = self.model.exchange(step.session, step.batch)
            await self.compare(reply, answer)
        await self.compare_all()
        self.model.now += 0.001

    async def compare(self, reply: Reply, answer: Answer) -> None:
        """Compares what was said."""
        assert reply.alive == answer.alive
        await self.learn()
        grants = {
            grant.ticket: {pool: fence - self.zero[pool] for pool, fence in grant.fences} for grant in reply.grants
        }
        assert grants == answer.grants
        assert set(reply.gone) == answer.gone
        assert len(reply.gone) == len(set(reply.gone))
        refused = {one.ticket: (one.pool, one.key, one.amount, one.limit) for one in reply.refused}
        assert refused == answer.refused
        for usage in reply.usage:
            assert usage.used == self.model.used((usage.pool, None))
            assert usage.limit == self.model.limit(usage.pool, None)
            assert usage.paused == self.model.pools[usage.pool].paused

    async def learn(self) -> None:
        """Learns where the fences of new pools began."""
        for view in (await self.backend.snapshot(self.namespace, limit=1)).pools:
            self.zero.setdefault(view.pool, view.fence - self.model.pools[view.pool].fence)

    async def compare_all(self) -> None:
        """Compares all that is there."""
        await self.learn()
        model = self.model
        pages = await everything(self.backend, self.namespace, limit=7)
        pools = {view.pool: view for view in pages[0].pools}
        assert set(pools) == set(model.pools)
        for name, view in pools.items():
            waiting = [one for one in model.waiting() if any(need.pool == name for need in one.needs)]
            assert (view.quota, view.source) == (model.quota(name), model.source(name))
            assert (view.used, view.waiting) == (model.used((name, None)), len(waiting))
            assert (view.paused, view.fence - self.zero[name]) == (model.pools[name].paused, model.pools[name].fence)
        tickets = [view for page in pages for view in page.tickets]
        shown = [shown_ticket(view, self.zero) for view in tickets]
        expected = [
            (
                one.id,
                one.session,
                one.state,
                tuple(one.needs),
                one.run_priority,
                one.priority,
                one.ready,
                one.gathers > 0 and one.state == "waiting",
                one.fences if one.state == "held" else {},
            )
            for one in model.tickets
            if one.state != "revoked"
        ]
        assert shown == expected


def shown_ticket(view: TicketView, zero: dict[str, int]) -> tuple[object, ...]:
    """Returns what is compared of a ticket."""
    fences = {pool: fence - zero[pool] for pool, fence in view.fences}
    about = (view.ticket, view.session, view.state, view.needs, view.run_priority, view.priority)
    return (*about, view.ready, view.gathering, fences)


async def everything(backend: PoolBackend, namespace: str, *, limit: int) -> list[Snapshot]:
    """Returns all pages of a snapshot."""
    pages = [await backend.snapshot(namespace, limit=limit)]
    while pages[-1].next is not None:
        pages.append(await backend.snapshot(namespace, limit=limit, after=pages[-1].next))
    return pages


async def compare_history(backend: PoolBackend, seed: int, *, steps: int = STEPS) -> tuple[int, int]:
    """Runs one history against both; returns its batches, and how often somebody began to gather.

    Raises:
        AssertionError: naming the seed and the step.
    """
    namespace = f"history-{seed}"
    pair = Pair(backend, namespace)
    done = 0
    historian = Historian(Random(seed), namespace, pair.model.holders)
    for done, step in enumerate(historian.history(steps), 1):
        try:
            await pair.do(step)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {done}: {step}\n{error}") from error
    for session in list(pair.model.sessions):
        await pair.do(Close(session))
    return done, pair.model.gathered


async def compare_many(backend: PoolBackend, *, first: int, batches: int, steps: int = STEPS) -> tuple[int, int]:
    """Runs histories until so many batches were compared; returns batches and gatherings."""
    total = gathered = 0
    seed = first
    while total < batches:
        done, more = await compare_history(backend, seed, steps=steps)
        total, gathered, seed = total + done, gathered + more, seed + 1
    return total, gathered


def backends(folder: Path) -> dict[str, Callable[[], PoolBackend]]:
    """Returns how each backend is made for this."""
    return {"memory": MemoryPools, "sqlite": lambda: SQLitePools(folder / "pools.db")}


async def main() -> None:
    """Compares on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="memory")
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        backend = backends(Path(folder))[asked.backend]()
        total, gathered = await compare_many(backend, first=asked.first, batches=asked.batches)
        await backend.disconnect()
    print(f"{asked.backend}: {total} batches, {gathered} gatherings, no difference")  # noqa: T201 — a command


if __name__ == "__main__":
    asyncio.run(main())
