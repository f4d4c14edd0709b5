"""Hints: what an annotation says about a value, and whether two of them cannot both be right.

A result is compared with the parameter that takes it once per pair of op and parameter, while wiring. Only what is
surely wrong is refused: plain classes of which neither is a kind of the other. Whatever a type checker alone can
judge (type parameters, protocols, the items of a container) passes. Rejected: checking as a type checker does; it
would refuse what runs (a base class handed to a parameter of the derived one) and would still know less than mypy.
"""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from abc import ABCMeta
from typing import Any, Final

from asyncflow.results import Outcome

EMPTY: Final = object()
"""The annotation of a parameter that has none."""

_ONE_KIND: Final = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_WIDER: Final = {int: (float, complex), float: (complex,), bytearray: (bytes,), memoryview: (bytes,)}
_NONE: Final = type(None)


class Hint:
    """One annotation. Compared by identity: a definition has one for its result and one for each parameter.

    Args:
        annotation: The resolved annotation.
    """

    __slots__ = ("_item", "_listed", "_parts", "_settled", "annotation", "valued")

    def __init__(self, annotation: Any) -> None:  # noqa: ANN401 — an annotation may be any object
        self.annotation = annotation
        self.valued: bool = annotation is not None and annotation is not _NONE
        self._parts: tuple[Hint | None, ...] | None | object = EMPTY
        self._item: Hint | None | object = EMPTY
        self._listed: Hint | None = None
        self._settled: Hint | None = None

    @property
    def parts(self) -> tuple[Hint | None, ...] | None:
        """The hints of a tuple of fixed length; None for anything else."""
        if self._parts is EMPTY:
            self._parts = _parts_of(self.annotation)
        return self._parts  # type: ignore[return-value] # pyright: ignore[reportReturnType] — EMPTY was just replaced

    @property
    def item(self) -> Hint | None:
        """The hint of one item of a list, set or sequence."""
        if self._item is EMPTY:
            bare = stripped(self.annotation)
            arguments = typing.get_args(bare)
            one_kind = typing.get_origin(bare) in _ONE_KIND and len(arguments) == 1
            self._item = hint_of(arguments[0]) if one_kind else None
        return self._item  # type: ignore[return-value] # pyright: ignore[reportReturnType] — EMPTY was just replaced

    @property
    def listed(self) -> Hint:
        """The hint of a list of such values."""
        if self._listed is None:
            self._listed = Hint(_parametrised(list, self.annotation))
            self._listed.valued = self.valued
        return self._listed

    @property
    def settled(self) -> Hint:
        """The hint of the outcome of such a value."""
        if self._settled is None:
            self._settled = Hint(_parametrised(Outcome, self.annotation))
            self._settled.valued = self.valued
        return self._settled

    def __str__(self) -> str:
        return shown(self.annotation)


def hint_of(annotation: object) -> Hint | None:
    """Returns the hint of an annotation, None where it says nothing."""
    if annotation is EMPTY or annotation is Any or annotation is object or isinstance(annotation, str):
        return None
    return Hint(annotation)


def shown(annotation: object) -> str:
    """Returns an annotation as people write it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__.rpartition(".<locals>.")[2] if annotation is not _NONE else "None"
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def disproves(result: Hint, parameter: Hint) -> bool:
    """Returns True where no value can be right for both annotations."""
    return _excludes(result.annotation, parameter.annotation)


def _excludes(result: object, parameter: object) -> bool:
    results = _members(result)
    parameters = _members(parameter)
    if results is None or parameters is None:
        return False
    return all(_unrelated(one, other) for one in results for other in parameters)


def _members(annotation: object) -> tuple[type, ...] | None:
    """Returns the plain classes an annotation stands for; None where it stands for more than these can say."""
    bare = stripped(annotation)
    if bare is None:
        return (_NONE,)
    origin = typing.get_origin(bare)
    if origin is typing.Union or origin is types.UnionType:
        found: list[type] = []
        for member in typing.get_args(bare):
            plain = _members(member)
            if plain is None:
                return None
            found.extend(plain)
        return tuple(found)
    if origin is typing.Literal:
        return tuple([type(value) for value in typing.get_args(bare)])
    candidate = bare if origin is None else origin
    return (candidate,) if isinstance(candidate, type) and _judgeable(candidate) else None


def _judgeable(candidate: type) -> bool:
    """True for classes whose instances are known by `issubclass` alone."""
    if candidate is object or getattr(candidate, "_is_protocol", False) or typing.is_typeddict(candidate):
        return False
    meta = type(candidate)
    return meta is type or issubclass(meta, (ABCMeta, enum.EnumMeta))


def _unrelated(result: type, parameter: type) -> bool:
    """True where neither class is a kind of the other, and no number or buffer is promoted."""
    if any(issubclass(result, narrow) and parameter in wider for narrow, wider in _WIDER.items()):
        return False
    try:
        return not issubclass(result, parameter) and not issubclass(parameter, result)
    except TypeError:  # a class that cannot be asked
        return False


def stripped(annotation: Any) -> Any:  # noqa: ANN401 — an annotation may be any object
    """Returns an annotation without `Annotated`, `Final`, `NewType` and type aliases around it."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in (typing.Annotated, typing.Final, typing.ClassVar):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType" and hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _parts_of(annotation: object) -> tuple[Hint | None, ...] | None:
    bare = stripped(annotation)
    arguments = typing.get_args(bare)
    if typing.get_origin(bare) is tuple:
        if Ellipsis in arguments or any(typing.get_origin(part) is typing.Unpack for part in arguments):
            return None
        return tuple([hint_of(part) for part in arguments])
    fields = getattr(bare, "_fields", None)
    if isinstance(bare, type) and issubclass(bare, tuple) and isinstance(fields, tuple):
        named = getattr(bare, "__annotations__", {})
        return tuple([hint_of(named.get(field, EMPTY)) for field in typing.cast("tuple[str, ...]", fields)])
    return None


def _parametrised(container: Any, annotation: object) -> object:  # noqa: ANN401 — a generic class
    try:
        return container[annotation]
    except TypeError:  # not an annotation that can be a parameter
        return container
