"""The service example over real HTTP: limits hold across requests, a client that goes away leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

from asyncflow import Deployment
from examples.service import app as service
from examples.service.app import LIMITS, create_app

PATIENCE = 30.0
"""Real seconds after which a test gives up; nothing waits for time to pass."""


class Api:
    """The API that reports are loaded from: it answers when the test lets it, and counts who is inside."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.most = 0
        self.cleaned = 0
        self.open = asyncio.Event()
        self.changed = asyncio.Condition()

    async def __call__(self, tenant: str, part: int) -> int:
        self.inside[tenant] += 1
        self.peak[tenant] = max(self.peak[tenant], self.inside[tenant])
        self.most = max(self.most, self.inside.total())
        try:
            async with self.changed:
                self.changed.notify_all()
            await self.open.wait()
        finally:
            self.inside[tenant] -= 1
            self.cleaned += 1
        return part

    async def entered(self, count: int) -> None:
        """Waits until so many calls are inside."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.inside.total() >= count)


class Guest(uvicorn.Server):
    """A server in the test's process: it says when it is ready, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def served(file: Path, **runs: Any) -> AsyncGenerator[tuple[httpx.AsyncClient, Api, Deployment]]:
    """Serves the app on a free port of this machine."""
    api = Api()
    prod = Deployment("reports", concurrency={**LIMITS, "runs": {**LIMITS["runs"], **runs}})
    config = uvicorn.Config(
        create_app(prod, file=file, by=api), host="127.0.0.1", port=0, log_level="error", lifespan="on"
    )
    server = Guest(config)
    with anyio.fail_after(PATIENCE):
        serving = asyncio.ensure_future(server.serve())
        await server.ready.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            try:
                yield client, api, prod
            finally:
                api.open.set()
                server.should_exit = True
        await serving


def ask(client: httpx.AsyncClient, tenant: str = "acme", parts: int = 4, **more: Any) -> asyncio.Task[httpx.Response]:
    """Posts a job, in a task of its own."""
    return asyncio.ensure_future(client.post("/jobs", json={"parts": parts, **more}, headers={"X-Tenant": tenant}))


async def eventually(true: Callable[[], bool]) -> None:
    """Waits until something is true; each look lets the loop turn."""
    while True:
        if true():
            return
        await asyncio.sleep(0.002)


async def until(prod: Deployment, queued: int, running: int) -> None:
    """Waits until so many runs are queued and running."""

    def so_many() -> bool:
        snapshot = prod.snapshot()
        return (len(snapshot.queued), len(snapshot.running)) == (queued, running)

    await eventually(so_many)


async def test_limits_hold_across_requests(tmp_path: Path) -> None:
    """Eight requests of two tenants: never more than six calls of the API at once, nor three of one tenant."""
    async with served(tmp_path / "r.db") as (client, api, prod):
        asked = [ask(client, tenant) for tenant in ("acme", "umbrella") for _ in range(4)]
        await api.entered(6)
        seen = (await client.get("/concurrency")).json()
        [pool] = [limit for limit in seen["limits"] if limit["name"] == "api"]
        assert (pool["capacity"], pool["held"], len(pool["holders"])) == (6, 6, 6)
        assert pool["waiting"]
        api.open.set()
        answers = await asyncio.gather(*asked)
        assert [answer.status_code for answer in answers] == [200] * 8
        assert {answer.json()["total"] for answer in answers} == {0 + 1 + 2 + 3}
        assert (api.most, dict(api.peak)) == (6, {"acme": 3, "umbrella": 3})
        assert prod.snapshot().running == ()


async def test_a_client_that_goes_away_cancels_its_run(tmp_path: Path) -> None:
    """Its ops are cancelled and clean up, its slots are free, and whoever waited has them."""
    async with served(tmp_path / "r.db", max_concurrent_runs=1) as (client, api, prod):
        leaving = ask(client, "acme", parts=3)
        await api.entered(3)
        staying = ask(client, "umbrella", parts=2)
        await until(prod, queued=1, running=1)
        leaving.cancel()
        await api.entered(2)
        await eventually(lambda: not api.inside["acme"])
        assert api.inside["umbrella"] == 2
        api.open.set()
        assert (await staying).json()["total"] == 1
        await until(prod, queued=0, running=0)
        assert [limit.name for limit in prod.snapshot().limits if limit.held] == []


async def test_a_client_that_goes_away_while_its_run_is_queued(tmp_path: Path) -> None:
    """It leaves the queue; nothing of it ever starts."""
    async with served(tmp_path / "r.db", max_concurrent_runs=1) as (client, api, prod):
        staying = ask(client, parts=1)
        await api.entered(1)
        leaving = ask(client, parts=1)
        await until(prod, queued=1, running=1)
        leaving.cancel()
        await until(prod, queued=0, running=1)
        api.open.set()
        assert (await staying).status_code == 200
        assert api.cleaned == 1


async def test_a_full_queue_is_429_and_tuning_lets_go(tmp_path: Path) -> None:
    """One runs, one waits, the third is refused with Retry-After; more places start the waiting one at once."""
    async with served(tmp_path / "r.db", max_concurrent_runs=1, max_queued=1) as (client, api, prod):
        first = ask(client, parts=1)
        await api.entered(1)
        second = ask(client, parts=1)
        await until(prod, queued=1, running=1)
        refused = await ask(client, parts=1)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert "is full (max_queued=1)" in refused.json()["detail"]
        wrong = await client.put("/concurrency", json={"max_concurrent_runs": -1})
        assert (wrong.status_code, "max_concurrent_runs" in wrong.json()["detail"]) == (422, True)
        assert (await client.put("/concurrency", json={"max_concurrent_runs": 2})).status_code == 200
        await api.entered(2)
        api.open.set()
        assert [(await answer).status_code for answer in (first, second)] == [200, 200]


async def test_a_job_that_waited_too_long_is_429(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a job that is queued for longer than it may: its client gets 429, not an error of the service."""
    monkeypatch.setattr(service, "WAIT_SECONDS", 0.05)
    async with served(tmp_path / "r.db", max_concurrent_runs=1) as (client, api, _):
        first = ask(client, parts=1)
        await api.entered(1)
        refused = await ask(client, parts=1)
        assert refused.status_code == 429
        assert "wait_timeout" in refused.json()["detail"]
        api.open.set()
        assert (await first).status_code == 200


async def test_started_jobs_outlive_their_request_and_end_with_the_service(tmp_path: Path) -> None:
    """Started, looked at, explained, cancelled; what still runs at shutdown is cancelled and leaves nothing."""
    async with served(tmp_path / "r.db", max_concurrent_runs=1) as (client, api, prod):
        headers = {"X-Tenant": "acme"}
        runs = [(await client.post("/jobs/start", json={"parts": 2}, headers=headers)).json()["run"] for _ in range(3)]
        await api.entered(2)
        assert (await client.get(f"/jobs/{runs[1]}")).json()["status"] == "QUEUED"
        assert "needs 1 of @max_concurrent_runs, and none is free" in (await client.get(f"/jobs/{runs[1]}/why")).text
        assert (await client.delete(f"/jobs/{runs[1]}")).json()["status"] == "CANCELED"
        assert (await client.get("/jobs/none")).status_code == 404
        await until(prod, queued=1, running=1)
    snapshot = prod.snapshot()
    assert (snapshot.queued, snapshot.running) == ((), ())
    assert [limit.name for limit in snapshot.limits if limit.held or limit.waiters] == []
