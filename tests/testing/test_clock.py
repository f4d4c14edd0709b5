"""The clock of the virtual loop: where it starts, when it jumps, and how exact it is."""

import asyncio
import math
import sys
from decimal import Decimal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.testing import VirtualTimeLoop, run_virtual


async def sleep_all(*delays: float) -> float:
    """Sleeps one after the other; returns the time."""
    for delay in delays:
        await asyncio.sleep(delay)
    return asyncio.get_running_loop().time()


def test_time_starts_at_zero_under_every_way_to_run() -> None:
    """`run_virtual`, `anyio.run` and `asyncio.Runner` all begin at 0 and jump."""
    options = {"loop_factory": VirtualTimeLoop}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.get_loop().time() == 0.0
        assert runner.run(sleep_all(3600)) == 3600.0
        assert runner.run(sleep_all(3600)) == 7200.0
    assert anyio.run(sleep_all, 3600, backend_options=options) == 3600.0
    assert run_virtual(sleep_all, 3600) == 3600.0


def test_ten_sleeps_under_three_slots_take_four_seconds() -> None:
    """The arithmetic of limits is visible in virtual time: ten times 1 s, three at once, is 4 s."""

    async def work(limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            await anyio.sleep(1)

    async def main() -> float:
        limiter = anyio.CapacityLimiter(3)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work, limiter)
        return anyio.current_time()

    assert run_virtual(main) == 4.0


@pytest.mark.parametrize(
    ("count", "delay", "end"), [(10, 0.1, 1.0), (1000, 0.1, 100.0), (3, 1e-9, 3e-9), (7, 1 / 3, 2.333333331)]
)
def test_time_does_not_drift(count: int, delay: float, end: float) -> None:
    """Many small sleeps end where their sum is, not beside it."""
    assert run_virtual(sleep_all, *[delay] * count) == end


@given(st.lists(st.integers(0, 10**12), max_size=30))
def test_whole_nanoseconds_add_up_exactly(nanoseconds: list[int]) -> None:
    """Any sleeps of whole nanoseconds end at the float nearest to their decimal sum."""
    delays = [float(Decimal(n) / 10**9) for n in nanoseconds]
    assert run_virtual(sleep_all, *delays) == float(Decimal(sum(nanoseconds)) / 10**9)


@given(st.lists(st.floats(0, 1e9), max_size=10))
def test_cancel_scopes_end_at_their_deadlines(delays: list[float]) -> None:
    """A scope whose deadline lies off the grid ends too, at its deadline, within a nanosecond."""

    async def main() -> None:
        for delay in delays:
            deadline = anyio.current_time() + delay
            with anyio.move_on_after(delay):
                await anyio.sleep_forever()
            assert anyio.current_time() >= deadline
            assert anyio.current_time() == pytest.approx(deadline, rel=1e-15, abs=1e-9)

    run_virtual(main)


def test_a_deadline_between_two_floats_of_the_grid_is_reached() -> None:
    """0.1 + 0.2 lies one float after 0.3: the timer rounded to 0.3 finds itself early, and must still end."""

    async def main() -> float:
        await asyncio.sleep(0.1)
        with anyio.move_on_after(0.2):
            await anyio.sleep_forever()
        await asyncio.sleep(0.1)
        return anyio.current_time()

    assert run_virtual(main) == 0.4


def test_delays_below_the_grid_pass() -> None:
    """A picosecond is kept as asked, since rounding would put it into the past."""
    assert run_virtual(sleep_all, 1e-12) == 1e-12


@pytest.mark.parametrize("far", [1e7, 1e9, 2.0**53, 1e18])
def test_time_passes_far_from_zero(far: float) -> None:
    """Where a nanosecond is smaller than the step of floats, timers still fire, and time never goes back."""
    assert run_virtual(sleep_all, far, 0.1, 0.1, 5000) >= far + 5000


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set() -> None:
    """Who slept first wakes first."""

    async def main() -> list[int]:
        woken: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(100):
            loop.call_at(5.0, woken.append, number)
            loop.call_later(1 + (number % 7), lambda: None)
        await asyncio.sleep(5)
        await asyncio.sleep(0)
        return woken

    assert run_virtual(main) == list(range(100))


def test_all_that_is_due_at_one_instant_runs_in_one_turn() -> None:
    """0.1 + 0.2 and 0.3 are one instant."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        await asyncio.sleep(0.1)
        loop.call_later(0.2, lambda: times.append(loop.time()))
        loop.call_at(0.3, lambda: times.append(loop.time()))
        await asyncio.sleep(0.2)
        return times

    assert run_virtual(main) == [0.3, 0.3]


def test_what_is_ready_runs_before_time_moves() -> None:
    """A long chain of ready callbacks takes no time, whatever timer is set."""

    async def main() -> float:
        asyncio.get_running_loop().call_later(1e-9, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 0.0


def test_a_cancelled_timer_moves_nothing() -> None:
    """A timeout that was not needed leaves the clock alone."""

    async def main() -> float:
        async with asyncio.timeout(100):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 2.0


def test_timeouts_fire() -> None:
    """`asyncio.timeout` and `anyio.fail_after` raise at their time."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError), anyio.fail_after(50):
            await anyio.sleep_forever()
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 150.0


def test_a_timer_in_the_past_fires_now() -> None:
    """Time never goes back."""

    async def main() -> float:
        await asyncio.sleep(10)
        fired = asyncio.Event()
        asyncio.get_running_loop().call_at(3, fired.set)
        await fired.wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 10.0


def test_sleeps_longer_than_asyncio_waits_at_once_are_one_jump() -> None:
    """asyncio caps one wait at a day; the clock does not."""
    year = 365 * 86400.0
    assert run_virtual(sleep_all, year) == year


@pytest.mark.parametrize("when", [None, "soon"])
def test_a_timer_needs_a_number(when: object) -> None:
    """What asyncio refuses, this loop refuses."""

    async def main() -> None:
        asyncio.get_running_loop().call_at(when, print)  # type: ignore[arg-type]  # — the wrong type on purpose

    with pytest.raises(TypeError):
        run_virtual(main)


def test_debug_mode_works() -> None:
    """asyncio's debug mode runs, and virtual time makes no callback look slow."""
    assert run_virtual(sleep_all, 10, 20, debug=True) == 30.0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_work() -> None:
    """Tasks that start at once keep time too, in any order of tasks."""

    async def main() -> float:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with asyncio.TaskGroup() as group:
            for delay in range(5):
                group.create_task(asyncio.sleep(delay))
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 4.0
    assert run_virtual(main, seed=1) == 4.0


def test_the_loop_shows_its_state() -> None:
    """`repr` is a state line."""
    loop = VirtualTimeLoop(seed=3)
    try:
        loop.run_until_complete(asyncio.sleep(1.5))
        assert repr(loop) == "<VirtualTimeLoop t=1.5 running=False closed=False seed=3>"
    finally:
        loop.close()


def test_an_infinite_timer_is_never_due() -> None:
    """A timer at infinity neither fires nor moves the clock, while others do."""

    async def main() -> tuple[float, bool]:
        fired = False

        def fire() -> None:
            nonlocal fired
            fired = True

        asyncio.get_running_loop().call_later(math.inf, fire)
        await asyncio.sleep(1e6)
        return asyncio.get_running_loop().time(), fired

    assert run_virtual(main) == (1e6, False)
