"""Graphs: functions whose calls of ops are wired into a plan. The decorator, and what it makes of a function."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from asyncflow._authoring import GraphDefinition, define_graph, input_values, wire_graph, wire_open
from asyncflow._plan import Plan, freeze
from asyncflow.deployment import Deployment
from asyncflow.op import Runnable, plain
from asyncflow.options import UNSET, OnError, RunOptions, TagLimit, Unset

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class Graph(Runnable[P, R_co], Generic[P, R_co]):
    """A graph. Made by `@graph`."""

    __slots__ = ("_plans",)

    definition: GraphDefinition

    def __init__(self, definition: GraphDefinition, *, deployment: Deployment | None = None) -> None:
        self.definition = definition
        self.leading = ()
        self.order = ()
        self.map_key = None
        self.deployment = deployment
        self.run_options = definition.options
        self._plans: dict[Any, Plan] = {}

    @property
    def fn(self) -> Callable[P, R_co]:
        """The plain function."""
        return plain(self)

    def options(
        self,
        *,
        max_concurrent: int | None | Unset = UNSET,
        tag_concurrency_limits: Sequence[TagLimit] | Unset = UNSET,
        tags: Mapping[str, str] | Unset = UNSET,
        priority: int | Unset = UNSET,
        fair_key: Hashable | None | Unset = UNSET,
        weight: float | Unset = UNSET,
        on_error: OnError | Unset = UNSET,
        run_id: str | None | Unset = UNSET,
        name: str | Unset = UNSET,
        map_key: Callable[[Any], str] | None | Unset = UNSET,
    ) -> Self:
        """Returns a copy with changes: tags merge by key, all else replaces."""
        changed = self.definition.changed(
            name=name,
            max_concurrent=max_concurrent,
            tag_concurrency_limits=tag_concurrency_limits,
            tags=tags,
            priority=priority,
            fair_key=fair_key,
            weight=weight,
            on_error=on_error,
            run_id=run_id,
        )
        copy = self._copy(definition=changed, run_options=changed.options)
        return copy if map_key is UNSET else copy._copy(map_key=map_key)

    @overload
    def plan(self) -> Plan: ...
    @overload
    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan: ...
    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Returns the plan for these inputs; missing ones are promises."""
        return freeze(wire_open(self, args, kwargs))

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
        """Returns the plan for these inputs; that of a static graph is made once."""
        if not self.definition.static:
            return freeze(wire_graph(self, args, kwargs))
        options = self.definition.options
        key = (self.definition.name, options.max_concurrent, options.tag_concurrency_limits)
        known = self._plans.get(key)
        if known is None:
            known = self._plans[key] = freeze(wire_open(self, (), {}))
        return known

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of the plan's inputs, in their order."""
        return input_values(self, args, kwargs)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> Graph[Q, R]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else self._copy(leading=(*self.leading, instance), _plans={})

    def __repr__(self) -> str:
        return f"<Graph {self.definition.name}>"


class GraphDecorator(Protocol):
    """What `@graph(…)` is: makes a graph of a function."""

    def __call__(self, fn: Callable[P, R], /) -> Graph[P, R]:
        """Returns the graph."""
        ...


@overload
def graph(fn: Callable[P, R], /) -> Graph[P, R]: ...
@overload
def graph(
    *,
    static: bool = False,
    name: str | None = None,
    max_concurrent: int | None = None,
    tag_concurrency_limits: Sequence[TagLimit] = (),
    deployment: Deployment | None = None,
    on_error: OnError = "continue",
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    fair_key: Hashable | None = None,
    weight: float = 1.0,
    run_id: str | None = None,
) -> GraphDecorator: ...
def graph(
    fn: Any = None,
    /,
    *,
    static: bool = False,
    name: str | None = None,
    max_concurrent: int | None = None,
    tag_concurrency_limits: Sequence[TagLimit] = (),
    deployment: Deployment | None = None,
    on_error: OnError = "continue",
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    fair_key: Hashable | None = None,
    weight: float = 1.0,
    run_id: str | None = None,
) -> Any:
    """Makes a graph of a function."""
    options = RunOptions().merged(
        max_concurrent=max_concurrent,
        tag_concurrency_limits=tag_concurrency_limits,
        on_error=on_error,
        tags={} if tags is None else tags,
        priority=priority,
        fair_key=fair_key,
        weight=weight,
        run_id=run_id,
    )

    def decorate(function: Any) -> Any:
        return Graph(define_graph(function, name=name, static=static, options=options), deployment=deployment)

    return decorate if fn is None else decorate(fn)
