"""A run goes on where an earlier one ended: what succeeded is REUSED, all else runs again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from asyncflow import (
    ConfigurationError,
    Deployment,
    InputError,
    Outcome,
    PlanError,
    RunFailed,
    RunResult,
    apply,
    each,
    graph,
    op,
    when,
)
from asyncflow.testing import run_virtual

ran: Counter[str] = Counter()
broken: set[str] = set()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing ran yet and nothing is broken."""
    ran.clear()
    broken.clear()


@op
async def step(name: str, *before: int) -> int:
    ran[name] += 1
    await anyio.sleep(1)
    if name in broken:
        raise ValueError(name)
    return sum(before) + 1


@op
async def numbers(count: int) -> list[int]:
    ran["numbers"] += 1
    return list(range(count))


@op
async def item(number: int, factor: int = 1) -> int:
    name = f"item{number}"
    ran[name] += 1
    if name in broken:
        raise ValueError(name)
    return number * factor


@op
async def total(parts: list[int]) -> int:
    ran["total"] += 1
    return sum(parts)


def statuses(result: RunResult[Any]) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


@graph
def diamond() -> int:
    first = step("first")
    left, right = step("left", first), step("right", first)
    return step("last", left, right + 10)


def test_what_succeeded_is_reused() -> None:
    """Given a run in which one branch failed: the next one runs that branch and what hung on it, and nothing else."""

    async def main() -> None:
        broken.add("right")
        failed = await diamond.try_run()
        assert statuses(failed) == {
            "step": "SUCCEEDED", "step#2": "SUCCEEDED", "step#3": "FAILED", "step#4": "ABANDONED",
        }  # fmt: skip
        broken.clear()
        again = await diamond.options(resume_from=failed).try_run()
        assert again.output == 2 + 12 + 1
        assert statuses(again) == {
            "step": "REUSED", "step#2": "REUSED", "step#3": "SUCCEEDED", "step#4": "SUCCEEDED",
        }  # fmt: skip
        assert ran == {"first": 1, "left": 1, "right": 2, "last": 1}
        assert again.seconds == 2
        assert again.ops["step"].attempts == 0

    run_virtual(main)


def test_a_run_that_succeeded_has_nothing_left_to_do() -> None:
    """Given a run that succeeded: resuming it gives the same value and starts nothing."""

    async def main() -> None:
        whole = await diamond.try_run()
        before = dict(ran)
        again = await diamond.options(resume_from=whole).try_run()
        assert (again.output, again.seconds, dict(ran)) == (whole.output, 0.0, before)
        assert set(statuses(again).values()) == {"REUSED"}

    run_virtual(main)


@graph
def mapped(count: int) -> int:
    return total(each(item, each(item, numbers(count), factor=2), factor=3))


def test_items_of_maps_are_reused_one_by_one() -> None:
    """Given a chain of maps over a result with one broken item: only that item goes on, in the stage that broke."""

    async def main() -> None:
        broken.add("item4")
        failed = await mapped.try_run(4)  # item4 is what the second stage gets for 2
        assert (statuses(failed)["item#2[2]"], statuses(failed)["total"]) == ("FAILED", "ABANDONED")
        broken.clear()
        ran.clear()
        again = await mapped.options(resume_from=failed).try_run(4)
        assert again.output == 6 * (0 + 1 + 2 + 3)
        assert ran == {"item4": 1, "total": 1}
        assert statuses(again)["item[2]"] == "REUSED"

    run_virtual(main)


def test_a_source_that_failed_lets_its_map_grow_anew() -> None:
    """Given a map whose list never came: it grows in the second run."""

    @graph
    def late(count: int) -> int:
        return total(each(item, flaky(count)))

    @op
    async def flaky(count: int) -> list[int]:
        if "flaky" in broken:
            raise ValueError
        return list(range(count))

    async def main() -> None:
        broken.add("flaky")
        failed = await late.try_run(3)
        broken.clear()
        again = await late.options(resume_from=failed).try_run(3)
        assert again.output == 3

    run_virtual(main)


def test_cancelled_ops_run_again() -> None:
    """Given a run that was cancelled in the middle: those that ran or waited then run, the others are reused."""

    async def main() -> None:
        async with Deployment("prod"):
            run = diamond.start()
            await anyio.sleep(1.5)
            await run.cancel("for now")
            ended = await run.result()
            assert statuses(ended)["step#2"] == "CANCELED"
            again = await diamond.options(resume_from=ended).try_run()
        assert again.output == 15
        assert ran == {"first": 1, "left": 2, "right": 2, "last": 1}

    run_virtual(main)


@graph
def branching(flag: int) -> list[Any]:
    seen = step("seen")
    chosen = when(seen > flag, lambda: step("high", seen), lambda: step("low", seen))
    outcome = step.settled("risky", seen)
    doubled = apply(lambda x: x * 2, chosen)
    return [chosen, doubled, judge(outcome), step("end", doubled)]


@op
async def judge(outcome: Outcome[int]) -> str:
    ran["judge"] += 1
    return outcome.status.value


def test_branches_steps_and_settled_calls_keep_what_they_were() -> None:
    """Given a branch that was taken, a step, and a failure that was settled: none of them happens again."""

    async def main() -> None:
        broken.update({"end", "risky"})
        failed = await branching.try_run(0)
        assert statuses(failed)["step#4"] == "FAILED"
        broken.clear()
        before = dict(ran)
        again = await branching.options(resume_from=failed).try_run(0)
        assert again.output == [2, 4, "FAILED", 5]
        assert {name: count for name, count in ran.items() if count != before.get(name)} == {"end": 2}
        assert statuses(again)["step#4"] == "FAILED"  # it was settled, and its outcome was used
        assert statuses(again)["step#3"] == "SKIPPED"

    run_virtual(main)


