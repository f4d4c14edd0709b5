"""`.after(…)`: order without data. `.settled(…)`: how a call ended as a value."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow import Outcome, TracingError, apply, each, graph, op
from asyncflow._authoring import NodeKind
from tests._authoring.wired import anything, count, fetch, links, nodes, touch, wired


@graph
def sub(url: str) -> int:
    """Two ops in a row, and one on its own."""
    touch(url)
    return count(fetch(url))


def test_after_is_order_without_data() -> None:
    """`.after` adds ids to `after`, each once, and none to the sources."""

    @graph
    def main(url: str) -> Any:
        first, second = touch(url), count(url)
        return fetch.after(first, second, first)(url)

    found = nodes(main, "a")["fetch"]
    assert (found.after, found.sources) == ((0, 1), ())


def test_after_adds_up() -> None:
    """`.after(x).after(y)` is both; the original op stays as it was."""

    @graph
    def main(url: str) -> Any:
        first, second = touch(url), touch(url)
        later = fetch.after(first)
        return [later.after(second)(url), later(url), fetch(url), later.options(priority=1)(url)]

    found = nodes(main, "a")
    assert [found[key].after for key in ("fetch", "fetch#2", "fetch#3", "fetch#4")] == [(0, 1), (0,), (), (0,)]


def test_after_takes_every_kind_of_result() -> None:
    """Maps (all items), branches, steps, expressions, lists, tuples and dicts of results."""

    @graph
    def main(url: str) -> Any:
        mapped = each(fetch, ["a", "b"])
        later = each(fetch, links(url))
        step = apply(len, url)
        size = count(url)
        return anything.after(mapped, later, step, size + 1, [size], {"k": (size,)})()

    wiring = wired(main, "a")
    found = next(node for node in wiring.nodes if node.key == "anything")
    assert [wiring.nodes[i].key for i in found.after] == ["fetch", "fetch#2", "len", "(add)", "count"]


@pytest.mark.parametrize("value", [None, 3, "a", object(), {1}])
def test_after_something_that_is_there_already(value: object) -> None:
    """A real value is no result; that is refused rather than ignored."""

    @graph
    def main(url: str) -> Any:
        return fetch.after(value)(url)

    with pytest.raises(TracingError, match=r"`\.after\(…\)` of main/fetch, called at .*: it takes results of ops"):
        wired(main, "a")


def test_a_graph_after_a_result() -> None:
    """All roots of the nested graph wait; what follows them does so anyway."""

    @graph
    def main(url: str) -> Any:
        first = touch(url)
        return sub.after(first)(url)

    found = nodes(main, "a")
    assert {key: node.after for key, node in found.items() if node.after} == {"sub/touch": (0,), "sub/fetch": (0,)}


def test_orders_of_nested_graphs_add_up() -> None:
    """A graph ordered inside an ordered graph waits for both."""

    @graph
    def middle(url: str) -> Any:
        own = touch(url)
        return sub.after(own)(url)

    @graph
    def main(url: str) -> Any:
        first = touch(url)
        return middle.after(first)(url)

    found = nodes(main, "a")
    assert found["middle/touch"].after == (0,)
    assert found["middle/sub/fetch"].after == (0, 1)


def test_after_a_graph_that_returns_nothing() -> None:
    """A graph of effects gives a promise that is kept when all its ops have ended."""

    @graph
    def effects(url: str) -> None:
        page = fetch(url)
        count(page)
        touch(url)
        touch.settled(url)

    @graph
    def nothing(url: str) -> None:
        """Wires nothing."""

    @graph
    def main(url: str) -> Any:
        assert nothing(url) is None
        return fetch.after(effects(url))(url)

    with pytest.warns(UserWarning, match="main/effects/count, int, is used nowhere"):
        wiring = wired(main, "a")
    found = {node.key: (i, node) for i, node in enumerate(wiring.nodes)}
    end = found["effects/(end)"]
    assert [wiring.nodes[i].key for i in end[1].after] == [
        "effects/count",
        "effects/touch",
        "(settled effects/touch#2)",
    ]
    assert found["fetch"][1].after == (end[0],)


def test_a_settled_op_has_an_outcome() -> None:
    """The op's failure belongs to the OUTCOME node behind it, whose value is an `Outcome`."""

    @graph
    def main(url: str) -> Any:
        outcome = fetch.settled(url, depth=2)
        return [outcome.status, anything(outcome)]

    wiring = wired(main, "a")
    first, outcome = wiring.nodes[:2]
    assert (first.key, first.settled, first.shown) == ("fetch", 1, True)
    assert (outcome.kind, outcome.sources, outcome.settled, outcome.shown) == (NodeKind.OUTCOME, (0,), -1, False)
    assert outcome.gives is not None
    assert outcome.gives.annotation == Outcome[str]
    assert [node.sources for node in wiring.nodes[2:4]] == [(1,), (1,)]


def test_a_settled_graph_has_one_outcome_for_all_its_ops() -> None:
    """Everything wired inside belongs to the OUTCOME node, whatever the body returns."""

    @graph
    def both(url: str) -> dict[str, Any]:
        touch(url)
        return {"page": fetch(url), "sizes": each(count, links(url)), "real": [each(count, [url])]}

    @graph
    def main(url: str) -> Any:
        return both.settled(url)

    wiring = wired(main, "a")
    outcome = len(wiring.nodes) - 1
    assert wiring.nodes[outcome].kind is NodeKind.OUTCOME
    assert {node.settled for node in wiring.nodes[:outcome]} == {outcome}
    assert wiring.nodes[wiring.nodes[outcome].sources[0]].kind is NodeKind.STEP


def test_settled_calls_nest() -> None:
    """An inner settled call belongs to its own OUTCOME node, which belongs to the outer one."""

    @graph
    def inner(url: str) -> Any:
        return anything(fetch.settled(url), count(url))

    @graph
    def main(url: str) -> Any:
        return inner.settled(url)

    wiring = wired(main, "a")
    found = {node.key: (i, node.settled) for i, node in enumerate(wiring.nodes)}
    own, outer = found["(settled inner/fetch)"][0], found["(settled inner)"][0]
    assert found["inner/fetch"][1] == own
    assert found["(settled inner/fetch)"][1] == outer
    assert found["inner/count"][1] == outer
    assert found["(settled inner)"][1] == -1


def test_options_and_order_of_settled_calls() -> None:
    """`.options(…)` and `.after(…)` come before `.settled`."""

    @graph
    def main(url: str) -> Any:
        first = touch(url)
        return fetch.options(name="try").after(first).settled(url)

    found = nodes(main, "a")
    assert found["try"].after == (0,)
    assert found["(settled try)"].sources == (1,)


def test_an_outcome_is_not_the_value() -> None:
    """An `Outcome` given where the value is wanted is refused by its type."""

    @op
    async def shout(text: str) -> str:
        return text.upper()

    @graph
    def main(url: str) -> Any:
        return shout(fetch.settled(url))

    with pytest.raises(Exception, match=r"takes str as 'text', and is given a result of type .*Outcome\[str\]"):
        wired(main, "a")
