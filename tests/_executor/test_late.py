"""Late graphs: nodes of a larger graph, wired when their inputs are there."""

from __future__ import annotations

import contextvars
import inspect
import re
import sys
import warnings

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    InputError,
    OpEnded,
    OpStarted,
    OpStatus,
    Outcome,
    PlanError,
    RunFailed,
    RunStatus,
    TagLimit,
    TracingError,
    apply,
    each,
    graph,
    op,
    when,
)
from asyncflow.testing import peak, run_virtual


@op
async def nap(x: int, seconds: float = 1.0) -> int:
    await anyio.sleep(seconds)
    return x


@op
async def add(x: int, y: int) -> int:
    return x + y


@op
async def total(xs: list[int]) -> int:
    return sum(xs)


@op
async def listed(n: int) -> list[int]:
    return list(range(n))


@op
async def failing(x: int) -> int:
    raise ValueError(f"no {x}")


@graph(late=True)
def sized(n: int) -> int:
    """A branch and a loop over a value that is computed at run time."""
    if n > 2:
        return add(nap(n), 100)
    return total([nap(i) for i in range(n)])


@graph(late=True)
def fails(n: int) -> int:
    return failing(n)


@graph(late=True)
def broken(n: int) -> int:
    raise LookupError(f"nothing at {n}")


def statuses(result) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


# ── wiring with real values ──────────────────────────────────────────────────────────────────────────────────────────


def test_plain_if_and_for_over_computed_values() -> None:
    """The body sees values; its ops are keyed behind the call, a second call behind its own."""

    @graph
    def outer(n: int) -> list[int]:
        return [sized(nap(n)), sized(add(n, 3))]

    result = run_virtual(outer.try_run, 2)
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, [1, 105])
    assert set(result.ops) == {
        "nap",
        "add",
        "sized/nap",
        "sized/nap#2",
        "sized/total",
        "sized#2/nap",
        "sized#2/add",
    }


def test_at_the_top_level_it_is_a_plain_graph() -> None:
    """Run itself, planned, or run as a child of an op: as without `late`."""

    @op
    async def parent(n: int) -> int:
        return await sized.run(n)

    assert run_virtual(sized.run, 5) == 105
    assert [node.key for node in sized.plan(5).nodes] == ["nap", "add"]
    result = run_virtual(parent.try_run, 5)
    assert (result.output, set(result.ops)) == (105, {"parent", "parent/sized/nap", "parent/sized/add"})


def test_a_real_value_returned_is_the_result() -> None:
    """A body that wires nothing, and one that returns nothing."""
    done: list[int] = []

    @op
    async def note(x: int) -> None:
        await anyio.sleep(1)
        done.append(x)

    @graph(late=True)
    def constant(n: int) -> int:
        return n * 10

    @graph(late=True)
    def effects(n: int) -> None:
        for i in range(n):
            note(i)

    @graph(late=True)
    def nothing(n: int) -> None:
        """Wires nothing at all."""

    @graph
    def outer(n: int) -> list[object]:
        return [constant(nap(n)), apply(lambda _: list(done), effects(nap(n))), nothing(nap(n))]

    assert run_virtual(outer.run, 3) == [30, [0, 1, 2], None]


def test_each_over_late_graphs_keys_by_item() -> None:
    """Real items and promised ones; `map_key`; nested maps inside the body."""

    @graph(late=True)
    def rows(n: int) -> list[int]:
        return each(nap, listed(n)) if n else []

    @graph
    def outer(n: int) -> list[list[list[int]]]:
        named = rows.options(map_key=lambda n: f"n{n}", name="named")
        return [each(rows, [0, 2]), each(named, listed(n))]

    result = run_virtual(outer.try_run, 3)
    assert result.output == [[[], [0, 1]], [[], [0], [0, 1]]]
    assert [key for key in result.ops if "nap" in key] == [
        "rows[1]/nap[0]",
        "rows[1]/nap[1]",
        "named[n1]/nap[0]",
        "named[n2]/nap[0]",
        "named[n2]/nap[1]",
    ]


