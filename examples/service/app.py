"""A FastAPI service under limits: ten runs at a time, pools of three, one tenant never more than its share.

    uvicorn examples.service.app:app

The deployment is opened in the lifespan. Handlers do not see the lifespan's context, and need not: it is the only one
open on this loop. A client that goes away cancels its run, wherever that stands, and everything it held is back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from asyncflow import ConfigurationError, Deployment, Run, RunRejected, RunResult, RunStatus
from examples.service.work import Load, report, slowly

LIMITS: dict[str, Any] = {
    "runs": {
        "max_concurrent_runs": 10,
        "max_queued": 100,
        "tag_concurrency_limits": [{"key": "tenant", "value": {"applyLimitPerUniqueValue": True}, "limit": 5}],
    },
    "pools": {"default_limit": 3, "limits": {"db": 1, "api": {"limit": 6, "per_key": 3}}},
}

CLIENT_CLOSED_REQUEST = 499

Tenant = Annotated[str, Header(alias="X-Tenant", min_length=1, max_length=50, pattern=r"^[\w.-]+$")]


class Job(BaseModel):
    """What a client asks for."""

    parts: int = Field(ge=1, le=1000)
    priority: int = Field(default=0, ge=-10, le=10)


class Tuning(BaseModel):
    """What may be changed while the service runs; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    max_concurrent_runs: int | None = None
    max_queued: int | None = None
    pools: dict[str, int | None] = Field(default_factory=dict)


def create_app(prod: Deployment, *, file: Path, by: Load = slowly) -> FastAPI:
    """Returns the service.

    Args:
        prod: The limits; opened and closed with the service.
        file: The SQLite file.
        by: What loads a part.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with prod:
            yield

    app = FastAPI(title="reports", lifespan=lifespan)
    add_limits(app, prod)
    add_jobs(app, prod, file, by)
    return app


WAIT_SECONDS = 30.0
"""How long a job may be queued before its client gets a 429."""


def add_jobs(app: FastAPI, prod: Deployment, file: Path, by: Load) -> None:
    """Adds what starts, shows and ends jobs."""
    started: dict[str, Run[int]] = {}

    def start(job: Job, tenant: str) -> Run[int]:
        options = report.options(
            tags={"tenant": tenant}, fair_key=tenant, priority=job.priority, wait_timeout=WAIT_SECONDS, on_full="queue"
        )
        return options.start(file, tenant, job.parts, by)

    def known(run_id: str) -> Run[int]:
        if run_id not in started:
            raise HTTPException(404, "no such job")
        return started[run_id]

    @app.exception_handler(RunRejected)
    async def refused(_: Request, error: RunRejected) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 429, {"Retry-After": "5"})

    @app.post("/jobs")
    async def run_job(job: Job, tenant: Tenant, request: Request) -> dict[str, Any]:
        """Runs a job within the request; a client that disconnects cancels it."""
        run = start(job, tenant)
        result = await result_within(request, run)
        if result.status is RunStatus.CANCELED:
            raise HTTPException(CLIENT_CLOSED_REQUEST, "cancelled")
        if result.status is RunStatus.FAILED:
            raise HTTPException(502, [str(error) for error in result.errors])
        return {"run": run.id, "total": result.output, "queued": result.queued, "waits": dict(result.waits)}

    @app.post("/jobs/start", status_code=202)
    async def start_job(job: Job, tenant: Tenant) -> dict[str, str]:
        """Starts a job that outlives the request."""
        run = start(job, tenant)
        started[run.id] = run
        return {"run": run.id, "status": run.status.value}

    @app.get("/jobs/{run_id}")
    async def look(run_id: str) -> dict[str, Any]:
        """Where a started job stands."""
        run = known(run_id)
        output = (await run.result()).output if run.status is RunStatus.SUCCEEDED else None
        return {"run": run.id, "status": run.status.value, "total": output}

    @app.delete("/jobs/{run_id}")
    async def cancel(run_id: str) -> dict[str, str]:
        """Cancels a started job; answers when everything it held is back."""
        run = known(run_id)
        await run.cancel("by a client")
        return {"run": run.id, "status": run.status.value}

    @app.get("/jobs/{run_id}/why", response_class=PlainTextResponse)
    async def why(run_id: str) -> str:
        """Why a live job does not run."""
        return str(prod.explain(run_id))


def add_limits(app: FastAPI, prod: Deployment) -> None:
    """Adds what shows and changes limits."""

    @app.exception_handler(ConfigurationError)
    async def wrong(_: Request, error: ConfigurationError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.get("/concurrency")
    async def concurrency() -> dict[str, Any]:
        """Every limit with its holders and waiters, and every live run."""
        return shown(prod)

    @app.put("/concurrency")
    async def tune(tuning: Tuning) -> dict[str, Any]:
        """Changes limits while runs wait and run: all of it, or none."""
        await prod.tune(**tuning.model_dump(exclude_unset=True))
        return shown(prod)


@asynccontextmanager
async def cancelled_with(request: Request, run: Run[int]) -> AsyncGenerator[None]:
    """Cancels a run when the client of a request goes away before the block ends."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        await run.cancel("the client is gone")

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def result_within(request: Request, run: Run[int]) -> RunResult[int]:
    """Returns what a run gave, within the request of its client.

    Raises:
        RunRejected: where it waited too long; outside of the task group, which would wrap it in an ExceptionGroup.
    """
    rejected: RunRejected | None = None
    async with cancelled_with(request, run):
        try:
            return await run.result()
        except RunRejected as error:
            rejected = error
    raise rejected


def shown(prod: Deployment) -> dict[str, Any]:
    """Returns a snapshot as JSON."""
    snapshot = prod.snapshot()
    return {
        "limits": [
            {
                "name": limit.name,
                "capacity": limit.capacity,
                "held": limit.held,
                "holders": [str(holder.owner) for holder in limit.holders],
                "waiting": [str(waiter.owner) for waiter in limit.waiters],
            }
            for limit in snapshot.limits
        ],
        "queued": [{"run": run.run_id, "tags": dict(run.tags), "priority": run.priority} for run in snapshot.queued],
        "running": [{"run": run.run_id, "tags": dict(run.tags), "ops": run.running} for run in snapshot.running],
    }


app = create_app(Deployment("reports", concurrency=LIMITS), file=Path("reports.db"))
