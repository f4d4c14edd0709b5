"""Inputs of a graph, checked against their annotations by pydantic before anything is wired.

One `TypeAdapter` per parameter, made at first use. Values of plain classes that fit exactly skip it. An error names
the graph, the parameter, the type asked for, and the type and size of what came; never the value, which may be secret.
"""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from asyncflow._authoring.hidden import find_hidden
from asyncflow._authoring.hint import Hint, stripped
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.signature import Signature
from asyncflow.errors import InputError

Check: TypeAlias = Callable[[Any], Any]

_EXACT: Final[tuple[Any, ...]] = (int, float, str, bool, bytes)
_UNTOUCHED: Final[tuple[Any, ...]] = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    typing.get_origin(Callable[..., Any]),
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
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, nested: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments as the annotations want them.

        Args:
            args: The arguments by position; the call was checked before.
            kwargs: The arguments by name.
            nested: True inside another graph: promises, and what holds one, pass as they are.

        Raises:
            InputError: naming graph, parameter, expected and given type.
        """
        checks = self._checks
        if checks is None:
            checks = self._checks = tuple(
                [None if h is None else _check_of(h) for h in self._signature.resolve().hints]
            )
        signature = self._signature
        taken = [self._value(checks, signature.place(i), value, nested=nested) for i, value in enumerate(args)]
        named = {
            name: self._value(checks, signature.place_of(name), value, nested=nested) for name, value in kwargs.items()
        }
        return tuple(taken), named

    def _value(self, checks: tuple[Check | None, ...], i: int, value: Any, *, nested: bool) -> Any:  # noqa: ANN401 — any input
        check = checks[i] if i >= 0 else None
        if check is None or type(value) is Promise or (nested and find_hidden(value) is not None):
            return value
        try:
            return check(value)
        except ValidationError as error:
            problem = _problem(error)
        except _MisfitError:
            problem = ""
        # raised here, outside the handlers, so that no context carries the value along
        parameter = self._signature.parameters[i].name
        raise InputError(
            f"{self._graph} takes {self._signature.hints[i]} as {parameter!r}, and got {_size(value)}{problem};"
            " nothing was started"
        )


class _MisfitError(Exception):
    """A value is not of the class that is asked for."""


def _check_of(hint: Hint) -> Check | None:
    bare = stripped(hint.annotation)
    origin = typing.get_origin(bare) or bare
    if origin in _UNTOUCHED:
        return _instance_check(origin)
    try:
        if hint.annotation in _EXACT:
            return _quick_check(hint.annotation, TypeAdapter(hint.annotation))
        return TypeAdapter(hint.annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python
    except PydanticUserError:
        pass  # a type with a configuration of its own; it is tried as it is
    except Exception:  # noqa: BLE001 — annotations are arbitrary; one that pydantic cannot read checks nothing
        return None
    try:
        return TypeAdapter(hint.annotation).validate_python
    except Exception:  # noqa: BLE001 — as above
        return None


def _quick_check(kind: type[Any], adapter: TypeAdapter[Any]) -> Check:
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