def test_a_chain_of_each_goes_on_per_item() -> None:
    """The op behind a late graph starts when its own item is done, not when all are."""

    @graph(late=True)
    def slow(n: int) -> int:
        return nap(n, float(n))

    @graph
    def outer(n: int) -> list[int]:
        return each(add, each(slow, listed(n)), 1)

    result = run_virtual(outer.try_run, 4)
    assert result.output == [1, 2, 3, 4]
    assert [result.ops[f"add[{i}]"].started_at - result.started_at for i in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_consumers_start_when_what_was_returned_is_there() -> None:
    """As with a graph wired in place: what the body wired beside its result goes on."""

    @graph(late=True)
    def both(n: int) -> int:
        nap.options(name="beside")(n, 9.0)
        return nap(n, 1.0)

    @graph
    def outer(n: int) -> int:
        return add(both(nap(n, 0.0)), 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run_virtual(outer.try_run, 1)
    assert (result.output, result.seconds) == (2, 9.0)
    assert result.ops["add"].ended_at - result.started_at == 1.0


def test_late_inside_late_and_inside_others() -> None:
    """Late in late, late in a nested graph, late in a static graph, nested in late."""

    @graph
    def plain(n: int) -> int:
        return sized(add(n, 0))

    @graph(late=True)
    def twice(n: int) -> int:
        return add(plain(n), sized(nap(n))) if n else 0

    @graph(static=True)
    def once(n: int) -> int:
        return twice(n)

    result = run_virtual(once.try_run, 3)
    assert result.output == 206
    assert set(result.ops) == {
        "twice/plain/add",
        "twice/plain/sized/nap",
        "twice/plain/sized/add",
        "twice/nap",
        "twice/sized/nap",
        "twice/sized/add",
        "twice/add",
    }
    assert [run_virtual(once.run, n) for n in (0, 3, 0)] == [0, 206, 0]


def test_branches_inside_late_graphs() -> None:
    """`when` on a real condition and on a promise, inside a body; and a late graph in a branch not taken."""
    wired: list[int] = []

    @graph(late=True)
    def branching(n: int) -> int:
        wired.append(n)
        real = when(n > 1, lambda: nap(n), lambda: nap(0))
        return when(add(n, 0) > 1, lambda: add(real, 1), lambda: add(real, 2))

    @graph
    def outer(n: int) -> list[int]:
        taken = when(add(n, 0) > 0, lambda: branching(add(n, 0)), lambda: branching(add(n, 100)))
        return [taken, branching(add(n, -4))]

    result = run_virtual(outer.try_run, 5)
    assert (result.output, sorted(wired)) == ([6, 2], [1, 5])
    assert result.ops["branching#2"].status is OpStatus.SKIPPED
    assert {key for key, record in result.ops.items() if record.status is OpStatus.SKIPPED} == {
        "branching#2",
        "add#3",
        "branching/add#3",
        "branching#3/add#2",
    }


def test_two_become_ready_in_one_turn() -> None:
    """Fifty late graphs whose inputs come in one turn of the loop."""

    @graph
    def outer(n: int) -> list[int]:
        return each(sized, each(nap, listed(n)))

    result = run_virtual(outer.try_run, 50)
    assert result.output == [sum(range(n)) if n <= 2 else n + 100 for n in range(50)]
    assert result.seconds == 2.0


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@op(pool="db", tags={"kind": "io"})
async def query(x: int) -> int:
    await anyio.sleep(1)
    return x


@graph(late=True)
def queries(n: int) -> list[int]:
    return each(query, list(range(n)))


def test_its_own_limits_hold_beside_those_around_it() -> None:
    """The cap of a late call, of the graph around it, the op-tag rules of both, and pools."""

    @graph
    def outer(n: int, calls: int) -> list[list[int]]:
        return each(queries.options(max_concurrent=2), each(nap, [n] * calls))

    @graph
    def tagged(n: int, calls: int) -> list[list[int]]:
        limited = queries.options(tag_concurrency_limits=[TagLimit("kind", limit=1)])
        return each(limited, each(nap, [n] * calls))

    assert peak(run_virtual(outer.try_run, 4, 1)) == 2
    assert peak(run_virtual(outer.try_run, 4, 3)) == 6
    assert peak(run_virtual(outer.options(max_concurrent=3).try_run, 4, 3)) == 3
    assert peak(run_virtual(tagged.try_run, 4, 3)) == 3
    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 5}}})
    result = run_virtual(outer.on(deployment).try_run, 4, 3)
    assert peak(result, pool="db") == 5


