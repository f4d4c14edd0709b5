"""Inputs of a graph, checked against their annotations by pydantic before anything is wired.

One `TypeAdapter` per parameter, made at first use. Values of plain classes that fit exactly skip it. An error names
the graph, the parameter, the type asked for, and the type and size of what came; never the value, which may be secret.
"""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from asyncflow._authoring.hidden import find_hidden
from asyncflow._authoring.hint import Hint, stripped
from asyncflow._authoring.signature import Signature
from asyncflow.errors import InputError

Check: typing.TypeAlias = Callable[[Any], Any]

_EXACT: Final = frozenset({int, float, str, bool, bytes, type(None)})
_LAZY: Final = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.Callable,
)


class InputCheck:
    """Checks the inputs of one graph.

    Args:
        graph: The graph's name, for messages.
        signature: Its parameters.
    """

    __slots__ = ("_checks", "_graph", "_signature")

    def __init__(self, graph: str, signature: Signature) -> None:
        self._graph = graph
        self._signature = signature
        self._checks: tuple[Check | None, ...] | None = None

    def values(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments as the annotations want them; promises and what holds one pass as they are.

        Raises:
            InputError: naming graph, parameter, expected and given type.
        """
        signature = self._signature
        checks = self._made()
        taken = tuple([self._value(checks, signature.place(i), value) for i, value in enumerate(args)])
        named = {name: self._value(checks, signature.place_of(name), value) for name, value in kwargs.items()}
        return taken, named

    def _made(self) -> tuple[Check | None, ...]:
        if self._checks is None:
            self._checks = tuple([None if hint is None else _check_of(hint) for hint in self._signature.hints])
        return self._checks

    def _value(self, checks: tuple[Check | None, ...], i: int, value: Any) -> Any:  # noqa: ANN401 — any input
        check = checks[i] if i >= 0 else None
        if check is None or find_hidden(value) is not None:
            return value
        problem: str | None = None
        try:
            return check(value)
        except ValidationError as error:
            problem = _problem(error)
        except _MisfitError:
            problem = ""
        # raised out here, so that no context carries the value along
        name = self._signature.parameters[i].name
        raise InputError(
            f"{self._graph} takes {self._signature.hints[i]} as {name!r}, and got {_size(value)}{problem}; "
            "nothing was started"
        )


class _MisfitError(Exception):
    """A value is not of the class that is asked for."""


def _check_of(hint: Hint) -> Check | None:
    bare = stripped(hint.annotation)
    origin = typing.get_origin(bare) or bare
    if origin in _LAZY:
        return _instance_check(origin)
    if isinstance(bare, type) and (bare in _EXACT or issubclass(bare, BaseModel)):
        return _quick(bare, TypeAdapter(hint.annotation))
    try:
        return TypeAdapter(hint.annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python
    except PydanticUserError:
        pass
    try:
        return TypeAdapter(hint.annotation).validate_python
    except Exception:  # noqa: BLE001 — an annotation pydantic cannot read checks nothing
        return None


def _quick(kind: type, adapter: TypeAdapter[Any]) -> Check:
    validate = adapter.validate_python

    def check(value: Any) -> Any:  # noqa: ANN401 — any input
        return value if type(value) is kind else validate(value)

    return check


def _instance_check(kind: Any) -> Check:  # noqa: ANN401 — an abstract class
    """Iterables are not consumed, and functions not called, by looking at them."""

    def check(value: Any) -> Any:  # noqa: ANN401 — any input
        if not isinstance(value, kind):
            raise _MisfitError
        return value

    return check


def _problem(error: ValidationError) -> str:
    """Returns what pydantic found, without anything that came from the value."""
    found = [problem["type"] for problem in error.errors(include_url=False, include_context=False, include_input=False)]
    kinds = ", ".join(dict.fromkeys(found[:5]))
    return f" ({kinds})" if len(found) == 1 else f" ({len(found)} problems: {kinds})"


def _size(value: object) -> str:
    name = type(value).__qualname__.rpartition(".<locals>.")[2]
    if isinstance(value, (str, bytes, bytearray)):
        return f"{name} of length {len(value)}"
    if isinstance(value, collections.abc.Sized):
        return f"{name} of {len(value)} items"
    return name
