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
from functools import cached_property
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
_WIDER: Final[dict[type, tuple[type, ...]]] = {
    int: (float, complex),
    float: (complex,),
    bytearray: (bytes,),
    memoryview: (bytes,),
}
_NONE: Final = type(None)
_WRAPPERS: Final = (typing.Annotated, typing.Final, typing.ClassVar)


class Hint:
    """One annotation. Compared by identity: a signature has one for its result and one for each parameter.

    Args:
        annotation: The resolved annotation.
    """

    def __init__(self, annotation: Any) -> None:  # noqa: ANN401 — an annotation may be any object
        self.annotation = annotation
        self.valued = annotation is not None and annotation is not _NONE and annotation is not typing.NoReturn

    @cached_property
    def parts(self) -> tuple[Hint | None, ...] | None:
        """The hints of a tuple of fixed length; None for anything else."""
        bare = stripped(self.annotation)
        arguments = typing.get_args(bare)
        if typing.get_origin(bare) is tuple:
            if Ellipsis in arguments or any(typing.get_origin(part) is typing.Unpack for part in arguments):
                return None
            return tuple([hint_of(part) for part in arguments])
        fields = getattr(bare, "_fields", None)
        if isinstance(bare, type) and issubclass(bare, tuple) and fields is not None:
            return tuple([None for _ in fields])  # a NamedTuple: as many parts as it has fields
        return None

    @cached_property
    def item(self) -> Hint | None:
        """The hint of one item of a list, set or sequence."""
        bare = stripped(self.annotation)
        arguments = typing.get_args(bare)
        known = typing.get_origin(bare) in _ONE_KIND and len(arguments) == 1
        return hint_of(arguments[0]) if known else None

    @cached_property
    def listed(self) -> Hint:
        """The hint of a list of such values."""
        return self._within(list)

    @cached_property
    def settled(self) -> Hint:
        """The hint of the outcome of such a value."""
        return self._within(Outcome)

    def _within(self, container: Any) -> Hint:  # noqa: ANN401 — a generic class
        try:
            hint = Hint(container[self.annotation])
        except TypeError:  # an annotation that cannot be a type argument
            hint = Hint(container)
        hint.valued = self.valued
        return hint

    def __str__(self) -> str:
        return shown(self.annotation)


def hint_of(annotation: object) -> Hint | None:
    """Returns the hint of an annotation, None where it says nothing."""
    if annotation is EMPTY or annotation is Any or annotation is object or isinstance(annotation, str):
        return None
    return Hint(annotation)


def shown(annotation: object) -> str:
    """Returns an annotation as people write it."""
    if annotation is None or annotation is _NONE:
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__.rpartition(".<locals>.")[2]
    text = str(annotation)
    for module in ("typing.", "collections.abc.", "asyncflow.results."):
        text = text.replace(module, "")
    return text


def disproves(result: Hint, parameter: Hint) -> bool:
    """Returns True where no value can be right for both annotations."""
    results = _classes(result.annotation)
    parameters = _classes(parameter.annotation)
    if results is None or parameters is None:
        return False
    return all(_unrelated(one, other) for one in results for other in parameters)


def _classes(annotation: object) -> tuple[type[Any], ...] | None:
    """Returns the plain classes an annotation stands for; None where it stands for more than these can say."""
    bare = stripped(annotation)
    if bare is None:
        return (_NONE,)
    origin = typing.get_origin(bare)
    if origin is typing.Union or origin is types.UnionType:
        found: list[type[Any]] = []
        for member in typing.get_args(bare):
            plain = _classes(member)
            if plain is None:
                return None
            found.extend(plain)
        return tuple(found)
    if origin is typing.Literal:
        values: tuple[object, ...] = typing.get_args(bare)
        return tuple([type(value) for value in values])
    candidate: object = bare if origin is None else origin
    return (candidate,) if isinstance(candidate, type) and _judgeable(candidate) else None


def _judgeable(candidate: type[Any]) -> bool:
    """True for classes whose instances are known by `issubclass` alone."""
    if candidate is object or getattr(candidate, "_is_protocol", False) or typing.is_typeddict(candidate):
        return False
    meta = type(candidate)
    return meta is type or issubclass(meta, (ABCMeta, enum.EnumMeta))


def _unrelated(result: type[Any], parameter: type[Any]) -> bool:
    """True where neither class is a kind of the other, and no number or buffer is promoted."""
    if any(parameter in wider and issubclass(result, narrow) for narrow, wider in _WIDER.items()):
        return False
    try:
        return not issubclass(result, parameter) and not issubclass(parameter, result)
    except TypeError:  # a class that cannot be asked
        return False


def stripped(annotation: Any) -> Any:  # noqa: ANN401 — an annotation may be any object
    """Returns an annotation without `Annotated`, `Final`, `NewType` and type aliases around it."""
    while True:
        if typing.get_origin(annotation) in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType" and hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation
