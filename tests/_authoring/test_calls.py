"""Calls of ops while wiring: arguments, keys, methods, options, places."""

# ruff: noqa: ARG005 — lambdas take what the test hands them

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from asyncflow import PlanError, TracingError, graph, op
from asyncflow._authoring import NodeKind, Ref
from tests._authoring.wired import anything, count, fetch, links, nodes, op_keys, pair, reads, total, wired


def here() -> int:
    """Returns the caller's line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_call_becomes_a_node_with_its_arguments_as_written() -> None:
    """Positional stay positional, named stay named, defaults are left to the function; results become references."""

    @graph
    def main(url: str) -> int:
        return count(fetch(url, depth=2), 3)

    found = nodes(main, "a")
    assert (found["fetch"].args, found["fetch"].kwargs) == (("a",), {"depth": 2})
    kept = found["count"].args
    assert (type(kept[0]), kept[0].id, kept[1]) == (Ref, 0, 3)
    assert (found["count"].kwargs, found["count"].sources) == (None, (0,))


def test_the_body_returned_a_promise_or_a_value() -> None:
    """The output is a reference where the body returned a promise, and the very value where it returned a real one."""
    value = {"a": [1]}

    @graph
    def one(url: str) -> str:
        return fetch(url)

    @graph
    def two() -> dict[str, list[int]]:
        return value

    output = wired(one, "a").output
    assert (type(output), output.id) == (Ref, 0)
    assert wired(two).output is value


def test_a_container_that_is_returned_is_put_together_by_a_step() -> None:
    """Lists, tuples and dicts of results may be returned, nested too."""

    @graph
    def main(url: str) -> dict[str, Any]:
        return {"page": fetch(url), "both": (1, [count("x")])}

    wiring = wired(main, "a")
    step = wiring.nodes[wiring.output.id]
    assert (step.kind, step.shown, step.refs, step.sources) == (NodeKind.STEP, False, True, (0, 1))
    assert step.args[0]["both"][0] == 1


def test_a_second_call_gets_a_number_also_of_another_op_of_the_name() -> None:
    """Keys are `fetch`, `fetch#2` in the order of the calls, whatever op has the name."""

    def make() -> Any:
        @op
        async def fetch(url: str) -> str:
            return url

        return fetch

    other = make()

    @graph
    def main(url: str) -> list[str]:
        return [fetch(url), other(url), fetch(url), fetch.options(name="again")(url)]

    assert op_keys(main, "a") == ["fetch", "fetch#2", "fetch#3", "again"]


def test_expressions_take_no_numbers_from_ops() -> None:
    """An op called `add` keeps its key beside the hidden step of `+`."""

    @op
    async def add(a: int, b: int) -> int:
        return a + b

    @graph
    def main(n: int) -> int:
        return add(count("a") + 1, count("b") + 2)

    assert op_keys(main, 1) == ["count", "count#2", "add"]


def test_results_in_lists_tuples_and_dicts_are_inputs() -> None:
    """A promise inside a plain container is a source; each counts once, in order."""

    @graph
    def main(url: str) -> Any:
        page, size = fetch(url), count(url)
        return anything([page, size, [page]], (size, 1), key={"k": {"deep": links(page)}})

    found = nodes(main, "a")["anything"]
    assert (found.sources, found.refs) == ((0, 1, 2), True)
    assert isinstance(found.args[0][2][0], Ref)
    assert found.args[1][1] == 1
    assert found.kwargs is not None
    assert isinstance(found.kwargs["key"]["k"]["deep"], Ref)


def test_a_container_without_results_stays_the_object_it_was() -> None:
    """Real arguments are neither copied nor changed."""
    table, loop = {"a": [1, 2]}, [1]
    loop.append(loop)

    @graph
    def main(n: int) -> Any:
        return anything(table, loop, {1, 2}, n)

    found = nodes(main, 1)["anything"]
    assert found.args[0] is table
    assert found.args[1] is loop
    assert found.refs is False


def test_a_result_given_twice_is_one_source() -> None:
    """Sources name each node once."""

    @graph
    def main(url: str) -> Any:
        page = fetch(url)
        return anything(page, page)

    assert nodes(main, "a")["anything"].sources == (0,)


def test_tuples_of_fixed_length_unpack() -> None:
    """`a, b = pair(url)` gives two promises; each is an item of the result, found by a hidden step."""

    @graph
    def main(url: str) -> list[Any]:
        size, text = pair(url)
        first, *rest = pair(url)
        return [count(text), size, first, *rest]

    assert op_keys(main, "a") == ["pair", "pair#2", "count"]
    assert reads(main, "count", "a") == ["(getitem)#2"]
    assert nodes(main, "a")["(getitem)#2"].args[1] == 1


def test_parts_of_a_tuple_keep_their_types() -> None:
    """The second part of `tuple[int, str]` is a str: as an int it is refused."""

    @op
    async def square(n: int) -> int:
        return n * n

    @graph
    def main(url: str) -> int:
        size, text = pair(url)
        return square(text) + square(size)

    with pytest.raises(PlanError, match=r"takes int as 'n', and is given a result of type str"):
        wired(main, "a")


class Shelf:
    """Ops and graphs as methods."""

    def __init__(self, name: str) -> None:
        self.name = name

    @op
    async def load(self, key: str, *, depth: int = 0) -> str:
        return f"{self.name}/{key}/{depth}"

    @op
    def size(self, key: str) -> int:
        return len(self.name + key)

    @graph
    def both(self, key: str) -> int:
        return total([self.size(self.load(key)), self.size(key)])


def test_methods_are_ops_and_graphs() -> None:
    """`self.load(key)` wires the method with its instance as the first argument; `.fn` is the bound function."""
    shelf = Shelf("s")
    found = nodes(shelf.both, "k")
    assert list(found) == ["load", "size", "size#2", "total"]
    assert (found["load"].args, found["size"].sources) == ((shelf, "k"), (0,))
    assert shelf.size.fn("ab") == 3
    assert Shelf.size.fn(shelf, "ab") == 3
    assert Shelf("t").both.name == "both"


def test_a_place_is_the_line_of_the_call() -> None:
    """`where` is the user's file and line, for ops, steps and what stands in `each`."""
    lines: list[int] = []

    @graph
    def main(url: str) -> int:
        lines.append(here() + 1)
        page = fetch(url)
        lines.append(here() + 1)
        sizes = [count(page, factor=2) for _ in range(1)]
        lines.append(here() + 1)
        return sizes[0] + 1

    places = [node.where for node in wired(main, "a").nodes]
    assert places == [(__file__, line) for line in lines]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda page: count(page, facter=2), r"has no parameter 'facter'; did you mean 'factor'\?"),
        (lambda page: count(), r"is missing 'page'"),
        (lambda page: count(page, 1, 2), r"takes 2 arguments by position, and 3 were given"),
        (lambda page: count(page, page=page), r"got 'page' twice, by position and by name"),
        (lambda page: fetch(page, 1), r"takes 1 arguments by position, and 2 were given"),
    ],
)
def test_calls_that_the_function_could_not_take(wrong: Callable[[Any], Any], message: str) -> None:
    """Missing, unknown, doubled and too many arguments are refused while wiring, with op, place and signature."""

    @graph
    def main(url: str) -> Any:
        return wrong(fetch(url))

    with pytest.raises(PlanError, match=message) as caught:
        wired(main, "a")
    assert "main/" in str(caught.value)
    assert f"{__file__}:" in str(caught.value)
    assert "its parameters are (" in str(caught.value)


