"""Ops that are tried again: what they hold meanwhile, their place in order, and what is told of them."""

from __future__ import annotations

import asyncio
import itertools
import traceback

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    Failure,
    OpAborted,
    OpEnded,
    OpRetried,
    OpStarted,
    OpStatus,
    Retry,
    RetryRequested,
    RunStatus,
    SelfCancelled,
    TagLimit,
    each,
    graph,
    op,
)
from asyncflow.testing import peak, run_virtual


def failing(times: int, *, error: type[Exception] = ConnectionError, seconds: float = 0.0, **options):
    """An op that fails so many times and then gives 7; `.starts` has when its attempts began."""
    starts: list[float] = []

    async def shaky(x: int = 0) -> int:
        starts.append(asyncio.get_running_loop().time())
        if seconds:
            await anyio.sleep(seconds)
        if len(starts) <= times:
            raise error(f"attempt {len(starts)}")
        return 7

    made = op(**options)(shaky)
    return made, starts


@pytest.mark.parametrize("seconds", [0.0, 0.5])
@pytest.mark.parametrize(
    ("backoff", "gaps"), [("constant", [1, 1, 1]), ("linear", [1, 2, 3]), ("exponential", [1, 3, 7])]
)
def test_attempts_follow_their_delays(backoff: str, gaps: list[float], seconds: float) -> None:
    """d = 1: CONSTANT 1, 1, 1; LINEAR 1, 2, 3; EXPONENTIAL 1, 3, 7 seconds between attempts, exactly."""
    shaky, starts = failing(3, seconds=seconds, retry=Retry(max_retries=3, delay=1, backoff=backoff))
    assert run_virtual(shaky.run) == 7
    assert [b - a - seconds for a, b in itertools.pairwise(starts)] == gaps


def test_the_record_has_every_attempt() -> None:
    """OpResult: how many attempts, each with its times and error; `seconds` is what the bodies took."""
    shaky, _ = failing(2, seconds=1, retry=Retry(delay=10))
    result = run_virtual(shaky.try_run)
    record = result.ops["shaky"]
    assert (record.status, record.attempts, record.error) == (OpStatus.SUCCEEDED, 3, None)
    assert [(a.started_at, a.ended_at, a.error) for a in record.tries] == [
        (0, 1, "ConnectionError: attempt 1"),
        (11, 12, "ConnectionError: attempt 2"),
        (22, 23, ""),
    ]
    assert (record.started_at, record.ended_at, record.seconds) == (0, 23, 3)


def test_the_last_exception_tells_of_the_attempts_before() -> None:
    """When all attempts failed, the op's own last exception is raised, with a note for each attempt."""
    shaky, starts = failing(9, retry=Retry(max_retries=2, delay=1))

    @graph
    def crawl() -> int:
        return shaky()

    result = run_virtual(crawl.try_run)
    assert (result.status, len(starts), result.ops["shaky"].attempts) == (RunStatus.FAILED, 3, 3)
    [error] = result.errors
    assert str(error) == "attempt 3"
    assert error.__notes__ == [
        "asyncflow: op crawl/shaky, attempt 3",
        "asyncflow: attempt 1 failed with ConnectionError: attempt 1",
        "asyncflow: attempt 2 failed with ConnectionError: attempt 2",
    ]
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["shaky"]


