"""The table of what a promise records and what it refuses: a test for every row of docs/reference/promises.md."""

# ruff: noqa: FLY002, FURB171, PLW0108, T201 — uses as people write them

from __future__ import annotations

import asyncio
import copy
import json
import math
import operator
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from asyncflow import Graph, TracingError, apply, each, graph, when
from asyncflow._authoring import NodeKind, Promise
from tests._authoring.wired import anything, count, fetch, links, nodes, op_keys, pair, touch, wired


def body(use: Callable[[Any], Any]) -> Graph[..., Any]:
    """Returns a graph whose body hands a promise to `use`."""

    @graph
    def main(url: str) -> Any:
        return use(fetch(url))

    return main


def refused(use: Callable[[Any], Any]) -> str:
    """Returns what the promise says when `use` is tried on it."""
    with pytest.raises(TracingError) as caught:
        wired(body(use), "a")
    message = str(caught.value)
    assert "main/fetch (wired at " in message, message
    assert message.count(f"{__file__}:") >= 2, message  # where it was wired, and where it was tried
    return message


RECORDED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "x + 1": (lambda x: x + 1, lambda v: v + 1, 5),
    "1 + x": (lambda x: 1 + x, lambda v: 1 + v, 5),
    "x - 1": (lambda x: x - 1, lambda v: v - 1, 5),
    "7 - x": (lambda x: 7 - x, lambda v: 7 - v, 5),
    "x * 2": (lambda x: x * 2, lambda v: v * 2, 5),
    "[1] * x": (lambda x: [1] * x, lambda v: [1] * v, 2),
    "'a' + x": (lambda x: "a" + x, lambda v: "a" + v, "b"),
    "x / 2": (lambda x: x / 2, lambda v: v / 2, 5),
    "10 / x": (lambda x: 10 / x, lambda v: 10 / v, 5),
    "x // 2": (lambda x: x // 2, lambda v: v // 2, 5),
    "11 // x": (lambda x: 11 // x, lambda v: 11 // v, 5),
    "x % 2": (lambda x: x % 2, lambda v: v % 2, 5),
    "x ** 2": (lambda x: x**2, lambda v: v**2, 5),
    "2 ** x": (lambda x: 2**x, lambda v: 2**v, 5),
    "pow(x, 2, 7)": (lambda x: pow(x, 2, 7), lambda v: pow(v, 2, 7), 5),
    "divmod(x, 2)": (lambda x: divmod(x, 2), lambda v: divmod(v, 2), 5),
    "divmod(9, x)": (lambda x: divmod(9, x), lambda v: divmod(9, v), 5),
    "x & 4": (lambda x: x & 4, lambda v: v & 4, 5),
    "4 | x": (lambda x: 4 | x, lambda v: 4 | v, 5),
    "x ^ 1": (lambda x: x ^ 1, lambda v: v ^ 1, 5),
    "x << 1": (lambda x: x << 1, lambda v: v << 1, 5),
    "x >> 1": (lambda x: x >> 1, lambda v: v >> 1, 5),
    "-x": (lambda x: -x, lambda v: -v, 5),
    "+x": (lambda x: +x, lambda v: +v, 5),
    "~x": (lambda x: ~x, lambda v: ~v, 5),
    "abs(x)": (abs, abs, -5),
    "round(x, 1)": (lambda x: round(x, 1), lambda v: round(v, 1), 5.55),
    "math.floor(x)": (math.floor, math.floor, 5.5),
    "math.ceil(x)": (math.ceil, math.ceil, 5.5),
    "math.trunc(x)": (math.trunc, math.trunc, 5.5),
    "x > 3": (lambda x: x > 3, lambda v: v > 3, 5),
    "3 >= x": (lambda x: 3 >= x, lambda v: 3 >= v, 5),  # noqa: SIM300 — the other way round is tested here
    "x < 3": (lambda x: x < 3, lambda v: v < 3, 5),
    "x <= 3": (lambda x: x <= 3, lambda v: v <= 3, 5),
    "x == 5": (lambda x: x == 5, lambda v: v == 5, 5),
    "x != 5": (lambda x: x != 5, lambda v: v != 5, 5),
    "x.real": (lambda x: x.real, lambda v: v.real, 5),
    "x['k']": (lambda x: x["k"], lambda v: v["k"], {"k": 1}),
    "x[1:3]": (lambda x: x[1:3], lambda v: v[1:3], [1, 2, 3, 4]),
    "x[x]": (lambda x: x[x], lambda v: v[v], {5: 1}),
}


@pytest.mark.parametrize("name", list(RECORDED))
def test_recorded(name: str) -> None:
    """Arithmetic, comparisons, attributes and items become hidden steps that compute what the plain expression does."""
    use, plain, value = RECORDED[name]
    if name == "x[x]":
        value = _Table()
    wiring = wired(body(use), "a")
    step = wiring.nodes[wiring.output.id]
    assert (step.kind, step.shown, step.sources) == (NodeKind.STEP, False, (0,))
    args = [value if type(arg).__name__ == "Ref" else arg for arg in step.args]
    assert step.fn is not None
    assert step.fn(*args) == plain(value)


class _Table:
    def __getitem__(self, key: object) -> int:
        return 1


def test_changing_in_place_makes_a_new_promise() -> None:
    """`x += 1` is `x = x + 1`."""

    @graph
    def main(url: str) -> int:
        size = count(url)
        size += 1
        return size

    assert list(nodes(main, "a")) == ["count", "(add)"]


def test_both_sides_may_be_promises() -> None:
    """An expression on two results reads both."""

    @graph
    def main(url: str) -> int:
        return count(url) + count(url)

    assert nodes(main, "a")["(add)"].sources == (0, 1)


def test_a_slice_may_have_promises() -> None:
    """`x[:n]` with a computed `n` is recorded."""

    @graph
    def main(url: str) -> str:
        return fetch(url)[: count(url)]

    assert nodes(main, "a")["(getitem)"].sources == (0, 1)


def test_divmod_unpacks() -> None:
    """`divmod` always gives two parts."""

    @graph
    def main(url: str) -> list[int]:
        whole, rest = divmod(count(url), 2)
        return [whole, rest]

    assert list(nodes(main, "a")) == ["count", "(divmod)", "(getitem)", "(getitem)#2", "(output)"]


class Model(BaseModel):
    """A model that wants an int."""

    n: int


class Loose(BaseModel):
    """A model that takes anything, promises too."""

    n: Any


@dataclass
class Data:
    """Data that takes anything."""

    n: Any


def use_if(x: Any) -> Any:
    return 1 if x else 2


def use_while(x: Any) -> Any:
    while x:
        pass


def use_chained(x: Any) -> Any:
    return 0 < x < 5


def use_assert(x: Any) -> None:
    assert x


def use_for(x: Any) -> Any:
    return [part for part in x]  # noqa: C416 — a loop is what is tried


def use_unpack(x: Any) -> Any:
    first, second = x
    return first, second


def use_with(x: Any) -> None:
    with x:
        pass


def use_async_with(x: Any) -> None:
    async def inner() -> None:
        async with x:
            pass

    inner().send(None)


def use_await(x: Any) -> None:
    async def inner() -> None:
        await x

    inner().send(None)


def use_async_for(x: Any) -> None:
    async def inner() -> None:
        async for _ in x:
            pass

    inner().send(None)


def use_match_literal(x: Any) -> Any:
    match x:
        case 1:
            return 1
        case _:
            return 2


def use_match_class(x: Any) -> Any:
    match x:
        case str():
            return 1
        case _:
            return 2


def use_match_sequence(x: Any) -> Any:
    match x:
        case [a, b]:
            return a, b
        case _:
            return 2


def use_setitem(x: Any) -> None:
    x["k"] = 1


def use_delitem(x: Any) -> None:
    del x["k"]


REFUSED: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "if x": (use_if, "`if`", "`when(condition, lambda: …, lambda: …)`"),
    "while x": (use_while, "`if`", "`when("),
    "not x": (lambda x: not x, "`not`", "`when("),
    "x or 3": (lambda x: x or 3, "`or`", "`when("),
    "x and 3": (lambda x: x and 3, "`and`", "`when("),
    "0 < x < 5": (use_chained, "`and`", "`&` and `|` between conditions"),
    "x in [1]": (lambda x: x in [1], "`in`", "`when("),
    "x in {1}": (lambda x: x in {1}, "a set member", "operator.getitem, table, x"),
    "1 in x": (lambda x: 1 in x, "`in`", "`apply(lambda items, item: item in items, x, item)`"),
    "max(x, 3)": (lambda x: max(x, 3), "`max`", "`apply(max, x, 3)`"),
    "assert x": (use_assert, "`assert`", "@graph(late=True)"),
    "bool(x)": (bool, "`if`", "`when("),
    "for p in x": (use_for, "a loop", "`each(op, x)`"),
    "list(x)": (list, "`list(…)`", "`apply(list, x)`"),
    "tuple(x)": (tuple, "a loop", "`apply(list, x)`"),
    "a, b = x": (use_unpack, "unpacking", "a tuple of fixed length, such as `tuple[int, str]`"),
    "f(*x)": (lambda x: print(*x), "unpacking", "`each(op, x)`"),
    "sum(x)": (sum, "a loop", "`each(op, x)`"),
    "sorted(x)": (sorted, "a loop", "`each(op, x)`"),
    "dict(**x)": (lambda x: dict(**x), "calling it, or a method of it,", "`apply(lambda value: value.method(…), x)`"),
    "reversed(x)": (reversed, "`reversed(…)`", "`apply(lambda items: items[::-1], x)`"),
    "next(x)": (next, "`next(…)`", "`apply(lambda items: next(iter(items)), x)`"),
    "len(x)": (len, "`len(…)`", "`apply(len, x)`"),
    "range(x)": (range, "`range(…)`", "`apply(range, x)`"),
    "[1, 2][x]": (lambda x: [1, 2][x], "an index", "`apply(operator.getitem, items, x)`"),
    "int(x)": (int, "`int(…)`", "`apply(int, x)`"),
    "float(x)": (float, "`float(…)`", "`apply(float, x)`"),
    "math.sqrt(x)": (math.sqrt, "a function of numbers", "`apply(math.sqrt, x)`"),
    "complex(x)": (complex, "`complex(…)`", "`apply(complex, x)`"),
    "bytes(x)": (bytes, "`bytes(…)`", "`apply(bytes, x)`"),
    "str(x)": (str, "`str(…)`", "`apply(str, x)`"),
    "f'{x}'": (lambda x: f"{x}", "an f-string", "`apply('{} pages'.format, x)`"),
    "f'{x:>3}'": (lambda x: f"{x:>3}", "an f-string", "`apply('{} pages'.format, x)`"),
    "'%s' % x": (lambda x: "%s" % x, "a text made of it", "`apply(str, x)`"),  # noqa: UP031 — as people write it
    "'%d' % x": (lambda x: "%d" % x, "", "`apply("),  # noqa: UP031 — as people write it
    "'{}'.format(x)": (lambda x: "{}".format(x), "an f-string", "`apply(str, x)`"),  # noqa: UP032 — as people write it
    "print(x)": (print, "`str(…)`", "`apply(str, x)`"),
    "open(x)": (open, "a path made of it", "`apply(Path, x)`"),
    "x.method()": (lambda x: x.strip(), "calling it, or a method of it,", "`apply(lambda value: value.method(…), x)`"),
    "x()": (lambda x: x(), "calling it, or a method of it,", "a step gets the value"),
    "each(x, [1])": (lambda x: each(x, [1]), "`each(…)` with it as the function", "a step gets the value"),
    "apply(x, 1)": (lambda x: apply(x, 1), "`apply(…)` with it as the function", "a step gets the value"),
    "await x": (use_await, "`await`", "leave out `await`"),
    "with x": (use_with, "`with`", "open it inside an op"),
    "async with x": (use_async_with, "`async with`", "open it inside an op"),
    "async for p in x": (use_async_for, "`async for`", "`each(op, x)`"),
    "isinstance(x, str)": (lambda x: isinstance(x, str), "`isinstance(…)`", "`when(apply(isinstance, x, T)"),
    "isinstance(1, x)": (lambda x: isinstance(1, x), "`isinstance(…, x)`", "`when(apply(isinstance, x, T)"),
    "x.__class__": (lambda x: x.__class__, "`isinstance(…)`", "`when(apply(isinstance, x, T)"),
    "match 1": (use_match_literal, "`if`", "`when("),
    "match class": (use_match_class, "`match`", "`when(apply(isinstance, x, T)"),
    "match sequence": (use_match_sequence, "`len(…)`", "`apply(len, x)`"),
    "json.dumps(x)": (json.dumps, "JSON", "`apply(json.dumps, x)`"),
    "json.dumps([x])": (lambda x: json.dumps([x]), "JSON", "`apply(json.dumps, x)`"),
    "pickle.dumps(x)": (pickle.dumps, "pickling", "pickle what it returned"),
    "x['k'] = 1": (use_setitem, "setting an item", "`apply(lambda value: {**value, 'k': 1}, x)`"),
    "del x['k']": (use_delitem, "deleting an item", "make the changed value"),
    "{x: 1}": (lambda x: {x: 1}, "a dict key", "as a value of a dict"),
    "{x}": (lambda x: {x}, "a set member", "keep it in a list"),
    "hash(x)": (hash, "a dict key", "keep it in a list"),
    "x.__array__": (lambda x: x.__array__, "`.__array__`", "`apply(lambda value: …, x)`"),
    "asyncio.run(x)": (asyncio.run, "", "`"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused(name: str) -> None:
    """What needs the value is refused with what was tried, where, and a hint of its own."""
    use, what, hint = REFUSED[name]
    message = refused(use)
    assert what in message
    assert hint in message


VARIANTS = {
    "each(x, [1])", "apply(x, 1)",
    "[1, 2][x]", "f'{x:>3}'", "'%d' % x", "isinstance(x, str)", "isinstance(1, x)", "match 1", "match class",
    "match sequence", "json.dumps([x])", "x.__array__", "asyncio.run(x)",
}  # fmt: skip


def test_every_row_is_in_the_docs() -> None:
    """What is refused here has its line in docs/reference/promises.md, apart from variants of the same."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "promises.md"
    text = page.read_text().replace('"', "'")
    assert [name for name in REFUSED if name not in text and name not in VARIANTS] == []


def test_what_needs_computed_values_names_the_late_graph() -> None:
    """The hint for branches, loops and types names `@graph(late=True)`."""
    for use in (use_if, use_for, use_match_class):
        assert "`@graph(late=True)`" in refused(use)


def test_an_expression_tells_what_it_is_made_of() -> None:
    """`if count(url) > 3` names the op, not the hidden step."""
    message = refused(lambda x: use_if(x.title == "a"))
    assert "an expression on main/fetch (wired at " in message


def test_a_pydantic_model_is_caught_while_wiring() -> None:
    """`Model(n=x)` says `apply(Model, …)`, whether pydantic refuses the promise or takes it."""
    assert "`apply(Model, …)`" in refused(lambda x: Model(n=x)) or "`apply(Model, n=x)`" in refused(
        lambda x: Model(n=x)
    )
    assert "`apply(Loose, …)`" in refused(lambda x: anything(Loose(n=x)))


def test_a_function_that_complains_about_a_promise() -> None:
    """What C functions say of a promise is told in the words of the graph."""
    for use in (lambda x: ",".join([x]), lambda x: setattr(x, "n", 1), vars):
        with pytest.raises(TracingError) as caught:
            wired(body(use), "a")
        assert f"{__file__}:" in str(caught.value)
        assert "`apply(" in str(caught.value)


def test_a_users_own_error_stays_what_it_is() -> None:
    """A body that fails for its own reasons raises its own error."""

    @graph
    def main(url: str) -> str:
        return fetch(url + 1)

    with pytest.raises(TypeError, match="can only concatenate str"):
        wired(main, "a")


def test_the_engine_can_still_look() -> None:
    """`repr`, `type`, `is` and copies work: debuggers and containers need them."""
    seen: list[Any] = []

    def use(x: Any) -> Any:
        seen.extend([repr(x), type(x) is Promise, x is x, copy.copy(x) is x, copy.deepcopy([x])[0] is x])  # noqa: PLR0124 — identity of promises
        return x

    wired(body(use), "a")
    assert seen == ["<Promise main/fetch>", True, True, True, True]


# ── promises of other wirings ────────────────────────────────────────────────────────────────────────────────────────


def kept_promise() -> Any:
    """Returns a promise that outlived its wiring."""
    kept: list[Any] = []

    @graph
    def first(url: str) -> str:
        kept.append(fetch(url))
        return kept[0]

    wired(first, "a")
    return kept[0]


@pytest.mark.parametrize(
    "use", [lambda x: x + 1, lambda x: x.title, lambda x: x["k"], bool, str, len, lambda x: isinstance(x, str)]
)
def test_a_promise_kept_after_its_wiring(use: Callable[[Any], Any]) -> None:
    """Afterwards a promise refuses everything, recorded or not, and names its graph."""
    promise = kept_promise()
    with pytest.raises(TracingError, match=r"promise of first/fetch \(wired at .*when its graph was wired already"):
        use(promise)
    assert repr(promise) == "<Promise first/fetch>"


@pytest.mark.parametrize(
    "use",
    [
        fetch,
        lambda x: fetch("a", depth=x),
        lambda x: anything([x]),
        lambda x: anything({"k": x}),
        lambda x: x + 1,
        lambda x: fetch("a") + x,
        lambda x: each(fetch, x),
        lambda x: each(fetch, [x]),
        lambda x: when(x, lambda: 1, lambda: 2),
        lambda x: apply(len, x),
        lambda x: fetch.after(x)("a"),
        lambda x: fetch.settled(x),
        lambda x: x,
        lambda x: [x],
    ],
)
def test_a_promise_from_another_graph(use: Callable[[Any], Any]) -> None:
    """A promise of another graph is refused wherever it is given, naming both graphs."""
    promise = kept_promise()

    @graph
    def second() -> Any:
        return use(promise)

    with pytest.raises(TracingError, match=r"promise of first/fetch .*while another graph, second, is wired"):
        wired(second)


def test_a_promise_as_the_input_of_a_run() -> None:
    """`fetch.run(x)` inside a graph body says that a plain call wires it."""

    @graph
    def main(url: str) -> Any:
        page = fetch(url)
        return count.wire((page,), {})

    with pytest.raises(TracingError, match=r"given the promise of main/fetch .* write `count\(…\)`"):
        wired(main, "a")


# ── inputs that are not there ────────────────────────────────────────────────────────────────────────────────────────


@graph
def crawl(urls: list[str], polite: bool = False) -> list[str]:
    """A graph that looks at its inputs."""
    if polite:
        return [fetch(urls[0])]
    return each(fetch, urls)


def test_plan_without_inputs_names_plan_with_them() -> None:
    """`plan()` puts a promise for a missing input; where the body looks at one, it names `plan(urls=…)`."""

    @graph
    def looks(urls: list[str]) -> list[str]:
        return [fetch(url) for url in urls]

    assert crawl.plan().keys == ("(input urls)", "fetch")
    with pytest.raises(TracingError, match=r"needs the value of input 'urls' of looks, .*`looks\.plan\(urls=…\)`"):
        looks.plan()
    assert len(looks.plan(["a", "b"])) == 2


def test_an_expression_on_a_missing_input_names_it() -> None:
    """`if cfg['polite']` in `plan()` names the input behind the expression."""

    @graph
    def looks(cfg: dict[str, bool]) -> list[str]:
        return [fetch("a")] if cfg["polite"] else []

    with pytest.raises(TracingError, match=r"an expression on input 'cfg' of looks, .*`looks\.plan\(cfg=…\)`"):
        looks.plan()


def test_a_static_graph_says_that_its_inputs_are_promises() -> None:
    """The hint of a static graph is to leave `static=True` out."""

    @graph(static=True)
    def looks(n: int = 3) -> list[str]:
        return [fetch("a") for _ in range(n)]

    with pytest.raises(TracingError, match=r"without `static=True` looks gets 'n' as it is"):
        looks.plan()


def test_a_nested_graph_that_looks_at_a_promise_names_late() -> None:
    """A nested graph called with a promise refuses to look at it, and names the late graph."""

    @graph
    def inner(n: int) -> int:
        return n if n > 3 else 0

    @graph
    def outer(url: str) -> int:
        return inner(count(url))

    with pytest.raises(TracingError, match=r"an expression on outer/count .*@graph\(late=True\)"):
        wired(outer, "a")


def test_uses_of_an_unused_attribute_are_harmless() -> None:
    """An expression that nothing uses is a step like any other."""

    @graph
    def main(url: str) -> str:
        page = fetch(url)
        _ = page.title
        return page

    assert op_keys(main, "a") == ["fetch"]
    assert operator.length_hint([1]) == 1
    assert links.name == "links"
    assert pair.name == "pair"
    assert touch.name == "touch"
