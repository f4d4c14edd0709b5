"""Sizes: nothing, one op, 10⁵ of them in a row, side by side, and into one."""

from __future__ import annotations

from typing import Any

from asyncflow import each, graph, op
from asyncflow._authoring import Node, Wiring
from tests._authoring.wired import wired

MANY = 100_000


@op
async def step(n: int) -> int:
    return n


@op
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@op
async def summed(*numbers: int) -> int:
    return sum(numbers)


def checked(wiring: Wiring) -> list[Node]:
    """Returns the nodes, after checking what holds for every wiring."""
    nodes = wiring.nodes
    assert len({node.key for node in nodes}) == len(nodes)
    assert all(source < i for i, node in enumerate(nodes) for source in node.sources)
    assert [ref.id for ref in wiring.refs] == list(range(len(nodes)))
    return nodes


def test_no_op_at_all() -> None:
    """A graph without ops is a plan without nodes."""

    @graph
    def main() -> int:
        return 3

    wiring = wired(main)
    assert (checked(wiring), wiring.output, len(main.plan())) == ([], 3, 0)


def test_one_op() -> None:
    """One op is one node."""

    @graph
    def main() -> int:
        return step(1)

    assert len(checked(wired(main))) == 1
    assert len(main.plan()) == 1


def test_many_in_a_row() -> None:
    """Depth costs no recursion, neither for ops nor for expressions."""

    @graph
    def main(n: int) -> Any:
        last = step(0)
        for _ in range(n):
            last = step(last)
        return last

    @graph
    def steps(n: int) -> Any:
        last = step(0)
        for _ in range(n // 10):
            last = last + 1
        return last

    nodes = checked(wired(main, MANY))
    assert (len(nodes), nodes[-1].key, nodes[-1].sources) == (MANY + 1, f"step#{MANY + 1}", (MANY - 1,))
    assert len(checked(wired(steps, MANY))) == MANY // 10 + 1


def test_many_side_by_side() -> None:
    """Maps over real lists, chained, with everything collected."""

    @graph
    def main(n: int) -> Any:
        return total(each(step, each(step, range(n))))

    nodes = checked(wired(main, MANY // 2))
    assert len(nodes) == MANY + 3
    assert len(nodes[-2].sources) == MANY // 2


def test_many_into_one() -> None:
    """A list, and a call, of very many results."""

    @graph
    def main(n: int) -> Any:
        numbers = [step(i) for i in range(n)]
        return [total(numbers), summed(*numbers)]

    nodes = checked(wired(main, MANY // 2))
    assert [len(node.sources) for node in nodes[-3:]] == [MANY // 2, MANY // 2, 2]


def test_a_large_real_list_is_looked_through_quickly() -> None:
    """Plain values in a list are judged by their types, in one pass without a call each."""
    numbers = list(range(MANY))

    @graph
    def main(given: Any) -> Any:
        return [total(given) for _ in range(20)]

    nodes = checked(wired(main, numbers))
    assert all(node.args[0] is numbers for node in nodes[:20])