def test_a_body_holds_nothing_and_waits_for_nobody() -> None:
    """A late graph is wired although the run's only place and the pool are taken."""
    wired_at: list[float] = []

    @graph(late=True)
    def looks(n: int) -> int:
        wired_at.append(anyio.current_time())
        return query(n)

    @graph(max_concurrent=1)
    def outer(n: int) -> list[int]:
        first = apply(lambda x: x, n)
        return [query.options(priority=9)(0), looks(first)]

    async def main() -> tuple[list[int], float]:
        start = anyio.current_time()
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})
        output = await outer.on(deployment).run(3)
        return output, wired_at[0] - start

    assert run_virtual(main) == ([0, 3], 0.0)


def test_what_can_never_fit_fails_the_op_by_name() -> None:
    """Ops of late graphs are not known at submission; one that asks for too much fails when it is wired."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})

    @graph(late=True)
    def greedy(n: int) -> int:
        return query.options(pool={"db": n})(n)

    @graph
    def outer(n: int) -> int:
        return greedy(nap(n))

    result = run_virtual(outer.on(deployment).try_run, 2)
    assert statuses(result) == {"nap": "SUCCEEDED", "greedy/query": "FAILED"}
    assert "outer/greedy/query asks for 2 of 'db'" in str(result.errors[0])


def test_a_run_with_a_late_root_waits_for_its_place_only() -> None:
    """An unknown root: the run takes its place as soon as there is one, and is wired after that."""
    wired: list[float] = []

    @graph(late=True)
    def looks(n: int) -> int:
        wired.append(anyio.current_time())
        return query(n)

    @graph
    def outer(n: int) -> int:
        return looks(n)

    async def main() -> list[float]:
        limits = {"runs": {"max_concurrent_runs": 1}, "pools": {"limits": {"db": 1}}}
        deployment = Deployment("d", concurrency=limits)
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(outer.on(deployment).run, n)
        return [at - start for at in wired]

    assert run_virtual(main) == [0.0, 1.0, 2.0]


def test_tune_reaches_the_ops_of_late_graphs() -> None:
    """A run's cap, changed while ops that a late graph brought wait, holds for them."""

    @graph
    def outer(n: int) -> list[int]:
        return queries(nap(n, 0.0))

    async def main() -> float:
        async with Deployment("d") as deployment:
            run = outer.options(max_concurrent=1).on(deployment).start(9)
            await anyio.sleep(2.5)
            await run.tune(max_concurrent=6)
            return (await run.result()).seconds

    assert run_virtual(main) == 4.0  # 0 to 2 one after another, then five at once beside the one that runs


def test_limits_change_no_result() -> None:
    """Equal results under every combination of limits."""

    @graph
    def outer(n: int) -> list[int]:
        return each(add, each(sized, each(sized, listed(n))), 1)

    free = run_virtual(outer.run, 6)
    for cap in (1, 2, 5):
        assert run_virtual(outer.options(max_concurrent=cap).run, 6) == free


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_error_in_the_body_fails_the_node_with_its_place() -> None:
    """Any exception: the call is FAILED by its key, the note says where it was called, dependents are ABANDONED."""

    @graph
    def outer(n: int) -> list[int]:
        return [add(broken(nap(n)), 1), nap(7)]

    result = run_virtual(outer.try_run, 5)
    assert statuses(result) == {"nap": "SUCCEEDED", "broken": "FAILED", "add": "ABANDONED", "nap#2": "SUCCEEDED"}
    assert (result.ops["add"].cause, str(result.errors[0])) == ("broken", "nothing at 5")
    place, _ = result.errors[0].__notes__
    assert re.match(r"asyncflow: while outer/broken, called at .*test_late\.py:\d+, was wired", place)
    with pytest.raises(RunFailed) as caught:
        run_virtual(outer.run, 5)
    assert caught.value.subgroup(LookupError) is not None


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (lambda n: add(nap(n), facter=2), PlanError, r"wrong/add has no parameter 'facter'"),
        (lambda n: add(nap(n), 1) if nap(n) else 0, TracingError, r"needs the value of outer/wrong/nap"),
        (nap.run, TypeError, r"the coroutine of Runnable.run\(…\) without awaiting"),
    ],
    ids=["plan", "promise", "coroutine"],
)
def test_what_cannot_be_wired_fails_the_node(body, kind: type[Exception], message: str) -> None:
    """Mistakes of wiring are told as ever, and fail the call only."""

    def wrong(n: int) -> int:
        return body(n)

    late = graph(late=True)(wrong)

    @graph
    def outer(n: int) -> list[object]:
        return [late.settled(nap(n)), nap(n)]

    result = run_virtual(outer.try_run, 2)
    assert result.status is RunStatus.SUCCEEDED
    assert result.ops["wrong"].status is OpStatus.FAILED
    assert isinstance(result.ops["wrong"].error, kind)
    with pytest.raises(kind, match=message):
        raise result.ops["wrong"].error


