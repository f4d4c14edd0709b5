"""Selections: the grammar, what it reaches, where it cuts, and what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow import (
    ConfigurationError,
    Graph,
    OpStatus,
    Outcome,
    PlanError,
    RunStatus,
    apply,
    each,
    graph,
    op,
    when,
)
from asyncflow._authoring import Clause, parse_clauses
from asyncflow.testing import run_virtual

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """No op has run yet."""
    ran.clear()


def run(part: Graph[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns the value of a run."""

    async def main() -> Any:
        return await part.run(*args, **kwargs)

    return run_virtual(main)


# ── the grammar ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "clause"),
    [
        ("a", Clause("a", 0, 0)),
        ("+a", Clause("a", 1, 0)),
        ("a+", Clause("a", 0, 1)),
        ("++a+++", Clause("a", 2, 3)),
        ("*a", Clause("a", None, 0)),
        ("a*", Clause("a", 0, None)),
        ("*a*", Clause("a", None, None)),
        ("+a*", Clause("a", 1, None)),
        (" *a ", Clause("a", None, 0)),
        ("*", Clause("", None, None)),
        ("sub#2/fetch[17]+", Clause("sub#2/fetch[17]", 0, 1)),
        ("two words", Clause("two words", 0, 0)),
        ("日本*", Clause("日本", 0, None)),
    ],
)
def test_clauses(written: str, clause: Clause) -> None:
    """Signs in front reach for what a name needs, behind it for what needs it."""
    assert parse_clauses([written]) == (clause,)


def test_lists_of_clauses() -> None:
    """Lists are taken apart, however deep."""
    assert parse_clauses(["a", ["b", ("c",)]]) == (Clause("a"), Clause("b"), Clause("c"))


@pytest.mark.parametrize("written", ["", " ", "+", "**", "+*a", "a*+", "a+b", "**a", "a**", "* a *b"])
def test_no_clauses(written: str) -> None:
    """What cannot be meant is refused with what to write."""
    with pytest.raises(ConfigurationError, match=re.escape(f"{written!r} is no clause of a selection")):
        parse_clauses([written])


@pytest.mark.parametrize("written", [[], [[]], [3], [None], [b"a"]])
def test_nothing_to_select(written: Any) -> None:
    """No clause at all, or something else, is refused."""
    with pytest.raises(ConfigurationError, match=r"select\(…\)"):
        parse_clauses(written)


@settings(max_examples=200)
@given(st.text(max_size=12))
def test_any_text_is_a_clause_or_refused(written: str) -> None:
    """Nothing else comes out of any text."""
    try:
        (clause,) = parse_clauses([written])
    except ConfigurationError:
        return
    assert clause.name == "" or clause.name in written


# ── layers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@op
async def load(n: int) -> list[int]:
    ran.append("load")
    return list(range(n))


@op
async def double(x: int) -> int:
    ran.append("double")
    return 2 * x


@op
async def check(x: int) -> int:
    ran.append("check")
    if x == 2:
        raise ValueError("two")
    return x


@op
async def total(xs: list[Any]) -> int:
    ran.append("total")
    return sum(x.value if isinstance(x, Outcome) and x.ok else 0 if isinstance(x, Outcome) else x for x in xs)


@op
async def note(x: Any) -> None:
    ran.append("note")


@graph
def line(x: int) -> int:
    a = double.options(name="a")(x)
    b = double.options(name="b")(a + 1)
    c = double.options(name="c")(b)
    return double.options(name="d")(c)


@pytest.mark.parametrize(
    ("clauses", "keys"),
    [
        (["a"], "a"),
        (["*c"], "abc"),
        (["b*"], "bcd"),
        (["+c"], "bc"),
        (["++c"], "abc"),
        (["+++c"], "abc"),
        (["a+"], "ab"),
        (["a++"], "abc"),
        (["+b+"], "abc"),
        (["a", "c"], "ac"),
        ([["a", "*b"]], "ab"),
        (["*"], "abcd"),
    ],
)
def test_layers_of_a_line(clauses: list[Any], keys: str) -> None:
    """One sign is one op further, whatever expressions stand between; several clauses add up."""
    part = line.select(*clauses).given({"a": 100, "b": 100, "c": 100})
    assert list(run(part, 1)) == list(keys)
    assert len(ran) == len(keys)


