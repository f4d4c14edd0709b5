"""Nested graphs: wired in place, with keys, scopes and limits of their own."""

# ruff: noqa: PLW0108 — the call has to happen inside the graph

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest

from asyncflow import Deployment, InputError, PlanError, TagLimit, each, graph, op
from asyncflow._authoring import NodeKind
from tests._authoring.wired import anything, count, fetch, links, nodes, op_keys, total, wired

RULE = TagLimit(key="kind", value="cpu", limit=2)

C_STACK = sys.version_info[:2] == (3, 12)
"""In 3.12 calls through C have a limit of their own, which `sys.setrecursionlimit` does not raise."""


@graph(max_concurrent=2, tag_concurrency_limits=[RULE])
def sub(url: str) -> int:
    """A nested graph with limits."""
    return count(fetch(url))


def test_keys_and_scopes() -> None:
    """A nested call's keys begin with its name; a second call is `sub#2`; each has a scope with its limits."""

    @graph
    def middle(url: str) -> int:
        return total([sub(url), sub(url)])

    @graph(max_concurrent=9)
    def main(url: str) -> list[int]:
        return [middle(url), sub(url), sub(url)]

    wiring = wired(main, "a")
    assert [node.key for node in wiring.nodes if node.shown] == [
        "middle/sub/fetch",
        "middle/sub/count",
        "middle/sub#2/fetch",
        "middle/sub#2/count",
        "middle/total",
        "sub/fetch",
        "sub/count",
        "sub#2/fetch",
        "sub#2/count",
    ]
    scopes = [(scope.parent, scope.path, scope.max_concurrent, scope.tag_limits) for scope in wiring.scopes]
    assert scopes == [
        (None, "", 9, ()),
        (0, "middle", None, ()),
        (1, "middle/sub", 2, (RULE,)),
        (1, "middle/sub#2", 2, (RULE,)),
        (0, "sub", 2, (RULE,)),
        (0, "sub#2", 2, (RULE,)),
    ]
    assert [node.scope for node in wiring.nodes if node.shown] == [2, 2, 3, 3, 1, 4, 4, 5, 5]


def test_a_second_op_of_the_name_inside_and_outside() -> None:
    """Each call counts its own names."""

    @graph
    def twice(url: str) -> list[str]:
        return [fetch(url), fetch(url)]

    @graph
    def main(url: str) -> Any:
        return [twice(url), fetch(url), twice(url)]

    assert op_keys(main, "a") == ["twice/fetch", "twice/fetch#2", "fetch", "twice#2/fetch", "twice#2/fetch#2"]


def test_options_of_a_nested_graph_change_its_scope() -> None:
    """`.options(max_concurrent=…, name=…)` hold for the call."""

    @graph
    def main(url: str) -> int:
        return sub.options(max_concurrent=5, tag_concurrency_limits=[], name="other")(url)

    wiring = wired(main, "a")
    assert (wiring.scopes[1].path, wiring.scopes[1].max_concurrent, wiring.scopes[1].tag_limits) == ("other", 5, ())
    assert sub.run_options.max_concurrent == 2


def test_the_body_gives_what_it_returns() -> None:
    """Wired in place, a nested call gives the very object its body returned: promises, containers, real values."""

    @graph
    def many(n: int) -> dict[str, Any]:
        return {"pages": [fetch(str(i)) for i in range(n)], "n": n}

    @graph
    def main(n: int) -> Any:
        found = many(n)
        assert found["n"] == n
        assert len(found["pages"]) == n
        return anything(*found["pages"])

    assert nodes(main, 3)["anything"].sources == (0, 1, 2)


def test_inputs_of_a_nested_graph_are_checked_where_they_are_real() -> None:
    """A real value is checked and taken over as its type; promises and containers with some pass."""
    seen: list[Any] = []

    @graph
    def inner(n: int, names: list[str]) -> Any:
        seen.append((n, names))
        return anything(n, names)

    @graph
    def main(url: str) -> Any:
        inner("7", [fetch(url), "b"])  # pydantic makes an int of it
        return inner(count(url), ["a"])

    wired(main, "a")
    assert seen[0][0] == 7
    assert len(seen) == 2

    @graph
    def wrong(url: str) -> Any:
        return inner(url, [])

    with pytest.raises(InputError, match=r"inner takes int as 'n', and got str of length 1 \(int_parsing\)"):
        wired(wrong, "a")


