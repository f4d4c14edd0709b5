"""Checks: one pydantic `TypeAdapter` for each annotated parameter or result, made at first use and kept.

A check says nothing about a value but whether it fits: an error names the type asked for, and type and size of what
came; never the value, which may be secret, nor anything a validator said about it. Where pydantic cannot read an
annotation, or knows no way to check it, nothing is checked.

Two ways: *taken over*, for what comes from outside: lax, and what pydantic makes of the value is what counts; and
*judged*, for what comes from another op: strict, and the value stays the object it was. A judged value that fits is
one that the annotation describes, so that nothing depends on whether it was judged.
"""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from asyncflow._authoring.hint import Hint, stripped

Check: TypeAlias = Callable[[Any], Any]
"""Returns what is made of a value that fits; raises anything for one that does not."""

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


def check_of(hint: Hint, *, strict: bool) -> Check | None:
    """Returns the check of an annotation; None where nothing can be checked."""
    bare = stripped(hint.annotation)
    origin = typing.get_origin(bare) or bare
    if origin in _UNTOUCHED:
        return _instance_check(origin)
    adapter = _adapter_of(hint.annotation)
    if adapter is None:
        return None
    if hint.annotation in _EXACT:
        return _quick_check(hint.annotation, adapter, strict=strict)
    return _strictly(adapter) if strict else adapter.validate_python


def _adapter_of(annotation: Any) -> TypeAdapter[Any] | None:  # noqa: ANN401 — an annotation may be any object
    try:
        try:
            adapter = TypeAdapter[Any](annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:  # a type with a configuration of its own; it is tried as it is
            adapter = TypeAdapter[Any](annotation)
        if not adapter.pydantic_complete and not adapter.rebuild(raise_errors=False):
            return None  # a model that names what is defined nowhere
    except Exception:  # noqa: BLE001 — annotations are arbitrary; one that pydantic cannot read checks nothing
        return None
    return adapter


def _strictly(adapter: TypeAdapter[Any]) -> Check:
    validate = adapter.validate_python

    def check(value: Any) -> Any:  # noqa: ANN401 — any value
        made = validate(value, strict=True)
        if made is not value and _modelled(value, made):
            raise MisfitError
        return made

    return check


def _modelled(value: Any, made: Any) -> bool:  # noqa: ANN401 — any value
    """True where pydantic made a model of something that is none, as it does even where it is strict."""
    pairs: list[tuple[Any, Any]] = [(value, made)]
    for before, after in pairs:
        if after is before:
            continue
        kind = cast("type[object]", type(after))
        if issubclass(kind, BaseModel):
            if not issubclass(type(before), BaseModel):
                return True
        elif type(before) is kind:
            pairs.extend(_parts(kind, before, after))
    return False


def _parts(kind: object, before: Any, after: Any) -> Iterable[tuple[Any, Any]]:  # noqa: ANN401 — any value
    """Returns the parts of two values of one kind, pair by pair."""
    if kind is list or kind is tuple:
        return zip(before, after, strict=False)
    if kind is dict:
        return [(before.get(key), part) for key, part in after.items()]
    return ()


def _quick_check(kind: type[Any], adapter: TypeAdapter[Any], *, strict: bool) -> Check:
    validate = _strictly(adapter) if strict else adapter.validate_python

    def check(value: Any) -> Any:  # noqa: ANN401 — any value
        return value if type(value) is kind else validate(value)

    return check


def _instance_check(kind: Any) -> Check:  # noqa: ANN401 — an abstract class
    """Iterables are not consumed, and functions not called, by looking at them."""

    def check(value: Any) -> Any:  # noqa: ANN401 — any value
        if not isinstance(value, kind):
            raise MisfitError
        return value

    return check


class MisfitError(Exception):
    """A value is not of the class that is asked for."""


def misfit(value: object, error: Exception) -> str:
    """Returns what came and what is wrong with it, without anything of the value itself."""
    return f"got {size(value)}{_problem(error)}"


def _problem(error: Exception) -> str:
    """Returns what was found, without anything that came from the value."""
    if isinstance(error, MisfitError):
        return ""
    if not isinstance(error, ValidationError):
        return f" (its validator raised {type(error).__name__})"
    found = [problem["type"] for problem in error.errors(include_url=False, include_context=False, include_input=False)]
    kinds = ", ".join(dict.fromkeys(found[:5]))
    return f" ({kinds})" if len(found) == 1 else f" ({len(found)} problems: {kinds})"


def size(value: object) -> str:
    """Returns type and size of a value; one that cannot tell its size has none."""
    name = type(value).__qualname__.rpartition(".<locals>.")[2]
    try:
        if isinstance(value, (str, bytes, bytearray)):
            return f"{name} of length {len(value)}"
        if isinstance(value, collections.abc.Sized):
            return f"{name} of {len(value)} items"
    except Exception:  # noqa: BLE001 — `__len__` and `__class__` are the user's; a message must not fail on them
        return name
    return name