def test_selecting_again_replaces() -> None:
    """The last selection holds; the graph itself is untouched."""
    assert list(run(line.select("b").select("a"), 1)) == ["a"]
    assert run(line, 1) == 24


# ── values of what is left out ──────────────────────────────────────────────────────────────────────────────────────


def test_a_value_that_is_missing() -> None:
    """Refused before anything runs: what is needed, and both ways to give it; `needed` says it beforehand."""
    part = line.select("c")
    assert part.needed(1) == ("b",)
    with pytest.raises(PlanError, match=r"also needs the value of 'b': select that too .*\.given\(\{'b': …\}\)"):
        run(part, 1)
    with pytest.raises(PlanError, match="needs the value of 'b'; did you mean 'bb'"):
        run(part.given({"bb": 3}), 1)
    assert ran == []
    assert part.given({"b": 3}).needed(1) == ()
    assert run(part.given({"b": 3}), 1) == {"c": 6}


def test_the_value_of_an_earlier_run() -> None:
    """The output of one selection is what another needs; more than that does no harm, later values replace."""
    first = run(line.select("*b"), 1)
    assert first == {"a": 2, "b": 6}
    assert run(line.select("b*").given(first), 1) == {"b": 6, "c": 12, "d": 24}
    assert run(line.select("c").given(first).given({"b": 0}), 1) == {"c": 0}


def test_given_takes_results_by_key() -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match=r"given\(…\) takes results by key"):
        line.select("c").given([1])  # type: ignore[arg-type]  # on purpose


def test_a_store_can_give_values() -> None:
    """Any mapping will do; it is asked for what is needed."""

    class Store(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"b": 3}[key]

        def __iter__(self) -> Any:
            return iter(["b"])

        def __len__(self) -> int:
            return 1

    assert run(line.select("c").given(Store()), 1) == {"c": 6}


# ── unknown names ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_names() -> None:
    """The nearest name, or what there is."""
    with pytest.raises(PlanError, match="line has nothing called 'aa' to select; did you mean 'a'"):
        line.select("aa").plan(1)
    with pytest.raises(PlanError, match="nothing called 'xyzzy' to select; it has a, b, c, d"):
        line.select("xyzzy*").plan(1)


@graph
def empty(x: int) -> int:
    return x


def test_a_graph_without_ops() -> None:
    """There is nothing to select, and that is said."""
    with pytest.raises(PlanError, match="it has no ops"):
        empty.select("a").plan(1)
    with pytest.raises(PlanError, match="it has no ops"):
        empty.select("*").plan(1)


# ── maps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@graph
def known(n: int) -> int:
    doubled = each(double, list(range(n)))
    checked = each(check.settled, doubled)
    noted = each(note, doubled)
    return total.after(noted)(checked)


@graph
def unknown(n: int) -> int:
    doubled = each(double, load(n))
    checked = each(check.settled, doubled)
    noted = each(note, doubled)
    return total.after(noted)(checked)


@pytest.mark.parametrize("mapped", [known, unknown])
def test_a_map_is_one_list(mapped: Graph[[int], int]) -> None:
    """The name of an `each` is all of its items, its value their list, whether the items were real or a result."""
    assert run(mapped.select("*double"), 3)["double"] == [0, 2, 4]
    checked = run(mapped.select("check").given({"double": [1, 2]} if mapped is unknown else {"double": [1, 2, 3]}), 3)
    assert [one.status for one in checked["check"]][:2] == [OpStatus.SUCCEEDED, OpStatus.FAILED]
    assert set(ran) - {"load"} == {"double", "check"}


@pytest.mark.parametrize("mapped", [known, unknown])
def test_order_on_what_is_left_out_is_dropped(mapped: Graph[[int], int]) -> None:
    """`total` starts after `note`; without it, it does not wait. Its list is given as one, plain or of outcomes."""
    assert run(mapped.select("total").given({"check": [1, 2, 3]}), 3) == {"total": 6}
    assert run(mapped.select("total").given({"check": [Outcome(OpStatus.SUCCEEDED, 5)]}), 3) == {"total": 5}
    assert ran == ["total", "total"]


