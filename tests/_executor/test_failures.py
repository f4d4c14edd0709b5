"""What ops raise, and what becomes of the rest."""

import asyncio
import dataclasses
import traceback
from typing import Any

import anyio
import pytest

from asyncflow import (
    Deployment,
    OpAborted,
    OpStatus,
    RunCanceled,
    RunFailed,
    RunStatus,
    SelfCancelled,
    apply,
    each,
    graph,
    op,
)
from asyncflow.testing import run_virtual


@op
async def good(x: int = 1) -> int:
    await anyio.sleep(1)
    return x


@op
async def bad(x: int = 1) -> int:
    raise ConnectionError("no route")


@op
async def add(a: int, b: int) -> int:
    return a + b


def statuses(result) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


def test_a_failure_abandons_dependents_and_lets_independent_branches_finish() -> None:
    """Row 18: the op FAILED, dependents ABANDONED with the cause named, siblings finish, the run FAILED."""

    @graph
    def mixed() -> list[int]:
        return [good.options(name="sibling")(7), add(add(bad(), good()), good())]

    result = run_virtual(mixed.try_run)
    assert result.status is RunStatus.FAILED
    assert statuses(result) == {
        "sibling": "SUCCEEDED",
        "bad": "FAILED",
        "good": "SUCCEEDED",
        "add": "ABANDONED",
        "good#2": "SUCCEEDED",
        "add#2": "ABANDONED",
    }
    assert (result.ops["add#2"].cause, type(result.ops["add#2"].error)) == ("bad", ConnectionError)


def test_run_failed_is_a_group_of_the_ops_own_exceptions() -> None:
    """`except* ConnectionError` catches what the op raised; notes name the op; framework frames are hidden."""

    @graph
    def mixed() -> list[int]:
        return [bad(), bad(), good()]

    caught: list[BaseException] = []
    try:
        run_virtual(mixed.run)
    except* ConnectionError as group:
        assert isinstance(group, RunFailed)
        assert group.result.status is RunStatus.FAILED
        caught.extend(group.exceptions)
    assert [type(error) for error in caught] == [ConnectionError, ConnectionError]
    assert caught[0].__notes__ == ["asyncflow: op mixed/bad, attempt 1"]
    files = {frame.filename for frame in traceback.extract_tb(caught[0].__traceback__)}
    assert files == {__file__}


def test_fail_fast_cancels_the_rest() -> None:
    """on_error="fail_fast": what runs is cancelled, what waits never starts, the run FAILED."""

    @graph(on_error="fail_fast")
    def mixed() -> int:
        return add(good(1), good(bad.after(good.options(name="first")())(2)))

    async def run():
        return await mixed.try_run(), anyio.current_time()

    @graph(on_error="fail_fast")
    def quick() -> list[int]:
        return [good(1), bad(2), good(add(good(3), 1))]

    async def timed():
        result = await quick.try_run()
        return result, anyio.current_time()

    result, now = run_virtual(timed)
    assert (result.status, now) == (RunStatus.FAILED, 0.0)
    assert statuses(result) == {
        "good": "CANCELED",
        "bad": "FAILED",
        "good#2": "CANCELED",
        "add": "CANCELED",
        "good#3": "CANCELED",
    }


def test_an_op_alone_raises_its_own_exception() -> None:
    """`op.run` raises what the plain call would."""
    with pytest.raises(ConnectionError, match="no route"):
        run_virtual(bad.run)


def test_exception_groups_stay_whole() -> None:
    """Row 19: a group raised by an op is one member of RunFailed, with its members; `except*` reaches them."""

    @op
    async def grouped() -> None:
        raise ExceptionGroup("both", [ValueError("v"), ExceptionGroup("inner", [KeyError("k")])])

    @graph
    def one() -> None:
        grouped()

    seen = []
    try:
        run_virtual(one.run)
    except* KeyError as group:
        seen.append(group)
    except* ValueError:
        pass
    assert len(seen) == 1

    @op
    async def mixed() -> None:
        raise BaseExceptionGroup("mixed", [ValueError("v"), asyncio.CancelledError()])

    @graph
    def two() -> None:
        mixed()

    (error,) = run_virtual(two.try_run).errors
    assert isinstance(error, OpAborted)
    assert isinstance(error.__cause__, BaseExceptionGroup)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_cleans_up_and_leaves_as_itself(interrupt: type[BaseException]) -> None:
    """Row 20: everything is cancelled and cleaned up, slots are back, the interrupt is raised as itself."""
    log: list[str] = []
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 2}}})

    @op(pool="p")
    async def careful() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            log.append("cleaned")

    @op(pool="p")
    async def interrupting() -> None:
        await anyio.sleep(2)
        raise interrupt

    @graph
    def both() -> None:
        careful()
        interrupting()

    async def main() -> None:
        try:
            await both.on(deployment).run()
        finally:
            log.append(f"held {[limit.held for limit in deployment.snapshot().limits if limit.name == 'p']}")

    with pytest.raises(interrupt):
        run_virtual(main)
    assert log == ["cleaned", "held [0]"]