def test_a_pool_of_one_with_retries_ends_and_is_idle_during_delays() -> None:
    """Pool of 1, three retries, 10 items that always fail: 40 attempts, never two at once, free while all wait."""
    running = most = attempts = 0

    @op(pool="db", retry=Retry(max_retries=3, delay=100))
    async def broken(x: int) -> int:
        nonlocal running, most, attempts
        attempts += 1
        running += 1
        most = max(most, running)
        try:
            await anyio.sleep(1)
        finally:
            running -= 1
        raise ValueError(x)

    @graph
    def crawl() -> list[int]:
        return each(broken, list(range(10)))

    async def main():
        idle: list[tuple[int, int, int]] = []
        async with Deployment("d", concurrency={"pools": {"limits": {"db": 1}}}) as deployment:
            run = crawl.on(deployment).start()
            for moment in (50, 150, 250):
                await anyio.sleep(moment - asyncio.get_running_loop().time())
                view = run.snapshot()
                idle.append((deployment.snapshot().pool("db").held, view.running, view.retrying))
            return await run.result(), idle, deployment.snapshot().pool("db")

    result, idle, after = run_virtual(main)
    assert (result.status, attempts, most) == (RunStatus.FAILED, 40, 1)
    assert [result.ops[f"broken[{i}]"].attempts for i in range(10)] == [4] * 10
    assert idle == [(0, 0, 10)] * 3
    assert (after.held, len(after.waiters), peak(result, pool="db")) == (0, 0, 1)
    assert result.ended_at == 3 * 101 + 10  # item i runs at i, i + 101, i + 202, i + 303


def test_nothing_is_held_during_the_delay() -> None:
    """Pool, cap, op tag and thread are all free while the only op waits to be tried again."""
    tried = 0

    @op(pool={"db": 2}, tags={"kind": "x"}, retry=Retry(max_retries=1, delay=10))
    def shaky() -> int:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OSError
        return tried

    @graph(max_concurrent=1, tag_concurrency_limits=[TagLimit("kind", limit=1)])
    def one() -> int:
        return shaky()

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 2}}}, threads=1)
        async with deployment:
            run = one.on(deployment).start()
            await anyio.sleep(5)
            held = {limit.name: limit.held for limit in deployment.snapshot().limits}
            waiters = [limit.waiters for limit in deployment.snapshot().limits if limit.waiters]
            told = (run.explain(), run.explain("shaky"), deployment.explain(run.id))
            return held, waiters, told, await run

    held, waiters, told, value = run_virtual(main)
    assert set(held.values()) == {0}
    assert (waiters, value) == ([], 2)
    assert [one.unblocked_by for one in told] == [("its next attempt, due in 5 s",)] * 3
    assert [one.state for one in told] == [RunStatus.RUNNING, OpStatus.RETRYING, RunStatus.RUNNING]
    assert "its next attempt, due in 5 s" in str(told[1])


def test_a_retried_op_has_its_old_place_among_its_equals() -> None:
    """Items 0, 1, 2 of one rank wait for one slot; 0 fails at once and comes back: it is before 1 and 2 again."""
    order: list[int] = []

    @op(pool="db", retry=Retry(max_retries=1))
    async def work(x: int) -> int:
        order.append(x)
        await anyio.sleep(1)
        if order.count(x) == 1 and x == 0:
            raise OSError
        return x

    @graph
    def several() -> list[int]:
        return [work(i) for i in range(3)]

    async def main():
        return await several.on(Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})).run()

    assert run_virtual(main) == [0, 1, 2]
    assert order == [0, 0, 1, 2]


def test_a_retried_run_of_one_op_keeps_its_age_among_runs() -> None:
    """Runs of one fair_key on one slot: the first fails and comes back before the second, which waited meanwhile."""
    order: list[int] = []

    @op(pool="db", retry=Retry(max_retries=1, delay=1.5))
    async def work(x: int) -> int:
        order.append(x)
        await anyio.sleep(1)
        if order.count(x) == 1 and x == 0:
            raise OSError
        return x

    @graph(fair_key="one")
    def single(x: int) -> int:
        return work(x)

    async def main():
        async with Deployment("d", concurrency={"pools": {"limits": {"db": 1}}}):
            runs = [single.start(i) for i in range(4)]
            return [await run for run in runs]

    assert run_virtual(main) == [0, 1, 2, 3]
    assert order == [0, 1, 2, 0, 3]  # at 2.5 s run 2 has the slot; then 0 is before 3


