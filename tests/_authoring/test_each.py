"""`each`: over real lists, over promises, chained, nested, with names of its own, over graphs and settled calls."""

# ruff: noqa: ARG005 — lambdas take what the test hands them

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncflow import PlanError, TracingError, apply, each, graph, op, when
from asyncflow._authoring import Fragment, Node, NodeKind, Wiring
from tests._authoring.wired import anything, count, fetch, links, nodes, op_keys, pair, total, wired

WORDS = ["a", "b", "c"]


def fragment(node: Node) -> Fragment:
    """Returns what a map repeats."""
    assert node.kind is NodeKind.MAP
    assert node.fragment is not None
    return node.fragment


def outline(wiring: Wiring) -> list[tuple[str, str, tuple[int, ...]]]:
    """Returns kind, key and sources of every node."""
    return [(node.kind.name, node.key, node.sources) for node in wiring.nodes]


@graph
def sub(url: str) -> int:
    """A nested graph."""
    return count(fetch(url))


def test_over_a_real_list_every_item_is_a_node() -> None:
    """Items are called `fetch[0]` …, and a collector has their results in order."""

    @graph
    def main(urls: list[str]) -> list[str]:
        return each(fetch, urls, depth=2)

    found = nodes(main, WORDS)
    assert list(found) == ["fetch[0]", "fetch[1]", "fetch[2]", "fetch"]
    assert (found["fetch"].kind, found["fetch"].sources, found["fetch"].shown) == (NodeKind.COLLECT, (0, 1, 2), False)
    assert (found["fetch[1]"].args, found["fetch[1]"].kwargs) == (("b",), {"depth": 2})


def test_over_no_items() -> None:
    """An empty list gives an empty collector."""

    @graph
    def main(urls: list[str]) -> list[str]:
        return each(sub, each(fetch, urls))

    assert outline(wired(main, [])) == [("COLLECT", "fetch", ()), ("COLLECT", "sub", ())]


def test_any_iterable_will_do() -> None:
    """Ranges, generators and dicts are listed once."""

    @graph
    def main() -> Any:
        return [each(fetch, (word for word in WORDS)), each(fetch, dict.fromkeys(WORDS)), each(anything, range(2))]

    assert len(op_keys(main)) == 8


def test_a_second_each_of_the_name_gets_a_number() -> None:
    """Calls and maps of one name count together: `fetch`, `fetch#2[0]`, `fetch#3`."""

    @graph
    def main(urls: list[str]) -> list[Any]:
        return [fetch("x"), each(fetch, urls), fetch("y"), each(fetch, links("z"))]

    assert op_keys(main, ["a"]) == ["fetch", "fetch#2[0]", "fetch#3", "links"]
    assert fragment(nodes(main, ["a"])["fetch#4"]).wiring.nodes[1].key == "fetch#4[]"


def test_a_chain_over_real_items_goes_item_by_item() -> None:
    """The second stage of an item reads the first stage of that item only; `lead` and `stage` order the chain."""

    @graph
    def main(urls: list[str]) -> int:
        return total(each(count, each(fetch, urls)))

    found = nodes(main, WORDS)
    chain = [(found[f"count[{i}]"].sources, found[f"count[{i}]"].lead, found[f"count[{i}]"].stage) for i in range(3)]
    assert chain == [((0,), 0, 1), ((1,), 1, 1), ((2,), 2, 1)]
    assert [(found[f"fetch[{i}]"].lead, found[f"fetch[{i}]"].stage) for i in range(3)] == [(0, 0), (1, 0), (2, 0)]
    assert found["count"].sources == (4, 5, 6)
    assert (found["total"].lead, found["total"].stage) == (-1, 0)


def test_items_may_be_results() -> None:
    """A real list of results is mapped like any other."""

    @graph
    def main(url: str) -> list[int]:
        return each(count, [fetch(url), "real", [fetch(url)][0]], 2)

    found = nodes(main, "a")
    assert [found[f"count[{i}]"].sources for i in range(3)] == [(0,), (), (1,)]
    assert [found[f"count[{i}]"].args[1] for i in range(3)] == [2, 2, 2]


def test_items_may_hold_results() -> None:
    """Lists and dicts with results inside are items too; what hides one is refused."""

    @graph
    def main(url: str) -> Any:
        page = fetch(url)
        return each(anything, [[page], {"k": page}, (1, 2)], page)

    found = nodes(main, "a")
    assert [(found[f"anything[{i}]"].refs, found[f"anything[{i}]"].sources) for i in range(3)] == [
        (True, (0,)),
        (True, (0,)),
        (False, (0,)),
    ]

    @graph
    def hides(url: str) -> Any:
        page = fetch(url)
        return each(anything, [lambda: page])

    with pytest.raises(TracingError, match=r"an argument of hides/anything\[0\]"):
        wired(hides, "a")


def test_further_arguments_are_the_same_for_every_item() -> None:
    """Results among them are read by every item; the item comes first among the sources."""

    @graph
    def main(urls: list[str]) -> Any:
        factor = count("x")
        return each(count, each(fetch, urls), factor)

    found = nodes(main, WORDS)
    assert [found[f"count#2[{i}]"].sources for i in range(3)] == [(1, 0), (2, 0), (3, 0)]


def test_over_a_promise_one_node_repeats_a_fragment() -> None:
    """The list comes at run time: a MAP node has the part to repeat, with local ids, the item being 0."""

    @graph
    def main(url: str) -> list[int]:
        return each(count, links(url), factor=2)

    found = nodes(main, "a")["count"]
    part = fragment(found)
    assert (found.items, found.sources, found.chained, found.stage) == (0, (), False, 0)
    assert outline(part.wiring) == [("ITEM", "(item of count)", ()), ("OP", "count[]", (0,))]
    assert (part.output, part.captures, part.map_key) == (1, (), None)
    assert part.wiring.nodes[1].kwargs == {"factor": 2}


def test_results_from_outside_are_captured_after_the_item() -> None:
    """Local ids 1 … k are the captured results, in the order in which they are first used."""

    @graph
    def main(url: str) -> list[int]:
        first, second, items = count(url), count(url), links(url)
        return each(anything, items, second, [first], key=second)

    found = nodes(main, "a")["anything"]
    part = fragment(found)
    assert part.captures == (1, 0)
    assert outline(part.wiring) == [
        ("ITEM", "(item of anything)", ()),
        ("CAPTURE", "(count#2)", ()),
        ("CAPTURE", "(count)", ()),
        ("OP", "anything[]", (0, 1, 2)),
    ]


def test_captures_found_late_are_put_first_all_the_same() -> None:
    """A nested graph that closes over a result uses it in the middle of its body; ids are put right everywhere."""

    @graph
    def main(url: str) -> Any:
        size = count(url)

        @graph
        def inner(link: str) -> Any:
            page = fetch(link)
            chosen = when(size > 3, lambda: count(page), lambda: size)
            return fetch.after(page).settled(link), chosen

        return each(inner, links(url))

    part = fragment(nodes(main, "a")["inner"])
    wiring = part.wiring
    assert part.captures == (0,)
    assert [node.kind for node in wiring.nodes[:3]] == [NodeKind.ITEM, NodeKind.CAPTURE, NodeKind.OP]
    by_key = {node.key: (i, node) for i, node in enumerate(wiring.nodes)}
    gate = by_key["inner[]/(when)"]
    assert by_key["inner[]/count"][1].gate == gate[0]
    assert gate[1].args[0].id == by_key["inner[]/(gt)"][0]
    assert by_key["inner[]/(gt)"][1].sources == (1,)
    settled = by_key["inner[]/fetch#2"]
    assert settled[1].after == (by_key["inner[]/fetch"][0],)
    assert settled[1].settled == by_key["(settled inner[]/fetch#2)"][0]
    assert all(i < at for at, node in enumerate(wiring.nodes) for i in node.sources)
    assert wiring.nodes[part.output].key == "(value)"


def test_a_chain_over_a_promise_is_chained() -> None:
    """A map over a map takes its items one by one."""

    @graph
    def main(url: str) -> list[int]:
        return each(count, each(fetch, links(url)))

    found = nodes(main, "a")
    assert (found["count"].items, found["count"].chained, found["count"].stage) == (1, True, 1)
    assert found["fetch"].chained is False


def test_over_graphs_every_item_has_a_scope() -> None:
    """Keys are `sub[0]/fetch`; over a promise they are templates, `sub[]/fetch`."""

    @graph
    def main(urls: list[str]) -> Any:
        return [each(sub, urls), each(sub, links("x"))]

    wiring = wired(main, ["a", "b"])
    assert [node.key for node in wiring.nodes if node.kind is NodeKind.OP] == [
        "sub[0]/fetch",
        "sub[0]/count",
        "sub[1]/fetch",
        "sub[1]/count",
        "links",
    ]
    assert [scope.path for scope in wiring.scopes] == ["", "sub[0]", "sub[1]"]
    part = fragment(next(node for node in wiring.nodes if node.kind is NodeKind.MAP))
    assert [node.key for node in part.wiring.nodes] == ["(item of sub#2)", "sub#2[]/fetch", "sub#2[]/count"]
    assert [(scope.parent, scope.path) for scope in part.wiring.scopes] == [(None, ""), (0, "sub#2[]")]
    assert [node.lead for node in wiring.nodes[:4]] == [0, 0, 2, 2]