def test_a_settled_call_that_was_abandoned_stays_so() -> None:
    """Given a settled call that was abandoned by a failure elsewhere, and an op that used that: both are kept."""

    @graph
    def depending() -> str:
        return judge(step.settled("after", step("first")))

    async def main() -> None:
        broken.add("first")
        failed = await depending.try_run()
        broken.clear()
        again = await depending.options(resume_from=failed).try_run()
        assert again.output == "ABANDONED"
        assert ran == {"first": 2, "judge": 1}

    run_virtual(main)


def test_resuming_a_resumed_run() -> None:
    """Given a second run that fails too: the third one goes on from there."""

    async def main() -> None:
        broken.update({"right", "last"})
        one = await diamond.try_run()
        broken.discard("right")
        two = await diamond.options(resume_from=one).try_run()
        broken.clear()
        three = await diamond.options(resume_from=two).try_run()
        assert three.output == 15
        assert ran == {"first": 1, "left": 1, "right": 2, "last": 2}

    run_virtual(main)


def test_the_result_of_an_exception_resumes_too() -> None:
    """Given `.run` that raised RunFailed: its result is what to go on from; limits hold in the second run."""

    async def main() -> None:
        broken.add("right")
        with pytest.raises(RunFailed) as failed:
            await diamond.run()
        broken.clear()
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 1}}):
            first = diamond.options(resume_from=failed.value.result).start()
            second = diamond.options(resume_from=failed.value.result).start()
            assert (await first, await second) == (15, 15)
            result = await second.result()
            assert result.queued == 2

    run_virtual(main)


def test_what_does_not_fit_is_refused() -> None:
    """Other inputs, another graph, another wiring and things that are no result: refused before anything starts."""
    wired = ["a"]

    @graph
    def shifting() -> list[int]:
        return [step(name) for name in wired]

    @graph(static=True)
    def fixed(count: int) -> int:
        return total(each(item, numbers(count)))

    async def main() -> None:
        result = await mapped.try_run(2)
        with pytest.raises(InputError, match=r"called numbers with other arguments .*give the inputs it had"):
            await mapped.options(resume_from=result).run(3)
        with pytest.raises(PlanError, match=r"was wired otherwise: this is 'diamond'"):
            await diamond.options(resume_from=result).run()
        once = await shifting.try_run()
        wired.append("b")
        with pytest.raises(PlanError, match=r"wired otherwise: it had no 'step#2'"):
            await shifting.options(resume_from=once).run()
        whole = await fixed.try_run(2)
        with pytest.raises(InputError, match=r"had another 'count'"):
            await fixed.options(resume_from=whole).run(3)
        with pytest.raises(ConfigurationError, match=r"'01m8' is the id of a run, and the deployment has no store"):
            await mapped.options(resume_from="01m8").run(2)  # type: ignore[arg-type]  # wrong on purpose
        assert ran["numbers"] == 2

    run_virtual(main)


def test_a_child_cannot_resume() -> None:
    """Inside an op, resuming would make a child of something that was a run: refused, and the op can say so."""

    @op
    async def outer(result: RunResult[int]) -> int:
        return await diamond.options(resume_from=result).run()

    async def main() -> None:
        whole = await diamond.try_run()
        with pytest.raises(ConfigurationError, match=r"diamond: resume_from belongs to a whole run"):
            await outer.run(whole)

    run_virtual(main)


@op
async def node(name: str, deps: list[Any]) -> int:
    ran[name] += 1
    if name in broken:
        raise ValueError(name)
    return 1 + sum([one if isinstance(one, int) else sum(one) for one in deps])


@op
async def spread(value: int) -> list[int]:
    return list(range(value % 4))


@settings(max_examples=100, deadline=None)
@given(
    edges=st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=12),
    kinds=st.lists(st.sampled_from(["op", "map", "settled", "when", "step"]), min_size=12, max_size=12),
    faults=st.sets(st.integers(0, 11), max_size=4),
)
def test_random_graphs_end_as_if_nothing_had_failed(edges: list[list[int]], kinds: list[str], faults: set[int]) -> None:
    """Given random graphs with broken ops: repaired and resumed they give what a whole run gives, and nothing twice."""

    @graph
    def wired() -> list[Any]:
        made: list[Any] = []
        for i, before in enumerate(edges):
            deps = [made[j % i] for j in before] if i else []
            name = f"n{i}"
            match kinds[i]:
                case "op":
                    made.append(node(name, deps))
                case "map":
                    made.append(each(item, spread(node(name, deps))))
                case "when":
                    value = node(name, deps)
                    made.append(when(value > 2, lambda n=name, v=value: node(f"{n}y", [v]), lambda v=value: v))  # type: ignore[misc]  # bound as defaults
                case "step":
                    made.append(apply(lambda x: x + 1, node(name, deps)))
                case _:
                    made.append(apply(lambda o: o.value or 0, node.settled(name, [])))
        return made

    tolerated = {f"n{i}" for i, kind in enumerate(kinds) if kind == "settled"}

    async def main() -> None:
        broken.clear()
        whole = await wired.run()
        broken.update({f"n{i}" for i in faults} - tolerated)
        ran.clear()
        failed = await wired.try_run()
        done = {key for key, record in failed.ops.items() if record.status.value == "SUCCEEDED"}
        broken.clear()
        again = await wired.options(resume_from=failed).try_run()
        assert again.output == whole
        assert {key for key, record in again.ops.items() if record.status.value == "REUSED"} == done
        assert all(count <= 2 for name, count in ran.items() if not name.startswith("item"))

    run_virtual(main)
