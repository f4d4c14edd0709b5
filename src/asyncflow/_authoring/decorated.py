"""What may be decorated: a function defined with `def` or `async def`. Everything else is told what to write."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from asyncflow._authoring.callee import Callee
from asyncflow.errors import ConfigurationError
from asyncflow.ids import check_name

FORBIDDEN: Final = "/[]#"
"""Characters that keys are built with."""

Binding: TypeAlias = Literal["instance", "class", "nothing"]
"""What a function in a class is called with first."""


def check_node_name(value: object, *, field: str) -> str:
    """Returns a name that can begin a key: no `/ [ ] #`, and no `(` at the start, as asyncflow's own steps have.

    Raises:
        ConfigurationError: naming the field.
    """
    name = check_name(value, field=field)
    if any(character in name for character in FORBIDDEN) or name.startswith("("):
        raise ConfigurationError(
            f"{field} {name!r} may not contain / [ ] # nor begin with '(': keys are built with these"
        )
    return name


def unwrapped(thing: object) -> tuple[object, Binding]:
    """Returns what a decorator below, `@classmethod` or `@staticmethod`, wraps, and what it is called with first."""
    if isinstance(thing, classmethod):
        return thing.__func__, "class"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # of anything
    if isinstance(thing, staticmethod):
        return thing.__func__, "nothing"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # of anything
    return thing, "instance"


def check_function(thing: object, decorator: Literal["op", "graph"]) -> Callable[..., Any]:
    """Returns `thing` where it is a function that can be decorated.

    Raises:
        ConfigurationError: telling what it is and what to write.
    """
    problem = _no_function(thing, decorator) or _wrong_function(thing, decorator)
    if problem is not None:
        raise ConfigurationError(f"@{decorator} {problem}")
    if not callable(thing):
        raise ConfigurationError(f"@{decorator} takes a function, not {type(thing).__name__}")
    try:
        inspect.signature(thing)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"@{decorator}: {_name(thing)} does not tell its parameters; {_def(thing)}") from error
    return thing


def _no_function(thing: Any, decorator: str) -> str | None:  # noqa: ANN401 — anything may be decorated by mistake
    """Returns what is wrong with something that is no function at all."""
    name = _name(thing)
    if isinstance(thing, Callee):
        return (
            f"is given {thing.definition.name}, which is an op or a graph already; one decorator is enough, and"
            " `.options(…)` makes a copy with changes"
        )
    if inspect.iscoroutine(thing):
        if inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            thing.close()  # made by mistake; otherwise Python adds that it was never awaited
        return f"is given the coroutine that {name}(…) returned; give the function itself: `{decorator}({name})`"
    if inspect.isgenerator(thing) or inspect.isasyncgen(thing) or inspect.isawaitable(thing):
        return f"is given {name} of type {type(thing).__name__}, which a call returned; give the function itself"
    if inspect.isclass(thing):
        return f"takes a function, and {name} is a class; {_def(thing)}, or make a step of it: `apply({name}, …)`"
    if isinstance(thing, functools.partial):
        return f"takes a function, and this is a partial of {_name(thing.func)}; {_def(thing.func)}"  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # any function
    if isinstance(thing, property):
        return f"stands above @property, which takes no arguments; write a method, and call it: `self.{name}()`"
    if isinstance(thing, types.MethodType):
        return (
            f"takes a function, and {name} is a bound method; put @{decorator} on the method in its class, and call"
            f" `self.{name}(…)` in a graph"
        )
    return None


def _wrong_function(thing: object, decorator: str) -> str | None:
    """Returns what is wrong with a function of a kind that cannot be used."""
    name = _name(thing)
    if not callable(thing):
        return f"takes a function, not {type(thing).__name__}"
    if name == "<lambda>":
        return "takes a function with a name, and a lambda has none; write a `def`, or a step: `apply(lambda …, x)`"
    if decorator == "graph" and inspect.isasyncgenfunction(thing):
        return f"is on {name}, an async generator, and a graph returns once; put @op on it, and `each` takes its items"
    if inspect.isgeneratorfunction(thing):
        return f"is on {name}, a generator, and gives one value; return a list, or write an `async def` that yields"
    if not isinstance(getattr(thing, "__name__", None), str):
        return f"takes a function, and this is an object of type {type(thing).__name__}; {_def(thing)}"
    return None


def _name(thing: object) -> str:
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__


def _def(thing: object) -> str:
    return f"write a `def` that calls {_name(thing)}"
