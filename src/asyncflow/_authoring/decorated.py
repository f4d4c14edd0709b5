"""What may be decorated: a function defined with `def` or `async def`. Everything else is told what to write."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Literal

from asyncflow._authoring.callee import Callee
from asyncflow.errors import ConfigurationError
from asyncflow.ids import check_name

FORBIDDEN: str = "/[]#"


def check_node_name(value: object, *, field: str) -> str:
    """Returns a name that can be part of a key: no `/ [ ] #`, and no `(` at the start, which asyncflow's own steps have.

    Raises:
        ConfigurationError: naming the field.
    """
    name = check_name(value, field=field)
    if any(character in name for character in FORBIDDEN) or name.startswith("("):
        raise ConfigurationError(f"{field} {name!r} may not contain / [ ] # nor begin with '(': keys are built with these")
    return name


def check_function(thing: object, decorator: Literal["op", "graph"]) -> Callable[..., Any]:
    """Returns `thing` when it is a function that can be decorated.

    Raises:
        ConfigurationError: telling what it is and what to write.
    """
    at = f"@{decorator}"
    problem = _not_a_function(thing, at) or _wrong_function(thing, at)
    if problem is not None:
        raise ConfigurationError(f"{at} {problem}")
    if not callable(thing):
        raise ConfigurationError(f"{at} takes a function, not {type(thing).__name__}")
    try:
        inspect.signature(thing)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{at}: {_name(thing)} does not tell its parameters; {_def(thing)}") from error
    return thing


def _not_a_function(thing: object, at: str) -> str | None:
    """Returns what is wrong with something that is no function at all."""
    name = _name(thing)
    if isinstance(thing, Callee):
        return f"is on {name} already; one decorator is enough, `.options(…)` makes a copy with changes"
    if inspect.iscoroutine(thing):
        if inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            thing.close()  # it was made by mistake; without this Python adds that it was never awaited
        return f"got the coroutine that {name}(…) returned; give the function itself: `{at[1:]}({name})`, without calling it"
    if inspect.isgenerator(thing) or inspect.isasyncgen(thing) or inspect.isawaitable(thing):
        return f"got {type(thing).__name__} {name}, which a call returned; give the function itself, without calling it"
    if inspect.isclass(thing):
        return f"takes a function, and {name} is a class; {_def(thing)}, or use it as a step in a graph: `apply({name}, …)`"
    if isinstance(thing, functools.partial):
        return f"takes a function, and this is a partial of {_name(thing.func)}; {_def(thing.func)}, or give the arguments in the graph"  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] — the function of any partial
    if isinstance(thing, (staticmethod, classmethod, property)):
        return f"stands above @{type(thing).__name__}; put it below: `@{type(thing).__name__}` first, then `{at}`"
    if isinstance(thing, types.MethodType):
        return f"takes a function, and {name} is a bound method; put {at} on the method in its class and call `self.{name}(…)` in a graph"
    return None


def _wrong_function(thing: object, at: str) -> str | None:
    """Returns what is wrong with something that is a function, but not of a kind that can be used."""
    name = _name(thing)
    if not callable(thing):
        return f"takes a function, not {type(thing).__name__}"
    if name == "<lambda>":
        return "takes a function with a name, and a lambda has none; write `def`, or use it as a step in a graph: `apply(lambda …, x)`"
    if inspect.isasyncgenfunction(thing):
        return f"is on {name}, an async generator: streams are not built yet in this version; return a list"
    if inspect.isgeneratorfunction(thing):
        return f"is on {name}, a generator: an op gives one value; return a list"
    if not isinstance(getattr(thing, "__name__", None), str):
        return f"takes a function, and this is an object of {type(thing).__name__}; {_def(thing)}"
    if at == "@graph" and inspect.iscoroutinefunction(thing):
        return f"is on {name}, an async def: live graphs are not built yet in this version; write `def` and call ops without await"
    return None


def _name(thing: object) -> str:
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__


def _def(thing: object) -> str:
    return f"write a `def` that calls {_name(thing)}"
