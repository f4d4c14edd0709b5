"""Frames by hand: transitions, doubts, values."""

import pytest

from asyncflow import OpStatus, graph, op
from asyncflow._authoring import Node, NodeKind, Ref, Wiring
from asyncflow._plan import freeze
from asyncflow._scheduler import STATUS, Frame, IllegalTransitionError


@op
async def step(*xs: object) -> int:
    return 1


def frame_of(*nodes: Node) -> Frame:
    """A begun frame of nodes given by hand."""
    wiring = Wiring("by_hand")
    wiring.nodes = list(nodes)
    frame = Frame(freeze(wiring))
    frame.begin(())
    return frame


def call(key: str, *sources: int, after: tuple[int, ...] = (), lists: bool = False) -> Node:
    """An op that reads the given nodes, one by one or all in one list."""
    refs = tuple(Ref(i) for i in sources)
    args = ([*refs],) if lists else refs
    return Node(NodeKind.OP, key, op=step.definition, args=args, refs=lists, sources=sources, after=after, shown=True)


def states(frame: Frame) -> list[OpStatus]:
    return [STATUS[state] for state in frame.status]


def test_ready_comes_in_order_of_declaration() -> None:
    """Roots first; a join when its last source has ended."""
    frame = frame_of(call("a"), call("b"), call("c", 0, 1))
    assert frame.ready == [0, 1]
    frame.ready.clear()
    frame.succeed(0, "x")
    assert frame.ready == []
    frame.succeed(1, "y")
    assert (frame.ready, frame.values[:2]) == ([2], ["x", "y"])


@pytest.mark.parametrize("end", ["succeed", "fail", "skip", "cancel"])
def test_a_final_state_never_changes(end: str) -> None:
    """Every move out of a final state raises and changes nothing."""
    for first in ("succeed", "fail", "skip", "cancel"):
        frame = frame_of(call("a"), call("b"))
        move(frame, first)
        before = (bytes(frame.status), frame.left)
        with pytest.raises(IllegalTransitionError, match="a is"):
            move(frame, end)
        assert (bytes(frame.status), frame.left) == before


def move(frame: Frame, end: str) -> None:
    if end == "succeed":
        frame.succeed(0, 1)
    elif end == "fail":
        frame.fail(0, ValueError())
    else:
        getattr(frame, end)(0)


def test_failed_and_skipped_sources_do_not_depend_on_their_order() -> None:
    """One source failed, another skipped: SKIPPED, whichever ended first."""
    for order in ((0, 1), (1, 0)):
        frame = frame_of(call("failed"), call("skipped"), call("join", 0, 1), call("after", 2))
        for i in order:
            if i == 0:
                frame.fail(0, ValueError())
            else:
                frame.skip(1)
        assert states(frame)[2:] == [OpStatus.SKIPPED, OpStatus.SKIPPED]


def test_abandoned_names_the_first_cause() -> None:
    """A long way down, the cause is the op that failed."""
    frame = frame_of(call("a"), call("b", 0), call("c", 1), call("d", 2))
    frame.fail(0, ValueError())
    assert (states(frame)[1:], frame.blame, frame.left) == ([OpStatus.ABANDONED] * 3, {1: 0, 2: 0, 3: 0}, 0)


def test_a_list_is_skipped_only_where_all_in_it_are() -> None:
    """Fan-in: those present are passed on."""
    frame = frame_of(call("a"), call("b"), call("join", 0, 1, lists=True))
    frame.skip(0)
    frame.succeed(1, 5)
    assert frame.ready == [0, 1, 2]
    both = frame_of(call("a"), call("b"), call("join", 0, 1, lists=True))
    both.skip(0)
    both.skip(1)
    assert states(both)[2] == OpStatus.SKIPPED


def test_after_ignores_a_skip_and_not_a_failure() -> None:
    """Order only: a SKIPPED predecessor does not stop it, a FAILED one abandons it."""
    frame = frame_of(call("a"), call("b", after=(0,)))
    frame.skip(0)
    assert frame.ready == [0, 1]
    failed = frame_of(call("a"), call("b", after=(0,)))
    failed.fail(0, ValueError())
    assert states(failed)[1] == OpStatus.ABANDONED


def test_a_closed_frame_starts_nothing_more() -> None:
    """After closing, ends are taken and nobody becomes ready."""
    frame = frame_of(call("a"), call("b", 0))
    frame.status[0] = 2
    frame.close()
    frame.succeed(0, 1)
    assert (states(frame), frame.ready, frame.left) == ([OpStatus.SUCCEEDED, OpStatus.CANCELED], [], 0)


def test_a_plan_is_not_changed_by_runs_that_grow() -> None:
    """A map that learns its items at run time appends to the run's tables; the plan stays."""
    from asyncflow import each
    from asyncflow.testing import run_virtual

    @op
    async def listed(n: int) -> list[int]:
        return list(range(n))

    @op
    async def same(x: int) -> int:
        return x

    @graph(static=True)
    def mapped(n: int) -> list[int]:
        return each(same, listed(n))

    plan = mapped.plan()
    count = len(plan.nodes)
    assert [run_virtual(mapped.run, n) for n in (3, 0, 5)] == [[0, 1, 2], [], [0, 1, 2, 3, 4]]
    assert len(mapped.wire((1,), {}).nodes) == count
