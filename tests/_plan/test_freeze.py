"""Freezing: ids, counts, and the one thing that must not be — a cycle."""

import random

import pytest
import rustworkx
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import PlanError
from asyncflow._authoring import Node, NodeKind, Wiring
from asyncflow._plan import freeze


def wired(sources: list[tuple[int, ...]]) -> Wiring:
    """A wiring given by hand: node `i` reads `sources[i]`."""
    wiring = Wiring("by_hand")
    wiring.nodes = [Node(NodeKind.STEP, f"n{i}", fn=max, sources=ids) for i, ids in enumerate(sources)]
    return wiring


def test_the_shortest_cycle_is_named_in_order() -> None:
    """Row 1: a plan given by hand with two cycles: the error lists the shorter one's keys."""
    with pytest.raises(PlanError, match="n3 → n4 → n3"):
        freeze(wired([(2,), (0,), (1,), (0, 4), (3,)]))


def test_a_cycle_of_100000_nodes_is_found_without_recursion() -> None:
    """Row 1: a ring of 10⁵ nodes: an error, no RecursionError."""
    count = 100_000
    with pytest.raises(PlanError, match="cycle"):
        freeze(wired([((i - 1) % count,) for i in range(count)]))


def test_a_chain_of_100000_nodes_freezes() -> None:
    """Row 17: depth 10⁵ works; the first node is the highest."""
    count = 100_000
    plan = freeze(wired([((i - 1,) if i else ()) for i in range(count)]))
    assert (len(plan.nodes), plan.nodes[0].successors, plan.nodes[-1].waits_for) == (count, (1,), 1)


@given(st.integers(0, 2**32), st.booleans())
def test_cycles_are_found_where_an_independent_library_finds_them(seed: int, back: bool) -> None:
    """Random graphs, with or without a back edge: refused exactly where rustworkx says there is a cycle."""
    rng = random.Random(seed)
    count = rng.randint(2, 20)
    sources = [tuple(sorted(rng.sample(range(i), rng.randint(0, min(i, 3))))) for i in range(count)]
    if back:
        i, j = rng.randrange(count), rng.randrange(count)
        sources[i] = tuple({*sources[i], j})
    oracle = rustworkx.PyDiGraph()
    oracle.add_nodes_from(range(count))
    oracle.add_edges_from([(j, i, None) for i, ids in enumerate(sources) for j in ids])
    if rustworkx.is_directed_acyclic_graph(oracle):
        assert len(freeze(wired(sources)).nodes) == count
    else:
        with pytest.raises(PlanError, match="cycle"):
            freeze(wired(sources))


def test_heights_are_the_longest_way_to_the_end() -> None:
    """Hops are counted over ops; the highest is 1."""
    from asyncflow import graph, op

    @op
    async def a(x: int) -> int:
        return x

    @graph
    def three() -> list[int]:
        return [a.options(name="short")(0), a(a(a(1)) + 1)]

    plan = three.plan()
    heights = {node.key: round(node.height, 3) for node in plan.nodes if node.shown}
    assert heights == {"short": 0.333, "a": 1.0, "a#2": 0.667, "a#3": 0.333}


def test_a_plan_is_frozen_and_equal_to_its_like() -> None:
    """Row 16: a plan cannot be changed; two wirings of equal inputs give equal plans."""
    from asyncflow import graph, op

    @op
    async def a(x: int) -> int:
        return x

    @graph
    def two(n: int) -> list[int]:
        return [a(i) for i in range(n)]

    plan = two.plan(3)
    with pytest.raises(AttributeError, match="frozen"):
        plan.name = "other"
    assert plan == two.plan(3)
    assert plan != two.plan(4)