def test_inputs_are_checked_when_they_are_there() -> None:
    """A computed value that does not fit its annotation: InputError on the call; a real one is refused at once."""

    @op
    async def text():  # type: ignore[no-untyped-def]  # its result is not known
        return "three"

    @graph
    def outer() -> int:
        return sized(text())

    @graph
    def early() -> int:
        return sized("three")  # type: ignore[arg-type]  # the mistake

    result = run_virtual(outer.try_run)
    assert (statuses(result), type(result.errors[0])) == ({"text": "SUCCEEDED", "sized": "FAILED"}, InputError)
    with pytest.raises(InputError, match="sized takes int as 'n'"):
        run_virtual(early.run)


def test_types_are_compared_while_wiring() -> None:
    """A result whose annotation disproves the parameter's is refused before anything runs."""

    @op
    async def text() -> str:
        return "three"

    @graph
    def outer() -> int:
        return sized(text())  # type: ignore[arg-type]  # the mistake

    with pytest.raises(PlanError, match=r"outer/sized, called at .*, takes int as 'n', and is given .* str"):
        outer.plan()


def test_failures_inside_are_failures_of_the_run() -> None:
    """An op that fails inside abandons what follows it and the call's consumers, with the op as the cause."""

    @graph
    def outer(n: int) -> int:
        return add(fails(nap(n)), 1)

    result = run_virtual(outer.try_run, 5)
    assert statuses(result) == {"nap": "SUCCEEDED", "fails/failing": "FAILED", "add": "ABANDONED"}
    assert result.ops["add"].cause == "fails/failing"


def test_settled_late_graphs() -> None:
    """Failures of body and ops are tolerated, alone and in `each`; the outcome waits for all that was wired."""

    @graph
    def outer(n: int) -> list[Outcome[int]]:
        return [fails.settled(nap(n)), broken.settled(nap(n)), sized.settled(nap(n)), fails.settled(1)]

    result = run_virtual(outer.try_run, 4)
    assert result.status is RunStatus.SUCCEEDED
    assert [(o.status.value, str(o.error) if o.error else o.value) for o in result.output] == [
        ("FAILED", "no 4"),
        ("FAILED", "nothing at 4"),
        ("SUCCEEDED", 104),
        ("FAILED", "no 1"),
    ]

    @graph
    def mapped(n: int) -> list[Outcome[int]]:
        return each(picky.settled, listed(n))

    @graph(late=True)
    def picky(n: int) -> int:
        return failing(n) if n % 2 else nap(n)

    result = run_virtual(mapped.try_run, 4)
    assert [o.status.value for o in result.output] == ["SUCCEEDED", "FAILED", "SUCCEEDED", "FAILED"]
    assert result.status is RunStatus.SUCCEEDED


