"""Assets: ops that are wired by the names of their parameters.

    @asset(pool="db")
    async def orders() -> list[Order]: ...

    @asset
    def report(orders: list[Order]) -> Report: ...        # takes the result of the asset `orders`

    warehouse = Graph.from_assets([orders, report])
    values = await warehouse.run()                        # {"orders": …, "report": …}
    values = await warehouse.select("*report").run()

An asset is an op in every respect: it has pools, tags and priority, can be run alone, called in other graphs, and be
part of as many asset graphs as one likes. Only who makes what out of what is said by names instead of calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from asyncflow._authoring import GraphDefinition, OpDefinition, define_graph, told, user_frame, user_place
from asyncflow.errors import ConfigurationError, PlanError, did_you_mean
from asyncflow.hooks import Hooks
from asyncflow.op import AsyncOp, Op, OpDecorator, SyncOp, op
from asyncflow.options import PoolOption, RunOptions
from asyncflow.retry import Retry
from asyncflow.runners import RunsIn

P = ParamSpec("P")
R = TypeVar("R")

_MANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class AssetOptions(TypedDict, total=False):
    """What `@asset(…)` takes beside `name` and `deps`: the options of `@op(…)`."""

    runs_in: RunsIn
    pool: PoolOption
    tags: Mapping[str, str]
    priority: int
    expected: float | None
    retry: Retry | None
    timeout: float | timedelta | None
    hooks: Hooks | None


@overload
def asset(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
@overload
def asset(fn: Callable[P, R], /) -> SyncOp[P, R]: ...
@overload
def asset(
    *, name: str | None = None, deps: Iterable[str | Op[..., Any]] = (), **options: Unpack[AssetOptions]
) -> OpDecorator: ...
def asset(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    deps: Iterable[str | Op[..., Any]] = (),
    **options: Any,
) -> Any:
    """Makes an asset of a function: an op that `Graph.from_assets` wires by the names of its parameters.

    Args:
        fn: The function.
        name: What it is called by parameters of others, instead of the function's name.
        deps: Assets, or their names, that it starts after without taking their values.
        options: As `@op(…)` takes them: `pool`, `tags`, `priority` and so on.

    Returns:
        The op.

    Raises:
        ConfigurationError: for an option that does not fit, or something that is no function, saying what to write.

    >>> import asyncio
    >>> from asyncflow import Graph
    >>> from asyncflow.assets import asset
    >>> @asset
    ... async def numbers() -> list[int]:
    ...     return [1, 2, 3]
    >>> @asset
    ... async def total(numbers: list[int]) -> int:
    ...     return sum(numbers)
    >>> asyncio.run(Graph.from_assets([numbers, total]).run())
    {'numbers': [1, 2, 3], 'total': 6}
    """
    names = _deps(deps)
    as_op: Callable[..., Op[..., Any]] = op(**options)

    def decorate(function: Callable[..., Any]) -> Op[..., Any]:
        made = as_op(function)
        if name is not None:
            made = made.options(name=name)
        if names:
            made.definition = replace(made.definition, deps=names)  # nobody else has it yet
        return made

    return decorate if fn is None else decorate(fn)


def _deps(deps: object) -> tuple[str, ...]:
    """Returns the names in `deps`."""
    if isinstance(deps, (str, Op)) or not isinstance(deps, Iterable):
        raise ConfigurationError("deps of an asset is a list of assets or of their names: deps=['orders']")
    names: list[str] = []
    for one in cast("Iterable[object]", deps):
        if not isinstance(one, (str, Op)):
            raise ConfigurationError(f"deps of an asset are assets or their names, not {type(one).__name__}")
        names.append(one if isinstance(one, str) else one.definition.name)
    return tuple(names)


class Wired(NamedTuple):
    """One asset, and where its arguments come from: parameters by name, those of other assets and of the graph.

    Args:
        op: The asset.
        takes: The parameters that have a source.
        after: The assets it starts after.
    """

    op: Op[..., Any]
    takes: tuple[inspect.Parameter, ...]
    after: tuple[str, ...]


def define_assets(assets: Iterable[Op[..., Any]], *, name: str, inputs: Iterable[str]) -> GraphDefinition:
    """Returns the definition of a graph that wires assets by the names of their parameters.

    Raises:
        ConfigurationError: for something that is no asset, two of one name, or inputs that nobody takes.
        PlanError: for a parameter or a dependency that has no source, and for a cycle, naming all in it.
    """
    by_name = _named(assets)
    given = _inputs(by_name, inputs)
    wired = {one: _wired(asset, by_name, given) for one, asset in by_name.items()}
    order = _ordered(wired)

    def body(**values: Any) -> dict[str, Any]:
        for one in order:
            asset, takes, after = wired[one]
            by_position = [values[p.name] for p in takes if p.kind is p.POSITIONAL_ONLY]
            named = {p.name: values[p.name] for p in takes if p.kind is not p.POSITIONAL_ONLY}
            call = asset.after(*[values[other] for other in after]) if after else asset
            values[one] = call(*by_position, **named)
        return {one: values[one] for one in by_name}

    body.__signature__ = inspect.Signature(list(given.values()))  # type: ignore[attr-defined]  # functions may carry one
    body.__annotations__ = {one: p.annotation for one, p in given.items() if p.annotation is not p.empty}
    frame = user_frame()
    body.__module__ = (
        "" if frame is None else str(frame.f_globals.get("__name__", ""))
    )  # where a record finds the graph
    definition = define_graph(body, name=name, late=False, static=True, options=RunOptions())
    return replace(definition, where=user_place())


def _named(assets: object) -> dict[str, Op[..., Any]]:
    """Returns the assets by name."""
    found: dict[str, Op[..., Any]] = {}
    if not isinstance(assets, Iterable):
        raise ConfigurationError(f"Graph.from_assets(…) takes a list of assets, not {type(assets).__name__}")
    for thing in cast("Iterable[object]", assets):
        if not isinstance(thing, Op):
            what = getattr(thing, "__name__", None) or f"a value of type {type(thing).__name__}"
            raise ConfigurationError(f"Graph.from_assets(…) takes assets and ops, and {what} is none; put @asset on it")
        one = cast("Op[..., Any]", thing)
        if one.name in found:
            first = told(found[one.name].definition.where)
            raise ConfigurationError(
                f"two assets are called {one.name!r}, at {first} and {told(one.definition.where)};"
                " leave one out, or name it: @asset(name=…)"
            )
        found[one.name] = one
    if not found:
        raise ConfigurationError("Graph.from_assets(…) needs an asset")
    return found


def _parameters(definition: OpDefinition, *, leading: int) -> list[inspect.Parameter]:
    """Returns the parameters of an asset that can have a source, with resolved annotations."""
    signature = definition.signature.resolve()
    pairs = list(zip(signature.parameters, signature.hints, strict=True))[leading:]
    resources = [name for name, _ in definition.resources]
    return [
        p.replace(annotation=p.empty if hint is None else hint.annotation)
        for p, hint in pairs
        if p.kind not in _MANY and p.name not in resources
    ]


def _inputs(by_name: Mapping[str, Op[..., Any]], inputs: Iterable[str]) -> dict[str, inspect.Parameter]:
    """Returns the inputs of the graph, each as the first asset that takes it has it."""
    if isinstance(inputs, str):
        raise ConfigurationError(f"inputs of Graph.from_assets(…) is a list of names: inputs=[{inputs!r}]")
    taken: dict[str, inspect.Parameter] = {}
    for asset in by_name.values():
        for parameter in _parameters(asset.definition, leading=len(asset.leading)):
            known = taken.get(parameter.name)
            if known is None or known.annotation is known.empty:
                taken[parameter.name] = parameter
    found: dict[str, inspect.Parameter] = {}
    for name in inputs:
        if name in by_name:
            raise ConfigurationError(f"{name!r} is an asset and an input; leave it out of inputs")
        if name not in taken:
            raise ConfigurationError(f"no asset takes the input {name!r}{did_you_mean(name, taken)}")
        found[name] = taken[name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
    return found


def _wired(asset: Op[..., Any], by_name: Mapping[str, Op[..., Any]], given: Mapping[str, object]) -> Wired:
    """Returns where the arguments of an asset come from."""
    takes: list[inspect.Parameter] = []
    for parameter in _parameters(asset.definition, leading=len(asset.leading)):
        if parameter.name in by_name or parameter.name in given:
            takes.append(parameter)
        elif parameter.default is parameter.empty:
            raise PlanError(
                f"the asset {asset.name}, at {told(asset.definition.where)}, takes {parameter.name!r}, and no asset in"
                f" the graph is called that{did_you_mean(parameter.name, by_name)}; add it to the list, give the"
                f" parameter a default, or make it an input of the graph: inputs=[{parameter.name!r}]"
            )
    for name in asset.definition.deps:
        if name not in by_name:
            raise PlanError(
                f"the asset {asset.name}, at {told(asset.definition.where)}, has {name!r} in its deps, and no asset in"
                f" the graph is called that{did_you_mean(name, by_name)}"
            )
    return Wired(asset, tuple(takes), asset.definition.deps)


def _ordered(wired: Mapping[str, Wired]) -> Sequence[str]:
    """Returns the names so that each follows what it needs; as listed, as far as that goes.

    Raises:
        PlanError: for a cycle.
    """
    needs = {
        name: [other for other in dict.fromkeys([p.name for p in one.takes] + list(one.after)) if other in wired]
        for name, one in wired.items()
    }
    left = {name: len(others) for name, others in needs.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in wired}
    for name, others in needs.items():
        for other in others:
            needed_by[other].append(name)
    order = [name for name, count in left.items() if not count]
    for name in order:
        for other in needed_by[name]:
            left[other] -= 1
            if not left[other]:
                order.append(other)
    if len(order) < len(wired):
        done = set(order)
        path = [next(name for name in wired if name not in done)]
        while path[-1] not in path[:-1]:  # whatever is left needs something that is left
            path.append(next(other for other in needs[path[-1]] if other not in done))
        cycle = path[path.index(path[-1]) :][::-1]
        raise PlanError(f"assets need each other in a circle: {' → '.join(cycle)}; take one of them out of it")
    return order