def test_maps_nest_to_any_depth() -> None:
    """A graph that maps, mapped itself, real or promised, inside and out."""

    @graph
    def inner(page: str) -> list[int]:
        return each(count, links(page))

    @graph
    def middle(page: str) -> list[list[int]]:
        return each(inner, links(page))

    @graph
    def main(urls: list[str]) -> Any:
        return [each(middle, urls), each(middle, links("x")), each(middle, each(fetch, urls))]

    wiring = wired(main, ["a"])
    keys = [node.key for node in wiring.nodes]
    assert "middle[0]/links" in keys
    assert "middle[0]/inner" in keys
    outer = fragment(next(node for node in wiring.nodes if node.key == "middle#2"))
    second = fragment(next(node for node in outer.wiring.nodes if node.kind is NodeKind.MAP))
    third = fragment(next(node for node in second.wiring.nodes if node.kind is NodeKind.MAP))
    assert [node.key for node in third.wiring.nodes] == [
        "(item of middle#2[]/inner[]/count)",
        "middle#2[]/inner[]/count[]",
    ]


def test_a_result_from_far_outside_is_captured_on_the_way() -> None:
    """Each enclosing fragment captures what a deeper one uses."""

    @graph
    def main(url: str) -> Any:
        size = count(url)

        @graph
        def middle(page: str) -> Any:
            return each(anything, links(page), size)

        return each(middle, links(url))

    outer = fragment(nodes(main, "a")["middle"])
    assert outer.captures == (0,)
    inner = fragment(next(node for node in outer.wiring.nodes if node.kind is NodeKind.MAP))
    assert inner.captures == (1,)


def test_a_chain_inside_an_item_belongs_to_that_item() -> None:
    """Nested real chains keep the outer item's lead and count their stages on, so that started items finish first."""

    @graph
    def inner(page: str) -> list[int]:
        return each(count, each(fetch, [page, page]))

    @graph
    def main(urls: list[str]) -> Any:
        return each(inner, each(fetch, urls))

    found = nodes(main, ["a", "b"])
    assert [(found[f"inner[1]/count[{i}]"].lead, found[f"inner[1]/count[{i}]"].stage) for i in (0, 1)] == [
        (1, 2),
        (1, 2),
    ]
    assert (found["inner[0]/fetch[1]"].lead, found["inner[0]/fetch[1]"].stage) == (0, 1)


def test_settled_calls_for_every_item() -> None:
    """`each(fetch.settled, urls)` collects outcomes; the ops keep their keys."""

    @graph
    def main(urls: list[str]) -> Any:
        return [each(fetch.settled, urls, depth=1), each(sub.settled, links("x"))]

    wiring = wired(main, ["a", "b"])
    assert [node.key for node in wiring.nodes if node.shown] == ["fetch[0]", "fetch[1]", "links"]
    collector = next(node for node in wiring.nodes if node.kind is NodeKind.COLLECT)
    assert [wiring.nodes[i].kind for i in collector.sources] == [NodeKind.OUTCOME, NodeKind.OUTCOME]
    assert [wiring.nodes[0].settled, wiring.nodes[2].settled] == [1, 3]
    part = fragment(next(node for node in wiring.nodes if node.kind is NodeKind.MAP))
    assert part.wiring.nodes[part.output].kind is NodeKind.OUTCOME
    assert [node.settled for node in part.wiring.nodes] == [-1, 3, 3, -1]


class Shelf:
    """Methods are mapped as well."""

    @op
    async def load(self, key: str) -> str:
        return key


def test_methods_in_each() -> None:
    """`each(self.load, keys)` gives the instance, then the item."""
    shelf = Shelf()

    @graph
    def main(keys: list[str]) -> Any:
        return [each(shelf.load, keys), each(shelf.load, links("x"))]

    found = nodes(main, ["a"])
    assert found["load[0]"].args == (shelf, "a")
    assert fragment(found["load#2"]).wiring.nodes[1].args[0] is shelf