def test_a_settled_call_is_decided_when_all_of_it_has_ended() -> None:
    """A failure beside the result, later than it: the outcome is still FAILED, and comes after it."""

    @op
    async def late_failure() -> None:
        await anyio.sleep(5)
        raise KeyError("beside")

    @graph(late=True)
    def beside(n: int) -> int:
        late_failure()
        return nap(n)

    @graph
    def outer(n: int) -> Outcome[int]:
        return beside.settled(nap(n))

    result = run_virtual(outer.try_run, 1)
    assert (result.output.status.value, result.seconds, result.status) == ("FAILED", 6.0, RunStatus.SUCCEEDED)


def test_fail_fast_by_a_body_and_by_its_ops() -> None:
    """`fail_fast` stops the rest, whether the body or an op that it wired failed."""

    @graph(on_error="fail_fast")
    def body(n: int) -> list[int]:
        return [broken(nap(n)), nap(1, 50.0)]

    @graph(on_error="fail_fast")
    def inside(n: int) -> list[int]:
        return [fails(nap(n)), nap(1, 50.0)]

    for which in (body, inside):
        result = run_virtual(which.try_run, 1)
        assert (result.status, result.seconds) == (RunStatus.FAILED, 1.0)
        assert result.ops["nap#2"].status is OpStatus.CANCELED


def test_run_options_and_other_deployments_are_refused() -> None:
    """What belongs to the outermost run is refused in the call, and inside the body."""

    @graph
    def outer(n: int) -> int:
        return sized.options(priority=3)(nap(n))

    with pytest.raises(PlanError, match=r"sized.*has priority, which belong to the outermost run"):
        outer.plan(3)

    other = Deployment("other")

    @graph(late=True)
    def elsewhere(n: int) -> int:
        return sized.on(other)(n)

    @graph
    def around(n: int) -> int:
        return elsewhere(nap(n))

    result = run_virtual(around.on(Deployment("d")).try_run, 3)
    assert "one run stays in one deployment" in str(result.errors[0])


@pytest.mark.parametrize("other", ["static", "async"])
def test_static_and_async_late_graphs_are_refused(other: str) -> None:
    """`late=True` with `static=True`, or on an async def, is a ConfigurationError that says why."""

    async def live(n: int) -> int:
        return n

    def plain(n: int) -> int:
        return n

    with pytest.raises(ConfigurationError, match="keep one of the two" if other == "static" else "an async def"):
        graph(late=True, static=other == "static")(plain if other == "static" else live)
    with pytest.raises(ConfigurationError, match="late must be True or False"):
        graph(late=1)(plain)  # type: ignore[call-overload]  # the mistake


def test_context_variables_of_the_body_are_its_own() -> None:
    """The body sees the run's context; what it sets does not reach the ops, nor the next body."""
    seen: list[str] = []
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")

    @op
    async def reads() -> None:
        seen.append(name.get())

    @graph(late=True)
    def sets(n: int) -> None:
        seen.append(name.get())
        name.set(f"body {n}")
        reads()

    @graph
    def outer(n: int) -> None:
        sets.after(sets(nap(n)))(n)

    async def main() -> None:
        name.set("caller")
        await outer.run(1)

    run_virtual(main)
    assert seen == ["caller"] * 4


# ── recursion ────────────────────────────────────────────────────────────────────────────────────────────────────────


@graph(late=True)
def countdown(n: int) -> int:
    return 0 if n == 0 else add(countdown(n - 1), 1)


@graph
def counted(n: int) -> int:
    return countdown(add(n, 0))


def test_a_late_graph_may_call_itself() -> None:
    """400 calls inside each other, with a recursion limit of Python's that would not allow it."""
    before = sys.getrecursionlimit()
    depth = len(inspect.stack())
    sys.setrecursionlimit(depth + 150)
    try:
        result = run_virtual(counted.try_run, 400)
    finally:
        sys.setrecursionlimit(before)
    assert (result.status, result.output, len(result.ops)) == (RunStatus.SUCCEEDED, 400, 401)


