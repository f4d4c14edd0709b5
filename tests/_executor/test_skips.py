"""Ops that skip themselves, and what becomes of those who wait for them."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from asyncflow import (
    Deployment,
    OpEnded,
    OpSkipped,
    OpStatus,
    Retry,
    RunCanceled,
    RunStatus,
    Skip,
    apply,
    each,
    graph,
    op,
    when,
)
from asyncflow.testing import run_virtual


@op
async def give(x: int) -> int:
    return x


@op
async def skip(x: int = 0, *, after: float = 0.0) -> int:
    if after:
        await anyio.sleep(after)
    raise Skip("nothing to give")


@op
def skip_in_thread() -> int:
    raise Skip


@op
async def bad() -> int:
    raise KeyError("x")


@op
async def total(values: list[int]) -> int:
    return sum(values)


@op
async def add(a: int, b: int) -> int:
    return a + b


def statuses(result) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


def test_a_skip_is_no_failure() -> None:
    """The op is SKIPPED with its reason, the run SUCCEEDED without a value; on a thread too."""
    result = run_virtual(skip.try_run)
    record = result.ops["skip"]
    assert (result.status, result.output, result.errors) == (RunStatus.SUCCEEDED, None, ())
    assert (record.status, record.reason, record.error, record.attempts) == (
        OpStatus.SKIPPED, "nothing to give", None, 1
    )  # fmt: skip
    assert run_virtual(skip_in_thread.try_run).ops["skip_in_thread"].reason is None


def test_an_op_run_alone_raises_op_skipped() -> None:
    """`await op.run()` has no value to give: OpSkipped, with the reason."""
    with pytest.raises(OpSkipped, match=r"skip skipped itself \(nothing to give\)"):
        run_virtual(skip.run)


def test_dependents_skip_as_far_as_they_need_it() -> None:
    """An argument skips its reader, and so on; a list goes on with the rest, unless all of it was skipped."""

    @graph
    def several() -> list[object]:
        none = skip()
        return [
            add(none, give(1)),
            give(add(none, 1)),
            total([none, give(2)]),
            total([none, skip.options(name="other")(after=1.0)]),
            give.after(none)(3),
        ]

    result = run_virtual(several.try_run)
    assert (result.status, statuses(result)) == (
        RunStatus.SUCCEEDED,
        {
            "skip": "SKIPPED", "give": "SUCCEEDED", "add": "SKIPPED", "add#2": "SKIPPED", "give#2": "SKIPPED",
            "give#3": "SUCCEEDED", "total": "SUCCEEDED", "other": "SKIPPED", "total#2": "SKIPPED",
            "give#4": "SUCCEEDED",
        },
    )  # fmt: skip
    assert result.output == [2, 3]


def test_items_that_skip_are_left_out() -> None:
    """`each` over known and computed items: the others in source order; the next stage skips per item."""

    @op
    async def even(x: int) -> int:
        if x % 2:
            raise Skip
        return x

    @op
    async def numbers() -> list[int]:
        return [0, 1, 2, 3, 4]

    @graph
    def both() -> tuple[list[int], list[int]]:
        return each(give, each(even, [0, 1, 2, 3, 4])), each(give, each(even, numbers()))

    result = run_virtual(both.try_run)
    assert result.output == ([0, 2, 4], [0, 2, 4])
    assert (result.ops["even[1]"].status, result.ops["give[1]"].status) == (OpStatus.SKIPPED, OpStatus.SKIPPED)


def test_a_skipped_condition_skips_its_branches() -> None:
    """`when` on a value that was skipped: neither branch runs."""

    @graph
    def branching() -> int:
        return when(skip() > 0, lambda: give(1), lambda: give(2))

    result = run_virtual(branching.try_run)
    assert statuses(result) == {"skip": "SKIPPED", "give": "SKIPPED", "give#2": "SKIPPED"}
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, None)


def test_a_skip_and_a_failure_before_one_op() -> None:
    """The op is SKIPPED whichever came first; the run FAILED for the failure."""

    @graph
    def mixed() -> list[int]:
        return [add(skip(after=1.0), bad()), add(bad(), skip())]

    result = run_virtual(mixed.try_run)
    assert (result.ops["add"].status, result.ops["add#2"].status) == (OpStatus.SKIPPED, OpStatus.SKIPPED)
    assert result.status is RunStatus.FAILED


def test_a_settled_skip_tells_itself() -> None:
    """The Outcome is SKIPPED without an error; unwrapping it raises OpSkipped."""

    @graph
    def one() -> object:
        return skip.settled()

    outcome = run_virtual(one.run)
    assert (outcome.status, outcome.error) == (OpStatus.SKIPPED, None)
    with pytest.raises(OpSkipped):
        outcome.unwrap()


def test_a_skip_is_never_tried_again() -> None:
    """No policy sees it, not even one for every Exception."""

    @op(retry=Retry(on=Exception))
    async def once() -> int:
        raise Skip

    assert run_virtual(once.try_run).ops["once"].attempts == 1


def test_a_function_of_apply_may_skip_too() -> None:
    """A tiny step has the same means as an op."""

    def small(x: int) -> int:
        raise Skip("too small")

    @graph
    def one() -> int:
        return give(apply(small, give(1)))

    result = run_virtual(one.try_run)
    assert (result.status, result.output, result.ops["give#2"].status) == (
        RunStatus.SUCCEEDED, None, OpStatus.SKIPPED
    )  # fmt: skip


def test_a_child_that_skips_is_an_exception_in_its_parent() -> None:
    """`await child.run()` raises OpSkipped there; caught it is nothing, uncaught the parent FAILED."""

    @op
    async def parent(*, catches: bool) -> str:
        try:
            await skip.run()
        except OpSkipped:
            if catches:
                return "caught"
            raise
        return "no"

    assert run_virtual(lambda: parent.run(catches=True)) == "caught"
    result = run_virtual(lambda: parent.try_run(catches=False))
    assert [type(error) for error in result.errors] == [OpSkipped]


def test_a_skip_gives_everything_back() -> None:
    """Slots are back, children that still ran are cancelled, OpEnded says SKIPPED."""

    @op(pool="db")
    async def parent(left: list[asyncio.Task[None]]) -> int:
        left.append(asyncio.get_running_loop().create_task(nap.run()))
        await anyio.sleep(1)
        raise Skip

    @op(pool="db")
    async def nap() -> None:
        await anyio.sleep(60)

    async def main():
        seen = []
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 2}}})
        deployment.subscribe(seen.append)
        left: list[asyncio.Task[None]] = []
        result = await parent.on(deployment).try_run(left)
        await asyncio.wait(left)
        assert isinstance(left[0].exception(), RunCanceled)
        ended = {event.key: event.status for event in seen if isinstance(event, OpEnded)}
        return result, ended, deployment.snapshot().pool("db").held

    result, ended, held = run_virtual(main)
    assert held == 0
    assert ended == {"parent": OpStatus.SKIPPED, "parent/nap": OpStatus.CANCELED}
    assert result.ended_at == 1
