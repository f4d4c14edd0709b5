"""Resources: what an op gets from a provider, instead of from the caller: `client: Http = use(http, scope="run")`.

A provider is an async generator function that yields once: what stands before the `yield` opens the resource, what
stands after it closes it. `use(…)` is a parameter's default, typed as what is yielded; the executor opens it when an op
needs it. A provider may have `use(…)` parameters of its own.

A resource may only use what lives at least as long as it does: one of a deployment cannot hold one of a run. Scope
`op` inside of a provider means "its own": opened for this resource alone, and closed right after it. Which providers
use each other is looked at when an op or an override names them, and a circle is refused by the names in it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Literal, NoReturn, TypeAlias, TypeVar, cast, get_args

from asyncflow._authoring.callee import Callee
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import PoolNeeds, check_pool_needs

T = TypeVar("T")

Lifetime: TypeAlias = Literal["op", "run", "deployment"]
"""How long a resource is open, and who shares it."""

_LIFETIMES: Final[tuple[str, ...]] = get_args(Lifetime)
_MANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

Needs: TypeAlias = "tuple[tuple[str, Resource], ...]"
"""The resource parameters of a function: name and resource."""


class Resource:
    """What `use(…)` gives at run time: stands for the resource in a signature.

    Attributes:
        provider: The async generator function.
        scope: How long it is open.
        pool: What every op that uses it takes.
        name: The provider's name.
    """

    __slots__ = ("_needs", "name", "pool", "provider", "scope")

    def __init__(self, provider: Callable[..., AsyncIterator[Any]], scope: Lifetime, pool: PoolNeeds) -> None:
        self.provider = provider
        self.scope: Lifetime = scope
        self.pool = pool
        self.name = provider_name(provider)
        self._needs: Needs | None = None

    @property
    def needs(self) -> Needs:
        """The resources that its provider uses itself."""
        if self._needs is None:
            self._needs = resources_of(self.provider, f"provider {self.name}", provider=True)
        return self._needs

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{name!r} of a resource that is not open: {self!r} stands for what its provider yields, and only an op"
            " that runs gets that; where you call the function yourself, hand it over: `op.fn(…, client=fake)`"
        )

    def __repr__(self) -> str:
        scope = "" if self.scope == "op" else f", scope={self.scope!r}"
        return f"use({self.name}{scope})"


def use(
    provider: Callable[[], AsyncIterator[T]], scope: Lifetime = "op", pool: str | Mapping[str, int] | None = None
) -> T:
    """Makes a parameter of an op a resource: opened when the op needs it, and closed on every way out.

    In a graph the parameter is left out, and the op gets what the provider yields; given all the same, the argument is
    taken instead. Providers run on the event loop. The resource of an op is opened and closed in the op's own task, a
    shared one in a task of its own, so that cancel scopes and task groups around the `yield` work.

    Args:
        provider: An async generator function that yields the resource once; all its parameters have defaults, among
            them `use(…)`.
        scope: `"op"`: each op has its own, new for each attempt. `"run"`: opened once for all ops of a run.
            `"deployment"`: opened once for all runs of an open deployment; where it is not open, once for the run.
        pool: Every op that uses it takes these slots, beside what its own `pool=` says.

    Returns:
        To the type checker what the provider yields.

    Raises:
        ConfigurationError: for something that is no provider, saying what to write.

    >>> import asyncio
    >>> from collections.abc import AsyncIterator
    >>> from asyncflow import op, use
    >>> async def words() -> AsyncIterator[list[str]]:
    ...     yield ["a", "b"]
    >>> @op
    ... async def count(known: list[str] = use(words)) -> int:
    ...     return len(known)
    >>> asyncio.run(count.run())
    2
    """
    if scope not in _LIFETIMES:
        known = ", ".join(map(repr, _LIFETIMES))
        raise ConfigurationError(
            f"scope must be one of {known}, got {scope!r:.60}{did_you_mean(str(scope), _LIFETIMES)}"
        )
    if callable(pool):
        raise ConfigurationError(
            "pool of use(…) must be a name or a mapping of names to slots: a function of the op's parameters belongs to"
            " the op, `@op(pool=…)`"
        )
    check_provider(provider, "use(…)")
    resource: Any = Resource(provider, scope, check_pool_needs(pool, field="pool of use(…)"))
    return cast("T", resource)


# ── providers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def provider_name(provider: object) -> str:
    """Returns what messages call a provider."""
    while isinstance(provider, functools.partial):
        provider = provider.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any function
    name = getattr(provider, "__name__", None)
    return name if isinstance(name, str) else type(provider).__name__


def check_provider(provider: object, who: str) -> None:
    """Refuses what is no async generator function, or has parameters that nothing gives.

    Raises:
        ConfigurationError: telling what it is and what to write.
    """
    problem = no_provider(provider)
    if problem is not None:
        raise ConfigurationError(
            f"{who} takes a provider, an async generator function (`async def {_suggested(provider)}(): … yield …`),"
            f" and {problem}"
        )
    resources_of(cast("Callable[..., Any]", provider), f"provider {provider_name(provider)}", provider=True)


def _suggested(provider: object) -> str:
    name = provider_name(provider)
    return name.lower() if name.isidentifier() else "resource"


def no_provider(thing: Any) -> str | None:  # noqa: ANN401 — anything may be given by mistake
    """Returns what is wrong with something that is no async generator function."""
    if inspect.isasyncgenfunction(thing):
        return None
    name = provider_name(thing)
    if isinstance(thing, Resource):
        return f"this is {thing!r} already"
    if isinstance(thing, Callee):
        return f"{name} is an op or a graph; call it in a graph and pass on what it gives"
    if inspect.isasyncgen(thing):
        return f"this is what a call of {name}() gave: give the function itself, without parentheses"
    if inspect.isclass(thing):
        return f"{name} is a class: yield an instance of it"
    if callable(thing):
        return f"{name} is {_kind(thing)}"
    return f"this is an object of type {type(thing).__name__}: yield it"


def _kind(function: Callable[..., Any]) -> str:
    """Returns what a function that is no provider is, and what to do about it."""
    if inspect.iscoroutinefunction(function):
        return "an async def without a yield: `yield` the resource instead of returning it"
    if inspect.isgeneratorfunction(function):
        return "a plain generator: write `async def`"
    if inspect.isasyncgenfunction(inspect.unwrap(function)):
        return "a context manager made of one: leave out @asynccontextmanager"
    return "a plain function: write `async def`, and `yield` the resource instead of returning it"


def resources_of(function: Callable[..., Any], who: str, *, provider: bool = False) -> Needs:
    """Returns the resource parameters of a function; all others of a provider must have defaults.

    Raises:
        ConfigurationError: for a parameter that nothing gives, or that cannot be given by name.
    """
    found: list[tuple[str, Resource]] = []
    for parameter in inspect.signature(function).parameters.values():
        default: object = parameter.default
        if type(default) is Resource:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise ConfigurationError(
                    f"{who} takes {default!r} as {parameter.name!r} by position only: drop the '/'"
                )
            found.append((parameter.name, default))
        elif default is parameter.empty and parameter.kind not in _MANY and provider:
            raise ConfigurationError(
                f"{who} takes {parameter.name!r}, and nothing gives it: give it a default, or make it a resource too,"
                f" `{parameter.name} = use(…)`"
            )
    return tuple(found)


# ── which use which ───────────────────────────────────────────────────────────────────────────────────────────────


def check_needs(
    needs: Needs, who: str, *, instead: Mapping[object, Resource] | None = None, above: Sequence[Resource] = ()
) -> None:
    """Refuses providers that use each other in a circle, or something that lives shorter than they do.

    Args:
        needs: The resources to look at.
        who: Whose they are.
        instead: What is put in the place of which provider.
        above: The resources on the way here, outermost first.

    Raises:
        ConfigurationError: naming the providers.
    """
    for _, resource in needs:
        actual = resource if instead is None else instead.get(resource.provider, resource)
        here = Resource(actual.provider, resource.scope, ())
        if actual is not resource:
            here.name = f"{actual.name} for {resource.name}"
        names = [one.name for one in (*above, here)]
        for i, one in enumerate(above):
            if one.provider == actual.provider:
                raise ConfigurationError(f"{who} uses providers that need each other: {' → '.join(names[i:])}")
        longest = max((_LIFETIMES.index(one.scope) for one in above), default=0)
        if resource.scope != "op" and _LIFETIMES.index(resource.scope) < longest:
            raise ConfigurationError(
                f"{who} uses {' → '.join(names)}: a resource of a {_LIFETIMES[longest]} cannot use {resource!r}, which"
                f" is closed before it; give {resource.name} the scope {_LIFETIMES[longest]!r}, or 'op' for one of its"
                " own"
            )
        check_needs(actual.needs, who, instead=instead, above=(*above, here))


def pools_of(needs: Needs) -> PoolNeeds:
    """Returns what an op with these resources takes because of them: each resource once, those it uses included."""
    seen: set[tuple[object, ...]] = set()
    total: dict[str, int] = {}
    todo = list(needs)
    while todo:
        _, resource = todo.pop(0)
        key = (resource.provider, resource.scope, resource.pool)
        if key in seen:
            continue
        seen.add(key)
        todo.extend(resource.needs)
        for name, slots in resource.pool:
            total[name] = total.get(name, 0) + slots
    return tuple(total.items())


def added(pool: PoolNeeds, more: PoolNeeds) -> PoolNeeds:
    """Returns both pool options as one; slots of one pool add up."""
    if not more:
        return pool
    total = dict(pool)
    for name, slots in more:
        total[name] = total.get(name, 0) + slots
    return tuple(total.items())