def test_an_order_holds_for_every_item() -> None:
    """`.after(x)` in an `each` makes every item wait, real or promised."""

    @graph
    def main(urls: list[str]) -> Any:
        ready = count("x")
        return [each(fetch.after(ready), urls), each(fetch.after(ready), links("y")), each(sub.after(ready), urls)]

    wiring = wired(main, ["a", "b"])
    found = {node.key: node for node in wiring.nodes}
    assert [found[f"fetch[{i}]"].after for i in (0, 1)] == [(0,), (0,)]
    assert [found[f"sub[{i}]/fetch"].after for i in (0, 1)] == [(0,), (0,)]
    assert [found[f"sub[{i}]/count"].after for i in (0, 1)] == [(), ()]
    part = fragment(found["fetch#2"])
    assert (part.captures, part.wiring.nodes[2].after) == ((0,), (1,))


def test_every_item_has_a_node_of_its_own() -> None:
    """A body that returns the same outside result, or a constant, for every item still gives one result per item."""

    @graph
    def main(urls: list[str]) -> Any:
        page = fetch("x")

        @graph
        def same(url: str) -> str:
            return page

        @graph
        def constant(url: str) -> int:
            return 5

        return [each(same, urls), each(constant, urls), each(constant, links("y"))]

    wiring = wired(main, WORDS)
    collectors = [node for node in wiring.nodes if node.kind is NodeKind.COLLECT]
    assert [len(set(node.sources)) for node in collectors] == [3, 3]


# ── names of items ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_are_named_by_map_key() -> None:
    """`map_key` names real items while wiring; a further stage inherits the names."""

    @graph
    def main(urls: list[str]) -> Any:
        return each(count, each(fetch.options(map_key=str.upper), urls))

    assert op_keys(main, ["a", "b"]) == ["fetch[A]", "fetch[B]", "count[A]", "count[B]"]


def test_a_graph_may_have_a_map_key() -> None:
    """Graphs name their items too."""

    @graph
    def main(urls: list[str]) -> Any:
        return each(sub.options(map_key=str.upper), urls)

    assert op_keys(main, ["a"]) == ["sub[A]/fetch", "sub[A]/count"]


def test_names_of_items_that_come_later_are_left_to_the_run() -> None:
    """Over a promise, and over results of a stage before, `map_key` needs values: the map waits for the list."""

    @graph
    def main(urls: list[str]) -> Any:
        named = count.options(map_key=str.upper)
        return [each(named, links("x")), each(named, each(fetch, urls)), each(named, each(fetch, links("y")))]

    found = [node for node in wired(main, ["a"]).nodes if node.kind is NodeKind.MAP and node.key.startswith("count")]
    assert [fragment(node).map_key for node in found] == [str.upper] * 3
    assert [node.chained for node in found] == [False, False, False]


@pytest.mark.parametrize(
    ("map_key", "message"),
    [
        (lambda url: "same", r"gave 'same' for item 1: item 0 has that key already"),
        (lambda url: "", r"gave '' for item 0: a key is a string that is not empty and has none of / \[ \] #"),
        (lambda url: f"x/{url}", r"gave 'x/a' for item 0: a key is a string"),
        (lambda url: f"x[{url}", r"gave 'x\[a' for item 0"),
        (lambda url: f"x]{url}", r"gave 'x\]a' for item 0"),
        (lambda url: f"x#{url}", r"gave 'x#a' for item 0"),
        (lambda url: 3, r"gave 3 for item 0: a key is a string"),
        (lambda url: None, r"gave None for item 0: a key is a string"),
        (lambda url: "a\nb", r"control character U\+000A"),
        (lambda url: url * 201, r"1 to 200 characters, not 201"),
    ],
)
def test_bad_names_fail_the_map(map_key: Callable[[str], Any], message: str) -> None:
    """Duplicate, empty and unfit names are refused, naming map, place and item."""

    @graph
    def main(urls: list[str]) -> Any:
        return each(fetch.options(map_key=map_key), urls)

    with pytest.raises(PlanError, match=message) as caught:
        wired(main, ["a", "b"])
    assert "map_key of main/fetch, called at " in str(caught.value)
    assert f"{__file__}:" in str(caught.value)


def test_a_real_list_of_promises_has_no_names() -> None:
    """`map_key` cannot look at an item that is a promise."""

    @graph
    def main(url: str) -> Any:
        return each(count.options(map_key=str.upper), [fetch(url)])

    with pytest.raises(TracingError, match=r"cannot name item 0, which is a promise"):
        wired(main, "a")


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_outside_a_graph() -> None:
    """There is nothing to wire into."""
    with pytest.raises(TracingError, match=r"each\(…\) was called outside a graph, at .*test_each\.py:\d+"):
        each(fetch, ["a"])


