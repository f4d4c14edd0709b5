"""Runs under limits, in virtual time: how long they take, and how full they are."""

import random
from collections import Counter

import anyio
import pytest

from asyncflow import PER_VALUE, ConfigurationError, DemandError, Deployment, TagLimit, each, graph, op
from asyncflow.testing import peak, run_virtual


@op
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


def test_ten_naps_under_a_cap_of_three() -> None:
    """Ten ops of one second under max_concurrent=3 take four seconds, with a peak of exactly three."""

    @graph(max_concurrent=3)
    def naps() -> list[float]:
        return [nap(1.0) for _ in range(10)]

    result = run_virtual(naps.try_run)
    assert (result.seconds, peak(result), result.output) == (4.0, 3, [1.0] * 10)
    assert result.waits["@max_concurrent"] == pytest.approx(3 * 1 + 3 * 2 + 1 * 3)
    assert sum(result.waits.values()) == pytest.approx(sum(record.blocked for record in result.ops.values()))


@pytest.mark.parametrize("seed", range(5))
def test_weights_on_a_pool(seed: int) -> None:
    """100 ops on a pool of 7 with weights 1–3: never above 7, and no op waits while it would fit."""
    rng = random.Random(seed)
    weights = [rng.randint(1, 3) for _ in range(100)]
    seconds = [rng.choice([0.5, 1.0, 1.5]) for _ in range(100)]

    @graph
    def weighted() -> list[float]:
        return [
            nap.options(pool={"p": w}, name=f"nap{i}")(s) for i, (w, s) in enumerate(zip(weights, seconds, strict=True))
        ]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 7}}})
    result = run_virtual(weighted.on(deployment).try_run)
    assert peak(result, pool="p") == 7
    records = list(result.ops.values())
    moments = sorted({record.started_at for record in records} | {record.ended_at for record in records})
    for now in moments:
        held = sum(r.needs["p"] for r in records if r.started_at <= now < r.ended_at)
        waiting = [r.needs["p"] for r in records if r.ready_at <= now < r.started_at]
        assert held <= 7
        if waiting and not any(r.waits.get("p", 0) > 64 for r in records):
            assert min(waiting) > 7 - held or held == 7


def test_two_pools_in_opposite_order_never_deadlock() -> None:
    """Ops that name two pools of limit 1 in opposite order take turns."""
    forth, back = nap.options(pool={"a": 1, "b": 1}), nap.options(pool={"b": 1, "a": 1})

    @graph
    def both() -> list[float]:
        return [forth(1.0), back(1.0), forth(1.0), back(1.0)]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"a": 1, "b": 1}}})
    assert run_virtual(both.on(deployment).try_run).seconds == 4.0


def test_a_tag_limit_is_not_charged_by_an_op_that_a_pool_blocks() -> None:
    """Op A {pool full, tag t} and op B {tag t}, tag limit 1: B starts at once."""
    holder = nap.options(pool="p", name="holder")
    a = nap.options(pool="p", tags={"t": "x"}, name="a", priority=5)
    b = nap.options(tags={"t": "x"}, name="b")

    @graph(tag_concurrency_limits=[TagLimit("t", "x", 1)])
    def tagged() -> list[float]:
        held = holder(5.0)
        return [held, a(1.0), b(1.0)]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
    result = run_virtual(tagged.on(deployment).try_run)
    started = {key: record.started_at for key, record in result.ops.items()}
    assert started["b"] == 0.0 or started["a"] == 0.0
    assert result.seconds <= 6.0


def test_tag_limits_in_three_forms() -> None:
    """Key only counts all, key and value that value, PER_VALUE each value apart."""

    def run(rule: TagLimit) -> dict[str, int]:
        @graph(tag_concurrency_limits=[rule])
        def tagged() -> list[float]:
            return [nap.options(tags={"k": "ab"[i % 2]})(1.0) for i in range(8)]

        result = run_virtual(tagged.try_run)
        peaks: Counter[str] = Counter()
        for record in result.ops.values():
            together = [r for r in result.ops.values() if r.started_at == record.started_at]
            peaks["all"] = max(peaks["all"], len(together))
        return {"all": peaks["all"], "seconds": int(result.seconds)}

    assert run(TagLimit("k", limit=2)) == {"all": 2, "seconds": 4}
    assert run(TagLimit("k", "a", 1)) == {"all": 5, "seconds": 4}
    assert run(TagLimit("k", PER_VALUE, 1)) == {"all": 2, "seconds": 4}


def test_pools_hold_across_runs() -> None:
    """Five runs at once share the pool's two slots."""

    @graph
    def one() -> float:
        return nap.options(pool="db")(1.0)

    deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 2}}})

    async def five() -> float:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one.on(deployment).run)
        return anyio.current_time()

    assert run_virtual(five) == 3.0


def test_keys_have_their_own_limit_beside_the_pools() -> None:
    """`api:x` takes a slot of the pool and of its key."""

    @graph
    def calls() -> list[float]:
        return [nap.options(pool=f"api:{'xy'[i % 2]}")(1.0) for i in range(6)]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"api": {"limit": 5, "per_key": 1}}}})
    assert run_virtual(calls.on(deployment).try_run).seconds == 3.0


def test_default_limit_and_strict() -> None:
    """A pool without a limit follows the default; under strict it is refused, naming the nearest."""

    @graph
    def calls() -> list[float]:
        return [nap.options(pool="dbb")(1.0) for _ in range(4)]

    default = Deployment("d", concurrency={"pools": {"default_limit": 2}})
    assert run_virtual(calls.on(default).try_run).seconds == 2.0
    strict = Deployment("s", concurrency={"pools": {"strict": True, "limits": {"db": 1}}})
    with pytest.raises(ConfigurationError, match="'db'"):
        run_virtual(calls.on(strict).try_run)