def test_arguments_of_a_nested_graph_are_bound() -> None:
    """Missing and misspelt arguments are refused with the key of the call."""

    @graph
    def main(url: str) -> int:
        return sub(uri=url)

    with pytest.raises(PlanError, match=r"main/sub has no parameter 'uri'; did you mean 'url'\?, at .*test_nested"):
        wired(main, "a")


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 1},
        {"fair_key": "a"},
        {"weight": 2.0},
        {"tags": {"team": "a"}},
        {"on_error": "fail_fast"},
        {"run_id": "r"},
    ],
)
def test_options_of_the_outermost_run(options: dict[str, Any]) -> None:
    """What belongs to the outermost run is refused on a nested graph, by option or definition, and in `each`."""
    (name,) = options
    tuned = sub.options(**options)

    @graph(**options)
    def own(url: str) -> str:
        return fetch(url)

    bodies: list[Any] = [
        lambda url: tuned(url),
        lambda url: own(url),
        lambda url: each(tuned, [url]),
        lambda url: each(tuned, links(url)),
        lambda url: tuned.settled(url),
    ]
    for body in bodies:

        @graph
        def main(url: str) -> Any:
            return body(url)  # noqa: B023 — called before the loop goes on

        with pytest.raises(PlanError, match=rf"has {name}, which belong to the outermost run .*set them on the graph"):
            wired(main, "a")
    assert op_keys(own, "a") == ["fetch"]


def test_a_nested_graph_bound_elsewhere() -> None:
    """A nested graph bound to another deployment than the run's is refused, as soon as both are known."""
    prod, other = Deployment("prod"), Deployment("other")

    @graph
    def main(url: str) -> int:
        return sub.on(prod)(url)

    message = r"main/sub, called at .*, is bound to <Deployment prod .*one run stays in one deployment"
    with pytest.raises(PlanError, match=message):
        main.on(other).wire(("a",), {})
    with pytest.raises(PlanError, match=message):
        main.wire(("a",), {}, deployment=other)
    with pytest.raises(PlanError, match=message):
        main.wire(("a",), {})
    assert main.on(prod).wire(("a",), {}).keys == ("sub/fetch", "sub/count")
    assert main.wire(("a",), {}, deployment=prod).keys == ("sub/fetch", "sub/count")


def test_a_static_graph_with_a_bound_one_inside() -> None:
    """The plan is wired once; the deployment is compared every time."""
    prod = Deployment("prod")

    @graph(static=True)
    def main(url: str) -> int:
        return sub.on(prod)(url)

    assert main.on(prod).wire(("a",), {}) is main.on(prod).wire(("b",), {})
    with pytest.raises(PlanError, match="one run stays in one deployment"):
        main.wire(("a",), {})


def test_a_nested_static_graph_sees_promises_only() -> None:
    """Its body cannot look at a real value either: it wires the same wherever it stands."""
    seen: list[str] = []

    @graph(static=True)
    def inner(n: int, m: int = 2, *, k: int = 3) -> Any:
        seen.extend(type(value).__name__ for value in (n, m, k))
        return anything(n, m, k)

    @graph
    def main(url: str) -> Any:
        return inner(1, k=count(url))

    found = nodes(main, "a")
    assert seen == ["Promise", "Promise", "Promise"]
    assert [found[f"inner/(input {name})"].args for name in "nm"] == [(1,), (2,)]
    assert found["inner/anything"].sources == (1, 2, 0)


# ── wiring without end ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_graph_that_calls_itself_without_end() -> None:
    """The cycle is named, and Python's own limit is not reached."""

    @graph
    def loop(url: str) -> str:
        return loop(fetch(url))

    with pytest.raises(
        PlanError, match=r"loop wires itself without end, or too deep: loop → loop, the last time at .*_nest"
    ):
        wired(loop, "a")


def test_graphs_that_call_each_other_without_end() -> None:
    """The names of the cycle come in order, without what led into it."""

    @graph
    def ping(url: str) -> str:
        return pong(url)

    @graph
    def pong(url: str) -> str:
        return ping(url)

    @graph
    def main(url: str) -> str:
        return ping(url)

    with pytest.raises(
        PlanError, match=r"main wires itself without end, or too deep: (ping → pong → ping|pong → ping → pong), "
    ):
        wired(main, "a")


