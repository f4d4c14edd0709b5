"""What was wired runs: every construct, from the user's line to the value."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from asyncflow import Deployment, OpStatus, Outcome, RunFailed, apply, each, graph, op, when


@op
async def double(n: int) -> int:
    return 2 * n


@op
def add(a: int, b: int = 1) -> int:
    return a + b


@op
async def upto(n: int) -> list[int]:
    return list(range(n))


@op
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@op
async def halves(n: int) -> tuple[int, int]:
    return n // 2, n - n // 2


@op
async def odd_fails(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


@op
async def show(*things: Any, **named: Any) -> Any:
    return things, named


def ran(main: Any, *args: Any) -> Any:
    return asyncio.run(main.run(*args))


def test_straight_lines_and_expressions() -> None:
    """Calls, keywords, defaults, operators, attributes, items, unpacking."""

    @graph
    def main(n: int) -> Any:
        low, high = halves(add(n, b=4))
        return {"sum": low + high, "more": [low * 2 > high, (n, -low)], "real": (7 - high).real, "bits": low.bit_length}

    found = ran(main, 5)
    assert (found["sum"], found["more"], found["real"], found["bits"]()) == (9, [True, (5, -4)], 2, 3)


def test_maps() -> None:
    """Real lists, promised lists, chains, graphs, captured results, nested maps."""

    @graph
    def inner(n: int, extra: int) -> int:
        return total(each(add, upto(n), extra))

    @graph
    def main(numbers: list[int]) -> Any:
        extra = double(5)
        return [
            each(add, each(double, numbers)),
            each(add, each(double, upto(3)), b=extra),
            each(inner, numbers, extra),
            each(inner, upto(3), extra),
            each(add, []),
        ]

    assert ran(main, [1, 2]) == [[3, 5], [10, 12, 14], [10, 21], [0, 10, 21], []]


def test_branches() -> None:
    """The branch not taken is skipped; expressions in it are not computed."""

    @graph
    def main(n: int) -> Any:
        big = double(n)
        return when(big > 5, lambda: add(big), lambda: big / (n - n + 0.5) if n else 1 / (big - big))

    assert ran(main, 3) == 7
    assert ran(main, 1) == 4.0

    async def statuses() -> dict[str, OpStatus]:
        result = await main.try_run(3)
        return {key: record.status for key, record in result.ops.items()}

    assert asyncio.run(statuses()) == {"double": OpStatus.SUCCEEDED, "add": OpStatus.SUCCEEDED}


def test_branches_inside_maps() -> None:
    """Per item, real or promised."""

    @graph
    def choose(n: int) -> int:
        return when(n > 1, lambda: double(n), lambda: when(n == 0, lambda: 100, lambda: add(n)))

    @graph
    def main() -> Any:
        return [each(choose, upto(4)), each(choose, [double(0), double(1)])]

    assert ran(main) == [[100, 2, 4, 6], [100, 4]]


def test_settled_calls() -> None:
    """A tolerated failure is a value, for ops, graphs and items."""

    @graph
    def risky(n: int) -> int:
        return add(odd_fails(n))

    @graph
    def main() -> Any:
        one = odd_fails.settled(1)
        return [one, each(odd_fails.settled, upto(2)), each(risky.settled, [2, 3]), one.ok | risky.settled(4).ok]

    one, real, graphs, either = ran(main)
    assert (one.status, str(one.error), one.value) == (OpStatus.FAILED, "1 is odd", None)
    assert [outcome.status for outcome in real] == [OpStatus.SUCCEEDED, OpStatus.FAILED]
    assert [(type(outcome), outcome.status, outcome.value) for outcome in graphs] == [
        (Outcome, OpStatus.SUCCEEDED, 3),
        (Outcome, OpStatus.FAILED, None),
    ]
    assert either is True


def test_a_failure_names_its_key() -> None:
    """What an op, a step or an expression raises comes with its key."""

    @graph
    def sub(n: int) -> int:
        return odd_fails(n)

    @graph
    def main(n: int) -> Any:
        return [each(sub, [n]), apply(int, "x"), double(n) / 0]

    with pytest.raises(RunFailed) as caught:
        ran(main, 1)
    assert {key for key in ("sub[0]/odd_fails", "int", "(truediv)") if key in str(caught.value)} == {
        "sub[0]/odd_fails",
        "int",
        "(truediv)",
    }


def test_order_and_effects() -> None:
    """What is ordered after a graph of effects starts when all of it has ended."""
    log: list[str] = []

    @op
    async def note(text: str) -> None:
        for _ in range(len(text)):
            await asyncio.sleep(0)
        log.append(text)

    @graph
    def effects() -> None:
        note("a long one")
        note("short")

    @graph
    def main() -> Any:
        done = effects()
        last = note.after(done)("last")
        return show.after(last)(1)

    assert ran(main) == ((1,), {})
    assert log == ["short", "a long one", "last"]


class Machine:
    """Methods."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @op
    async def times(self, n: int) -> int:
        return n * self.factor

    @op
    def plus(self, n: int, m: int = 1) -> int:
        return n + m + self.factor

    @graph
    def both(self, numbers: list[int]) -> Any:
        return each(self.plus, each(self.times, numbers), m=self.times(10))


def test_methods() -> None:
    """Ops and graphs as methods, alone and together."""
    machine = Machine(3)
    assert ran(machine.both, [1, 2]) == [36, 39]
    assert ran(machine.times, 5) == 15
    assert ran(machine.plus, 5) == 9


def test_static_graphs_take_what_they_are_given() -> None:
    """A static graph maps over inputs, branches on them, and nests."""

    @graph(static=True)
    def inner(n: int, m: int = 5) -> Any:
        return when(n > 2, lambda: add(n, m), lambda: n)

    @graph(static=True)
    def main(numbers: list[int], n: int = 1) -> Any:
        return each(inner, numbers), inner(n), inner(3, m=n)

    assert ran(main, [1, 3]) == ([1, 8], 1, 4)
    assert asyncio.run(main.run([], n=9)) == ([], 14, 12)


def test_real_containers_reach_the_op() -> None:
    """An argument without promises is given as it was."""
    table = {"a": [1]}

    @graph
    def main() -> Any:
        return show(table, n=double(1))

    things, named = ran(main)
    assert (things, named) == ((table,), {"n": 2})


def test_a_context_variable_set_in_a_body_is_its_own() -> None:
    """Neither the caller, nor an outer body, nor the ops of the run see it: they have what the caller had."""
    variable = contextvars.ContextVar("variable", default=0)

    @op
    async def seen() -> int:
        return variable.get()

    @graph
    def inner() -> Any:
        variable.set(variable.get() + 10)
        return variable.get(), seen()

    @graph
    def main() -> Any:
        variable.set(variable.get() + 1)
        nested = inner()
        return variable.get(), nested, seen()

    async def caller() -> Any:
        variable.set(5)
        values = [await main.run(), main.plan().name, variable.get()]
        async with Deployment("here", drain=True):
            run = main.start()
        return [*values, await run, variable.get()]

    expected = (6, (16, 5), 5)
    assert asyncio.run(caller()) == [expected, "main", 5, expected, 5]