def test_the_nearest_policy_applies() -> None:
    """Own `retry`, else the nested graph's `op_retry`, else the run's; a run's options replace the graph's."""
    counts: dict[str, int] = {}

    @op
    async def bad(who: str) -> int:
        counts[who] = counts.get(who, 0) + 1
        raise ValueError(who)

    @graph(op_retry=Retry(max_retries=2))
    def inner(who: str) -> list[int]:
        return [bad(who), bad.options(retry=Retry(max_retries=4))(f"{who} own")]

    @graph
    def plain(who: str) -> int:
        return bad(who)

    @graph(op_retry=Retry(max_retries=1))
    def outer() -> list[object]:
        return [
            bad("outer"),
            inner("inner"),
            plain("plain"),
            each(inner, ["item"]),
            bad.options(retry=Retry(0))("none"),
        ]

    run_virtual(outer.try_run)
    assert counts == {
        "outer": 2, "inner": 3, "inner own": 5, "plain": 2, "item": 3, "item own": 5, "none": 1
    }  # fmt: skip
    counts.clear()
    run_virtual(outer.options(op_retry=Retry(max_retries=5)).try_run)
    assert (counts["outer"], counts["inner"], counts["plain"]) == (6, 3, 6)
    counts.clear()
    run_virtual(outer.options(op_retry=None).try_run)
    assert (counts["outer"], counts["inner"]) == (1, 3)


def test_items_that_come_at_run_time_follow_their_graphs_policy() -> None:
    """A map over a result: items of a nested graph have its op_retry, others the run's."""
    counts: dict[str, int] = {}

    @op
    async def names() -> list[str]:
        return ["a", "b"]

    @op
    async def bad(who: str) -> int:
        counts[who] = counts.get(who, 0) + 1
        raise ValueError(who)

    @graph(op_retry=Retry(max_retries=2))
    def inner(who: str) -> int:
        return bad(who + " inner")

    @graph(op_retry=Retry(max_retries=1))
    def outer() -> list[object]:
        found = names()
        return [each(inner, found), each(bad, found)]

    run_virtual(outer.try_run)
    assert counts == {"a inner": 3, "b inner": 3, "a": 2, "b": 2}


def test_children_have_the_policy_of_the_op_that_runs_them() -> None:
    """An op run inside an op is an op of the run: the same default; a child graph may bring its own."""
    counts: dict[str, int] = {}

    @op
    async def bad(who: str) -> int:
        counts[who] = counts.get(who, 0) + 1
        raise ValueError(who)

    @graph(op_retry=Retry(max_retries=2))
    def child() -> int:
        return bad("graph")

    @op(retry=Retry(max_retries=0))
    async def parent() -> list[str]:
        outcomes = []
        for run in (bad.run("op"), child.run()):
            try:
                await run
            except* ValueError as group:
                outcomes.append(str(group.exceptions))
        return outcomes

    @graph(op_retry=Retry(max_retries=1))
    def outer() -> list[str]:
        return parent()

    result = run_virtual(outer.try_run)
    assert result.status is RunStatus.SUCCEEDED
    assert counts == {"op": 2, "graph": 3}
    assert (result.ops["parent/bad"].attempts, result.ops["parent/child/bad"].attempts) == (2, 3)


def test_children_of_each_attempt_are_told_apart() -> None:
    """A second attempt runs its children anew, under the next keys; the first attempt's stay on record."""
    tried = 0

    @op
    async def child() -> int:
        return 1

    @op(retry=Retry(max_retries=1))
    async def parent() -> int:
        nonlocal tried
        tried += 1
        value = await child.run()
        if tried == 1:
            raise OSError
        return value

    result = run_virtual(parent.try_run)
    assert (result.output, list(result.ops)) == (1, ["parent", "parent/child", "parent/child#2"])


def test_an_op_may_ask_for_another_attempt_itself() -> None:
    """RetryRequested without a policy: its own delay; once none are left it is what the op failed with."""
    starts: list[float] = []

    @op
    async def polls() -> int:
        starts.append(asyncio.get_running_loop().time())
        raise RetryRequested(delay=2.5, max_retries=2) from OSError("not yet")

    result = run_virtual(polls.try_run)
    assert starts == [0, 2.5, 5]
    [error] = result.errors
    assert isinstance(error, RetryRequested)
    assert isinstance(error.__cause__, OSError)


