"""Running a part of a graph: which ops, and the values of those that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, cast

from asyncflow._authoring import GIVEN, Clause, Wiring, parse_clauses, select
from asyncflow._plan import Plan
from asyncflow.assets import define_assets
from asyncflow.errors import ConfigurationError
from asyncflow.op import Op
from asyncflow.typed_doors import Runnable

if TYPE_CHECKING:
    from asyncflow.graph import Graph

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

EVERYTHING: Final = parse_clauses(["*"])
"""What an asset graph selects as long as nobody chooses: its value has every asset."""


class Selectable(Runnable[P, R_co], Generic[P, R_co]):
    """A graph of which a part can be run.

    Attributes:
        selection: What is run; empty for all, with the value that the graph itself returns.
        values: Results of what is left out, by key.
    """

    __slots__ = ("selection", "values")

    selection: tuple[Clause, ...]
    values: Mapping[str, object]

    @classmethod
    def from_assets(
        cls, assets: Iterable[Op[..., Any]], *, name: str = "assets", inputs: Iterable[str] = ()
    ) -> Graph[..., dict[str, Any]]:
        """Makes a graph of assets, wired by the names of their parameters. Its value has every asset's, by name.

        A parameter takes the result of the asset of its name; one with a default may also have none. Limits and
        other options are set by `.options(…)`, as on any graph.

        Args:
            assets: The assets, in any order; ops are taken too.
            name: The graph's name.
            inputs: Parameters that are inputs of the graph, given to `.run(…)` by name.

        Raises:
            ConfigurationError: for something that is no asset, two of one name, or an input that nobody takes.
            PlanError: for a parameter that no asset is called like, and for assets that need each other in a circle.

        >>> import asyncio
        >>> from asyncflow import Graph
        >>> from asyncflow.assets import asset
        >>> @asset
        ... async def raw(day: str) -> list[str]:
        ...     return [day, day]
        >>> @asset
        ... async def size(raw: list[str]) -> int:
        ...     return len(raw)
        >>> asyncio.run(Graph.from_assets([raw, size], inputs=["day"]).run(day="mon"))
        {'raw': ['mon', 'mon'], 'size': 2}
        """
        made: Any = cls
        graph: Graph[..., dict[str, Any]] = made(define_assets(assets, name=name, inputs=inputs))
        graph.selection = EVERYTHING
        return graph

    def select(self, *clauses: str | Iterable[str]) -> Graph[P, dict[str, Any]]:
        """Returns a copy that runs a part of the graph; its value has every selected op's result, by key.

        A clause is a name: an op's key, the name of an `each` (all its items) or of a nested graph (all inside).
        `*` before it adds all that it needs, behind it all that needs it; `+` one layer of these, `++` two. Several
        clauses select all of them together; selecting again replaces.

        What is selected and needs something that is not gets its value from `.given(…)`; order without data
        (`.after`) on something that is not selected is dropped.

        Args:
            clauses: `"a"`, `"*a"`, `"a+"`, `"++a*"`, `"*"`, or lists of these.

        Returns:
            The graph of the part. Names are looked up when it is planned or run: `PlanError` for an unknown one.

        Raises:
            ConfigurationError: for something that is no clause.
        """
        part: Any = self._copy(selection=parse_clauses(clauses))
        return cast("Graph[P, dict[str, Any]]", part)

    def given(self, values: Mapping[str, object]) -> Self:
        """Returns a copy that knows results of ops that are not selected, beside those it knew.

        Args:
            values: Results by key, such as the value of an earlier run; what is not needed is left alone. For the
                items of an `each` the list is enough. They are passed on as they are.

        Raises:
            ConfigurationError: for something that is no mapping.
        """
        return self._copy(values={**self.values, **_mapping(values)})

    def needed(self, *args: P.args, **kwargs: P.kwargs) -> tuple[str, ...]:
        """Returns the keys of what is not selected, whose values a run with these inputs still needs.

        Raises:
            PlanError: for inputs it cannot take, or a name that nothing has.
        """
        plan = self.plan(*args, **kwargs)
        return tuple([name for name, node in plan.inputs if plan.nodes[node].key.startswith(GIVEN)])

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Returns the plan for these inputs."""
        raise NotImplementedError

    def narrowed(self, wiring: Wiring, *, open_ended: bool = False) -> Wiring:
        """Returns what was wired, without what is not selected."""
        if self.selection:
            select(wiring, self.selection, self.values, open_ended=open_ended)
        return wiring


def _mapping(values: object) -> Mapping[str, object]:
    """Returns values by key.

    Raises:
        ConfigurationError: for something that is no mapping.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"given(…) takes results by key: {{'orders': …}}, not {type(values).__name__}")
    return cast("Mapping[str, object]", values)