def test_maps_without_end() -> None:
    """`each` of itself over a promise, or over a list, is found as well."""

    @graph
    def promised(url: str) -> Any:
        return each(promised, links(url))

    @graph
    def real(url: str) -> Any:
        return each(real, [url])

    for main in (promised, real):
        with pytest.raises(PlanError, match=r"wires itself without end, .*: (promised → promised|real → real)"):
            wired(main, "a")


def test_the_cycle_is_named_wherever_the_limit_is() -> None:
    """Deep in calls already, or with a limit far away: the message is the same."""

    @graph
    def loop(url: str) -> str:
        return loop(url)

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            wired(loop, "a")

    limit = sys.getrecursionlimit()
    with pytest.raises(PlanError, match=r"loop wires itself without end, .*: loop → loop"):
        deeper(limit - 250)
    try:
        sys.setrecursionlimit(10_000)
        far = r"\d+" if C_STACK else "500 calls deep, and asyncflow goes no"
        with pytest.raises(PlanError, match=rf"too deep: loop → loop, .* {far}"):
            deeper(0)
    finally:
        sys.setrecursionlimit(limit)


def test_a_recursion_on_real_inputs_ends() -> None:
    """A graph may call itself while it decides on real values."""

    @graph
    def tower(n: int) -> Any:
        return tower(n - 1) if n else fetch("ground")

    assert op_keys(tower, 120) == ["/".join(["tower"] * 120) + "/fetch"]


def test_a_body_that_recurses_by_itself() -> None:
    """A RecursionError of the body's own stays one."""

    def forever(n: int) -> int:
        return forever(n + 1)

    @graph
    def main(url: str) -> Any:
        return fetch(url * forever(0))

    with pytest.raises(RecursionError):
        wired(main, "a")


def test_what_a_body_caught_leaves_no_trace() -> None:
    """A body may catch an error of a nested call and go on at its own site."""

    @graph
    def fails(url: str) -> str:
        raise ValueError(url)

    @graph
    def main(urls: list[str]) -> Any:
        for url in urls:
            try:
                return fails(url)
            except ValueError:
                continue
        with contextlib.suppress(ValueError):
            each(fails, urls)
        return fetch("a")

    wiring = wired(main, ["a", "b"])
    assert [(node.key, node.scope, node.lead) for node in wiring.nodes] == [("fetch", 0, -1)]


class Model:
    """Graphs as methods."""

    def __init__(self, size: int) -> None:
        self.size = size

    @op
    async def part(self, n: int) -> int:
        return n * self.size

    @graph
    def inner(self, n: int) -> int:
        return self.part(n)

    @graph
    def outer(self, numbers: list[int]) -> Any:
        return [each(self.inner, numbers), self.inner(numbers[0]), self.inner.settled(3)]


def test_methods_nest() -> None:
    """`self.inner(n)` and `each(self.inner, numbers)` bind the instance; its attributes are real."""
    model = Model(2)
    found = nodes(model.outer, [1, 2])
    assert [key for key, node in found.items() if node.kind is NodeKind.OP] == [
        "inner[0]/part",
        "inner[1]/part",
        "inner#2/part",
        "inner#3/part",
    ]
    assert found["inner[0]/part"].args == (model, 1)


def test_a_recursion_with_an_end_may_be_too_deep() -> None:
    """The depth and the limit are told, and that it may have an end; with a higher limit it is wired."""

    @graph
    def countdown(left: int) -> Any:
        return countdown(left - 1) if left else fetch("end")

    assert op_keys(countdown, 100) == ["countdown/" * 100 + "fetch"]
    limit = sys.getrecursionlimit()
    with pytest.raises(PlanError, match=rf"too deep: .* \d+ calls deep, and Python's recursion limit, {limit} here"):
        wired(countdown, 450)
    try:
        sys.setrecursionlimit(10_000)
        far = 220 if C_STACK else 450
        assert op_keys(countdown, far) == ["countdown/" * far + "fetch"]
    finally:
        sys.setrecursionlimit(limit)
