"""While something outside the loop works, time stands still. Real threads, processes, sockets; few milliseconds."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import anyio
import anyio.to_process
import pytest

from asyncflow.errors import DeadlockError
from asyncflow.testing import VirtualTimeLoop, run_virtual

BRIEFLY = 0.02
"""Real seconds: long enough for a wrong loop to jump a thousand times."""

Handover = Callable[[Callable[[], object]], "asyncio.Future[object]"]


async def by_asyncio(work: Callable[[], object]) -> object:
    """Runs work on asyncio's default threads."""
    return await asyncio.to_thread(work)


async def by_executor(work: Callable[[], object]) -> object:
    """Runs work on an executor of the caller."""
    with ThreadPoolExecutor(1) as threads:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


async def by_anyio(work: Callable[[], object]) -> object:
    """Runs work on anyio's threads."""
    return await anyio.to_thread.run_sync(work)


@pytest.fixture
def no_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives threads that nothing is known about no time at all."""
    monkeypatch.setattr("asyncflow.testing.loop.LAST_CALL", 0.0)


ways = pytest.mark.parametrize("hand_over", [by_asyncio, by_executor, by_anyio])


@ways
@pytest.mark.parametrize("seed", [None, 1])
def test_time_stands_still_while_a_thread_works(hand_over, seed: int | None) -> None:
    """Timers that are due wait for the thread; when it ends, its answer comes before them."""

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        happened: list[object] = []

        def work() -> float:
            threading.Event().wait(BRIEFLY)
            return loop.time()

        async def tick() -> None:
            await asyncio.sleep(1)
            happened.append("tick")

        async with asyncio.TaskGroup() as group:
            group.create_task(tick())
            await asyncio.sleep(0.5)
            happened.append(await hand_over(work))
            happened.append(loop.time())
        return happened

    assert run_virtual(main, seed=seed) == [0.5, 0.5, "tick"]


@ways
def test_a_thread_that_asks_the_loop_to_sleep_does_not_stop_time(hand_over) -> None:
    """The thread waits for the loop there, so time must pass, or both would wait for ever."""

    async def main() -> float:
        loop = asyncio.get_running_loop()

        def work() -> None:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop).result()

        await hand_over(work)
        return loop.time()

    assert run_virtual(main) == 3600.0


def test_from_thread_run_keeps_time() -> None:
    """anyio's way back into the loop: sleeps, and plain calls."""

    async def main() -> tuple[float, float]:
        def work() -> float:
            anyio.from_thread.run(anyio.sleep, 10)
            anyio.from_thread.run(anyio.sleep, 10)
            return anyio.from_thread.run_sync(anyio.current_time)

        return await anyio.to_thread.run_sync(work), anyio.current_time()

    assert run_virtual(main) == (20.0, 20.0)


def test_one_thread_waiting_does_not_hide_another_working() -> None:
    """A thread that waits for a sleep, and one that works: time stands still until the second is done."""

    async def main() -> list[str]:
        happened: list[str] = []
        asked = threading.Event()

        def ask() -> None:
            coroutine = asyncio.run_coroutine_threadsafe(asyncio.sleep(5), loop)
            asked.set()
            coroutine.result()
            happened.append("asked")

        def work() -> None:
            asked.wait()
            threading.Event().wait(BRIEFLY)
            happened.append("worked")

        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.to_thread(ask), asyncio.to_thread(work))
        return happened

    assert run_virtual(main) == ["worked", "asked"]


