"""`when`: gates in front of both branches, one result behind them."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow import PlanError, TracingError, apply, each, graph, op, when
from asyncflow._authoring import NodeKind, Ref
from tests._authoring.wired import anything, count, fetch, links, nodes, op_keys, wired


def test_both_branches_are_wired_behind_gates() -> None:
    """What a callable wires stands behind its gate, expressions too; what was wired outside does not."""

    @graph
    def main(url: str) -> Any:
        size = count(url)
        page = fetch(url)
        return when(size > 3, lambda: count(page.title), lambda: fetch.options(name="other")(url))

    wiring = wired(main, "a")
    found = {node.key: (i, node) for i, node in enumerate(wiring.nodes)}
    yes, no = found["(when)"], found["(when)#2"]
    assert [(gate.args[0].id, gate.args[1], gate.sources) for _, gate in (yes, no)] == [
        (2, True, (2,)),
        (2, False, (2,)),
    ]
    gates = {key: node.gate for key, (_, node) in found.items() if node.gate >= 0}
    assert gates == {"(getattr title)": yes[0], "count#2": yes[0], "other": no[0]}
    merge = found["(merge)"][1]
    assert [part.id for part in merge.args] == [2, found["count#2"][0], found["other"][0]]
    assert merge.sources == (2, found["count#2"][0], found["other"][0])


def test_a_real_condition_chooses_while_wiring() -> None:
    """Only the chosen callable is called, and its result is given as it is."""

    @graph
    def main(fast: bool) -> Any:
        return when(fast, lambda: count("a"), lambda: fetch("a"))

    assert op_keys(main, fast=True) == ["count"]
    assert op_keys(main, fast=False) == ["fetch"]
    assert when.__name__ == "when"


def test_branches_may_give_real_values_and_containers() -> None:
    """A real value is kept in the merge; a container with results becomes a step behind the gate."""
    real = [1, 2]

    @graph
    def main(url: str) -> Any:
        size = count(url)
        return when(size > 3, lambda: real, lambda: {"size": size, "pages": [fetch(url)]})

    wiring = wired(main, "a")
    merge = wiring.nodes[wiring.output.id]
    assert merge.args[1] is real
    assert isinstance(merge.args[2], Ref)
    step = wiring.nodes[merge.args[2].id]
    assert (step.kind, step.refs, wiring.nodes[step.gate].kind) == (NodeKind.STEP, True, NodeKind.GATE)


def test_branches_nest() -> None:
    """A gate inside a branch stands behind that branch's gate."""

    @graph
    def main(url: str) -> Any:
        size = count(url)
        return when(
            size > 3,
            lambda: when(size > 5, lambda: fetch("long"), lambda: fetch("middle")),
            lambda: fetch("short"),
        )

    wiring = wired(main, "a")
    by_id = wiring.nodes
    gates = [i for i, node in enumerate(by_id) if node.kind is NodeKind.GATE]
    assert [by_id[i].gate for i in gates] == [-1, gates[0], gates[0], -1]
    fetches = [node for node in by_id if node.kind is NodeKind.OP and node.key.startswith("fetch")]
    assert [node.gate for node in fetches] == [gates[1], gates[2], gates[3]]
    inner = next(node for node in by_id if node.kind is NodeKind.MERGE)
    assert inner.gate == gates[0]


def test_everything_can_stand_in_a_branch() -> None:
    """Maps, collectors, nested graphs, settled calls and steps are gated."""

    @graph
    def sub(url: str) -> int:
        return count(fetch(url))

    @graph
    def main(url: str) -> Any:
        size = count(url)
        return when(
            size > 3,
            lambda: [each(fetch, ["a"]), each(fetch, links("b")), sub("c"), sub.settled("d"), apply(len, url)],
            lambda: 0,
        )

    wiring = wired(main, "a")
    gate = next(i for i, node in enumerate(wiring.nodes) if node.kind is NodeKind.GATE)
    inside = [node for node in wiring.nodes[gate + 1 :] if node.kind not in (NodeKind.GATE, NodeKind.MERGE)]
    assert {node.gate for node in inside} == {gate}


def test_in_each_both_ways() -> None:
    """A graph that branches can be mapped, and a branch may map."""

    @graph
    def choose(page: str) -> Any:
        size = count(page)
        return when(size > 3, lambda: size, lambda: each(count, links(page)))

    @graph
    def main(urls: list[str]) -> Any:
        return [each(choose, urls), each(choose, links("x"))]

    found = nodes(main, ["a"])
    assert found["choose[0]/(when)"].args[1] is True
    fragment = found["choose#2"].fragment
    assert fragment is not None
    inside = {node.key: node for node in fragment.wiring.nodes}
    mapped = inside["choose#2[]/count#2"]
    assert mapped.kind is NodeKind.MAP
    assert fragment.wiring.nodes[mapped.gate].key == "choose#2[]/(when)#2"


def test_a_type_that_both_branches_share_is_known() -> None:
    """Where both branches give what the same op gives, the result is compared like that op's."""

    @op
    async def shout(text: str) -> str:
        return text.upper()

    @graph
    def main(url: str) -> Any:
        size = count(url)
        return shout(when(size > 3, lambda: count("a"), lambda: count("b")))

    with pytest.raises(PlanError, match=r"takes str as 'text', and is given a result of type int"):
        wired(main, "a")


def test_what_is_refused() -> None:
    """Outside a graph, values instead of callables, and a condition that hides a promise."""
    with pytest.raises(TracingError, match=r"when\(…\) was called outside a graph, at .*: there, write `if`"):
        when(True, lambda: 1, lambda: 2)

    @graph
    def values(url: str) -> Any:
        return when(count(url) > 3, 1, 2)

    with pytest.raises(TracingError, match=r"takes two functions without parameters: `lambda: …`"):
        wired(values, "a")

    @graph
    def hides(url: str) -> Any:
        return when([count(url)], lambda: 1, lambda: 2)

    with pytest.raises(TracingError, match=r"the condition of when\(…\), at .*hides the promise of hides/count"):
        wired(hides, "a")


def test_a_branch_may_return_what_was_made_outside() -> None:
    """Ops made outside always run, also where a branch only passes their result on."""

    @graph
    def main(url: str) -> Any:
        page, size = fetch(url), count(url)
        return anything(when(size > 3, lambda: page, lambda: size))

    found = nodes(main, "a")
    assert (found["fetch"].gate, found["count"].gate) == (-1, -1)
    assert found["(merge)"].sources == (2, 0, 1)
