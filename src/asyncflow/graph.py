"""Graphs: functions whose calls of ops are wired into a plan. The decorator, and what it makes of a function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, Self, TypeAlias, TypeVar, overload

from asyncflow._authoring import (
    WINDOW,
    GraphDefinition,
    Wiring,
    call_graph,
    check_map_key,
    check_window,
    define_graph,
    input_values,
    wire_graph,
    wire_open,
)
from asyncflow._plan import Plan, freeze
from asyncflow.deployment import Deployment
from asyncflow.errors import PlanError
from asyncflow.hooks import Hooks
from asyncflow.options import UNSET, OnError, OnFull, RunOptions, TagLimit, Unset
from asyncflow.results import RunResult
from asyncflow.retry import Retry
from asyncflow.selection import Selectable
from asyncflow.typed_doors import check_deployment, plain

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

Bound: TypeAlias = Sequence[tuple[object, str]]


class Kept(NamedTuple):
    """The plan of a static graph, and the deployments its nested graphs are bound to."""

    plan: Plan
    bound: Bound


class Graph(Selectable[P, R_co], Generic[P, R_co]):
    """A graph. Made by `@graph`.

    Its body runs when a run is submitted, to wire it: inputs are real values, results of ops are promises. A static
    graph is wired once, at first use, with promises for its inputs too. Copies made by `.options(…)` share the plan
    where it is the same; a static graph that is a method keeps its plan with the bound graph, so keep `score =
    model.score` where it is hot.
    """

    __slots__ = ("_plans",)

    definition: GraphDefinition
    _plans: dict[tuple[object, ...], Kept]

    def __init__(self, definition: GraphDefinition, *, deployment: Deployment | None = None) -> None:
        self.definition = definition  # pyright: ignore[reportIncompatibleVariableOverride]  # set once: a graph never becomes an op
        self.leading = ()
        self.order = ()
        self.map_key = None
        self.window = WINDOW
        self.deployment = deployment
        self.run_options = definition.options
        self._plans = {}
        self.selection = ()
        self.values = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Wires its body in place; only inside a graph. See `Runnable`."""
        result: R_co = call_graph(self, args, kwargs)
        return result

    @property
    def fn(self) -> Callable[P, R_co]:
        """The plain function. Where it calls ops, it can only be called inside a graph."""
        function: Callable[P, R_co] = plain(self)
        return function

    def options(  # noqa: PLR0913 — all by name, each an option of its own
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
        on_full: OnFull | Unset = UNSET,
        conflict_key: str | None | Unset = UNSET,
        singleton: bool | Unset = UNSET,
        wait_timeout: float | timedelta | None | Unset = UNSET,
        retry: Retry | None | Unset = UNSET,
        op_retry: Retry | None | Unset = UNSET,
        resume_from: RunResult[Any] | str | None | Unset = UNSET,
        timeout: float | timedelta | None | Unset = UNSET,
        hooks: Hooks | None | Unset = UNSET,
        name: str | Unset = UNSET,
        map_key: Callable[[Any], str] | None | Unset = UNSET,
        window: int | Unset = UNSET,
    ) -> Self:
        """Returns a copy with changes: tags merge by key, all else replaces.

        Inside another graph only `max_concurrent`, `tag_concurrency_limits`, `op_retry`, `timeout`, `name`, `map_key`
        and `window` can be set: the others belong to the run.

        Args:
            max_concurrent: How many of its ops run at once; None is unlimited, 0 paused.
            tag_concurrency_limits: Limits on its ops by their tags.
            tags: Run tags; those of the same key replace.
            priority: Runs of higher priority start their ops first.
            fair_key: Runs of one key share what a single run would get.
            weight: How much the run's share counts.
            on_error: `"continue"` with independent branches, or `"fail_fast"`.
            run_id: The id of the run, instead of a fresh one.
            on_full: What happens where the conflict key is taken or the queue is full: `"queue"`, `"reject"`,
                `"keep_newest"`, `"keep_oldest"` or `"cancel_running"`.
            conflict_key: At most one run of a key is active at a time.
            singleton: True takes the graph's name as the key.
            wait_timeout: Seconds the run may be QUEUED before it is refused.
            retry: How a run that failed is tried again as a whole, going on where it failed.
            op_retry: How its ops that have no `retry` of their own are tried again.
            resume_from: The result of an earlier run of this graph with the same inputs, or its id where the deployment
                has a store: what succeeded in it is not run again (REUSED), all else is.
            timeout: Seconds that a run may take once it is RUNNING; for a nested graph, its ops together.
            hooks: What is told how its runs went.
            name: What its keys begin with, instead of the function's name.
            map_key: In an `each`, names the items by their value instead of by their index.
            window: In an `each` over a stream, how many items it may be ahead of those that are done; 64 otherwise.

        Raises:
            ConfigurationError: naming the option that does not fit.
        """
        options = self.definition.options.merged(
            max_concurrent=max_concurrent,
            tag_concurrency_limits=tag_concurrency_limits,
            tags=tags,
            priority=priority,
            fair_key=fair_key,
            weight=weight,
            on_error=on_error,
            run_id=run_id,
            on_full=on_full,
            conflict_key=conflict_key,
            singleton=singleton,
            wait_timeout=wait_timeout,
            retry=retry,
            op_retry=op_retry,
            resume_from=resume_from,
            timeout=timeout,
            hooks=hooks,
        )
        return self._copy(
            definition=self.definition.changed(name=name, options=options),
            run_options=options,
            map_key=self.map_key if map_key is UNSET else check_map_key(map_key, who=self.name),
            window=self.window if window is UNSET else check_window(window, who=self.name),
        )

    @overload
    def plan(self) -> Plan: ...
    @overload
    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan: ...
    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Returns the plan for these inputs, without running anything.

        Inputs that are missing are promises: where the body looks at one it refuses, naming the input.

        Raises:
            PlanError: for inputs it cannot take, and for what cannot be a plan.
            InputError: for an input that does not fit its annotation.
            TracingError: where a promise is used as a value.
        """
        return freeze(self.narrowed(wire_open(self, args, kwargs, deployment=self.deployment), open_ended=True))

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Plan:
        """Returns the plan for these inputs; that of a static graph is made once. Doors use it.

        Args:
            args: The inputs.
            kwargs: The inputs by name.
            deployment: The one the run belongs to, where it is known.

        Raises:
            PlanError: also where a nested graph is bound to another deployment.
        """
        runs_on = self.deployment if deployment is None else deployment
        if not self.definition.static:
            wiring = wire_graph(self, args, kwargs, deployment=runs_on)
            self._refuse_bound(wiring.bound, runs_on)
            return freeze(self.narrowed(wiring))
        options = self.definition.options
        key = (self.definition.name, options.max_concurrent, options.tag_concurrency_limits, self.selection)
        kept = self._plans.get(key) if not self.values else None
        if kept is None:
            opened: Wiring = wire_open(self, (), {})
            kept = Kept(freeze(self.narrowed(opened)), opened.bound)
            if not self.values:
                self._plans[key] = kept
        self._refuse_bound(kept.bound, runs_on)
        return kept.plan

    def _refuse_bound(self, bound: Bound, runs_on: object) -> None:
        """Refuses nested graphs that are bound to another deployment than the run's."""
        for deployment, nested in bound:
            if deployment is not runs_on:
                raise PlanError(
                    f"{nested}, and the run of {self.definition.name} is not: one run stays in one deployment; bind the"
                    f" graph that is run, `{self.definition.name}.on(deployment)`"
                )

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of a static plan's inputs, in their order. Doors use it."""
        return input_values(self, args, kwargs)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None) -> Graph[Q, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        bound = self.bound_in(instance, owner)
        if bound is not self:
            bound._plans = {}
        return bound

    def __repr__(self) -> str:
        return f"<Graph {self.definition.name}>"


class LiveGraph(Graph[P, R_co], Generic[P, R_co]):
    """A graph made of an `async def`: its body is plain async code that awaits `op.run(…)`, and holds no slot.

    What it runs are children: of the same run, limited, traced and keyed. Called in another graph it is a node, whose
    body runs when its inputs are there.
    """

    __slots__ = ()

    @property
    def fn(self) -> Callable[P, Coroutine[Any, Any, R_co]]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # plain code, as it was written
        """The plain function. The ops that it runs then are runs of their own."""
        function: Callable[P, Coroutine[Any, Any, R_co]] = plain(self)
        return function

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> LiveGraph[Q, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        return self.bound_in(instance, owner)


class GraphDecorator(Protocol):
    """What `@graph(…)` is: makes a graph of a function."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> LiveGraph[P, R]: ...  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Graph[P, R]: ...


@overload
def graph(fn: Callable[P, Coroutine[Any, Any, R]], /) -> LiveGraph[P, R]: ...  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
@overload
def graph(fn: Callable[P, R], /) -> Graph[P, R]: ...
@overload
def graph(
    *,
    static: bool = False,
    late: bool = False,
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
    on_full: OnFull = "queue",
    conflict_key: str | None = None,
    singleton: bool = False,
    wait_timeout: float | timedelta | None = None,
    retry: Retry | None = None,
    op_retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    hooks: Hooks | None = None,
) -> GraphDecorator: ...
def graph(  # noqa: PLR0913 — all by name, each an option of its own
    fn: Callable[..., Any] | None = None,
    /,
    *,
    static: bool = False,
    late: bool = False,
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
    on_full: OnFull = "queue",
    conflict_key: str | None = None,
    singleton: bool = False,
    wait_timeout: float | timedelta | None = None,
    retry: Retry | None = None,
    op_retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    hooks: Hooks | None = None,
) -> Any:
    """Makes a graph of a function whose body calls ops.

    The one line to learn: *inputs are real, op results are promises.* The body runs when a run is submitted, so plain
    `if` and `for` over inputs are fine; for results there are `each`, `when` and `apply`.

    Args:
        fn: The function. Equal inputs must wire an equal plan, so keep it pure. The body of an `async def` is not
            wired but run, as plain code that awaits `op.run(…)`.
        static: True wires it once, at first use, with promises for its inputs too: for hot paths and very large plans.
        late: True makes it a node where it is called in another graph: it is wired when its inputs are there, so its
            body may look at them. Where it is run itself it is a plain graph.
        name: What its keys begin with, instead of the function's name.
        max_concurrent: How many of its ops run at once; None is unlimited, 0 paused.
        tag_concurrency_limits: Limits on its ops by their tags.
        deployment: What its runs belong to.
        on_error: `"continue"` with independent branches where an op fails, or `"fail_fast"`.
        tags: Run tags.
        priority: Runs of higher priority start their ops first.
        fair_key: Runs of one key share what a single run would get.
        weight: How much a run's share counts.
        run_id: The id of its runs, instead of fresh ones.
        on_full: What happens where the conflict key is taken or the queue is full: `"queue"` waits, `"reject"`
            refuses the new run, `"keep_newest"` the queued one, `"keep_oldest"` the new one if one is queued, and
            `"cancel_running"` cancels the running one and takes its place.
        conflict_key: At most one run of a key is active at a time.
        singleton: True takes the graph's name as the key.
        wait_timeout: Seconds a run may be QUEUED before it is refused.
        retry: How a run that failed is tried again as a whole, going on where it failed.
        op_retry: How its ops that have no `retry` of their own are tried again.
        timeout: Seconds that a run may take once it is RUNNING; for a nested graph, its ops together.
        hooks: What is told how its runs went.

    Returns:
        The graph.

    Raises:
        ConfigurationError: for an option that does not fit, or something that is no function, saying what to write.

    >>> import asyncio
    >>> from asyncflow import each, graph, op
    >>> @op
    ... async def size(text: str) -> int:
    ...     return len(text)
    >>> @op
    ... async def total(sizes: list[int]) -> int:
    ...     return sum(sizes)
    >>> @graph(max_concurrent=4)
    ... def measure(texts: list[str]) -> int:
    ...     return total(each(size, texts))
    >>> asyncio.run(measure.run(["a", "bc"]))
    3
    """
    options = RunOptions().merged(
        max_concurrent=max_concurrent,
        tag_concurrency_limits=tag_concurrency_limits,
        on_error=on_error,
        tags={} if tags is None else tags,
        priority=priority,
        fair_key=fair_key,
        weight=weight,
        run_id=run_id,
        on_full=on_full,
        conflict_key=conflict_key,
        singleton=singleton,
        wait_timeout=wait_timeout,
        retry=retry,
        op_retry=op_retry,
        timeout=timeout,
        hooks=hooks,
    )

    def decorate(function: Callable[..., Any]) -> Graph[..., Any]:
        definition = define_graph(function, name=name, static=static, late=late, options=options)
        bound_to = None if deployment is None else check_deployment(deployment, who="@graph(deployment=…)")
        kind = LiveGraph[..., Any] if definition.live else Graph[..., Any]
        return kind(definition, deployment=bound_to)

    return decorate if fn is None else decorate(fn)