def test_a_final_failure_is_not_tried_again() -> None:
    """Failure(allow_retries=False) ends it whatever the policy says; its metadata is in the result."""
    counts = 0

    @op(retry=Retry(max_retries=5))
    async def check() -> int:
        nonlocal counts
        counts += 1
        raise Failure("no such customer", metadata={"customer": "7"}, allow_retries=False)

    result = run_virtual(check.try_run)
    assert (counts, result.errors[0].metadata) == (1, {"customer": "7"})


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit], ids=lambda e: e.__name__)
def test_what_is_no_exception_is_never_tried_again(error: type[BaseException]) -> None:
    """A CancelledError that the op raised itself, and other BaseExceptions, fail it at once."""
    counts = 0

    @op(retry=Retry(max_retries=5))
    async def odd() -> int:
        nonlocal counts
        counts += 1
        raise error

    result = run_virtual(odd.try_run)
    assert (counts, type(result.errors[0])) == (1, SelfCancelled if error is asyncio.CancelledError else OpAborted)


def test_a_cancelled_op_is_never_tried_again() -> None:
    """A run that is cancelled while an op runs: one attempt, CANCELED, however many retries it had."""
    counts = 0

    @op(retry=Retry(max_retries=5))
    async def nap() -> int:
        nonlocal counts
        counts += 1
        await anyio.sleep(10)
        return 1

    async def main():
        async with Deployment("d"):
            run = nap.start()
            await anyio.sleep(1)
            await run.cancel("enough")
            return await run.result()

    result = run_virtual(main)
    assert (counts, result.status, result.ops["nap"].status) == (1, RunStatus.CANCELED, OpStatus.CANCELED)


def test_a_run_that_is_cancelled_during_a_delay_ends_at_once() -> None:
    """The op is CANCELED at that moment, its timer is gone, and nothing starts afterwards."""
    shaky, starts = failing(9, retry=Retry(max_retries=9, delay=100), pool="db")

    async def main():
        loop = asyncio.get_running_loop()
        async with Deployment("d", concurrency={"pools": {"limits": {"db": 1}}}) as deployment:
            run = shaky.start()
            await anyio.sleep(150)
            await run.cancel()
            timers = [one for one in loop._scheduled if not one.cancelled()]
            return await run.result(), loop.time(), timers, deployment.snapshot().pool("db").held

    result, now, timers, held = run_virtual(main)
    assert (result.status, now, held, timers) == (RunStatus.CANCELED, 150, 0, [])
    record = result.ops["shaky"]
    assert (record.status, record.attempts, record.ended_at, len(record.tries)) == (OpStatus.CANCELED, 2, 150, 2)
    assert len(starts) == 2


def test_a_run_that_is_cancelled_while_a_retry_waits_for_its_pool() -> None:
    """The delay is over and the pool taken: the retry is BLOCKED, and cancelled like any waiter."""
    shaky, _ = failing(1, retry=Retry(max_retries=1, delay=1), pool="db")

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})
        async with deployment:
            run = shaky.start()
            await anyio.sleep(0.5)
            async with deployment.slots("db"):
                await anyio.sleep(5)
                state = run.explain("shaky").state
                await run.cancel()
            return state, await run.result(), deployment.snapshot().pool("db").held

    state, result, held = run_virtual(main)
    assert (state, held) == (OpStatus.BLOCKED, 0)
    record = result.ops["shaky"]
    assert (record.status, record.attempts, record.waits) == (OpStatus.CANCELED, 1, {"db": 4.5})


