"""A program in which nothing can ever run again is told so, instead of hanging."""

import asyncio
import threading
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from asyncflow.errors import DeadlockError
from asyncflow.testing import VirtualTimeLoop, run_virtual
from asyncflow.testing.pending import SHOWN


async def wait_for_ever() -> None:
    """Waits for what nobody sets."""
    await asyncio.Event().wait()


def test_the_error_names_task_place_and_time() -> None:
    """The message says when, who, in which call and at which line of the test."""

    async def main() -> None:
        await asyncio.sleep(2.5)
        await wait_for_ever()

    with pytest.raises(DeadlockError) as caught:
        run_virtual(main)
    message = str(caught.value)
    assert "at virtual time 2.5 s: 1 task waits" in message
    assert "main waits in Event.wait at " in message
    assert f"{Path(__file__).name}:" in message
    assert len(caught.value.chain) == 1


def test_two_locks_in_opposite_order() -> None:
    """The classic: both tasks are named."""

    async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
        async with first:
            await asyncio.sleep(1)
            async with second:
                pass

    async def main() -> None:
        a, b = asyncio.Lock(), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            group.create_task(take(a, b), name="left")
            group.create_task(take(b, a), name="right")

    with pytest.raises(DeadlockError) as caught:
        run_virtual(main)
    names = [line.split(":")[0] for line in caught.value.chain]
    assert {"left", "right"} < set(names)
    assert "3 tasks wait" in str(caught.value)


def test_sleeping_for_ever_alone_is_a_deadlock() -> None:
    """anyio sleeps for ever on a timer at infinity; nothing will come of it."""
    with pytest.raises(DeadlockError, match="sleep"):
        run_virtual(anyio.sleep_forever)


def test_clean_up_runs() -> None:
    """The tasks of a dead program are cancelled, so `finally` blocks run, and may even sleep."""
    cleaned: list[float] = []

    async def main() -> None:
        try:
            await wait_for_ever()
        finally:
            await asyncio.sleep(1)
            cleaned.append(asyncio.get_running_loop().time())

    with pytest.raises(DeadlockError):
        run_virtual(main)
    assert cleaned == [1.0]


def test_many_tasks_are_counted_not_listed() -> None:
    """The message stays readable; `chain` has them all."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(wait_for_ever())

    with pytest.raises(DeadlockError) as caught:
        run_virtual(main)
    assert len(caught.value.chain) == 101
    assert f"… and {101 - SHOWN} more" in str(caught.value)
    assert str(caught.value).count("\n") == SHOWN + 2


def test_a_wait_inside_an_async_generator_is_found() -> None:
    """The place is found through generators too."""

    async def numbers():  # type: ignore[no-untyped-def]  # — the test is about its frames
        yield 1
        await wait_for_ever()

    async def main() -> None:
        async for _ in numbers():
            pass

    with pytest.raises(DeadlockError, match="main waits in"):
        run_virtual(main)


def test_the_seed_is_in_the_message() -> None:
    """Who sees the report can run the same order again."""
    with pytest.raises(DeadlockError, match="seed=77") as caught:
        run_virtual(wait_for_ever, seed=77)
    assert caught.value.__notes__ == ["virtual time: seed=77 gives this order of tasks again"]


def test_a_loop_in_another_thread_waits_to_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the main thread somebody else may always call: the loop waits, and keeps virtual time."""
    monkeypatch.setattr("asyncflow.testing.loop.LAST_CALL", 0.0)
    with start_blocking_portal(backend_options={"loop_factory": VirtualTimeLoop}) as portal:
        threading.Event().wait(0.02)
        assert portal.call(anyio.current_time) == 0.0
        portal.call(anyio.sleep, 3600)
        assert portal.call(anyio.current_time) == 3600.0


def test_runner_can_go_on_after_a_deadlock() -> None:
    """A deadlock ends one run, not the runner; what is still stuck is named again, never waited for."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        with pytest.raises(DeadlockError):
            runner.run(wait_for_ever())
        assert runner.run(asyncio.sleep(5, "slept")) == "slept"
