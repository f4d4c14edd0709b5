"""Hidden promises: where wiring cannot see one, it must find it all the same, and say so.

Plain lists, tuples and dict values are wired, so what is looked for is a promise anywhere else: dict keys, sets,
fields, attributes, closures, defaults, partials, iterators. Containers and data classes are walked to the end. Of
other objects at most `OPAQUE_DEPTH` levels and `OPAQUE_COUNT` objects are, since a client or a logger leads to half
the program; a promise hidden deeper still refuses whatever is done with it at run time.

The walk keeps no memory from one call to the next: an object that held no promise may hold one later. What it learns
about classes it keeps. Objects are not asked (no properties, no `__getattr__`): their state is read past them.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from asyncflow._authoring.callee import Callee, SettledCallee
from asyncflow._authoring.promise import Promise

OPAQUE_DEPTH: Final = 3
OPAQUE_COUNT: Final = 1_000

WAY_SHOWN: Final = 12
"""Steps to a promise that a message shows."""

_Trail: TypeAlias = "tuple[_Trail | None, str]"
"""The way to an object: the way to what holds it, and a step. Joined texts would cost the square of the depth."""

Child: TypeAlias = tuple[str, object]
Walk: TypeAlias = Callable[[Any], Iterable[Child]]

LEAVES: Final[frozenset[type[Any]]] = frozenset({
    type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, range, type(...), type(NotImplemented),
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    re.Pattern, re.Match, type, types.ModuleType, types.CodeType, types.GenericAlias, types.UnionType,
    pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
})  # fmt: skip
"""Classes whose instances hold nothing."""

_ITERATORS: Final[tuple[type[Any], ...]] = (
    type(iter(list[Any]())), type(iter(tuple[Any, ...]())), type(iter(dict[Any, Any]())), type(iter(set[Any]())),
    type(iter(dict[Any, Any]().values())), type(iter(dict[Any, Any]().items())), type(reversed(list[Any]())),
    map, zip, filter, enumerate,
)  # fmt: skip
_DATA: Final = ("__dataclass_fields__", "__pydantic_fields__", "__attrs_attrs__")
_KNOWN_MOST: Final = 4_096


def find_hidden(value: object) -> tuple[Promise, str] | None:
    """Returns the first promise found anywhere in `value`, and the way to it; None where there is none."""
    found = trail_to_hidden(value)
    if found is None:
        return None
    promise, trail = found
    return promise, "".join(trail) if len(trail) <= WAY_SHOWN else f"{''.join(trail[:6])}…{''.join(trail[-3:])}"


def trail_to_hidden(value: object) -> tuple[Promise, Sequence[str]] | None:
    """Returns the first promise found anywhere in `value`, and each step to it; None where there is none."""
    if type(value) in LEAVES:
        return None
    seen: set[int] = set()
    opaque = 0
    stack: list[tuple[object, _Trail | None, int]] = [(value, None, 0)]
    while stack:
        found, trail, depth = stack.pop()
        if type(found) is Promise:
            return found, _steps(trail)
        kind = type(found)
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
        stack.extend([(child, (trail, step), depth) for step, child in walk(found) if type(child) not in LEAVES])
    return None


def _steps(trail: _Trail | None) -> list[str]:
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    steps.reverse()
    return steps


_walks: dict[type[Any], tuple[Walk | None, bool]] = {}


def _walk_of(kind: type[Any]) -> tuple[Walk | None, bool]:
    """Returns how instances of a class are walked, and whether they are opaque."""
    known = _walks.get(kind)
    if known is None:
        if len(_walks) >= _KNOWN_MOST:  # classes made in a loop must not be kept for ever
            _walks.clear()
        known = _walks[kind] = _judged(kind)
    return known


def _judged(kind: type[Any]) -> tuple[Walk | None, bool]:
    if issubclass(kind, (type, types.ModuleType, enum.Enum)):
        return None, False
    state = _state_of(kind)
    for base, walk in _CONTAINERS:
        if issubclass(kind, base):
            return (walk, False) if state is None else (_both(walk, state), False)
    for base, walk in _WALKS:
        if issubclass(kind, base):
            return walk, False
    return state, not any(mark in vars(base) for base in kind.__mro__ for mark in _DATA)


def _both(first: Walk, second: Walk) -> Walk:
    def walk(value: Any) -> Iterator[Child]:  # noqa: ANN401 — any object
        yield from first(value)
        yield from second(value)

    return walk


def _state_of(kind: type[Any]) -> Walk | None:
    """Returns how to read the attributes of instances of a class past its own methods; None where it has none."""
    get = object.__getattribute__
    slots: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        for name in (own,) if isinstance(own, str) else tuple(own):
            if name.startswith("__") and not name.endswith("__"):
                slots.append(f"_{base.__name__.lstrip('_')}{name}")  # as Python mangles it
            elif name not in ("__dict__", "__weakref__"):
                slots.append(name)
    if not slots and not getattr(kind, "__dictoffset__", 0):
        return None

    def state(value: Any) -> list[Child]:  # noqa: ANN401 — any object
        children: list[Child] = []
        for name in slots:
            try:
                children.append((f".{name}", get(value, name)))
            except AttributeError:
                continue
        try:
            attributes = get(value, "__dict__")
        except AttributeError:
            return children
        if not set(map(type, attributes.values())) <= LEAVES:
            children.extend([(f".{name}", part) for name, part in attributes.items()])
        return children

    return state


def _members_by(iterate: Callable[[Any], Iterator[object]]) -> Walk:
    """Returns how a container is walked: by the iteration of its base, whatever the class makes of it."""

    def members(value: Any) -> Iterable[Child]:  # noqa: ANN401 — a container
        if set(map(type, iterate(value))) <= LEAVES:
            return ()
        return [(f"[{i}]", part) for i, part in enumerate(iterate(value))]

    return members


def _entries_by(items: Callable[[Any], Iterable[tuple[object, object]]]) -> Walk:
    """Returns how a mapping is walked, likewise."""

    def entries(value: Any) -> Iterator[Child]:  # noqa: ANN401 — a mapping
        found = list(items(value))
        if {type(part) for entry in found for part in entry} <= LEAVES:
            return
        for key, part in found:
            yield " as a key", key
            yield (f"[{key!r:.40}]" if type(key) in LEAVES else "[…]"), part

    return entries


def _closure(value: types.FunctionType) -> Iterator[Child]:
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield f" closing over `{name}`", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield " with a default", value.__defaults__
    yield " with a default", value.__kwdefaults__


def _method(value: types.MethodType) -> Iterable[Child]:
    return [(" bound to an object", value.__self__), ("", value.__func__)]


def _partial(value: functools.partial[Any]) -> Iterable[Child]:
    return [(" with a bound argument", value.args), (" with a bound argument", value.keywords), ("", value.func)]


def _generator(value: types.GeneratorType[Any, Any, Any]) -> Iterable[Child]:
    return [] if value.gi_frame is None else [(f" using `{k}`", v) for k, v in value.gi_frame.f_locals.items()]


def _iterator(value: Any) -> Iterable[Child]:  # noqa: ANN401 — iterators share no class
    return [(" over a container", value.__reduce__()[1])]


def _callee(value: Callee) -> Iterable[Child]:
    return [(" with `.after(…)`", value.order), (" bound to an object", value.leading)]


def _settled(value: SettledCallee) -> Iterable[Child]:
    return [("", value.callee)]


_CONTAINERS: Final[tuple[tuple[type[Any] | tuple[type[Any], ...], Walk], ...]] = (
    (dict, _entries_by(dict[Any, Any].items)),
    (types.MappingProxyType, _entries_by(types.MappingProxyType[Any, Any].items)),
    (list, _members_by(list[Any].__iter__)),
    (tuple, _members_by(tuple[Any, ...].__iter__)),
    ((set, frozenset), _members_by(iter)),
    (collections.deque, _members_by(collections.deque[Any].__iter__)),
)
_WALKS: Final[tuple[tuple[type[Any] | tuple[type[Any], ...], Walk], ...]] = (
    (types.FunctionType, _closure),
    (types.MethodType, _method),
    (functools.partial, _partial),
    (types.GeneratorType, _generator),
    (_ITERATORS, _iterator),
    (Callee, _callee),
    (SettledCallee, _settled),
)