def test_fail_fast_waits_for_the_last_attempt() -> None:
    """An attempt that is followed by another one is no failure of the run; the last one is."""
    shaky, starts = failing(9, retry=Retry(max_retries=2, delay=1))

    @op
    async def nap() -> int:
        await anyio.sleep(60)
        return 1

    @graph(on_error="fail_fast")
    def both() -> list[int]:
        return [shaky(), nap()]

    result = run_virtual(both.try_run)
    assert (result.ended_at, len(starts)) == (2, 3)
    assert (result.ops["nap"].status, result.ops["shaky"].status) == (OpStatus.CANCELED, OpStatus.FAILED)


def test_fail_fast_cancels_those_who_wait_to_be_tried_again() -> None:
    """Another op's failure stops the run: the op in its delay is CANCELED, and the run does not wait for it."""
    shaky, _ = failing(9, retry=Retry(max_retries=2, delay=50))

    @op
    async def bad() -> int:
        await anyio.sleep(1)
        raise KeyError("x")

    @graph(on_error="fail_fast")
    def both() -> list[int]:
        return [shaky(), bad()]

    result = run_virtual(both.try_run)
    assert (result.ended_at, result.ops["shaky"].status) == (1, OpStatus.CANCELED)
    assert [type(error) for error in result.errors] == [KeyError]


def test_a_settled_call_sees_the_last_attempt_only() -> None:
    """`settled` over an op with retries: SUCCEEDED where a later attempt did, FAILED with the last error otherwise."""
    good, _ = failing(2, retry=Retry(max_retries=2))
    bad, _ = failing(9, retry=Retry(max_retries=2))

    @graph
    def both() -> list[object]:
        return [good.settled(), bad.settled()]

    first, second = run_virtual(both.run)
    assert (first.value, second.status, str(second.error)) == (7, OpStatus.FAILED, "attempt 3")


def test_dependents_wait_for_the_last_attempt() -> None:
    """What depends on a retried op starts with its value, after the last attempt."""
    shaky, _ = failing(2, retry=Retry(max_retries=2, delay=1))

    @op
    async def double(x: int) -> int:
        return 2 * x

    @graph
    def two() -> int:
        return double(shaky())

    result = run_virtual(two.try_run)
    assert (result.output, result.ops["double"].ready_at) == (14, 2)


def test_a_pool_function_is_asked_once_for_all_attempts() -> None:
    """Its answer is kept for retries."""
    asked: list[int] = []

    def pool(x: int) -> str:
        asked.append(x)
        return f"host:{x}"

    shaky, starts = failing(2, retry=Retry(max_retries=2), pool=pool)
    result = run_virtual(shaky.try_run, 3)
    assert (result.output, asked, len(starts)) == (7, [3], 3)
    assert result.ops["shaky"].needs == {"host": 1}


def test_waits_of_all_attempts_add_up_exactly() -> None:
    """The record and the run have what every attempt waited for; a limit that came meanwhile holds for the next one."""
    shaky, _ = failing(1, retry=Retry(max_retries=1, delay=1), pool="db")

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})
        async with deployment:
            async with deployment.slots("db"):
                run = shaky.start()
                await anyio.sleep(2)
            await anyio.sleep(0.5)
            async with deployment.slots("db"):
                await anyio.sleep(3)
            return await run.result()

    result = run_virtual(main)
    assert (result.waits, result.ops["shaky"].waits) == ({"db": 4.5}, {"db": 2.5})  # 2 s as a queued run, 2.5 s again


def test_tuned_limits_hold_for_the_next_attempt() -> None:
    """A run gets a cap of 0 while its op waits to be tried again: the attempt is BLOCKED until it is lifted."""
    shaky, starts = failing(1, retry=Retry(max_retries=1, delay=1))

    @graph
    def one() -> int:
        return shaky()

    async def main():
        async with Deployment("d"):
            run = one.start()
            await anyio.sleep(0.5)
            await run.tune(max_concurrent=0)
            await anyio.sleep(5)
            blocked = run.explain("shaky").state
            await run.tune(max_concurrent=1)
            return blocked, await run

    assert run_virtual(main) == (OpStatus.BLOCKED, 7)
    assert starts == [0, 5.5]