@pytest.mark.parametrize("fn", [len, str.upper, lambda word: word, fetch.fn])
def test_each_takes_ops_and_graphs(fn: Callable[[str], Any]) -> None:
    """A plain function is told to become an op or a step."""

    @graph
    def main(urls: list[str]) -> Any:
        return each(fn, urls)

    with pytest.raises(TracingError, match=r"neither op nor graph: put @op on it, or make one step of all: `apply\("):
        wired(main, ["a"])


@pytest.mark.parametrize("items", [3, None, fetch, object()], ids=["number", "None", "op", "object"])
def test_each_over_something_that_is_no_list(items: Any) -> None:
    """The error names what is mapped and says what an `each` takes."""

    @graph
    def main() -> Any:
        return each(fetch, items)

    kind = type(items).__name__
    with pytest.raises(TracingError, match=rf"each\(fetch, …\) at .* takes items .* a value of type {kind}$"):
        wired(main)


def test_each_takes_whatever_gives_items_in_order() -> None:
    """Lists, tuples, ranges, generators, and what has only `__getitem__`."""

    class Old:
        def __getitem__(self, i: int) -> str:
            return WORDS[i]

    for items in (WORDS, tuple(WORDS), iter(WORDS), (word for word in WORDS), dict.fromkeys(WORDS), Old()):

        @graph
        def main(given: Any = items) -> Any:
            return each(fetch, given)

        assert op_keys(main) == ["fetch[0]", "fetch[1]", "fetch[2]"]


@pytest.mark.parametrize("thing", [5, None, "fetch", ["a"]])
def test_each_of_something_that_cannot_be_called(thing: Any) -> None:
    """The error says what stands in place of the op, and nothing of steps."""

    @graph
    def main() -> Any:
        return each(thing, WORDS)

    with pytest.raises(TracingError, match=r"takes an op or a graph and then the items, and was given a value of type"):
        wired(main)


def test_a_step_of_something_that_cannot_be_called() -> None:
    """It is refused while wiring, not by the run."""

    @graph
    def main() -> Any:
        return apply(5, fetch("a"))  # type: ignore[arg-type]  — wrong on purpose

    with pytest.raises(TracingError, match=r"apply\(…\) at .* takes a function first, not a value of type int"):
        wired(main)


def test_arguments_are_checked_for_every_way_of_mapping() -> None:
    """A misspelt argument is refused for real lists, promises and graphs."""

    @graph
    def main(how: int) -> Any:
        items: Any = [WORDS, links("x"), each(fetch, WORDS)][how]
        return each(count, items, facter=2)

    for how in range(3):
        with pytest.raises(PlanError, match=r"has no parameter 'facter'; did you mean 'factor'\?"):
            wired(main, how)


def test_types_of_items_are_compared() -> None:
    """The items of a `list[int]` do not fit a `str`, one by one or as what a stage before gives."""

    @op
    async def numbers(url: str) -> list[int]:
        return [len(url)]

    @graph
    def dynamic(url: str) -> Any:
        return each(fetch, numbers(url))

    @graph
    def chained(urls: list[str]) -> Any:
        return each(fetch, each(count, urls))

    for main, given in ((dynamic, "a"), (chained, ["a"])):
        with pytest.raises(PlanError, match=r"takes str as 'url', and is given a result of type int"):
            wired(main, given)


def test_a_promise_of_one_item_does_not_leave_its_call() -> None:
    """What was wired for one item of a promised list cannot be used outside."""
    leaked: list[Any] = []

    @graph
    def leaks(link: str) -> str:
        leaked.append(fetch(link))
        return leaked[0]

    @graph
    def main(url: str) -> Any:
        pages = each(leaks, links(url))
        return [pages, count(leaked[0])]

    with pytest.raises(TracingError, match=r"outside the call of `each` in main that it was made in"):
        wired(main, "a")


def test_maps_beside_other_things() -> None:
    """Collectors are results like any other: passed on, added, counted, unpacked from."""

    @graph
    def main(urls: list[str]) -> Any:
        pages = each(fetch, urls)
        first = pages[0]
        return [total(each(count, pages)), apply(len, pages), count(first), each(pair, pages)]

    assert op_keys(main, ["a"]) == ["fetch[0]", "count[0]", "total", "len", "count#2", "pair[0]"]