def test_a_call_outside_a_graph_says_what_to_write() -> None:
    """Outside a graph a call of an op or graph names the doors."""

    @graph
    def main(url: str) -> str:
        return fetch(url)

    for callee in (fetch, main):
        with pytest.raises(TracingError) as caught:
            callee("a")
        name = callee.name
        assert f"`await {name}.run(…)` runs it, `{name}.fn(…)` is the plain function" in str(caught.value)
        assert f"{__file__}:" in str(caught.value)
    with pytest.raises(TracingError, match=r"`await fetch.try_run\(…\)`"):
        fetch.settled("a")


def test_an_op_shows_its_function() -> None:
    """`inspect` and documentation tools find name and signature."""
    assert str(inspect.signature(count)) == "(page: 'str', factor: 'int' = 1) -> 'int'"
    assert (count.__name__, repr(count), repr(count.settled)) == ("count", "<Op count>", "<count.settled>")


def test_options_change_a_copy() -> None:
    """Tags merge by key, all else replaces; the original stays as it was."""
    base = fetch.options(tags={"kind": "io", "team": "a"}, pool="web", priority=1)
    copy = base.options(tags={"team": "b"}, pool={"db": 2}, expected=2.0)
    assert dict(base.definition.options.tags) == {"kind": "io", "team": "a"}
    assert dict(copy.definition.options.tags) == {"kind": "io", "team": "b"}
    assert (base.definition.options.pool, copy.definition.options.pool) == ((("web", 1),), (("db", 2),))
    assert (copy.definition.options.priority, copy.definition.options.expected) == (1, 2.0)
    assert fetch.definition.options.priority == 0


def test_a_pool_function_gets_parameters_by_name() -> None:
    """It is asked with those of the op's parameters that it names, defaults included."""

    def host(url: str, depth: int) -> dict[str, int]:
        return {url: depth + 1}

    limited = fetch.options(pool=host)
    assert limited.definition.ask_pool(("a",), {}) == {"a": 1}
    assert limited.definition.ask_pool((), {"url": "b", "depth": 3}) == {"b": 4}
    everything = count.options(pool=lambda **given: dict.fromkeys(given, 1))
    assert everything.definition.ask_pool(("p",), {}) == {"page": 1, "factor": 1}
