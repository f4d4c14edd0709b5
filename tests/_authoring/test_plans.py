"""Plans: with inputs, without, static; equal for equal inputs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncflow import ConfigurationError, Deployment, PlanError, each, graph, op, when
from asyncflow._authoring import NodeKind, wire_open
from tests._authoring.wired import anything, count, fetch, links, total, wired


@graph(max_concurrent=3)
def crawl(urls: list[str], factor: int = 2) -> int:
    """A graph with everything."""
    pages = each(fetch, urls)
    sizes = each(count, pages, factor)
    more = each(count, each(fetch, links(urls[0])))
    best = when(total(sizes) > 3, lambda: total(more), lambda: 0)
    return total([best, fetch.settled(urls[-1]).value])


def test_equal_inputs_give_equal_plans() -> None:
    """A body is pure: wired twice it gives the same plan; another input gives another."""
    assert crawl.plan(["a", "b"]) == crawl.plan(["a", "b"])
    assert crawl.plan(["a", "b"]) != crawl.plan(["a", "b", "c"])
    assert hash(crawl.plan(["a"])) == hash(crawl.plan(["a"]))


def test_a_plan_runs_nothing() -> None:
    """`plan` calls no op."""
    called: list[str] = []

    @op
    async def effect(url: str) -> str:
        called.append(url)
        return url

    @graph
    def main(url: str) -> str:
        return effect(url)

    assert main.plan("a").keys == ("effect",)
    assert called == []


def test_missing_inputs_are_promises() -> None:
    """`plan()` puts INPUT nodes for required inputs; defaults stay what they are; given ones too."""

    @graph
    def main(url: str, *, depth: int, factor: int = 2) -> int:
        return count(fetch(url, depth=depth), factor)

    wiring = wire_open(main, (), {})
    assert wiring.inputs == [("url", 0), ("depth", 1)]
    assert [(node.kind, node.key) for node in wiring.nodes[:2]] == [
        (NodeKind.INPUT, "(input url)"),
        (NodeKind.INPUT, "(input depth)"),
    ]
    assert wiring.nodes[3].args[1] == 2
    assert wire_open(main, ("a",), {}).inputs == [("depth", 0)]
    assert wire_open(main, (), {"url": "a", "depth": 1}).inputs == []
    assert main.plan().inputs == (("url", 0), ("depth", 1))


def test_missing_positional_only_inputs() -> None:
    """Parameters before `/` are given by position."""

    @graph
    def main(url: str, depth: int, /, factor: int) -> Any:
        return anything(url, depth, factor)

    assert wire_open(main, ("a",), {}).inputs == [("depth", 0), ("factor", 1)]


def test_inputs_of_a_plan_are_bound_and_known() -> None:
    """Missing inputs are fine, unknown ones are not."""
    with pytest.raises(PlanError, match=r"crawl has no parameter 'url'; did you mean 'urls'\?"):
        crawl.plan(url="a")
    with pytest.raises(PlanError, match=r"crawl takes 2 arguments by position, and 3 were given"):
        crawl.plan([], 1, 2)
    with pytest.raises(PlanError, match=r"crawl is missing 'urls'"):
        crawl.wire((), {})


def test_an_input_that_is_a_promise_has_its_type() -> None:
    """An input that does not fit an op is refused in `plan()` as well."""

    @graph
    def main(n: int) -> Any:
        return fetch(n)

    with pytest.raises(PlanError, match=r"takes str as 'url', and is given a result of type int"):
        main.plan()


def test_each_over_a_missing_input() -> None:
    """`each` over an input that is not there is a map over it."""

    @graph
    def main(urls: list[str]) -> list[str]:
        return each(fetch, urls)

    wiring = wire_open(main, (), {})
    assert (wiring.nodes[1].kind, wiring.nodes[1].items) == (NodeKind.MAP, 0)


# ── static graphs ────────────────────────────────────────────────────────────────────────────────────────────────────


@graph(static=True)
def score(url: str, weight: int = 2, *, note: str = "n") -> Any:
    """A static graph."""
    return anything(count(fetch(url), weight), note)


def test_a_static_graph_is_wired_once_with_promises_for_everything() -> None:
    """Every parameter is an INPUT node, defaults included, and the plan is kept."""
    times: list[str] = []

    @graph(static=True)
    def once(url: str, weight: int = 2, *, note: str = "n") -> Any:
        times.append(url.__repr__())
        return anything(count(fetch(url), weight), note)

    plan = once.wire(("a",), {})
    assert plan.inputs == (("url", 0), ("weight", 1), ("note", 2))
    assert once.wire(("b",), {"weight": 3}) is plan
    assert once.on(Deployment("prod")).wire(("b",), {}) is plan
    assert times == ["<Promise once/(input url)>"]


def test_values_of_static_inputs_come_in_order_and_checked() -> None:
    """Defaults are filled in, names sorted to their places, values made to fit."""
    assert score.input_values(("a",), {}) == ("a", 2, "n")
    assert score.input_values(("a", "3"), {"note": "m"}) == ("a", 3, "m")
    assert score.input_values((), {"note": "m", "url": "b"}) == ("b", 2, "m")
    with pytest.raises(PlanError, match=r"score has no parameter 'wait'"):
        score.input_values(("a",), {"wait": 1})
    with pytest.raises(PlanError, match=r"score is missing 'url'"):
        score.input_values((), {})


def test_copies_with_other_limits_have_their_own_plan() -> None:
    """Limits and name of the graph are part of the plan; what belongs to the run is not."""
    plan = score.wire(("a",), {})
    assert score.options(run_id="r", priority=3).wire(("a",), {}) is plan
    limited = score.options(max_concurrent=2)
    assert limited.wire(("a",), {}) is not plan
    assert limited.wire(("a",), {}).scopes[0].max_concurrent == 2
    assert score.options(max_concurrent=2).wire(("a",), {}) is limited.wire(("a",), {})
    assert score.options(name="other").wire(("a",), {}).name == "other"


def test_plan_of_a_static_graph() -> None:
    """With and without values it is the one plan."""
    assert score.plan() == score.plan("a") == score.wire(("a",), {})


def test_a_static_graph_needs_a_fixed_number_of_inputs() -> None:
    """`*args` cannot be promises, since their number is not known."""
    with pytest.raises(ConfigurationError, match=r"@graph\(static=True\) is on many\(\*urls\).*take a list or a dict"):

        @graph(static=True)
        def many(*urls: str) -> Any:
            return urls


class Model:
    """A static graph as a method."""

    def __init__(self, size: int) -> None:
        self.size = size

    @graph(static=True)
    def score(self, n: int) -> Any:
        return anything(n, self.size)


def test_a_static_method_keeps_its_plan_with_the_bound_graph() -> None:
    """The instance is real, so each has plans of its own; the bound graph keeps them."""
    two, three = Model(2), Model(3)
    bound = two.score
    assert bound.wire((1,), {}) is bound.wire((2,), {})
    assert bound.wire((1,), {}).inputs == (("n", 0),)
    assert bound.wire((1,), {}).nodes[1].args[1] == 2
    assert three.score.wire((1,), {}).nodes[1].args[1] == 3
    assert bound.input_values((7,), {}) == (7,)


def test_static_graphs_run() -> None:
    """The same plan runs with other values."""

    async def both() -> list[Any]:
        return [await score.run("ab"), await score.run("abc", 3, note="x")]

    first, second = asyncio.run(both())
    assert (first, second) == (((len("<ab:0>") * 2, "n"), {}), ((len("<abc:0>") * 3, "x"), {}))


def test_real_inputs_are_wired_every_time() -> None:
    """A graph that is not static is wired for every run: plain `if` and `for` on inputs."""

    @graph
    def main(urls: list[str], polite: bool = False) -> Any:
        if polite:
            return [fetch(url) for url in urls]
        return []

    assert [len(wired(main, ["a"], polite=polite).nodes) for polite in (True, False)] == [2, 0]