def test_events_tell_each_attempt() -> None:
    """OpStarted has the attempt's number, OpRetried the failed one's, the delay and the error's class; one OpEnded."""
    shaky, _ = failing(2, retry=Retry(max_retries=2, delay=1, backoff="linear"))

    async def main():
        seen = []
        deployment = Deployment("d")
        deployment.subscribe(seen.append)
        await shaky.on(deployment).run()
        return seen

    seen = run_virtual(main)
    assert [e.attempt for e in seen if isinstance(e, OpStarted)] == [1, 2, 3]
    assert [(e.at, e.attempt, e.delay, e.error) for e in seen if isinstance(e, OpRetried)] == [
        (0, 1, 1, "ConnectionError"),
        (1, 2, 2, "ConnectionError"),
    ]
    assert [e.status for e in seen if isinstance(e, OpEnded)] == [OpStatus.SUCCEEDED]


def test_a_policy_function_that_raises_leaves_the_ops_own_error() -> None:
    """`on` or `retry_after` raise: the op fails with its own exception, and a note tells what the policy raised."""

    def broken(error: Exception) -> bool:
        raise ZeroDivisionError("in on")

    for policy in (Retry(on=broken), Retry(retry_after=broken), Retry(retry_after=lambda _: "soon")):
        shaky, starts = failing(9, retry=policy)
        result = run_virtual(shaky.try_run)
        [error] = result.errors
        assert (type(error), len(starts)) == (ConnectionError, 1)
        assert "its retry policy raised" in error.__notes__[0]


def test_an_exception_that_cannot_be_told_is_tried_again_all_the_same() -> None:
    """Row 34: an error whose `__str__` raises, or is 10 MB long, is told by its class, or cut."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    class LoudError(Exception):
        def __str__(self) -> str:
            return "x" * 10_000_000

    for kind in (MuteError, LoudError):
        shaky, _ = failing(1, error=kind, retry=Retry(max_retries=1))
        record = run_virtual(shaky.try_run).ops["shaky"]
        assert record.status is OpStatus.SUCCEEDED
        assert len(record.tries[0].error) <= 200
        assert record.tries[0].error.startswith(kind.__name__)


def test_row_48_a_storm_of_retries_holds_nothing_and_is_spread() -> None:
    """Row 48: 10⁴ ops fail at once: no slot is held meanwhile, jitter spreads them, all end well."""
    tried: dict[int, float] = {}

    @op(pool="db", retry=Retry(max_retries=1, delay=100, jitter="full"))
    async def shaky(x: int) -> int:
        if x not in tried:
            tried[x] = 0.0
            raise ConnectionError
        tried[x] = asyncio.get_running_loop().time()
        return x

    @graph
    def storm() -> list[int]:
        return each(shaky, list(range(10_000)))

    async def main():
        async with Deployment("d", concurrency={"pools": {"limits": {"db": 3}}}) as deployment:
            run = storm.start()
            await anyio.sleep(1e-9)
            held = deployment.snapshot().pool("db").held
            retrying = run.snapshot().retrying
            return held, retrying, await run

    held, retrying, value = run_virtual(main)
    assert (held, value) == (0, list(range(10_000)))
    assert retrying > 9_990
    spread = sorted(tried.values())
    assert (len(set(spread)), spread[0] < 1, 99 < spread[-1] <= 100) == (10_000, True, True)


def test_jitter_repeats_in_virtual_time() -> None:
    """The same seed of the virtual loop gives the same delays."""
    seen = []
    for _ in range(2):
        shaky, starts = failing(3, retry=Retry(delay=5, jitter="full"))
        run_virtual(shaky.run, seed=3)
        seen.append(starts)
    assert seen[0] == seen[1]


def test_a_retry_that_is_no_policy_is_refused() -> None:
    """`retry=3` names the field and what to write."""
    for make in (lambda: op(retry=3), lambda: graph(op_retry=3), lambda: failing(1)[0].options(retry="x")):
        with pytest.raises(ConfigurationError, match=r"must be a Retry.*write"):
            make()
