"""Ops that run in worker processes. Real processes, so real time; nothing waits for longer than a process needs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from asyncflow import (
    ConfigurationError,
    Deployment,
    Event,
    OpEmitted,
    OpProgress,
    OpStatus,
    RunFailed,
    RunStatus,
    TransferError,
    WorkerDiedError,
    WorkerRaisedError,
    each,
    graph,
    op,
)
from asyncflow.testing import run_virtual
from tests._workers import functions as f


def gone(pid: int) -> bool:
    """Says whether a process is no more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(is_so: Callable[[], bool]) -> None:
    """Waits for something outside."""
    with anyio.fail_after(30):
        while not is_so():  # noqa: ASYNC110 — another process is waited for
            await anyio.sleep(0.01)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Runs a test on a loop of its own."""
    return asyncio.run(main())  # type: ignore[arg-type]  # a coroutine function


def test_a_process_op_runs_elsewhere_and_leaves_no_process() -> None:
    """Given ops outside an open deployment: other processes call them, and are gone when the run is."""

    @graph
    def flow() -> list[int]:
        return [f.square(3), *[f.whoami(n) for n in range(3)]]

    async def main() -> list[int]:
        return await flow.run()

    nine, *pids = run(main)
    assert nine == 9
    assert os.getpid() not in pids
    assert all(gone(pid) for pid in pids)


def test_workers_are_used_again_and_end_with_their_deployment() -> None:
    """Given an open deployment with one process: all ops are in the same worker, which ends with it."""

    @graph
    def flow() -> list[int]:
        return each(f.whoami, range(5))

    async def main() -> int:
        async with Deployment("d", processes=1) as prod:
            pids = {*await flow.on(prod).run(), *await flow.on(prod).run()}
            [pid] = pids
            assert not gone(pid)
            assert {limit.name: limit.capacity for limit in prod.snapshot().limits}["@processes"] == 1
        return pid

    assert gone(run(main))


def test_processes_are_a_limit_of_the_core(tmp_path: Path) -> None:
    """Given one process and two ops: the second is BLOCKED by `@processes`, and explain says so."""

    @graph
    def flow() -> list[str]:
        return [f.marked.options(name=name)(str(tmp_path / name), 1.0) for name in "ab"]

    async def main() -> None:
        async with Deployment("d", processes=1) as prod:
            started = flow.on(prod).start()
            await until((tmp_path / "a").exists)
            assert "@processes" in str(prod.explain(started.id, "b"))
            assert not (tmp_path / "b").exists()
            result = await started.result()
            assert result.status is RunStatus.SUCCEEDED
            assert result.ops["b"].waits["@processes"] >= 0.9

    run(main)


@pytest.mark.parametrize("how", ["cancel", "timeout", "fail_fast"])
def test_a_cancelled_op_ends_its_process_and_frees_its_slot(how: str, tmp_path: Path) -> None:
    """Given an op that works for a minute: cancelled, its process is gone at once, and the next op runs."""
    file = tmp_path / "mark"

    async def main() -> None:
        async with Deployment("d", processes=1, concurrency={"pools": {"limits": {"cpu": 1}}}) as prod:
            await f.square.on(prod).run(1)  # the worker is there: the time of an attempt counts its start
            if how == "timeout":
                result = await f.too_long.on(prod).try_run(str(file))
                assert result.status is RunStatus.FAILED
                assert result.ops["too_long"].status is OpStatus.FAILED
            elif how == "cancel":
                started = f.marked.on(prod).start(str(file), 60)
                await until(lambda: file.exists() and file.read_text() != "")
                await started.cancel("enough")
                assert (await started.result()).status is RunStatus.CANCELED
            else:

                @op
                async def fails() -> None:
                    await until(lambda: file.exists() and file.read_text() != "")
                    raise ValueError("stop")

                @graph(on_error="fail_fast")
                def flow() -> list[Any]:
                    return [f.marked(str(file), 60), fails()]

                assert (await flow.on(prod).try_run()).status is RunStatus.FAILED
            assert gone(int(file.read_text()))
            assert all(limit.held == 0 for limit in prod.snapshot().limits)
            assert await f.square.on(prod).run(4) == 16

    run(main)


def test_a_worker_that_is_killed_fails_only_its_op() -> None:
    """Given a worker that dies by SIGKILL: WorkerDiedError names the signal; the other ops and the next run go on."""

    @graph
    def flow() -> list[Any]:
        return [f.killed(1), *[f.square(n) for n in range(4)]]

    async def main() -> None:
        async with Deployment("d", processes=2) as prod:
            result = await flow.on(prod).try_run()
            [error] = result.errors
            assert isinstance(error, WorkerDiedError)
            assert error.exit_code == -signal.SIGKILL
            assert "was killed by SIGKILL" in str(error)
            assert [key for key, one in result.ops.items() if one.status is not OpStatus.SUCCEEDED] == ["killed"]
            assert all(limit.held == 0 for limit in prod.snapshot().limits)
            assert await f.square.on(prod).run(5) == 25

    run(main)


def test_a_worker_that_leaks_memory_to_death_takes_nothing_with_it() -> None:
    """Given a function that takes all memory it may have and aborts: its op fails; the service goes on."""

    async def main() -> None:
        async with Deployment("d", processes=1) as prod:
            with pytest.raises(WorkerDiedError, match="SIGABRT"):
                await f.leaks.on(prod).run(1 << 30)
            assert await f.square.on(prod).run(5) == 25

    run(main)


def test_sys_exit_ends_the_worker_and_not_the_run() -> None:
    """Given `sys.exit(3)` in a worker: the op fails and names the exit code."""

    async def main() -> None:
        with pytest.raises(WorkerDiedError, match="exit code 3") as caught:
            await f.left.run(3)
        assert caught.value.exit_code == 3

    run(main)


def test_an_idle_worker_that_died_is_replaced() -> None:
    """Given a worker killed while it had nothing to do: the next op gets another one, and nobody is told."""

    async def main() -> None:
        async with Deployment("d", processes=1) as prod:
            pid = await f.whoami.on(prod).run(0)
            os.kill(pid, signal.SIGKILL)
            await anyio.sleep(0.05)
            other = await f.whoami.on(prod).run(0)
            assert other != pid

    run(main)


def test_a_worker_that_died_is_tried_again(tmp_path: Path) -> None:
    """Given retries: dying is a failure like others."""

    async def main() -> None:
        result = await f.killed_once.try_run(str(tmp_path / "file"))
        assert result.output == "tried"
        assert result.ops["killed_once"].attempts == 2

    run(main)


def test_exceptions_come_with_their_causes_and_the_traceback() -> None:
    """Given a function that raises from another error: class, text, cause and where it was are there."""

    async def main() -> None:
        with pytest.raises(ValueError, match="plain") as caught:
            await f.raises.run("plain")
        assert isinstance(caught.value.__cause__, KeyError)
        notes = "\n".join(caught.value.__notes__)
        assert "in worker process" in notes
        assert "functions.py" in notes
        with pytest.raises(WorkerRaisedError, match=r"functions\.OddError: 1 and 2"):
            await f.raises.run("odd")
        with pytest.raises(WorkerRaisedError, match="ValueError"):
            await f.raises.run("lambda")

    run(main)


def test_what_cannot_be_sent_is_named_and_disturbs_no_worker() -> None:
    """Given a lambda as argument, and as result: TransferError names op, parameter and type; the worker stays."""

    @graph
    def flow() -> int:
        return f.whoami(given())

    @op
    async def given() -> Any:
        return lambda: 1

    async def main() -> None:
        async with Deployment("d", processes=1) as prod:
            before = await f.whoami.on(prod).run(0)
            with pytest.raises(RunFailed) as caught:
                await flow.on(prod).run()
            [error] = caught.value.exceptions
            assert isinstance(error, TransferError)
            assert "flow/whoami runs in a worker process, and its argument 'x', of type function" in str(error)
            with pytest.raises(TransferError, match="of type function, cannot be sent back"):
                await f.gives.on(prod).run("lambda")
            with pytest.raises(TransferError, match="of type TextIOWrapper"):
                await f.gives.on(prod).run("open")
            assert len(await f.gives.on(prod).run("big")) == 8 << 20
            assert await f.whoami.on(prod).run(b"x" * (8 << 20)) == before

    run(main)


def test_context_structlog_and_named_variables_are_there() -> None:
    """Given a structlog context, and one of two context variables named: all but the other are there; events too."""
    events: list[Event] = []

    @graph(tags={"team": "a"})
    def flow() -> list[dict[str, Any]]:
        return each(lambda_free, ["k"])

    @graph
    def lambda_free(key: str) -> dict[str, Any]:
        return f.about.options(tags={"kind": "cpu"})()

    async def main() -> dict[str, Any]:
        f.REQUEST.set("r-1")
        f.OTHER.set("not named")
        with structlog.contextvars.bound_contextvars(user="u-1", odd=main):
            async with Deployment("d", carry=["tests._workers.functions:REQUEST"]) as prod:
                prod.subscribe(events.append)
                [found] = await flow.on(prod).run()
        return found

    found = run(main)
    assert found.pop("run_id")
    assert found["structlog"].pop("odd").startswith("<function")
    assert found == {
        "key": "lambda_free[0]/about",
        "attempt": 1,
        "map_key": "0",
        "tags": {"kind": "cpu"},
        "run_tags": {"team": "a", "asyncflow/graph": "flow"},
        "request": "r-1",
        "other": "",
        "structlog": {"user": "u-1"},
    }
    told = [event for event in events if isinstance(event, (OpProgress, OpEmitted))]
    assert [(type(event), event.key) for event in told] == [
        (OpProgress, "lambda_free[0]/about"),
        (OpEmitted, "lambda_free[0]/about"),
    ]


def test_all_context_variables_are_there_on_threads() -> None:
    """Given a context variable: an op on a thread sees it."""

    @op
    def seen() -> str:
        return f.OTHER.get("")

    async def main() -> str:
        f.OTHER.set("there")
        return await seen.run()

    assert run(main) == "there"


def test_resources_methods_and_functions_that_became_ops() -> None:
    """Given a resource that can be pickled, a method, a plain function made an op: all work."""

    async def main() -> None:
        assert await f.with_resource.run(1) == 8
        assert await f.Model(3).scaled.run(4) == 12
        assert await f.made.run(1) == 2

    run(main)


def test_nothing_else_runs_in_a_worker() -> None:
    """Given a function that runs an op, or releases slots, in its worker: refused with what to do instead."""

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="what it would run there were under none of the limits"):
            await f.runs_more.run()
        with pytest.raises(ConfigurationError, match="cannot give back slots of 'cpu'; split the op in two"):
            await f.releases.run()

    run(main)


def test_virtual_time_stands_still_meanwhile(tmp_path: Path) -> None:
    """Given virtual time: a process op takes none, and an idle worker does not stop the clock."""

    @op
    async def nap() -> float:
        await anyio.sleep(1000)
        return anyio.current_time()

    @graph
    def flow() -> list[Any]:
        first = f.marked(str(tmp_path / "a"), 0.3)
        return [first, nap.after(first)()]

    assert run_virtual(flow.run)[1] == 1000


def local() -> None:
    @op(runs_in="process")
    def inner() -> None: ...


async def asynchronous() -> None: ...


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (local, "inner, which is made inside another function, and worker processes import functions by name"),
        (lambda: op(runs_in="process")(asynchronous), "an async def, which runs on the event loop; leave runs_in out"),
        (lambda: op(runs_in="fork")(f.plain), "must be 'thread', 'process', or an object with"),
        (lambda: Deployment("d", processes=-1), "processes must not be negative"),
        (lambda: Deployment("d", carry="a:b"), "carry must be a list of 'package.module:NAME'"),
        (lambda: Deployment("d", carry=["a"]), "carry must name context variables as 'package.module:NAME'"),
    ],
    ids=["local", "async", "word", "processes", "text", "name"],
)
def test_what_is_refused_at_once(wrong: Callable[[], object], problem: str) -> None:
    """Given something that can never work: refused where it is written."""
    with pytest.raises(ConfigurationError) as caught:
        wrong()
    assert problem in str(caught.value)


def test_a_variable_that_is_not_there_is_refused_when_it_is_needed() -> None:
    """Given `carry` with a wrong name: the op fails with the name."""

    async def main() -> None:
        async with Deployment("d", carry=["tests._workers.functions:NOTHING"]) as prod:
            with pytest.raises(ConfigurationError, match=r"carry: 'tests\._workers\.functions:NOTHING' is not there"):
                await f.square.on(prod).run(1)

    run(main)
