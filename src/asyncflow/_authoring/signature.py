"""Signatures: how an op or graph may be called, checked once per shape of call.

`inspect.Signature.bind` costs as much as all the rest of wiring an op. What can be wrong with a call depends only on
how many arguments were given by position and which by name, so each such shape is judged once and remembered.
Annotations are resolved at first use, since they may name what is defined later.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncflow._authoring.hint import EMPTY, Hint, hint_of
from asyncflow.errors import PlanError, did_you_mean

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WORD: Final = re.compile(r"[^\W\d]\w*")


class Signature:
    """The parameters of a function, and which of its call shapes were found right.

    Args:
        fn: The function.
        nearby: Names from where it was defined that its annotations use; functions do not keep these themselves.
    """

    __slots__ = (
        "_fn",
        "_hints",
        "_nearby",
        "_returns",
        "_shapes",
        "accepted",
        "exact",
        "index",
        "keyworded",
        "parameters",
        "positional",
        "rest",
    )

    def __init__(self, fn: Callable[..., Any], nearby: Mapping[str, Any]) -> None:
        self._fn = fn
        self._nearby = nearby
        self.parameters = tuple(inspect.signature(fn).parameters.values())
        self.positional = sum(p.kind in _POSITIONAL for p in self.parameters)
        self.index = {p.name: i for i, p in enumerate(self.parameters)}
        kinds = [p.kind for p in self.parameters]
        self.rest = kinds.index(_VARIADIC[0]) if _VARIADIC[0] in kinds else -1
        self.keyworded = kinds.index(_VARIADIC[1]) if _VARIADIC[1] in kinds else -1
        needs_names = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in self.parameters)
        self.exact = -1 if needs_names else self.positional
        self.accepted: tuple[set[Hint], ...] = tuple([set() for _ in self.parameters])
        self._shapes: set[tuple[object, ...]] = set()
        self._hints: tuple[Hint | None, ...] | None = None
        self._returns: Hint | None = None

    @property
    def hints(self) -> tuple[Hint | None, ...]:
        """What is known of each parameter, in order."""
        if self._hints is None:
            self._resolve()
        return self._hints or ()

    @property
    def returns(self) -> Hint | None:
        """What is known of the result."""
        if self._hints is None:
            self._resolve()
        return self._returns

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], who: str, where: tuple[str, int]) -> None:
        """Refuses a call that the function could not take.

        Raises:
            PlanError: naming the parameter, with the nearest name where one was misspelt.
        """
        shape = (len(args), *kwargs)
        if shape in self._shapes:
            return
        problem = self._problem(len(args), kwargs)
        if problem is not None:
            raise PlanError(f"{who} {problem} ({where[0]}:{where[1]}); it takes {self}")
        self._shapes.add(shape)

    def _problem(self, given: int, kwargs: Mapping[str, Any]) -> str | None:
        if given > self.positional and self.rest < 0:
            return f"takes {self.positional} arguments by position, {given} were given"
        for name in kwargs:
            i = self.index.get(name, -1)
            known = i >= 0 and self.parameters[i].kind not in (inspect.Parameter.POSITIONAL_ONLY, *_VARIADIC)
            if not known and self.keyworded < 0:
                names = [p.name for p in self.parameters if p.kind not in _VARIADIC]
                return f"has no parameter {name!r}{did_you_mean(name, names)}"
            if known and i < min(given, self.positional):
                return f"got {name!r} twice, by position and by name"
        for i, parameter in enumerate(self.parameters):
            if parameter.kind in _VARIADIC or parameter.default is not parameter.empty or parameter.name in kwargs:
                continue
            if i >= given or parameter.kind is parameter.KEYWORD_ONLY:
                return f"is missing {parameter.name!r}"
        return None

    def place(self, position: int) -> int:
        """Returns the index of the parameter that takes the argument at `position`, or -1."""
        return position if position < self.positional else self.rest

    def place_of(self, name: str) -> int:
        """Returns the index of the parameter that takes the argument called `name`, or -1."""
        return self.index.get(name, self.keyworded)

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the value of every parameter by name, defaults included; the call was checked before."""
        values: dict[str, Any] = {}
        for i, parameter in enumerate(self.parameters):
            if i == self.rest:
                values[parameter.name] = args[self.positional :]
            elif i == self.keyworded:
                values[parameter.name] = {k: v for k, v in kwargs.items() if k not in self.index}
            elif i < len(args) and i < self.positional:
                values[parameter.name] = args[i]
            elif parameter.name in kwargs:
                values[parameter.name] = kwargs[parameter.name]
            elif parameter.default is not parameter.empty:
                values[parameter.name] = parameter.default
        return values

    def _resolve(self) -> None:
        known = resolved(self._fn, self._nearby)
        self._returns = hint_of(known.get("return", EMPTY))
        self._hints = tuple([hint_of(known.get(p.name, EMPTY)) for p in self.parameters])

    def __str__(self) -> str:
        return "(" + ", ".join(_written(p) for p in self.parameters) + ")"


def _written(parameter: inspect.Parameter) -> str:
    """Returns a parameter with its name and kind only: defaults may be anything, and long."""
    stars = {_VARIADIC[0]: "*", _VARIADIC[1]: "**"}.get(parameter.kind, "")
    return f"{stars}{parameter.name}{'=…' if parameter.default is not parameter.empty else ''}"


def resolved(fn: Callable[..., Any], nearby: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the annotations of a function as objects; one that cannot be resolved is left out."""
    try:
        return typing.get_type_hints(fn, localns=dict(nearby), include_extras=True)
    except Exception:  # noqa: BLE001 — annotations are arbitrary code; the others are tried one by one
        return _resolved_singly(fn, nearby)


def _resolved_singly(fn: Callable[..., Any], nearby: Mapping[str, Any]) -> Mapping[str, Any]:
    known: dict[str, Any] = {}
    for name, annotation in getattr(fn, "__annotations__", {}).items():
        lone = _bearer(name, annotation, fn)
        try:
            known.update(typing.get_type_hints(lone, localns=dict(nearby), include_extras=True))
        except Exception:  # noqa: BLE001, PERF203, S112 — an annotation that cannot be resolved says nothing
            continue
    return known


def _bearer(name: str, annotation: object, fn: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that has one annotation of `fn` and its globals."""

    def bearer() -> None:
        """Carries one annotation."""

    bearer.__annotations__ = {name: annotation}
    bearer.__wrapped__ = fn  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess] — get_type_hints finds the globals through it
    return bearer


def names_nearby(fn: Callable[..., Any], around: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns those of the local names around a definition that its annotations use, where these are strings."""
    written = [text for text in getattr(fn, "__annotations__", {}).values() if isinstance(text, str)]
    if not written or "<locals>" not in getattr(fn, "__qualname__", ""):
        return {}
    words = {word for text in written for word in _WORD.findall(text)}
    return {word: around[word] for word in words if word in around}
