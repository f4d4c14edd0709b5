"""Signatures: how an op or graph may be called, checked once per shape of call.

`inspect.Signature.bind` costs as much as all the rest of wiring an op. What can be wrong with a call depends only on
how many arguments were given by position and which by name, so each such shape is judged once and remembered.
Annotations are resolved at first use, since they may name what is defined later.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from asyncflow._authoring.hint import EMPTY, Hint, hint_of
from asyncflow._authoring.place import Place, told, user_place
from asyncflow.errors import PlanError, did_you_mean

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WORD: Final = re.compile(r"[^\W\d]\w*")


class Signature:
    """The parameters of a function, and which of its call shapes were found right.

    Args:
        fn: The function.
        nearby: Names from where it was defined that its annotations use; functions do not keep these themselves.

    Attributes:
        parameters: The parameters in order.
        index: The place of each parameter by name.
        positional: How many can be given by position, apart from `*args`.
        rest: The place of `*args`, or -1.
        keyworded: The place of `**kwargs`, or -1.
        exact: A number of arguments by position that is right without any by name, or -1.
        accepted: For each parameter, the hints of results that were compared with it and may be right.
        hints: What is known of each parameter, once `resolve` was called.
        returns: What is known of the result, once `resolve` was called.
    """

    __slots__ = (
        "__weakref__",
        "_fn",
        "_nearby",
        "_shapes",
        "accepted",
        "exact",
        "hints",
        "index",
        "keyworded",
        "parameters",
        "positional",
        "resolved",
        "rest",
        "returns",
    )

    def __init__(self, fn: Callable[..., Any], nearby: Mapping[str, Any]) -> None:
        self._fn = fn
        self._nearby = nearby
        self.parameters = tuple(inspect.signature(fn).parameters.values())
        kinds = [parameter.kind for parameter in self.parameters]
        self.index = {parameter.name: i for i, parameter in enumerate(self.parameters)}
        self.positional = sum(kind in _POSITIONAL for kind in kinds)
        self.rest = kinds.index(_MANY[0]) if _MANY[0] in kinds else -1
        self.keyworded = kinds.index(_MANY[1]) if _MANY[1] in kinds else -1
        needs_names = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in self.parameters)
        self.exact = -1 if needs_names else self.positional
        self.accepted: tuple[set[Hint], ...] = tuple([set() for _ in self.parameters])
        self._shapes: set[tuple[object, ...]] = set()
        self.resolved = False
        self.hints: tuple[Hint | None, ...] = ()
        self.returns: Hint | None = None

    def resolve(self) -> Self:
        """Resolves the annotations, where that was not done before: only then are `hints` and `returns` right."""
        if not self.resolved:
            known = annotations_of(self._fn, self._nearby)
            returned = known.get("return", EMPTY)
            self.returns = hint_of(listed(returned) if inspect.isasyncgenfunction(self._fn) else returned)
            self.hints = tuple([hint_of(known.get(parameter.name, EMPTY)) for parameter in self.parameters])
            self.resolved = True
        return self

    def check(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        who: str,
        where: Place | None = None,
        partial: bool = False,
    ) -> None:
        """Refuses a call that the function could not take; where `partial`, arguments may be missing.

        Raises:
            PlanError: naming the parameter, with the nearest name where one was misspelt.
        """
        if self.fits(args, kwargs, partial=partial):
            return
        problem = self._unfit(len(args), kwargs) or (None if partial else self._missing(len(args), kwargs))
        if problem is not None:
            raise PlanError(f"{who} {problem}, at {told(where or user_place())}; its parameters are {self}")
        self._shapes.add((partial, len(args), *kwargs))

    def fits(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, partial: bool = False) -> bool:
        """Returns True where a call of this shape was found right before."""
        return (partial, len(args), *kwargs) in self._shapes

    def _unfit(self, given: int, kwargs: Mapping[str, Any]) -> str | None:
        if given > self.positional and self.rest < 0:
            return f"takes {self.positional} arguments by position, and {given} were given"
        for name in kwargs:
            i = self.index.get(name, -1)
            known = i >= 0 and self.parameters[i].kind not in (inspect.Parameter.POSITIONAL_ONLY, *_MANY)
            if not known and self.keyworded < 0:
                names = [parameter.name for parameter in self.parameters if parameter.kind not in _MANY]
                return f"has no parameter {name!r}{did_you_mean(name, names)}"
            if known and i < min(given, self.positional):
                return f"got {name!r} twice, by position and by name"
        return None

    def _missing(self, given: int, kwargs: Mapping[str, Any]) -> str | None:
        missing = [
            repr(parameter.name)
            for i, parameter in enumerate(self.parameters)
            if parameter.kind not in _MANY
            and parameter.default is parameter.empty
            and parameter.name not in kwargs
            and (i >= given or parameter.kind is parameter.KEYWORD_ONLY)
        ]
        return f"is missing {' and '.join(missing)}" if missing else None

    def place(self, position: int) -> int:
        """Returns which parameter takes the argument at `position`."""
        return position if position < self.positional else self.rest

    def place_of(self, name: str) -> int:
        """Returns which parameter takes the argument called `name`."""
        return self.index.get(name, self.keyworded)

    def gives(self, name: str, given: int, kwargs: Mapping[str, Any]) -> bool:
        """Returns whether a call with so many arguments by position gives the parameter called `name`."""
        return name in kwargs or self.index[name] < min(given, self.positional)

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the value of every parameter by name, defaults included; the call was checked before."""
        values: dict[str, Any] = {}
        for i, parameter in enumerate(self.parameters):
            name = parameter.name
            if i == self.rest:
                values[name] = args[self.positional :]
            elif i == self.keyworded:
                values[name] = {key: value for key, value in kwargs.items() if key not in self.index}
            elif i < min(len(args), self.positional):
                values[name] = args[i]
            elif name in kwargs:
                values[name] = kwargs[name]
            elif parameter.default is not parameter.empty:
                values[name] = parameter.default
        return values

    def __str__(self) -> str:
        return "(" + ", ".join(_written(parameter) for parameter in self.parameters) + ")"