def test_a_cancelled_error_that_nobody_asked_for_is_a_failure() -> None:
    """Row 21: the op FAILED with SelfCancelled, the run is not mistaken for cancelled, the slot is free."""

    @op(pool="p")
    async def odd(suspend: bool) -> None:
        if suspend:
            await anyio.sleep(1)
        raise asyncio.CancelledError

    @graph
    def two() -> None:
        odd(False)
        odd(True)

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
    result = run_virtual(two.on(deployment).try_run)
    assert result.status is RunStatus.FAILED
    assert [type(error) for error in result.errors] == [SelfCancelled, SelfCancelled]


@pytest.mark.parametrize("kind", [GeneratorExit, StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("threaded", [False, True])
def test_control_flow_exceptions_do_not_end_the_scheduler(kind: type[BaseException], threaded: bool) -> None:
    """Row 22: GeneratorExit, StopIteration and StopAsyncIteration fail their op and nothing else."""

    async def raising() -> None:
        raise kind

    def plain() -> None:
        raise kind

    strange = op(plain) if threaded else op(raising)

    @graph
    def both() -> list[int]:
        strange.options(name="strange")()
        return [good(1)]

    result = run_virtual(both.try_run)
    assert (result.ops["strange"].status, result.ops["good"].status) == (OpStatus.FAILED, OpStatus.SUCCEEDED)


def test_an_op_that_cancels_its_own_task_or_run() -> None:
    """Row 24: a defined result, no hang."""

    @op
    async def cancels_task() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep(1)

    @op
    async def uncancels() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await anyio.sleep(1)
        except asyncio.CancelledError:
            task.uncancel()
        await anyio.sleep(1)
        return 3

    @graph
    def both() -> int:
        cancels_task()
        return uncancels()

    result = run_virtual(both.try_run)
    assert statuses(result) == {"cancels_task": "FAILED", "uncancels": "SUCCEEDED"}

    async def from_inside() -> str:
        async with Deployment("d") as deployment:

            @op
            async def ends_run() -> int:
                with pytest.raises(asyncio.CancelledError):
                    await runs[0].cancel("enough")
                raise asyncio.CancelledError

            @graph
            def suicidal() -> int:
                return ends_run()

            runs = [suicidal.on(deployment).start()]
            with pytest.raises(RunCanceled, match="enough"):
                await runs[0]
            return runs[0].status.value

    assert run_virtual(from_inside) == "CANCELED"


def test_an_unprintable_exception_is_reported() -> None:
    """Row 34: an exception whose text cannot be made does not break the run."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    @op
    async def odd() -> None:
        raise UnprintableError

    @graph
    def one() -> None:
        odd()

    async def main() -> list[type[Exception]]:
        try:
            await one.run()
        except RunFailed as failed:  # inside: asyncio itself prints what leaves a loop, on 3.11
            return [type(error) for error in failed.exceptions]
        return []

    assert run_virtual(main) == [UnprintableError]


def test_values_are_never_compared_hashed_or_printed() -> None:
    """Row 33: a value whose __eq__, __hash__, __repr__ and __bool__ raise passes through."""

    class Hostile:
        def _no(self, *_args: object) -> bool:
            raise RuntimeError("looked at")

        __eq__ = __bool__ = __len__ = _no  # type: ignore[assignment] — hostile on purpose

        def __hash__(self) -> int:
            raise RuntimeError("hashed")

        def __repr__(self) -> str:
            raise RuntimeError("printed")

    @op
    async def make() -> Hostile:
        return Hostile()

    @op
    async def take(x: Hostile, xs: list[Hostile]) -> int:
        return len(xs)

    @graph
    def one() -> int:
        return take(make(), [make(), make()])

    assert run_virtual(one.run) == 2


def test_settled_gives_the_outcome_and_counts_for_nothing() -> None:
    """A settled failure is a value; the run succeeds, the record still says FAILED."""

    @op
    async def look(outcomes: list) -> list[str]:
        return [outcome.status.value for outcome in outcomes]

    @graph(on_error="fail_fast")
    def tolerant() -> list[str]:
        return look([bad.settled(), good.settled(1), add.settled(1, bad.options(name="deep").settled(1).value)])

    @graph
    def mapped(xs: list[int]) -> list[str]:
        return look(each(bad.settled, xs))

    result = run_virtual(mapped.try_run, [1, 2])
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, ["FAILED", "FAILED"])
    assert statuses(result)["bad[0]"] == "FAILED"


def test_an_op_that_leaves_its_task_unfit_harms_nobody_else() -> None:
    """Row 24: a pending cancel, or a scope left open, by an op that never suspends, does not reach the next op."""

    @op
    async def pending_cancel() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "cancelled"

    @op
    async def scope_left_open(suspend: bool) -> str:
        anyio.CancelScope().__enter__()
        if suspend:
            await anyio.sleep(0.1)
        return "open"

    @graph(max_concurrent=1)
    def several() -> list[object]:
        return [
            pending_cancel(),
            good(1),
            pending_cancel(),
            add(1, 2),
            scope_left_open(True),
            good(2),
            scope_left_open(False),
            add(3, 4),
        ]

    result = run_virtual(several.try_run)
    assert result.output == ["cancelled", 1, "cancelled", 3, "open", 2, "open", 7]


def test_an_op_whose_eager_child_outlives_it() -> None:
    """A child started eagerly by an op that never suspends is waited for, or cancelled where the op raises."""
    if not hasattr(asyncio, "eager_task_factory"):
        return  # tasks start eagerly from Python 3.12 on

    kept: list[asyncio.Task[int]] = []

    @op
    async def leaves(fails: bool) -> str:
        kept.append(asyncio.ensure_future(good.run(5)))
        if fails:
            raise ValueError("no")
        return "left"

    @graph
    def two() -> list[str]:
        return [leaves.options(name="fails")(True), leaves(False)]

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        result = await two.try_run()
        await asyncio.gather(*kept, return_exceptions=True)
        return result

    assert statuses(run_virtual(main)) == {
        "fails": "FAILED",
        "fails/good": "CANCELED",
        "leaves": "SUCCEEDED",
        "leaves/good": "SUCCEEDED",
    }


def refuses(*args: object, **kwargs: object) -> None:
    """A method of an exception that must never be asked by whoever only reports it."""
    raise RuntimeError("an exception's own method was called")


class Hostile:
    """A note that answers `==` with an error."""

    __eq__ = refuses
    __hash__ = None


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int = 1


class RefusesNotesError(Exception):
    add_note = refuses


class RefusesTracebackError(Exception):
    with_traceback = refuses


class AnswersOtherwiseError(Exception):
    def with_traceback(self, trace: object) -> object:
        return trace, 3


class NotesOfTheClassError(Exception):
    __notes__ = "a text"


class NotesInSlotsError(Exception):
    __slots__ = ("__notes__",)


class NotesInATupleError(Exception):
    def __init__(self) -> None:
        self.__notes__ = ("a note",)


class HostileNotesError(Exception):
    def __init__(self) -> None:
        self.__notes__ = [Hostile()]


class RefusesAllError(Exception):
    __eq__ = __str__ = __repr__ = __bool__ = __len__ = __getattr__ = __setattr__ = __hash__ = refuses


@pytest.mark.parametrize("way", ["async", "suspended", "thread"])
@pytest.mark.parametrize(
    "kind",
    [
        FrozenError,
        RefusesNotesError,
        RefusesTracebackError,
        AnswersOtherwiseError,
        NotesOfTheClassError,
        NotesInSlotsError,
        NotesInATupleError,
        HostileNotesError,
        RefusesAllError,
    ],
)
def test_an_exception_that_refuses_to_be_noted_is_reported_as_itself(kind: type[Exception], way: str) -> None:
    """No code of an exception is run to note the op on it: the run reports it, and the deployment goes on."""

    @op
    async def at_once() -> None:
        raise kind()

    @op
    async def later() -> None:
        await anyio.sleep(1)
        raise kind()

    @op
    def on_a_thread() -> None:
        raise kind()

    failing = {"async": at_once, "suspended": later, "thread": on_a_thread}[way]

    @graph
    def mixed() -> object:
        return failing(), failing.settled(), good.after(failing())(2), good(3)

    async def main() -> tuple[list[type], list[str], int]:
        deployment = Deployment("guarded")
        beside = asyncio.ensure_future(deployment.run(good, 4))
        result = await mixed.on(deployment).try_run()
        found = sorted({record.status.value for record in result.ops.values()})
        return [type(error) for error in result.errors], found, await beside + await deployment.run(good, 5)

    expected = ([kind, kind], ["ABANDONED", "FAILED", "SUCCEEDED"], 9)
    assert run_virtual(main) == expected


def test_a_frozen_exception_still_carries_the_note() -> None:
    """What refuses attributes keeps the note all the same, and its traceback begins in the user's op."""

    @op
    async def fails() -> None:
        raise FrozenError(7)

    with pytest.raises(FrozenError) as caught:
        run_virtual(fails.run)
    assert caught.value.__notes__ == ["asyncflow: op fails/fails, attempt 1"]


def test_an_op_that_forgets_to_await_fails() -> None:
    """A coroutine or future that an op returns would run nowhere: the op fails, named, and the coroutine is closed."""

    async def other() -> int:
        return 1

    @op
    async def at_once() -> object:
        return other()

    @op
    async def later() -> object:
        await anyio.sleep(1)
        return other()

    @op
    def on_a_thread() -> object:
        return other()

    @op
    async def runs_an_op() -> object:
        return good.run(1)

    @op
    async def starts_a_task() -> object:
        return asyncio.ensure_future(other())

    @graph
    def forgetful() -> object:
        given = at_once()
        return add(given, given), later(), on_a_thread(), runs_an_op(), starts_a_task()

    result = run_virtual(forgetful.try_run)
    assert sorted(str(error).partition(" without")[0] for error in result.errors) == [
        f"forgetful/{key} returned {what}"
        for key, what in [
            ("at_once", "the coroutine of test_an_op_that_forgets_to_await_fails.<locals>.other(…)"),
            ("later", "the coroutine of test_an_op_that_forgets_to_await_fails.<locals>.other(…)"),
            ("on_a_thread", "the coroutine of test_an_op_that_forgets_to_await_fails.<locals>.other(…)"),
            ("runs_an_op", "the coroutine of Runnable.run(…)"),
            ("starts_a_task", "a Task"),
        ]
    ]
    assert result.ops["add"].cause == "at_once"


def test_other_objects_that_can_be_awaited_are_values() -> None:
    """A pool of connections may be awaitable and is a value all the same."""

    class Pool:
        def __await__(self) -> object:
            return iter(())

    pool = Pool()

    @op
    async def opened() -> Pool:
        return pool

    assert run_virtual(opened.run) is pool


def test_a_step_that_returns_a_coroutine_fails_named() -> None:
    """`apply` of an async function would pass a coroutine on; it is closed and refused."""

    async def later(x: int) -> int:
        return x

    def forgetful(x: int) -> object:
        return later(x)

    @op
    async def one() -> int:
        return 1

    @op
    async def take(x: object) -> object:
        return x

    @graph
    def job() -> object:
        return take(apply(forgetful, one()))

    [error] = run_virtual(job.try_run).errors
    assert isinstance(error, TypeError)
    assert "the coroutine of" in str(error)
    assert "job/" in str(error)


def test_a_map_over_something_that_is_no_list_names_it() -> None:
    """The node, where its value came from, and its type."""

    @op
    async def five() -> Any:
        return 5

    @op
    async def same(x: int) -> int:
        return x

    @graph
    def job() -> list[int]:
        return each(same, five())

    [error] = run_virtual(job.try_run).errors
    assert "maps over the result of five, which is of type int and not iterable" in str(error)


def test_an_exception_that_lies_about_its_class_is_reported() -> None:
    """Asking an exception for its `__class__` runs its own code; it is never asked."""

    class HostileError(Exception):
        @property
        def __class__(self) -> type:  # type: ignore[override]  # hostile on purpose
            raise RuntimeError("do not ask")

    @op
    async def bad() -> None:
        raise HostileError("no")

    result = run_virtual(bad.try_run)
    assert result.status is RunStatus.FAILED
    assert [type(error) for error in result.errors] == [HostileError]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_fail_fast_by_a_pool_function_leaves_nothing(broken: int) -> None:
    """Three items become ready in one step; the pool function of one raises: the others are taken back, unheld."""

    def pool(x: int) -> str:
        if x == broken:
            raise ValueError(x)
        return "db"

    @op(pool=pool)
    async def work(x: int) -> int:
        await anyio.sleep(1)
        return x

    @op
    async def numbers() -> list[int]:
        return [0, 1, 2]

    @graph(on_error="fail_fast")
    def mapped() -> list[int]:
        return each(work, numbers())

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 5}}})
        result = await mapped.on(deployment).try_run()
        return result, [limit.held for limit in deployment.snapshot().limits if limit.held or limit.waiters]

    result, left = run_virtual(main)
    assert (result.status, result.ended_at, left) == (RunStatus.FAILED, 0, [])
    assert [result.ops[f"work[{i}]"].status.value for i in range(3)] == [
        "FAILED" if i == broken else "CANCELED" for i in range(3)
    ]