@pytest.mark.parametrize("mapped", [known, unknown])
def test_order_on_what_is_selected_stays(mapped: Graph[[int], int]) -> None:
    """With `note` it waits for all of them."""
    value = run(mapped.select("*total"), 3)
    assert value["total"] == 4
    assert ran.index("total") > max(i for i, name in enumerate(ran) if name == "note")


def test_order_on_some_items_of_a_map() -> None:
    """Two of three items are selected: what starts after all of them waits for these two, and needs no value."""
    part = known.select("note[0]", "note[2]", "total").given({"check": [1], "double": [7, 8, 9]})
    assert run(part, 3) == {"note[0]": None, "note[2]": None, "total": 1}
    assert ran == ["note", "note", "total"]


def test_single_items() -> None:
    """Items of real lists have keys of their own; what reads the whole list needs the others."""
    assert run(known.select("double[1]"), 3) == {"double[1]": 2}
    assert known.select("double[0]*").needed(3) == ("check[1]", "check[2]")
    with pytest.raises(PlanError, match=r"nothing called 'double\[1\]' to select; did you mean 'double'"):
        unknown.select("double[1]").plan(3)


def test_what_is_settled_gives_outcomes() -> None:
    """A selected op that may fail still may: its entry is the outcome, and the run succeeds."""

    @graph
    def tolerant(x: int) -> Any:
        return note(check.settled(x))

    value = run(tolerant.select("check"), 2)
    assert value["check"].status is OpStatus.FAILED
    value = run(tolerant.select("note").given({"check": 3}), 2)
    assert value == {"note": None}


@op
async def halve(x: int) -> int:
    ran.append("halve")
    return x // 2


@graph
def inner(x: int) -> int:
    return halve(double(x))


def test_nested_graphs() -> None:
    """The key of a nested graph is all inside; one op of it goes by its own key. An `each` over it is one list."""

    @graph
    def outer(x: int) -> int:
        return total([inner(x), *[inner(x)]])

    assert run(outer.select("inner"), 4) == {"inner/double": 8, "inner/halve": 4}
    assert run(outer.select("inner#2/halve").given({"inner#2/double": 100}), 4) == {"inner#2/halve": 50}

    @graph
    def many(n: int) -> int:
        return total(each(inner, list(range(n))))

    assert run(many.select("*total"), 3) == {"inner": [0, 1, 2], "total": 3}
    assert run(many.select("inner[1]"), 3) == {"inner[1]/double": 2, "inner[1]/halve": 1}
    assert run(many.select("total").given({"inner": [7]}), 3) == {"total": 7}


def test_a_settled_nested_graph() -> None:
    """All of it is one entry, its outcome; what fails inside is tolerated as in the whole graph."""

    @graph
    def fails(x: int) -> int:
        return check(double(x))

    @graph
    def outer(x: int) -> Any:
        return note(fails.settled(x))

    value = run(outer.select("fails"), 1)
    assert list(value) == ["fails"]
    assert value["fails"].status is OpStatus.FAILED
    assert run(outer.select("note").given({"fails": 3}), 1) == {"note": None}


# ── branches ────────────────────────────────────────────────────────────────────────────────────────────────────────


@graph
def branching(x: int) -> int:
    size = double(x)
    chosen = when(size > 4, lambda: halve(size), lambda: check(size))
    return total([chosen])


def test_branches() -> None:
    """What decides is needed, and so is what only passes values on; the branch not taken has no entry."""
    assert run(branching.select("*total"), 4) == {"double": 8, "halve": 4, "total": 4}
    ran.clear()
    assert run(branching.select("halve").given({"double": 8}), 1) == {"halve": 4}
    assert run(branching.select("halve").given({"double": 2}), 1) == {}
    assert ran == ["halve"]
    assert branching.select("check").needed(1) == ("double",)


def test_steps_can_be_selected() -> None:
    """A step of `apply` is a layer like an op."""

    @graph
    def stepping(x: int) -> int:
        return double(apply(abs, double(x)))

    assert run(stepping.select("*abs"), -3) == {"double": -6, "abs": 6}
    assert run(stepping.select("+double#2").given({"double": -1}), -3) == {"abs": 1, "double#2": 2}


# ── static graphs, plans, failures, and where a selection cannot be ─────────────────────────────────────────────────


