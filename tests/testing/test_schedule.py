"""A seed gives another order of the tasks that are ready together, and gives it again."""

import asyncio
import itertools

import anyio
import pytest

from asyncflow.testing import run_virtual


async def order_of_three(start_at: float = 0.0) -> tuple[int, ...]:
    """Returns the order in which three tasks take their step."""
    order: list[int] = []

    async def step(number: int) -> None:
        if start_at:
            await asyncio.sleep(start_at)
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(step, number)
    return tuple(order)


@pytest.mark.parametrize("start_at", [0.0, 1.0])
def test_seeds_reach_every_order(start_at: float) -> None:
    """Tasks ready together, because they are new or because they woke at one instant, run in all six orders."""
    orders = {run_virtual(order_of_three, start_at, seed=seed) for seed in range(100)}
    assert orders == set(itertools.permutations(range(3)))


def test_a_seed_gives_the_same_order_again() -> None:
    """Every seed is a schedule, not a hope."""
    once = [run_virtual(order_of_three, 1.0, seed=seed) for seed in range(30)]
    again = [run_virtual(order_of_three, 1.0, seed=seed) for seed in range(30)]
    assert once == again


def test_without_a_seed_the_order_is_asyncios() -> None:
    """First come, first run."""
    assert {run_virtual(order_of_three, 1.0) for _ in range(5)} == {(0, 1, 2)}


def test_plain_callbacks_keep_their_order() -> None:
    """`call_soon` promises first in, first out, and transports rely on it: only tasks change places."""

    async def main() -> list[int]:
        order: list[int] = []
        for number in range(50):
            asyncio.get_running_loop().call_soon(order.append, number)
        for _ in range(3):
            await asyncio.sleep(0)
        return order

    for seed in range(20):
        assert run_virtual(main, seed=seed) == list(range(50))


def test_a_planted_race_is_found_and_its_seed_is_told() -> None:
    """A task that relies on going first fails under some seed, and the failure says under which."""

    async def main() -> None:
        box: list[str] = []

        async def put() -> None:
            box.append("value")

        async def take() -> None:
            assert box == ["value"]

        async with asyncio.TaskGroup() as group:
            group.create_task(put())
            group.create_task(take())

    run_virtual(main)
    failures: dict[int, BaseException] = {}
    for seed in range(20):
        try:
            run_virtual(main, seed=seed)
        except ExceptionGroup as error:
            failures[seed] = error
    assert failures
    for seed, error in failures.items():
        assert error.__notes__ == [f"virtual time: seed={seed} gives this order of tasks again"]


def test_time_is_the_same_in_every_order() -> None:
    """The order of tasks does not touch the clock."""

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(asyncio.sleep(0.1 * number))
        return asyncio.get_running_loop().time()

    assert {run_virtual(main, seed=seed) for seed in range(20)} == {1.9}
