"""Assets: ops wired by the names of their parameters, part by part, under limits."""

from __future__ import annotations

import inspect
from typing import Any

import anyio
import pytest

from asyncflow import ConfigurationError, Deployment, Graph, InputError, PlanError, RunFailed, TagLimit, graph, op
from asyncflow.assets import asset
from asyncflow.testing import peak, run_virtual

made: list[str] = []


@pytest.fixture(autouse=True)
def nothing_was_made() -> None:
    """No asset has been made yet."""
    made.clear()


@asset(pool="db", tags={"kind": "io"})
async def orders() -> list[int]:
    made.append("orders")
    await anyio.sleep(1)
    return [1, 2, 3]


@asset(pool="db", tags={"kind": "io"})
async def customers() -> list[str]:
    made.append("customers")
    await anyio.sleep(1)
    return ["a", "b"]


@asset
async def clean(orders: list[int]) -> list[int]:
    made.append("clean")
    return [n for n in orders if n > 1]


@asset
async def report(clean: list[int], customers: list[str], title: str = "report") -> str:
    made.append("report")
    return f"{title}: {sum(clean)} of {len(customers)}"


ALL = [report, clean, customers, orders]
warehouse = Graph.from_assets(ALL)


def run(graph: Graph[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns the value of a run."""

    async def main() -> Any:
        return await graph.run(*args, **kwargs)

    return run_virtual(main)


def test_assets_are_wired_by_name() -> None:
    """In whatever order they are listed; the value has every asset by name, in the order of the list."""
    assert run(warehouse) == {"report": "report: 5 of 2", "clean": [2, 3], "customers": ["a", "b"], "orders": [1, 2, 3]}
    assert made[-1] == "report"
    assert warehouse.plan().text().splitlines()[0] == "assets"


@pytest.mark.parametrize(
    ("clauses", "names"),
    [
        (["*clean"], ["clean", "orders"]),
        (["orders"], ["orders"]),
        (["+report"], ["clean", "customers", "report"]),
        (["orders+"], ["clean", "orders"]),
        (["orders*"], ["clean", "orders", "report"]),
        (["orders", "customers"], ["customers", "orders"]),
        (["*"], ["clean", "customers", "orders", "report"]),
    ],
)
def test_a_part_of_them(clauses: list[str], names: list[str]) -> None:
    """Only what is selected is made; values of the rest are given."""
    part = warehouse.select(*clauses).given({"orders": [5], "clean": [5], "customers": ["x"]})
    assert sorted(run(part)) == names
    assert sorted(made) == names


def test_what_a_part_needs() -> None:
    """An asset that is neither selected nor given is named, with both ways out; nothing runs."""
    part = warehouse.select("report")
    assert part.needed() == ("customers", "clean")
    with pytest.raises(PlanError, match="also needs the value of 'customers', 'clean': select that too"):
        run(part)
    assert made == []
    first = run(warehouse.select("*clean"))
    assert run(part.given({**first, "customers": []})) == {"report": "report: 5 of 0"}


def test_an_asset_is_an_op() -> None:
    """It runs alone, it is a plain function, it is called in graphs, and it is in two asset graphs at once."""

    @graph
    def plain() -> int:
        return clean(orders())  # type: ignore[return-value]  # on purpose: what is given back does not matter here

    async def main() -> Any:
        return await clean.run([1, 5])

    assert run_virtual(main) == [5]
    assert inspect.iscoroutinefunction(clean.fn)
    assert run(plain) == [2, 3]
    other = Graph.from_assets([orders, clean], name="small")
    assert (list(run(other)), other.name) == (["orders", "clean"], "small")
    assert len(run(warehouse)) == 4


def test_limits_hold() -> None:
    """Pools of a deployment, op tags and the cap of the graph count assets as they count ops."""

    async def main(graph: Graph[..., Any]) -> Any:
        async with Deployment("prod", concurrency={"pools": {"limits": {"db": 1}}}):
            return await graph.try_run()

    result = run_virtual(main, warehouse)
    assert (peak(result, pool="db"), result.seconds) == (1, 2.0)
    result = run_virtual(warehouse.options(tag_concurrency_limits=[TagLimit("kind", "io", 1)]).try_run)
    assert (peak(result), result.seconds) == (1, 2.0)
    assert run_virtual(warehouse.options(max_concurrent=1).try_run).seconds == 2.0
    assert run_virtual(warehouse.try_run).seconds == 1.0


def test_an_asset_that_fails() -> None:
    """Others are made, what needs it is not, and the run fails with its exception."""

    @asset
    async def broken(orders: list[int]) -> int:
        raise OSError("no disk")

    @asset
    async def after_it(broken: int) -> int:
        return broken

    with pytest.raises(RunFailed) as failed:
        run(Graph.from_assets([*ALL, broken, after_it]))
    assert failed.group_contains(OSError, match="no disk")
    assert failed.value.result.ops["after_it"].cause == "broken"
    assert sorted(made) == ["clean", "customers", "orders", "report"]


def test_inputs_of_the_graph() -> None:
    """Parameters that are named are inputs: given by name, checked, optional where they have a default."""

    @asset
    async def raw(day: str, limit: int = 2) -> list[str]:
        return [day] * limit

    @asset
    def size(raw: list[str], day: str) -> str:
        return f"{day}: {len(raw)}"

    daily = Graph.from_assets([raw, size], inputs=["day", "limit"])
    assert run(daily, day="mon") == {"raw": ["mon", "mon"], "size": "mon: 2"}
    assert run(daily, day="tue", limit=1)["size"] == "tue: 1"
    assert run(daily.select("size").given({"raw": []}), day="wed") == {"size": "wed: 0"}
    with pytest.raises(InputError, match="takes int as 'limit'"):
        run(daily, day="mon", limit="many")
    with pytest.raises(PlanError, match="is missing 'day'"):
        run(daily)


def test_order_without_data() -> None:
    """`deps` start first, and their values are not taken; they count as layers of a selection."""

    @asset
    async def migrate() -> None:
        await anyio.sleep(1)
        made.append("migrate")

    @asset(deps=[migrate, "customers"], pool="db")
    async def fill(orders: list[int]) -> int:
        made.append("fill")
        return len(orders)

    filled = Graph.from_assets([orders, fill, migrate, customers])
    assert run(filled)["fill"] == 3
    assert made[-1] == "fill"
    assert set(run(filled.select("+fill"))) == {"orders", "fill", "migrate", "customers"}
    made.clear()
    assert run(filled.select("fill").given({"orders": [1]})) == {"fill": 1}
    assert made == ["fill"]


def test_names() -> None:
    """`name=` is what parameters of others mean; options of a copy, and methods, work as for ops."""

    class Source:
        def __init__(self, rows: list[int]) -> None:
            self.rows = rows

        @asset(name="orders")
        async def read(self) -> list[int]:
            return self.rows

    renamed = customers.options(name="clients", tags={"kind": "slow"})

    @asset
    async def both(orders: list[int], clients: list[str]) -> int:
        return len(orders) + len(clients)

    assert run(Graph.from_assets([Source([7]).read, renamed, both]))["both"] == 3


def test_parameters_of_any_kind() -> None:
    """By position only, by keyword only, and those that take anything."""

    @asset
    async def mixed(orders: list[int], /, *rest: Any, clean: list[int], **more: Any) -> int:
        return len(orders) + len(clean) + len(rest) + len(more)

    assert run(Graph.from_assets([orders, clean, mixed]))["mixed"] == 5


def test_plain_ops_are_assets_too() -> None:
    """An op whose parameters are called like others is wired likewise."""

    @op
    async def largest(orders: list[int]) -> int:
        return max(orders)

    assert run(Graph.from_assets([orders, largest]))["largest"] == 3


# ── wrong use ───────────────────────────────────────────────────────────────────────────────────────────────────────


@asset
async def misspelt(order: list[int]) -> int:
    return len(order)


@asset
async def selfish(selfish: int) -> int:
    return selfish


@asset
async def hen(egg: int) -> int:
    return egg


@asset(deps=["chick"])
async def egg() -> int:
    return 1


@asset
async def chick(hen: int) -> int:
    return hen


@pytest.mark.parametrize(
    ("assets", "error", "message"),
    [
        ([orders, misspelt], PlanError, r"misspelt, at .*test_assets.py:\d+, takes 'order'.*did you mean 'orders'"),
        ([misspelt], PlanError, r"no asset in the graph is called that; add it to the list, .* inputs=\['order'\]"),
        ([selfish], PlanError, "in a circle: selfish → selfish"),
        ([orders, hen, egg, chick], PlanError, "assets need each other in a circle: "),
        ([orders, orders], ConfigurationError, "two assets are called 'orders'"),
        ([orders, clean.options(name="orders")], ConfigurationError, r"two assets are called 'orders', at .* and "),
        ([egg], PlanError, "egg, at .*, has 'chick' in its deps, and no asset"),
        ([], ConfigurationError, "needs an asset"),
        ([len], ConfigurationError, "len is none; put @asset on it"),
        ([3], ConfigurationError, "a value of type int is none"),
        ([warehouse], ConfigurationError, "assets is none"),
        (orders, ConfigurationError, "takes a list of assets"),
        (3, ConfigurationError, "takes a list of assets, not int"),
    ],
)
def test_wrong_assets(assets: Any, error: type[Exception], message: str) -> None:
    """Refused where the graph is made, naming the asset, the place and the nearest name."""
    with pytest.raises(error, match=message):
        Graph.from_assets(assets)


def test_a_cycle_is_told_in_the_order_of_the_data() -> None:
    """What needs what, from the first back to itself."""
    with pytest.raises(PlanError) as circle:
        Graph.from_assets([hen, egg, chick])
    names = str(circle.value).partition("circle: ")[2].partition(";")[0].split(" → ")
    assert names[0] == names[-1]
    follows = {"egg": "hen", "hen": "chick", "chick": "egg"}
    assert [follows[name] for name in names[:-1]] == names[1:]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["orders"], "'orders' is an asset and an input"),
        (["oder"], "no asset takes the input 'oder'; did you mean 'order'"),
        ("order", r"is a list of names: inputs=\['order'\]"),
    ],
)
def test_wrong_inputs(inputs: Any, message: str) -> None:
    """An input has a parameter to go to, and no asset of its name."""
    with pytest.raises(ConfigurationError, match=message):
        Graph.from_assets([orders, misspelt], inputs=inputs)


@pytest.mark.parametrize("deps", ["orders", orders, 3, [3], [None]])
def test_wrong_deps(deps: Any) -> None:
    """A list of assets or names, nothing else."""
    with pytest.raises(ConfigurationError, match="deps of an asset"):
        asset(deps=deps)


def test_types_that_disagree() -> None:
    """A result that cannot be what the parameter of its name takes is refused, as between calls."""

    @asset
    async def counts(customers: int) -> int:
        return customers

    with pytest.raises(PlanError, match="takes int as 'customers'"):
        Graph.from_assets([customers, counts]).plan()


def test_wrong_options() -> None:
    """Options are those of `@op`, and checked by it."""
    with pytest.raises(ConfigurationError, match="pool"):
        asset(pool=3)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(TypeError, match="pol"):
        asset(pol="db")  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ConfigurationError, match="is a class"):
        asset(int)