def test_a_recursion_without_end_is_a_plan_error() -> None:
    """Row 1: the call that lies too deep fails by name, what is around it is abandoned, what is beside it goes on."""

    @graph(late=True)
    def endless(n: int) -> int:
        return add(endless(add(n, 1)), 1)

    @graph
    def outer(n: int) -> list[int]:
        return [endless(n), nap(n)]

    result = run_virtual(outer.try_run, 0)
    assert result.status is RunStatus.FAILED
    assert [type(error) for error in result.errors] == [PlanError]
    assert "endless, a late graph at" in str(result.errors[0])
    assert "goes no deeper than 500" in str(result.errors[0])
    assert result.ops["nap"].status is OpStatus.SUCCEEDED
    assert max(map(len, map(str, result.errors))) < 1_000


def test_the_work_of_a_recursion_grows_with_its_depth_only() -> None:
    """Twice the depth: twice the nodes, and orders and scopes of bounded size; no clock is asked."""
    seen: dict[int, tuple[int, int, int]] = {}

    def measured(n: int) -> None:
        result = run_virtual(counted.try_run, n)
        frame = result.ops._index["add"][0]  # type: ignore[attr-defined]  # the execution behind the result
        seen[n] = (len(frame.nodes), max(map(len, frame.orders)), len(frame.scopes))

    measured(100)
    measured(200)
    assert seen[200][0] - seen[100][0] == 300
    assert seen[200][1] == seen[100][1]
    assert seen[200][2] - seen[100][2] == 100


def test_a_tree_recursion() -> None:
    """A late graph that calls itself twice; and one that ends by `when` on a promise."""

    @graph(late=True)
    def fib(n: int) -> int:
        return n if n < 2 else add(fib(n - 1), fib(n - 2))

    @graph(late=True)
    def until(n: int) -> int:
        return when(add(n, 0) > 5, lambda: n, lambda: until(add(n, 1)))

    @graph
    def outer(n: int) -> list[int]:
        return [fib(add(n, 0)), until(n)]

    assert run_virtual(outer.run, 10) == [55, 10]
    assert run_virtual(outer.run, 1) == [1, 6]


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_appended_ops_take_the_rank_of_the_call_then_their_own_hops() -> None:
    """One place: what stands where the late call stood goes before what ranks lower, longest way first inside."""

    @graph(late=True)
    def inner(n: int) -> int:
        short = nap.options(name="short")(n)
        long = nap.options(name="long")(nap.options(name="longest")(n))
        return nap.options(name="last").after(short)(long)

    @graph(max_concurrent=1)
    def outer(n: int) -> list[int]:
        first = nap.options(priority=1)(n)
        low = nap.options(name="low")(n)
        return [low, nap.options(name="end")(nap.options(name="behind")(inner(first)))]

    result = run_virtual(outer.try_run, 1)
    order = [record.key for record in result.timeline]
    assert order == ["nap", "inner/longest", "inner/short", "inner/long", "inner/last", "behind", "low", "end"]


def test_items_of_late_graphs_finish_before_new_ones_begin() -> None:
    """Depth first: with one place, item 0 is through both stages before item 1 starts."""

    @graph(late=True)
    def steps(n: int) -> int:
        return nap(nap(n))

    @graph(max_concurrent=1)
    def outer(n: int) -> list[int]:
        return each(add, each(steps, listed(n)), 1)

    result = run_virtual(outer.try_run, 3)
    assert [record.key for record in result.timeline] == [
        "listed",
        *[key for i in range(3) for key in (f"steps[{i}]/nap", f"steps[{i}]/nap#2", f"add[{i}]")],
    ]


def test_maps_inside_late_items_keep_the_order_of_the_items() -> None:
    """A dynamic `each` inside the body of item 0 goes before the body of item 1."""

    @graph(late=True)
    def rows(n: int) -> int:
        return total(each(nap, listed(2)))

    @graph(max_concurrent=1)
    def outer(n: int) -> list[int]:
        return each(rows, listed(n))

    result = run_virtual(outer.try_run, 2)
    order = [record.key for record in result.timeline if record.key != "listed"]
    naps = [key for key in order if "nap" in key]
    assert naps == ["rows[0]/nap[0]", "rows[0]/nap[1]", "rows[1]/nap[0]", "rows[1]/nap[1]"]


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plans_and_pictures_show_the_call() -> None:
    """A plan has one box for the call, which says that it is wired later."""

    @graph
    def outer(n: int) -> int:
        return sized.options(max_concurrent=2)(nap(n))

    plan = outer.plan(3)
    assert len(plan) == 2
    assert "late: wired when its inputs are there, at most 2" in plan.mermaid()
    assert "sized" in plan.svg()
    assert plan == outer.plan(3)