def _written(parameter: inspect.Parameter) -> str:
    """Returns a parameter without annotation; defaults may be anything, and long."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}=…"


def annotations_of(fn: Callable[..., Any], nearby: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the annotations of a function as objects; one that cannot be resolved is left out."""
    with contextlib.suppress(Exception):  # annotations are arbitrary code; where one fails, they are tried one by one
        return typing.get_type_hints(fn, localns=dict(nearby), include_extras=True)
    known: dict[str, Any] = {}
    for name, annotation in getattr(fn, "__annotations__", {}).items():
        with contextlib.suppress(Exception):  # one that cannot be resolved says nothing
            known.update(
                typing.get_type_hints(_bearer(name, annotation, fn), localns=dict(nearby), include_extras=True)
            )
    return known


def _bearer(name: str, annotation: object, fn: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that has one annotation of `fn`, and through `__wrapped__` its globals."""

    def bearer() -> None:
        """Carries one annotation."""

    bearer.__annotations__ = {name: annotation}
    bearer.__dict__["__wrapped__"] = fn
    return bearer


def names_nearby(fn: Callable[..., Any], around: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns those of the local names around a definition that its annotations use, where these are strings."""
    written = [text for text in getattr(fn, "__annotations__", {}).values() if isinstance(text, str)]
    if not written or "<locals>" not in getattr(fn, "__qualname__", ""):
        return {}
    words = {word for text in written for word in _WORD.findall(text)}
    return {word: around[word] for word in words if word in around}


def listed(annotation: Any) -> Any:  # noqa: ANN401 — an annotation may be any object
    """Returns what an async generator with this annotation is to a graph: the list of its items."""
    arguments = typing.get_args(annotation)
    return types.GenericAlias(list, arguments[:1]) if arguments else list
