"""Hidden promises: where wiring cannot see one, it must find it all the same, and say so.

Arguments are walked: plain lists, tuples and dict values are wired, so what is looked for is a promise anywhere else —
dict keys, sets, fields, attributes, closures, defaults, partials, iterators. Containers and data classes are walked
to the end; of other objects at most `OPAQUE_DEPTH` levels and `OPAQUE_COUNT` objects, since a client or a logger leads to
half the program. A promise hidden deeper still refuses whatever is done with it at run time.

The walk keeps no memory from one call to the next: an object that held no promise may hold one later. What it learns
about types it keeps.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, Final, TypeAlias

from asyncflow._authoring.promise import Promise

OPAQUE_DEPTH: Final = 3
OPAQUE_COUNT: Final = 1_000

Child: TypeAlias = tuple[str, object]
Walk: TypeAlias = Callable[[Any], Iterator[Child]]

LEAVES: Final[set[type]] = {
    type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, range, type(Ellipsis), type(NotImplemented),
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, re.Match, type, types.ModuleType, types.CodeType,
    types.GenericAlias, types.UnionType, pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.WindowsPath,
    pathlib.PurePosixPath, pathlib.PureWindowsPath,
}  # fmt: skip
"""Types whose instances hold nothing; `enum` classes and classes themselves join as they are met."""

_ITERATORS: Final = (
    type(iter([])), type(iter(())), type(iter({})), type(iter({}.values())), type(iter({}.items())), type(iter(set())),
    type(reversed([])), map, zip, filter, enumerate,
)  # fmt: skip
_KNOWN_MOST: Final = 4_096


def find_hidden(value: object) -> tuple[Promise, str] | None:
    """Returns the first promise found anywhere in `value`, and the way to it; None where there is none."""
    if type(value) in LEAVES:
        return None
    seen: set[int] = set()
    opaque = 0
    stack: list[tuple[object, str, int]] = [(value, "", 0)]
    while stack:
        found, way, depth = stack.pop()
        kind = type(found)
        if kind is Promise:
            return found, way  # type: ignore[return-value] # pyright: ignore[reportReturnType] — type() is not narrowed for objects whose __class__ raises
        if kind in LEAVES or id(found) in seen:
            continue
        seen.add(id(found))
        walk, is_opaque = _walk_of(kind)
        if walk is None:
            continue
        if is_opaque:
            opaque += 1
            if depth >= OPAQUE_DEPTH or opaque > OPAQUE_COUNT:
                continue
            depth += 1
        stack.extend([(child, way + step, depth) for step, child in walk(found) if type(child) not in LEAVES])
    return None


_walks: dict[type, tuple[Walk | None, bool]] = {}


def _walk_of(kind: type) -> tuple[Walk | None, bool]:
    """Returns how instances of a class are walked, and whether they are opaque."""
    known = _walks.get(kind)
    if known is None:
        if len(_walks) > _KNOWN_MOST:
            _walks.clear()
        known = _walks[kind] = _judged(kind)
    return known


def _judged(kind: type) -> tuple[Walk | None, bool]:
    if issubclass(kind, (type, types.ModuleType, enum.Enum)):
        return None, False
    for base, walk in _WALKS:
        if issubclass(kind, base):
            return walk, False
    data = is_dataclass(kind) or hasattr(kind, "__pydantic_fields__") or hasattr(kind, "__attrs_attrs__")
    has_state = getattr(kind, "__dictoffset__", 0) != 0 or any("__slots__" in vars(base) for base in kind.__mro__)
    return (_state, not data) if has_state else (None, False)


def _members(value: Any) -> Iterator[Child]:
    if not set(map(type, value)) <= LEAVES:
        yield from [(f"[{i}]", part) for i, part in enumerate(value)]
    yield from _state(value)


def _entries(value: Any) -> Iterator[Child]:
    if not (set(map(type, value)) | set(map(type, value.values()))) <= LEAVES:
        for key, part in value.items():
            yield " as a key", key
            yield f"[{key!r:.40}]" if type(key) in LEAVES else "[…]", part
    yield from _state(value)


def _state(value: Any) -> Iterator[Child]:
    """The attributes of an object, without asking the object."""
    get = object.__getattribute__
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"  # noqa: PLW2901 — as Python mangles it
            try:
                yield f".{name}", get(value, name)
            except AttributeError:
                continue
    try:
        attributes = get(value, "__dict__")
    except AttributeError:
        return
    if type(attributes) is dict:
        yield from [(f".{name}", part) for name, part in attributes.items()]


def _closure(value: types.FunctionType) -> Iterator[Child]:
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield f" closing over `{name}`", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield " with a default", value.__defaults__
    yield " with a default", value.__kwdefaults__


def _method(value: types.MethodType) -> Iterator[Child]:
    yield " bound to an object", value.__self__
    yield "", value.__func__


def _partial(value: functools.partial[Any]) -> Iterator[Child]:
    yield " with a bound argument", value.args
    yield " with a bound argument", value.keywords
    yield "", value.func


def _generator(value: types.GeneratorType[Any, Any, Any]) -> Iterator[Child]:
    if value.gi_frame is not None:
        yield from [(f" using `{name}`", part) for name, part in value.gi_frame.f_locals.items()]


def _iterator(value: Any) -> Iterator[Child]:
    if isinstance(value, _ITERATORS):
        yield " over a container", value.__reduce__()[1]


_WALKS: Final[tuple[tuple[type | tuple[type, ...], Walk], ...]] = (
    ((dict, types.MappingProxyType), _entries),
    ((list, tuple, set, frozenset, collections.deque), _members),
    (types.FunctionType, _closure),
    (types.MethodType, _method),
    (functools.partial, _partial),
    (types.GeneratorType, _generator),
    (_ITERATORS, _iterator),
)