@pytest.mark.parametrize("abandon", [True, False])
def test_a_thread_nobody_waits_for_any_more_still_counts(abandon: bool) -> None:
    """Cancelling the wait does not end the work: time stands still until the thread is done."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        started, ended = asyncio.Event(), []

        def work() -> None:
            loop.call_soon_threadsafe(started.set)
            threading.Event().wait(BRIEFLY)
            ended.append(loop.time())

        async with anyio.create_task_group() as group:
            if abandon:
                group.start_soon(partial(anyio.to_thread.run_sync, work, abandon_on_cancel=True))
            else:
                group.start_soon(asyncio.to_thread, work)
            await started.wait()
            group.cancel_scope.cancel()
        await asyncio.sleep(100)
        return ended[0]

    assert run_virtual(main) == 0.0


def test_a_thread_left_working_at_the_end_is_waited_for() -> None:
    """Closing the loop joins the default threads in real time; its virtual timeout does not end the wait at once."""
    ended: list[bool] = []

    async def main() -> None:
        def work() -> None:
            threading.Event().wait(BRIEFLY)
            ended.append(True)

        asyncio.get_running_loop().run_in_executor(None, work)

    run_virtual(main)
    assert ended == [True]


@pytest.mark.slow
def test_time_stands_still_while_a_pool_of_processes_works() -> None:
    """A call in a process pool counts from submission to answer."""

    async def main() -> tuple[int, float]:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            answer = await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(processes, sum, [1, 2]), 1)
        return answer, asyncio.get_running_loop().time()

    assert run_virtual(main) == (3, 0.0)


@pytest.mark.slow
def test_anyios_worker_processes_count_only_while_they_work() -> None:
    """The pool stays alive between calls; then time passes."""

    async def main() -> tuple[int, float, float]:
        answer = await anyio.to_process.run_sync(sum, [1, 2])
        before = anyio.current_time()
        await anyio.sleep(3600)
        return answer, before, anyio.current_time()

    assert run_virtual(main) == (3, 0.0, 3600.0)


@pytest.mark.slow
def test_idle_worker_processes_of_anyio_can_not_wake_anybody() -> None:
    """Their pipes stay open; a program that waits for nothing else is dead all the same."""

    async def main() -> None:
        await anyio.to_process.run_sync(sum, [1, 2])
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main)


def test_time_stands_still_while_a_subprocess_lives() -> None:
    """A timeout around a subprocess does not fire while it works; its output arrives whole."""

    async def main() -> tuple[bytes, float]:
        with anyio.fail_after(1):
            done = await anyio.run_process([sys.executable, "-c", "print('done')"])
        shell = await asyncio.create_subprocess_shell("exit 3")
        assert await asyncio.wait_for(shell.wait(), 1) == 3
        return done.stdout.strip(), anyio.current_time()

    assert run_virtual(main) == (b"done", 0.0)


def test_hold_stands_for_work_the_loop_cannot_see() -> None:
    """A thread of one's own, declared: its call arrives before the timer."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        called = asyncio.Event()
        loop.call_later(1, called.set)
        timer = threading.Timer(BRIEFLY, loop.call_soon_threadsafe, [called.set])
        with loop.hold():
            timer.start()
            await called.wait()
        timer.join()
        return loop.time()

    assert run_virtual(main) == 0.0


def test_an_unknown_thread_is_given_a_last_call() -> None:
    """Without any timer a thread that nothing is known about may still call; it is no deadlock."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        timer = threading.Timer(BRIEFLY, loop.call_soon_threadsafe, [called.set])
        timer.start()
        await called.wait()
        timer.join()
        return loop.time()

    assert run_virtual(main) == 0.0


def test_a_server_and_a_client_on_one_loop() -> None:
    """Sockets between two tasks work, with sleeps in between."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(10)
            writer.write(line.upper())
        writer.close()
        await writer.wait_closed()

    async def main() -> tuple[list[bytes], float]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answers = []
            for line in (b"a\n", b"b\n", b"c\n"):
                writer.write(line)
                answers.append(await reader.readline())
            writer.close()
            await writer.wait_closed()
        return answers, asyncio.get_running_loop().time()

    assert run_virtual(main) == ([b"A\n", b"B\n", b"C\n"], 30.0)


@pytest.mark.usefixtures("no_last_call")
@pytest.mark.parametrize("timeout", [3600, None])
def test_a_socket_is_waited_for_in_real_time(timeout: float | None) -> None:
    """An answer that is on its way comes before the timeout; without a timer it is no deadlock."""

    async def main() -> tuple[bytes, float]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            timer = threading.Timer(BRIEFLY, theirs.send, [b"x"])
            timer.start()
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1), timeout)
            timer.join()
        return answer, asyncio.get_running_loop().time()

    patient = partial(VirtualTimeLoop, patience=30)
    assert anyio.run(main, backend_options={"loop_factory": patient}) == (b"x", 0.0)


def test_a_silent_socket_does_not_stop_time() -> None:
    """An open connection may never say anything: after a moment the clock jumps."""

    async def main() -> float:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1), 3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 3600.0


@pytest.mark.usefixtures("no_last_call")
def test_a_loop_that_handles_signals_is_not_dead() -> None:
    """Without a timer the loop waits for the signal."""

    async def main() -> str:
        with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
            timer = threading.Timer(BRIEFLY, os.kill, [os.getpid(), signal.SIGUSR1])
            timer.start()
            async for number in signals:
                timer.join()
                return number.name
        return "none"

    assert run_virtual(main) == "SIGUSR1"


def test_ctrl_c_ends_the_run_while_a_thread_works() -> None:
    """SIGINT reaches the main task while the loop really waits."""
    seen: list[str] = []
    release = threading.Event()

    async def main() -> None:
        def work() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            release.wait(10)

        try:
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except asyncio.CancelledError:
            seen.append("cancelled")
            release.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main)
    assert seen == ["cancelled"]


def test_ctrl_c_ends_a_run_of_timers() -> None:
    """SIGINT reaches a loop that jumps from timer to timer without end."""

    async def main() -> None:
        while True:
            await asyncio.sleep(1)
            if asyncio.get_running_loop().time() == 1000:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main)