def test_static_graphs() -> None:
    """Wired once for each selection, whatever is given; inputs stay inputs."""
    wired: list[int] = []

    @graph(static=True)
    def fixed(x: int, y: int) -> int:
        wired.append(1)
        return halve(double(x)) + y

    part = fixed.select("double")
    assert [run(part, x, 0) for x in (1, 2, 3)] == [{"double": 2}, {"double": 4}, {"double": 6}]
    assert len(wired) == 1
    assert run(fixed.select("halve").given({"double": 10}), 1, y=0) == {"halve": 5}
    assert run(fixed.select("halve").given({"double": 20}), 1, y=0) == {"halve": 10}
    assert run(fixed, 1, 1) == 2


def test_the_plan_of_a_part() -> None:
    """It has what is selected, and what is missing as an input; nothing else."""
    plan = line.select("c").plan(1)
    assert list(plan.ids) == ["c"]
    assert [name for name, _ in plan.inputs] == ["b"]
    assert "(given b)" in plan.text()


def test_a_failure_in_a_part() -> None:
    """As in any run: FAILED, with what depends on it abandoned, and no value."""

    @graph
    def failing(x: int) -> int:
        return double(check(double(x)))

    async def main() -> Any:
        return await failing.select("check", "double#2").given({"double": 2}).try_run(1)

    result = run_virtual(main)
    assert (result.status, result.output) == (RunStatus.FAILED, None)
    assert {key: one.status for key, one in result.ops.items()} == {
        "check": OpStatus.FAILED,
        "double#2": OpStatus.ABANDONED,
    }


def test_a_part_is_not_part_of_another_graph() -> None:
    """A selection belongs to the graph that is run; what to write there is said."""

    @graph
    def outer(x: int) -> Any:
        return inner.select("double")(x)

    with pytest.raises(PlanError, match=r"is a selection, which belongs to the graph that is run.*begin with inner/"):
        outer.plan(1)


def test_a_graph_that_is_a_method() -> None:
    """The instance is bound before or after the selection."""

    class Box:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @op
        async def times(self, x: int) -> int:
            return self.factor * x

        @graph
        def twice(self, x: int) -> int:
            return self.times(self.times(x))

    assert run(Box(3).twice.select("times"), 2) == {"times": 6}


# ── against a slow, obvious model ───────────────────────────────────────────────────────────────────────────────────


@op
async def combine(name: str, parts: list[Any]) -> str:
    ran.append(name)
    return name


@st.composite
def dags(draw: st.DrawFn) -> list[list[int]]:
    """For each op, the earlier ones that it reads."""
    size = draw(st.integers(1, 9))
    return [draw(st.lists(st.integers(0, i - 1), unique=True, max_size=3)) if i else [] for i in range(size)]


def reach(edges: list[set[int]], start: int, layers: int | None) -> set[int]:
    """Everything within so many steps, by repeating one step."""
    found = {start}
    for _ in range(len(edges) if layers is None else layers):
        found |= {j for i in found for j in edges[i]}
    return found


@settings(max_examples=150)
@given(dags(), st.data())
def test_any_graph_any_selection(reads: list[list[int]], data: st.DataObject) -> None:
    """What runs is what the model reaches, what is needed is what it reads beside that, and the value has its keys."""

    @graph
    def any_graph() -> Any:
        made: list[Any] = []
        for i, sources in enumerate(reads):
            made.append(combine.options(name=f"n{i}")(f"n{i}", [made[j] for j in sources]))
        return made

    before = [set(sources) for sources in reads]
    behind: list[set[int]] = [{i for i, sources in enumerate(before) if j in sources} for j in range(len(reads))]
    signs = st.sampled_from(["", "+", "++", "*"])
    clauses = data.draw(st.lists(st.tuples(signs, st.integers(0, len(reads) - 1), signs), min_size=1, max_size=3))
    expected: set[int] = set()
    for up, start, down in clauses:
        expected |= reach(before, start, None if up == "*" else len(up))
        expected |= reach(behind, start, None if down == "*" else len(down))
    needed = {j for i in expected for j in before[i]} - expected

    part = any_graph.select([f"{up}n{i}{down}" for up, i, down in clauses])
    assert set(part.needed()) == {f"n{j}" for j in needed}
    ran.clear()
    value = run(part.given({f"n{j}": "given" for j in needed}))
    assert sorted(ran) == sorted(value) == sorted(f"n{i}" for i in expected)