def test_explanations_follow_the_call() -> None:
    """Before it is wired it waits for its inputs; afterwards it is told which of its ops it waits for."""

    @graph
    def outer(n: int) -> int:
        return add(sized(nap(n)), 1)

    async def main() -> list[object]:
        async with Deployment("d") as deployment:
            run = outer.on(deployment).start(5)
            await anyio.sleep(0.5)
            before = run.explain("sized")
            await anyio.sleep(1)
            after, consumer = run.explain("sized"), run.explain("add")
            await run
            return [
                (before.state, before.unblocked_by),
                (after.state, after.unblocked_by),
                (consumer.state, consumer.unblocked_by),
            ]

    assert run_virtual(main) == [
        (OpStatus.WAITING, ("the end of nap",)),
        (OpStatus.RUNNING, ("the end of sized/add",)),
        (OpStatus.WAITING, ("the end of sized/add",)),
    ]


def test_events_of_a_late_graph() -> None:
    """The call starts and ends when it is wired; its ops are told like all others."""
    seen: list[str] = []

    @graph
    def outer(n: int) -> int:
        return sized(nap(n))

    async def main() -> None:
        deployment = Deployment("d")

        def listen(event: object) -> None:
            if isinstance(event, (OpStarted, OpEnded)):
                seen.append(f"{event.key} {type(event).__name__.removeprefix('Op').lower()}")

        deployment.subscribe(listen)
        await outer.on(deployment).run(5)

    run_virtual(main)
    assert seen == [
        *["nap started", "nap ended", "sized started", "sized ended"],
        *["sized/nap started", "sized/nap ended", "sized/add started", "sized/add ended"],
    ]


# ── cancellation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_cancelled_before_and_after_its_late_graph_is_wired() -> None:
    """Everything is CANCELED, also what was appended; what was never wired is the call itself."""

    @graph
    def outer(n: int) -> int:
        return add(sized(nap(n)), 1)

    async def main(seconds: float) -> dict[str, str]:
        async with Deployment("d") as deployment:
            run = outer.on(deployment).start(5)
            await anyio.sleep(seconds)
            await run.cancel("enough")
            snapshot = deployment.snapshot()
            assert [limit.name for limit in snapshot.limits if limit.held] == []
            return statuses(await run.result())

    assert run_virtual(main, 0.5) == {"nap": "CANCELED", "sized": "CANCELED", "add": "CANCELED"}
    assert run_virtual(main, 1.5) == {
        "nap": "SUCCEEDED",
        "sized/nap": "CANCELED",
        "sized/add": "CANCELED",
        "add": "CANCELED",
    }


def test_an_interrupt_in_the_body_ends_the_run_as_itself() -> None:
    """KeyboardInterrupt while wiring: the run is cleaned up, and its caller gets it."""

    @graph(late=True)
    def interrupted(n: int) -> int:
        raise KeyboardInterrupt

    @graph
    def outer(n: int) -> list[int]:
        return [interrupted(nap(n)), nap(1, 9.0)]

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await outer.run(1)

    run_virtual(main)


def test_a_body_whose_run_ends_meanwhile_appends_nothing() -> None:
    """Cancelled by the body itself, through an observer of its own events: the result is CANCELED, nothing hangs."""
    from asyncflow import _executor as executor

    @graph(late=True)
    def ends(n: int) -> int:
        (run,) = engine().runs.values()
        executor.cancel(engine(), run, "by the body")
        return nap(n)

    @graph
    def outer(n: int) -> int:
        return ends(nap(n))

    deployment = Deployment("d")

    def engine():
        return deployment.engine_here()

    async def main() -> dict[str, str]:
        result = await outer.on(deployment).try_run(1)
        assert result.status is RunStatus.CANCELED
        return statuses(result)

    assert run_virtual(main) == {"nap": "SUCCEEDED", "ends": "SUCCEEDED"}