def test_unpooled_ops_are_never_delayed_by_a_full_pool() -> None:
    """A hundred ops queue for a pool of one; those without a pool all start at once."""

    @graph
    def mixed() -> list[float]:
        return [nap.options(pool="p")(1.0) for _ in range(100)] + [nap.options(name="free")(1.0) for _ in range(50)]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
    result = run_virtual(mixed.on(deployment).try_run)
    assert {r.started_at for key, r in result.ops.items() if key.startswith("free")} == {0.0}


def test_a_demand_that_never_fits_is_refused_before_anything_runs() -> None:
    """An op that asks for more than the pool has is a DemandError that names op, pool and numbers."""
    started: list[str] = []

    @op
    async def first() -> None:
        started.append("first")

    @graph
    def wide() -> float:
        first()
        return nap.options(pool={"p": 3}, name="wide")(1.0)

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 2}}})
    with pytest.raises(DemandError, match=r"wide/wide asks for 3 of 'p', whose limit is 2"):
        run_virtual(wide.on(deployment).try_run)
    assert started == []


def test_a_pool_function_names_pools_by_the_inputs() -> None:
    """`pool=` as a function gets the op's parameters by name; what it raises fails the op."""

    @op(pool=lambda host: f"web:{host}")
    async def fetch(host: str, seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    @graph
    def crawl(hosts: list[str]) -> list[float]:
        return [fetch(host, 1.0) for host in hosts]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"web": {"limit": 10, "per_key": 1}}}})
    result = run_virtual(crawl.on(deployment).try_run, ["a", "a", "b"])
    assert (result.seconds, peak(result, pool="web")) == (2.0, 2)

    bad = fetch.options(pool=lambda host: host / 0)

    @graph
    def broken() -> float:
        return bad("a", 1.0)

    assert [type(error) for error in run_virtual(broken.try_run).errors] == [TypeError]


def test_a_wide_op_starts_amid_a_stream_of_small_ones() -> None:
    """An op that needs the whole pool of 4 is not passed over for ever: it gathers after 64 overtakes."""

    @op(pool="p")
    async def small(step: int) -> int:
        await anyio.sleep(1.0 + step % 3 * 0.25)
        return step + 1

    @graph
    def mixed() -> list[float]:
        lanes: list[float] = []
        for _ in range(5):
            step: int = 0
            for _ in range(200):
                step = small(step)
            lanes.append(step)
        return [*lanes, nap.options(pool={"p": 4}, name="wide", priority=-1)(1.0)]

    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 4}}})
    result = run_virtual(mixed.on(deployment).try_run)
    before = sum(1 for r in result.ops.values() if r.key != "wide" and r.started_at < result.ops["wide"].started_at)
    assert before <= 64 + 8
    assert result.ops["wide"].started_at < 30.0


def test_each_over_each_finishes_started_items_first() -> None:
    """Under a cap of one, item 0 goes through both stages before item 1 begins."""

    @op
    async def a(x: int) -> int:
        await anyio.sleep(1)
        return x

    @op
    async def b(x: int) -> int:
        await anyio.sleep(1)
        return x * 10

    @graph(max_concurrent=1)
    def chain(xs: list[int]) -> list[int]:
        return each(b, each(a, xs))

    result = run_virtual(chain.try_run, [1, 2, 3])
    assert [record.key for record in result.timeline] == ["a[0]", "b[0]", "a[1]", "b[1]", "a[2]", "b[2]"]
    assert result.output == [10, 20, 30]


def test_nested_maps_over_promises_finish_started_items_first() -> None:
    """Two levels of lists known at run time, under a cap of one: an outer item is through before the next begins."""

    @op
    async def lists(n: int) -> list[list[int]]:
        return [[10 * i + j for j in range(2)] for i in range(n)]

    @op
    async def a(x: int) -> int:
        await anyio.sleep(1)
        return x

    @op
    async def b(x: int) -> int:
        await anyio.sleep(1)
        return x

    @graph
    def inner(xs: list[int]) -> list[int]:
        return each(b, each(a, xs))

    @graph(max_concurrent=1)
    def outer(n: int) -> list[list[int]]:
        return each(inner, lists(n))

    result = run_virtual(outer.try_run, 2)
    assert result.output == [[0, 1], [10, 11]]
    order = [record.key for record in result.timeline][1:]
    assert order == [
        "inner[0]/a[0]", "inner[0]/b[0]", "inner[0]/a[1]", "inner[0]/b[1]",
        "inner[1]/a[0]", "inner[1]/b[0]", "inner[1]/a[1]", "inner[1]/b[1]",
    ]  # fmt: skip


def test_a_nested_graph_bound_to_the_deployment_it_runs_on() -> None:
    """Bound to the same deployment by definition, a nested graph is just nested."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})

    @graph(deployment=deployment)
    def inner() -> float:
        return nap.options(pool="p")(1.0)

    @graph
    def outer() -> list[float]:
        return [inner(), inner()]

    assert run_virtual(outer.on(deployment).try_run).seconds == 2.0


def test_real_containers_reach_ops_uncopied() -> None:
    """A list without results in it is passed on as the very object it was."""
    given = [[1], [2]]

    @op
    async def same(xs: list[list[int]], *, by_name: list[list[int]]) -> bool:
        return xs is given and by_name is given

    @graph
    def one() -> bool:
        return same(given, by_name=given)

    assert run_virtual(one.run)
